/* SPDX-License-Identifier: Apache-2.0
 * Recorded traces on their way through the budgets, in simulated time. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/plan_state.h"
#include "wire/tracestate.h"

static const double SPREAD_S = 10;     /* as soft control averages */
static const double WARM_S = 60;       /* of the recording, before it counts */
enum { SETTLE_TICKS = 100 };           /* for what waits at the end */
static const double MOST_OFFERS = 1e7; /* of one run: some ten seconds of work */
static const double GOLDEN = 0.6180339887498949;
enum { RING_TICKS = 128 };

/* ---- the budget ---- */

/* A month is paced at its mean rate. Caps and reports cut nothing in a simulated hour. */
static void without_month(struct budget_node_options *n)
{
	for (int u = 0; u < BUDGET_UNITS; u++) {
		struct budget_limit *l = &n->limit[u];
		double pace = l->per_month / PLAN_MONTH_S;
		if (l->per_month > 0 && n->month_policy == BUDGET_PACE)
			l->per_second = l->per_second > 0 ? fmin(l->per_second, pace) : pace;
		l->per_month = 0;
	}
}

int plan_budget_create(struct budget **out, const struct policy *p, double times)
{
	struct budget_options o = {
	    .n_nodes = p->n_nodes,
	    .largest = {(double)p->trace_spans * times, (double)p->trace_bytes * times},
	    .hash_key = PLAN_KEY};
	const char *reason;
	unsigned node;
	struct budget_node_options *nodes = calloc(p->n_nodes, sizeof(*nodes));
	if (nodes == NULL)
		return fail(-ENOMEM, "plan: no memory");
	for (unsigned i = 0; i < p->n_nodes; i++) {
		nodes[i] = p->nodes[i];
		without_month(&nodes[i]);
	}
	o.nodes = nodes;
	int rc = budget_create(out, &o, (struct budget_now){0, 0}, &reason, &node);
	free(nodes);
	if (rc > 0)
		return fail(-EINVAL, "plan: budget %s: %s", p->nodes[node].name, reason);
	return rc == 0 ? 0 : fail(-ENOMEM, "plan: no memory");
}

/* ---- who comes when ---- */

/* Numbers of items, by tick; a ring of a bit more than the spread. */
struct crowd {
	uint32_t *items;
	size_t n, room;
};

struct run {
	struct plan *plan;
	struct budget *budget;
	struct crowd ring[RING_TICKS];
	struct budget_candidate *list;
	uint32_t *of; /* items of `list` */
	size_t n, room_list, room_of;
	uint64_t tick, begun; /* of 100 ms: now, and when this pass of the recording began */
	double group;         /* traces that are offered as one */
	double *rest;         /* by rule: of what stands for less than one more */
	double *toss;         /* by rule: the last number */
	bool counts;
	double *offered, *cut; /* by node and unit */
	double measured_s;
};

/* When the k-th of the n that an item stands for comes. */
static uint64_t tick_of(const struct run *r, const struct plan_item *item, double k, double n)
{
	double at_s = item->at_s;
	if (n > 1.5)
		at_s += SPREAD_S * ((k + 0.5) / n - 0.5);
	at_s = fabs(at_s); /* what would lie outside is as much within */
	double end_s = r->plan->report.covered_s;
	at_s = at_s > end_s ? fmax(0, 2 * end_s - at_s) : at_s;
	uint64_t tick = r->begun + (uint64_t)(at_s * 10);
	return tick < r->tick ? r->tick : tick;
}

static int put_item(struct run *r, uint32_t number)
{
	const struct plan_item *item = &r->plan->items[number];
	double *rest = &r->rest[item->to];
	double n = item->weight / r->group;
	*rest += n;
	uint32_t whole = (uint32_t)*rest;
	*rest -= whole;
	for (uint32_t k = 0; k < whole; k++) {
		struct crowd *c = &r->ring[tick_of(r, item, k, whole) % RING_TICKS];
		if (!sampler_room(&c->items, &c->room, c->n + 1, sizeof(*c->items)))
			return fail(-ENOMEM, "plan: no memory");
		c->items[c->n++] = number;
	}
	return 0;
}

/* ---- one tick ---- */

static double kept_of(uint64_t threshold, uint64_t arrived)
{
	double came = threshold_share(arrived);
	return came > 0 ? fmin(1, threshold_share(threshold) / came) : 0;
}

static void count_offer(struct run *r, const struct plan_item *item, double share)
{
	struct plan_pair *pair = plan_pair_at(r->plan, item->from, item->to);
	struct volume one = {1, item->spans, item->bytes};
	if (!r->counts)
		return;
	volume_add(&pair->offered, &one, r->group);
	volume_add(&pair->was, &one, r->group * item->was);
	volume_add(&pair->soft, &one, r->group * share);
	volume_add(&pair->up, &one, r->group * fmax(0, share - item->was));
}

/* Soft control, and the coin. */
static int offer(struct run *r, uint32_t number)
{
	const struct plan_item *item = &r->plan->items[number];
	const struct policy *p = r->plan->policy;
	struct budget_offer o = item->offer;
	o.spans *= r->group;
	o.bytes *= r->group;
	uint64_t threshold = budget_offer(r->budget, &o);
	if (threshold < item->arrived)
		threshold = item->arrived;
	count_offer(r, item, kept_of(threshold, item->arrived));
	double *toss = &r->toss[item->to];
	*toss += GOLDEN;
	*toss -= floor(*toss);
	uint64_t randomness =
	    item->arrived + (uint64_t)(*toss * (double)(THRESHOLD_NEVER - item->arrived));
	if (randomness < threshold)
		return 0;
	if (!sampler_room(&r->list, &r->room_list, r->n + 1, sizeof(*r->list)) ||
	    !sampler_room(&r->of, &r->room_of, r->n + 1, sizeof(*r->of)))
		return fail(-ENOMEM, "plan: no memory");
	r->of[r->n] = number;
	r->list[r->n++] =
	    (struct budget_candidate){.path = o.path,
				      .randomness = randomness,
				      .threshold = threshold,
				      .spans = fmin(o.spans, (double)p->trace_spans * r->group),
				      .bytes = fmin(o.bytes, (double)p->trace_bytes * r->group),
				      .protected = o.protected};
	return 0;
}

static void settle(struct run *r)
{
	size_t left = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct plan_item *item = &r->plan->items[r->of[i]];
		struct plan_pair *pair = plan_pair_at(r->plan, item->from, item->to);
		if (r->list[i].verdict == BUDGET_WAIT) {
			r->of[left] = r->of[i];
			r->list[left++] = r->list[i];
			continue;
		}
		if (!r->counts)
			continue;
		pair->candidates += item->spans;
		pair->kept += r->list[i].verdict == BUDGET_KEEP ? item->spans : 0;
	}
	r->n = left;
}

static int run_tick(struct run *r)
{
	struct crowd *c = &r->ring[r->tick % RING_TICKS];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < c->n; i++)
		rc = offer(r, c->items[i]);
	c->n = 0;
	r->tick++;
	budget_tick(r->budget, (struct budget_now){r->tick * 100, r->tick * 100}, r->list, r->n);
	settle(r);
	return rc;
}

/* ---- all of it ---- */

/* Every second what the nodes say of themselves. */
static void look(struct run *r)
{
	if (!r->counts || r->tick % 10 != 0)
		return;
	for (unsigned i = 0; i < r->plan->policy->n_nodes; i++) {
		struct budget_report b;
		budget_report(r->budget, i, &b);
		for (int u = 0; u < BUDGET_UNITS; u++)
			r->offered[i * BUDGET_UNITS + (unsigned)u] += b.unit[u].offered;
	}
	r->measured_s++;
}

/* The recording up to `end_s`. Items are in the order of their time. */
static int pass(struct run *r, double end_s)
{
	struct plan *p = r->plan;
	size_t next = 0;
	int rc = 0;
	uint64_t ticks = (uint64_t)(end_s * 10) + 1;
	r->begun = r->tick;
	memset(r->rest, 0, p->policy->n_rules * sizeof(*r->rest));
	for (int i = 0; i < RING_TICKS; i++) /* what the pass before put for later */
		r->ring[i].n = 0;
	for (uint64_t tick = 0; rc == 0 && tick < ticks; tick++) {
		double until_s = (double)tick / 10 + SPREAD_S / 2;
		for (; rc == 0 && next < p->n_items && p->items[next].at_s <= until_s; next++)
			if (p->items[next].budgeted)
				rc = put_item(r, (uint32_t)next);
		if (rc == 0)
			rc = run_tick(r);
		look(r);
	}
	return rc;
}

static void note_totals(struct run *r, double sign)
{
	struct plan_report *out = &r->plan->report;
	assert(out->budgets != NULL);
	for (unsigned i = 0; i < r->plan->policy->n_nodes; i++) {
		struct budget_report b;
		budget_report(r->budget, i, &b);
		for (int u = 0; u < BUDGET_UNITS; u++) {
			out->budgets[i].unit[u].kept += sign * b.unit[u].kept;
			out->budgets[i].unit[u].cut += sign * b.unit[u].over;
		}
	}
}

static int run_all(struct run *r)
{
	double all_s = r->plan->report.covered_s;
	int rc = 0;
	for (int left = (int)ceil(WARM_S / (all_s + 1)); rc == 0 && left > 0; left--)
		rc = pass(r, fmin(all_s, WARM_S));
	r->counts = true;
	note_totals(r, -1);
	if (rc == 0)
		rc = pass(r, all_s);
	for (int left = SETTLE_TICKS; rc == 0 && left > 0 && r->n != 0; left--)
		rc = run_tick(r);
	note_totals(r, 1);
	return rc;
}

static void write_budgets(struct run *r)
{
	const struct policy *p = r->plan->policy;
	struct plan_report *out = &r->plan->report;
	for (unsigned i = 0; i < p->n_nodes; i++) {
		struct budget_node_options plain = p->nodes[i];
		struct plan_budget *b = &out->budgets[i];
		without_month(&plain);
		b->name = p->nodes[i].name;
		b->has_keys = p->keys[i].n != 0;
		b->month_policy = p->nodes[i].month_policy;
		for (int u = 0; u < BUDGET_UNITS; u++) {
			double seconds = fmax(out->covered_s, 0.1);
			b->unit[u].goal = plain.limit[u].per_second;
			b->unit[u].month = p->nodes[i].limit[u].per_month;
			b->unit[u].kept /= seconds;
			b->unit[u].cut /= seconds;
			if (r->measured_s > 0)
				b->unit[u].offered =
				    r->offered[i * BUDGET_UNITS + (unsigned)u] / r->measured_s;
		}
	}
}

static int by_time(const void *a, const void *b)
{
	const struct plan_item *x = a, *y = b;
	return (x->at_s > y->at_s) - (x->at_s < y->at_s);
}

/* Where the sample stands for more than can be offered in time, traces come in groups. */
static double group_of(const struct plan *p)
{
	double all = 0;
	for (size_t i = 0; i < p->n_items; i++)
		all += p->items[i].budgeted ? p->items[i].weight : 0;
	return fmax(1, all / MOST_OFFERS);
}

static void finish(struct run *r)
{
	for (int i = 0; i < RING_TICKS; i++)
		free(r->ring[i].items);
	budget_destroy(r->budget);
	free(r->list);
	free(r->of);
	free(r->rest);
	free(r->toss);
	free(r->offered);
}

int plan_simulate(struct plan *p)
{
	const struct policy *policy = p->policy;
	struct run r = {.plan = p, .group = group_of(p)};
	if (policy->n_nodes == 0)
		return 0;
	if (p->n_items > 1)
		qsort(p->items, p->n_items, sizeof(*p->items), by_time);
	p->report.budgets = calloc(policy->n_nodes, sizeof(*p->report.budgets));
	p->report.n_budgets = p->report.budgets != NULL ? policy->n_nodes : 0;
	r.rest = calloc(policy->n_rules, sizeof(*r.rest));
	r.toss = calloc(policy->n_rules, sizeof(*r.toss));
	r.offered = calloc((size_t)policy->n_nodes * BUDGET_UNITS, sizeof(*r.offered));
	int rc = plan_budget_create(&r.budget, policy, r.group);
	if (rc == 0 &&
	    (p->report.budgets == NULL || r.rest == NULL || r.toss == NULL || r.offered == NULL))
		rc = fail(-ENOMEM, "plan: no memory");
	if (rc == 0)
		rc = run_all(&r);
	if (rc == 0)
		write_budgets(&r);
	finish(&r);
	return rc;
}

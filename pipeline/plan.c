/* SPDX-License-Identifier: Apache-2.0
 * What is recorded, judged anew; and what comes of it. */
#include "pipeline/plan.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/plan_state.h"
#include "wire/otlp_walk.h"
#include "wire/tracestate.h"

int plan_create(struct plan **out, const struct policy *policy)
{
	struct sampler_options o = {.policy = policy, .hash_key = PLAN_KEY};
	struct plan *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return fail(-ENOMEM, "plan: no memory");
	p->policy = policy;
	p->account.limit = SIZE_MAX;
	p->scratch = notice_scratch(policy, &o.hash_key);
	int rc = p->scratch == NULL ? fail(-ENOMEM, "plan: no memory") : 0;
	if (rc == 0 && policy->n_nodes != 0)
		rc = plan_budget_create(&p->budget, policy, 1);
	o.budget = p->budget; /* so that it judges who has to pass one; it is not asked */
	if (rc == 0)
		rc = sampler_create(&p->judge, &o);
	if (rc != 0) {
		plan_destroy(p);
		return rc;
	}
	*out = p;
	return 0;
}

void plan_destroy(struct plan *p)
{
	if (p == NULL)
		return;
	sampler_destroy(p->judge);
	budget_destroy(p->budget);
	condition_scratch_destroy(p->scratch);
	free(p->items);
	free(p->sources);
	free(p->pairs);
	free(p->report.rules);
	free(p->report.moves);
	free(p->report.budgets);
	free(p);
}

/* ---- in ---- */

/* The running rule of that name; -ENOMEM. */
static int find_source(struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->n_sources; i++)
		if (strcmp(p->sources[i].name, name) == 0)
			return (int)i;
	if (p->n_sources == PLAN_SOURCES ||
	    !sampler_room(&p->sources, &p->room_sources, p->n_sources + 1, sizeof(*p->sources)))
		return fail(-ENOMEM, "plan: too many rules");
	struct plan_source *s = &p->sources[p->n_sources];
	*s = (struct plan_source){.all = {0}};
	snprintf(s->name, sizeof(s->name), "%s", name);
	return (int)p->n_sources++;
}

static int add_tallies(struct plan *p, const struct part_view *v, int *source)
{
	for (uint32_t i = 0; i < v->n_rules; i++) {
		struct tally t;
		part_tally(v, i, &t);
		source[i] = find_source(p, part_rule(v, i));
		if (source[i] < 0)
			return source[i];
		struct tally *all = &p->sources[source[i]].all;
		all->traces += t.traces;
		all->spans += t.spans;
		all->bytes += t.bytes;
		all->kept_traces += t.kept_traces;
		all->kept_spans += t.kept_spans;
		all->kept_bytes += t.kept_bytes;
	}
	p->late_spans += v->late_spans;
	p->late_bytes += v->late_bytes;
	return 0;
}

/* All spans of the part, put into their traces. */
static int learn(struct plan *p, const struct notices *n)
{
	struct sampler *s = p->judge;
	if (!pool_reserve(&s->traces, n->n))
		return fail(-ENOMEM, "plan: no memory");
	for (uint32_t i = 0; i < n->n; i++) {
		const struct notice *of = notice_at(n, i);
		uint64_t hash = sampler_hash(s, of->trace_id);
		uint32_t number;
		if (!trace_find(s, of->trace_id, hash, &number) &&
		    !trace_add(s, of->trace_id, hash, &number))
			return fail(-ENOMEM, "plan: no memory");
		trace_learn(s, trace_at(s, number), of);
	}
	return 0;
}

/* Traces that no decision speaks of would join those of the next part. */
static void forget_rest(struct plan *p, const struct notices *n)
{
	struct sampler *s = p->judge;
	for (uint32_t i = 0; i < n->n && s->traces.used != 0; i++) {
		const uint8_t *id = notice_at(n, i)->trace_id;
		uint32_t number;
		if (trace_find(s, id, sampler_hash(s, id), &number))
			trace_remove(s, number);
	}
}

/* Of traces that came with the threshold `arrived`, the share that `threshold` keeps. */
static double share_kept(uint64_t threshold, uint64_t arrived)
{
	double came = threshold_share(arrived);
	return came > 0 ? fmin(1, threshold_share(threshold) / came) : 0;
}

/* As it was decided. Where the coin was not R, all that is known is what became of this one. */
static double share_before(const struct decision *d)
{
	if (d->erase_th)
		return d->verdict == VERDICT_KEPT;
	return share_kept(d->threshold, d->arrived);
}

static void judge_item(struct plan *p, uint32_t trace, const struct decision *d,
		       struct plan_item *out)
{
	struct sampler *s = p->judge;
	const struct trace *t = trace_at(s, trace);
	struct judgement j;
	judge(s, trace, &j);
	const struct policy_rule *rule = &p->policy->rules[j.rule];
	out->to = j.rule;
	out->arrived = j.arrived;
	out->was = share_before(d);
	out->budgeted = j.budgeted;
	out->own = share_kept(rule->threshold, j.arrived);
	if (rule->keep ==
	    POLICY_SATELLITE) /* the way through a budget is known of kept ones only */
		out->own =
		    j.budgeted || rule->node == BUDGET_ROOT || rule->share <= 0 ? rule->share : 0;
	if (j.budgeted)
		judge_offer(&j, t, &out->offer);
	if (j.budgeted && rule->keep == POLICY_SATELLITE)
		out->own = 1; /* it is one of those */
	if (p->policy->dry_run) {
		out->budgeted = false;
		out->own = 1;
	}
}

static int add_items(struct plan *p, const struct part_view *v, const int *source)
{
	struct sampler *s = p->judge;
	double length_s = (double)(v->end_ms - v->begin_ms) / 1000;
	int rc = 0;
	if (!sampler_room(&p->items, &p->room_items, p->n_items + v->chapter.n, sizeof(*p->items)))
		return fail(-ENOMEM, "plan: no memory");
	for (uint32_t i = 0; i < v->chapter.n; i++) {
		struct decision d;
		double share = part_trace(v, i, &d);
		uint32_t number;
		if (!trace_find(s, d.trace_id, sampler_hash(s, d.trace_id), &number)) {
			rc = RECORDING_BAD;
			continue;
		}
		double at_s = ((double)d.first_unix_ms + d.waited_ms - (double)v->begin_ms) / 1000;
		struct plan_item *item = &p->items[p->n_items++];
		*item =
		    (struct plan_item){.at_s = p->report.covered_s + fmin(fmax(at_s, 0), length_s),
				       .weight = 1 / share,
				       .spans = d.spans,
				       .bytes = (double)d.bytes,
				       .from = (uint16_t)source[d.rule]};
		judge_item(p, number, &d, item);
		trace_remove(s, number);
		struct volume one = {1, d.spans, (double)d.bytes};
		volume_add(&p->sources[item->from].recorded, &one, item->weight);
		p->report.traces++;
		p->report.spans += d.spans;
	}
	return rc;
}

int plan_add(struct plan *p, const struct part_view *v)
{
	int source[POLICY_RULES];
	int rc = add_tallies(p, v, source);
	struct notices *n = rc == 0 ? notices_create(p->policy, p->scratch, v->request,
						     otlp_walk_spans(v->request), &p->account)
				    : NULL;
	if (n == NULL)
		return rc != 0 ? rc : fail(-ENOMEM, "plan: no memory");
	rc = learn(p, n);
	if (rc == 0)
		rc = add_items(p, v, source);
	forget_rest(p, n);
	notices_free(n);
	if (rc < 0)
		return rc;
	if (p->report.begin_ms == 0)
		p->report.begin_ms = v->begin_ms;
	p->report.end_ms = v->end_ms;
	p->report.covered_s += (double)(v->end_ms - v->begin_ms) / 1000;
	return rc;
}

/* ---- what the sample stands for ---- */

static double by(double a, double b)
{
	return b > 0 ? a / b : 1;
}

/* To the exact sums of each running rule, with the part that came late. */
static void scale_items(struct plan *p)
{
	double late_spans = by(p->all.spans + (double)p->late_spans, p->all.spans);
	double late_bytes = by(p->all.bytes + (double)p->late_bytes, p->all.bytes);
	for (size_t i = 0; i < p->n_items; i++) {
		struct plan_item *item = &p->items[i];
		const struct plan_source *s = &p->sources[item->from];
		double spans = by((double)s->all.spans, s->recorded.spans);
		double bytes = by((double)s->all.bytes, s->recorded.bytes);
		item->weight *= spans;
		item->spans *= late_spans;
		item->bytes *= late_bytes * bytes / spans;
		item->offer.spans = item->spans;
		item->offer.bytes = item->bytes;
	}
}

static void sum_up(struct plan *p)
{
	for (size_t i = 0; i < p->n_sources; i++) {
		const struct tally *t = &p->sources[i].all;
		struct volume v = {(double)t->traces, (double)t->spans, (double)t->bytes};
		volume_add(&p->all, &v, 1);
	}
}

/* How much of a rule was kept is known; the shares that its traces were kept with say how that
 * divides among them. */
static void scale_shares(struct plan *p)
{
	for (size_t i = 0; i < p->n_items; i++)
		p->sources[p->items[i].from].expected +=
		    p->items[i].weight * p->items[i].spans * p->items[i].was;
	double late = by(p->all.spans + (double)p->late_spans, p->all.spans);
	for (size_t i = 0; i < p->n_items; i++) {
		const struct plan_source *s = &p->sources[p->items[i].from];
		double known = by((double)s->all.kept_spans * late, s->expected);
		p->items[i].was = fmin(1, p->items[i].was * known);
	}
}

/* What passes no budget. */
static void keep_shares(struct plan *p)
{
	for (size_t i = 0; i < p->n_items; i++) {
		const struct plan_item *item = &p->items[i];
		struct plan_pair *pair = plan_pair_at(p, item->from, item->to);
		struct volume one = {1, item->spans, item->bytes};
		if (item->budgeted)
			continue;
		volume_add(&pair->offered, &one, item->weight);
		volume_add(&pair->was, &one, item->weight * item->was);
		volume_add(&pair->soft, &one, item->weight * item->own);
		volume_add(&pair->up, &one, item->weight * fmax(0, item->own - item->was));
	}
}

/* ---- out ---- */

static double cut_of(const struct plan_pair *pair)
{
	return pair->candidates > 0 ? pair->kept / pair->candidates : 1;
}

/* The part of a month's volume that the caps on the way up leave. */
static double month_part(const struct plan *p, uint32_t rule)
{
	double part = 1;
	for (uint16_t at = p->policy->rules[rule].node;
	     at != BUDGET_ROOT && p->policy->n_nodes != 0; at = p->policy->nodes[at].parent) {
		const struct plan_budget *b = &p->report.budgets[at];
		for (int u = 0; u < BUDGET_UNITS; u++)
			if (b->month_policy == BUDGET_CAP && b->unit[u].month > 0)
				part = fmin(part,
					    by(b->unit[u].month, b->unit[u].kept * PLAN_MONTH_S));
	}
	return fmin(part, 1);
}

static struct plan_rule *rule_row(struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->report.n_rules; i++) {
		assert(p->report.rules[i].name != NULL);
		if (strcmp(p->report.rules[i].name, name) == 0)
			return &p->report.rules[i];
	}
	struct plan_rule *r = &p->report.rules[p->report.n_rules++];
	*r = (struct plan_rule){.name = name, .month = 1};
	return r;
}

static void report_now(struct plan *p)
{
	double late_spans = by(p->all.spans + (double)p->late_spans, p->all.spans);
	double late_bytes = by(p->all.bytes + (double)p->late_bytes, p->all.bytes);
	for (size_t i = 0; i < p->n_sources; i++) {
		const struct tally *t = &p->sources[i].all;
		struct plan_rule *r = rule_row(p, p->sources[i].name);
		r->is_old = true;
		r->offered_now = (struct volume){(double)t->traces, (double)t->spans * late_spans,
						 (double)t->bytes * late_bytes};
		r->kept_now =
		    (struct volume){(double)t->kept_traces, (double)t->kept_spans * late_spans,
				    (double)t->kept_bytes * late_bytes};
		volume_add(&p->report.offered, &r->offered_now, 1);
		volume_add(&p->report.kept_now, &r->kept_now, 1);
	}
}

static void report_pair(struct plan *p, uint32_t from, uint32_t to)
{
	const struct plan_pair *pair = plan_pair_at(p, from, to);
	struct plan_rule *r = rule_row(p, p->policy->rules[to].name);
	double cut = cut_of(pair);
	volume_add(&r->offered, &pair->offered, 1);
	volume_add(&r->kept, &pair->soft, cut);
	volume_add(&p->report.kept, &pair->soft, cut);
	if (pair->offered.spans <= 0)
		return;
	struct plan_move *m = &p->report.moves[p->report.n_moves++];
	*m = (struct plan_move){.from = p->sources[from].name,
				.to = p->policy->rules[to].name,
				.offered = pair->offered};
	volume_add(&m->now, &pair->was, 1);
	volume_add(&m->planned, &pair->soft, cut);
	volume_add(&m->newly_kept, &pair->up, cut);
	m->newly_kept =
	    (struct volume){fmax(m->newly_kept.traces, m->planned.traces - m->now.traces),
			    fmax(m->newly_kept.spans, m->planned.spans - m->now.spans),
			    fmax(m->newly_kept.bytes, m->planned.bytes - m->now.bytes)};
	m->newly_dropped = m->newly_kept;
	volume_add(&m->newly_dropped, &m->now, 1);
	volume_add(&m->newly_dropped, &m->planned, -1);
}

static int by_move(const void *a, const void *b)
{
	const struct plan_move *x = a, *y = b;
	double m = fmax(x->newly_kept.spans, x->newly_dropped.spans);
	double n = fmax(y->newly_kept.spans, y->newly_dropped.spans);
	return (m < n) - (m > n);
}

static int write_report(struct plan *p)
{
	struct plan_report *r = &p->report;
	uint32_t n = p->policy->n_rules;
	r->rules = calloc(p->n_sources + n, sizeof(*r->rules));
	r->moves = calloc(p->n_sources * n, sizeof(*r->moves));
	if (r->rules == NULL || r->moves == NULL)
		return fail(-ENOMEM, "plan: no memory");
	for (uint32_t to = 0; to < n; to++) {
		struct plan_rule *rule = rule_row(p, p->policy->rules[to].name);
		rule->is_new = true;
		rule->month = month_part(p, to);
	}
	report_now(p);
	for (uint32_t from = 0; from < p->n_sources; from++) {
		for (uint32_t to = 0; to < n; to++)
			report_pair(p, from, to);
	}
	if (r->n_moves > 1)
		qsort(r->moves, r->n_moves, sizeof(*r->moves), by_move);
	r->share = by((double)r->traces, p->all.traces);
	r->late_share = (double)p->late_spans / (p->all.spans + (double)p->late_spans + 1e-9);
	double month = 0;
	for (size_t i = 0; i < r->n_rules; i++)
		month += r->rules[i].kept.spans * r->rules[i].month;
	r->month = by(month, r->kept.spans);
	return 0;
}

int plan_run(struct plan *p)
{
	p->pairs = calloc(p->n_sources * p->policy->n_rules + 1, sizeof(*p->pairs));
	if (p->pairs == NULL)
		return fail(-ENOMEM, "plan: no memory");
	sum_up(p);
	scale_items(p);
	scale_shares(p);
	keep_shares(p);
	int rc = plan_simulate(p);
	return rc == 0 ? write_report(p) : rc;
}

const struct plan_report *plan_report(const struct plan *p)
{
	return &p->report;
}

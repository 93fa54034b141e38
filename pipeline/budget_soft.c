/* SPDX-License-Identifier: Apache-2.0
 * Soft control: what is offered, and the shares that make it meet the goal. */
#include <math.h>

#include "pipeline/budget_node.h"
#include "wire/tracestate.h"

/* The goal is more by what the bucket holds above its mark, to be spent in that part of average_s,
 * and less by what it lacks: so a mean that is slightly wrong does not add up. */
static const double FEEDBACK = 0.5; /* of average_s */
static const double FEEDBACK_MOST = 0.5, LEAST_GOAL = 0.05;
static const double LIFT = 6, LIFT_MOST = 1;
static const double RISE = 1.2, LEAST_SHARE = 1e-6;

/* ---- offers ---- */

/* What a later node sees of an offer: spans that arrive with less than `own` are all still there,
 * of others own / arrived. */
static void seen(const struct budget_offer *o, double own, double volume[BUDGET_UNITS],
		 double *arrived)
{
	double come = o->arrived > 0 && o->arrived < 1 ? o->arrived : 1;
	volume[BUDGET_SPANS] = o->spans * fmin(1, own / come);
	volume[BUDGET_BYTES] = o->bytes * fmin(1, own / come);
	*arrived = fmin(1, come / own);
}

uint64_t budget_offer(struct budget *b, const struct budget_offer *o)
{
	double own = fmin(o->own, 1), volume[BUDGET_UNITS], arrived;
	unsigned i = 0;
	for (unsigned at = o->path.node; at != BUDGET_ROOT && own > 0;
	     at = b->nodes[at].o.parent, i++) {
		struct node *n = &b->nodes[at];
		uint64_t key = node_key(b, &o->path, i, at);
		uint32_t slot = keys_meet(&n->keys, key);
		seen(o, own, volume, &arrived);
		n->traffic = true;
		if (!o->protected) {
			keys_count(&n->keys, slot, key, volume, arrived);
			own *= n->keys.entries[slot].share;
			continue;
		}
		for (int u = 0; u < BUDGET_UNITS; u++)
			flow_add(&n->protected[u], volume[u], arrived);
		own *= n->protected_share;
	}
	return threshold_of(own);
}

uint64_t budget_threshold(const struct budget *b, const struct budget_offer *o)
{
	double own = fmin(o->own, 1);
	unsigned i = 0;
	for (unsigned at = o->path.node; at != BUDGET_ROOT && own > 0;
	     at = b->nodes[at].o.parent, i++) {
		const struct node *n = &b->nodes[at];
		uint32_t slot = keys_find(&n->keys, node_key(b, &o->path, i, at));
		bool is_new = slot >= n->keys.max && n->keys.n < n->keys.max;
		if (o->protected)
			own *= n->protected_share;
		else
			own *= is_new ? n->keys.start : n->keys.entries[slot].share;
	}
	return threshold_of(own);
}

/* ---- goals ---- */

/* A clock that is set back by more than a day begins the month anew that it now shows, with what
 * was used: too much is safer than too little. */
static void turn_month(struct node *n, uint64_t unix_ms)
{
	const uint64_t day = 86400000;
	if (unix_ms < n->month.end_ms && unix_ms + day >= n->month.begin_ms)
		return;
	bool next = n->month.end_ms != 0 && unix_ms >= n->month.end_ms;
	n->month = month_of(unix_ms, n->o.billing_day);
	for (int u = 0; next && u < BUDGET_UNITS; u++)
		n->bucket[u].used = 0;
}

void budget_pace(struct budget *b, uint64_t unix_ms)
{
	for (unsigned i = 0; i < b->n_nodes; i++) {
		struct node *n = &b->nodes[i];
		turn_month(n, unix_ms);
		for (int u = 0; u < BUDGET_UNITS; u++) {
			const struct budget_limit *l = &n->o.limit[u];
			n->goal[u] = l->per_second > 0 ? l->per_second : INFINITY;
			if (l->per_month > 0 && n->o.month_policy == BUDGET_PACE)
				n->goal[u] =
				    fmin(n->goal[u], month_pace(n->month, unix_ms, l->per_month,
								n->bucket[u].used, n->o.pace_min,
								n->o.pace_max));
		}
	}
}

/* Less what is late; more or less by what the bucket holds, now and in the mean of a time. The mark
 * leaves room for what comes unevenly, so that nothing is lost at the brim. */
static double soft_goal(struct node *n, int u, double elapsed_s, double feedback_s)
{
	double goal = n->goal[u], main = n->capacity[u] * (1 - n->o.reserve);
	double mark = n->capacity[u] - fmin(main / 2, 2 * elapsed_s * goal);
	double off = (n->bucket[u].level - mark) / feedback_s;
	off = fmax(-FEEDBACK_MOST * goal, fmin(FEEDBACK_MOST * goal, off));
	double part = fmin(1, elapsed_s / (LIFT * feedback_s));
	if (n->keys.start < 1 || off < 0)
		n->lift[u] += off * part;
	else
		n->lift[u] -= n->lift[u] * part; /* all is kept: the bucket is full of itself */
	n->lift[u] = fmax(0, fmin(LIFT_MOST * goal, n->lift[u]));
	return fmax(LEAST_GOAL * goal, goal + off + n->lift[u] - n->late[u] / n->time);
}

/* ---- the update ---- */

static double offered(const struct node *n, int u)
{
	double sum = 0;
	for (uint32_t i = keys_first(&n->keys); i < keys_end(&n->keys); i = keys_next(&n->keys, i))
		sum += flow_at(&n->keys.entries[i].flow[u], 1);
	return sum / n->time;
}

static void decay(struct node *n, double elapsed_s, double average_s)
{
	double factor = exp(-elapsed_s / average_s);
	n->time = (n->time + elapsed_s) * factor;
	keys_decay(&n->keys, factor);
	for (int u = 0; u < BUDGET_UNITS; u++) {
		flow_scale(&n->protected[u], factor);
		n->late[u] *= factor;
	}
}

static void share_out(struct node *n, double elapsed_s, double feedback_s)
{
	struct keys_goal g = {.feedback_s = feedback_s};
	double protected_share = 1;
	for (int u = 0; u < BUDGET_UNITS; u++) {
		g.node[u] = INFINITY;
		g.each[u] = each_limit(n, u);
		if (isinf(n->goal[u]))
			continue;
		double goal = soft_goal(n, u, elapsed_s, feedback_s),
		       of_protected = flow_at(&n->protected[u], 1) / n->time;
		struct split s = fill_split(of_protected, offered(n, u), goal,
					    n->o.reserve * n->goal[u], n->o.protected_weight);
		double kept = s.protected * of_protected;
		protected_share =
		    fmin(protected_share,
			 kept < of_protected ? flow_share(&n->protected[u], kept * n -> time) : 1);
		g.node[u] = fmax(LEAST_GOAL * n->goal[u], goal - kept);
	}
	if (n->o.goal_share > 0)
		g.node[BUDGET_SPANS] =
		    fmin(g.node[BUDGET_SPANS], n->o.goal_share * offered(n, BUDGET_SPANS));
	n->protected_share = fmin(fmax(protected_share, LEAST_SHARE), n->protected_share * RISE);
	keys_share(&n->keys, &g, n->time);
}

void budget_update(struct budget *b, double elapsed_s)
{
	for (unsigned i = 0; i < b->n_nodes; i++) {
		struct node *n = &b->nodes[i];
		if (!n->traffic)
			continue;
		n->traffic = false;
		decay(n, elapsed_s, b->average_s);
		keys_promote(&n->keys);
		share_out(n, elapsed_s, FEEDBACK * b->average_s);
	}
}

/* ---- looking ---- */

void budget_report(const struct budget *b, unsigned node, struct budget_report *out)
{
	const struct node *n = &b->nodes[node];
	*out = (struct budget_report){
	    .name = n->o.name, .protected_share = n->protected_share, .keys = n->keys.n};
	double month_s = (double)(n->month.end_ms - n->month.begin_ms) / 1000, past_s = 1;
	if (b->last.unix_ms > n->month.begin_ms)
		past_s = fmax(1, (double)(b->last.unix_ms - n->month.begin_ms) / 1000);
	for (int u = 0; u < BUDGET_UNITS; u++) {
		struct budget_unit_report *r = &out->unit[u];
		const struct bucket *k = &n->bucket[u];
		*r = (struct budget_unit_report){.goal = n->goal[u],
						 .capacity = n->capacity[u],
						 .level = k->level,
						 .month_used = k->used,
						 .projected = k->used * month_s / past_s,
						 .kept = k->kept,
						 .over = k->over,
						 .late_over = k->late_over};
		if (n->time <= 0)
			continue;
		r->protected = flow_at(&n->protected[u], 1) / n->time;
		r->offered = offered(n, u) + r->protected;
		r->late = n->late[u] / n->time;
	}
	double rest = 0, all = out->unit[BUDGET_SPANS].offered * n->time;
	for (uint32_t i = n->keys.max; i < keys_end(&n->keys); i++)
		rest += flow_at(&n->keys.entries[i].flow[BUDGET_SPANS], 1);
	out->overflow_share = all > 0 ? rest / all : 0;
}

void budget_each_key(const struct budget *b, unsigned node,
		     void (*on_key)(void *ctx, const struct budget_key_report *r), void *ctx)
{
	const struct node *n = &b->nodes[node];
	double time = n->time > 0 ? n->time : INFINITY;
	for (uint32_t i = keys_first(&n->keys); i < keys_end(&n->keys);
	     i = keys_next(&n->keys, i)) {
		const struct key *e = &n->keys.entries[i];
		struct budget_key_report r = {
		    .key = e->key, .overflow = i >= n->keys.max, .share = e->share};
		for (int u = 0; u < BUDGET_UNITS; u++)
			r.offered[u] = flow_at(&e->flow[u], 1) / time;
		on_key(ctx, &r);
	}
}

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

/* ---- offers ---- */

/* What a later node sees of an offer, when it is told of a part: spans that arrive with less than
 * `own` are all still there, of others own / arrived. */
static void seen(const struct budget_offer *o, double own, double part, double volume[BUDGET_UNITS],
		 double *arrived)
{
	double come = o->arrived > 0 && o->arrived < 1 ? o->arrived : 1;
	volume[BUDGET_SPANS] = o->spans * part * smaller(1, own / come);
	volume[BUDGET_BYTES] = o->bytes * part * smaller(1, own / come);
	*arrived = smaller(1, come / own);
}

/* How much of a volume the parents are told of: no more than what the node's buckets may pay until
 * the next update. The hard ceiling cuts the rest, and parents that were told of it would thin
 * others for it as long as they remember. */
static double told(struct node *n, struct key *e, const double volume[BUDGET_UNITS])
{
	double part = 1;
	for (int u = 0; u < BUDGET_UNITS; u++) {
		if (volume[u] > n->room[u] && !isinf(n->goal[u]))
			part = smaller(part, n->room[u] / volume[u]);
		if (volume[u] > e->room[u] && !isinf(each_limit(n, u)))
			part = smaller(part, e->room[u] / volume[u]);
	}
	for (int u = 0; u < BUDGET_UNITS; u++) {
		n->room[u] = larger(0, n->room[u] - part * volume[u]);
		e->room[u] = larger(0, e->room[u] - part * volume[u]);
	}
	return part;
}

uint64_t budget_offer(struct budget *b, const struct budget_offer *o)
{
	double own = smaller(o->own, 1), part = 1, volume[BUDGET_UNITS], arrived;
	unsigned i = 0;
	for (unsigned at = o->path.node; at != BUDGET_ROOT && own > 0;
	     at = b->nodes[at].o.parent, i++) {
		struct node *n = &b->nodes[at];
		uint64_t key = node_key(b, &o->path, i, at);
		uint32_t slot = keys_meet(&n->keys, key);
		struct key *e = &n->keys.entries[slot];
		seen(o, own, part, volume, &arrived);
		n->traffic = true;
		keys_count(&n->keys, slot, key, o->protected, volume, arrived);
		own *= e->share[o->protected];
		if (n->o.parent == BUDGET_ROOT)
			break;
		seen(o, own, part, volume, &arrived);
		part *= told(n, e, volume);
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
		own *= is_new ? n->keys.start[o->protected]
			      : n->keys.entries[slot].share[o->protected];
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
	if (fmin(n->keys.start[KEY_NORMAL], n->keys.start[KEY_PROTECTED]) < 1 || off < 0)
		n->lift[u] += off * part;
	else
		n->lift[u] -= n->lift[u] * part; /* all is kept: the bucket is full of itself */
	n->lift[u] = fmax(0, fmin(LIFT_MOST * goal, n->lift[u]));
	return fmax(LEAST_GOAL * goal, goal + off + n->lift[u] - n->late[u] / n->time);
}

/* ---- the update ---- */

static void decay(struct node *n, double elapsed_s, double average_s)
{
	double factor = exp(-elapsed_s / average_s);
	n->time = (n->time + elapsed_s) * factor;
	keys_decay(&n->keys, elapsed_s, factor);
	for (int u = 0; u < BUDGET_UNITS; u++)
		n->late[u] *= factor;
}

static void share_out(struct node *n, double elapsed_s, double feedback_s)
{
	struct keys_goal g = {
	    .offered = n->o.goal_share, .weight = n->o.protected_weight, .feedback_s = feedback_s};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		g.node[u] = INFINITY;
		g.each[u] = each_limit(n, u);
		if (isinf(n->goal[u]))
			continue;
		g.node[u] = soft_goal(n, u, elapsed_s, feedback_s);
		g.reserve[u] = n->o.reserve * n->goal[u];
	}
	keys_share(&n->keys, &g);
}

static void make_room(struct node *n, double update_s)
{
	for (int u = 0; u < BUDGET_UNITS; u++)
		n->room[u] =
		    fmax(0, n->bucket[u].level + (isinf(n->goal[u]) ? 0 : n->goal[u] * update_s));
	for (uint32_t i = keys_first(&n->keys); has_each(n) && i < keys_end(&n->keys);
	     i = keys_next(&n->keys, i)) {
		struct key *e = &n->keys.entries[i];
		for (int u = 0; u < BUDGET_UNITS; u++)
			e->room[u] =
			    fmax(0, e->level[u] + n->o.limit[u].per_second_each * update_s);
	}
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
		make_room(n, b->update_s);
	}
}

/* ---- looking ---- */

void budget_report(const struct budget *b, unsigned node, struct budget_report *out)
{
	const struct node *n = &b->nodes[node];
	double protected = keys_offered(&n->keys, KEY_PROTECTED, BUDGET_SPANS);
	*out = (struct budget_report){.name = n->o.name, .protected_share = 1, .keys = n->keys.n};
	if (protected > 0)
		out->protected_share = keys_kept(&n->keys, KEY_PROTECTED, BUDGET_SPANS) / protected;
	double left_s = 0; /* of the month */
	if (b->last.unix_ms < n->month.end_ms)
		left_s = (double)(n->month.end_ms - b->last.unix_ms) / 1000;
	for (int u = 0; u < BUDGET_UNITS; u++) {
		struct budget_unit_report *r = &out->unit[u];
		const struct bucket *k = &n->bucket[u];
		*r = (struct budget_unit_report){.goal = n->goal[u],
						 .capacity = n->capacity[u],
						 .level = k->level,
						 .month_used = k->used,
						 .projected = k->used,
						 .kept = k->kept,
						 .over = k->over,
						 .late_over = k->late_over};
		if (n->time <= 0)
			continue;
		r->protected = keys_offered(&n->keys, KEY_PROTECTED, u) / n->time;
		r->offered = r->protected + keys_offered(&n->keys, KEY_NORMAL, u) / n->time;
		r->late = n->late[u] / n->time;
		double rate =
		    (keys_kept(&n->keys, KEY_PROTECTED, u) + keys_kept(&n->keys, KEY_NORMAL, u)) /
		    n->time;
		r->projected += fmin(rate + r->late, n->goal[u]) * left_s;
	}
	double rest = 0, all = out->unit[BUDGET_SPANS].offered * n->time;
	for (uint32_t i = n->keys.max; i < keys_end(&n->keys); i++)
		rest += key_volume(&n->keys.entries[i], BUDGET_SPANS);
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
		    .key = e->key, .overflow = i >= n->keys.max, .share = e->share[KEY_NORMAL]};
		for (int u = 0; u < BUDGET_UNITS; u++)
			r.offered[u] = key_volume(e, u) / time;
		on_key(ctx, &r);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/budget_keys.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rises at most so much at an update, and never from nothing. */
static const double RISE = 1.2, LEAST_SHARE = 1e-6;

int keys_init(struct keys *k, unsigned max)
{
	uint32_t places = 64;
	while (places < 2 * max)
		places *= 2;
	*k = (struct keys){.max = max, .mask = places - 1, .start = {1, 1}};
	k->entries = calloc(max + KEYS_CLASSES, sizeof(*k->entries));
	k->index = calloc(places, sizeof(*k->index));
	k->claims = calloc(max + KEYS_CLASSES, sizeof(*k->claims));
	if (k->entries == NULL || k->index == NULL || k->claims == NULL) {
		keys_finish(k);
		return -ENOMEM;
	}
	for (uint32_t c = 0; c < KEYS_CLASSES; c++)
		k->entries[max + c] = (struct key){.key = c, .share = {1, 1}, .weight = 1};
	return 0;
}

void keys_finish(struct keys *k)
{
	free(k->entries);
	free(k->index);
	free(k->claims);
	*k = (struct keys){0};
}

/* ---- finding ---- */

/* The place of a key in the index, or the free one where it would go. */
static uint32_t place_of(const struct keys *k, uint64_t key)
{
	uint32_t at = (uint32_t)key & k->mask;
	while (k->index[at] != 0 && k->entries[k->index[at] - 1].key != key)
		at = (at + 1) & k->mask;
	return at;
}

static uint32_t class_of(const struct keys *k, uint64_t key)
{
	return k->max + (uint32_t)(key >> 59);
}

uint32_t keys_find(const struct keys *k, uint64_t key)
{
	uint32_t found = k->index[place_of(k, key)];
	return found != 0 ? found - 1 : class_of(k, key);
}

struct key *keys_add(struct keys *k, uint64_t key)
{
	struct key *e = &k->entries[k->n++];
	*e = (struct key){.key = key, .weight = 1};
	memcpy(e->share, k->start, sizeof(e->share));
	memcpy(e->level, k->full, sizeof(e->level));
	memcpy(e->room, k->full, sizeof(e->room));
	k->index[place_of(k, key)] = k->n;
	return e;
}

uint32_t keys_meet(struct keys *k, uint64_t key)
{
	uint32_t at = keys_find(k, key);
	if (at < k->max || k->n == k->max)
		return at;
	keys_add(k, key);
	return k->n - 1;
}

/* ---- counting ---- */

double key_volume(const struct key *e, int u)
{
	return flow_sum(&e->flow[KEY_NORMAL][u]) + flow_sum(&e->flow[KEY_PROTECTED][u]);
}

double keys_offered(const struct keys *k, int kind, int unit)
{
	double sum = 0;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i))
		sum += flow_sum(&k->entries[i].flow[kind][unit]);
	return sum;
}

double keys_kept(const struct keys *k, int kind, int unit)
{
	double sum = 0;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i))
		sum += flow_at(&k->entries[i].flow[kind][unit], k->entries[i].share[kind]);
	return sum;
}

void keys_count(struct keys *k, uint32_t at, uint64_t key, bool protected,
		const double volume[BUDGET_UNITS], double arrived)
{
	for (int u = 0; u < BUDGET_UNITS; u++)
		flow_add(&k->entries[at].flow[protected][u], volume[u], arrived);
	if (at < k->max)
		return;
	double spans = volume[BUDGET_SPANS], *held = &k->challenger[at - k->max].volume;
	if (*held > 0 && k->challenger[at - k->max].key != key) {
		*held -= spans;
	} else {
		k->challenger[at - k->max].key = key;
		*held += spans;
	}
	if (*held < 0) {
		k->challenger[at - k->max].key = key;
		*held = -*held;
	}
}

static void scale(struct key *e, double factor)
{
	for (int i = 0; i < KEY_KINDS; i++)
		for (int u = 0; u < BUDGET_UNITS; u++)
			flow_scale(&e->flow[i][u], factor);
}

void keys_decay(struct keys *k, double elapsed_s, double factor)
{
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		struct key *e = &k->entries[i];
		e->fits = e->time > 0;
		e->time = (e->time + elapsed_s) * factor;
		scale(e, factor);
	}
	for (uint32_t c = 0; c < KEYS_CLASSES; c++)
		k->challenger[c].volume *= factor;
}

static void reindex(struct keys *k)
{
	memset(k->index, 0, ((size_t)k->mask + 1) * sizeof(*k->index));
	for (uint32_t i = 0; i < k->n; i++)
		k->index[place_of(k, k->entries[i].key)] = i + 1;
}

void keys_join(struct key *to, const struct key *from)
{
	for (int i = 0; i < KEY_KINDS; i++)
		for (int u = 0; u < BUDGET_UNITS; u++)
			flow_join(&to->flow[i][u], &from->flow[i][u]);
}

/* What it was counted for in its class goes with the challenger, in proportion; what the entry had
 * goes to the class that its key falls in now. */
static void replace(struct keys *k, struct key *e, struct key *class, uint64_t key, double volume)
{
	keys_join(&k->entries[class_of(k, e->key)], e);
	double part = fmin(1, volume / key_volume(class, BUDGET_SPANS));
	*e = *class;
	e->key = key;
	scale(e, part);
	scale(class, 1 - part);
	for (int i = 0; i < KEY_KINDS; i++)
		e->share[i] = fmin(k->start[i], class->share[i]);
}

void keys_promote(struct keys *k)
{
	bool changed = false;
	for (uint32_t c = 0; k->n == k->max && k->n != 0 && c < KEYS_CLASSES; c++) {
		double volume = k->challenger[c].volume;
		if (volume <= 0)
			continue;
		struct key *least = &k->entries[0];
		for (uint32_t i = 1; i < k->n; i++)
			if (key_volume(&k->entries[i], BUDGET_SPANS) <
			    key_volume(least, BUDGET_SPANS))
				least = &k->entries[i];
		/* By a quarter: two that are alike must not take turns. */
		if (volume <= 1.25 * key_volume(least, BUDGET_SPANS))
			continue;
		replace(k, least, &k->entries[k->max + c], k->challenger[c].key, volume);
		k->challenger[c].volume = 0;
		changed = true;
	}
	if (changed)
		reindex(k);
}

/* ---- sharing ---- */

/* Up to which each key has its part without competing: of the goal, and of the reserve. */
struct levels {
	double goal[BUDGET_UNITS], reserve[BUDGET_UNITS];
};

static void set_rates(struct key *e)
{
	for (int i = 0; i < KEY_KINDS; i++)
		for (int u = 0; u < BUDGET_UNITS; u++) {
			double volume = flow_sum(&e->flow[i][u]);
			e->rate[i][u] = volume > 0 ? volume / e->time : 0;
		}
}

static double rate_of(const struct key *e, int u)
{
	return e->rate[KEY_NORMAL][u] + e->rate[KEY_PROTECTED][u];
}

/* The most that a key may have of a unit: its own goal, more or less by what its bucket holds. */
static double each_goal(const struct keys *k, const struct key *e, const struct keys_goal *g, int u)
{
	double goal = g->each[u];
	if (isinf(goal))
		return goal;
	double off = (e->level[u] - k->full[u] / 2) / g->feedback_s;
	return goal + larger(-goal / 2, smaller(goal / 2, off));
}

/* What of the reserve is a key's. */
static double drawn(const struct key *e, const struct levels *l, int u)
{
	return smaller(e->rate[KEY_PROTECTED][u], l->reserve[u] * e->weight);
}

/* A key's part of a unit. */
static double part_of(const struct keys *k, const struct key *e, const struct keys_goal *g,
		      const struct levels *l, int u)
{
	return smaller(larger(l->goal[u] * e->weight, drawn(e, l, u)), each_goal(k, e, g, u));
}

struct shares {
	double of[KEY_KINDS];
};

/* The shares that one unit gives a key: its part, split between protected and normal. */
static struct shares allows(const struct keys *k, const struct key *e, const struct keys_goal *g,
			    const struct levels *l, int u)
{
	double normal = e->rate[KEY_NORMAL][u], protected = e->rate[KEY_PROTECTED][u];
	double part = part_of(k, e, g, l, u);
	struct shares out = {{1, 1}};
	if (normal + protected <= part)
		return out;
	struct split s = fill_split(protected, normal, part, drawn(e, l, u), g->weight);
	if (s.normal < 1)
		out.of[KEY_NORMAL] =
		    flow_share(&e->flow[KEY_NORMAL][u], s.normal * normal * e->time);
	if (s.protected < 1)
		out.of[KEY_PROTECTED] =
		    flow_share(&e->flow[KEY_PROTECTED][u], s.protected * protected * e->time);
	return out;
}

/* The most a share may be at this update: it rises by a fifth, so that an average that is wrong
 * after a lull does no harm. Who fits into its part as a whole takes nothing that is due to
 * others, as far as it is known: its share is 1 at once, or a small key that is new beside a large
 * one would wait long for what nobody else may have. */
static double may_be(const struct key *e, int kind)
{
	return e->fits ? 1 : smaller(1, larger(e->share[kind], LEAST_SHARE) * RISE);
}

/* The shares at this update, as far as the units other than `not` say. */
static struct shares shares_of(const struct keys *k, const struct key *e, const struct keys_goal *g,
			       const struct levels *l, int not )
{
	struct shares s = {{1, 1}};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		if (u == not )
			continue;
		struct shares a = allows(k, e, g, l, u);
		for (int i = 0; i < KEY_KINDS; i++)
			s.of[i] = smaller(s.of[i], a.of[i]);
	}
	for (int i = 0; i < KEY_KINDS; i++)
		s.of[i] = smaller(larger(s.of[i], LEAST_SHARE), may_be(e, i));
	return s;
}

/* What a key wants of a unit with these shares. */
static double wants(const struct keys *k, const struct key *e, const struct keys_goal *g,
		    const struct shares *s, int u)
{
	double rate = 0;
	for (int i = 0; i < KEY_KINDS; i++)
		rate += s->of[i] >= 1 || e->rate[i][u] <= 0
			    ? e->rate[i][u]
			    : flow_at(&e->flow[i][u], s->of[i]) / e->time;
	return smaller(rate, each_goal(k, e, g, u));
}

/* Of the reserve each key has the same part by weight, and what one leaves is for the others. */
static double reserve_level(struct keys *k, const struct keys_goal *g, int u)
{
	unsigned n = 0;
	if (!(g->reserve[u] > 0))
		return 0;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		const struct key *e = &k->entries[i];
		double volume = smaller(e->rate[KEY_PROTECTED][u], each_goal(k, e, g, u));
		if (volume > 0)
			k->claims[n++] = (struct claim){.volume = volume, .weight = e->weight};
	}
	return fill_level(k->claims, n, smaller(g->reserve[u], g->node[u]));
}

/* The level of one unit, when the other one's is known. `all`: as if each share could be 1. */
static double goal_level(struct keys *k, const struct keys_goal *g, const struct levels *l, int u,
			 bool all)
{
	unsigned n = 0;
	if (isinf(g->node[u]))
		return INFINITY;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		const struct key *e = &k->entries[i];
		struct shares s = all ? (struct shares){{1, 1}} : shares_of(k, e, g, l, u);
		double volume = wants(k, e, g, &s, u);
		if (volume > 0)
			k->claims[n++] = (struct claim){.volume = volume,
							.weight = e->weight,
							.least = smaller(volume, drawn(e, l, u))};
	}
	return fill_level(k->claims, n, g->node[u]);
}

/* Who fits: at the level of all that is offered, the lowest there can be. What a key offers is
 * known only when it was there for the whole time since the last update: keys_decay(). */
static void see_who_fits(struct keys *k, const struct keys_goal *g, const struct levels *reserve)
{
	struct levels l = *reserve;
	for (int u = 0; u < BUDGET_UNITS; u++)
		l.goal[u] = goal_level(k, g, &l, u, true);
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		struct key *e = &k->entries[i];
		for (int u = 0; u < BUDGET_UNITS; u++)
			e->fits = e->fits && rate_of(e, u) <= part_of(k, e, g, &l, u);
	}
}

/* A new key begins with the lowest share there is, and not above goal / offered (reference 3). */
static void set_start(struct keys *k, const struct keys_goal *g, const double offered[BUDGET_UNITS])
{
	for (int i = 0; i < KEY_KINDS; i++) {
		k->start[i] = 1;
		for (uint32_t at = keys_first(k); at < keys_end(k); at = keys_next(k, at))
			if (k->entries[at].rate[i][BUDGET_SPANS] > 0)
				k->start[i] = smaller(k->start[i], k->entries[at].share[i]);
	}
	for (int u = 0; u < BUDGET_UNITS; u++)
		if (offered[u] > g->node[u])
			k->start[KEY_NORMAL] = smaller(
			    k->start[KEY_NORMAL], larger(LEAST_SHARE, g->node[u] / offered[u]));
}

void keys_share(struct keys *k, const struct keys_goal *goal)
{
	struct keys_goal g = *goal;
	double offered[BUDGET_UNITS] = {0};
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		set_rates(&k->entries[i]);
		for (int u = 0; u < BUDGET_UNITS; u++)
			offered[u] += rate_of(&k->entries[i], u);
	}
	if (g.offered > 0)
		g.node[BUDGET_SPANS] =
		    smaller(g.node[BUDGET_SPANS], g.offered * offered[BUDGET_SPANS]);
	struct levels l = {.goal = {INFINITY, INFINITY}};
	for (int u = 0; u < BUDGET_UNITS; u++)
		l.reserve[u] = reserve_level(k, &g, u);
	see_who_fits(k, &g, &l);
	/* The tighter unit sets a key's share; what it leaves of the other is for the rest. */
	l.goal[BUDGET_SPANS] = goal_level(k, &g, &l, BUDGET_SPANS, false);
	l.goal[BUDGET_BYTES] = goal_level(k, &g, &l, BUDGET_BYTES, false);
	if (!isinf(l.goal[BUDGET_BYTES]))
		l.goal[BUDGET_SPANS] = goal_level(k, &g, &l, BUDGET_SPANS, false);
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		struct key *e = &k->entries[i];
		struct shares s = shares_of(k, e, &g, &l, BUDGET_UNITS);
		memcpy(e->share, s.of, sizeof(e->share));
	}
	set_start(k, &g, offered);
}

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
	*k = (struct keys){.max = max, .mask = places - 1, .start = 1};
	k->entries = calloc(max + KEYS_CLASSES, sizeof(*k->entries));
	k->index = calloc(places, sizeof(*k->index));
	k->claims = calloc(max + KEYS_CLASSES, sizeof(*k->claims));
	if (k->entries == NULL || k->index == NULL || k->claims == NULL) {
		keys_finish(k);
		return -ENOMEM;
	}
	for (uint32_t c = 0; c < KEYS_CLASSES; c++)
		k->entries[max + c] = (struct key){.key = c, .share = 1, .weight = 1};
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
	*e = (struct key){.key = key, .share = k->start, .weight = 1};
	memcpy(e->level, k->full, sizeof(e->level));
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

void keys_count(struct keys *k, uint32_t at, uint64_t key, const double volume[BUDGET_UNITS],
		double arrived)
{
	for (int u = 0; u < BUDGET_UNITS; u++)
		flow_add(&k->entries[at].flow[u], volume[u], arrived);
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

void keys_decay(struct keys *k, double factor)
{
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i))
		for (int u = 0; u < BUDGET_UNITS; u++)
			flow_scale(&k->entries[i].flow[u], factor);
	for (uint32_t c = 0; c < KEYS_CLASSES; c++)
		k->challenger[c].volume *= factor;
}

static double spans_of(const struct key *e)
{
	return flow_at(&e->flow[BUDGET_SPANS], 1);
}

static void reindex(struct keys *k)
{
	memset(k->index, 0, ((size_t)k->mask + 1) * sizeof(*k->index));
	for (uint32_t i = 0; i < k->n; i++)
		k->index[place_of(k, k->entries[i].key)] = i + 1;
}

/* What it was counted for in its class goes with the challenger, in proportion; what the entry had
 * goes to the class that its key falls in now. */
static void replace(struct keys *k, struct key *e, struct key *class, uint64_t key, double volume)
{
	struct key *home = &k->entries[class_of(k, e->key)];
	for (int u = 0; u < BUDGET_UNITS; u++)
		flow_join(&home->flow[u], &e->flow[u]);
	double part = fmin(1, volume / spans_of(class));
	*e = (struct key){.key = key, .weight = 1, .share = fmin(k->start, class->share)};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		e->flow[u] = class->flow[u];
		flow_scale(&e->flow[u], part);
		flow_scale(&class->flow[u], 1 - part);
		e->level[u] = fmin(class->level[u], k->full[u]);
	}
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
			if (spans_of(&k->entries[i]) < spans_of(least))
				least = &k->entries[i];
		/* By a quarter: two that are alike must not take turns. */
		if (volume <= 1.25 * spans_of(least))
			continue;
		replace(k, least, &k->entries[k->max + c], k->challenger[c].key, volume);
		k->challenger[c].volume = 0;
		changed = true;
	}
	if (changed)
		reindex(k);
}

/* ---- sharing ---- */

/* The most that a key may have of a unit: its own goal, more or less by what its bucket holds. */
static double each_goal(const struct keys *k, const struct key *e, const struct keys_goal *g, int u)
{
	double goal = g->each[u];
	if (isinf(goal))
		return goal;
	double off = (e->level[u] - k->full[u] / 2) / g->feedback_s;
	return goal + fmax(-goal / 2, fmin(goal / 2, off));
}

/* What a key may have at the next update: what it cannot use flows to the others. */
static double risen(const struct key *e)
{
	return fmin(1, fmax(e->share, LEAST_SHARE) * RISE);
}

/* What a key wants of a unit when the other unit allows it the share `p`. */
static double wants(const struct keys *k, const struct key *e, const struct keys_goal *g, int u,
		    double p, double time)
{
	return fmin(flow_at(&e->flow[u], p) / time, each_goal(k, e, g, u));
}

/* The share that one unit gives a key at a level. */
static double allows(const struct keys *k, const struct key *e, const struct keys_goal *g, int u,
		     double level, double time)
{
	double most = fmin(level * e->weight, each_goal(k, e, g, u));
	if (flow_at(&e->flow[u], 1) <= most * time)
		return 1;
	return flow_share(&e->flow[u], most * time);
}

static double level_of(struct keys *k, const struct keys_goal *g, int u, double other_level,
		       double time)
{
	unsigned n = 0;
	if (isinf(g->node[u]))
		return INFINITY;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		const struct key *e = &k->entries[i];
		double p = fmin(allows(k, e, g, !u, other_level, time), risen(e));
		double volume = wants(k, e, g, u, p, time);
		if (volume > 0)
			k->claims[n++] = (struct claim){volume, e->weight};
	}
	return fill_level(k->claims, n, g->node[u]);
}

void keys_share(struct keys *k, const struct keys_goal *g, double time)
{
	/* The tighter unit sets a key's share; what it leaves of the other is for the rest. */
	double spans = level_of(k, g, BUDGET_SPANS, INFINITY, time);
	double bytes = level_of(k, g, BUDGET_BYTES, spans, time);
	if (!isinf(bytes))
		spans = level_of(k, g, BUDGET_SPANS, bytes, time);
	double offered[BUDGET_UNITS] = {0}, lowest = 1;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		struct key *e = &k->entries[i];
		double p = fmin(allows(k, e, g, BUDGET_SPANS, spans, time),
				allows(k, e, g, BUDGET_BYTES, bytes, time));
		e->share = fmin(fmax(p, LEAST_SHARE), risen(e));
		for (int u = 0; u < BUDGET_UNITS; u++)
			offered[u] += flow_at(&e->flow[u], 1) / time;
		if (flow_at(&e->flow[BUDGET_SPANS], 1) > 0)
			lowest = fmin(lowest, e->share);
	}
	k->start = lowest;
	for (int u = 0; u < BUDGET_UNITS; u++)
		if (offered[u] > g->node[u])
			k->start = fmin(k->start, fmax(LEAST_SHARE, g->node[u] / offered[u]));
}

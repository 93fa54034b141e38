/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/budget_cut.h"

#include <math.h>
#include <stdlib.h>

#include "pipeline/budget_fill.h"
#include "wire/tracestate.h"

struct tally {
	double sum[BUDGET_UNITS], largest[BUDGET_UNITS];
	unsigned n;
};

/* By class: normal, protected. */
static void tally(struct tally t[2], struct cut_item *const *items, unsigned n)
{
	t[0] = t[1] = (struct tally){0};
	for (unsigned i = 0; i < n; i++) {
		const struct cut_item *c = items[i];
		if (c->verdict != BUDGET_KEEP)
			continue;
		struct tally *of = &t[c->protected];
		of->n++;
		for (int u = 0; u < BUDGET_UNITS; u++) {
			of->sum[u] += c->amount[u];
			of->largest[u] = fmax(of->largest[u], c->amount[u]);
		}
	}
}

static bool fits(const double amount[BUDGET_UNITS], const double pool[BUDGET_UNITS])
{
	return amount[BUDGET_SPANS] <= pool[BUDGET_SPANS] &&
	       amount[BUDGET_BYTES] <= pool[BUDGET_BYTES];
}

/* The protected ones are paid from the reserve, and the others compete for what is not in it. */
static bool reserve_suffices(const struct gate *g, const struct tally *protected)
{
	for (int u = 0; u < BUDGET_UNITS; u++)
		if (!isinf(g->all[u]) && protected->sum[u] > g->all[u] - g->main[u])
			return false;
	return true;
}

static void set_class(struct cut_item **items, unsigned n, int class, enum budget_verdict v)
{
	for (unsigned i = 0; i < n; i++)
		if (items[i]->protected == (class != 0) && items[i]->verdict == BUDGET_KEEP) {
			items[i]->verdict = v;
			if (v == BUDGET_OVER)
				items[i]->threshold = THRESHOLD_NEVER;
		}
}

/* What must be in a bucket before it is spent. */
static double enough(double sum, double largest, double full)
{
	return fmax(largest, fmin(fmin(sum, 2 * largest), full));
}

void gate_ready(const struct gate *g, struct cut_item **items, unsigned n)
{
	struct tally t[2];
	tally(t, items, n);
	for (int class = 0; class < 2; class ++)
		if (!fits(t[class].largest, g->month[class])) {
			set_class(items, n, class, BUDGET_OVER);
			t[class] = (struct tally){0};
		}
	double need[BUDGET_UNITS];
	for (int u = 0; u < BUDGET_UNITS; u++)
		need[u] = enough(t[0].sum[u], t[0].largest[u], g->full_main[u]);
	if (reserve_suffices(g, &t[1])) {
		if (!fits(need, g->main))
			set_class(items, n, 0, BUDGET_WAIT);
		return;
	}
	for (int u = 0; u < BUDGET_UNITS; u++)
		need[u] = enough(t[0].sum[u] + t[1].sum[u], fmax(t[0].largest[u], t[1].largest[u]),
				 g->full_all[u]);
	if (!fits(need, g->all)) {
		set_class(items, n, 0, BUDGET_WAIT);
		set_class(items, n, 1, BUDGET_WAIT);
	}
}

/* ---- ranking ---- */

static uint64_t kept_mass(const struct cut_item *c)
{
	return THRESHOLD_NEVER - c->threshold; /* 2^56 - T */
}

/* 1 - r, in units of 2^56 - T: at least 1. */
static uint64_t depth(const struct cut_item *c)
{
	return THRESHOLD_NEVER - c->candidate->randomness;
}

static void set_rank(struct cut_item *c, double weight)
{
	uint64_t r = (uint64_t)(((unsigned __int128)depth(c) << 62) / kept_mass(c));
	c->weight = weight;
	c->rank = weight > 1 ? (uint64_t)((double)r / weight) : r;
}

static int by_rank(const void *a, const void *b)
{
	const struct cut_item *x = *(struct cut_item *const *)a, *y = *(struct cut_item *const *)b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	unsigned __int128 l = (unsigned __int128)depth(x) * kept_mass(y);
	unsigned __int128 r = (unsigned __int128)depth(y) * kept_mass(x);
	return (l > r) - (l < r);
}

/* T raised to just above the first that was cut. */
static uint64_t raised(const struct cut_item *c, const struct cut_item *first)
{
	uint64_t mass = kept_mass(c);
	if (c->weight == first->weight) {
		unsigned __int128 above = first->candidate->randomness - first->threshold;
		return c->threshold + (uint64_t)(above * mass / kept_mass(first)) + 1;
	}
	double share = (double)depth(first) / (double)kept_mass(first) / first->weight * c->weight;
	if (share >= 1)
		return c->threshold;
	uint64_t t = c->threshold + (uint64_t)((1 - share) * (double)mass) + 1;
	return t < THRESHOLD_NEVER ? t : THRESHOLD_NEVER;
}

/* The weights at which protected ones are given, as far as sizes tell, their reserve first. */
static double protected_weight(const struct gate *g, const struct tally t[2])
{
	double weight = 1, tightest = INFINITY;
	for (int u = 0; u < BUDGET_UNITS; u++) {
		double wanted = t[0].sum[u] + t[1].sum[u];
		if (wanted <= g->all[u] || g->all[u] / wanted >= tightest)
			continue;
		tightest = g->all[u] / wanted;
		struct split s = fill_split(t[1].sum[u], t[0].sum[u], g->all[u],
					    g->all[u] - g->main[u], g->weight);
		weight = t[0].n == 0 ? 1 : s.protected / fmax(s.normal, 1e-6);
	}
	return fmax(1, weight);
}

/* Spends `pool` on the m items from the top of the ranks. */
static void spend(struct cut_item **items, unsigned m, const double pool[BUDGET_UNITS])
{
	double spent[BUDGET_UNITS] = {0};
	unsigned kept = 0;
	qsort(items, m, sizeof(struct cut_item *), by_rank);
	for (; kept < m; kept++) {
		for (int u = 0; u < BUDGET_UNITS; u++)
			spent[u] += items[kept]->amount[u];
		if (!fits(spent, pool))
			break;
	}
	if (kept == m)
		return;
	const struct cut_item first = *items[kept];
	for (unsigned i = 0; i < m; i++) {
		struct cut_item *c = items[i];
		uint64_t r = c->candidate->randomness;
		c->threshold = raised(c, &first);
		/* Across weights a rounding may put the first's equals above it. */
		if (i >= kept && c->threshold <= r)
			c->threshold = r + 1;
		/* Equal ranks go together: what is kept is what the threshold says. */
		if (r < c->threshold)
			c->verdict = BUDGET_OVER;
	}
}

void gate_cut(const struct gate *g, struct cut_item **items, unsigned n)
{
	struct tally t[2];
	tally(t, items, n);
	bool apart = reserve_suffices(g, &t[1]) && fits(t[0].largest, g->main);
	double both[BUDGET_UNITS];
	for (int u = 0; u < BUDGET_UNITS; u++)
		both[u] = t[0].sum[u] + t[1].sum[u];
	if (apart ? fits(t[0].sum, g->main) : fits(both, g->all))
		return;
	double weight = apart ? 1 : protected_weight(g, t);
	unsigned m = 0;
	for (unsigned i = 0; i < n; i++) {
		struct cut_item *c = items[i];
		if (c->verdict != BUDGET_KEEP || (apart && c->protected))
			continue;
		set_rank(c, c->protected ? weight : 1);
		items[i] = items[m];
		items[m++] = c;
	}
	spend(items, m, apart ? g->main : g->all);
}

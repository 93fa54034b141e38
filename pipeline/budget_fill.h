/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget_fill.h - the arithmetic of sharing: water-filling, and volumes that arrive
 * sampled. Pure functions. Source: reference sampling-and-budgets 5.1 and 5.3. */
#ifndef PIPELINE_BUDGET_FILL_H
#define PIPELINE_BUDGET_FILL_H

/* fmin() and fmax() of numbers that are no NaN; those are calls. */
static inline double smaller(double a, double b)
{
	return a < b ? a : b;
}

static inline double larger(double a, double b)
{
	return a > b ? a : b;
}

/* A volume by the share that its source kept: what arrives, and what that stands for (volume by
 * share). A probability p keeps min(1, p / share) of it, so with p much can be lost or nothing.
 * Classes are by powers of four; within one all is taken to have the mean share. */
enum { FLOW_CLASSES = 6 };
struct flow {
	double volume[FLOW_CLASSES];
	double whole[FLOW_CLASSES];
};

/* No sum gets above it, whatever a `th` that came with a span claims: it is what budget_load()
 * takes for sound. */
static const double FLOW_MOST = 1e24;

void flow_add(struct flow *f, double volume, double arrived);
void flow_scale(struct flow *f, double factor);
void flow_join(struct flow *f, const struct flow *other);
double flow_sum(const struct flow *f);                  /* all of it */
double flow_at(const struct flow *f, double p);         /* how much of it p keeps */
double flow_share(const struct flow *f, double volume); /* the p that keeps so much; at most 1 */

/* One that wants a part of the goal. `least`, at most its volume, it has in any case. */
struct claim {
	double volume, weight, least;
};

/* The level L at which the sum of max(least, min(volume, weight * L)) is the goal; INFINITY when
 * all fit in it. Reorders the claims. */
double fill_level(struct claim *claims, unsigned n, double goal);

/* Protected spans draw their reserve first; what is beyond it competes at a weight: it is kept with
 * min(1, weight * normal), when normal is what the others are kept with. */
struct split {
	double protected, normal; /* shares kept */
};
struct split fill_split(double protected, double normal, double goal, double reserve,
			double weight);

#endif

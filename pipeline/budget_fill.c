/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/budget_fill.h"

#include <math.h>
#include <stdlib.h>

static unsigned class_of(double arrived)
{
	unsigned c = 0;
	double least = 1;
	while (c + 1 < FLOW_CLASSES && arrived < least) {
		least /= 4;
		c++;
	}
	return c;
}

void flow_add(struct flow *f, double volume, double arrived)
{
	unsigned c = class_of(arrived);
	f->volume[c] = fmin(FLOW_MOST, f->volume[c] + volume);
	f->whole[c] = fmin(FLOW_MOST, f->whole[c] + volume / arrived);
}

void flow_scale(struct flow *f, double factor)
{
	for (unsigned c = 0; c < FLOW_CLASSES; c++) {
		f->volume[c] *= factor;
		f->whole[c] *= factor;
	}
}

void flow_join(struct flow *f, const struct flow *other)
{
	for (unsigned c = 0; c < FLOW_CLASSES; c++) {
		f->volume[c] = fmin(FLOW_MOST, f->volume[c] + other->volume[c]);
		f->whole[c] = fmin(FLOW_MOST, f->whole[c] + other->whole[c]);
	}
}

double flow_sum(const struct flow *f)
{
	double sum = 0;
	for (unsigned c = 0; c < FLOW_CLASSES; c++)
		sum += f->volume[c];
	return sum;
}

double flow_at(const struct flow *f, double p)
{
	double sum = 0;
	for (unsigned c = 0; c < FLOW_CLASSES; c++)
		sum += smaller(f->volume[c], p * f->whole[c]);
	return sum;
}

/* flow_at() rises with p in straight pieces; they meet where a class is kept whole. */
double flow_share(const struct flow *f, double volume)
{
	double low = 0, high = 1;
	for (unsigned c = 0; c < FLOW_CLASSES; c++) {
		double edge = f->whole[c] > 0 ? f->volume[c] / f->whole[c] : 0;
		if (edge > low && edge < high) {
			if (flow_at(f, edge) <= volume)
				low = edge;
			else
				high = edge;
		}
	}
	double at_low = flow_at(f, low), at_high = flow_at(f, high);
	if (volume >= at_high)
		return high;
	return low + (high - low) * (volume - at_low) / (at_high - at_low);
}

static int by_need(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	double l = x->volume * y->weight, r = y->volume * x->weight;
	return (l > r) - (l < r);
}

static void swap(struct claim *a, struct claim *b)
{
	struct claim was = *a;
	*a = *b;
	*b = was;
}

/* Who wants less than the level of all takes that, and the level of those left rises. It takes a
 * few rounds; a sort ends it where volumes are such that each lets go but one. */
static double plain_level(struct claim *claims, unsigned n, double goal)
{
	double weight = 0, wanted = 0;
	for (unsigned i = 0; i < n; i++) {
		weight += claims[i].weight;
		wanted += claims[i].volume;
	}
	if (wanted <= goal)
		return INFINITY;
	if (goal <= 0)
		return 0;
	for (unsigned round = 0; round < 32 && n > 0; round++) {
		double level = larger(goal, 0) / weight, rest = 0;
		unsigned left = 0;
		for (unsigned i = 0; i < n; i++) {
			if (claims[i].volume > level * claims[i].weight) {
				rest += claims[i].weight;
				swap(&claims[left++], &claims[i]);
				continue;
			}
			goal -= claims[i].volume;
		}
		if (left == n)
			return level;
		n = left;
		weight = rest;
	}
	qsort(claims, n, sizeof(*claims), by_need);
	for (unsigned i = 0; i < n; i++) {
		if (claims[i].volume * weight > goal * claims[i].weight)
			return goal / weight;
		goal -= claims[i].volume;
		weight -= claims[i].weight;
	}
	return INFINITY; /* all fit but for a rounding */
}

/* Those whose `least` is above the level take that, and the level of the others falls: never does
 * one come back. */
double fill_level(struct claim *claims, unsigned n, double goal)
{
	for (;;) {
		double level = plain_level(claims, n, goal);
		unsigned left = 0;
		for (unsigned i = 0; i < n; i++) {
			if (claims[i].least > claims[i].weight * level)
				goal -= claims[i].least;
			else
				claims[left++] = claims[i];
		}
		if (left == n)
			return level;
		n = left;
	}
}

struct split fill_split(double protected, double normal, double goal, double reserve, double weight)
{
	if (protected + normal <= goal)
		return (struct split){1, 1};
	goal = fmax(goal, 0);
	double drawn = fmin(fmin(protected, reserve), goal), rest = protected - drawn;
	double left = goal - drawn, q = left / (weight * rest + normal);
	if (weight * q > 1)
		q = normal > 0 ? (left - rest) / normal : 1;
	double first = protected > 0 ? drawn / protected : 1;
	return (struct split){first + (1 - first) * fmin(1, weight * q), fmin(1, q)};
}

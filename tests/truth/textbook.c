/* SPDX-License-Identifier: Apache-2.0 */
#include "truth/textbook.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKBACK = 30 };

struct textbook {
	enum textbook_kind kind;
	double goal, next_s, interval_s;
	unsigned keys, slot;
	double *now;    /* of this interval */
	double *counts; /* averaged, or of the lookback */
	double *rate;   /* 0: not known yet */
	double *ring[LOOKBACK];
};

struct textbook *textbook_create(enum textbook_kind kind, double goal_per_second, unsigned keys)
{
	struct textbook *t = calloc(1, sizeof(*t));
	*t = (struct textbook){.kind = kind, .goal = goal_per_second, .keys = keys};
	t->interval_s = kind == TEXTBOOK_EMA ? 15 : 1;
	t->next_s = t->interval_s;
	t->now = calloc(keys, sizeof(double));
	t->counts = calloc(keys, sizeof(double));
	t->rate = calloc(keys, sizeof(double));
	for (unsigned i = 0; i < LOOKBACK && kind == TEXTBOOK_WINDOWED; i++)
		t->ring[i] = calloc(keys, sizeof(double));
	return t;
}

void textbook_destroy(struct textbook *t)
{
	for (unsigned i = 0; i < LOOKBACK; i++)
		free(t->ring[i]);
	free(t->now);
	free(t->counts);
	free(t->rate);
	free(t);
}

double textbook_offer(struct textbook *t, unsigned key, double spans)
{
	t->now[key] += spans;
	return t->rate[key] > 0 ? t->rate[key] : 1;
}

static void ema_update(struct textbook *t)
{
	double logs = 0, surplus = 0;
	for (unsigned i = 0; i < t->keys; i++) {
		t->counts[i] = 0.5 * t->counts[i] + 0.5 * t->now[i];
		if (t->counts[i] >= 0.5)
			logs += log10(fmax(10, t->counts[i]));
	}
	for (unsigned i = 0; i < t->keys; i++) {
		double n = t->counts[i];
		t->rate[i] = 0;
		if (n < 0.5)
			continue;
		double part = t->goal * t->interval_s * log10(fmax(10, n)) / logs + surplus;
		t->rate[i] = n <= part ? 1 : ceil(n / fmax(1, part));
		surplus = part - n / t->rate[i];
	}
}

static void windowed_update(struct textbook *t)
{
	unsigned active = 0;
	for (unsigned i = 0; i < t->keys; i++) {
		t->counts[i] += t->now[i] - t->ring[t->slot][i];
		t->ring[t->slot][i] = t->now[i];
		active += t->counts[i] > 0;
	}
	t->slot = (t->slot + 1) % LOOKBACK;
	for (unsigned i = 0; i < t->keys; i++)
		t->rate[i] = fmax(1, floor(t->counts[i] / (t->goal * LOOKBACK / active)));
}

void textbook_tick(struct textbook *t, double now_s)
{
	if (now_s < t->next_s)
		return;
	t->next_s += t->interval_s;
	if (t->kind == TEXTBOOK_EMA)
		ema_update(t);
	else
		windowed_update(t);
	memset(t->now, 0, t->keys * sizeof(double));
}

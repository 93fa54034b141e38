/* SPDX-License-Identifier: Apache-2.0
 * Three ends of a month at a pace, with days, nights and weekends that offer too little. Six
 * seconds are one tick here, and soft control is slower by the same factor, 60. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "truth/sim.h"
#include "wire/tracestate.h"

enum { TICK_S = 6, SLOWER = 60, DAYS = 80, LARGEST = 20, MOST = 65536 };
static const double LIMIT = 3e7, MEAN_RATE = 3e7 / (30 * 86400.0);

struct run {
	struct budget *b;
	struct random random;
	struct budget_now now;
	struct budget_candidate list[MOST];
	size_t waiting;
};

static double offered_rate(uint64_t unix_ms)
{
	double day = (double)unix_ms / 86400000, hour = fmod(day, 1);
	double weekend = fmod(day, 7) < 2 ? 0.6 : 1;
	return 3 * MEAN_RATE * weekend * (1 + 0.7 * sin(6.283185307 * hour));
}

/* A weekend begins or ends with a step: two windows are not judged. */
static bool is_step(uint64_t unix_ms)
{
	uint64_t hour = unix_ms / 3600000 % (7 * 24ull);
	return hour / 24 % 2 == 0 && hour / 24 < 4 && hour % 24 < 2;
}

static void offer(struct run *r, struct month_result *m, double *offered)
{
	static const double sizes[] = {1, 5, LARGEST};
	double rate = offered_rate(r->now.unix_ms) * 3 / 26;
	unsigned n = random_poisson(&r->random, rate * TICK_S);
	for (unsigned i = 0; i < n; i++) {
		struct budget_offer o = {.own = 1, .arrived = 1};
		o.spans = sizes[random_next(&r->random) % 3];
		o.bytes = 400 * o.spans;
		o.path.keys[0] = (1 + random_next(&r->random) % 10) * 0x9e3779b97f4a7c15;
		uint64_t t = budget_offer(r->b, &o), x = random_next(&r->random) >> 8;
		m->truth += o.spans;
		*offered += o.spans;
		if (x < t || r->waiting == MOST)
			continue;
		r->list[r->waiting++] = (struct budget_candidate){.path = o.path,
								  .randomness = x,
								  .threshold = t,
								  .spans = o.spans,
								  .bytes = o.bytes};
	}
}

static double tick(struct run *r, struct month_result *m)
{
	double emitted = 0;
	size_t left = 0;
	r->now.mono_ms += (uint64_t)TICK_S * 1000;
	r->now.unix_ms += (uint64_t)TICK_S * 1000;
	budget_tick(r->b, r->now, r->list, r->waiting);
	for (size_t i = 0; i < r->waiting; i++) {
		const struct budget_candidate *c = &r->list[i];
		if (c->verdict == BUDGET_WAIT)
			r->list[left++] = *c;
		if (c->verdict != BUDGET_KEEP)
			continue;
		emitted += c->spans;
		m->estimate += c->spans / threshold_share(c->threshold);
	}
	r->waiting = left;
	return emitted;
}

/* Windows of 60 times 60 s; those in which less was offered than the pace are left out. */
void sim_months(struct month_result *m)
{
	static struct run r;
	r = (struct run){.random = {77}, .now = {1000, 1768003200000}}; /* 2026-01-10 */
	struct budget_node_options n = {.name = "total", .parent = BUDGET_ROOT, .key_fields = 1};
	n.limit[BUDGET_SPANS].per_month = LIMIT;
	n.burst_s = 2 * SLOWER;
	struct budget_options o = {.nodes = &n, .n_nodes = 1, .largest = {LARGEST, 400 * LARGEST}};
	o.update_s = SLOWER;
	o.average_s = 10 * SLOWER;
	const char *reason;
	unsigned node;
	*m = (struct month_result){0};
	if (budget_create(&r.b, &o, r.now, &reason, &node) != 0)
		exit(1);
	double used = 0, paced = 0, emitted = 0;
	bool short_of = false;
	for (unsigned i = 1; i <= DAYS * 86400 / TICK_S; i++) {
		struct budget_report report;
		double come = 0;
		offer(&r, m, &come);
		double left = tick(&r, m);
		budget_report(r.b, 0, &report);
		if (report.unit[BUDGET_SPANS].month_used < used && m->months < SIM_MONTHS)
			m->used[m->months++] = used / LIMIT;
		used = report.unit[BUDGET_SPANS].month_used;
		paced += report.unit[BUDGET_SPANS].goal * TICK_S;
		short_of |=
		    is_step(r.now.unix_ms) || come < report.unit[BUDGET_SPANS].goal * TICK_S;
		emitted += left;
		if (i % (60 * SLOWER / TICK_S) != 0)
			continue;
		if (!short_of && m->windows < SIM_WINDOWS && i > 120 * SLOWER / TICK_S)
			m->off[m->windows++] = emitted / paced - 1;
		paced = emitted = 0;
		short_of = false;
	}
	budget_destroy(r.b);
}

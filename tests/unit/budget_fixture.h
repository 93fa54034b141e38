/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/budget_fixture.h - a budget in simulated time, and traffic for it. */
#ifndef TESTS_UNIT_BUDGET_FIXTURE_H
#define TESTS_UNIT_BUDGET_FIXTURE_H

#include <math.h>

#include "pipeline/budget.h"
#include "wire/tracestate.h"

static uint64_t seed = 1;
static struct budget_now now;

static inline uint64_t random_next(void) /* splitmix64 */
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline struct budget *make_of(const struct budget_node_options *n, unsigned count,
				     double largest)
{
	struct budget_options o = {
	    .nodes = n, .n_nodes = count, .largest = {largest, 1000 * largest}, .hash_key = {5, 6}};
	struct budget *b = NULL;
	const char *reason;
	unsigned node;
	int rc = budget_create(&b, &o, now, &reason, &node);
	if (rc != 0)
		printf("node %u: %s\n", node, reason);
	CHECK_EQ(rc, 0);
	return b;
}

static inline void begin(void)
{
	seed = 1;
	now = (struct budget_now){5000, 1767225600000}; /* 2026-01-01 */
}

static inline void pass(double seconds)
{
	now.mono_ms += (uint64_t)(seconds * 1000);
	now.unix_ms += (uint64_t)(seconds * 1000);
}

/* One second of `n` traces of one span and 100 bytes each on a path; what is kept goes to *kept,
 * and what that stands for to *estimate. Candidates that would wait are cut (they hold one span).
 */
struct stream {
	uint16_t node;
	uint64_t key;
	unsigned n;
	bool protected;
	double arrived;
	double kept, estimate;
};
static inline void second(struct budget *b, struct stream *s, unsigned streams)
{
	static struct budget_candidate c[100000];
	static struct stream *of[100000];
	for (int tick = 0; tick < 10; tick++) {
		unsigned m = 0;
		for (unsigned i = 0; i < streams; i++) {
			unsigned n = s[i].n / 10 + (tick < (int)(s[i].n % 10));
			for (unsigned j = 0; j < n; j++) {
				double arrived = s[i].arrived > 0 ? s[i].arrived : 1;
				uint64_t in = threshold_of(arrived);
				uint64_t r =
				    in + (uint64_t)((double)(random_next() >> 8) * arrived);
				struct budget_offer o = {.spans = 1,
							 .bytes = 100,
							 .own = 1,
							 .arrived = arrived,
							 .protected = s[i].protected};
				o.path.node = s[i].node;
				for (int k = 0; k < BUDGET_DEPTH; k++)
					o.path.keys[k] = s[i].key;
				uint64_t t = budget_offer(b, &o);
				t = t > in ? t : in;
				if (r < t)
					continue;
				of[m] = &s[i];
				c[m++] = (struct budget_candidate){.path = o.path,
								   .randomness = r,
								   .threshold = t,
								   .spans = 1,
								   .bytes = 100,
								   .protected = s[i].protected};
			}
		}
		pass(0.1);
		budget_tick(b, now, c, m);
		for (unsigned i = 0; i < m; i++)
			if (c[i].verdict == BUDGET_KEEP) {
				of[i]->kept++;
				of[i]->estimate += 1 / threshold_share(c[i].threshold);
			}
	}
}

static inline void seconds(struct budget *b, struct stream *s, unsigned streams, unsigned n)
{
	for (unsigned i = 0; i < streams; i++)
		s[i].kept = s[i].estimate = 0;
	for (unsigned i = 0; i < n; i++)
		second(b, s, streams);
}

/* Soft control's probability for a path. */
static inline double share_of(const struct budget *b, uint16_t node, uint64_t key, bool protected)
{
	struct budget_offer o = {.own = 1, .arrived = 1, .protected = protected};
	o.path.node = node;
	for (int k = 0; k < BUDGET_DEPTH; k++)
		o.path.keys[k] = key;
	return threshold_share(budget_threshold(b, &o));
}

#endif

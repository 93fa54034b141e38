/* SPDX-License-Identifier: Apache-2.0
 * What a budget costs: each trace is offered, and those that soft control leaves are candidates at
 * the next tick, ten a second. With 1 and 10,000 keys, in one node and in three on the way to the
 * root; 20,000 traces a second in a budget of 2,000. Candidates are made outside of what is
 * measured. Usage: budget [SECONDS]. Prints a line for each. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pipeline/budget.h"
#include "wire/tracestate.h"

enum { TRACES = 2000, TICK_MS = 100, MOST_NODES = 3 }; /* traces a tick */
static const double GOAL = 2000 * 8;                   /* spans, eight a trace */

struct bench {
	struct budget *budget;
	struct budget_now now;
	struct budget_candidate list[TRACES];
	struct budget_offer offers[TRACES];
	uint64_t random;
	unsigned keys, nodes;
	uint64_t offered, candidates, kept;
	uint64_t offer_ns, tick_ns, update_ns, longest_ns, updates;
};

static uint64_t random_next(struct bench *b) /* splitmix64 */
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Each node has the keys and the goal, so that each does all of its work. */
static void make(struct bench *b)
{
	static const char *const names[MOST_NODES] = {"total", "team", "rule"};
	struct budget_node_options n[MOST_NODES] = {0};
	for (unsigned i = 0; i < b->nodes; i++) {
		n[i].name = names[i];
		n[i].parent = i == 0 ? BUDGET_ROOT : (uint16_t)(i - 1);
		n[i].key_fields = 1;
		n[i].max_keys = b->keys;
		n[i].reserve = 0.1;
		n[i].limit[BUDGET_SPANS].per_second = GOAL;
	}
	struct budget_options o = {
	    .nodes = n, .n_nodes = b->nodes, .largest = {1000, 1e6}, .hash_key = {1, 2}};
	const char *reason;
	unsigned node;
	if (budget_create(&b->budget, &o, b->now, &reason, &node) != 0) {
		fprintf(stderr, "budget: %s\n", reason);
		exit(1);
	}
}

static void make_offers(struct bench *b)
{
	for (unsigned i = 0; i < TRACES; i++) {
		struct budget_offer *o = &b->offers[i];
		uint64_t key = (random_next(b) % b->keys + 1) * 0x9e3779b97f4a7c15;
		*o = (struct budget_offer){.path.node = (uint16_t)(b->nodes - 1),
					   .spans = 8,
					   .bytes = 5600,
					   .protected = random_next(b) % 50 == 0,
					   .own = 1,
					   .arrived = 1};
		for (unsigned k = 0; k < BUDGET_DEPTH; k++)
			o->path.keys[k] = key;
	}
}

static unsigned offer(struct bench *b)
{
	unsigned n = 0;
	uint64_t start = cpu_ns();
	for (unsigned i = 0; i < TRACES; i++) {
		const struct budget_offer *o = &b->offers[i];
		uint64_t threshold = budget_offer(b->budget, o), r = random_next(b) >> 8;
		if (r < threshold)
			continue;
		b->list[n++] = (struct budget_candidate){.path = o->path,
							 .randomness = r,
							 .threshold = threshold,
							 .spans = o->spans,
							 .bytes = o->bytes,
							 .protected = o->protected};
	}
	b->offer_ns += cpu_ns() - start;
	b->offered += TRACES;
	return n;
}

/* Soft control is updated at each tenth tick. */
static void tick(struct bench *b, unsigned n, bool update)
{
	uint64_t start = cpu_ns();
	b->now.mono_ms += TICK_MS;
	b->now.unix_ms += TICK_MS;
	budget_tick(b->budget, b->now, b->list, n);
	uint64_t took = cpu_ns() - start;
	for (unsigned i = 0; i < n; i++)
		b->kept += b->list[i].verdict == BUDGET_KEEP;
	if (update) {
		b->updates++;
		b->update_ns += took;
		b->longest_ns = took > b->longest_ns ? took : b->longest_ns;
		return;
	}
	b->candidates += n;
	b->tick_ns += took;
}

static void measure(unsigned keys, unsigned nodes, unsigned seconds)
{
	static struct bench b;
	b = (struct bench){.now = {1000, 1767225600000}, .random = 1, .keys = keys, .nodes = nodes};
	make(&b);
	for (unsigned i = 0; i < 10 * (seconds + 30); i++) {
		if (i == 300) /* as it is in the long run */
			b.offered = b.candidates = b.kept = b.offer_ns = b.tick_ns = b.update_ns =
			    b.updates = b.longest_ns = 0;
		make_offers(&b);
		unsigned n = offer(&b);
		tick(&b, n, i % 10 == 9);
	}
	double offered = (double)b.offered, candidates = (double)b.candidates;
	printf("%6u keys %u deep  offer %6.1f ns  tick %7.1f ns a candidate  update %7.3f ms "
	       "(longest %.3f)  all %6.1f ns a trace  kept %.2f %%\n",
	       keys, nodes, (double)b.offer_ns / offered, (double)b.tick_ns / candidates,
	       (double)b.update_ns / (double)b.updates / 1e6, (double)b.longest_ns / 1e6,
	       (double)(b.offer_ns + b.tick_ns + b.update_ns) / offered,
	       100 * (double)b.kept / offered);
	fflush(stdout);
	budget_destroy(b.budget);
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 60;
	for (unsigned keys = 1; keys <= 10000; keys *= 10000)
		for (unsigned nodes = 1; nodes <= MOST_NODES; nodes += 2)
			measure(keys, nodes, seconds > 0 ? seconds : 1);
	return 0;
}

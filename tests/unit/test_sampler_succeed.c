/* SPDX-License-Identifier: Apache-2.0
 * Another policy takes over in the middle of everything: what was decided stays decided, what was
 * not is decided by the new one, and nothing twice. */
#include "sampler_fixture.h"

static uint64_t pair_in[16]; /* by block */

/* A block of two spans: of traces 2n and 2n + 1. */
static void fill(struct world *w, uint64_t n)
{
	pair_in[w->block + 1] = n;
	BLOCK(w, {.trace = 2 * n, .identity = n}, {.trace = 2 * n + 1, .identity = n});
}

static uint64_t again[16], n_again;
static void on_block(void *ctx, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms)
{
	(void)ctx, (void)unix_ms;
	CHECK(spans == 2 && bytes == 200);
	again[n_again++] = id;
}

/* The same world with a last rule that keeps `share`, all or half (of ours, none); the old policy's
 * rules are `map` today. */
static void change(struct world *w, double share, const uint16_t *map, uint32_t n_map,
		   uint64_t position, uint64_t lost)
{
	struct sampler *old = w->sampler;
	n_again = 0;
	sampler_each_block(old, on_block, NULL);
	w->rules[w->policy.n_rules - 1].share = share;
	w->rules[w->policy.n_rules - 1].threshold = share >= 1 ? 0 : HALF;
	world_sampler(w);
	sampler_succeed(w->sampler, old, map, n_map, position, lost);
	sampler_destroy(old);
	uint64_t block = w->block;
	for (uint64_t i = 0; i < n_again; i++) {
		w->block = again[i] - 1;
		fill(w, pair_in[again[i]]);
	}
	w->block = block;
}

static void test_what_waits_is_judged_by_the_new_policy(void)
{
	struct world w;
	const uint16_t same = 0;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	fill(&w, 1);
	fill(&w, 2);
	change(&w, 1, &same, 1, 0, 0);
	CHECK_EQ(n_again, 2);
	world_pass(&w, w.policy.wait_ms);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 4);
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 4);
	world_end(&w);
}

static void test_what_is_decided_stays_so_and_is_not_counted_again(void)
{
	struct world w;
	const uint16_t same = 0;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	fill(&w, 1);
	world_pass(&w, w.policy.wait_ms / 2);
	fill(&w, 2);
	world_pass(&w, w.policy.wait_ms / 2);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_RULE], 2);
	fill(&w, 1); /* late, and dropped like the others of their traces */
	uint64_t position = w.ruling.position;
	uint64_t dropped = w.report.rules[0].dropped;
	change(&w, 1, &same, 1, position, 0);
	CHECK_EQ(again[0], 2);
	world_pass(&w, w.policy.wait_ms);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 2);
	CHECK_EQ(w.ruling.spans[VERDICT_LATE], 2);
	CHECK_EQ(w.report.rules[0].dropped, dropped);
	CHECK_EQ(w.report.rules[0].kept, 2);
	world_end(&w);
}

static void test_late_spans_follow_what_the_old_policy_decided(void)
{
	struct world w;
	const uint16_t gone = UINT16_MAX;
	world_init(&w);
	world_last(&w, 1);
	world_start(&w);
	fill(&w, 1);
	world_pass(&w, w.policy.wait_ms);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 2);
	change(&w, 0.5, &gone, 1, w.ruling.position, 0);
	fill(&w, 1);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 2);
	CHECK_EQ(w.ruling.n_late, 2);
	world_end(&w);
}

static void test_what_was_lost_is_said_by_the_next_ruling(void)
{
	struct world w;
	const uint16_t same = 0;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	change(&w, 0.5, &same, 1, 0, 7);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_DAMAGED], 7);
	world_end(&w);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_waits_is_judged_by_the_new_policy),
		   TEST(test_what_is_decided_stays_so_and_is_not_counted_again),
		   TEST(test_late_spans_follow_what_the_old_policy_decided),
		   TEST(test_what_was_lost_is_said_by_the_next_ruling));
}

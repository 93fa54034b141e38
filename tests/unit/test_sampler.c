/* SPDX-License-Identifier: Apache-2.0
 * When traces are decided, what is counted of them, and what memory they take. How they are decided
 * is tests/unit/test_sampler_judge.c; what comes late, or after a start, test_sampler_records.c. */
#include "sampler_fixture.h"

static void test_trace_waits_for_root_wait_after_its_root(void)
{
	struct world w;
	world_init(&w);
	world_rule(&w, "slow", "trace.duration > 1h", 1);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .low = HALF});
	world_pass(&w, 5000);
	BLOCK(&w, {.trace = 1, .low = HALF, .flags = NOTICE_ROOT});
	world_pass(&w, 1000);
	BLOCK(&w,
	      {.trace = 1, .low = HALF, .flags = NOTICE_ROOT}); /* a later one changes nothing */
	world_pass(&w, 999);
	CHECK(!world_decide(&w));
	world_pass(&w, 1);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 1);
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_ROOT);
	CHECK_EQ(w.ruling.decisions[0].waited_ms, 7000);
	CHECK_EQ(w.ruling.n_picks, 3);
	world_end(&w);
}

static void test_root_wait_ends_with_the_wait_of_the_first_span(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .low = HALF});
	world_pass(&w, 29000);
	BLOCK(&w, {.trace = 1, .low = HALF, .flags = NOTICE_ROOT});
	world_pass(&w, 999);
	CHECK(!world_decide(&w));
	world_pass(&w, 1);
	CHECK(world_decide(&w));
	world_end(&w);
}

static void test_trace_without_a_root_waits_from_its_first_span(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .low = HALF}, {.trace = 2});
	world_pass(&w, 10000);
	BLOCK(&w, {.trace = 1, .low = HALF});
	world_pass(&w, 19999);
	CHECK(!world_decide(&w));
	world_pass(&w, 1);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 2);
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_WAIT);
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 2);
	CHECK_EQ(w.ruling.spans[VERDICT_RULE], 1);
	CHECK_EQ(w.ruling.bytes[VERDICT_KEPT], 200);
	world_end(&w);
}

static void test_limits_decide_a_trace_before_it_is_due(void)
{
	struct world w;
	struct span s[5] = {0};
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.trace_spans = 3;
	w.policy.trace_bytes = 1000;
	world_start(&w);
	for (int i = 0; i < 5; i++)
		s[i] = (struct span){.trace = 7, .low = HALF};
	world_block(&w, s, 3);
	CHECK(!world_decide(&w)); /* at the limit, not over it */
	world_block(&w, s, 1);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_SPANS);
	CHECK_EQ(w.ruling.decisions[0].spans, 4);
	BLOCK(&w, {.trace = 8, .low = HALF, .bytes = 1000});
	CHECK(!world_decide(&w));
	BLOCK(&w, {.trace = 8, .low = HALF, .bytes = 1});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_BYTES);
	world_end(&w);
}

static void test_what_nothing_can_change_is_decided_at_once(void)
{
	struct world w;
	world_init(&w);
	world_rule(&w, "errors", "any(span.a == 1)", 1);
	world_rule(&w, "health", "any(span.b == 1)", 0);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .bits = {1}}, {.trace = 2, .bits = {2}}, {.trace = 3});
	CHECK(world_decide(&w)); /* the second may still turn out to have errors */
	CHECK_EQ(w.ruling.n_decisions, 1);
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_CERTAIN);
	CHECK_EQ(w.ruling.decisions[0].rule, 0);
	world_end(&w);
	world_init(&w);
	world_rule(&w, "health", "any(span.b == 1)", 0);
	world_start(&w);
	BLOCK(&w, {.trace = 2, .bits = {1}});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_CERTAIN);
	CHECK_EQ(w.ruling.decisions[0].verdict, VERDICT_RULE);
	world_end(&w);
}

static void test_a_share_or_a_budget_is_never_certain(void)
{
	struct world w;
	world_init(&w);
	world_rule(&w, "half", "any(span.a == 1)", 0.5);
	world_last(&w, 1)->node = 0;
	world_node(&w, "total", BUDGET_ROOT, 1000);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .low = HALF, .bits = {1}}, {.trace = 2});
	CHECK(!world_decide(&w));
	world_end(&w);
}

static void test_certain_waits_for_what_its_spans_will_say(void)
{
	struct world w;
	world_init(&w);
	w.sources[0] = (struct policy_source){.condition = world_condition(&w, "any(span.a == 1)"),
					      .share = 0.1};
	w.policy.n_sources = 1;
	world_start(&w);
	BLOCK(&w, {.trace = 1}, {.trace = 2, .bits = {1}});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 1);
	CHECK_EQ(w.ruling.decisions[0].trace_id[7], 2);
	world_end(&w);
}

static void test_span_that_comes_twice_counts_once(void)
{
	struct world w;
	world_init(&w);
	world_rule(&w, "large", "trace.span_count > 2", 1);
	world_last(&w, 0);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .identity = 5}, {.trace = 1, .identity = 5},
	      {.trace = 2, .identity = 5}, {.trace = 1, .identity = 6});
	BLOCK(&w, {.trace = 1, .identity = 6});
	sampler_report(w.sampler, &w.report);
	CHECK_EQ(w.report.spans, 5); /* held until the trace is decided */
	CHECK_EQ(w.report.bytes, 300);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 2);
	CHECK_EQ(w.ruling.spans[VERDICT_RULE], 3);
	CHECK_EQ(w.ruling.spans[VERDICT_DUPLICATE], 2);
	CHECK_EQ(w.ruling.bytes[VERDICT_DUPLICATE], 200);
	world_end(&w);
}

static void test_duplicates_of_a_large_trace_are_found(void)
{
	struct world w;
	struct span s[900];
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	for (uint32_t i = 0; i < 900; i++)
		s[i] = (struct span){.trace = 3, .low = HALF, .identity = (i % 450 + 1) * 77};
	world_block(&w, s, 900);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].spans, 450);
	CHECK_EQ(w.ruling.n_picks, 450);
	for (uint32_t i = 0; i < 450; i++)
		CHECK_EQ(w.ruling.picks[i].at, i); /* the first of both */
	CHECK_EQ(w.ruling.spans[VERDICT_DUPLICATE], 450);
	world_end(&w);
}

static void test_picks_are_in_the_order_of_the_journal(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	for (uint64_t i = 0; i < 3; i++)
		BLOCK(&w, {.trace = 1, .low = HALF}, {.trace = 2, .low = HALF},
		      {.trace = 3, .low = HALF});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 9);
	for (uint32_t i = 0; i < 9; i++) {
		const struct pick *p = &w.ruling.picks[i];
		CHECK(p->block_id == 1 + i / 3 && p->at == i % 3);
		CHECK_EQ(w.ruling.decisions[p->decision].trace_id[7], 1 + i % 3);
	}
	world_end(&w);
}

static void test_spans_that_were_not_noticed_are_damaged_once(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	CHECK_EQ(sampler_block(w.sampler, ++w.block, 300, 30000, w.now.unix_ms), 0);
	world_notice(&w, 10, (struct span[]){{.trace = 1, .low = HALF}}, 1);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_DAMAGED], 299);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_DAMAGED], 0);
	CHECK_EQ(w.ruling.picks[0].at, 10);
	CHECK_EQ(w.ruling.first_held, 2);
	world_end(&w);
}

static void test_blocks_are_held_for_what_is_undecided(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .low = HALF});
	BLOCK(&w, {.trace = 2, .low = HALF, .flags = NOTICE_ROOT});
	world_pass(&w, 2000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.position, 2);
	CHECK_EQ(w.ruling.first_held, 1);
	world_pass(&w, 28000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.first_held, 3);
	CHECK(!world_decide(&w));
	world_end(&w);
}

static void test_more_than_max_bytes_waits_for_the_next_call(void)
{
	struct world w;
	struct span s[10] = {0};
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	for (uint64_t i = 0; i < 10; i++)
		s[i] = (struct span){.trace = i, .low = HALF, .bytes = 1000};
	world_block(&w, s, 10);
	world_pass(&w, 30000);
	size_t all = 0;
	for (int i = 0; i < 5; i++) {
		struct ruling r;
		CHECK_EQ(sampler_decide(w.sampler, 4000, w.chapter++, w.now, &r), 0);
		CHECK_EQ(r.n_decisions, 2); /* the other half is for what a budget decides on */
		all += r.n_picks;
	}
	CHECK_EQ(all, 10);
	world_block(&w, s, 10);
	struct ruling r;
	CHECK_EQ(sampler_decide(w.sampler, 1, w.chapter++, w.now, &r), 0);
	CHECK_EQ(r.n_picks, 10); /* late ones */
	world_end(&w);
}

/* ---- memory ---- */

static void test_short_memory_decides_roots_first_then_large_ones(void)
{
	struct world w;
	struct span s[64] = {0};
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.memory_bytes = 64 * 144;
	world_start(&w);
	for (uint64_t i = 0; i < 64; i++)
		s[i] = (struct span){.trace = i, .low = HALF};
	s[40].flags = NOTICE_ROOT;
	s[50].bytes = 5000;
	s[51].bytes = 6000;
	world_block(&w, s, 64);
	CHECK(!sampler_is_urgent(w.sampler));
	CHECK(!world_decide(&w));
	BLOCK(&w, {.trace = 64, .low = HALF});
	CHECK(sampler_is_urgent(w.sampler));
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].trace_id[7], 40);
	CHECK_EQ(w.ruling.decisions[1].trace_id[7], 51);
	CHECK_EQ(w.ruling.decisions[2].trace_id[7], 50);
	CHECK_EQ(w.ruling.decisions[3].trace_id[7], 0);
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_EVICTION);
	CHECK_EQ(w.ruling.n_decisions, 5); /* to a sixteenth below the limit */
	CHECK(!sampler_is_urgent(w.sampler));
	CHECK_EQ(w.report.triggers[TRIGGER_EVICTION], 5);
	world_end(&w);
}

static void test_short_journal_decides_the_oldest(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.pending_bytes = 500;
	world_start(&w);
	for (uint64_t i = 0; i < 6; i++) {
		BLOCK(&w, {.trace = i, .low = HALF});
		world_pass(&w, 10);
	}
	CHECK(sampler_is_urgent(w.sampler));
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 2);
	CHECK_EQ(w.ruling.decisions[0].trigger, TRIGGER_EVICTION);
	CHECK_EQ(w.ruling.first_held, 3);
	CHECK(!sampler_is_urgent(w.sampler));
	world_end(&w);
}

static void test_stress_begins_and_ends_by_itself(void)
{
	struct world w;
	uint64_t id = 0;
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.memory_bytes = 64 * 144;
	world_start(&w);
	for (int i = 0; i < 102; i++) {
		struct span s[70] = {0};
		for (int j = 0; j < 70; j++)
			s[j] = (struct span){.trace = ++id, .low = HALF};
		world_block(&w, s, 70);
		CHECK_EQ(w.report.stressed, i > 100);
		CHECK(world_decide(&w));
		world_pass(&w, 100);
	}
	CHECK(w.report.stressed);
	BLOCK(&w, {.trace = ++id, .low = HALF});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[w.ruling.n_decisions - 1].trigger, TRIGGER_STRESS);
	world_pass(&w, 30000);
	world_decide(&w);
	world_decide(&w); /* from here on there is room */
	CHECK(w.report.stressed);
	world_pass(&w, 9999);
	world_decide(&w);
	CHECK(w.report.stressed);
	world_pass(&w, 1);
	world_decide(&w);
	CHECK(!w.report.stressed);
	world_end(&w);
}

static void test_trace_and_span_cost_what_is_said(void)
{
	struct world w;
	enum { TRACES = 200000, MORE = 1000 };
	struct span *s = calloc(MORE, sizeof(*s));
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	sampler_report(w.sampler, &w.report);
	uint64_t before = w.report.memory_bytes;
	for (uint64_t i = 0; i < TRACES; i += MORE) {
		for (uint64_t j = 0; j < MORE; j++)
			s[j] = (struct span){.trace = i + j, .low = HALF};
		world_block(&w, s, MORE);
	}
	sampler_report(w.sampler, &w.report);
	uint64_t one = w.report.memory_bytes;
	CHECK((one - before) / TRACES <= 120 + 24);
	for (uint64_t i = 0; i < TRACES; i += MORE) {
		for (uint64_t j = 0; j < MORE; j++)
			s[j] = (struct span){.trace = i + j, .low = HALF};
		world_block(&w, s, MORE);
	}
	sampler_report(w.sampler, &w.report);
	CHECK((w.report.memory_bytes - one) / TRACES <= 25);
	free(s);
	world_end(&w);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_trace_waits_for_root_wait_after_its_root),
		   TEST(test_root_wait_ends_with_the_wait_of_the_first_span),
		   TEST(test_trace_without_a_root_waits_from_its_first_span),
		   TEST(test_limits_decide_a_trace_before_it_is_due),
		   TEST(test_what_nothing_can_change_is_decided_at_once),
		   TEST(test_a_share_or_a_budget_is_never_certain),
		   TEST(test_certain_waits_for_what_its_spans_will_say),
		   TEST(test_span_that_comes_twice_counts_once),
		   TEST(test_duplicates_of_a_large_trace_are_found),
		   TEST(test_picks_are_in_the_order_of_the_journal),
		   TEST(test_spans_that_were_not_noticed_are_damaged_once),
		   TEST(test_blocks_are_held_for_what_is_undecided),
		   TEST(test_more_than_max_bytes_waits_for_the_next_call),
		   TEST(test_short_memory_decides_roots_first_then_large_ones),
		   TEST(test_short_journal_decides_the_oldest),
		   TEST(test_stress_begins_and_ends_by_itself),
		   TEST(test_trace_and_span_cost_what_is_said));
}

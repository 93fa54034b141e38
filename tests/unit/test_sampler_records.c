/* SPDX-License-Identifier: Apache-2.0
 * What was decided: late spans follow it, a start finds it again, and it is forgotten in time. */
#include "sampler_fixture.h"

static struct buf chapter_of(const struct ruling *r, uint64_t unix_ms)
{
	struct buf b = {0};
	CHECK_EQ(chapter_begin(&b, 1, unix_ms), 0);
	for (size_t i = 0; i < r->n_decisions; i++)
		CHECK_EQ(chapter_add(&b, &r->decisions[i]), 0);
	return b;
}

static void remember(struct world *w, uint64_t number, const struct buf *chapter)
{
	CHECK_EQ(sampler_remember(w->sampler, number, buf_slice(chapter), NULL, 0, w->now), 0);
}

static void restart(struct world *w)
{
	sampler_destroy(w->sampler);
	w->block = 0;
	world_sampler(w);
}

static void test_late_span_of_a_dropped_trace_is_dropped(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	world_judge(&w, &(struct span){.trace = 1});
	BLOCK(&w, {.trace = 1}, {.trace = 1, .bytes = 50});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 0);
	CHECK_EQ(w.ruling.spans[VERDICT_LATE], 2);
	CHECK_EQ(w.ruling.bytes[VERDICT_LATE], 150);
	world_end(&w);
}

static void test_late_span_of_a_kept_trace_follows_its_decision(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	w.sources[0] =
	    (struct policy_source){.condition = POLICY_ALWAYS, .hash = true, .share = 0.5};
	w.policy.n_sources = 1;
	world_start(&w);
	struct decision first[64];
	size_t n = 0;
	for (uint64_t i = 0; i < 64; i++)
		BLOCK(&w, {.trace = i});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	for (size_t i = 0; i < 64; i++)
		if (w.ruling.decisions[i].verdict == VERDICT_KEPT)
			first[n++] = w.ruling.decisions[i];
	CHECK(n > 20);
	for (uint64_t i = 0; i < 64; i++)
		BLOCK(&w, {.trace = i, .rv = 1, .flags = NOTICE_RV}); /* changes nothing any more */
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, n);
	CHECK_EQ(w.ruling.n_late, n);
	for (size_t i = 0; i < n; i++) {
		const struct pick *p = &w.ruling.picks[i];
		const struct decision *d = &w.ruling.late[p->decision & ~PICK_LATE];
		CHECK(p->decision & PICK_LATE);
		CHECK_EQ(d->trace_id[7], p->block_id - 65);
		first[i].is_late_only = 1;
		CHECK(memcmp(d, &first[i], sizeof(*d)) == 0);
	}
	world_end(&w);
}

/* Trace 1 is decided, 2 is not, 3 comes late; then all stops before the block of 4 is ruled on. */
static void test_after_a_start_nothing_is_decided_twice_or_lost(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	w.chapter = 5;
	const struct span one[] = {{.trace = 1, .low = HALF, .flags = NOTICE_ROOT},
				   {.trace = 2, .low = HALF},
				   {.trace = 3, .flags = NOTICE_ROOT}};
	const struct span two[] = {{.trace = 3}, {.trace = 1, .low = HALF}};
	world_block(&w, one, 3);
	world_pass(&w, 2000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 2);
	CHECK_EQ(w.ruling.first_held, 1);
	struct buf chapter = chapter_of(&w.ruling, w.now.unix_ms);
	uint64_t position = w.ruling.position;
	restart(&w);
	world_pass(&w, 60000);
	remember(&w, 5, &chapter);
	sampler_restore(w.sampler, position, 4000, w.now);
	w.now.unix_ms -= 62000; /* as of its block */
	CHECK_EQ(sampler_block(w.sampler, ++w.block, 3, 300, w.now.unix_ms), 0);
	w.now.unix_ms += 62000;
	world_notice(&w, 0, one, 3);
	world_block(&w, two, 2);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_LATE], 1);
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 1);
	CHECK_EQ(w.ruling.n_late, 1);
	CHECK_EQ(w.ruling.forget, 5);
	world_pass(&w, 3999);
	CHECK(!world_decide(&w)); /* though the second trace is due for long */
	world_pass(&w, 1);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 1);
	CHECK_EQ(w.ruling.decisions[0].trace_id[7], 2);
	CHECK_EQ(w.ruling.decisions[0].waited_ms, 66000);
	CHECK_EQ(w.ruling.first_held, 3);
	buf_finish(&chapter);
	world_end(&w);
}

static void test_damage_before_the_position_is_not_counted_again(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	sampler_restore(w.sampler, 1, 0, w.now);
	CHECK_EQ(sampler_block(w.sampler, 1, 10, 1000, w.now.unix_ms), 0);
	CHECK_EQ(sampler_block(w.sampler, 2, 10, 1000, w.now.unix_ms), 0);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_DAMAGED], 10);
	world_end(&w);
}

/* A block of three spans is gone; one of them was decided. */
static void test_what_the_account_holds_and_no_block_does_is_damaged(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	sampler_restore(w.sampler, 9, 0, w.now);
	w.block = 9;
	BLOCK(&w, {.trace = 1}, {.trace = 1}, {.trace = 2});
	CHECK_EQ(sampler_reconcile(w.sampler, 5), 2);
	CHECK_EQ(sampler_reconcile(w.sampler, 5), 0);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_DAMAGED], 2);
	world_end(&w);
}

static void test_rules_of_another_policy_are_mapped(void)
{
	struct world w;
	struct sampler_look look;
	const uint16_t map[] = {UINT16_MAX, 0};
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	struct buf chapter = {0};
	CHECK_EQ(chapter_begin(&chapter, 9, w.now.unix_ms), 0);
	for (uint16_t i = 0; i < 3; i++) {
		struct decision d = {.rule = i, .verdict = VERDICT_KEPT};
		put_id(d.trace_id, i, 0);
		CHECK_EQ(chapter_add(&chapter, &d), 0);
	}
	CHECK_EQ(sampler_remember(w.sampler, 1, buf_slice(&chapter), map, 2, w.now), 0);
	for (uint16_t i = 0; i < 3; i++) {
		uint8_t id[16];
		put_id(id, i, 0);
		sampler_look(w.sampler, id, w.now, &look);
		CHECK_EQ(look.decision.rule, i == 1 ? 0 : UINT16_MAX);
	}
	BLOCK(&w, {.trace = 0}, {.trace = 1}); /* late ones of both */
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_late, 2);
	CHECK_EQ(w.report.rules[0].kept_spans, 1);
	buf_finish(&chapter);
	world_end(&w);
}

static void test_damaged_chapter_is_refused_whole(void)
{
	struct world w;
	world_init(&w);
	world_start(&w);
	struct buf chapter = {0};
	struct decision d = {.verdict = VERDICT_KEPT};
	CHECK_EQ(chapter_begin(&chapter, 9, w.now.unix_ms), 0);
	CHECK_EQ(chapter_add(&chapter, &d), 0);
	d.verdict = 99;
	CHECK_EQ(chapter_add(&chapter, &d), 0);
	CHECK_EQ(sampler_remember(w.sampler, 1, buf_slice(&chapter), NULL, 0, w.now), DECISION_BAD);
	sampler_report(w.sampler, &w.report);
	CHECK_EQ(w.report.kept_records, 0);
	buf_finish(&chapter);
	world_end(&w);
}

static void decide_one(struct world *w, uint64_t id, bool keep)
{
	BLOCK(w, {.trace = id, .low = keep ? HALF : 0, .flags = NOTICE_ROOT});
	world_pass(w, 2000);
	CHECK(world_decide(w));
}

static void test_records_are_forgotten_by_number_and_age(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.kept_records = 3;
	w.policy.dropped_records = 5;
	world_start(&w);
	for (uint64_t i = 0; i < 5; i++)
		decide_one(&w, i, true);
	CHECK_EQ(w.report.kept_records, 3);
	CHECK_EQ(w.ruling.forget, 2); /* chapters 2, 3 and 4 are left */
	for (uint64_t i = 10; i < 20; i++)
		decide_one(&w, i, false);
	CHECK_EQ(w.report.kept_records, 0);
	CHECK_EQ(w.report.dropped_records, 5);
	BLOCK(&w, {.trace = 4, .low = HALF}); /* forgotten: a trace of its own */
	CHECK(!world_decide(&w));
	world_pass(&w, w.policy.records_ms);
	CHECK(world_decide(&w));
	CHECK_EQ(w.report.dropped_records, 0);
	CHECK_EQ(w.report.kept_records, 1);
	world_end(&w);
}

/* Else its spans there would be taken for undecided after a start. */
static void test_record_stays_while_a_block_before_its_ruling_is_held(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.kept_records = 1;
	w.policy.records_ms = 1;
	world_start(&w);
	BLOCK(&w, {.trace = 99, .low = HALF});
	for (uint64_t i = 0; i < 5; i++)
		decide_one(&w, i, true);
	CHECK_EQ(w.report.kept_records, 5);
	CHECK_EQ(w.ruling.forget, 0);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	for (uint64_t i = 10; i < 13; i++)
		decide_one(&w, i, true);
	CHECK_EQ(w.report.kept_records, 1);
	CHECK_EQ(w.ruling.forget, w.chapter - 1);
	world_end(&w);
}

/* Else it would be decided anew after a start. */
static void test_record_stays_while_a_block_with_a_late_span_is_held(void)
{
	struct world w;
	for (int keep = 0; keep < 2; keep++) {
		world_init(&w);
		world_last(&w, 0.5);
		w.policy.records_ms = 1;
		world_start(&w);
		decide_one(&w, 1, keep);
		BLOCK(&w, {.trace = 1, .low = keep ? HALF : 0}, {.trace = 2});
		world_pass(&w, 10);
		CHECK(world_decide(&w));
		CHECK_EQ(w.ruling.forget, 0);
		world_pass(&w, 30000);
		CHECK(world_decide(&w));
		CHECK_EQ(w.ruling.forget, 1);
		world_end(&w);
	}
}

static void test_remembered_records_stay_while_old_blocks_are_held(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.kept_records = 1;
	world_start(&w);
	for (uint64_t i = 0; i < 3; i++) {
		struct buf chapter = {0};
		struct decision d = {.verdict = VERDICT_KEPT};
		put_id(d.trace_id, i, 0);
		CHECK_EQ(chapter_begin(&chapter, 1, w.now.unix_ms), 0);
		CHECK_EQ(chapter_add(&chapter, &d), 0);
		remember(&w, i, &chapter);
		buf_finish(&chapter);
	}
	w.chapter = 3;
	sampler_restore(w.sampler, 10, 0, w.now);
	w.block = 9;
	BLOCK(&w, {.trace = 50, .low = HALF}, {.trace = 0}, {.trace = 1}, {.trace = 2});
	decide_one(&w, 60, true);
	CHECK_EQ(w.ruling.n_decisions, 1);
	CHECK_EQ(w.report.kept_records, 4);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 1);
	decide_one(&w, 61, true);
	CHECK_EQ(w.report.kept_records, 1);
	world_end(&w);
}

static void test_many_records_come_and_go(void)
{
	struct world w;
	uint64_t id = 0;
	world_init(&w);
	world_last(&w, 0.5);
	w.policy.root_wait_ms = 100;
	world_start(&w);
	for (int round = 0; round < 200; round++) {
		struct span s[500] = {0};
		for (int i = 0; i < 500; i++) {
			uint64_t low = id % 2 == 0 ? HALF : 0;
			s[i] = (struct span){.trace = id++, .low = low, .flags = NOTICE_ROOT};
		}
		world_block(&w, s, 500);
		world_pass(&w, 100);
		CHECK(world_decide(&w));
		CHECK_EQ(w.ruling.n_decisions, 500);
		CHECK(w.report.kept_records <= 1000 && w.report.dropped_records <= 10000);
	}
	for (uint64_t i = id - 800; i < id; i++) /* the last two chapters */
		BLOCK(&w, {.trace = i, .low = i % 2 == 0 ? HALF : 0});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 400);
	CHECK_EQ(w.ruling.spans[VERDICT_LATE], 400);
	world_end(&w);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_late_span_of_a_dropped_trace_is_dropped),
		   TEST(test_late_span_of_a_kept_trace_follows_its_decision),
		   TEST(test_after_a_start_nothing_is_decided_twice_or_lost),
		   TEST(test_damage_before_the_position_is_not_counted_again),
		   TEST(test_what_the_account_holds_and_no_block_does_is_damaged),
		   TEST(test_rules_of_another_policy_are_mapped),
		   TEST(test_damaged_chapter_is_refused_whole),
		   TEST(test_records_are_forgotten_by_number_and_age),
		   TEST(test_record_stays_while_a_block_before_its_ruling_is_held),
		   TEST(test_record_stays_while_a_block_with_a_late_span_is_held),
		   TEST(test_remembered_records_stay_while_old_blocks_are_held),
		   TEST(test_many_records_come_and_go));
}

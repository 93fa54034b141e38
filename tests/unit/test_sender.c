/* SPDX-License-Identifier: Apache-2.0
 * The sender and its journal: order, company, retries, holding, damage. */
#include "sender_fixture.h"

enum { SOME_BLOCKS = 64 };

static void test_spans_go_in_order_and_progress_is_told(void)
{
	start();
	file_spans(2, 3);
	CHECK_EQ(n_calls, 1);
	CHECK_EQ(spans_of(calls[0]->body, span_ids), 6);
	for (uint64_t i = 0; i < 6; i++)
		CHECK_EQ(span_ids[i], i);
	CHECK(!sender_is_idle(sender));
	answer(0, SENT);
	CHECK(sender_is_idle(sender));
	CHECK_EQ(journal.told, 1);
	CHECK_EQ(journal.done.block_id, 2);
	check_all_arrived_once();
	stop();
}

static void test_a_request_waits_for_company_but_not_long(void)
{
	start();
	conf.linger_ms = 20;
	conf.batch_bytes = 1000;
	file_spans(1, 1);
	CHECK_EQ(n_calls, 0);
	CHECK(wait_for_call());
	answer(0, SENT);
	file_spans(1, 1);
	CHECK_EQ(n_calls, 0);
	file(add_block(1, 4, 400)); /* now there is enough */
	CHECK_EQ(n_calls, 1);
	CHECK_EQ(calls[0]->spans, 5);
	answer(0, SENT);
	check_all_arrived_once();
	stop();
}

static void test_concurrency_is_bounded_and_a_later_answer_waits_its_turn(void)
{
	start_with(1000);
	for (int i = 0; i < 5; i++)
		add_block(1, 2, 400);
	for (uint64_t id = 1; id <= 5; id++)
		file(id);
	CHECK_EQ(n_calls, 2);
	answer(1, SENT);
	CHECK_EQ(journal.told, 0); /* the first is still out */
	CHECK_EQ(n_calls, 2);
	answer(1, SENT);
	answer(0, SENT);
	CHECK_EQ(journal.told, 1);
	CHECK_EQ(journal.sum.sent, 6);
	while (n_calls != 0)
		answer(0, SENT);
	CHECK_EQ(concurrency_seen, 2);
	check_all_arrived_once();
	stop();
}

static void test_a_slow_head_does_not_make_the_window_grow_for_ever(void)
{
	start_with(600);
	for (int i = 0; i < SOME_BLOCKS; i++)
		file(add_block(1, 1, 500));
	while (n_calls == 2)
		answer(1, SENT);
	CHECK_EQ(n_calls, 1);
	CHECK_EQ(n_sends, 32); /* sixteen for each that may be in flight */
	answer(0, SENT);
	while (n_calls != 0)
		answer(0, SENT);
	check_all_arrived_once();
	stop();
}

static void test_a_retry_is_the_same_spans_again(void)
{
	start();
	file_spans(3, 2);
	for (int i = 0; i < 3; i++) {
		CHECK(wait_for_call());
		CHECK_EQ(n_calls, 1);
		CHECK_EQ(calls[0]->spans, 6);
		answer(0, RETRY);
		CHECK_EQ(n_calls, 0); /* not at once */
		CHECK_EQ(state(), SENDER_RETRYING);
		CHECK(atomic_load(&sender_stats(sender)->next_try_unix_ms) != 0);
		CHECK_EQ(atomic_load(&sender_stats(sender)->last_status), 99);
	}
	CHECK(wait_for_call());
	answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	CHECK_EQ(atomic_load(&sender_stats(sender)->next_try_unix_ms), 0);
	CHECK_EQ(atomic_load(&sender_stats(sender)->retries), 3);
	check_all_arrived_once();
	stop();
}

static void test_one_probe_at_a_time_while_backing_off(void)
{
	start_with(600);
	for (int i = 0; i < 6; i++)
		file(add_block(1, 1, 500));
	answer(0, RETRY);
	CHECK_EQ(n_calls, 1);
	answer(0, RETRY); /* it was in flight before: no second step */
	CHECK_EQ(n_calls, 0);
	for (int i = 0; i < 3; i++) {
		CHECK(wait_for_call());
		CHECK_EQ(n_calls, 1);
		file(add_block(1, 1, 500)); /* new spans wait too */
		ev_run(loop, EVRUN_NOWAIT);
		CHECK_EQ(n_calls, 1);
		answer(0, RETRY);
	}
	CHECK(wait_for_call());
	answer(0, SENT);
	CHECK_EQ(n_calls, 2);
	while (n_calls != 0)
		answer(0, SENT);
	check_all_arrived_once();
	stop();
}

static void test_the_servers_wish_to_wait_is_heard(void)
{
	start();
	file_spans(1, 1);
	ev_now_update(loop);
	double before = ev_now(loop);
	struct outcome o = outcome_of(RETRY);
	o.retry_ms = 60;
	end_call(0, o);
	CHECK(wait_for_call());
	ev_now_update(loop);
	CHECK(ev_now(loop) - before > 0.055);
	answer(0, SENT);
	stop();
}

static void test_a_request_that_keeps_failing_is_cut_down(void)
{
	start();
	conf.concurrency = 1;
	file_spans(1, 4);
	while (n_calls != 0 || wait_for_call()) {
		bool whole = calls[0]->spans == 4;
		answer(0, whole ? RETRY : SENT); /* say, too slow for its time limit */
		CHECK(n_sends < 20);
		if (journal.sum.sent == 4)
			break;
	}
	check_all_arrived_once();
	stop();
}

static void test_a_refused_credential_holds_and_loses_nothing(void)
{
	start();
	file_spans(2, 5);
	for (int i = 0; i < 8; i++) {
		CHECK(wait_for_call());
		CHECK_EQ(n_calls, 1);
		answer(0, i % 2 ? HOLD_UPSTREAM : HOLD_AUTH);
		CHECK_EQ(state(), i % 2 ? SENDER_HELD_UPSTREAM : SENDER_HELD_AUTH);
		CHECK_EQ(journal.told, 0);
	}
	CHECK(wait_for_call());
	CHECK_EQ(calls[0]->spans, 10); /* never cut: size is not the fault */
	answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	check_all_arrived_once();
	stop();
}

static void test_rejected_spans_are_counted_and_not_sent_again(void)
{
	start();
	file_spans(1, 5);
	struct outcome o = outcome_of(SENT);
	o.rejected = 2;
	end_call(0, o);
	CHECK_EQ(journal.sum.sent, 3);
	CHECK_EQ(journal.sum.backend_rejected, 2);
	file_spans(1, 5);
	o.rejected = 1000; /* more than there were */
	end_call(0, o);
	CHECK_EQ(journal.sum.sent, 3);
	CHECK_EQ(journal.sum.backend_rejected, 7);
	CHECK_EQ(n_sends, 2);
	stop();
}

/* Answers until nothing is under way or to be waited for. */
static void refuse_bad(uint64_t bad_from, uint64_t bad_to)
{
	for (;;) {
		boxes_work();
		if (spans_before(&journal, journal.done) == journal.n_spans || !wait_for_call())
			return;
		answer(0, has_bad(calls[0], bad_from, bad_to) ? REFUSED : SENT);
	}
}

static void check_only_dropped(enum drop_reason reason, uint64_t from, uint64_t to)
{
	for (uint64_t i = 0; i < journal.n_spans; i++)
		CHECK_EQ(arrived[i], i < from || i >= to);
	CHECK_EQ(journal.sum.dropped[reason], to - from);
	CHECK_EQ(journal.sum.sent, journal.n_spans - (to - from));
}

static void check_only_quarantined(uint64_t from, uint64_t to)
{
	unsigned held[MAX_SPANS] = {0};
	count_held(PLACE_QUARANTINE, held);
	for (uint64_t i = 0; i < journal.n_spans; i++) {
		CHECK_EQ(arrived[i], i < from || i >= to);
		CHECK_EQ(held[i], i >= from && i < to);
	}
	CHECK_EQ(journal.sum.moved[PLACE_QUARANTINE], to - from);
	CHECK_EQ(journal.sum.sent, journal.n_spans - (to - from));
	CHECK_EQ(atomic_load(&sender_stats(sender)->quarantined_spans), to - from);
}

static void test_the_bad_span_is_found_and_the_rest_delivered(void)
{
	for (uint64_t bad = 0; bad < 21; bad++) {
		start();
		conf.concurrency = 1 + bad % 3;
		add_block(3, 3, 0);
		add_block(4, 3, 0);
		file(1);
		file(2);
		refuse_bad(bad, bad + 1);
		check_only_quarantined(bad, bad + 1);
		CHECK_EQ(state(), SENDER_OK);
		stop();
	}
}

static void test_several_bad_spans_are_found(void)
{
	start();
	add_block(4, 25, 0);
	file(1);
	refuse_bad(0, 10);
	check_only_quarantined(0, 10);
	stop();
}

static void test_a_backend_that_refuses_everything_is_held(void)
{
	start();
	file_spans(4, 250);
	size_t sends = 0;
	for (int i = 0; i < 300 && state() == SENDER_OK; i++)
		answer(0, REFUSED);
	CHECK_EQ(state(), SENDER_HELD_UPSTREAM);
	sends = n_sends;
	CHECK(sends <= 70);
	CHECK_EQ(journal.told, 0);
	while (n_calls != 0)
		answer(0, REFUSED);
	for (int i = 0; i < 5; i++) {
		CHECK(wait_for_call());
		CHECK_EQ(n_calls, 1);
		answer(0, REFUSED);
	}
	CHECK_EQ(journal.told, 0);
	while (spans_before(&journal, journal.done) < journal.n_spans && wait_for_call())
		answer(0, SENT);
	check_all_arrived_once();
	stop();
}

static void test_a_lone_bad_span_is_kept_until_another_is_taken(void)
{
	start();
	file_spans(1, 1);
	answer(0, REFUSED);
	CHECK_EQ(state(), SENDER_HELD_UPSTREAM);
	CHECK_EQ(journal.told, 0);
	CHECK(wait_for_call());
	answer(0, REFUSED);
	CHECK_EQ(journal.told, 0);
	file_spans(1, 1);
	refuse_bad(0, 1);
	check_only_quarantined(0, 1);
	stop();
}

static void cut_too_large(bool full)
{
	start();
	conf.concurrency = 1;
	file(add_block(1, 8, 20000));
	file(add_block(1, 1, 100000));
	file(add_block(1, 1, 20000));
	while (n_calls != 0)
		answer(0, calls[0]->body.len > 70000 ? SPLIT : SENT);
	CHECK_EQ(journal.n_spills, 1);
	CHECK_EQ(journal.spills[0]->parcel.status, 99);
	answer_spill(full ? BOX_FULL : 0);
	if (full)
		check_only_dropped(DROP_OVERSIZE, 8, 9);
	else
		check_only_quarantined(8, 9);
	stop();
}

static void test_too_large_requests_are_cut_and_a_huge_span_kept_apart(void)
{
	cut_too_large(false);
	cut_too_large(true); /* no room for it: given up */
}

/* gRPC's RESOURCE_EXHAUSTED means a quota as often as a size. */
static void test_a_small_request_called_too_large_waits(void)
{
	start();
	file_spans(1, 1);
	for (int i = 0; i < 8; i++) {
		CHECK(wait_for_call());
		answer(0, SPLIT);
		CHECK_EQ(state(), SENDER_RETRYING);
	}
	CHECK(wait_for_call());
	answer(0, SENT);
	check_all_arrived_once();
	stop();
}

static void test_a_damaged_block_is_charged_and_passed_over(void)
{
	for (uint64_t bad = 1; bad <= 3; bad++) {
		start();
		for (int i = 0; i < 3; i++)
			add_block(2, 2, 0);
		if (bad == 2)
			journal.block[bad].gone = true;
		else
			journal.block[bad].bytes.data[BLOCK_HEADER + 20] ^= 1;
		for (uint64_t id = 1; id <= 3; id++)
			file(id);
		while (n_calls != 0)
			answer(0, SENT);
		check_only_dropped(DROP_DAMAGED, (bad - 1) * 4, bad * 4);
		stop();
	}
}

static void test_damage_is_a_stretch_of_its_own(void)
{
	start();
	conf.linger_ms = 5;
	for (int i = 0; i < 3; i++)
		file_spans(2, 2);
	journal.block[2].gone = true;
	CHECK(wait_for_call());
	CHECK_EQ(calls[0]->spans, 4);
	while (spans_before(&journal, journal.done) < journal.n_spans && wait_for_call())
		answer(0, SENT);
	check_only_dropped(DROP_DAMAGED, 4, 8);
	stop();
}

static void test_damage_between_two_attempts_is_charged_too(void)
{
	start();
	conf.batch_bytes = 1 << 20;
	conf.linger_ms = 5;
	for (int i = 0; i < 3; i++)
		file_spans(2, 2);
	CHECK(wait_for_call());
	CHECK_EQ(calls[0]->spans, 12);
	answer(0, RETRY);
	journal.block[2].gone = true;
	CHECK(wait_for_call());
	CHECK_EQ(calls[0]->spans, 8);
	answer(0, SENT);
	check_only_dropped(DROP_DAMAGED, 4, 8);
	stop();
}

static void test_a_first_block_done_in_part_is_not_sent_twice(void)
{
	default_conf();
	new_journal();
	for (int i = 0; i < 3; i++)
		add_block(3, 4, 0);
	start_from((struct cursor){2, journal.block[2].offset[1], 3});
	for (uint64_t id = 1; id <= 3; id++) /* the first one is another exporter's business */
		file(id);
	CHECK_EQ(n_calls, 2); /* the second block alone, since nothing waited; then the third */
	while (n_calls != 0)
		answer(0, SENT);
	for (uint64_t i = 0; i < journal.n_spans; i++)
		CHECK_EQ(arrived[i], i >= 19);
	CHECK_EQ(journal.sum.sent, 17);
	stop();
}

static void test_a_first_block_done_in_part_and_then_lost_is_charged_in_part(void)
{
	default_conf();
	new_journal();
	add_block(3, 4, 300);
	conf.request_bytes = 900; /* some spans a request, but not all seven */
	conf.concurrency = 1;
	start_from((struct cursor){1, journal.block[1].offset[1], 1});
	file(1);
	uint32_t first = calls[0]->spans;
	CHECK(first > 0 && first < 7);
	journal.block[1].gone = true;
	answer(0, SENT);
	CHECK_EQ(journal.sum.sent, first);
	CHECK_EQ(journal.sum.dropped[DROP_DAMAGED], 7 - first);
	CHECK_EQ(spans_before(&journal, journal.done), 12);
	stop();
}

static void test_a_journal_that_cannot_be_read_is_tried_again(void)
{
	start();
	journal.shut = true;
	file_spans(1, 3);
	CHECK_EQ(n_calls, 0);
	CHECK_EQ(state(), SENDER_RETRYING);
	ev_run(loop, EVRUN_ONCE);
	CHECK_EQ(n_calls, 0);
	journal.shut = false;
	CHECK(wait_for_call());
	answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	check_all_arrived_once();
	stop();
}

static void test_draining_ends_what_is_in_flight_and_begins_nothing(void)
{
	start_with(600);
	for (int i = 0; i < 4; i++)
		file(add_block(1, 1, 500));
	CHECK_EQ(n_calls, 2);
	sender_drain(sender);
	answer(0, SENT);
	CHECK(!sender_is_idle(sender));
	answer(0, RETRY);
	CHECK(sender_is_idle(sender));
	CHECK_EQ(n_sends, 2);
	file(add_block(1, 1, 500));
	CHECK(!ev_run(loop, EVRUN_NOWAIT)); /* nothing is waited for */
	CHECK_EQ(n_sends, 2);
	CHECK_EQ(journal.sum.sent, 1);
	stop();
}

static void test_calls_under_way_at_the_end_are_not_counted(void)
{
	start();
	file_spans(1, 3);
	CHECK_EQ(n_calls, 1);
	stop();
	CHECK_EQ(journal.told, 0);
}

static uint32_t dice(void)
{
	static uint32_t x = 12345;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

/* Everything at once: whatever the backend says, in whatever order, the account is exact. */
static void test_any_sequence_of_answers_keeps_the_account_exact(void)
{
	start_with(5000);
	conf.concurrency = 5;
	conf.retry_initial_ms = conf.retry_max_ms = 0;
	for (int i = 0; i < SOME_BLOCKS; i++) {
		uint64_t id = add_block(1 + dice() % RECORDS, 1 + dice() % 9, dice() % 900);
		journal.block[id].gone = dice() % 16 == 0;
		file(id);
		for (uint32_t n = dice() % 6; n > 0 && n_calls != 0; n--)
			answer(dice() % n_calls, (enum verdict)(dice() % 6));
	}
	for (;;) {
		boxes_work();
		if (spans_before(&journal, journal.done) == journal.n_spans || !wait_for_call())
			break;
		answer(dice() % n_calls, dice() % 3 ? SENT : (enum verdict)(dice() % 6));
	}
	CHECK_EQ(total(&journal.sum), journal.n_spans);
	uint64_t taken = 0;
	for (uint64_t i = 0; i < journal.n_spans; i++)
		taken += arrived[i] != 0;
	CHECK_EQ(journal.sum.sent, taken);
	stop();
	new_journal();
}

int main(int argc, char **argv)
{
	log_setup(LOG_ERROR, false);
	CHECK_MAIN(TEST(test_spans_go_in_order_and_progress_is_told),
		   TEST(test_a_request_waits_for_company_but_not_long),
		   TEST(test_concurrency_is_bounded_and_a_later_answer_waits_its_turn),
		   TEST(test_a_slow_head_does_not_make_the_window_grow_for_ever),
		   TEST(test_a_retry_is_the_same_spans_again),
		   TEST(test_one_probe_at_a_time_while_backing_off),
		   TEST(test_the_servers_wish_to_wait_is_heard),
		   TEST(test_a_request_that_keeps_failing_is_cut_down),
		   TEST(test_a_refused_credential_holds_and_loses_nothing),
		   TEST(test_rejected_spans_are_counted_and_not_sent_again),
		   TEST(test_the_bad_span_is_found_and_the_rest_delivered),
		   TEST(test_several_bad_spans_are_found),
		   TEST(test_a_backend_that_refuses_everything_is_held),
		   TEST(test_a_lone_bad_span_is_kept_until_another_is_taken),
		   TEST(test_too_large_requests_are_cut_and_a_huge_span_kept_apart),
		   TEST(test_a_small_request_called_too_large_waits),
		   TEST(test_a_damaged_block_is_charged_and_passed_over),
		   TEST(test_damage_is_a_stretch_of_its_own),
		   TEST(test_damage_between_two_attempts_is_charged_too),
		   TEST(test_a_first_block_done_in_part_is_not_sent_twice),
		   TEST(test_a_first_block_done_in_part_and_then_lost_is_charged_in_part),
		   TEST(test_a_journal_that_cannot_be_read_is_tried_again),
		   TEST(test_draining_ends_what_is_in_flight_and_begins_nothing),
		   TEST(test_calls_under_way_at_the_end_are_not_counted),
		   TEST(test_any_sequence_of_answers_keeps_the_account_exact));
}

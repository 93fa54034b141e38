/* SPDX-License-Identifier: Apache-2.0
 * What a sender does not deliver: spans that are too old, bad ones, and those on which the backend
 * fails for ever. */
#include "sender_fixture.h"

static const uint64_t HOUR = 3600000; /* ms */

/* ---- age ---- */

static void test_what_is_too_old_is_dropped_exactly(void)
{
	default_conf();
	conf.outbox.max_age_ms = HOUR;
	conf.concurrency = 1;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	block_unix_ms = clock_wall_ms();
	file_spans(2, 5); /* goes out at once, fails */
	answer(0, HOLD_AUTH);
	conf.retry_max_ms = 100 * HOUR;
	while (n_calls != 0)
		answer(0, HOLD_AUTH);
	file_spans(1, 3);
	block_unix_ms += HOUR / 2;
	file_spans(1, 7);
	pass_ms(HOUR / 100); /* one step of time that does not reach the limit */
	CHECK_EQ(journal.told, 0);
	skew_ns += (uint64_t)HOUR * 1000000;
	while (ev_run(loop, EVRUN_NOWAIT) && journal.told == 0)
		if (n_calls != 0)
			answer(0, HOLD_AUTH);
	CHECK_EQ(journal.sum.dropped[DROP_EXPIRED], 13);
	CHECK_EQ(journal.ledger.held[PLACE_JOURNAL], 7);
	skew_ns += (uint64_t)HOUR * 1000000;
	for (int i = 0; i < 100 && journal.ledger.held[PLACE_JOURNAL] != 0; i++) {
		pass_ms(100);
		if (n_calls != 0)
			answer(0, HOLD_AUTH);
	}
	CHECK_EQ(journal.sum.dropped[DROP_EXPIRED], 20);
	stop();
}

static void test_old_and_young_blocks_do_not_share_a_request(void)
{
	default_conf();
	conf.outbox.max_age_ms = HOUR;
	conf.linger_ms = 50;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	uint64_t now = clock_wall_ms();
	static const int OLD[] = {0, 1, 1, 0, 0, 1};
	for (int i = 0; i < 6; i++) {
		block_unix_ms = OLD[i] ? now - 2 * HOUR : now;
		file_spans(1, 2);
	}
	pass_ms(100);
	while (n_calls != 0)
		answer(0, SENT);
	for (uint64_t i = 0; i < 12; i++)
		CHECK_EQ(arrived[i], !OLD[i / 2]);
	CHECK_EQ(journal.sum.dropped[DROP_EXPIRED], 6);
	stop();
}

static void test_the_outbox_expires_by_parcel_also_while_held(void)
{
	fill_outbox(10);
	conf.outbox.max_age_ms = HOUR;
	for (int i = 0; i < 10; i++)
		journal.box[PLACE_OUTBOX].parcels[i].parcel.newest_ms += (uint64_t)i * HOUR;
	start_full();
	seal(PLACE_OUTBOX);
	conf.retry_max_ms = conf.retry_initial_ms = 1000 * HOUR;
	while (n_calls != 0)
		answer(0, HOLD_AUTH);
	for (uint64_t i = 1; i <= 9; i++) {
		skew_ns += (uint64_t)HOUR * 1000000;
		pass_ms(1100);
		CHECK_EQ(n_calls, 0);
		CHECK_EQ(journal.sum.dropped[DROP_EXPIRED], 3 * i);
	}
	stop();
}

/* Each wait for the next try is for the backend, not for what is not sent any more. */
static void test_what_has_expired_does_not_use_up_a_try(void)
{
	default_conf();
	conf.outbox.max_age_ms = HOUR;
	conf.retry_initial_ms = conf.retry_max_ms = 500;
	conf.request_bytes = 600;
	conf.concurrency = 4;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	for (int i = 0; i < 4; i++)
		file(add_block(1, 1, 500));
	while (n_calls != 0)
		answer(0, RETRY);
	block_unix_ms = clock_wall_ms() + HOUR;
	file(add_block(1, 1, 500));
	CHECK_EQ(n_calls, 0);
	skew_ns += (HOUR + 1000) * 1000000;
	/* The next try comes before the tick that looks for old spans. */
	ev_run(loop, EVRUN_NOWAIT);
	CHECK_EQ(n_calls, 1);
	CHECK_EQ(spans_of(calls[0]->body, span_ids), 1);
	CHECK_EQ(span_ids[0], 4);
	CHECK_EQ(journal.sum.dropped[DROP_EXPIRED], 4);
	answer(0, SENT);
	stop();
}

static void test_a_wall_clock_that_jumps_makes_nothing_old(void)
{
	/* The fixture's clocks go together, so here the block claims to be from the future or the
	 * past by what the wall clock jumped; it is judged by the clock of the start. */
	default_conf();
	conf.outbox.max_age_ms = HOUR;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	block_unix_ms = clock_wall_ms() + 10 * HOUR;
	file_spans(1, 2);
	CHECK_EQ(n_calls, 1);
	answer(0, SENT);
	CHECK_EQ(STAT(fresh_delay_ms), 0);
	stop();
}

/* ---- the quarantine ---- */

/* A bad span and good ones around it, until the bad one is on its way to the quarantine. */
static void condemn_one(void)
{
	start();
	conf.concurrency = 1;
	file_spans(1, 8);
	while (n_calls != 0)
		answer(0, has_bad(calls[0], 3, 4) ? REFUSED : SENT);
	CHECK_EQ(journal.n_spills, 1);
}

static void test_a_bad_span_goes_to_the_quarantine_with_its_status(void)
{
	condemn_one();
	const struct parcel *p = &journal.spills[0]->parcel;
	CHECK_EQ(journal.spills[0]->box, PLACE_QUARANTINE);
	CHECK_EQ(p->status, 99);
	CHECK_EQ(p->n_spans, 1);
	CHECK_EQ(p->from, PLACE_JOURNAL);
	CHECK_EQ(spans_before(&journal, p->to), 4);
	CHECK_EQ(spans_of(p->body, span_ids), 1);
	CHECK_EQ(span_ids[0], 3);
	CHECK_EQ(journal.sum.sent, 3); /* the head, and what is behind it waits */
	file_spans(1, 1);
	CHECK_EQ(n_calls, 1); /* but goes out */
	answer(0, SENT);
	answer_spill(0);
	CHECK_EQ(journal.sum.sent, 8);
	CHECK_EQ(journal.sum.moved[PLACE_QUARANTINE], 1);
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 1);
	CHECK_EQ(journal.box[PLACE_QUARANTINE].seals_asked, 0);
	stop();
}

static void test_a_full_quarantine_drops_and_a_failing_one_waits(void)
{
	condemn_one();
	answer_spill(-5);
	CHECK_EQ(journal.sum.sent, 3);
	pass_ms(900);
	CHECK_EQ(journal.n_spills, 0);
	pass_ms(200);
	CHECK_EQ(journal.n_spills, 1);
	answer_spill(BOX_FULL);
	CHECK_EQ(journal.sum.dropped[DROP_REFUSED], 1);
	CHECK_EQ(journal.sum.sent, 7);
	stop();
}

static void test_a_second_hearing_ends_where_the_quarantine_ended(void)
{
	condemn_one();
	answer_spill(0);
	CHECK_EQ(n_calls, 0);
	seal(PLACE_QUARANTINE);
	pass_ms(2000);
	CHECK_EQ(n_calls, 0); /* nobody asked */
	sender_resend_quarantine(sender);
	CHECK_EQ(n_calls, 1);
	answer(0, REFUSED); /* again: it is put at the end */
	CHECK_EQ(state(), SENDER_OK);
	CHECK_EQ(journal.spills[0]->parcel.from, PLACE_QUARANTINE);
	CHECK_EQ(journal.spills[0]->parcel.to.block_id, 2);
	answer_spill(0);
	CHECK_EQ(n_calls, 0);
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 1);
	CHECK_EQ(journal.ledger.cursor[PLACE_QUARANTINE].block_id, 2);
	pass_ms(2000);
	CHECK_EQ(n_calls, 0); /* heard once for each time somebody asks */
	sender_resend_quarantine(sender);
	CHECK(journal.box[PLACE_QUARANTINE].seal_wanted);
	boxes_work();
	CHECK_EQ(n_calls, 1);
	answer(0, SENT);
	CHECK_EQ(journal.sum.sent, 8);
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 0);
	stop();
}

static void test_a_cleared_quarantine_is_counted_as_refused(void)
{
	start();
	conf.concurrency = 1;
	file_spans(1, 20);
	for (;;) {
		boxes_work();
		if (n_calls == 0)
			break;
		answer(0, has_bad(calls[0], 3, 8) ? REFUSED : SENT);
	}
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 5);
	seal(PLACE_QUARANTINE);
	sender_resend_quarantine(sender);
	CHECK_EQ(n_calls, 1);
	sender_clear_quarantine(sender); /* all but what is in flight */
	answer(0, SENT);
	CHECK_EQ(n_calls, 0);
	CHECK_EQ(journal.sum.dropped[DROP_REFUSED], 4);
	CHECK_EQ(journal.sum.sent, 16);
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 0);
	sender_clear_quarantine(sender);
	CHECK_EQ(journal.sum.dropped[DROP_REFUSED], 4);
	stop();
}

/* ---- a span on which the backend fails for ever ---- */

static void test_a_span_that_always_fails_does_not_hold_up_the_others(void)
{
	start();
	conf.retry_initial_ms = 100;
	conf.retry_max_ms = 1000;
	file_spans(1, 8);
	size_t max_wait = 0, wait = 0;
	for (int i = 0; i < 3000 && journal.ledger.held[PLACE_OUTBOX] == 0; i++) {
		boxes_work();
		while (n_calls != 0)
			answer(0, has_bad(calls[0], 3, 4) ? RETRY : SENT);
		if (i % 5 == 0 && journal.n_blocks < 1000)
			file_spans(1, 1);
		uint64_t sent = journal.sum.sent;
		pass_ms(100);
		wait = journal.sum.sent == sent ? wait + 1 : 0;
		max_wait = wait > max_wait ? wait : max_wait;
	}
	CHECK_EQ(journal.ledger.held[PLACE_OUTBOX], 1); /* it alone is there, and not lost */
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 0);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_EQ(arrived[i], i != 3);
	finish_well();
	CHECK_EQ(arrived[3], 1);
	stop();
}

static void test_a_backend_that_is_down_moves_nothing_aside(void)
{
	start();
	file_spans(1, 1);
	for (int i = 0; i < 50; i++) {
		CHECK(wait_for_call());
		answer(0, RETRY);
	}
	CHECK_EQ(journal.n_spills, 0);
	CHECK(wait_for_call());
	answer(0, SENT);
	check_all_arrived_once();
	stop();
	new_journal();
}

int main(int argc, char **argv)
{
	log_setup(LOG_ERROR, false);
	CHECK_MAIN(TEST(test_what_is_too_old_is_dropped_exactly),
		   TEST(test_old_and_young_blocks_do_not_share_a_request),
		   TEST(test_the_outbox_expires_by_parcel_also_while_held),
		   TEST(test_what_has_expired_does_not_use_up_a_try),
		   TEST(test_a_wall_clock_that_jumps_makes_nothing_old),
		   TEST(test_a_bad_span_goes_to_the_quarantine_with_its_status),
		   TEST(test_a_full_quarantine_drops_and_a_failing_one_waits),
		   TEST(test_a_second_hearing_ends_where_the_quarantine_ended),
		   TEST(test_a_cleared_quarantine_is_counted_as_refused),
		   TEST(test_a_span_that_always_fails_does_not_hold_up_the_others),
		   TEST(test_a_backend_that_is_down_moves_nothing_aside));
}

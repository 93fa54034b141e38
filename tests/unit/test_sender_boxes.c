/* SPDX-License-Identifier: Apache-2.0
 * The sender and its boxes: what goes to the outbox and in which order, how it comes out again,
 * what is too old or has no room, and the quarantine. */
#include "sender_fixture.h"

enum { BLOCK_BYTES = 100000 };

/* Blocks of some 100 kB with two spans each; spilling begins above the fifth. */
static void start_spilling(void)
{
	default_conf();
	conf.request_bytes = 90000; /* one span a request */
	conf.retry_initial_ms = 1000;
	conf.retry_max_ms = 2000;
	spill_bytes = 5 * BLOCK_BYTES;
	new_journal();
	start_from((struct cursor){0, 0, 0});
}

static void file_blocks(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		file(add_block(1, 2, BLOCK_BYTES / 2 - 100));
}

static void test_a_healthy_relay_leaves_the_outbox_alone(void)
{
	start_spilling();
	for (int i = 0; i < 50; i++) {
		file_blocks(1);
		while (n_calls != 0)
			answer(0, SENT);
	}
	CHECK_EQ(journal.most_spills, 0);
	CHECK_EQ(journal.box[PLACE_OUTBOX].seals_asked, 0);
	CHECK(!atomic_load(&sender_stats(sender)->spilling));
	CHECK_EQ(STAT(waiting_bytes), 0);
	check_all_arrived_once();
	stop();
}

/* With nothing in flight, for the backend failed. */
static void fail_and_fill(void)
{
	start_spilling();
	file_blocks(5);
	while (n_calls != 0)
		answer(0, RETRY);
	CHECK_EQ(journal.n_spills, 0);
	CHECK(!atomic_load(&sender_stats(sender)->spilling));
}

static void test_spilling_begins_above_its_limit_and_ends_below_half(void)
{
	fail_and_fill();
	file_blocks(1);
	CHECK(atomic_load(&sender_stats(sender)->spilling));
	CHECK(journal.n_spills > 0);
	while (journal.n_spills != 0)
		answer_spill(0);
	CHECK(!atomic_load(&sender_stats(sender)->spilling));
	CHECK(STAT(waiting_bytes) < spill_bytes / 2);
	CHECK(STAT(waiting_bytes) > 0); /* and not more than that and four under way */
	CHECK_EQ(STAT(spilled_spans), journal.ledger.held[PLACE_OUTBOX]);
	CHECK_EQ(state(), SENDER_RETRYING);
	finish_well();
	check_all_arrived_once();
	CHECK_EQ(STAT(drained_spans), STAT(spilled_spans));
	stop();
}

static void test_spills_are_few_and_in_order_and_say_where_they_came_from(void)
{
	fail_and_fill();
	block_unix_ms = clock_wall_ms() - 5000;
	file_blocks(20);
	CHECK_EQ(journal.n_spills, 4);
	uint64_t next = 0;
	while (journal.n_spills != 0) {
		const struct parcel *p = &journal.spills[0]->parcel;
		uint32_t n = spans_of(p->body, span_ids);
		CHECK_EQ(n, p->n_spans);
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ(span_ids[i], next++);
		CHECK_EQ(spans_before(&journal, p->to), next);
		CHECK_EQ(p->from, PLACE_JOURNAL);
		CHECK_EQ(p->status, -1);
		CHECK(p->plain_len > 0 && p->newest_ms >= p->oldest_ms);
		CHECK_EQ(p->newest_ms, journal.block[1 + (next - 1) / 2].unix_ms);
		answer_spill(0);
	}
	CHECK_EQ(journal.most_spills, 4);
	finish_well();
	check_all_arrived_once();
	stop();
}

static void test_bodies_under_way_to_the_outbox_are_bounded(void)
{
	default_conf();
	conf.request_bytes = 4 << 20;
	spill_bytes = 8 << 20;
	conf.retry_initial_ms = 100000;
	conf.retry_max_ms = 200000;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	for (int i = 0; i < 10; i++)
		file(add_block(4, 4, 240000));
	while (n_calls != 0)
		answer(0, RETRY);
	boxes_work();
	CHECK(journal.most_spill_bytes <= 8 << 20);
	CHECK(journal.most_spills >= 2);
	size_t small = 0;
	for (size_t i = 0; i < journal.box[PLACE_OUTBOX].n_parcels; i++)
		small += journal.box[PLACE_OUTBOX].parcels[i].parcel.plain_len <= 1 << 20;
	CHECK(small > journal.box[PLACE_OUTBOX].n_parcels / 2);
	stop();
}

static void test_what_is_in_flight_holds_up_the_spilling(void)
{
	start_spilling();
	file_blocks(4);
	CHECK_EQ(n_calls, 2);
	answer(0, RETRY); /* the second is still in flight */
	file_blocks(10);
	CHECK(atomic_load(&sender_stats(sender)->spilling));
	CHECK_EQ(journal.n_spills, 1); /* the first */
	answer_spill(0);
	CHECK_EQ(journal.n_spills, 0);
	CHECK_EQ(journal.ledger.held[PLACE_OUTBOX], 1);
	answer(0, SENT);
	CHECK(journal.n_spills > 0);
	boxes_work();
	finish_well();
	check_all_arrived_once();
	stop();
}

static void test_a_failed_spill_is_tried_again_and_keeps_the_order(void)
{
	fail_and_fill();
	file_blocks(10);
	CHECK_EQ(journal.n_spills, 4);
	answer_spill(0);
	size_t more = journal.n_spills;
	answer_spill(-5);
	CHECK_EQ(journal.n_spills, more - 1); /* not at once */
	while (journal.n_spills != 0)
		answer_spill(0); /* these stay where they are until the failed one is there */
	CHECK_EQ(journal.ledger.held[PLACE_OUTBOX], 1);
	seal(PLACE_OUTBOX);
	pass_ms(900);
	CHECK_EQ(journal.n_spills, 0);
	while (n_calls != 0) {
		CHECK_EQ(spans_of(calls[0]->body, span_ids), 1);
		CHECK_EQ(span_ids[0], 0); /* none that the journal's cursor has not passed */
		answer(0, RETRY);
	}
	pass_ms(200);
	CHECK(journal.n_spills > 0);
	finish_well();
	check_all_arrived_once();
	stop();
}

static void test_a_full_outbox_lets_the_journal_fill(void)
{
	fail_and_fill();
	conf.outbox.when_full = WHEN_FULL_REFUSE;
	file_blocks(10);
	for (int i = 0; i < 5; i++) {
		CHECK(journal.n_spills > 0);
		while (journal.n_spills != 0)
			answer_spill(BOX_FULL);
		pass_ms(900);
		CHECK_EQ(journal.n_spills, 0);
		while (n_calls != 0)
			answer(0, RETRY);
		pass_ms(200);
		while (n_calls != 0)
			answer(0, RETRY);
	}
	CHECK_EQ(total(&journal.sum), 0);
	finish_well();
	check_all_arrived_once();
	stop();
}

static void test_a_full_outbox_and_a_healthy_backend_deliver(void)
{
	start_spilling();
	file_blocks(10);
	while (journal.done.block_id < 10) { /* the rest may be held for the outbox */
		while (journal.n_spills != 0)
			answer_spill(BOX_FULL);
		if (n_calls != 0)
			answer(0, SENT);
		else
			pass_ms(100);
	}
	CHECK_EQ(journal.box[PLACE_OUTBOX].n_parcels, 0);
	finish_well();
	check_all_arrived_once();
	stop();
}

static void test_the_oldest_segment_is_dropped_exactly(void)
{
	fail_and_fill();
	conf.outbox.when_full = WHEN_FULL_DROP_OLDEST;
	file_blocks(20);
	while (journal.n_spills != 0)
		answer_spill(0);
	uint64_t first = journal.box[PLACE_OUTBOX].next_id - 1;
	seal(PLACE_OUTBOX);
	file_blocks(20);
	while (n_calls != 0)
		answer(0, RETRY);
	answer_spill(0);
	CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], 0);
	while (journal.n_spills != 0) { /* they went together: one reason to drop */
		answer_spill(BOX_FULL);
		CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], first);
	}
	CHECK_EQ(journal.ledger.cursor[PLACE_OUTBOX].block_id, first + 1);
	CHECK_EQ(journal.n_spills, 0);
	pass_ms(200);
	while (n_calls != 0)
		answer(0, RETRY);
	CHECK(journal.n_spills != 0); /* tried again soon */
	uint64_t end = journal.box[PLACE_OUTBOX].next_id;
	bool had_wish = journal.box[PLACE_OUTBOX].seal_wanted;
	while (journal.n_spills != 0)
		answer_spill(BOX_FULL);
	CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], first); /* the first is not off the disk */
	pass_ms(3000);
	while (n_calls != 0)
		answer(0, RETRY);
	while (journal.n_spills != 0)
		answer_spill(BOX_FULL);
	CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], first); /* no segment: it asks for one */
	CHECK(had_wish || journal.box[PLACE_OUTBOX].seal_wanted);
	seal(PLACE_OUTBOX);
	pass_ms(200);
	while (n_calls != 0)
		answer(0, RETRY);
	while (journal.n_spills != 0)
		answer_spill(BOX_FULL);
	CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], end - 1);
	finish_well();
	CHECK_EQ(journal.sum.sent + end - 1, journal.n_spans);
	stop();
}

/* Of four segments of 4096 bytes and as many spans each, when a new one needs so much. */
static uint64_t dropped_for(uint64_t needed, uint64_t *in_a_segment)
{
	fail_and_fill();
	stop();
	segment_bytes = needed;
	conf.outbox.when_full = WHEN_FULL_DROP_OLDEST;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	for (int i = 0; i < 4; i++) {
		file_blocks(20);
		while (n_calls != 0)
			answer(0, RETRY);
		while (journal.n_spills != 0)
			answer_spill(0);
		seal(PLACE_OUTBOX);
		if (i == 0)
			*in_a_segment = journal.box[PLACE_OUTBOX].next_id - 1;
	}
	file_blocks(20);
	while (journal.n_spills != 0)
		answer_spill(BOX_FULL);
	uint64_t dropped = journal.sum.dropped[DROP_OUTBOX_FULL];
	for (int i = 0; i < 10; i++) { /* the disk takes its time */
		pass_ms(200);
		while (n_calls != 0)
			answer(0, RETRY);
		while (journal.n_spills != 0)
			answer_spill(BOX_FULL);
	}
	CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], dropped);
	uint64_t held = journal.box[PLACE_OUTBOX].next_id - 1;
	finish_well();
	CHECK_EQ(journal.sum.sent + dropped, journal.n_spans);
	stop();
	CHECK(needed != UINT64_MAX || dropped == held);
	return dropped;
}

static void test_as_much_is_dropped_as_a_segment_needs(void)
{
	uint64_t one, two;
	CHECK_EQ(dropped_for(4096, &one), one);
	two = dropped_for(4097, &one);
	CHECK(two > one && two < 3 * one);
	CHECK(dropped_for(UINT64_MAX, &one) > two); /* all there is */
}

static void test_a_segment_in_flight_is_not_dropped_under_the_backend(void)
{
	fail_and_fill();
	conf.outbox.when_full = WHEN_FULL_DROP_OLDEST;
	file_blocks(20);
	while (journal.n_spills != 0)
		answer_spill(0);
	seal(PLACE_OUTBOX);
	uint64_t first = journal.box[PLACE_OUTBOX].next_id - 1;
	pass_ms(1100);
	CHECK_EQ(n_calls, 1); /* a probe */
	file_blocks(20);
	CHECK(journal.n_spills != 0 || n_calls == 1);
	uint32_t n = calls[0]->spans;
	CHECK_EQ(spans_of(calls[0]->body, span_ids), n);
	bool boxed = span_ids[0] < first;
	while (journal.n_spills != 0)
		answer_spill(BOX_FULL);
	answer(0, SENT); /* the bytes are still there */
	if (boxed)
		CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL] + n, first);
	finish_well();
	stop();
}

static void test_what_was_in_flight_is_dropped_when_it_comes_back(void)
{
	fail_and_fill();
	conf.outbox.when_full = WHEN_FULL_DROP_OLDEST;
	file_blocks(20);
	while (journal.n_spills != 0)
		answer_spill(0);
	seal(PLACE_OUTBOX);
	uint64_t first = journal.box[PLACE_OUTBOX].next_id - 1;
	file_blocks(20);
	pass_ms(1100);
	CHECK_EQ(n_calls, 1); /* a probe; while spans are spilled it is of the outbox */
	CHECK_EQ(spans_of(calls[0]->body, span_ids), calls[0]->spans);
	CHECK(span_ids[0] < first);
	CHECK(journal.n_spills != 0);
	while (journal.n_spills != 0)
		answer_spill(BOX_FULL);
	CHECK(journal.sum.dropped[DROP_OUTBOX_FULL] < first);
	answer(0, RETRY);
	CHECK_EQ(journal.sum.dropped[DROP_OUTBOX_FULL], first);
	finish_well();
	CHECK_EQ(journal.sum.sent + first, journal.n_spans);
	stop();
}

static void test_the_backlog_drains_in_order_and_is_let_go(void)
{
	fill_outbox(20);
	conf.concurrency = 3;
	start_full();
	seal(PLACE_OUTBOX);
	CHECK_EQ(n_calls, 2); /* one is left for fresh spans */
	uint64_t next = 0;
	while (n_calls != 0) {
		CHECK_EQ(spans_of(calls[0]->body, span_ids), 3);
		CHECK_EQ(span_ids[0], next);
		/* as it lies in the box */
		CHECK(calls[0]->body.data ==
		      journal.box[PLACE_OUTBOX].parcels[next / 3].parcel.body.data);
		next += 3;
		answer(0, SENT);
		CHECK_EQ(journal.box[PLACE_OUTBOX].done, next + 1);
	}
	CHECK_EQ(next, 60);
	CHECK_EQ(STAT(drained_spans), 60);
	CHECK_EQ(journal.box[PLACE_OUTBOX].seals_asked, 0);
	stop();
}

static void test_fresh_spans_and_backlog_share_the_calls(void)
{
	for (unsigned calls_wanted = 1; calls_wanted <= 4; calls_wanted++) {
		fill_outbox(40);
		conf.concurrency = calls_wanted;
		conf.request_bytes = 600;
		conf.batch_bytes = 1;
		start_full();
		seal(PLACE_OUTBOX);
		size_t fresh = 0, boxed = 0, most_boxed = 0;
		for (int i = 0; i < 40; i++)
			file(add_block(1, 1, 500));
		for (int i = 0; i < 40; i++) {
			CHECK_EQ(n_calls, calls_wanted);
			size_t now = 0;
			for (size_t k = 0; k < n_calls; k++) {
				(void)spans_of(calls[k]->body, span_ids);
				now += span_ids[0] < 120;
			}
			most_boxed = now > most_boxed ? now : most_boxed;
			CHECK(now >= 1 || calls_wanted == 1);
			(void)spans_of(calls[0]->body, span_ids);
			*(span_ids[0] < 120 ? &boxed : &fresh) += 1;
			answer(0, SENT);
		}
		if (calls_wanted == 1)
			CHECK(fresh + 2 >= boxed && boxed + 2 >= fresh); /* by turns */
		else
			CHECK(most_boxed <= calls_wanted - 1 && fresh >= boxed && boxed > 0);
		while (n_calls != 0)
			answer(0, SENT);
		for (uint64_t i = 0; i < journal.n_spans; i++)
			CHECK_EQ(arrived[i], 1);
		stop();
	}
}

static void test_the_last_segment_is_sealed_once_when_all_else_is_sent(void)
{
	fail_and_fill();
	file_blocks(10);
	while (journal.n_spills != 0)
		answer_spill(0);
	CHECK_EQ(journal.box[PLACE_OUTBOX].seals_asked, 0);
	while (journal.done.block_id < 16) {
		if (n_calls != 0)
			answer(0, SENT);
		else
			pass_ms(100);
	}
	CHECK_EQ(journal.box[PLACE_OUTBOX].seals_asked, 1);
	pass_ms(1000);
	CHECK_EQ(journal.box[PLACE_OUTBOX].seals_asked, 1);
	seal(PLACE_OUTBOX);
	CHECK(n_calls > 0);
	finish_well();
	check_all_arrived_once();
	stop();
}

static void test_damage_in_the_outbox_is_counted_to_the_span(void)
{
	for (unsigned bad = 0; bad < 6; bad++) {
		fill_outbox(6);
		journal.box[PLACE_OUTBOX].parcels[bad].damaged = true;
		journal.box[PLACE_OUTBOX].parcels[3].damaged = true;
		start_full();
		seal(PLACE_OUTBOX);
		while (n_calls != 0)
			answer(0, SENT);
		uint64_t lost = bad == 3 ? 3 : 6;
		CHECK_EQ(journal.sum.dropped[DROP_DAMAGED], lost);
		CHECK_EQ(journal.sum.sent, 18 - lost);
		CHECK_EQ(journal.ledger.held[PLACE_OUTBOX], 0);
		stop();
	}
}

static void test_damage_after_the_first_attempt_is_counted_too(void)
{
	fill_outbox(3);
	conf.concurrency = 3;
	start_full();
	seal(PLACE_OUTBOX);
	answer(0, RETRY);
	answer(0, SENT);
	journal.box[PLACE_OUTBOX].parcels[0].damaged = true;
	for (int i = 0; i < 5; i++) {
		pass_ms(100);
		while (n_calls != 0)
			answer(0, SENT);
	}
	CHECK_EQ(journal.sum.dropped[DROP_DAMAGED], 3);
	CHECK_EQ(journal.sum.sent, 6);
	stop();
}

static void test_a_box_that_cannot_be_read_stops_its_lane_alone(void)
{
	fill_outbox(3);
	start_full();
	journal.box[PLACE_OUTBOX].shut = true;
	seal(PLACE_OUTBOX);
	CHECK_EQ(n_calls, 0);
	CHECK_EQ(state(), SENDER_OK);
	file_spans(1, 1);
	CHECK_EQ(n_calls, 1);
	answer(0, SENT);
	journal.box[PLACE_OUTBOX].shut = false;
	pass_ms(1100);
	CHECK_EQ(n_calls, 1);
	while (n_calls != 0)
		answer(0, SENT);
	CHECK_EQ(journal.ledger.held[PLACE_OUTBOX], 0);
	stop();
}

static void test_a_start_within_a_parcel_sends_the_rest_of_it(void)
{
	for (int coding = CODING_IDENTITY; coding <= CODING_ZSTD; coding++) {
		default_conf();
		wire_coding = (enum coding)coding;
		if (coding == CODING_DEFLATE)
			continue;
		/* fill_outbox() sets defaults: compress by hand afterwards */
		fill_outbox(3);
		for (int i = 0; i < 3; i++) {
			struct parcel *p = &journal.box[PLACE_OUTBOX].parcels[i].parcel;
			struct buf packed = {0};
			if (coding == CODING_IDENTITY)
				continue;
			struct buf plain = plain_body(CODING_IDENTITY, p->body);
			CHECK_EQ(codec_compress(fake_codec, (enum coding)coding, buf_slice(&plain),
						&packed),
				 0);
			buf_finish(&plain);
			free((void *)(uintptr_t)p->body.data);
			p->body = buf_slice(&packed);
			p->coding = (enum coding)coding;
		}
		journal.ledger.cursor[PLACE_OUTBOX].block_id = 5;
		journal.ledger.held[PLACE_OUTBOX] -= 4;
		journal.ledger.entered -= 4;
		wire_coding = CODING_GZIP; /* now; it may have been another */
		start_full();
		seal(PLACE_OUTBOX);
		while (n_calls != 0)
			answer(0, SENT);
		for (uint64_t i = 0; i < 9; i++)
			CHECK_EQ(arrived[i], i >= 4);
		stop();
	}
}

static void test_statistics_tell_of_delay_rates_and_age(void)
{
	fill_outbox(40);
	conf.concurrency = 2;
	start_full();
	uint64_t oldest = journal.box[PLACE_OUTBOX].parcels[0].parcel.oldest_ms;
	seal(PLACE_OUTBOX);
	block_unix_ms = clock_wall_ms();
	pass_ms(1100);
	CHECK_EQ(STAT(oldest_unix_ms), oldest);
	for (int i = 0; i < 30; i++) {
		file_spans(1, 2);
		pass_ms(1000);
		while (n_calls != 0)
			answer(0, SENT);
		if (i == 2)
			CHECK(STAT(drain_rate) >= 5 && STAT(drain_rate) <= 12);
	}
	CHECK(STAT(fresh_delay_ms) >= 1000);
	CHECK(STAT(fresh_rate) >= 1 && STAT(fresh_rate) <= 3);
	pass_ms(200000);
	CHECK_EQ(STAT(fresh_rate), 0);
	CHECK_EQ(STAT(oldest_unix_ms), 0);
	CHECK(!ev_run(loop, EVRUN_NOWAIT)); /* nothing ticks where nothing waits */
	stop();
}

int main(int argc, char **argv)
{
	log_setup(LOG_ERROR, false);
	CHECK_MAIN(TEST(test_a_healthy_relay_leaves_the_outbox_alone),
		   TEST(test_spilling_begins_above_its_limit_and_ends_below_half),
		   TEST(test_spills_are_few_and_in_order_and_say_where_they_came_from),
		   TEST(test_bodies_under_way_to_the_outbox_are_bounded),
		   TEST(test_what_is_in_flight_holds_up_the_spilling),
		   TEST(test_a_failed_spill_is_tried_again_and_keeps_the_order),
		   TEST(test_a_full_outbox_lets_the_journal_fill),
		   TEST(test_a_full_outbox_and_a_healthy_backend_deliver),
		   TEST(test_the_oldest_segment_is_dropped_exactly),
		   TEST(test_as_much_is_dropped_as_a_segment_needs),
		   TEST(test_a_segment_in_flight_is_not_dropped_under_the_backend),
		   TEST(test_what_was_in_flight_is_dropped_when_it_comes_back),
		   TEST(test_the_backlog_drains_in_order_and_is_let_go),
		   TEST(test_fresh_spans_and_backlog_share_the_calls),
		   TEST(test_the_last_segment_is_sealed_once_when_all_else_is_sent),
		   TEST(test_damage_in_the_outbox_is_counted_to_the_span),
		   TEST(test_damage_after_the_first_attempt_is_counted_too),
		   TEST(test_a_box_that_cannot_be_read_stops_its_lane_alone),
		   TEST(test_a_start_within_a_parcel_sends_the_rest_of_it),
		   TEST(test_statistics_tell_of_delay_rates_and_age));
}

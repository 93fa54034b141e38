/* SPDX-License-Identifier: Apache-2.0
 * The sender against chance: where the bad spans are, and what happens in which order. */
#include "sender_fixture.h"

static uint32_t dice(void)
{
	static uint32_t x = 12345;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

/* ---- few requests for few bad spans ---- */

static uint64_t bad[3];

static bool holds_bad(const struct export_call *call)
{
	uint32_t n = spans_of(call->body, span_ids);
	for (uint32_t i = 0; i < n; i++)
		for (size_t k = 0; k < 3; k++)
			if (span_ids[i] == bad[k])
				return true;
	return false;
}

/* Requests until 997 of 1,000 are delivered and three are in the quarantine. */
static size_t search(unsigned concurrency, bool newest_first)
{
	start();
	conf.concurrency = concurrency;
	file_spans(4, 250);
	for (;;) {
		boxes_work();
		if (n_calls == 0)
			break;
		size_t i = newest_first ? n_calls - 1 : 0;
		answer(i, holds_bad(calls[i]) ? REFUSED : SENT);
	}
	CHECK_EQ(journal.sum.sent, 997);
	CHECK_EQ(journal.sum.moved[PLACE_QUARANTINE], 3);
	CHECK_EQ(journal.ledger.held[PLACE_JOURNAL], 0);
	CHECK_EQ(state(), SENDER_OK);
	for (size_t k = 0; k < 3; k++)
		CHECK_EQ(arrived[bad[k]], 0);
	size_t sends = n_sends;
	stop();
	return sends;
}

static void place_bad(void)
{
	bad[0] = dice() % 1000;
	do
		bad[1] = dice() % 1000;
	while (bad[1] == bad[0]);
	do
		bad[2] = dice() % 1000;
	while (bad[2] == bad[0] || bad[2] == bad[1]);
}

static void test_three_bad_spans_of_a_thousand_take_sixty_requests_at_most(void)
{
	static const struct {
		unsigned concurrency;
		bool newest_first;
	} WAYS[] = {{1, false}, {2, false}, {4, false}, {4, true}};
	for (size_t w = 0; w < sizeof(WAYS) / sizeof(WAYS[0]); w++) {
		size_t most = 0, sum = 0, n = 1000;
		for (size_t i = 0; i < n; i++) {
			place_bad();
			size_t sends = search(WAYS[w].concurrency, WAYS[w].newest_first);
			sum += sends;
			most = sends > most ? sends : most;
		}
		printf("   concurrency %u%s: mean %.1f, most %zu\n", WAYS[w].concurrency,
		       WAYS[w].newest_first ? ", newest answered first" : "",
		       (double)sum / (double)n, most);
		CHECK(most <= 60);
	}
	/* side by side, at both ends, and far apart */
	static const uint64_t HARD[][3] = {{0, 1, 2},     {997, 998, 999}, {0, 499, 500},
					   {0, 500, 999}, {249, 250, 251}, {0, 250, 500},
					   {0, 333, 666}, {1, 126, 876}};
	for (size_t i = 0; i < sizeof(HARD) / sizeof(HARD[0]); i++) {
		memcpy(bad, HARD[i], sizeof(bad));
		CHECK(search(1, false) <= 60);
		CHECK(search(4, false) <= 60);
	}
}

/* ---- everything at once ---- */

static unsigned in_outbox[MAX_SPANS], in_quarantine[MAX_SPANS];

/* No span is in two places: it arrived, or is held, or was given up. While work goes on some are
 * done that nobody was told of yet; at the end all add up. */
static void check_each_span(bool end)
{
	uint64_t taken = 0, boxed = 0, gone = 0, dropped = 0;
	memset(in_outbox, 0, sizeof(in_outbox));
	memset(in_quarantine, 0, sizeof(in_quarantine));
	count_held(PLACE_OUTBOX, in_outbox);
	count_held(PLACE_QUARANTINE, in_quarantine);
	for (uint64_t i = 0; i < journal.n_spans; i++) {
		unsigned held = in_outbox[i] + in_quarantine[i];
		CHECK(arrived[i] <= 1 && held <= 1);
		CHECK(!end || arrived[i] + held <= 1);
		taken += arrived[i];
		boxed += held;
		gone += arrived[i] + held == 0;
	}
	for (int i = 0; i < DROP_REASONS; i++)
		dropped += journal.sum.dropped[i];
	if (!end)
		return;
	CHECK_EQ(taken, journal.sum.sent);
	CHECK_EQ(gone, dropped);
	CHECK_EQ(boxed, journal.ledger.held[PLACE_QUARANTINE]);
}

static bool holds_one_of(const struct export_call *call, uint64_t every, uint64_t from)
{
	uint32_t n = spans_of(call->body, span_ids);
	for (uint32_t i = 0; i < n; i++)
		if (span_ids[i] % every == from)
			return true;
	return false;
}

/* Some spans are bad data, some make the backend fail; and it has its moods. */
static enum verdict any_verdict(const struct export_call *call, unsigned badness)
{
	if (dice() % 8 < badness)
		return (enum verdict)(dice() % 6);
	if (holds_one_of(call, 41, 0))
		return REFUSED;
	return holds_one_of(call, 211, 1) ? RETRY : SENT;
}

static int any_rc(void)
{
	uint32_t n = dice() % 8;
	return n == 0 ? BOX_FULL : n == 1 ? -5 : 0;
}

static void seal_or_damage(int box)
{
	struct fake_box *b = &journal.box[box];
	if (b->seal_wanted || dice() % 4 == 0)
		seal(box);
	if (dice() % 16 == 0 && b->n_parcels != 0) {
		struct fake_parcel *p = &b->parcels[dice() % b->n_parcels];
		/* as a look at a disk: only what nobody reads at this moment */
		if (n_calls == 0 && !p->gone)
			p->damaged = true;
	}
	b->shut = dice() % 8 == 0;
}

static void one_event(unsigned badness)
{
	switch (dice() % 8) {
	case 0:
		block_unix_ms = clock_wall_ms() - dice() % 4000;
		if (journal.n_spans < MAX_SPANS - 64 && journal.n_blocks < MAX_BLOCKS)
			file(add_block(1 + dice() % RECORDS, 1 + dice() % 9, dice() % 900));
		journal.block[journal.n_blocks].gone = dice() % 64 == 0;
		break;
	case 1:
	case 2:
	case 3:
		if (n_calls != 0) {
			size_t i = dice() % n_calls;
			answer(i, any_verdict(calls[i], badness));
		}
		break;
	case 4:
	case 5:
		if (journal.n_spills != 0)
			answer_spill(any_rc());
		break;
	case 6:
		seal_or_damage(dice() % 2 ? PLACE_OUTBOX : PLACE_QUARANTINE);
		journal.shut = dice() % 16 == 0;
		break;
	default:
		pass_ms(1 + dice() % 300);
		if (dice() % 32 == 0)
			sender_resend_quarantine(sender);
		if (dice() % 128 == 0)
			sender_clear_quarantine(sender);
	}
}

static bool all_is_out(void)
{
	return journal.ledger.held[PLACE_JOURNAL] + journal.ledger.held[PLACE_OUTBOX] == 0;
}

/* Something in the quarantine was heard again and taken, but nobody could be told of it yet, for
 * what stands before it was not. */
static bool is_hearing(void)
{
	bool hearing = false;
	memset(in_quarantine, 0, sizeof(in_quarantine));
	count_held(PLACE_QUARANTINE, in_quarantine);
	for (uint64_t i = 0; i < journal.n_spans; i++)
		hearing = hearing || (arrived[i] != 0 && in_quarantine[i] != 0);
	return hearing;
}

static bool is_settled(void)
{
	return all_is_out() && n_calls + journal.n_spills == 0 && !is_hearing();
}

static void wind_up(void)
{
	journal.shut = journal.box[PLACE_OUTBOX].shut = journal.box[PLACE_QUARANTINE].shut = false;
	for (int i = 0; i < 20000 && !is_settled(); i++) {
		boxes_work();
		if (n_calls != 0)
			answer(0, SENT);
		else
			pass_ms(100);
	}
	CHECK(is_settled());
}

static void play(unsigned round)
{
	default_conf();
	conf.concurrency = 1 + dice() % 5;
	conf.request_bytes = 1000 + dice() % 8000;
	conf.retry_initial_ms = 10;
	conf.retry_max_ms = 10 + dice() % 500;
	conf.linger_ms = dice() % 3 * 10;
	conf.outbox.max_age_ms = round % 3 == 0 ? 6000 : 0;
	conf.outbox.when_full = dice() % 2 ? WHEN_FULL_DROP_OLDEST : WHEN_FULL_REFUSE;
	spill_bytes = 2000 + dice() % 20000;
	new_journal();
	start_from((struct cursor){0, 0, 0});
	wire_coding = CODING_IDENTITY;
	for (unsigned i = 0; i < 1500; i++) {
		one_event(i / 100 % 8);
		if (i % 50 == 0)
			check_each_span(false);
	}
	wind_up();
	check_each_span(true);
	sender_clear_quarantine(sender);
	CHECK_EQ(journal.ledger.held[PLACE_QUARANTINE], 0);
	CHECK_EQ(ledger_settled(&journal.ledger), journal.n_spans);
	stop();
}

static void test_any_sequence_of_events_keeps_every_span_once(void)
{
	uint64_t seen[7] = {0};
	for (unsigned round = 0; round < 40; round++) {
		play(round);
		seen[0] += journal.sum.moved[PLACE_OUTBOX];
		seen[1] += journal.sum.moved[PLACE_QUARANTINE];
		seen[2] += journal.sum.dropped[DROP_EXPIRED];
		seen[3] += journal.sum.dropped[DROP_OUTBOX_FULL];
		seen[4] += journal.sum.dropped[DROP_DAMAGED];
		seen[5] += journal.sum.sent;
		seen[6] += put_back;
	}
	for (size_t i = 0; i < 7; i++)
		CHECK(seen[i] > 100); /* all of it happened */
	printf("   to the outbox %" PRIu64 ", quarantine %" PRIu64 ", expired %" PRIu64
	       ", given up %" PRIu64 ", damaged %" PRIu64 ", sent %" PRIu64 ", put back %" PRIu64
	       "\n",
	       seen[0], seen[1], seen[2], seen[3], seen[4], seen[5], seen[6]);
	new_journal();
}

int main(int argc, char **argv)
{
	log_setup(LOG_ERROR, false);
	CHECK_MAIN(TEST(test_three_bad_spans_of_a_thousand_take_sixty_requests_at_most),
		   TEST(test_any_sequence_of_events_keeps_every_span_once));
}

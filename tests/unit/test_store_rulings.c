/* SPDX-License-Identifier: Apache-2.0
 * What is pending, and what a ruling makes of it. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "ruling_fixture.h"
#include "storage/survey.h"

static void test_pending_requests_wait_and_no_exporter_is_told(void)
{
	struct store_txn t;
	struct told told;
	struct buf small = {0}, large = {0};
	struct store_reader *r;
	struct slice bytes;
	struct block b;
	new_dir();
	struct store *s = open_store(TWO, 2);
	pb_numbered_request(&small, 1, 2, 100);
	pb_numbered_request(&large, 3, 1, 600000);
	store_begin(&t, s, 77);
	store_append(&t, buf_slice(&small), 2, 5);
	store_append(&t, buf_slice(&small), 2, 0);
	store_append(&t, slice_of(NULL, 0), 0, 4); /* no batch of a block */
	store_append(&t, buf_slice(&large), 1, 0);
	CHECK_EQ(commit_telling(&t, &told), 0);
	CHECK(told.n_kept == 0 && told.n_pending == 2);
	CHECK(told.batch[0] == 0 && told.n_batches[0] == 2 && told.pending[0].spans == 4);
	CHECK(told.batch[1] == 2 && told.n_batches[1] == 1 && told.pending[1].spans == 1);
	CHECK(told.pending[0].id == 1 && told.pending[1].id == 2);
	struct ledger l = balanced(s);
	CHECK(l.accepted == 5 && l.pending == 5 && l.judged[0] == 0 && l.received == 14);
	CHECK(l.exporter[1].entered == 0 && held_blocks(s) == 0 && pending_blocks(s) == 2);
	CHECK_EQ(store_reader_open(&r, s), 0);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_pending(r, 1, &bytes), 0);
	CHECK_EQ(block_open(&b, bytes, 1), 0);
	CHECK(b.stage == STAGE_PENDING && b.n_records == 2 && b.unix_ms == 77);
	CHECK_EQ(store_reader_block(r, 1, &bytes), STORE_GONE);
	CHECK_EQ(store_reader_pending(r, 3, &bytes), STORE_GONE);
	store_reader_end(r);
	store_reader_close(r);
	store_close(s);
	s = open_store(TWO, 2);
	CHECK(balanced(s).pending == 5 && pending_blocks(s) == 2);
	store_close(s);
	buf_finish(&small);
	buf_finish(&large);
	drop_dir();
}

static void test_without_a_judge_all_is_kept_at_once(void)
{
	new_dir();
	test_judged = false;
	struct store *s = open_store(ONE, 1);
	put(s, 1, 7, 100);
	struct ledger l = balanced(s);
	CHECK(l.judged[0] == 7 && l.pending == 0 && l.exporter[0].entered == 7);
	CHECK_EQ(pending_blocks(s), 0);
	store_close(s);
	test_judged = true;
	drop_dir();
}

static void expect_ruled(struct store *s)
{
	struct ledger l = balanced(s);
	struct store_judged j;
	struct chapters c = chapters_of(s);
	CHECK(l.accepted == 30 && l.pending == 3 && l.judged[0] == 11 && l.judged[2] == 16);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(l.exporter[i].entered, 11);
		CHECK_EQ(l.exporter[i].held[PLACE_JOURNAL], 11);
	}
	store_judged(s, &j);
	CHECK(j.position == 2 && j.next_chapter == 2);
	CHECK(c.n == 1 && c.number[0] == 1 && strcmp(c.text[0], "why") == 0);
	CHECK(state_is(s, "budget", "some"));
	CHECK(state_is(s, "seeds", "more"));
	CHECK(state_is(s, "other", NULL));
	CHECK(held_blocks(s) == 1 && pending_blocks(s) == 2);
}

static void test_ruling_moves_what_is_kept_and_all_of_it_is_durable(void)
{
	struct told told;
	struct store_reader *r;
	struct slice bytes;
	struct block b;
	struct record rec;
	struct buf kept[2] = {{0}, {0}};
	new_dir();
	struct store *s = open_store(TWO, 2);
	for (unsigned i = 0; i < 3; i++)
		put_pending(s, i * 10, 10, 100);
	pb_numbered_request(&kept[0], 1, 5, 100);
	pb_numbered_request(&kept[1], 11, 6, 100);
	struct store_kept requests[] = {{buf_slice(&kept[0]), 5}, {buf_slice(&kept[1]), 6}};
	struct store_ruling ruling = {
	    .kept = requests,
	    .n_kept = 2,
	    .spans = {11, 0, 16},
	    .position = 2,
	    .first_pending = 2,
	    .chapter = slice_str("why"),
	    .states = {{"budget", slice_str("some")}, {"seeds", slice_str("more")}}};
	CHECK_EQ(rule(s, &ruling, &told), 0);
	CHECK(told.n_kept == 1 && told.n_pending == 0);
	CHECK(told.kept[0].id == 1 && told.kept[0].spans == 11 && told.kept[0].unix_ms == 2);
	expect_ruled(s);
	CHECK_EQ(store_reader_open(&r, s), 0);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_block(r, 1, &bytes), 0);
	CHECK(block_open(&b, bytes, 1) == 0 && b.stage == STAGE_KEPT);
	CHECK(block_record(&b, 0, &rec) != 0 && slice_equal(rec.payload, requests[0].request));
	CHECK(store_reader_chapter(r, 1, &bytes) == 0 && slice_is(bytes, "why"));
	CHECK_EQ(store_reader_chapter(r, 2, &bytes), STORE_GONE);
	store_reader_end(r);
	store_reader_close(r);
	store_close(s);
	s = open_store(TWO, 2);
	expect_ruled(s);
	store_close(s);
	buf_finish(&kept[0]);
	buf_finish(&kept[1]);
	drop_dir();
}

static void test_states_are_replaced_one_by_one(void)
{
	static char large[300000];
	struct told told;
	new_dir();
	struct store *s = open_store(ONE, 1);
	memset(large, 'x', sizeof(large) - 1);
	for (unsigned i = 0; i < 9; i++) {
		char text[16];
		struct store_ruling r = {.first_pending = 1};
		snprintf(text, sizeof(text), "%u", i);
		r.states[i % 2] = (struct store_state){"often", slice_str(text)};
		if (i == 4)
			r.states[3] = (struct store_state){"once", slice_str(large)};
		CHECK_EQ(rule(s, &r, &told), 0);
		CHECK(state_is(s, "often", text));
		CHECK(state_is(s, "once", i < 4 ? NULL : large));
		store_close(s);
		s = open_store(ONE, 1);
		CHECK(state_is(s, "often", text));
		CHECK(state_is(s, "once", i < 4 ? NULL : large));
		CHECK(state_is(s, "ofte", NULL));
	}
	store_close(s);
	drop_dir();
}

/* They are not shown from the ruling on; they leave with the commits after it. */
static void test_what_a_ruling_gives_up_leaves_by_and_by(void)
{
	struct told told;
	struct store_reader *r;
	struct slice bytes;
	struct store_ruling give_up = {.chapter = slice_str("c")};
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 200; i++) {
		put_pending(s, i, 1, 100);
		CHECK_EQ(rule(s, &give_up, &told), 0);
	}
	CHECK(!store_is_dirty(s));
	give_up.chapter.len = 0;
	give_up.spans[1] = 180;
	give_up.first_pending = 181;
	give_up.first_chapter = 171;
	CHECK_EQ(rule(s, &give_up, &told), 0);
	CHECK(pending_blocks(s) == 20 && chapters_of(s).n == 30);
	CHECK(chapters_of(s).number[0] == 171);
	CHECK_EQ(store_reader_open(&r, s), 0);
	unsigned commits = 0;
	for (; store_is_dirty(s); commits++) {
		CHECK_EQ(store_reader_begin(r), 0);
		CHECK_EQ(store_reader_pending(r, 64 * commits + 1, &bytes), 0);
		CHECK_EQ(store_reader_chapter(r, 64 * commits + 1, &bytes), 0);
		store_reader_end(r);
		if (commits == 1) { /* goes on where it was */
			store_reader_close(r);
			store_close(s); /* a commit as well */
			s = open_store(ONE, 1);
			CHECK(pending_blocks(s) == 20 && chapters_of(s).n == 30);
			CHECK_EQ(store_reader_open(&r, s), 0);
			continue;
		}
		CHECK_EQ(commit_nothing(s), 0);
	}
	CHECK_EQ(commits, 3);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_pending(r, 180, &bytes), STORE_GONE);
	CHECK_EQ(store_reader_chapter(r, 170, &bytes), STORE_GONE);
	CHECK_EQ(store_reader_pending(r, 181, &bytes), 0);
	CHECK_EQ(store_reader_chapter(r, 171, &bytes), 0);
	store_reader_end(r);
	store_reader_close(r);
	CHECK_EQ(put_pending(s, 1, 1, 100).id, 201); /* ids are never used again */
	store_close(s);
	drop_dir();
}

static void test_room_counts_blocks_pending_blocks_and_chapters(void)
{
	static uint8_t chapter[100000];
	struct told told;
	struct store_ruling r = {.chapter = slice_of(chapter, sizeof(chapter))};
	unsigned n = 0;
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (; store_has_room(s, 5 << 20); n++)
		CHECK_EQ(rule(s, &r, &told), 0);
	CHECK(n > 80 && n < 110); /* 16 MiB less a tenth and 5 */
	while (store_has_room(s, 200000))
		put_pending(s, 1, 1, 200000);
	CHECK(pending_blocks(s) > 20 && pending_blocks(s) < 27);
	CHECK_EQ(metric_get(&test_metrics, METRIC_JOURNAL_BLOCKS), pending_blocks(s));
	store_close(s);
	s = open_store(ONE, 1);
	CHECK(!store_has_room(s, 200000)); /* the same after a start */
	r = (struct store_ruling){.first_chapter = n + 1};
	CHECK_EQ(rule(s, &r, &told), 0);
	while (store_is_dirty(s))
		CHECK_EQ(commit_nothing(s), 0);
	CHECK(store_has_room(s, 5 << 20));
	store_close(s);
	drop_dir();
}

/* The reserve is for this: what is kept goes in before what was pending leaves. */
static void test_rulings_go_on_in_a_journal_that_takes_no_more(void)
{
	struct told told;
	struct buf kept = {0};
	uint64_t n = 0, rulings = 0;
	new_dir();
	struct store *s = open_store(ONE, 1);
	while (store_has_room(s, 200000))
		put_pending(s, n++, 1, 200000);
	pb_numbered_request(&kept, 1, 1, 200000);
	struct store_kept request = {buf_slice(&kept), 1};
	struct store_ruling r = {
	    .kept = &request, .n_kept = 1, .spans = {1}, .chapter = slice_str("c")};
	for (; rulings < n; rulings++) { /* all are kept, one by one */
		r.first_pending = rulings + 2;
		CHECK_EQ(rule(s, &r, &told), 0);
	}
	CHECK_EQ(balanced(s).judged[0], n);
	CHECK_EQ(held_blocks(s), n);
	store_close(s);
	buf_finish(&kept);
	drop_dir();
}

static void test_ruling_that_finds_no_room_leaves_nothing_and_may_come_again(void)
{
	struct told told;
	struct buf kept = {0};
	struct store_judged j;
	uint64_t n = 0;
	new_dir();
	struct store *s = open_store(ONE, 1);
	while (store_has_room(s, 200000))
		put_pending(s, n++, 1, 200000);
	pb_numbered_request(&kept, 1, 1, 4 << 20);
	struct store_kept request = {buf_slice(&kept), 1};
	struct store_ruling r = {.kept = &request,
				 .n_kept = 1,
				 .spans = {1, n - 1},
				 .position = n,
				 .first_pending = n + 1,
				 .chapter = slice_str("c"),
				 .states = {{"budget", slice_str("some")}}};
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(rule(s, &r, &told), STORE_FULL);
		struct ledger l = balanced(s);
		CHECK(l.pending == n && l.judged[0] == 0 && l.exporter[0].entered == 0);
		CHECK(pending_blocks(s) == n && held_blocks(s) == 0 && chapters_of(s).n == 0);
		CHECK(state_is(s, "budget", NULL) && !store_is_dirty(s));
		store_judged(s, &j);
		CHECK(j.position == 0 && j.next_chapter == 1);
	}
	struct store_ruling dropped = r; /* what keeps nothing finds room */
	dropped.n_kept = 0;
	dropped.spans[0] = 0;
	CHECK_EQ(rule(s, &dropped, &told), 0);
	r.spans[1] = 0;
	CHECK_EQ(rule(s, &r, &told), 0); /* what leaves with it makes room for it */
	CHECK(balanced(s).judged[0] == 1 && balanced(s).pending == 0);
	store_close(s);
	buf_finish(&kept);
	drop_dir();
}

static void test_ruling_with_a_request_that_no_block_can_hold_is_none(void)
{
	static uint8_t large[BLOCK_MAX_PAYLOAD + 1];
	struct told told;
	struct store_kept kept = {slice_of(large, sizeof(large)), 1};
	struct store_ruling r = {.kept = &kept, .n_kept = 1, .spans = {1}, .position = 1};
	new_dir();
	struct store *s = open_store(ONE, 1);
	put_pending(s, 1, 2, 100);
	CHECK_EQ(rule(s, &r, &told), -EMSGSIZE);
	CHECK(balanced(s).pending == 2 && held_blocks(s) == 0);
	store_close(s);
	drop_dir();
}

static void test_ruling_and_requests_share_a_commit(void)
{
	struct store_txn t;
	struct told told;
	struct buf request = {0};
	new_dir();
	struct store *s = open_store(ONE, 1);
	put_pending(s, 1, 3, 100);
	pb_numbered_request(&request, 1, 2, 100);
	struct store_kept kept = {buf_slice(&request), 2};
	struct store_ruling r = {
	    .kept = &kept, .n_kept = 1, .spans = {2, 1}, .position = 1, .first_pending = 2};
	store_begin(&t, s, 5);
	store_append(&t, buf_slice(&request), 2, 0);
	store_rule(&t, &r);
	CHECK_EQ(commit_telling(&t, &told), 0);
	CHECK(told.n_kept == 1 && told.kept[0].id == 1);
	CHECK(told.n_pending == 1 && told.pending[0].id == 2);
	CHECK(balanced(s).pending == 2 && pending_blocks(s) == 1);
	store_close(s);
	buf_finish(&request);
	drop_dir();
}

/* A chapter was lost, say: spans that are decided in the account are found undecided. */
static void test_spans_judged_twice_are_accepted_twice(void)
{
	struct told told;
	struct store_ruling r = {.spans = {0, 12}};
	new_dir();
	struct store *s = open_store(ONE, 1);
	put_pending(s, 1, 10, 100);
	CHECK_EQ(rule(s, &r, &told), 0);
	struct ledger l = balanced(s);
	CHECK(l.accepted == 12 && l.pending == 0 && l.judged[1] == 12);
	store_close(s);
	drop_dir();
}

static int add_item(void *ctx, const struct survey_item *item)
{
	uint64_t *sum = ctx;
	sum[0] += item->spans;
	sum[1] += item->damaged;
	sum[2]++;
	return 0;
}

static void test_commands_see_what_is_pending(void)
{
	struct told told;
	struct survey *v;
	uint64_t sum[3] = {0};
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 5; i++)
		put_pending(s, i * 10, 10, 100);
	struct store_ruling r = {.spans = {0, 22}, .position = 3, .first_pending = 3};
	CHECK_EQ(rule(s, &r, &told), 0);
	CHECK_EQ(survey_open(&v, test_dir), 0);
	CHECK_EQ(survey_each_pending(v, add_item, sum), 0);
	CHECK(sum[0] == 30 && sum[1] == 0 && sum[2] == 3);
	CHECK_EQ(survey_ledger(v)->pending, 28);
	survey_close(v);
	store_close(s);
	drop_dir();
}

/* Requests come and are judged, a piece of the oldest at a time. What each ruling says of itself
 * stands in its chapter and in the state. */
static void rule_for_ever(unsigned seed)
{
	struct store *s = open_store(TWO, 2);
	struct ledger l;
	struct store_judged j;
	srandom(seed);
	for (;;) {
		char text[32];
		struct store_txn t;
		struct buf request[2] = {{0}, {0}};
		uint32_t spans = 1 + (uint32_t)random() % 9, kept = 1 + (uint32_t)random() % 3;
		pb_numbered_request(&request[0], 1, spans, (size_t)random() % 3000);
		pb_numbered_request(&request[1], 1, kept, (size_t)random() % 3000);
		struct store_kept k = {buf_slice(&request[1]), kept};
		store_ledger(s, &l);
		store_judged(s, &j);
		struct store_ruling r = {.position = j.position + 1, .first_pending = j.position};
		if (l.pending > 20) {
			r.kept = &k;
			r.n_kept = 1;
			r.spans[0] = kept;
			r.spans[1 + random() % (STORE_VERDICTS - 1)] = (uint64_t)random() % 8;
		}
		snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, l.judged[0] + r.spans[0],
			 r.position);
		r.chapter = slice_str(text);
		r.states[0] = (struct store_state){"budget", slice_str(text)};
		r.first_chapter = j.next_chapter > 100 ? j.next_chapter - 100 : 0;
		store_begin(&t, s, 1);
		store_append(&t, buf_slice(&request[0]), spans, 1);
		if (random() % 3 != 0 && pending_blocks(s) > 2)
			store_rule(&t, &r);
		if (store_commit(&t, NULL) != 0)
			_exit(2);
		buf_finish(&request[0]);
		buf_finish(&request[1]);
	}
}

static void test_ruling_is_there_as_a_whole_or_not_at_all_after_a_kill(void)
{
	uint64_t ruled = 0;
	new_dir();
	for (unsigned round = 0; round < 20; round++) {
		int status;
		char text[48];
		struct store_judged j;
		pid_t child = fork();
		if (child == 0)
			rule_for_ever(round);
		usleep(20000 + 1000 * (round * 7 % 40));
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status));
		struct store *s = open_store(TWO, 2);
		struct ledger l = balanced(s);
		struct chapters c = chapters_of(s);
		uint64_t kept[2] = {0, 0};
		store_each_block(s, count_block, kept);
		store_judged(s, &j);
		snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, l.judged[0], j.position);
		if (j.next_chapter > 1) {
			CHECK_EQ(c.number[c.n - 1], j.next_chapter - 1);
			CHECK_STR(c.text[c.n - 1], text);
			CHECK(state_is(s, "budget", text));
		}
		CHECK_EQ(kept[1], l.judged[0]);
		CHECK_EQ(l.exporter[1].entered, l.judged[0]);
		CHECK_EQ(l.exporter[1].dropped[DROP_DAMAGED], 0);
		ruled = j.position;
		store_close(s);
	}
	CHECK(ruled > 20);
	CHECK_EQ(count_files("journal.mdb.bad-", false), 0);
	drop_dir();
}

/* Blocks, pending blocks, chapters and states in one file: pages that one of them gives back are
 * of use to the others. */
static void test_fifos_beside_each_other_keep_the_file_small(void)
{
	enum { CYCLES = 6000, LIVE = 60 };
	static uint8_t state[50000], chapter[4000];
	struct buf request = {0}, kept = {0};
	struct stat st;
	off_t half_way = 0;
	new_dir();
	struct store *s = open_store(ONE, 1);
	pb_numbered_request(&request, 1, 1, 60000);
	pb_numbered_request(&kept, 1, 1, 20000);
	struct store_kept k = {buf_slice(&kept), 1};
	for (unsigned i = 1; i <= CYCLES; i++) {
		struct store_txn t;
		struct told told;
		struct store_ruling r = {.position = i - 1,
					 .first_pending = i > LIVE ? i - LIVE : 0,
					 .chapter = slice_of(chapter, 1 + i % 3999),
					 .first_chapter = i > LIVE ? i - LIVE : 0};
		r.states[0] = (struct store_state){"budget", slice_of(state, 40000 + i % 10000)};
		if (i > LIVE) {
			r.spans[i % 2] = 1;
			r.kept = &k;
			r.n_kept = i % 2 == 0;
		}
		store_begin(&t, s, 1);
		store_append(&t, buf_slice(&request), 1, 0);
		store_rule(&t, &r);
		CHECK_EQ(commit_telling(&t, &told), 0);
		if (told.n_kept != 0 && told.kept[0].id > LIVE)
			sent(s, 0, (struct cursor){told.kept[0].id - LIVE + 1, 0, 0}, 1);
		CHECK_EQ(stat(in_dir("journal.mdb"), &st), 0);
		if (i == CYCLES / 2)
			half_way = st.st_size;
	}
	uint64_t live = metric_get(&test_metrics, METRIC_JOURNAL_LIVE_BYTES);
	CHECK(held_blocks(s) <= LIVE + 1 && pending_blocks(s) <= LIVE + 1);
	CHECK(live > LIVE * 80000 && live < LIVE * 100000);
	CHECK((uint64_t)st.st_size <= live + live / 10 + (1 << 20));
	CHECK(st.st_size <= half_way + (256 << 10));
	store_close(s);
	buf_finish(&request);
	buf_finish(&kept);
	drop_dir();
}

int main(int argc, char **argv)
{
	test_judged = true;
	CHECK_MAIN(TEST(test_pending_requests_wait_and_no_exporter_is_told),
		   TEST(test_without_a_judge_all_is_kept_at_once),
		   TEST(test_ruling_moves_what_is_kept_and_all_of_it_is_durable),
		   TEST(test_states_are_replaced_one_by_one),
		   TEST(test_what_a_ruling_gives_up_leaves_by_and_by),
		   TEST(test_room_counts_blocks_pending_blocks_and_chapters),
		   TEST(test_rulings_go_on_in_a_journal_that_takes_no_more),
		   TEST(test_ruling_that_finds_no_room_leaves_nothing_and_may_come_again),
		   TEST(test_ruling_with_a_request_that_no_block_can_hold_is_none),
		   TEST(test_ruling_and_requests_share_a_commit),
		   TEST(test_spans_judged_twice_are_accepted_twice),
		   TEST(test_commands_see_what_is_pending),
		   TEST(test_ruling_is_there_as_a_whole_or_not_at_all_after_a_kill),
		   TEST(test_fifos_beside_each_other_keep_the_file_small));
}

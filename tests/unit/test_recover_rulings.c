/* SPDX-License-Identifier: Apache-2.0
 * What a start makes of pending blocks, chapters and states that were damaged, and of a journal
 * that has none. */
#include "ruling_fixture.h"
#include "storage/journal.h"
#include "storage/survey.h"

static uint8_t file[16 << 20];

static ssize_t read_journal(void)
{
	int fd = open(in_dir("journal.mdb"), O_RDONLY);
	ssize_t len = pread(fd, file, sizeof(file), 0);
	close(fd);
	return len;
}

static void overwrite(off_t at, const void *data, size_t len)
{
	int fd = open(in_dir("journal.mdb"), O_WRONLY);
	CHECK(fd >= 0);
	CHECK_EQ(pwrite(fd, data, len, at), len);
	close(fd);
}

/* Each place where these bytes stand. */
static unsigned spoil(const char *text, size_t skip)
{
	unsigned n = 0;
	ssize_t len = read_journal();
	for (ssize_t at = 0; at + (ssize_t)strlen(text) < len; at++)
		if (memcmp(file + at, text, strlen(text)) == 0) {
			overwrite(at + (ssize_t)skip, "\x7f", 1);
			n++;
		}
	return n;
}

/* Where a pending block's bytes begin. */
static off_t find_pending(uint64_t id)
{
	ssize_t len = read_journal();
	for (off_t at = 16; at + BLOCK_HEADER < len; at += 4096)
		if (memcmp(file + at, "RLB1", 4) == 0 && memcmp(file + at + 8, &id, 8) == 0 &&
		    file[at + 60] == STAGE_PENDING)
			return at;
	printf("FAIL no pending block %" PRIu64 " in the file\n", id);
	exit(1);
}

static void zero_heads(void)
{
	static const uint8_t zeros[8192];
	overwrite(0, zeros, sizeof(zeros));
}

/* As it was written before there was a judge: six words of account, two databases. */
static void make_older(void)
{
	static struct journal j;
	struct journal_txn t;
	uint64_t w[JOURNAL_MAX_WORDS];
	CHECK_EQ(journal_open(&j, in_dir("journal.mdb"), 16 << 20), 0);
	journal_begin(&t, &j);
	CHECK_EQ(journal_get_words(&t, "state", w, JOURNAL_MAX_WORDS), 0);
	journal_put_words(&t, "state", w, 6);
	for (int i = TREE_PENDING; i < TREES; i++)
		CHECK_EQ(mdb_drop(t.txn, j.tree[i], 1), 0);
	CHECK_EQ(mdb_drop(t.txn, j.states, 1), 0);
	CHECK_EQ(journal_commit(&t), 0);
	journal_close(&j);
}

static int count_item(void *ctx, const struct survey_item *item)
{
	*(uint64_t *)ctx += item->spans;
	return 0;
}

/* Nothing is added to it by who only looks. */
static void survey_it(void)
{
	struct survey *v;
	uint64_t pending = 0, held = 0;
	CHECK_EQ(survey_open(&v, test_dir), 0);
	CHECK_EQ(survey_each_pending(v, count_item, &pending), 0);
	CHECK_EQ(survey_each(v, 0, PLACE_JOURNAL, count_item, &held), 0);
	CHECK(pending == 0 && held == 15 && survey_ledger(v)->judged[0] == 15);
	survey_close(v);
}

static void test_journal_of_the_version_before_opens_and_all_of_it_is_kept(void)
{
	struct told told;
	for (int judged = 0; judged < 2; judged++) {
		new_dir();
		test_judged = false;
		struct store *s = open_store(ONE, 1);
		put(s, 1, 10, 1000);
		put(s, 11, 5, 1000);
		store_close(s);
		make_older();
		survey_it();
		test_judged = judged != 0;
		s = open_store(ONE, 1);
		struct ledger l = balanced(s);
		CHECK(l.accepted == 15 && l.judged[0] == 15 && l.pending == 0);
		CHECK(l.exporter[0].entered == 15 && held_blocks(s) == 2);
		CHECK_EQ(count_files("journal.mdb.bad-", false), 0);
		if (judged) {
			CHECK_EQ(put_pending(s, 1, 3, 100).id, 1);
			struct store_ruling r = {
			    .spans = {0, 3}, .first_pending = 2, .chapter = slice_str("c")};
			CHECK_EQ(rule(s, &r, &told), 0);
		}
		store_close(s);
		s = open_store(ONE, 1);
		l = balanced(s);
		CHECK(l.judged[0] == 15 && l.judged[1] == (judged ? 3 : 0) && l.pending == 0);
		CHECK_EQ(chapters_of(s).n, judged ? 1 : 0);
		store_close(s);
		drop_dir();
	}
	test_judged = true;
}

/* Three blocks of ten spans, twelve of the spans decided, in two chapters. */
static void make_judged(void)
{
	struct told told;
	struct buf kept = {0};
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 3; i++)
		put_pending(s, i * 10, 10, 1000);
	pb_numbered_request(&kept, 1, 4, 1000);
	struct store_kept request = {buf_slice(&kept), 4};
	struct store_ruling r = {.kept = &request,
				 .n_kept = 1,
				 .spans = {4, 2},
				 .position = 2,
				 .first_pending = 1,
				 .chapter = slice_str("chapter one"),
				 .states = {{"budget", slice_str("so much is left")}}};
	CHECK_EQ(rule(s, &r, &told), 0);
	r.chapter = slice_str("chapter two");
	r.n_kept = 0;
	r.spans[0] = 0;
	r.spans[1] = 6;
	r.position = 3;
	r.states[0].bytes = slice_str("so much, no more");
	CHECK_EQ(rule(s, &r, &told), 0);
	store_close(s);
	buf_finish(&kept);
}

/* Some of it may be decided: only the judge knows. */
static void test_damaged_pending_block_is_skipped_and_left_to_the_judge(void)
{
	struct told told;
	struct store_reader *r;
	struct slice bytes;
	new_dir();
	make_judged();
	overwrite(find_pending(2) + 5000, "?", 1);
	uint64_t before = metric_get(&test_metrics, METRIC_JOURNAL_BAD_BLOCKS);
	for (int start = 0; start < 2; start++) { /* it is said once */
		struct store *s = open_store(ONE, 1);
		CHECK_EQ(metric_get(&test_metrics, METRIC_JOURNAL_BAD_BLOCKS), before + 1);
		struct ledger l = balanced(s);
		CHECK(l.pending == 18 && l.judged[0] == 4 && l.judged[1] == 8);
		CHECK(pending_blocks(s) == 2 && chapters_of(s).n == 2);
		CHECK_EQ(store_reader_open(&r, s), 0);
		CHECK_EQ(store_reader_begin(r), 0);
		CHECK_EQ(store_reader_pending(r, 2, &bytes), STORE_GONE);
		store_reader_end(r);
		store_reader_close(r);
		store_close(s);
	}
	struct store *s = open_store(ONE, 1);
	struct store_ruling damaged = {.spans = {[STORE_VERDICTS - 1] = 7}, .position = 3};
	CHECK_EQ(rule(s, &damaged, &told), 0);
	CHECK(balanced(s).pending == 11 && balanced(s).judged[STORE_VERDICTS - 1] == 7);
	CHECK_EQ(count_files("journal.mdb.bad-", false), 0);
	store_close(s);
	drop_dir();
}

static void test_damaged_chapter_is_skipped_and_a_damaged_state_gone(void)
{
	struct told told;
	struct store_reader *r;
	struct slice bytes;
	struct store_judged j;
	new_dir();
	make_judged();
	CHECK(spoil("chapter one", 3) >= 1);
	CHECK(spoil("so much, no more", 3) >= 1);
	struct store *s = open_store(ONE, 1);
	struct chapters c = chapters_of(s);
	CHECK(c.n == 1 && c.number[0] == 2 && strcmp(c.text[0], "chapter two") == 0);
	CHECK_EQ(store_reader_open(&r, s), 0);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_chapter(r, 1, &bytes), STORE_GONE);
	CHECK_EQ(store_reader_chapter(r, 2, &bytes), 0);
	store_reader_end(r);
	store_reader_close(r);
	CHECK(state_is(s, "budget", NULL)); /* and not the one before it */
	store_judged(s, &j);
	CHECK(j.position == 3 && j.next_chapter == 3);
	CHECK(balanced(s).pending == 18);
	for (int i = 0; i < 3; i++) {
		struct store_ruling again = {.position = 3,
					     .states = {{"budget", slice_str("anew")}}};
		CHECK_EQ(rule(s, &again, &told), 0);
		CHECK(state_is(s, "budget", "anew"));
	}
	store_close(s);
	drop_dir();
}

/* Ends the walk as it is told to. */
static int stop_at_once(void *ctx, uint64_t number, struct slice bytes)
{
	(void)ctx, (void)bytes;
	return (int)number + 40;
}

/* The one that the last ruling wrote is the newest, whatever the other was. */
static void test_state_of_the_last_ruling_stands_beside_a_damaged_one(void)
{
	new_dir();
	make_judged();
	CHECK(spoil("so much is left", 3) >= 1);
	struct store *s = open_store(ONE, 1);
	CHECK(state_is(s, "budget", "so much, no more"));
	store_close(s);
	drop_dir();
}

/* Both of its slots: what comes then counts, and goes on to. */
static void test_state_that_is_damaged_altogether_begins_anew(void)
{
	struct told told;
	new_dir();
	make_judged();
	CHECK(spoil("so much", 3) >= 2);
	struct store *s = open_store(ONE, 1);
	CHECK(state_is(s, "budget", NULL));
	struct store_ruling anew = {.states = {{"budget", slice_str("anew")}}}, other = {0};
	CHECK_EQ(rule(s, &anew, &told), 0);
	CHECK_EQ(rule(s, &other, &told), 0);
	CHECK(state_is(s, "budget", "anew"));
	store_close(s);
	drop_dir();
}

static void test_walk_over_chapters_ends_when_told(void)
{
	new_dir();
	make_judged();
	struct store *s = open_store(ONE, 1);
	CHECK_EQ(store_each_chapter(s, stop_at_once, NULL), 41);
	store_close(s);
	drop_dir();
}

static void expect_judged_anew(struct store *s, uint64_t accepted, uint64_t damaged)
{
	struct store_judged j;
	struct ledger l = balanced(s);
	uint64_t n[2] = {0, 0};
	store_each_pending(s, count_block, n);
	store_judged(s, &j);
	CHECK_EQ(j.position, 0);
	CHECK_EQ(chapters_of(s).n, 0);
	CHECK_EQ(l.pending, n[1]);
	CHECK_EQ(l.accepted, accepted);
	CHECK_EQ(l.judged[STORE_VERDICTS - 1], damaged);
}

/* 18 spans were pending; the blocks have 30, or, without one, 20. */
static void test_salvaged_journal_has_its_pending_blocks_judged_anew(void)
{
	struct told told;
	for (int lost = 0; lost < 3; lost++) {
		new_dir();
		make_judged();
		for (int i = 0; i < lost; i++)
			overwrite(find_pending((unsigned)i + 1) + 5000, "?", 1);
		zero_heads();
		struct store *s = open_store(ONE, 1);
		CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
		CHECK(held_blocks(s) == 1 && pending_blocks(s) == 3 - (unsigned)lost);
		CHECK(balanced(s).judged[0] == 4 && balanced(s).judged[1] == 8);
		expect_judged_anew(s, lost == 0 ? 42 : lost == 1 ? 32 : 30, lost == 2 ? 8 : 0);
		CHECK(state_is(s, "budget", NULL));
		store_close(s);
		s = open_store(ONE, 1); /* once */
		expect_judged_anew(s, lost == 0 ? 42 : lost == 1 ? 32 : 30, lost == 2 ? 8 : 0);
		CHECK_EQ(put_pending(s, 1, 1, 10).id, 4);
		struct store_ruling r = {.position = 4, .chapter = slice_str("c")};
		CHECK_EQ(rule(s, &r, &told), 0);
		CHECK_EQ(chapters_of(s).number[0], 3); /* no number is given twice */
		store_close(s);
		drop_dir();
	}
}

/* What was given up is not judged again, if anything tells so. */
static void test_salvage_leaves_given_up_pending_blocks_behind(void)
{
	for (int without_account = 0; without_account < 2; without_account++) {
		struct told told;
		new_dir();
		make_judged();
		struct store *s = open_store(ONE, 1);
		struct store_ruling r = {.spans = {0, 14}, .position = 3, .first_pending = 3};
		CHECK_EQ(rule(s, &r, &told), 0);
		put_pending(s, 30, 10, 1000);
		store_close(s);
		if (without_account)
			CHECK(spoil("state", 0) >= 1);
		zero_heads();
		s = open_store(ONE, 1);
		CHECK_EQ(pending_blocks(s), 2);
		CHECK_EQ(balanced(s).pending, 20);
		CHECK_EQ(put_pending(s, 1, 1, 10).id, 5);
		store_close(s);
		drop_dir();
	}
}

static void test_without_an_account_all_pending_spans_are_judged_anew(void)
{
	struct told told;
	new_dir();
	make_judged();
	CHECK(spoil("state", 6) >= 1); /* a byte of its words */
	struct store *s = open_store(ONE, 1);
	CHECK_EQ(count_files("journal.mdb.bad-", false), 0);
	CHECK(held_blocks(s) == 1 && pending_blocks(s) == 3);
	expect_judged_anew(s, 30, 0);
	CHECK_EQ(put_pending(s, 1, 1, 10).id, 4);
	struct store_ruling r = {.position = 4, .chapter = slice_str("c")};
	CHECK_EQ(rule(s, &r, &told), 0);
	CHECK(chapters_of(s).n == 1 && chapters_of(s).number[0] == 3);
	store_close(s);
	drop_dir();
}

/* Changes an account's word as if the page of an earlier commit stood there. */
static void set_back(unsigned word, uint64_t value)
{
	static struct journal j;
	struct journal_txn t;
	uint64_t w[JOURNAL_MAX_WORDS];
	CHECK_EQ(journal_open(&j, in_dir("journal.mdb"), 16 << 20), 0);
	journal_begin(&t, &j);
	CHECK_EQ(journal_get_words(&t, "state", w, JOURNAL_MAX_WORDS), 0);
	w[word] = value;
	journal_put_words(&t, "state", w, 25);
	CHECK_EQ(journal_commit(&t), 0);
	journal_close(&j);
}

static void test_account_older_than_pending_blocks_or_chapters_is_not_believed(void)
{
	static const unsigned NEXT_PENDING = 6, NEXT_CHAPTER = 9;
	new_dir();
	for (int i = 0; i < 2; i++) {
		make_judged();
		set_back(i == 0 ? NEXT_PENDING : NEXT_CHAPTER, 2);
		struct store *s = open_store(ONE, 1);
		CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
		CHECK_EQ(pending_blocks(s), 3);
		CHECK_EQ(put_pending(s, 1, 1, 10).id, 4);
		store_close(s);
		count_files("", true);
	}
	drop_dir();
}

/* Puts the first pending block in place of the first kept one, as one of `stage`. */
static void misplace(uint32_t stage)
{
	static struct journal j;
	static uint8_t copy[65536];
	struct journal_txn t;
	struct slice bytes;
	struct block b;
	uint64_t id = 1;
	CHECK_EQ(journal_open(&j, in_dir("journal.mdb"), 16 << 20), 0);
	journal_begin(&t, &j);
	CHECK_EQ(journal_next(&t, TREE_PENDING, &id, &bytes), 0);
	CHECK(id == 1 && bytes.len < sizeof(copy));
	memcpy(copy, bytes.data, bytes.len);
	CHECK_EQ(block_open(&b, slice_of(copy, bytes.len), 1), 0);
	b.stage = stage;
	block_seal(copy, &b);
	journal_delete_one(&t, TREE_KEPT, 1);
	memcpy(journal_reserve(&t, TREE_KEPT, 1, bytes.len), copy, bytes.len);
	CHECK_EQ(journal_commit(&t), 0);
	journal_close(&j);
}

/* Whole, and under the right number, in the wrong tree: the trees are not to be believed. */
static void test_block_of_the_other_stage_is_no_block_of_this_one(void)
{
	static const uint32_t STAGE[] = {STAGE_PENDING, STAGES, 1u << 31};
	for (int i = 0; i < 3; i++) {
		new_dir();
		make_judged();
		misplace(STAGE[i]);
		struct store *s = open_store(ONE, 1);
		CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
		CHECK(held_blocks(s) == 1 && pending_blocks(s) == 3);
		CHECK_EQ(balanced(s).exporter[0].entered, 4);
		store_close(s);
		drop_dir();
	}
}

int main(int argc, char **argv)
{
	test_judged = true;
	CHECK_MAIN(TEST(test_journal_of_the_version_before_opens_and_all_of_it_is_kept),
		   TEST(test_damaged_pending_block_is_skipped_and_left_to_the_judge),
		   TEST(test_damaged_chapter_is_skipped_and_a_damaged_state_gone),
		   TEST(test_state_of_the_last_ruling_stands_beside_a_damaged_one),
		   TEST(test_state_that_is_damaged_altogether_begins_anew),
		   TEST(test_walk_over_chapters_ends_when_told),
		   TEST(test_salvaged_journal_has_its_pending_blocks_judged_anew),
		   TEST(test_salvage_leaves_given_up_pending_blocks_behind),
		   TEST(test_without_an_account_all_pending_spans_are_judged_anew),
		   TEST(test_account_older_than_pending_blocks_or_chapters_is_not_believed),
		   TEST(test_block_of_the_other_stage_is_no_block_of_this_one));
}

/* SPDX-License-Identifier: Apache-2.0
 * Writes that fail under LMDB. What it calls is found here first, as the program's own symbols are.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "ruling_fixture.h"

enum { META_MAX = 200 }; /* a write this small is of a meta page, the commit's last step */

static enum { NO_FAULT, DATA_EIO, SYNC_EIO, META_EIO, META_EIO_AND_WRITTEN, NO_SPACE } fault;
static int faults_left;

static bool fails(void)
{
	if (faults_left == 0)
		return false;
	faults_left--;
	errno = EIO;
	return true;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	bool meta = len < META_MAX && at < 8192;
	if (meta && fault == META_EIO_AND_WRITTEN && faults_left == 2) /* but not the one back */
		syscall(SYS_pwrite64, fd, data, len, at);
	if (meta ? fault >= META_EIO && fails() : fault == DATA_EIO && fails())
		return -1;
	return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	return fault == DATA_EIO && fails() ? -1 : syscall(SYS_writev, fd, iov, n);
}

int fdatasync(int fd)
{
	return fault == SYNC_EIO && fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
	(void)fd, (void)mode, (void)at, (void)len;
	errno = ENOSPC;
	return fault == NO_SPACE ? -1 : 0;
}

static void set_fault(int which, int times)
{
	fault = which;
	faults_left = times;
}

static void expect_whole(uint64_t accepted, uint64_t sent_spans)
{
	struct store *s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	uint64_t held[2] = {0, 0};
	store_each_block(s, count_block, held);
	CHECK_EQ(l.accepted, accepted);
	CHECK_EQ(l.exporter[0].sent, sent_spans);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], held[1]);
	CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 0);
	store_close(s);
}

/* The head write counts twice: LMDB tries to put the old one back. */
static void test_commit_goes_on_after_each_kind_of_failed_write(void)
{
	for (int kind = DATA_EIO; kind <= META_EIO_AND_WRITTEN; kind++) {
		struct store_block b;
		new_dir();
		struct store *s = open_store(ONE, 1);
		struct store_block first = put(s, 1, 4, 30000);
		sent(s, 0, (struct cursor){first.id + 1, 0, 0}, 4);
		set_fault(kind, kind >= META_EIO ? 2 : 1);
		CHECK(try_put(s, 5, 2, 30000, &b) < 0);
		set_fault(NO_FAULT, 0);
		CHECK_EQ(balanced(s).accepted, 4);
		b = put(s, 7, 8, 30000);
		CHECK_EQ(b.id, first.id + 1);
		CHECK_EQ(held_blocks(s), 1);
		CHECK_EQ(balanced(s).accepted, 12);
		put(s, 15, 1, 30000);
		store_close(s);
		expect_whole(13, 4);
		drop_dir();
	}
}

static void test_reader_is_never_under_a_journal_that_is_mapped_anew(void)
{
	struct store_block b;
	struct store_reader *r, *other;
	struct slice bytes;
	struct block open;
	new_dir();
	struct store *s = open_store(ONE, 1);
	b = put(s, 1, 4, 30000);
	CHECK_EQ(store_reader_open(&r, s), 0);
	CHECK_EQ(store_reader_open(&other, s), 0);
	CHECK_EQ(store_reader_begin(other), 0);
	store_reader_end(other);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_block(r, b.id, &bytes), 0);
	set_fault(META_EIO_AND_WRITTEN, 2);
	CHECK(try_put(s, 5, 2, 30000, &b) < 0);
	set_fault(NO_FAULT, 0);
	CHECK(try_put(s, 5, 2, 30000, &b) < 0);   /* r is inside */
	CHECK(store_reader_begin(other) < 0);     /* and nobody else comes in */
	CHECK_EQ(block_open(&open, bytes, 1), 0); /* what r has is still there */
	store_reader_end(r);
	b = put(s, 5, 2, 30000);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_begin(other), 0);
	CHECK_EQ(store_reader_block(r, b.id, &bytes), 0);
	CHECK_EQ(block_open(&open, bytes, b.id), 0);
	store_reader_end(other);
	store_reader_end(r);
	store_close(s);
	expect_whole(6, 0);
	drop_dir();
}

/* What is held can still be sent; a journal that has nothing yet must not begin on hope. */
static void test_small_disk_stops_a_new_journal_and_not_an_old_one(void)
{
	struct store *s;
	struct store_options o = {.dir = test_dir,
				  .limit_bytes = 16 << 20,
				  .exporters = ONE,
				  .n_exporters = 1,
				  .metrics = &test_metrics};
	new_dir();
	set_fault(NO_SPACE, 0);
	CHECK(store_open(&s, &o) < 0);
	CHECK(store_open(&s, &o) < 0);
	set_fault(NO_FAULT, 0);
	s = open_store(ONE, 1);
	for (unsigned i = 0; i < 20; i++)
		put(s, i, 1, 100000);
	store_close(s);
	set_fault(NO_SPACE, 0);
	s = open_store(ONE, 1);
	CHECK_EQ(held_blocks(s), 20);
	store_close(s);
	set_fault(NO_FAULT, 0);
	CHECK_EQ(count_files("journal.mdb.bad", false), 0);
	drop_dir();
}

/* What is in memory, for the file may have to be opened anew before it is read. */
static void expect_unruled_account(struct store *s)
{
	struct ledger l = balanced(s);
	struct store_judged j;
	store_judged(s, &j);
	CHECK(l.received == 40 && l.pending == 38 && l.judged[0] == 0 && l.judged[1] == 2);
	CHECK(j.position == 1 && j.next_chapter == 2);
	CHECK(held_blocks(s) == 0 && pending_blocks(s) == 4);
}

static void expect_unruled(struct store *s)
{
	expect_unruled_account(s);
	CHECK_EQ(chapters_of(s).n, 1);
	CHECK(state_is(s, "budget", "one") && state_is(s, "seeds", NULL));
}

/* Also when it got through to the disk all the same, whatever comes next. */
static void test_nothing_is_left_of_a_ruling_that_failed(void)
{
	struct told told;
	struct store_txn t;
	struct buf kept = {0};
	pb_numbered_request(&kept, 1, 3, 30000);
	static uint8_t large[BLOCK_MAX_PAYLOAD];
	struct store_kept request = {buf_slice(&kept), 3};
	struct store_kept whole_journal = {slice_of(large, sizeof(large)), 1};
	struct store_ruling too_much = {.kept = &whole_journal, .n_kept = 1, .spans = {1}};
	test_judged = true;
	for (int kind = DATA_EIO; kind <= META_EIO_AND_WRITTEN; kind++)
		for (int next = 0; next < 4; next++) {
			new_dir();
			struct store *s = open_store(ONE, 1);
			for (unsigned i = 0; i < 4; i++)
				put_pending(s, i * 10, 10, 3000);
			struct store_ruling r = {.spans = {0, 2},
						 .position = 1,
						 .chapter = slice_str("first"),
						 .states = {{"budget", slice_str("one")}}};
			CHECK_EQ(rule(s, &r, &told), 0);
			struct store_ruling failing = {
			    .kept = &request,
			    .n_kept = 1,
			    .spans = {3, 20},
			    .position = 4,
			    .first_pending = 4,
			    .chapter = slice_str("never"),
			    .first_chapter = 2,
			    .states = {{"budget", slice_str("two")}, {"seeds", slice_str("x")}}};
			set_fault(kind, kind >= META_EIO ? 2 : 1);
			store_begin(&t, s, 3);
			store_append(&t, request.request, 3, 1);
			store_rule(&t, &failing);
			CHECK(commit_telling(&t, &told) < 0);
			CHECK(told.n_kept == 0 && told.n_pending == 0);
			set_fault(NO_FAULT, 0);
			expect_unruled_account(s);
			if (next == 1) { /* a ruling that finds no room, in a file opened anew */
				CHECK_EQ(rule(s, &too_much, &told), STORE_FULL);
				expect_unruled(s);
			}
			if (next >= 2) {
				store_touch(s);
				CHECK_EQ(commit_nothing(s), 0);
				expect_unruled(s);
			}
			if (next == 3) { /* a ruling of the same number, and without those states */
				struct store_ruling empty = {.position = 1};
				CHECK_EQ(rule(s, &empty, &told), 0);
				expect_unruled(s);
			}
			store_close(s);
			s = open_store(ONE, 1);
			expect_unruled(s);
			CHECK_EQ(rule(s, &failing, &told), 0); /* and it may come again */
			CHECK(told.n_kept == 1 && told.kept[0].id == 1);
			CHECK(state_is(s, "budget", "two") && state_is(s, "seeds", "x"));
			CHECK(balanced(s).pending == 15 && pending_blocks(s) == 1);
			CHECK(chapters_of(s).n == 1 && chapters_of(s).number[0] == 2);
			store_close(s);
			drop_dir();
		}
	test_judged = false;
	buf_finish(&kept);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_commit_goes_on_after_each_kind_of_failed_write),
		   TEST(test_reader_is_never_under_a_journal_that_is_mapped_anew),
		   TEST(test_small_disk_stops_a_new_journal_and_not_an_old_one),
		   TEST(test_nothing_is_left_of_a_ruling_that_failed));
}

/* SPDX-License-Identifier: Apache-2.0
 * What is found in a file without its trees, and what a journal is after it was salvaged. Calls
 * that fail are found here before the C library's. */
#include <errno.h>
#include <lmdb.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "ruling_fixture.h"
#include "storage/rescue.h"
#include "wire/parcel.h"

static off_t bad_from = -1, bad_to; /* the disk does not give these bytes */
static bool no_space;
static long writes_left = -1;

ssize_t pread(int fd, void *to, size_t len, off_t at)
{
	if (bad_from >= 0 && at < bad_to && at + (off_t)len > bad_from) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, to, len, at);
}

static bool is_out_of_space(void)
{
	if (writes_left < 0 || writes_left-- > 0)
		return false;
	writes_left = 0;
	errno = ENOSPC;
	return true;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	return is_out_of_space() ? -1 : syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	return is_out_of_space() ? -1 : syscall(SYS_writev, fd, iov, n);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
	(void)fd, (void)mode, (void)at, (void)len;
	errno = ENOSPC;
	return no_space ? -1 : 0;
}

static void overwrite(const char *name, off_t at, const void *data, size_t len)
{
	int fd = open(in_dir(name), O_WRONLY);
	CHECK(fd >= 0);
	CHECK_EQ(syscall(SYS_pwrite64, fd, data, len, at), len);
	close(fd);
}

static const uint8_t zeros[8192];

enum { MAX = 64 };
struct finds {
	uint64_t id[MAX], at[MAX];
	bool placed[MAX];
	unsigned n;
};

static int on_found(void *ctx, const struct rescued *r)
{
	struct finds *f = ctx;
	struct parcel p;
	struct block b;
	CHECK(r->kind == RESCUE_PARCELS ? parcel_open(&p, r->bytes, r->id) == 0
					: block_open(&b, r->bytes, r->id) == 0);
	CHECK(f->n < MAX);
	f->placed[f->n] = r->placed;
	f->at[f->n] = r->at;
	f->id[f->n++] = r->id;
	return 0;
}

static unsigned times(const struct finds *f, uint64_t id)
{
	unsigned n = 0;
	for (unsigned i = 0; i < f->n; i++)
		n += f->id[i] == id;
	return n;
}

static void put_parcel(MDB_txn *txn, MDB_dbi dbi, uint64_t id, size_t bytes)
{
	static uint8_t body[300000];
	memset(body, (int)id, sizeof(body));
	struct parcel p = {.id = id, .n_spans = 1, .body = {body, bytes}};
	MDB_val key = {8, &id}, value = {PARCEL_HEADER + bytes, NULL};
	CHECK_EQ(mdb_put(txn, dbi, &key, &value, MDB_APPEND | MDB_RESERVE), 0);
	parcel_write(value.mv_data, &p);
}

static void make_segment(void)
{
	static const size_t BYTES[] = {1, 100, 300, 1900, 2100, 4000, 4096, 100000, 300000};
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	CHECK_EQ(mdb_env_create(&env), 0);
	CHECK_EQ(mdb_env_set_maxdbs(env, 8), 0);
	CHECK_EQ(mdb_env_set_mapsize(env, 64 << 20), 0);
	CHECK_EQ(mdb_env_open(env, in_dir("s.mdb"), MDB_NOSUBDIR, 0600), 0);
	CHECK_EQ(mdb_txn_begin(env, NULL, 0, &txn), 0);
	CHECK_EQ(mdb_dbi_open(txn, "req", MDB_CREATE | MDB_INTEGERKEY, &dbi), 0);
	for (uint64_t id = 1; id <= 36; id++)
		put_parcel(txn, dbi, id, BYTES[id % 9]);
	CHECK_EQ(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void test_every_whole_parcel_is_found_without_trees(void)
{
	struct finds f = {.n = 0};
	new_dir();
	make_segment();
	CHECK_EQ(rescue_scan(in_dir("s.mdb"), RESCUE_PARCELS, on_found, &f), 0);
	CHECK_EQ(f.n, 36);
	for (uint64_t id = 1; id <= 36; id++)
		CHECK_EQ(times(&f, id), 1);
	for (unsigned i = 0; i < f.n; i++)
		CHECK(f.placed[i]);
	overwrite("s.mdb", 0, zeros, sizeof(zeros)); /* no heads */
	for (unsigned i = 0; i < f.n; i++)
		if (f.id[i] % 9 == 7) /* and a large one with a changed byte each */
			overwrite("s.mdb", (off_t)f.at[i] + 5000, "?", 1);
	f.n = 0;
	CHECK_EQ(rescue_scan(in_dir("s.mdb"), RESCUE_PARCELS, on_found, &f), 0);
	CHECK_EQ(f.n, 32);
	CHECK_EQ(times(&f, 7), 0);
	f.n = 0;
	CHECK_EQ(rescue_scan(in_dir("s.mdb"), RESCUE_BLOCKS, on_found, &f), 0);
	CHECK_EQ(f.n, 0);
	CHECK(rescue_scan(in_dir("none.mdb"), RESCUE_BLOCKS, on_found, &f) < 0);
	drop_dir();
}

static void test_pages_that_the_disk_does_not_give_cost_what_is_in_them(void)
{
	struct finds f = {.n = 0}, less = {.n = 0};
	new_dir();
	make_segment();
	CHECK_EQ(rescue_scan(in_dir("s.mdb"), RESCUE_PARCELS, on_found, &f), 0);
	unsigned hit = 0;
	while (f.id[hit] % 9 != 8)
		hit++;
	bad_from = (off_t)f.at[hit] + 8192; /* within a parcel of 300 KB */
	bad_to = bad_from + 4096;
	CHECK_EQ(rescue_scan(in_dir("s.mdb"), RESCUE_PARCELS, on_found, &less), 0);
	bad_from = -1;
	CHECK_EQ(less.n, 35);
	CHECK_EQ(times(&less, f.id[hit]), 0);
	drop_dir();
}

/* A client can write what looks like a page with a block on it into a span. */
static void test_what_a_client_wrote_into_a_payload_is_no_block(void)
{
	static uint8_t page[4096], payload[60000];
	struct finds f = {.n = 0};
	struct block fake = {.id = 4711, .n_spans = 1, .n_records = 1, .head = 4711};
	struct store_txn t;
	new_dir();
	struct store *s = open_store(ONE, 1);
	page[10] = 4; /* an overflow page of one page */
	page[12] = 1;
	fake.records = slice_of(page + 16 + BLOCK_HEADER, 1000);
	block_seal(page + 16, &fake);
	for (size_t at = 4096 - 16 - BLOCK_HEADER - RECORD_HEADER; at + 4096 <= sizeof(payload);
	     at += 4096)
		memcpy(payload + at, page, sizeof(page));
	store_begin(&t, s, 1);
	store_append(&t, slice_of(payload, sizeof(payload)), 1, 0);
	CHECK_EQ(store_commit(&t, NULL), 0);
	store_close(s);
	CHECK_EQ(rescue_scan(in_dir("journal.mdb"), RESCUE_BLOCKS, on_found, &f), 0);
	CHECK(f.n == 1 && f.id[0] == 1);
	/* Once the block around it is damaged it may be found, but never as placed. */
	overwrite("journal.mdb", (off_t)f.at[0] + 20, "?", 1);
	f.n = 0;
	CHECK_EQ(rescue_scan(in_dir("journal.mdb"), RESCUE_BLOCKS, on_found, &f), 0);
	for (unsigned i = 0; i < f.n; i++)
		CHECK(!f.placed[i]);
	drop_dir();
}

static void fill(unsigned from, unsigned to)
{
	struct store *s = open_store(ONE, 1);
	for (unsigned i = from; i < to; i++) {
		struct store_block b = put(s, i + 1, 1, i % 3 == 0 ? 100 : 20000);
		if (i % 4 == 0 && i > 8) /* 8 blocks stay behind */
			sent(s, 0, (struct cursor){b.id - 8, 0, 0},
			     balanced(s).exporter[0].held[PLACE_JOURNAL] - 9);
	}
	CHECK_EQ(commit_nothing(s), 0);
	store_close(s);
}

static void test_blocks_tell_which_are_done_with_when_the_account_is_gone(void)
{
	static uint8_t file[4 << 20];
	new_dir();
	fill(0, 40);
	struct store *s = open_store(ONE, 1);
	uint64_t held = held_blocks(s);
	store_close(s);
	CHECK(held >= 9 && held <= 13);
	int fd = open(in_dir("journal.mdb"), O_RDONLY);
	ssize_t len = read(fd, file, sizeof(file));
	close(fd);
	for (ssize_t at = 0; at + 10 < len; at++) /* every record that ever was */
		if (memcmp(file + at, "exporter a", 10) == 0 || memcmp(file + at, "state", 5) == 0)
			overwrite("journal.mdb", at, "\x7f\x7f\x7f\x7f", 4);
	overwrite("journal.mdb", 0, zeros, sizeof(zeros));
	s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	CHECK(held_blocks(s) >= held && held_blocks(s) <= held + 4);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], held_blocks(s));
	CHECK_EQ(put(s, 1000, 1, 10).id, 41); /* no id is given twice */
	store_close(s);
	drop_dir();
}

static void test_left_over_of_an_interrupted_salvage_is_made_anew(void)
{
	new_dir();
	fill(0, 8);
	overwrite("journal.mdb", 0, zeros, sizeof(zeros));
	int fd = open(in_dir("journal.mdb.new"), O_WRONLY | O_CREAT, 0600);
	CHECK_EQ(write(fd, "half of something", 17), 17);
	close(fd);
	struct store *s = open_store(ONE, 1);
	CHECK_EQ(held_blocks(s), 8);
	CHECK_EQ(balanced(s).exporter[0].dropped[DROP_DAMAGED], 0);
	store_close(s);
	CHECK_EQ(count_files("journal.mdb.new", false), 0);
	CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
	drop_dir();
}

/* A relay with little room is better than none, and what did not fit is in the account. */
static void test_salvage_with_little_space_saves_what_fits(void)
{
	for (long writes = 6; writes < 60; writes += 9) {
		new_dir();
		fill(0, 8);
		overwrite("journal.mdb", 0, zeros, sizeof(zeros));
		struct store *s = NULL;
		struct store_options o = {.dir = test_dir,
					  .limit_bytes = 16 << 20,
					  .exporters = ONE,
					  .n_exporters = 1,
					  .metrics = &test_metrics};
		no_space = true;
		writes_left = writes;
		int rc = store_open(&s, &o);
		no_space = false;
		writes_left = -1;
		if (rc != 0) /* not even what opening writes */
			s = open_store(ONE, 1);
		struct ledger l = balanced(s);
		CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], held_blocks(s));
		CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 8 - held_blocks(s));
		CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
		store_close(s);
		drop_dir();
	}
}

/* The rest is in the account as well, as damaged. */
static void test_salvage_with_little_space_saves_the_pending_blocks_that_fit(void)
{
	for (long writes = 6; writes < 60; writes += 9) {
		new_dir();
		test_judged = true;
		struct store *s = open_store(ONE, 1);
		for (unsigned i = 0; i < 8; i++)
			put_pending(s, i, 1, i % 3 == 0 ? 100 : 20000);
		store_close(s);
		overwrite("journal.mdb", 0, zeros, sizeof(zeros));
		struct store_options o = {.dir = test_dir,
					  .limit_bytes = 16 << 20,
					  .exporters = ONE,
					  .n_exporters = 1,
					  .judged = true,
					  .metrics = &test_metrics};
		no_space = true;
		writes_left = writes;
		int rc = store_open(&s, &o);
		no_space = false;
		writes_left = -1;
		if (rc != 0)
			s = open_store(ONE, 1);
		struct ledger l = balanced(s);
		CHECK_EQ(l.pending, pending_blocks(s));
		CHECK_EQ(l.judged[STORE_VERDICTS - 1], 8 - pending_blocks(s));
		store_close(s);
		test_judged = false;
		drop_dir();
	}
}

/* Exporters have been told of what is kept. */
static void test_salvage_into_a_smaller_journal_saves_kept_blocks_first(void)
{
	struct store *s = NULL;
	struct store_options o = {.dir = test_dir,
				  .limit_bytes = 48 << 20,
				  .exporters = ONE,
				  .n_exporters = 1,
				  .judged = true,
				  .metrics = &test_metrics};
	struct buf request = {0};
	new_dir();
	CHECK_EQ(store_open(&s, &o), 0);
	pb_numbered_request(&request, 1, 1, 200000);
	struct store_kept kept = {buf_slice(&request), 1};
	for (unsigned i = 1; i <= 80; i++) {
		struct told told;
		struct store_ruling r = {
		    .kept = &kept, .n_kept = 1, .spans = {1}, .position = i, .first_pending = 1};
		put_pending(s, i, 2, 100000);
		if (i % 4 != 0)
			CHECK_EQ(rule(s, &r, &told), 0);
	}
	store_close(s);
	overwrite("journal.mdb", 0, zeros, sizeof(zeros));
	o.limit_bytes = 16 << 20;
	CHECK_EQ(store_open(&s, &o), 0);
	struct ledger l = balanced(s);
	CHECK_EQ(held_blocks(s), 60);
	CHECK(pending_blocks(s) > 10 && pending_blocks(s) < 25);
	CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 0);
	CHECK_EQ(l.pending, 2 * pending_blocks(s));
	CHECK_EQ(l.judged[STORE_VERDICTS - 1], 100 - l.pending);
	store_close(s);
	buf_finish(&request);
	drop_dir();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_every_whole_parcel_is_found_without_trees),
		   TEST(test_pages_that_the_disk_does_not_give_cost_what_is_in_them),
		   TEST(test_what_a_client_wrote_into_a_payload_is_no_block),
		   TEST(test_blocks_tell_which_are_done_with_when_the_account_is_gone),
		   TEST(test_left_over_of_an_interrupted_salvage_is_made_anew),
		   TEST(test_salvage_with_little_space_saves_what_fits),
		   TEST(test_salvage_with_little_space_saves_the_pending_blocks_that_fit),
		   TEST(test_salvage_into_a_smaller_journal_saves_kept_blocks_first));
}

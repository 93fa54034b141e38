/* SPDX-License-Identifier: Apache-2.0
 * What a start makes of a journal that was damaged, or whose exporters changed. */
#include <lmdb.h>

#include "fixture.h"

static void write_file(const char *name, const void *data, size_t len)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, data, len), len);
	close(fd);
}

/* Opens what is there, expects it set aside, what was whole in it in a new journal, and that to
 * work. */
static void expect_set_aside(uint64_t least, uint64_t most)
{
	CHECK_EQ(count_files("journal.mdb.bad-", false), 0);
	struct store *s = open_store(ONE, 1);
	CHECK(count_files("journal.mdb.bad-", false) >= 1);
	uint64_t held = held_blocks(s);
	struct ledger l = balanced(s);
	CHECK(held >= least && held <= most);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], held);
	CHECK(l.exporter[0].dropped[DROP_DAMAGED] == most - held ||
	      l.exporter[0].entered == held); /* the account is lost as well */
	put(s, 1, 3, 100);
	store_close(s);
	s = open_store(ONE, 1);
	CHECK_EQ(balanced(s).exporter[0].held[PLACE_JOURNAL], held + 3);
	store_close(s);
	CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
	CHECK_EQ(count_files("journal.mdb.new", false), 0);
	count_files("", true);
}

static void fill(void)
{
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 40; i++)
		put(s, i, 1, 20000);
	store_close(s);
}

static void test_foreign_files_are_set_aside(void)
{
	static uint8_t garbage[100000];
	new_dir();
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)random();
	write_file("journal.mdb", garbage, 0);
	expect_set_aside(0, 0);
	write_file("journal.mdb", "SQLite format 3", 16);
	expect_set_aside(0, 0);
	write_file("journal.mdb", garbage, sizeof(garbage));
	expect_set_aside(0, 0);
	memset(garbage, 0, sizeof(garbage));
	write_file("journal.mdb", garbage, sizeof(garbage));
	expect_set_aside(0, 0);
	drop_dir();
}

/* LMDB, whole, and another program's. */
static void test_foreign_database_is_set_aside(void)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	char word[] = "word";
	MDB_val key = {4, word}, value = {4, word};
	new_dir();
	CHECK_EQ(mdb_env_create(&env), 0);
	CHECK_EQ(mdb_env_open(env, in_dir("journal.mdb"), MDB_NOSUBDIR, 0600), 0);
	CHECK_EQ(mdb_txn_begin(env, NULL, 0, &txn), 0);
	CHECK_EQ(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	CHECK_EQ(mdb_put(txn, dbi, &key, &value, 0), 0);
	CHECK_EQ(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	expect_set_aside(0, 0);
	drop_dir();
}

static void test_truncated_journal_is_set_aside(void)
{
	static const long LENGTHS[] = {100, 4096, 8192, 8292, 65536, -4096, -1};
	new_dir();
	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		struct stat st;
		fill();
		CHECK_EQ(stat(in_dir("journal.mdb"), &st), 0);
		off_t len = LENGTHS[i] >= 0 ? LENGTHS[i] : st.st_size + LENGTHS[i];
		CHECK_EQ(truncate(in_dir("journal.mdb"), len), 0);
		expect_set_aside(LENGTHS[i] < 0 ? 39 : 0, 40);
	}
	drop_dir();
}

static void overwrite(off_t at, const void *data, size_t len)
{
	int fd = open(in_dir("journal.mdb"), O_WRONLY);
	CHECK(fd >= 0);
	CHECK_EQ(pwrite(fd, data, len, at), len);
	close(fd);
}

static void test_damaged_head_is_set_aside(void)
{
	static const uint8_t zeros[8192];
	static const uint32_t page_sizes[] = {0, 3, 1u << 31};
	new_dir();
	fill();
	overwrite(0, zeros, 4096);
	expect_set_aside(40, 40);
	fill();
	overwrite(4096, zeros, 4096);
	expect_set_aside(40, 40);
	fill();
	overwrite(0, zeros, 8192);
	expect_set_aside(40, 40);
	for (int i = 0; i < 3; i++) {
		fill();
		overwrite(40, &page_sizes[i], 4); /* LMDB would divide by it */
		expect_set_aside(40, 40);
	}
	drop_dir();
}

/* Where the bytes of a block stand in the file. */
static off_t find_block(uint64_t id)
{
	uint8_t page[4096];
	int fd = open(in_dir("journal.mdb"), O_RDONLY);
	for (off_t at = 0; pread(fd, page, sizeof(page), at) == sizeof(page); at += 4096)
		if (memcmp(page + 16, "RLB1", 4) == 0 && memcmp(page + 24, &id, 8) == 0) {
			close(fd);
			return at + 16;
		}
	printf("FAIL no block %" PRIu64 " in the file\n", id);
	exit(1);
}

static void test_block_with_a_flipped_bit_is_skipped_and_counted(void)
{
	new_dir();
	struct store *s = open_store(TWO, 2);
	struct store_block first = put(s, 1, 10, 1000), bad = put(s, 11, 20, 1000);
	put(s, 31, 40, 1000);
	sent(s, 1, (struct cursor){bad.id, 0, 5}, 15);
	store_close(s);
	overwrite(find_block(bad.id) + 5000, "?", 1);

	uint64_t before = metric_get(&test_metrics, METRIC_JOURNAL_BAD_BLOCKS);
	s = open_store(TWO, 2);
	CHECK_EQ(metric_get(&test_metrics, METRIC_JOURNAL_BAD_BLOCKS), before + 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 20);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 50);
	CHECK_EQ(l.exporter[1].dropped[DROP_DAMAGED], 15); /* 5 were sent before */
	CHECK_EQ(l.exporter[1].held[PLACE_JOURNAL], 40);
	CHECK_EQ(l.exporter[1].kept[PLACE_OUTBOX], LEDGER_KEEP_ALL); /* it may have them */
	CHECK_EQ(held_blocks(s), 2);
	struct store_reader *r;
	struct slice bytes;
	CHECK_EQ(store_reader_open(&r, s), 0);
	CHECK_EQ(store_reader_begin(r), 0);
	CHECK_EQ(store_reader_block(r, bad.id, &bytes), STORE_GONE);
	CHECK_EQ(store_reader_block(r, first.id, &bytes), 0);
	store_reader_end(r);
	store_reader_close(r);
	store_close(s);

	s = open_store(TWO, 2); /* it is said once */
	CHECK_EQ(metric_get(&test_metrics, METRIC_JOURNAL_BAD_BLOCKS), before + 1);
	CHECK_EQ(balanced(s).exporter[0].dropped[DROP_DAMAGED], 20);
	store_close(s);
	drop_dir();
}

/* Looks into the journal behind the store's back. */
static MDB_txn *begin_raw(MDB_env **env, const char *database, MDB_dbi *dbi)
{
	MDB_txn *txn;
	CHECK_EQ(mdb_env_create(env), 0);
	CHECK_EQ(mdb_env_set_maxdbs(*env, 8), 0);
	CHECK_EQ(mdb_env_open(*env, in_dir("journal.mdb"), MDB_NOSUBDIR, 0600), 0);
	CHECK_EQ(mdb_txn_begin(*env, NULL, 0, &txn), 0);
	CHECK_EQ(mdb_dbi_open(txn, database, 0, dbi), 0);
	return txn;
}

/* No checksum can tell that a block is not there, the account does. */
static void test_missing_block_is_counted(void)
{
	MDB_env *env;
	MDB_dbi dbi;
	uint64_t id = 2;
	MDB_val key = {sizeof(id), &id};
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 3; i++)
		put(s, i * 10, 10, 1000);
	store_close(s);
	MDB_txn *txn = begin_raw(&env, "blk", &dbi);
	CHECK_EQ(mdb_del(txn, dbi, &key, NULL), 0);
	CHECK_EQ(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 10);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 20);
	store_close(s);
	drop_dir();
}

/* The tree is wrong then, not the block: the whole file is salvaged. */
static void test_block_under_another_ones_id_is_saved(void)
{
	MDB_env *env;
	MDB_dbi dbi;
	uint64_t id = 3, other = 7;
	MDB_val key = {sizeof(id), &id}, value, other_key = {sizeof(other), &other};
	static uint8_t copy[32768];
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 3; i++)
		put(s, i * 10, 10, 1000);
	store_close(s);
	MDB_txn *txn = begin_raw(&env, "blk", &dbi);
	CHECK_EQ(mdb_get(txn, dbi, &key, &value), 0);
	CHECK(value.mv_size < sizeof(copy));
	memcpy(copy, value.mv_data, value.mv_size);
	value.mv_data = copy;
	CHECK_EQ(mdb_put(txn, dbi, &other_key, &value, 0), 0);
	CHECK_EQ(mdb_del(txn, dbi, &key, NULL), 0);
	CHECK_EQ(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	s = open_store(ONE, 1);
	CHECK_EQ(held_blocks(s), 3);
	CHECK_EQ(balanced(s).exporter[0].dropped[DROP_DAMAGED], 0);
	CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
	store_close(s);
	drop_dir();
}

static void test_cursor_within_a_record_is_exact_over_a_restart(void)
{
	new_dir();
	struct store *s = open_store(ONE, 1);
	struct store_txn t;
	struct store_block b;
	struct buf request[3] = {0};
	store_begin(&t, s, 1);
	for (uint32_t i = 0; i < 3; i++) {
		pb_numbered_request(&request[i], i * 10, i + 5, 50 + i);
		store_append(&t, buf_slice(&request[i]), i + 5, 0);
	}
	CHECK_EQ(store_commit(&t, &(struct store_told){.on_block = remember_block, .ctx = &b}), 0);
	uint32_t second = record_size((uint32_t)request[0].len);
	sent(s, 0, (struct cursor){b.id, second, 4}, 5 + 4);
	store_close(s);
	s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 2 + 7);
	CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 0);
	struct cursor c = l.exporter[0].cursor[PLACE_JOURNAL];
	CHECK(c.block_id == b.id && c.offset == second && c.span == 4);
	store_close(s);
	for (int i = 0; i < 3; i++)
		buf_finish(&request[i]);
	drop_dir();
}

static void test_wrong_account_is_corrected_by_the_blocks(void)
{
	new_dir();
	struct store *s = open_store(ONE, 1);
	struct store_block b = put(s, 1, 10, 1000);
	sent(s, 0, (struct cursor){b.id, 0, 4}, 3); /* a sender that miscounts: 4 done, 3 told */
	store_close(s);
	s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 6);
	CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 1);
	store_close(s);
	drop_dir();
}

static void test_cursor_at_no_record_sends_the_block_again(void)
{
	new_dir();
	struct store *s = open_store(ONE, 1);
	struct store_block b = put(s, 1, 10, 1000);
	sent(s, 0, (struct cursor){b.id, 3, 2}, 2);
	store_close(s);
	s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 10);
	CHECK_EQ(l.exporter[0].cursor[PLACE_JOURNAL].offset +
		     l.exporter[0].cursor[PLACE_JOURNAL].span,
		 0);
	store_close(s);
	drop_dir();
}

static void test_exporters_come_and_go_and_every_span_is_accounted(void)
{
	static const char *const B_C[] = {"b", "c"}, *const A_B_C[] = {"a", "b", "c"};
	new_dir();
	struct store *s = open_store(TWO, 2);
	struct store_block first = put(s, 1, 10, 1000);
	put(s, 11, 5, 1000);
	sent(s, 0, (struct cursor){first.id, 0, 4}, 4);
	sent(s, 1, (struct cursor){first.id, 0, 7}, 7);
	store_close(s);

	s = open_store(B_C, 2); /* a is gone, c is new, b now comes first */
	struct ledger l = balanced(s);
	CHECK(l.n_exporters == 2 && l.n_removed == 1);
	CHECK_STR(l.exporter[0].name, "b");
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 8);
	CHECK_STR(l.exporter[1].name, "c");
	CHECK_EQ(l.exporter[1].entered, 15);
	CHECK_EQ(l.exporter[1].cursor[PLACE_JOURNAL].block_id, 0);
	CHECK_STR(l.exporter[2].name, "a");
	CHECK_EQ(l.exporter[2].dropped[DROP_EXPORTER_REMOVED], 11);
	put(s, 16, 1, 1000);
	CHECK_EQ(balanced(s).exporter[2].entered, 15);
	store_close(s);

	s = open_store(A_B_C, 3); /* a is back: on from where it stood */
	l = balanced(s);
	CHECK(l.n_exporters == 3 && l.n_removed == 0);
	CHECK_EQ(l.exporter[0].cursor[PLACE_JOURNAL].span, 4);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 12);
	CHECK_EQ(l.exporter[0].dropped[DROP_EXPORTER_REMOVED], 11);
	CHECK_EQ(l.exporter[0].kept[PLACE_OUTBOX], LEDGER_KEEP_ALL);
	CHECK_EQ(l.exporter[1].held[PLACE_JOURNAL], 9);
	CHECK_EQ(l.exporter[2].held[PLACE_JOURNAL], 16);
	store_close(s);
	drop_dir();
}

static void test_many_removed_exporters_are_forgotten_in_the_end(void)
{
	new_dir();
	for (unsigned i = 0; i < 40; i++) {
		char name[16];
		const char *names[] = {name, "always"};
		snprintf(name, sizeof(name), "e%u", i);
		struct store *s = open_store(names, 2);
		put(s, i, 1, 10);
		struct ledger l = balanced(s);
		CHECK_EQ(l.exporter[1].held[PLACE_JOURNAL], i + 1);
		CHECK(l.n_exporters + l.n_removed <= STORE_MAX_EXPORTERS);
		store_close(s);
	}
	MDB_env *env;
	MDB_dbi dbi;
	MDB_stat stat;
	MDB_txn *txn = begin_raw(&env, "meta", &dbi);
	CHECK_EQ(mdb_stat(txn, dbi, &stat), 0);
	CHECK_EQ(stat.ms_entries, STORE_MAX_EXPORTERS + 3); /* format, lmdb, state */
	mdb_txn_abort(txn);
	mdb_env_close(env);
	drop_dir();
}

static void test_account_record_with_a_flipped_bit_is_not_believed(void)
{
	uint8_t file[65536];
	new_dir();
	struct store *s = open_store(ONE, 1);
	struct store_block b = put(s, 1, 10, 1000);
	sent(s, 0, (struct cursor){b.id, 0, 4}, 4);
	store_close(s);
	int fd = open(in_dir("journal.mdb"), O_RDONLY);
	ssize_t len = pread(fd, file, sizeof(file), 0);
	close(fd);
	for (ssize_t at = 0; at + 10 < len; at++) /* every copy of exporter a's cursor */
		if (memcmp(file + at, "exporter a", 10) == 0)
			overwrite(at + 10, "\x7f", 1);
	s = open_store(ONE, 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[0].cursor[PLACE_JOURNAL].block_id, 0);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 10);
	CHECK_EQ(l.exporter[0].kept[PLACE_QUARANTINE], LEDGER_KEEP_ALL);
	store_close(s);
	drop_dir();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_foreign_files_are_set_aside), TEST(test_foreign_database_is_set_aside),
		   TEST(test_truncated_journal_is_set_aside), TEST(test_damaged_head_is_set_aside),
		   TEST(test_block_with_a_flipped_bit_is_skipped_and_counted),
		   TEST(test_missing_block_is_counted),
		   TEST(test_block_under_another_ones_id_is_saved),
		   TEST(test_cursor_within_a_record_is_exact_over_a_restart),
		   TEST(test_wrong_account_is_corrected_by_the_blocks),
		   TEST(test_cursor_at_no_record_sends_the_block_again),
		   TEST(test_exporters_come_and_go_and_every_span_is_accounted),
		   TEST(test_many_removed_exporters_are_forgotten_in_the_end),
		   TEST(test_account_record_with_a_flipped_bit_is_not_believed));
}

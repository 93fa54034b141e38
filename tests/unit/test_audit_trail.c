/* SPDX-License-Identifier: Apache-2.0
 * The audit log on disk: what a crash leaves is mended, files follow each other, old ones go. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/folder.h"
#include "audit/trail.h"
#include "audit_fixture.h"

enum { SMALL = 64 << 10 };

static char folder[64];
static struct audit_trail_options options;

static void begin(void)
{
	snprintf(folder, sizeof(folder), "/tmp/spanrelay-audit-XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	options = (struct audit_trail_options){.folder = folder,
					       .key = the_key(),
					       .boot_id = BOOT,
					       .limit_bytes = 1 << 20,
					       .keep_ms = 1000000};
}

static void path_to(char out[AUDIT_PATH], enum audit_file_kind kind, uint64_t first)
{
	CHECK_EQ(audit_path(out, folder, kind, first), 0);
}

static void end(void)
{
	for (int k = 0; k < AUDIT_FILE_KINDS; k++) {
		struct audit_files l;
		char path[AUDIT_PATH];
		CHECK_EQ(audit_list(&l, folder, (enum audit_file_kind)k), 0);
		for (size_t i = 0; i < l.n; i++) {
			path_to(path, (enum audit_file_kind)k, l.files[i].first);
			CHECK_EQ(unlink(path), 0);
		}
		audit_list_finish(&l);
	}
	CHECK_EQ(rmdir(folder), 0);
}

static struct audit_trail *open_it(struct audit_found *found)
{
	struct audit_trail *t = NULL;
	CHECK_EQ(audit_trail_open(&t, &options, found), 0);
	return t;
}

static int write_records(struct audit_trail *t, int n, enum audit_kind kind)
{
	struct audit_record r;
	audit_record_init(&r, kind, "main", "done", NULL);
	for (int i = 0; i < n; i++)
		CHECK_EQ(audit_trail_add(t, &r, EARLY), 0);
	return audit_trail_commit(t);
}

static int write_block(struct audit_trail *t, uint32_t n, uint64_t chapter)
{
	struct audit_decision d[64] = {{.spans = 7}};
	struct audit_record r;
	struct audit_block b = {.n = n, .begin_ms = EARLY, .chapter = chapter};
	audit_record_init(&r, AUDIT_DECISIONS, "traces", "decided", NULL);
	int rc = audit_trail_block(t, b, d, &r, EARLY);
	return rc != 0 ? rc : audit_trail_commit(t);
}

/* As the command does it. */
static struct audit_verifier verify(void)
{
	struct audit_verifier v = {.keys = {the_key()}, .n_keys = 1};
	for (int k = 0; k < AUDIT_FILE_KINDS; k++) {
		struct audit_files l;
		CHECK_EQ(audit_list(&l, folder, (enum audit_file_kind)k), 0);
		for (size_t i = 0; i < l.n; i++) {
			struct buf b = {.data = NULL};
			char path[AUDIT_PATH];
			path_to(path, (enum audit_file_kind)k, l.files[i].first);
			CHECK_EQ(audit_read_file(path, &b), 0);
			if (k == AUDIT_CHAIN_FILE)
				audit_verify_chain(&v, buf_slice(&b), i + 1 == l.n);
			else
				audit_verify_blocks(&v, buf_slice(&b));
			buf_finish(&b);
		}
		audit_list_finish(&l);
		if (k == AUDIT_CHAIN_FILE)
			audit_verify_chain_end(&v);
	}
	audit_verify_blocks_end(&v);
	audit_verify_finish(&v);
	return v;
}

static void want_whole(uint64_t last, uint64_t blocks)
{
	struct audit_verifier v = verify();
	CHECK_STR(AUDIT_DAMAGE_NAMES[v.damage], AUDIT_DAMAGE_NAMES[AUDIT_WHOLE]);
	CHECK_EQ(v.head.seq, last);
	CHECK_EQ(v.blocks, blocks);
}

static void spoil(enum audit_file_kind kind, uint64_t first, const void *bytes, size_t len)
{
	char path[AUDIT_PATH];
	path_to(path, kind, first);
	int fd = open(path, O_WRONLY | O_APPEND);
	CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

static void test_the_chain_goes_on_over_restarts(void)
{
	struct audit_found f;
	begin();
	struct audit_trail *t = open_it(&f);
	CHECK(f.head.seq == 0 && !f.is_stopped);
	CHECK_EQ(write_records(t, 3, AUDIT_START), 0);
	audit_trail_close(t);
	t = open_it(&f);
	CHECK(f.head.seq == 3 && !f.is_stopped && f.torn_bytes == 0);
	CHECK_EQ(write_records(t, 1, AUDIT_STOP), 0);
	audit_trail_close(t);
	t = open_it(&f);
	CHECK(f.head.seq == 4 && f.is_stopped);
	audit_trail_close(t);
	want_whole(4, 0);
	end();
}

static void test_a_torn_tail_is_cut_and_the_chain_goes_on(void)
{
	static const char ZEROS[4096] = {0}, HALF[] = "{\"seq\":3,\"ts\":\"2026-";
	static const struct slice TAILS[] = {{(const uint8_t *)HALF, sizeof(HALF) - 1},
					     {(const uint8_t *)HALF, 1},
					     {(const uint8_t *)ZEROS, sizeof(ZEROS)}};
	for (size_t i = 0; i < sizeof(TAILS) / sizeof(TAILS[0]); i++) {
		struct audit_found f;
		begin();
		struct audit_trail *t = open_it(&f);
		CHECK_EQ(write_records(t, 2, AUDIT_START), 0);
		audit_trail_close(t);
		spoil(AUDIT_CHAIN_FILE, 1, TAILS[i].data, TAILS[i].len);
		t = open_it(&f);
		CHECK(f.head.seq == 2 && f.torn_bytes == TAILS[i].len && !f.is_damaged);
		CHECK_EQ(write_records(t, 1, AUDIT_CHAIN), 0);
		audit_trail_close(t);
		want_whole(3, 0);
		end();
	}
}

static void test_a_file_with_nothing_whole_in_it_is_as_if_it_were_not_there(void)
{
	struct audit_found f;
	char path[AUDIT_PATH];
	begin();
	struct audit_trail *t = open_it(&f);
	CHECK_EQ(write_records(t, 2, AUDIT_START), 0);
	audit_trail_close(t);
	for (int bytes = 0; bytes <= 3; bytes += 3) {
		path_to(path, AUDIT_CHAIN_FILE, 3);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		CHECK(fd >= 0 && write(fd, "{\"s", (size_t)bytes) == bytes && close(fd) == 0);
		t = open_it(&f);
		CHECK(f.head.seq == 2);
		audit_trail_close(t);
	}
	want_whole(2, 0);
	end();
}

static void test_damage_stays_and_the_chain_goes_on_behind_it(void)
{
	struct audit_found f;
	char path[AUDIT_PATH];
	begin();
	struct audit_trail *t = open_it(&f);
	CHECK_EQ(write_records(t, 4, AUDIT_START), 0);
	audit_trail_close(t);
	path_to(path, AUDIT_CHAIN_FILE, 1);
	int fd = open(path, O_WRONLY);
	CHECK(fd >= 0 && pwrite(fd, "X", 1, 400) == 1 && close(fd) == 0);
	t = open_it(&f);
	CHECK(f.is_damaged && f.head.seq == 4);
	CHECK_EQ(write_records(t, 1, AUDIT_CHAIN), 0);
	audit_trail_close(t);
	struct audit_verifier v = verify();
	CHECK_STR(AUDIT_DAMAGE_NAMES[v.damage], "edited");
	CHECK_EQ(v.seq, 2);
	t = open_it(&f); /* the new file is fine */
	CHECK(!f.is_damaged && f.head.seq == 5);
	audit_trail_close(t);
	end();
}

static void test_another_key_begins_a_file(void)
{
	struct audit_found f;
	struct slice second = slice_str("fedcba9876543210fedcba9876543210");
	begin();
	options.key = second;
	struct audit_trail *t = open_it(&f);
	CHECK_EQ(write_records(t, 2, AUDIT_START), 0);
	audit_trail_close(t);
	options.key = the_key();
	t = open_it(&f);
	CHECK(f.other_key && !f.is_damaged && f.head.seq == 2);
	CHECK_EQ(write_records(t, 1, AUDIT_START), 0);
	audit_trail_close(t);
	struct audit_files l;
	CHECK_EQ(audit_list(&l, folder, AUDIT_CHAIN_FILE), 0);
	CHECK_EQ(l.n, 2);
	audit_list_finish(&l);
	end();
}

static void test_files_follow_each_other_and_the_oldest_go(void)
{
	struct audit_found f;
	begin();
	options.limit_bytes = SMALL * 16;
	struct audit_trail *t = open_it(&f);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(write_records(t, 10, AUDIT_DROP), 0);
		CHECK_EQ(write_block(t, 64, (uint64_t)i), 0);
		if (audit_trail_is_due(t))
			CHECK_EQ(audit_trail_retire(t, EARLY), 0);
		CHECK(!audit_trail_is_due(t));
		/* with one file more than a quarter, and than the rest */
		CHECK(audit_trail_bytes(t) <= options.limit_bytes + 2 * SMALL);
	}
	audit_trail_close(t);
	struct audit_verifier v = verify();
	CHECK_STR(AUDIT_DAMAGE_NAMES[v.damage], "whole");
	CHECK(v.first > 1 && v.retired_seq == v.first - 1 && v.head.seq > 2200);
	/* what retention did not give up is missed */
	char path[AUDIT_PATH];
	struct audit_files l;
	CHECK_EQ(audit_list(&l, folder, AUDIT_CHAIN_FILE), 0);
	path_to(path, AUDIT_CHAIN_FILE, l.files[0].first);
	CHECK_EQ(unlink(path), 0);
	v = verify();
	CHECK(v.damage == AUDIT_DELETED && v.seq == l.files[0].first);
	audit_list_finish(&l);
	end();
}

static void test_what_is_too_old_goes(void)
{
	struct audit_found f;
	begin();
	struct audit_trail *t = open_it(&f);
	for (int i = 0; i < 30; i++)
		CHECK_EQ(write_records(t, 10, AUDIT_DROP), 0);
	uint64_t before = audit_trail_bytes(t);
	CHECK_EQ(audit_trail_retire(t, EARLY), 0);
	CHECK_EQ(audit_trail_bytes(t), before);
	CHECK_EQ(audit_trail_retire(t, UINT64_C(4000000000000)), 0);
	CHECK(audit_trail_bytes(t) < before);
	audit_trail_close(t);
	struct audit_verifier v = verify();
	CHECK(v.damage == AUDIT_WHOLE && v.first > 1);
	end();
}

static void test_blocks_are_anchored(void)
{
	struct audit_found f;
	char path[AUDIT_PATH];
	begin();
	struct audit_trail *t = open_it(&f);
	for (uint64_t i = 1; i <= 3; i++)
		CHECK_EQ(write_block(t, 5, 10 * i), 0);
	audit_trail_close(t);
	want_whole(3, 3);
	t = open_it(&f);
	CHECK_EQ(f.chapter, 30);
	CHECK_EQ(write_block(t, 5, 40), 0);
	audit_trail_close(t);
	want_whole(4, 4);
	path_to(path, AUDIT_BLOCK_FILE, 1);
	int fd = open(path, O_RDWR);
	size_t block = sizeof(struct audit_block) + 5 * sizeof(struct audit_decision);
	CHECK(fd >= 0 && pwrite(fd, "X", 1, (off_t)(block + 100)) == 1);
	struct audit_verifier v = verify();
	CHECK(v.damage == AUDIT_BLOCK_EDITED && v.seq == 2);
	CHECK(ftruncate(fd, (off_t)block) == 0 && close(fd) == 0);
	v = verify();
	CHECK(v.damage == AUDIT_BLOCK_DELETED && v.seq == 2);
	end();
}

static void test_a_block_without_its_anchor_is_cut(void)
{
	struct audit_block b = {.magic = AUDIT_BLOCK_MAGIC, .n = 1, .number = 2};
	struct audit_decision d = {.spans = 1};
	struct audit_found f;
	begin();
	struct audit_trail *t = open_it(&f);
	CHECK_EQ(write_block(t, 5, 10), 0);
	audit_trail_close(t);
	spoil(AUDIT_BLOCK_FILE, 1, &b, sizeof(b));
	spoil(AUDIT_BLOCK_FILE, 1, &d, sizeof(d));
	struct audit_verifier v = verify();
	CHECK(v.damage == AUDIT_WHOLE && v.unanchored == 1);
	t = open_it(&f);
	CHECK_EQ(f.torn_bytes, sizeof(b) + sizeof(d));
	CHECK_EQ(write_block(t, 5, 20), 0);
	audit_trail_close(t);
	want_whole(2, 2);
	end();
}

/* Somebody took the chain away. */
static void test_blocks_without_a_chain_stay_and_numbers_go_on(void)
{
	struct audit_found f;
	char path[AUDIT_PATH];
	begin();
	struct audit_trail *t = open_it(&f);
	CHECK(!f.knows_chapter);
	for (uint64_t i = 1; i <= 3; i++)
		CHECK_EQ(write_block(t, 5, 10 * i), 0);
	audit_trail_close(t);
	path_to(path, AUDIT_CHAIN_FILE, 1);
	CHECK_EQ(unlink(path), 0);
	t = open_it(&f);
	CHECK(f.head.seq == 0 && f.torn_bytes == 0 && !f.knows_chapter);
	CHECK_EQ(write_block(t, 5, 40), 0);
	audit_trail_close(t);
	want_whole(1, 1);
	t = open_it(&f);
	CHECK(f.knows_chapter && f.chapter == 40);
	audit_trail_close(t);
	end();
}

static void test_a_full_disk_leaves_what_there_was(void)
{
	struct audit_found f;
	struct rlimit was, now;
	begin();
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
	struct audit_trail *t = open_it(&f);
	CHECK_EQ(write_records(t, 10, AUDIT_START), 0);
	now = (struct rlimit){audit_trail_bytes(t) + 100, was.rlim_max};
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &now), 0);
	CHECK(write_records(t, 10, AUDIT_START) < 0);
	audit_trail_close(t);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
	want_whole(10, 0);
	t = open_it(&f);
	CHECK(f.head.seq == 10 && f.torn_bytes == 0);
	CHECK_EQ(write_records(t, 1, AUDIT_GAP), 0);
	audit_trail_close(t);
	want_whole(11, 0);
	end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_the_chain_goes_on_over_restarts),
		   TEST(test_a_torn_tail_is_cut_and_the_chain_goes_on),
		   TEST(test_a_file_with_nothing_whole_in_it_is_as_if_it_were_not_there),
		   TEST(test_damage_stays_and_the_chain_goes_on_behind_it),
		   TEST(test_another_key_begins_a_file),
		   TEST(test_files_follow_each_other_and_the_oldest_go),
		   TEST(test_what_is_too_old_goes), TEST(test_blocks_are_anchored),
		   TEST(test_a_block_without_its_anchor_is_cut),
		   TEST(test_blocks_without_a_chain_stay_and_numbers_go_on),
		   TEST(test_a_full_disk_leaves_what_there_was));
}

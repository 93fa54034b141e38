/* SPDX-License-Identifier: Apache-2.0
 * Looking at files before they are mapped: what is damaged hurts a child, and never the one who
 * asked. */
#include <lmdb.h>
#include <signal.h>

#include "base/clock.h"
#include "fixture.h"
#include "storage/audit.h"
#include "storage/inspect.h"
#include "wire/parcel.h"

static int look_and_tell(void *ctx, int out)
{
	return inspect_tell(out, ctx, 5);
}

static int look_much(void *ctx, int out)
{
	static uint8_t page[100000];
	(void)ctx;
	for (int i = 0; i < 10; i++) {
		memset(page, i, sizeof(page));
		if (inspect_tell(out, page, sizeof(page)) != 0)
			return 1;
	}
	return 0;
}

static int look_badly(void *ctx, int out)
{
	inspect_tell(out, ctx, 5);
	return 1;
}

static int look_and_die(void *ctx, int out)
{
	inspect_tell(out, ctx, 5);
	kill(getpid(), SIGSEGV);
	return 0;
}

static int look_for_ever(void *ctx, int out)
{
	(void)ctx, (void)out;
	pause();
	return 0;
}

static void test_child_hands_over_what_it_found(void)
{
	struct buf found = {0};
	char word[] = "found";
	CHECK_EQ(inspect_in_child("x", look_and_tell, word, 5000, &found), 0);
	CHECK(slice_is(buf_slice(&found), "found"));
	found.len = 0;
	CHECK_EQ(inspect_in_child("x", look_much, NULL, 5000, &found), 0);
	CHECK_EQ(found.len, 1000000);
	CHECK_EQ(found.data[999999], 9);
	buf_finish(&found);
}

static void test_child_that_dies_or_hangs_means_a_bad_file(void)
{
	struct buf found = {0};
	char word[] = "found";
	CHECK_EQ(inspect_in_child("x", look_badly, word, 5000, &found), INSPECT_BAD);
	CHECK(slice_is(buf_slice(&found), "found"));
	CHECK_EQ(inspect_in_child("x", look_and_die, word, 5000, &found), INSPECT_BAD);
	CHECK_EQ(found.len, 10);
	uint64_t start = clock_mono_ms();
	CHECK_EQ(inspect_in_child("x", look_for_ever, NULL, 50, &found), INSPECT_BAD);
	CHECK(clock_mono_ms() - start < 5000);
	buf_finish(&found);
}

static void test_bad_file_keeps_its_lock_and_never_replaces_another(void)
{
	char aside[512];
	new_dir();
	for (int i = 1; i <= 3; i++) {
		close(open(in_dir("f.mdb"), O_WRONLY | O_CREAT, 0600));
		if (i != 2)
			close(open(in_dir("f.mdb-lock"), O_WRONLY | O_CREAT, 0600));
		CHECK_EQ(inspect_set_aside(in_dir("f.mdb"), aside, sizeof(aside)), 0);
		CHECK_EQ(access(aside, F_OK), 0);
		CHECK_EQ(count_files("f.mdb.bad-", false), i == 1 ? 2 : i == 2 ? 3 : 5);
	}
	CHECK_EQ(count_files("f.mdb", false), 5);
	CHECK(inspect_set_aside(in_dir("none.mdb"), aside, sizeof(aside)) < 0);
	drop_dir();
}

/* A segment as storage/outbox.h describes it. */
static void make_segment(const char *name, uint64_t first, unsigned n, size_t body_bytes)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	char lock[64];
	CHECK_EQ(mdb_env_create(&env), 0);
	CHECK_EQ(mdb_env_set_maxdbs(env, 8), 0);
	CHECK_EQ(mdb_env_set_mapsize(env, 64 << 20), 0);
	CHECK_EQ(mdb_env_open(env, in_dir(name), MDB_NOSUBDIR | MDB_NOTLS, 0600), 0);
	CHECK_EQ(mdb_txn_begin(env, NULL, 0, &txn), 0);
	CHECK_EQ(mdb_dbi_open(txn, "req", MDB_CREATE | MDB_INTEGERKEY, &dbi), 0);
	uint8_t *body = calloc(1, body_bytes);
	for (unsigned i = 0; i < n; i++) {
		struct parcel p = {.id = first, .n_spans = 3, .body = {body, body_bytes}};
		MDB_val key = {8, &p.id}, value = {PARCEL_HEADER + body_bytes, NULL};
		CHECK_EQ(mdb_put(txn, dbi, &key, &value, MDB_APPEND | MDB_RESERVE), 0);
		parcel_write(value.mv_data, &p);
		first += 3;
	}
	free(body);
	CHECK_EQ(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	snprintf(lock, sizeof(lock), "%s-lock", name);
	unlink(in_dir(lock));
}

static void test_segments_are_told_in_one_look(void)
{
	char paths[40][512];
	struct segment_look looks[40];
	new_dir();
	for (unsigned i = 0; i < 40; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%02u.mdb", i);
		make_segment(name, 1 + i * 100, i, i % 2 ? 200 : 20000);
		snprintf(paths[i], sizeof(paths[i]), "%s", in_dir(name));
		looks[i] = (struct segment_look){.path = paths[i]};
	}
	CHECK_EQ(truncate(paths[7], 8192), 0);
	CHECK_EQ(truncate(paths[39], 4096), 0);
	CHECK_EQ(truncate(paths[20], 0), 0);
	CHECK_EQ(inspect_segments(looks, 40), 0);
	for (unsigned i = 0; i < 40; i++) {
		CHECK_EQ(looks[i].rc, i == 7 || i == 39 || i == 20 ? INSPECT_BAD : 0);
		if (looks[i].rc != 0)
			continue;
		CHECK_EQ(looks[i].count, i);
		CHECK_EQ(looks[i].first, i == 0 ? 0 : 1 + i * 100);
		CHECK_EQ(looks[i].end, i == 0 ? 0 : 1 + i * 100 + 3 * i);
		CHECK(looks[i].bytes >= 8192);
	}
	drop_dir();
}

/* Every tree page and every value's first page is believed by nobody: a flip in any bit of a
 * header that matters is seen. */
static void test_audit_sees_a_flip_in_any_page_header(void)
{
	struct audit a;
	new_dir();
	make_segment("s.mdb", 1, 300, 5000);
	CHECK_EQ(audit_file(&a, in_dir("s.mdb"), true), 0);
	CHECK_EQ(a.orphans, 0);
	CHECK_EQ(audit_tree(&a, "req")->entries, 300);
	CHECK_EQ(audit_tree(&a, "req")->last, 1 + 299 * 3);
	int fd = open(in_dir("s.mdb"), O_RDWR), seen = 0, pages = 0;
	uint8_t head[16], flipped[16];
	for (off_t at = 0; pread(fd, head, sizeof(head), at) == sizeof(head); at += 4096) {
		bool is_head = head[10] == 1 || head[10] == 2 || head[10] == 4;
		if (!is_head || memcmp(head, &(uint64_t){(uint64_t)at / 4096}, 8) != 0)
			continue;
		memcpy(flipped, head, sizeof(head));
		flipped[10 + random() % 5] ^= (uint8_t)(1 << random() % 8);
		CHECK_EQ(pwrite(fd, flipped, sizeof(head), at), sizeof(head));
		pages++;
		seen += audit_file(&a, in_dir("s.mdb"), true) == AUDIT_BAD;
		CHECK_EQ(pwrite(fd, head, sizeof(head), at), sizeof(head));
	}
	close(fd);
	CHECK(pages > 300);
	CHECK_EQ(seen, pages);
	drop_dir();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_child_hands_over_what_it_found),
		   TEST(test_child_that_dies_or_hangs_means_a_bad_file),
		   TEST(test_bad_file_keeps_its_lock_and_never_replaces_another),
		   TEST(test_segments_are_told_in_one_look),
		   TEST(test_audit_sees_a_flip_in_any_page_header));
}

/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/fixture.h - a store in a folder of its own, and what tests ask of one. */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "otlp_sample.h"
#include "storage/store.h"

static char test_dir[64];
static struct metrics test_metrics;
static const char *const ONE[] = {"a"}, *const TWO[] = {"a", "b"};

static inline void new_dir(void)
{
	snprintf(test_dir, sizeof(test_dir), "/tmp/spanrelay-test-XXXXXX");
	CHECK(mkdtemp(test_dir) != NULL);
}

static inline const char *in_dir(const char *name)
{
	static char path[512];
	snprintf(path, sizeof(path), "%s/%s", test_dir, name);
	return path;
}

/* Counts files whose name begins with `prefix`; removes them if told so. */
static inline int count_files(const char *prefix, bool remove_them)
{
	int n = 0;
	DIR *d = opendir(test_dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		n++;
		if (remove_them)
			unlink(in_dir(e->d_name));
	}
	closedir(d);
	return n;
}

static inline void drop_dir(void)
{
	count_files("", true);
	CHECK_EQ(rmdir(test_dir), 0);
}

static bool test_judged; /* how stores are opened */

static inline struct store *open_store(const char *const *exporters, unsigned n)
{
	struct store *s = NULL;
	struct store_options o = {
	    .dir = test_dir, .limit_bytes = 16 << 20, .metrics = &test_metrics};
	o.exporters = exporters;
	o.n_exporters = n;
	o.judged = test_judged;
	CHECK_EQ(store_open(&s, &o), 0);
	return s;
}

static inline void remember_block(void *ctx, struct store_block b)
{
	*(struct store_block *)ctx = b;
}

/* Commits one request of `spans` spans of about `bytes` bytes each; gives the block it went to. */
static inline int try_put(struct store *s, uint64_t first_id, uint32_t spans, size_t bytes,
			  struct store_block *out)
{
	struct buf request = {0};
	struct store_txn t;
	pb_numbered_request(&request, first_id, spans, bytes);
	store_begin(&t, s, 1);
	store_append(&t, buf_slice(&request), spans, 0);
	int rc = store_commit(&t, &(struct store_told){.on_block = remember_block, .ctx = out});
	buf_finish(&request);
	return rc;
}

static inline struct store_block put(struct store *s, uint64_t first_id, uint32_t spans,
				     size_t bytes)
{
	struct store_block b = {0};
	CHECK_EQ(try_put(s, first_id, spans, bytes, &b), 0);
	CHECK_EQ(b.spans, spans);
	return b;
}

static inline int commit_nothing(struct store *s)
{
	struct store_txn t;
	store_begin(&t, s, 1);
	return store_commit(&t, NULL);
}

static inline void sent(struct store *s, unsigned exporter, struct cursor done, uint64_t spans)
{
	store_progress(s, exporter, &(struct progress){.done = done, .sent = spans});
}

static inline void count_block(void *ctx, struct store_block b)
{
	uint64_t *spans = ctx;
	spans[0]++;
	spans[1] += b.spans;
}

static inline uint64_t held_blocks(const struct store *s)
{
	uint64_t n[2] = {0, 0};
	store_each_block(s, count_block, n);
	return n[0];
}

/* The identities of storage/store.h, on what is in memory. */
static inline struct ledger balanced(const struct store *s)
{
	struct ledger l;
	store_ledger(s, &l);
	CHECK_EQ(l.received, l.accepted + l.rejected);
	uint64_t judged = l.pending;
	for (int i = 0; i < STORE_VERDICTS; i++)
		judged += l.judged[i];
	CHECK_EQ(l.accepted, judged);
	for (unsigned i = 0; i < l.n_exporters + l.n_removed; i++) {
		const struct ledger_exporter *e = &l.exporter[i];
		uint64_t settled = e->sent + e->backend_rejected;
		for (int k = 0; k < DROP_REASONS; k++)
			settled += e->dropped[k];
		CHECK_EQ(e->entered, settled + e->held[0] + e->held[1] + e->held[2]);
	}
	return l;
}

#endif

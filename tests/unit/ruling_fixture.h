/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/ruling_fixture.h - pending requests, and rulings on them. */
#ifndef TESTS_UNIT_RULING_FIXTURE_H
#define TESTS_UNIT_RULING_FIXTURE_H

#include "fixture.h"

struct told {
	struct store_block kept[64], pending[256];
	size_t n_kept, n_pending, batch[256], n_batches[256];
};

static inline void told_kept(void *ctx, struct store_block b)
{
	struct told *t = ctx;
	t->kept[t->n_kept++ % 64] = b;
}

static inline void told_pending(void *ctx, struct store_block b, size_t first_batch,
				size_t n_batches)
{
	struct told *t = ctx;
	size_t i = t->n_pending++ % 256;
	t->pending[i] = b;
	t->batch[i] = first_batch;
	t->n_batches[i] = n_batches;
}

static inline int commit_telling(struct store_txn *t, struct told *told)
{
	memset(told, 0, sizeof(*told));
	return store_commit(t, &(struct store_told){told_kept, told_pending, told});
}

/* One request into a pending block of its own; gives the block. */
static inline struct store_block put_pending(struct store *s, uint64_t first_id, uint32_t spans,
					     size_t bytes)
{
	struct buf request = {0};
	struct store_txn t;
	struct told told;
	pb_numbered_request(&request, first_id, spans, bytes);
	store_begin(&t, s, 1);
	store_append(&t, buf_slice(&request), spans, 0);
	CHECK_EQ(commit_telling(&t, &told), 0);
	CHECK(told.n_pending == 1 && told.n_kept == 0);
	buf_finish(&request);
	return told.pending[0];
}

static inline int rule(struct store *s, const struct store_ruling *r, struct told *told)
{
	struct store_txn t;
	store_begin(&t, s, 2);
	store_rule(&t, r);
	return commit_telling(&t, told);
}

static inline uint64_t pending_blocks(const struct store *s)
{
	uint64_t n[2] = {0, 0};
	store_each_pending(s, count_block, n);
	return n[0];
}

struct chapters {
	uint64_t number[256], n;
	char text[256][32];
};

static inline int note_chapter(void *ctx, uint64_t number, struct slice bytes)
{
	struct chapters *c = ctx;
	CHECK(bytes.len < 32 && c->n < 256);
	memcpy(c->text[c->n], bytes.data, bytes.len);
	c->text[c->n][bytes.len] = '\0';
	c->number[c->n++] = number;
	return 0;
}

static inline struct chapters chapters_of(struct store *s)
{
	struct chapters c = {.n = 0};
	CHECK_EQ(store_each_chapter(s, note_chapter, &c), 0);
	return c;
}

static inline bool state_is(struct store *s, const char *name, const char *text)
{
	struct buf b = {0};
	int rc = store_state(s, name, &b);
	bool same = text == NULL ? rc == STORE_GONE : rc == 0 && slice_is(buf_slice(&b), text);
	buf_finish(&b);
	return same;
}

#endif

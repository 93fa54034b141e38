/* SPDX-License-Identifier: Apache-2.0
 * The writer of a box. Segments stand in RAM as ids and sizes; only the one in the making is open.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/box.h"

/* What of a box stays in the page cache: what will be read first. The rest would push out what
 * others need, and fresh memory costs three times what the write does where a host lends it. */
enum { CACHED_BYTES = 256 << 20 };

uint64_t box_segment_bytes(uint64_t limit_bytes)
{
	uint64_t bytes = limit_bytes / 8;
	if (bytes < BOX_SEGMENT_MIN)
		return BOX_SEGMENT_MIN;
	return bytes < BOX_SEGMENT_MAX ? bytes : BOX_SEGMENT_MAX;
}

/* ---- the list of sealed segments ---- */

static int reserve_sealed(struct box *b)
{
	if (b->n_sealed < b->cap_sealed)
		return 0;
	size_t cap = b->cap_sealed == 0 ? 64 : b->cap_sealed * 2;
	struct box_segment *all = realloc(b->sealed, cap * sizeof(*all));
	if (all == NULL)
		return fail(-ENOMEM, "outbox: no memory for %zu segments", cap);
	b->sealed = all;
	b->cap_sealed = cap;
	return 0;
}

static void put_sealed(struct box *b, struct box_segment g)
{
	assert(b->n_sealed < b->cap_sealed);
	b->sealed[b->n_sealed++] = g;
	b->sealed_bytes += g.bytes;
}

int box_add_sealed(struct box *b, struct box_segment g)
{
	int rc = reserve_sealed(b);
	if (rc == 0)
		put_sealed(b, g);
	return rc;
}

static void remove_segment(struct box *b, size_t i)
{
	struct segment g;
	if (segment_name(&g, b->dir, b->sealed[i].first) == 0 && unlink(g.path) != 0 &&
	    errno != ENOENT)
		log_limited(LOG_ERROR, "outbox file cannot be removed", "path=%s code=%d", g.path,
			    errno);
	b->sealed_bytes -= b->sealed[i].bytes;
}

void box_trim(struct box *b, struct cursor done)
{
	size_t n = 0;
	if (b->done < done.block_id)
		b->done = done.block_id;
	while (n < b->n_sealed && b->sealed[n].end <= b->done)
		remove_segment(b, n++);
	b->n_sealed -= n;
	b->n_given = b->n_given > n ? b->n_given - n : 0;
	if (n != 0 && b->n_sealed != 0)
		memmove(b->sealed, b->sealed + n, b->n_sealed * sizeof(*b->sealed));
}

void box_each_sealed(const struct box *b, void (*on_segment)(void *ctx, struct box_segment g),
		     void *ctx)
{
	for (size_t i = 0; i < b->n_sealed; i++)
		on_segment(ctx, b->sealed[i]);
}

bool box_sealed(struct box *b, struct box_segment *g)
{
	if (b->n_given == b->n_sealed)
		return false;
	*g = b->sealed[b->n_given++];
	return true;
}

/* ---- writing ---- */

/* Cannot fail: begin_segment() reserved the room in the list. */
void box_seal(struct box *b)
{
	if (b->making.env == NULL)
		return;
	assert(b->making.txn == NULL);
	struct box_segment g = {.first = b->making_first, .end = b->end};
	g.bytes = segment_seal(&b->making);
	if (g.first == g.end)
		unlink(b->making.path);
	else
		put_sealed(b, g);
}

static uint64_t making_bytes(const struct box *b)
{
	return b->making.used_bytes > b->segment_bytes ? b->making.used_bytes : b->segment_bytes;
}

uint64_t box_bytes(const struct box *b)
{
	return b->sealed_bytes + (b->making.env != NULL ? making_bytes(b) : 0);
}

static int begin_segment(struct box *b, uint64_t need)
{
	uint64_t bytes = need > b->segment_bytes ? need : b->segment_bytes;
	if (b->sealed_bytes + bytes > b->limit_bytes)
		return BOX_FULL;
	int rc = reserve_sealed(b); /* sealing it must not fail: it would be forgotten */
	if (rc == 0)
		rc = segment_name(&b->making, b->dir, b->end);
	if (rc == 0)
		rc = segment_create(&b->making, bytes);
	b->making_first = b->end;
	return rc;
}

int box_append(struct box *b, struct parcel *p)
{
	/* its pages, and those of the tree that one more may cost */
	uint64_t need = PARCEL_HEADER + p->body.len + 16 + (uint64_t)8 * 4096;
	bool fits = b->making.env != NULL && b->making.used_bytes + need <= b->segment_bytes;
	assert(p->n_spans != 0);
	if (!fits && b->making.txn != NULL)
		return BOX_AGAIN;
	int rc = 0;
	if (!fits) {
		box_seal(b);
		rc = begin_segment(b, need);
	}
	if (rc != 0)
		return rc;
	p->id = b->next_id;
	rc = segment_append(&b->making, p);
	if (rc == 0)
		b->next_id = p->id + p->n_spans;
	return rc;
}

/* After a failed commit nobody knows what of it is on disk. The segment ends where it ended before;
 * what stands behind that has ids that the next segment uses anew, and there they are valid. */
int box_commit(struct box *b)
{
	if (b->making.txn == NULL)
		return 0;
	if (b->sealed_bytes >= CACHED_BYTES)
		segment_forget(&b->making);
	int rc = segment_commit(&b->making);
	if (rc == 0) {
		b->end = b->next_id;
		return 0;
	}
	b->next_id = b->end;
	box_seal(b);
	return rc;
}

void box_close(struct box *b)
{
	if (b == NULL)
		return;
	segment_abort(&b->making);
	box_seal(b);
	free(b->sealed);
	free(b);
}

void box_limit(struct box *b, uint64_t limit_bytes)
{
	b->limit_bytes = limit_bytes;
	if (b->making.env == NULL)
		b->segment_bytes = box_segment_bytes(limit_bytes);
}

/* A difference, so that what was lost between two segments is counted where it is found: by whoever
 * reads on behind the gap. */
uint64_t box_spans(const struct box *b)
{
	return b->end - (b->done != 0 ? b->done : 1);
}

uint64_t box_first(const struct box *b)
{
	return b->done;
}

uint64_t box_end(const struct box *b)
{
	return b->end;
}

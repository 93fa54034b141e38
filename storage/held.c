/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/held.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { LMDB_VALUE_HEADER = 16 };

uint64_t held_pages(const struct held *h, struct store_block b)
{
	return ((uint64_t)b.bytes + LMDB_VALUE_HEADER + h->page_bytes - 1) / h->page_bytes;
}

uint64_t held_bytes(const struct held *h, uint64_t pages)
{
	return (pages + pages / 50) * h->page_bytes; /* 2 %: measured, tree and free list */
}

static int make_room(struct held *h)
{
	if (h->first > h->cap / 2) {
		memmove(h->blocks, h->blocks + h->first, held_count(h) * sizeof(*h->blocks));
		h->end -= h->first;
		h->first = 0;
		return 0;
	}
	size_t cap = h->cap == 0 ? 1024 : h->cap * 2;
	struct store_block *blocks = realloc(h->blocks, cap * sizeof(*blocks));
	if (blocks == NULL)
		return fail(-ENOMEM, "journal: no memory for %zu blocks", cap);
	h->blocks = blocks;
	h->cap = cap;
	return 0;
}

int held_add(struct held *h, struct store_block b)
{
	if (h->end == h->cap) {
		int rc = make_room(h);
		if (rc != 0)
			return rc;
	}
	h->blocks[h->end++] = b;
	h->pages += held_pages(h, b);
	return 0;
}

void held_cut(struct held *h, size_t n)
{
	assert(n <= held_count(h));
	while (held_count(h) > n)
		h->pages -= held_pages(h, h->blocks[--h->end]);
}

void held_drop(struct held *h, size_t n)
{
	assert(n <= held_count(h));
	for (; n != 0; n--)
		h->pages -= held_pages(h, h->blocks[h->first++]);
	if (h->first == h->end)
		h->first = h->end = 0;
}

void held_finish(struct held *h)
{
	free(h->blocks);
	memset(h, 0, sizeof(*h));
}

/* SPDX-License-Identifier: Apache-2.0
 * storage/held.h - the blocks that the journal holds, in memory, oldest first.
 * Private to storage/. Pages are counted as LMDB stores a value: 16 bytes of its own, whole pages.
 */
#ifndef STORAGE_HELD_H
#define STORAGE_HELD_H

#include "storage/store.h"

struct held {
	struct store_block *blocks; /* [first, end) are held */
	size_t first, end, cap;
	uint64_t pages;
	uint32_t page_bytes;
};

int held_add(struct held *h, struct store_block b); /* 0 or -ENOMEM, logged */
void held_cut(struct held *h, size_t n);            /* takes back the newest, down to n */
void held_drop(struct held *h, size_t n);           /* the n oldest */
void held_finish(struct held *h);

uint64_t held_pages(const struct held *h, struct store_block b);

/* What `pages` cost on disk with their share of tree pages. */
uint64_t held_bytes(const struct held *h, uint64_t pages);

static inline size_t held_count(const struct held *h)
{
	return h->end - h->first;
}

static inline struct store_block held_at(const struct held *h, size_t i)
{
	return h->blocks[h->first + i];
}

#endif

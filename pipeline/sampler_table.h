/* SPDX-License-Identifier: Apache-2.0
 * pipeline/sampler_table.h - from the hash of a trace id to the number of what is known of it: open
 * addressing, 8 bytes a slot. Cut into 256 parts by the hash, each of which grows by itself, by
 * half, from its slots alone: with a million entries that is 20 microseconds now and then, and 10
 * to 15 bytes an entry. Parts of one size lie in one region, of huge pages when it is large: a
 * lookup is a miss of the cache, and should not be one of the page table as well. While parts move
 * on to the next region, for 65,536 additions at most, there are two. The sampler's own. */
#ifndef PIPELINE_SAMPLER_TABLE_H
#define PIPELINE_SAMPLER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/sampler_pool.h"

enum { TABLE_PARTS = 256, TABLE_LEVELS = 36 /* a part of 23 million slots */ };

struct table_slot {
	uint32_t tag;  /* of the hash, the low half */
	uint32_t item; /* 1 + the number; 0: free */
};
struct table_part {
	struct table_slot *slots;
	uint32_t cap, used;
	uint32_t promised; /* used + promised < cap */
	uint32_t level;
};
struct table_region {
	struct table_slot *slots; /* of all parts, in order; NULL: none has that size */
	uint32_t parts;           /* that are here */
};
struct table {
	struct table_part parts[TABLE_PARTS];
	struct table_region regions[TABLE_LEVELS];
	uint32_t top;        /* the highest level of a part */
	uint32_t adds, next; /* parts that are to follow it */
	bool promised;       /* any */
};

bool table_init(struct table *t); /* false: no memory */
void table_finish(struct table *t);
uint64_t table_bytes(const struct table *t);

/* Room for one of that hash, until table_settle(). false: no memory. */
bool table_promise(struct table *t, uint64_t hash);
void table_settle(struct table *t);
/* Grows when the part is full to four fifths; if it cannot, it fills up. false: no memory, where no
 * room was promised. */
bool table_add(struct table *t, uint64_t hash, uint32_t number);
void table_remove(struct table *t, uint64_t hash, uint32_t number);

static inline struct table_part *table_part(const struct table *t, uint64_t hash)
{
	return (struct table_part *)(uintptr_t)&t->parts[hash >> 56];
}

static inline uint32_t table_home(const struct table_part *p, uint32_t tag)
{
	return (uint32_t)((uint64_t)tag * p->cap >> 32);
}

static inline void table_prefetch(const struct table *t, uint64_t hash)
{
	const struct table_part *p = table_part(t, hash);
	fetch_line(&p->slots[table_home(p, (uint32_t)hash)]);
}

/* Walks the numbers that may be of that hash. */
struct table_walk {
	const struct table_part *part;
	uint32_t at, tag;
};
static inline struct table_walk table_walk(const struct table *t, uint64_t hash)
{
	const struct table_part *p = table_part(t, hash);
	return (struct table_walk){p, table_home(p, (uint32_t)hash), (uint32_t)hash};
}
static inline bool table_next(struct table_walk *w, uint32_t *number)
{
	for (;;) {
		const struct table_slot *slot = &w->part->slots[w->at];
		if (slot->item == 0)
			return false;
		w->at = w->at + 1 == w->part->cap ? 0 : w->at + 1;
		if (slot->tag == w->tag) {
			*number = slot->item - 1;
			return true;
		}
	}
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * pipeline/sampler_pool.h - many things of one size, known by small numbers that stay theirs. Grows
 * by blocks of some MB, so growing copies nothing and takes a page only when it is written to; what
 * is given back is used again first. The list of those is apart from them, so that the next ones
 * can be fetched long before they are taken. The sampler's own. */
#ifndef PIPELINE_SAMPLER_POOL_H
#define PIPELINE_SAMPLER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CACHE_LINE = 64 };

struct pool {
	uint8_t **blocks;
	uint32_t n_blocks, room_blocks;
	uint32_t stride; /* bytes of one, a multiple of 8 */
	uint32_t bits;   /* a block has 2^bits */
	uint32_t fresh;  /* from this number on none was ever taken */
	uint32_t used;
	uint32_t *free; /* those given back, fresh - used of them; room for all that there are */
	uint32_t most_free;
};

/* Not cleared; free() gives it back. From 2 MB on of huge pages, if the system has some. NULL: no
 * memory. */
void *huge_alloc(size_t bytes);

void pool_init(struct pool *p, size_t stride);
void pool_finish(struct pool *p);
bool pool_reserve(struct pool *p, size_t more); /* then `more` can be taken; false: no memory */

static inline void *pool_at(const struct pool *p, uint32_t i)
{
	return p->blocks[i >> p->bits] + (size_t)(i & ((1u << p->bits) - 1)) * p->stride;
}

/* A function that does nothing but prefetch is left out by the compiler: this it cannot see
 * through. */
static inline void fetch_line(const void *p)
{
	__builtin_prefetch(p, 1);
	__asm__ volatile("" : : "r"(p));
}

/* Things lie side by side, so one may reach into a second line. */
static inline void fetch_all(const void *p, size_t bytes)
{
	fetch_line(p);
	if (bytes > CACHE_LINE)
		fetch_line((const uint8_t *)p + CACHE_LINE);
	fetch_line((const uint8_t *)p + bytes - 1);
}

/* There must be room. Not cleared. */
static inline uint32_t pool_take(struct pool *p)
{
	uint32_t n_free = p->fresh - p->used++;
	return n_free == 0 ? p->fresh++ : p->free[n_free - 1];
}

/* Whether one that was given back is taken after `ahead` others: it should be fetched. Fresh ones
 * follow each other in memory. */
static inline bool pool_soon(const struct pool *p, uint32_t ahead, uint32_t *i)
{
	uint32_t n_free = p->fresh - p->used;
	if (n_free <= ahead)
		return false;
	*i = p->free[n_free - 1 - ahead];
	return true;
}

static inline void pool_give(struct pool *p, uint32_t i)
{
	p->free[p->fresh - p->used--] = i;
	if (p->fresh - p->used > p->most_free)
		p->most_free = p->fresh - p->used;
}

static inline uint64_t pool_bytes(const struct pool *p)
{
	return (uint64_t)p->fresh * p->stride + (uint64_t)p->most_free * sizeof(*p->free);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * pipeline/sampler_pool.h - many things of one size, known by small numbers that stay theirs. Grows
 * by blocks of 65,536, so growing copies nothing and takes a page only when it is written to; what
 * is given back is used again first. The sampler's own. */
#ifndef PIPELINE_SAMPLER_POOL_H
#define PIPELINE_SAMPLER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_BLOCK_BITS = 16 };

struct pool {
	uint8_t **blocks;
	uint32_t n_blocks, room_blocks;
	uint32_t stride; /* bytes of one, a multiple of 8 */
	uint32_t fresh;  /* from this number on none was ever taken */
	uint32_t free;   /* 1 + the one given back last, which begins with the next; 0: none */
	uint32_t used;
};

void pool_init(struct pool *p, size_t stride);
void pool_finish(struct pool *p);
bool pool_reserve(struct pool *p, size_t more); /* then `more` can be taken; false: no memory */
uint32_t pool_take(struct pool *p);             /* there must be room; not cleared */
void pool_give(struct pool *p, uint32_t i);

static inline void *pool_at(const struct pool *p, uint32_t i)
{
	return p->blocks[i >> POOL_BLOCK_BITS] +
	       (size_t)(i & ((1u << POOL_BLOCK_BITS) - 1)) * p->stride;
}

static inline uint64_t pool_bytes(const struct pool *p)
{
	return (uint64_t)p->fresh * p->stride;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sampler_pool.h"

#include <stdlib.h>
#include <sys/mman.h>

static const size_t HUGE_PAGE = 2 << 20;
/* Of one block, at least: pages of 2 MB fit in well. */
static const size_t BLOCK_BYTES = 6 << 20;
static const uint64_t MOST = (uint64_t)1 << 31;

void pool_init(struct pool *p, size_t stride)
{
	*p = (struct pool){.stride = (uint32_t)stride};
	while (stride << p->bits < BLOCK_BYTES)
		p->bits++;
}

void pool_finish(struct pool *p)
{
	for (uint32_t i = 0; i < p->n_blocks; i++)
		free(p->blocks[i]);
	free((void *)p->blocks);
	free(p->free);
	*p = (struct pool){0};
}

void *huge_alloc(size_t bytes)
{
	size_t align = bytes < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE;
	void *p = aligned_alloc(align, (bytes + align - 1) & ~(align - 1));
	if (p != NULL && align == HUGE_PAGE)
		madvise(p, bytes, MADV_HUGEPAGE); /* only a wish */
	return p;
}

/* A pool with many blocks is read all over the place: huge pages save it half of its misses. The
 * first block does without, so that a small relay stays small. */
static uint8_t *new_block(const struct pool *p)
{
	size_t bytes = (size_t)p->stride << p->bits;
	if (p->n_blocks != 0)
		return huge_alloc(bytes);
	return aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
}

static bool add_block(struct pool *p)
{
	if (p->n_blocks == p->room_blocks) {
		uint32_t room = p->room_blocks != 0 ? 2 * p->room_blocks : 8;
		void *more = realloc((void *)p->blocks, room * sizeof(uint8_t *));
		if (more == NULL)
			return false;
		p->blocks = more;
		p->room_blocks = room;
	}
	/* As blocks: not written to before there is something to write. */
	void *list = realloc(p->free, ((size_t)p->n_blocks + 1) * sizeof(*p->free) << p->bits);
	if (list == NULL)
		return false;
	p->free = list;
	uint8_t *block = new_block(p);
	if (block == NULL)
		return false;
	p->blocks[p->n_blocks++] = block;
	return true;
}

bool pool_reserve(struct pool *p, size_t more)
{
	if (more > MOST - p->used)
		return false;
	while (((uint64_t)p->n_blocks << p->bits) < p->used + more)
		if (!add_block(p))
			return false;
	return true;
}

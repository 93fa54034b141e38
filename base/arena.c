/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_CHUNK 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_CHUNK 0
#endif
#endif
#ifndef ARENA_CHUNK
#define ARENA_CHUNK 4032 /* a chunk and malloc's own header stay within a page */
#endif

struct arena_chunk {
	struct arena_chunk *next;
	size_t cap, used;
	_Alignas(16) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit_bytes)
{
	a->chunks = NULL;
	a->used = 0;
	a->limit = limit_bytes;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
	size_t cap = size > ARENA_CHUNK ? size : ARENA_CHUNK;
	if (cap + sizeof(struct arena_chunk) > a->limit - a->used) {
		cap = size; /* near the limit, take no more than what was asked for */
		if (cap + sizeof(struct arena_chunk) > a->limit - a->used)
			return NULL;
	}
	struct arena_chunk *c = malloc(sizeof(*c) + cap);
	if (c == NULL)
		return NULL;
	c->next = a->chunks;
	c->cap = cap;
	c->used = 0;
	a->chunks = c;
	a->used += sizeof(*c) + cap;
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	struct arena_chunk *c = a->chunks;
	if (c == NULL || size > c->cap - c->used)
		c = add_chunk(a, size);
	if (c == NULL)
		return NULL;
	void *p = c->data + c->used;
	c->used += size;
	return p;
}

void arena_finish(struct arena *a)
{
	while (a->chunks != NULL) {
		struct arena_chunk *next = a->chunks->next;
		free(a->chunks);
		a->chunks = next;
	}
	a->used = 0;
}

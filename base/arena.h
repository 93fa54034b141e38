/* SPDX-License-Identifier: Apache-2.0
 * base/arena.h - memory for things that die together.
 * Under ASan each allocation is a malloc of its own, so that an overrun shows. NULL means that the
 * limit is reached or memory is out: refuse what you are decoding. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used, limit;         /* bytes, chunk headers included */
};

void arena_init(struct arena *a, size_t limit_bytes);
void *arena_alloc(struct arena *a, size_t size); /* 16-byte aligned, not zeroed */
void arena_finish(struct arena *a);              /* frees all; the arena may be used again */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/protobuf.h"

static void *on_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void on_free(void *arena, void *p)
{
	(void)arena, (void)p;
}

ProtobufCAllocator protobuf_arena(struct arena *a)
{
	return (ProtobufCAllocator){.alloc = on_alloc, .free = on_free, .allocator_data = a};
}

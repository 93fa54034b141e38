/* SPDX-License-Identifier: Apache-2.0
 * relay/pending.h - where the requests of pending blocks lie, so that a span is found by its number
 * in the block without a walk over it. The judge room's: 16 bytes a request. */
#ifndef RELAY_PENDING_H
#define RELAY_PENDING_H

#include <stddef.h>
#include <stdint.h>

enum { PENDING_NONE = 1 };

struct pending_request {
	uint64_t block_id;
	uint32_t first;       /* the number of its first span in the block */
	uint32_t offset : 31; /* of its record */
	/* Of a block's first request: its checksum was compared since it was noticed. */
	uint32_t is_whole : 1;
};

struct pending {
	struct pending_request *requests; /* [first, end), by block and first span */
	size_t first, end, cap;
};

int pending_add(struct pending *p, struct pending_request r); /* ascending; 0 or -ENOMEM */
/* The request that has the span, and the number of the first span after it (UINT32_MAX: it is the
 * last of its block). 0 or PENDING_NONE. */
int pending_find(const struct pending *p, uint64_t block_id, uint32_t number,
		 struct pending_request *out, uint32_t *end);
struct pending_request *pending_first(struct pending *p, uint64_t block_id); /* NULL: none */
void pending_drop(struct pending *p, uint64_t before_block);
void pending_finish(struct pending *p);

#endif

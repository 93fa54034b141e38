/* SPDX-License-Identifier: Apache-2.0
 * relay/pending.h - where the requests of pending blocks lie, so that a span is found by its place
 * (pipeline/notice.h) without a walk over the block. The judge room's: 16 bytes a request. */
#ifndef RELAY_PENDING_H
#define RELAY_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PENDING_NONE = 1 };

struct pending_request {
	uint64_t block_id;
	uint32_t offset; /* of its record */
	bool tails;      /* as in wire/otlp_splice.h */
};

struct pending {
	struct pending_request *requests; /* [first, end), by block and offset */
	size_t first, end, cap;
};

int pending_add(struct pending *p, struct pending_request r); /* ascending; 0 or -ENOMEM */
/* The request that has the span, and where the one after it begins (UINT32_MAX: it is the last of
 * its block). 0 or PENDING_NONE. */
int pending_find(const struct pending *p, uint64_t block_id, uint32_t at,
		 struct pending_request *out, uint32_t *end);
void pending_drop(struct pending *p, uint64_t before_block);
void pending_finish(struct pending *p);

#endif

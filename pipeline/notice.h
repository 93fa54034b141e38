/* SPDX-License-Identifier: Apache-2.0
 * pipeline/notice.h - what the sampler learns of a request: one notice a span. The intake room
 * makes them when the request is vetted (pipeline/notice.c), they ride with the batch to the store,
 * and from there, once the spans are on disk, to the judge room. They hold nothing of what the
 * spans say.
 *
 * A span's place is its block and its offset in it: that of its record, and from there on that in
 * the request. */
#ifndef PIPELINE_NOTICE_H
#define PIPELINE_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/charge.h"
#include "pipeline/policy.h"

enum notice_flag {
	NOTICE_ROOT = 1,
	NOTICE_ERROR = 2,
	NOTICE_TH = 4, /* it came with a threshold ... */
	NOTICE_RV = 8, /* ... and with explicit randomness */
	NOTICE_BAD_TRACESTATE = 16
};

struct notice {
	uint8_t trace_id[16];
	/* Of span id, times and length: a span that comes twice in a trace has it twice. */
	uint64_t identity;
	uint64_t start_ns, end_ns; /* as in the span: end may be 0 or before start */
	uint64_t th, rv;
	uint32_t bytes;       /* of the span in the request, with its tag and length */
	uint32_t offset : 24; /* in the request: at most 16 MiB */
	uint32_t flags : 8;   /* enum notice_flag */
	/* policy->n_words of predicates, then policy->n_fields of key hashes (0: missing) as
	 * uint32_t, then zeros to a multiple of 8 */
	uint64_t more[];
};

/* One request's. */
struct notices {
	struct notices *next;
	uint64_t generation; /* of the policy by which they were made */
	struct charge charge;
	uint64_t block_id; /* where the request came to lie: set when it is on disk */
	uint32_t offset;   /* of its record in that block (wire/block.h) */
	uint32_t n, stride;
	bool tails;       /* as condition_evaluate() says of the request */
	uint64_t bytes[]; /* n notices of `stride` bytes */
};

static inline const struct notice *notice_at(const struct notices *all, uint32_t i)
{
	return (const struct notice *)((const uint8_t *)all->bytes + (size_t)i * all->stride);
}

uint32_t notice_stride(const struct policy *p);

/* Room for evaluating the policy; `key` is that of the sampler. NULL: no memory. */
struct condition_scratch *notice_scratch(const struct policy *p, const struct siphash_key *key);

/* Of a vetted request of `n` spans (fewer may be in it, and are then fewer). NULL: no memory, or
 * none left in the account. `scratch` is of notice_scratch(). */
struct notices *notices_create(const struct policy *p, struct condition_scratch *scratch,
			       struct slice request, uint32_t n, struct account *account);
void notices_free(struct notices *all); /* one, not the chain */

#endif

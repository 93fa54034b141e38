/* SPDX-License-Identifier: Apache-2.0
 * audit/block.h - decisions about traces, packed: too many for a line of JSON each. A block is what
 * was decided in about a second. Its SHA-256 stands in a record of the chain (AUDIT_DECISIONS),
 * with totals by reason, so that no block can be changed or taken away unseen. Pure.
 *
 * A block, little endian, is a struct audit_block and its records, as they stand here. */
#ifndef AUDIT_BLOCK_H
#define AUDIT_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define AUDIT_BLOCK_MAGIC 0x31444153u /* SAD1 */
enum { AUDIT_BLOCK_RECORDS = 1 << 17, AUDIT_BLOCK_HASH = 32 };

struct audit_block {
	uint32_t magic, n;
	uint64_t number;           /* from 1, ascending without gaps */
	uint64_t begin_ms, end_ms; /* Unix time of its first and last decision */
	uint64_t policy;           /* the generation that rule numbers are of */
	uint64_t chapter;          /* the store's, of the last decision in it */
};
_Static_assert(sizeof(struct audit_block) == 48, "as on disk");

struct audit_decision {
	uint8_t trace_id[16];
	uint64_t
	    threshold; /* 0 to 2^56: the trace was kept with probability 1 - threshold / 2^56 */
	uint64_t randomness;
	uint32_t spans, errors;
	uint32_t after_ms;        /* when it was decided, from the block's begin_ms */
	uint16_t rule;            /* its place in the policy */
	uint8_t verdict, trigger; /* as in pipeline/decision.h: kept or why not; why then */
};
_Static_assert(sizeof(struct audit_decision) == 48, "as on disk");

/* The block at the beginning of `bytes`: its header, records and, if not NULL, its hash. Gives its
 * length; 0 where there is none, or not all of it. */
size_t audit_block_read(struct slice bytes, struct audit_block *out, struct slice *records,
			uint8_t hash[AUDIT_BLOCK_HASH]);
/* The hash of a block whose header and records lie apart, as digits. 0 or -ENOMEM. */
int audit_block_hash(struct slice head, struct slice records, char out[2 * AUDIT_BLOCK_HASH + 1]);
void audit_block_at(struct slice records, uint32_t i, struct audit_decision *out);

#endif

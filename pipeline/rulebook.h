/* SPDX-License-Identifier: Apache-2.0
 * pipeline/rulebook.h - the names of rules, by the generation of the policy they were in: a
 * decision names its rule by number, and outlives the policy. The newest REMEMBERED generations are
 * in it.
 *
 * Little endian, an entry a generation, the newest first:
 *   u64 generation | u32 number of names | u32 their bytes | names, each with a zero behind it */
#ifndef PIPELINE_RULEBOOK_H
#define PIPELINE_RULEBOOK_H

#include "pipeline/policy.h"

enum { RULEBOOK_GENERATIONS = 16 };
#define RULEBOOK_GONE UINT16_MAX

/* Appends the book that `before` becomes when `p` is the newest. What is damaged in it ends it. 0
 * or BUF_FULL. */
int rulebook_write(struct buf *out, struct slice before, const struct policy *p);

/* A rule's name, NULL where it is not known. */
const char *rulebook_name(struct slice book, uint64_t generation, uint32_t rule);

/* For the rules of that generation, in map[POLICY_RULES]: the one of the same name in `p`, or
 * RULEBOOK_GONE. Gives how many there are, 0 for a generation that is not known. */
uint32_t rulebook_map(struct slice book, uint64_t generation, const struct policy *p,
		      uint16_t *map);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset_build.h - the steps in which a rule set is made, for ruleset_compile() alone.
 * What is wrong with a rule is reported and the next one looked at, so that all is told at once. */
#ifndef REDACTION_RULESET_BUILD_H
#define REDACTION_RULESET_BUILD_H

#include "redaction/ruleset_state.h"

struct builder {
	struct ruleset *set;
	const struct conf_redaction *conf;
	struct buf *findings;
	uint32_t faults;
	bool no_memory;
};

enum { BUILD_MAX_FAULTS = 64 };

void build_fault(struct builder *b, const char *file, struct place at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Zeroed, of the set's arena; NULL: no memory, which is noted. */
void *build_alloc(struct builder *b, size_t size);

void build_automaton(struct builder *b); /* the relaxed expressions; after the exact ones */
void build_keys(struct builder *b);      /* the globs */
void build_vet(struct builder *b);       /* examples, and texts that make a rule slow */

/* A database of expressions; where one is refused, *bad is its index. NULL: see *bad, or no memory.
 */
hs_database_t *build_database(struct builder *b, const char *const *texts, uint32_t n,
			      unsigned flags, uint32_t *bad);

#endif

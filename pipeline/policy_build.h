/* SPDX-License-Identifier: Apache-2.0
 * pipeline/policy_build.h - a policy in the making. Only pipeline/policy*.c include this. */
#ifndef PIPELINE_POLICY_BUILD_H
#define PIPELINE_POLICY_BUILD_H

#include "base/arena.h"
#include "conf/sampling.h"
#include "pipeline/policy.h"

struct policy_build {
	const struct conf *c;
	struct policy *p;
	struct arena *arena; /* of all that hangs on p */
	struct report *r;
	bool no_memory;
	uint16_t *node_of_budget; /* its place in p->nodes */
	struct place *node_at;    /* of each node, for messages */
};

void *policy_alloc(struct policy_build *b, size_t n, size_t size); /* zeroed; NULL: no_memory */
const char *policy_keep(struct policy_build *b, const char *before, const char *text);

/* A fault in a text: `what` is its key; `why` of the parser. */
void policy_fault(struct policy_build *b, const struct conf_text *t, const char *what,
		  const struct condition_error *why);

/* The nodes of all budgets, parents before children, then of the rules that have a goal. */
void policy_make_nodes(struct policy_build *b);

#endif

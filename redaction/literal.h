/* SPDX-License-Identifier: Apache-2.0
 * redaction/literal.h - the best literal of an expression: the longest row of bytes that is certain
 * in all that it matches, each byte one of a few. */
#ifndef REDACTION_LITERAL_H
#define REDACTION_LITERAL_H

#include "redaction/regex.h"

enum { LITERAL_REPEATS = 64 /* of a repeat no more than so many times count */ };

/* The best run of literal bytes, or single node, in a list of nodes: its first and last. */
struct literal {
	const struct regex *first, *last; /* NULL: there is none */
	uint32_t bytes, variants;
};

/* Of the nodes from `list` on, up to `behind`. */
struct literal literal_find(const struct regex *list, const struct regex *behind);

#endif

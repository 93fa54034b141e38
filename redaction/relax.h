/* SPDX-License-Identifier: Apache-2.0
 * redaction/relax.h - what the automaton looks for in place of a rule's expression: it finds all
 * that the exact one finds, and a little more, and costs little. It begins with the best literal of
 * the expression and ends with the least that has to follow; what only looks around is gone. A
 * match of the exact expression that begins at s has a relaxed match that ends in (s, s + reach],
 * and not behind its own end. */
#ifndef REDACTION_RELAX_H
#define REDACTION_RELAX_H

#include "base/buf.h"
#include "redaction/gate.h"

enum {
	RELAX_BAD = 1,    /* as REGEX_BAD */
	RELAX_NO_LITERAL, /* nothing in it tells a match from other text: `text` is empty */
	RELAX_LEAST = 2   /* bytes of a literal that is good enough */
};

struct relaxed {
	struct buf text;       /* for Vectorscan without flags; NUL at its end */
	uint32_t reach;        /* REGEX_FAR: no bound */
	uint32_t narrow, wide; /* bytes of an exact match, at least and at most */
	uint32_t literal;      /* bytes of the literal */
	uint32_t positions;    /* of the automaton that `text` takes */
	bool lingers;          /* behind the literal it stays alive for as long as a word lasts */
	struct gate gate;      /* of RELAX_LITERAL */
	uint32_t attempt; /* bytes that a match needs at most, all that is open at its end cut */
};

/* How much of the expression is kept. An automaton that is not small, or that lives on through the
 * word that its literal is in, costs a lot whenever its literal is there, and `token`, `key` or
 * `://` often are: then the literal alone, and the gate behind it. */
enum relax_degree { RELAX_CLOSE, RELAX_LITERAL };

/* 0, RELAX_BAD, RELAX_NO_LITERAL, or negative: no memory. The caller finishes `text`. */
int relax(struct relaxed *out, struct slice regex, enum relax_degree degree, size_t *offset,
	  char words[REGEX_WORDS]);

/* A text in any case, as Vectorscan wants it. 0 or BUF_FULL. */
int relax_keyword(struct buf *out, struct slice keyword);

#endif

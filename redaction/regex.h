/* SPDX-License-Identifier: Apache-2.0
 * redaction/regex.h - a Perl expression as a tree of byte sets: only so much of it as says what
 * bytes a match is made of. What looks around or anchors takes none and is empty here; what refers
 * back may be anything. So the tree matches all that the expression matches, and more. */
#ifndef REDACTION_REGEX_H
#define REDACTION_REGEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum {
	REGEX_BAD = 1,
	REGEX_WORDS = 120,
	REGEX_MAX_DEPTH = 64,  /* of groups */
	REGEX_FAR = UINT32_MAX /* without a bound: of repeats and widths */
};

struct byte_set {
	uint64_t bits[4];
};

enum regex_kind { REGEX_EMPTY, REGEX_SET, REGEX_CAT, REGEX_ALT, REGEX_REPEAT };

struct regex {
	enum regex_kind kind;
	struct byte_set set;
	uint32_t least, most;  /* REGEX_REPEAT: how often */
	struct regex *first;   /* of what it is made of */
	struct regex *next;    /* beside it in the same whole */
	uint32_t narrow, wide; /* bytes that it matches at least and at most */
};

/* Parses an expression that PCRE2 takes. The tree is the arena's. REGEX_BAD: what rules may not
 * use; *offset is its byte, words say what to do. Negative: no memory. */
int regex_parse(struct regex **out, struct slice text, struct arena *arena, size_t *offset,
		char words[REGEX_WORDS]);

static inline bool set_has(const struct byte_set *s, unsigned byte)
{
	return (s->bits[byte >> 6] >> (byte & 63) & 1) != 0;
}

static inline unsigned set_count(const struct byte_set *s)
{
	unsigned n = 0;
	for (int i = 0; i < 4; i++)
		n += (unsigned)__builtin_popcountll(s->bits[i]);
	return n;
}

/* One byte, or one letter in both its cases. */
bool set_is_literal(const struct byte_set *s);

/* Widths add up and multiply to REGEX_FAR and no further. */
static inline uint32_t width_add(uint32_t a, uint32_t b)
{
	return a > REGEX_FAR - b ? REGEX_FAR : a + b;
}

static inline uint32_t width_times(uint32_t a, uint32_t n)
{
	uint64_t product = (uint64_t)a * n;
	return a == 0 || n == 0                                          ? 0
	       : a == REGEX_FAR || n == REGEX_FAR || product > REGEX_FAR ? REGEX_FAR
									 : (uint32_t)product;
}

#endif

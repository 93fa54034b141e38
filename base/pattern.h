/* SPDX-License-Identifier: Apache-2.0
 * base/pattern.h - a regular expression that cannot take for ever: PCRE2 with its JIT compiler
 * where the system lets it write code, and limits on what a match may cost. Perl's syntax; text is
 * UTF-8. A pattern is read by many threads at once, a matcher belongs to one. */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include <stdbool.h>

#include "base/slice.h"

enum {
	PATTERN_BAD = 1,
	PATTERN_WORDS = 120,
	PATTERN_MAX_BYTES = 2048,   /* of the expression */
	PATTERN_MAX_SUBJECT = 4096, /* of a value: what is behind is not looked at, and $ not met */
	PATTERN_MAX_STEPS = 10000, /* PCRE2's match limit, for each place where a match may begin */
	PATTERN_MAX_GROUP = 15     /* that pattern_find() can tell of */
};

struct pattern;
struct matcher;

/* PATTERN_BAD: *offset is the byte of `text` that is wrong, words say how. Negative: no memory. */
int pattern_create(struct pattern **out, struct slice text, size_t *offset,
		   char words[PATTERN_WORDS]);
void pattern_destroy(struct pattern *p);
uint32_t pattern_groups(const struct pattern *p); /* beside group 0, which is all of a match */

size_t pattern_bytes(const struct pattern *p); /* of memory */

struct matcher *matcher_create(void); /* NULL: no memory */
void matcher_destroy(struct matcher *m);

enum pattern_outcome { PATTERN_NO, PATTERN_YES, PATTERN_GAVE_UP };
enum pattern_outcome pattern_match(const struct pattern *p, struct matcher *m,
				   struct slice subject);

/* For bytes, UTF-8 or not: `.` and classes are of bytes, letters are ASCII's. For pattern_find()
 * and pattern_match(). */
int pattern_create_bytes(struct pattern **out, struct slice text, size_t *offset,
			 char words[PATTERN_WORDS]);

/* The leftmost match in the whole of `subject`, however long, that begins in [from, until]; what
 * is before `from` is seen by lookbehinds. The pattern is one of bytes. PATTERN_YES: where it is,
 * and where the part is that `group` took, which is empty at its end if it took none. */
struct pattern_range {
	size_t start, end;
};
struct pattern_search {
	size_t from, until;
	uint32_t group;
	struct pattern_range match, part;
};
enum pattern_outcome pattern_find(const struct pattern *p, struct matcher *m, struct slice subject,
				  struct pattern_search *s);

/* What a text has to be or begin with for the expression to match, where that is plain to see:
 * `literal` has room for text.len bytes. */
enum pattern_shape {
	PATTERN_ANY,      /* no telling */
	PATTERN_CONTAINS, /* it matches what contains the literal, no more and no less */
	PATTERN_STARTS,   /* what begins with it, no more and no less */
	PATTERN_GUARDED   /* what it matches begins with the literal */
};
enum pattern_shape pattern_shape(struct slice text, uint8_t *literal, size_t *len);

#endif

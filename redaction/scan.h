/* SPDX-License-Identifier: Apache-2.0
 * redaction/scan.h - where the secrets of many values are. The values of a request lie in one text,
 * one after the other with a byte between, so that the automaton runs once; what it finds is looked
 * at again with the exact expression on the one value. Ranges are of original bytes: nothing is
 * masked while others still look.
 *
 * A scanner belongs to one thread, and to one rule set at a time. */
#ifndef REDACTION_SCAN_H
#define REDACTION_SCAN_H

#include <stdint.h>

#include "redaction/ruleset.h"

enum {
	SCAN_MAX_VALUE = 64 << 10, /* bytes: longer ones fail closed without a look */
	SCAN_MAX_HITS = 256,       /* in one value */
	SCAN_MAX_KEYS = 4096       /* keys that are remembered */
};

/* What an attribute's key says of its values. Good until the next scanner_begin(). */
struct key_verdict {
	bool ignored;  /* keys.ignore: what is under it is left alone by all rules */
	bool blocked;  /* keys.block: what is under it is masked as a whole, by EXTRA_KEY_BLOCKED */
	bool unlisted; /* keys.allow_only is there, and it is not in it */
	bool clean;    /* no rule finds anything in the key itself, nor could decoded */
	uint16_t n;    /* rules with `keys` that are for it */
	const uint16_t *rules;
};

struct scan_value {
	uint32_t at, len;              /* in the text */
	const struct key_verdict *key; /* whose value it is; NULL: none's */
};

/* Bytes [start, end) of a value are a secret, says rule `number`; also where several say it of the
 * same bytes. In the order of values, then of start. Ranges begin and end between characters where
 * the value is UTF-8. Fails closed: start 0, end the value's length, an extra's number. */
struct hit {
	uint32_t value, start, end;
	uint16_t number;
};

struct scanner;
struct scanner *scanner_create(void); /* NULL: no memory */
void scanner_destroy(struct scanner *s);

/* Before the values of one request. Sees that the scanner fits the set, which is borrowed until the
 * next call. 0, or negative: no memory. */
int scanner_begin(struct scanner *s, const struct ruleset *set);

/* Never NULL: a key of which nothing can be remembered gets a verdict that is good for this call.
 */
const struct key_verdict *scanner_key(struct scanner *s, struct slice key);

/* Where to look before that: redaction/familiar.h. */
struct familiar_keys;
struct familiar_keys *scanner_familiar(struct scanner *s);

/* Looks through `text`. Values are in the order of their `at`, and do not overlap. *hits is the
 * scanner's, until the next call. 0, or negative: no memory. A secret that is found is looked for
 * again in the rest of its value: each copy is a hit. What is a mask already is none. */
int scan(struct scanner *s, struct slice text, const struct scan_value *values, uint32_t n,
	 const struct hit **hits, uint32_t *n_hits);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/json.h - the words of a JSON text (RFC 8259), one at a time, where they stand: no tree, no
 * allocation, no recursion. What order they may come in is the caller's business. Knows no clock,
 * socket or thread. Names keep clear of jansson's, which is linked too. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/slice.h"

struct json {
	const uint8_t *p, *end;
};

/* A string as it stands between its quotes, which may be no UTF-8. Its escapes are known to be
 * sound. */
struct json_text {
	struct slice raw;
	bool escaped;
};

/* Goes to the next word and gives its first byte; 0 at the end (a NUL is in no JSON word). */
uint8_t json_next(struct json *j);

/* Each stands at the first byte of its word and goes behind it; false: that is no such word. */
bool json_read_string(struct json *j, struct json_text *s);
bool json_read_number(struct json *j, struct slice *number);
bool json_read_word(struct json *j, const char *word); /* true, false, null */

/* Writes the string to out, which has room for s.raw.len bytes, and gives its length. Half a
 * surrogate pair becomes 0xff, a byte that no UTF-8 has: who mends broken strings mends it too. */
size_t json_unescape(struct json_text s, uint8_t *out);

enum { JSON_NOT_INTEGER = 1, JSON_NOT_NUMBER };

/* A number as it stands in the text, or in a string: exact, never by way of a double. 1e3 and 1.0
 * are integers. 0, JSON_NOT_INTEGER (a fraction, or no uint64_t) or JSON_NOT_NUMBER. */
int json_to_integer(struct slice number, bool *negative, uint64_t *magnitude);

/* The nearest double; what is too large for one is infinite. 0 or JSON_NOT_NUMBER, which is also
 * said of more digits than any double needs. */
int json_to_double(struct slice number, double *value);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * base/slice.h - bytes that somebody else owns. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *data;
	size_t len;
};

static inline struct slice slice_of(const void *data, size_t len)
{
	return (struct slice){data, len};
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){(const uint8_t *)s, strlen(s)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_is(struct slice s, const char *text)
{
	return slice_equal(s, slice_str(text));
}

/* Case is ignored for ASCII letters only, as header names and codings want it. */
bool slice_is_nocase(struct slice s, const char *text);

/* Whether `part` stands in `text`: memmem(), but quick for the short parts of rules. */
bool slice_contains(struct slice text, struct slice part);

#endif

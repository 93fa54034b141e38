/* SPDX-License-Identifier: Apache-2.0
 * base/buf.h - a byte buffer that grows on the heap, up to a limit.
 * A zeroed struct is an empty buffer. Every call that may allocate returns 0 or BUF_FULL (over the
 * limit, or no memory); the content is then unchanged. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

enum { BUF_FULL = 1 };

struct buf {
	uint8_t *data;
	size_t len, cap;
	size_t limit; /* 0: none */
};

int buf_reserve(struct buf *b, size_t more); /* room for `more` bytes after len */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t len); /* removes from the front */
void buf_finish(struct buf *b);              /* frees; leaves it empty and usable */

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->data, b->len);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int buf_reserve(struct buf *b, size_t more)
{
	if (more <= b->cap - b->len)
		return 0;
	size_t need = b->len + more;
	if (need < more || (b->limit != 0 && need > b->limit))
		return BUF_FULL;
	size_t cap = b->cap < 64 ? 64 : b->cap;
	while (cap < need)
		cap += cap; /* doubling keeps appends linear in all */
	if (b->limit != 0 && cap > b->limit)
		cap = b->limit;
	uint8_t *data = realloc(b->data, cap);
	if (data == NULL)
		return BUF_FULL;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (buf_reserve(b, len) != 0)
		return BUF_FULL;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	int rc = BUF_FULL;
	if (len >= 0 && buf_reserve(b, (size_t)len + 1) == 0) {
		vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
		rc = 0;
	}
	va_end(again);
	return rc;
}

void buf_consume(struct buf *b, size_t len)
{
	if (len > b->len)
		len = b->len;
	b->len -= len;
	if (b->len != 0)
		memmove(b->data, b->data + len, b->len);
}

void buf_finish(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

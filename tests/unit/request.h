/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/request.h - makes OTLP requests field by field, so that a test can put them in any
 * order. */
#ifndef TESTS_UNIT_REQUEST_H
#define TESTS_UNIT_REQUEST_H

#include "base/buf.h"

static inline void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_append(b, &(uint8_t){(uint8_t)(v | 0x80)}, 1);
	buf_append(b, &(uint8_t){(uint8_t)v}, 1);
}

static inline void put_field(struct buf *b, uint32_t number, const void *data, size_t len)
{
	put_varint(b, (uint64_t)number << 3 | 2);
	put_varint(b, len);
	buf_append(b, data, len);
}

/* Puts `inner` as field `number` of b, and frees it. */
static inline void put_message(struct buf *b, uint32_t number, struct buf *inner)
{
	put_field(b, number, inner->data, inner->len);
	buf_finish(inner);
}

/* A span with `id` in its ids and in its name, `name_bytes` long. */
static inline void put_span(struct buf *scope, uint64_t id, size_t name_bytes)
{
	struct buf span = {0};
	uint64_t trace_id[2] = {id, ~id};
	char *name = calloc(1, name_bytes + 32);
	int len = snprintf(name, name_bytes + 32, "span-%" PRIu64 "-", id);
	memset(name + len, 'x', name_bytes);
	put_field(&span, 1, trace_id, 16);
	put_field(&span, 2, &id, 8);
	put_field(&span, 5, name, (size_t)len + name_bytes);
	put_message(scope, 2, &span);
	free(name);
}

/* One resource, one scope, spans first_id, first_id + 1, ... */
static inline void put_request(struct buf *out, uint64_t first_id, uint32_t spans,
			       size_t name_bytes)
{
	struct buf scope = {0}, resource = {0};
	put_field(&scope, 1, "\x0a\x03lib", 5);
	for (uint32_t i = 0; i < spans; i++)
		put_span(&scope, first_id + i, name_bytes);
	put_field(&resource, 1, "", 0);
	put_message(&resource, 2, &scope);
	put_message(out, 1, &resource);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/otlp_sample.h - protobuf bytes made by hand for tests: pb_* append one field. */
#ifndef TESTS_OTLP_SAMPLE_H
#define TESTS_OTLP_SAMPLE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static inline void pb_varint(struct buf *b, uint64_t v)
{
	uint8_t c;
	for (; v >= 0x80; v >>= 7) {
		c = (uint8_t)(v | 0x80);
		buf_append(b, &c, 1);
	}
	c = (uint8_t)v;
	buf_append(b, &c, 1);
}

static inline void pb_bytes(struct buf *b, unsigned field, const void *data, size_t len)
{
	pb_varint(b, field << 3 | 2);
	pb_varint(b, len);
	buf_append(b, data, len);
}

static inline void pb_str(struct buf *b, unsigned field, const char *text)
{
	pb_bytes(b, field, text, strlen(text));
}

/* Appends `inner` as a submessage and frees it. */
static inline void pb_message(struct buf *b, unsigned field, struct buf *inner)
{
	pb_bytes(b, field, inner->data != NULL ? (const char *)inner->data : "", inner->len);
	buf_finish(inner);
}

static inline void pb_int(struct buf *b, unsigned field, uint64_t v)
{
	pb_varint(b, field << 3);
	pb_varint(b, v);
}

static inline void pb_fixed64(struct buf *b, unsigned field, uint64_t v)
{
	pb_varint(b, field << 3 | 1);
	buf_append(b, &v, 8);
}

/* KeyValue with a string value, as `field` of b. */
static inline void pb_attribute(struct buf *b, unsigned field, const char *key, const char *value)
{
	struct buf kv = {0}, v = {0};
	pb_str(&kv, 1, key);
	pb_str(&v, 1, value);
	pb_message(&kv, 2, &v);
	pb_message(b, field, &kv);
}

/* The fields of a plain valid span; number makes its ids. */
static inline void pb_span_fields(struct buf *b, unsigned number)
{
	uint8_t id[16];
	memset(id, (int)(number & 0x7f) + 1, sizeof(id));
	memcpy(id, &number, sizeof(number));
	pb_bytes(b, 1, id, 16);
	pb_bytes(b, 2, id, 8);
	pb_str(b, 5, "GET /");
	pb_int(b, 6, 2);
	pb_fixed64(b, 7, 1700000000000000000u);
	pb_fixed64(b, 8, 1700000000005000000u);
	pb_attribute(b, 9, "http.request.method", "GET");
}

/* One ResourceSpans with one ScopeSpans that holds `spans` (a run of field 2), which it frees. */
static inline void pb_request(struct buf *b, const char *service, struct buf *spans)
{
	struct buf resource = {0}, scope = {0}, scope_spans = {0}, resource_spans = {0};
	pb_attribute(&resource, 1, "service.name", service);
	pb_message(&resource_spans, 1, &resource);
	pb_str(&scope, 1, "test");
	pb_message(&scope_spans, 1, &scope);
	buf_append(&scope_spans, spans->data, spans->len);
	buf_finish(spans);
	pb_message(&resource_spans, 2, &scope_spans);
	pb_message(b, 1, &resource_spans);
}

/* A span with `id` in its ids and in its name, `name_bytes` long. */
static inline void pb_numbered_span(struct buf *scope, uint64_t id, size_t name_bytes)
{
	struct buf span = {0};
	uint64_t trace_id[2] = {id, ~id};
	char *name = calloc(1, name_bytes + 32);
	int len = snprintf(name, name_bytes + 32, "span-%" PRIu64 "-", id);
	memset(name + len, 'x', name_bytes);
	pb_bytes(&span, 1, trace_id, 16);
	pb_bytes(&span, 2, &id, 8);
	pb_bytes(&span, 5, name, (size_t)len + name_bytes);
	pb_message(scope, 2, &span);
	free(name);
}

/* One resource, one scope, spans first_id, first_id + 1, ... */
static inline void pb_numbered_request(struct buf *out, uint64_t first_id, uint32_t spans,
				       size_t name_bytes)
{
	struct buf scope = {0}, resource = {0};
	pb_bytes(&scope, 1, "\x0a\x03lib", 5);
	for (uint32_t i = 0; i < spans; i++)
		pb_numbered_span(&scope, first_id + i, name_bytes);
	pb_bytes(&resource, 1, "", 0);
	pb_message(&resource, 2, &scope);
	pb_message(out, 1, &resource);
}

#endif

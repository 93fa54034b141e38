/* SPDX-License-Identifier: Apache-2.0
 * tests/redaction/compare.h - two requests, decoded by protobuf-c, field by field. */
#ifndef TESTS_REDACTION_COMPARE_H
#define TESTS_REDACTION_COMPARE_H

#include <stdbool.h>
#include <string.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

#define Request Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define request_unpack                                                                             \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define request_free                                                                               \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked

/* Called for texts and bytes that are not the same; false: they may not be so. */
typedef bool may_differ(void *ctx, const void *a, size_t a_len, const void *b, size_t b_len);

struct compare {
	may_differ *may;
	void *ctx;
};

static inline size_t element_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static bool same_message(const struct compare *c, const ProtobufCMessage *a,
			 const ProtobufCMessage *b);

static bool same_element(const struct compare *c, const ProtobufCFieldDescriptor *f, const void *a,
			 const void *b)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessage *x = *(void *const *)a, *y = *(void *const *)b;
		return x == NULL || y == NULL ? x == y : same_message(c, x, y);
	}
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		const char *x = *(char *const *)a, *y = *(char *const *)b;
		return strcmp(x, y) == 0 || c->may(c->ctx, x, strlen(x), y, strlen(y));
	}
	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		const ProtobufCBinaryData *x = a, *y = b;
		return (x->len == y->len &&
			(x->len == 0 || memcmp(x->data, y->data, x->len) == 0)) ||
		       c->may(c->ctx, x->data, x->len, y->data, y->len);
	}
	return memcmp(a, b, element_size(f)) == 0;
}

/* A number that became a text is told to may_differ() as the number's eight bytes. */
static bool same_field(const struct compare *c, const ProtobufCFieldDescriptor *f,
		       const ProtobufCMessage *x, const ProtobufCMessage *y)
{
	const char *a = (const char *)x, *b = (const char *)y;
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		uint32_t has_a = *(const uint32_t *)(const void *)(a + f->quantifier_offset);
		uint32_t has_b = *(const uint32_t *)(const void *)(b + f->quantifier_offset);
		if (has_a != f->id)
			return true;
		if (has_b != f->id)
			return (f->id == 3 || f->id == 4) && has_b == 1 &&
			       c->may(c->ctx, a + f->offset, 8,
				      *(char *const *)(const void *)(b + f->offset),
				      strlen(*(char *const *)(const void *)(b + f->offset)));
	}
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return same_element(c, f, a + f->offset, b + f->offset);
	size_t n = *(const size_t *)(const void *)(a + f->quantifier_offset);
	if (n != *(const size_t *)(const void *)(b + f->quantifier_offset))
		return false;
	const char *x_all = *(char *const *)(const void *)(a + f->offset);
	const char *y_all = *(char *const *)(const void *)(b + f->offset);
	for (size_t i = 0; i < n; i++)
		if (!same_element(c, f, x_all + i * element_size(f), y_all + i * element_size(f)))
			return false;
	return true;
}

// NOLINTNEXTLINE(misc-no-recursion): of requests that are the test's own
static bool same_message(const struct compare *c, const ProtobufCMessage *a,
			 const ProtobufCMessage *b)
{
	for (unsigned i = 0; i < a->descriptor->n_fields; i++)
		if (!same_field(c, &a->descriptor->fields[i], a, b))
			return false;
	return true;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/otlp_walk.h - steps over the fields of vetted OTLP bytes without looking into spans.
 * For requests that otlp_index() passed. Bytes that are no protobuf end a walk early, never badly.
 */
#ifndef WIRE_OTLP_WALK_H
#define WIRE_OTLP_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto */
enum { REQUEST_RESOURCE_SPANS = 1, RESOURCE_SPANS_SCOPE_SPANS = 2, SCOPE_SPANS_SPANS = 2 };
enum { RESOURCE_SPANS_RESOURCE = 1, RESOURCE_ATTRIBUTES = 1, SCOPE_SPANS_SCOPE = 1 };
enum { SCOPE_NAME = 1, SCOPE_VERSION = 2, SCOPE_ATTRIBUTES = 3 };
enum {
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID = 2,
	SPAN_TRACE_STATE = 3,
	SPAN_PARENT_ID = 4,
	SPAN_NAME = 5,
	SPAN_KIND = 6,
	SPAN_START = 7,
	SPAN_END = 8,
	SPAN_ATTRIBUTES = 9,
	SPAN_EVENTS = 11,
	SPAN_LINKS = 13,
	SPAN_STATUS = 15
};
enum { EVENT_TIME = 1, EVENT_NAME = 2, EVENT_ATTRIBUTES = 3, LINK_ATTRIBUTES = 4, STATUS_CODE = 3 };

struct field {
	uint32_t number, type;
	struct slice whole; /* tag, length and value */
	struct slice value; /* of WIRE_BYTES: what is within */
};

/* field_next(), whatever is there. */
bool field_next_any(struct slice *rest, struct field *f);

/* Takes the first field off `rest`. false at the end, and at groups, which the index refuses. Most
 * fields have a tag of one byte and, in requests, a length of one or two. */
static inline bool field_next(struct slice *rest, struct field *f)
{
	const uint8_t *p = rest->data;
	if (rest->len < 3 || p[0] >= 0x80 || (p[0] & 7) != WIRE_BYTES || (p[1] & p[2]) >= 0x80)
		return field_next_any(rest, f);
	size_t head = p[1] < 0x80 ? 2 : 3;
	size_t len = head == 2 ? p[1] : (size_t)(p[1] & 0x7f) | (size_t)p[2] << 7;
	if (len > rest->len - head)
		return false;
	f->number = p[0] >> 3;
	f->type = WIRE_BYTES;
	f->value = slice_of(p + head, len);
	f->whole = slice_of(p, head + len);
	*rest = slice_of(p + head + len, rest->len - head - len);
	return true;
}

/* Whether f is a message or string with this number. */
static inline bool field_is(const struct field *f, uint32_t number)
{
	return f->number == number && f->type == WIRE_BYTES;
}

uint32_t otlp_walk_spans(struct slice request); /* counts them */

/* The id of the span that stands at `offset` of the request: of several, as a message may have, the
 * last one before its attributes. false: there is no span with an id. */
bool otlp_walk_span_id(struct slice request, uint32_t offset, uint8_t id[8]);

#endif

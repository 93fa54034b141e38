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

/* opentelemetry/proto/trace/v1/trace.proto */
enum { REQUEST_RESOURCE_SPANS = 1, RESOURCE_SPANS_SCOPE_SPANS = 2, SCOPE_SPANS_SPANS = 2 };

struct field {
	uint32_t number, type;
	struct slice whole; /* tag, length and value */
	struct slice value; /* of WIRE_BYTES: what is within */
};

/* Takes the first field off `rest`. false at the end, and at groups, which the index refuses. */
bool field_next(struct slice *rest, struct field *f);

/* Whether f is a message or string with this number. */
static inline bool field_is(const struct field *f, uint32_t number)
{
	return f->number == number && f->type == WIRE_BYTES;
}

uint32_t otlp_walk_spans(struct slice request); /* counts them */

#endif

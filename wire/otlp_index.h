/* SPDX-License-Identifier: Apache-2.0
 * wire/otlp_index.h - one walk over an ExportTraceServiceRequest before anyone trusts it.
 * Not recursive; every limit is checked before anything is followed. protobuf-c never sees bytes
 * that did not pass here. Field numbers: OTLP 1.11.0, trace/v1/trace.proto and
 * common/v1/common.proto. Knows no clock, socket or thread. */
#ifndef WIRE_OTLP_INDEX_H
#define WIRE_OTLP_INDEX_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

/* What is wrong with a request, or with one span of it. Within a span all but MALFORMED and
 * NO_MEMORY cost that span only. */
enum index_verdict {
	INDEX_OK,
	INDEX_MALFORMED, /* not protobuf, or a known field with the wrong wire type */
	INDEX_ID,        /* a trace or span id that is no id (A5) */
	INDEX_DEPTH,     /* attribute values nested too deep */
	INDEX_COUNT,     /* too many spans, attributes, events or links */
	INDEX_LENGTH,    /* a key or value over its limit */
	INDEX_DUPLICATE, /* a second resource, scope, status or value: quadratic merges elsewhere */
	INDEX_COST,      /* would decode to far more memory than it has bytes */
	INDEX_NO_MEMORY  /* the arena's limit */
};
extern const char *const INDEX_REASONS[]; /* for clients, in English */

struct index_limits {
	uint32_t spans;         /* in the request */
	uint32_t attributes;    /* of one resource, scope, span, event, link, kvlist or array */
	uint32_t events, links; /* of one span */
	uint32_t depth;         /* of values within values */
	uint32_t key_bytes;
	uint32_t value_bytes; /* one string or bytes */
};
extern const struct index_limits INDEX_LIMITS; /* the defaults, with their reasons */

/* A change that makes the request safe: `drop` bytes at `offset` give way to `with`. */
struct edit {
	struct edit *next;
	uint32_t offset, drop;
	struct slice with;
};

struct otlp_index {
	uint32_t spans;         /* good ones */
	uint32_t rejected;      /* the others: gone after the edits */
	enum index_verdict why; /* the first of them was rejected */
	uint32_t repaired;      /* strings that were not UTF-8 */
	uint32_t reserved;      /* keys that begin as the relay's own: "spanrelay." */
	struct edit *edits;     /* in the order of their offsets; NULL: use the request as it is */
	size_t edited_size;     /* of the request after the edits */
};

/* Walks `request` (at most 4 GiB - 1). Edits and their bytes come from `arena`. Edits repair UTF-8,
 * remove rejected spans and envelopes without spans, and move ResourceSpans field 1000 of old
 * producers to scope_spans (A8). */
enum index_verdict otlp_index(struct otlp_index *ix, struct slice request,
			      const struct index_limits *limits, struct arena *arena);

/* Writes the request with all edits applied; out has room for ix->edited_size bytes. */
void otlp_edit(const struct otlp_index *ix, struct slice request, uint8_t *out);

#endif

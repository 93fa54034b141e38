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

/* Why a request is refused as a whole. */
enum index_verdict {
	INDEX_OK,
	INDEX_MALFORMED, /* not protobuf, or a known field with the wrong wire type */
	INDEX_DEPTH,	 /* AnyValue nested deeper than max_depth */
	INDEX_COUNT,	 /* too many spans, attributes, events or links */
	INDEX_COST,	 /* would decode to far more memory than it has bytes */
	INDEX_DUPLICATE, /* a second resource, scope, status or value: quadratic merges elsewhere */
	INDEX_LENGTH,	 /* a key or other string over its limit */
	INDEX_NO_MEMORY	 /* the arena's limit */
};
extern const char *const INDEX_REASONS[]; /* for clients: plain English */

struct index_limits {
	uint32_t spans;	     /* in the request */
	uint32_t attributes; /* of one resource, scope, span, event or link; also of one kvlist or
				array */
	uint32_t events, links; /* of one span */
	uint32_t depth;		/* of AnyValue nesting */
	uint32_t key_bytes;
	uint32_t value_bytes; /* one string or bytes value, name or message */
};
extern const struct index_limits INDEX_LIMITS; /* the defaults, threats-and-tests section 3 */

/* A change that makes the request safe: `drop` bytes at `offset` give way to `with`. */
struct edit {
	struct edit *next;
	uint32_t offset, drop;
	struct slice with;
};

struct otlp_index {
	uint32_t spans;	   /* good ones */
	uint32_t invalid;  /* spans with ids that are not ids (A5): dropped by the edits */
	uint32_t repaired; /* strings that were not UTF-8 */
	uint32_t n_edits;  /* 0: the request can be used as it is */
	struct edit *edits, *last_edit;
	size_t edited_size; /* of the request after the edits */
};

/* Walks `request`; edits and their replacement bytes come from `arena`. */
enum index_verdict otlp_index(struct otlp_index *ix, struct slice request,
			      const struct index_limits *limits, struct arena *arena);

/* Writes the request with all edits applied; out has room for ix->edited_size bytes. */
void otlp_edit(const struct otlp_index *ix, struct slice request, uint8_t *out);

/* For requests that passed: the number of spans, at a glance. */
uint32_t otlp_count_spans(struct slice request);

#endif

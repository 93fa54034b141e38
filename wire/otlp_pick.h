/* SPDX-License-Identifier: Apache-2.0
 * wire/otlp_pick.h - some spans of many vetted requests become one request, each with the sampling
 * threshold it is to carry in its tracestate. On wire/otlp_splice.h: merged by resource and scope,
 * in the order they are added. A span whose tracestate stays as it is is copied as it is; of others
 * all but the tracestate stays, byte for byte, in its place and order.
 * Source: OpenTelemetry specification 1.60, "TraceState: Probability Sampling"; OTLP 1.11.0,
 * trace/v1/trace.proto, Span.trace_state = 3. */
#ifndef WIRE_OTLP_PICK_H
#define WIRE_OTLP_PICK_H

#include <stdbool.h>

#include "base/buf.h"

enum { PICK_FULL = 1 };

/* What a span is to say. Its own `th` is raised to `threshold`, never lowered. */
struct pick_mark {
	bool write_th; /* else its `th` stays as it came */
	bool erase_th; /* its probability is not known */
	bool write_rv; /* where it has none */
	bool as_is;    /* it is known that nothing of its tracestate changes: not looked at */
	uint64_t threshold;
	uint64_t randomness; /* of the trace: a `th` above it would be false, and goes */
};

struct otlp_pick;
struct otlp_pick *otlp_pick_create(void); /* NULL: no memory */
void otlp_pick_destroy(struct otlp_pick *p);
void otlp_pick_reset(struct otlp_pick *p, size_t max_bytes);

/* One span, by where it stands in the request. */
struct picked {
	uint32_t offset;
	struct pick_mark mark;
};

/* Adds spans of `request`, in ascending order of their offsets; borrows its bytes until the next
 * reset. `tails` as in wire/otlp_splice.h. *done is how many of them are in: n for 0; less for
 * PICK_FULL, where max_bytes is reached (a single span alone always is taken) and for a request
 * that has no such span. Negative: no memory. A span that cannot be marked (its tracestate is none,
 * or full) goes unmarked, without `th`, and is counted. */
int otlp_pick_add(struct otlp_pick *p, struct slice request, bool tails, const struct picked *list,
		  uint32_t n, uint32_t *done);

uint32_t otlp_pick_spans(const struct otlp_pick *p);
uint32_t otlp_pick_unmarked(const struct otlp_pick *p);
int otlp_pick_write(const struct otlp_pick *p, struct buf *out); /* 0 or BUF_FULL */

#endif

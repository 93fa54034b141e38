/* SPDX-License-Identifier: Apache-2.0
 * wire/otlp_splice.h - many vetted requests become one, merged by resource and scope.
 * Spans are copied as bytes, once; equal resource headers (everything of a ResourceSpans but its
 * scope_spans) and, under them, equal scope headers are written once. Unknown fields stay, but for
 * those of the request itself. The output has what protobuf calls the same content; order within a
 * scope is the order of arrival. Keyed by a hash and compared byte for byte. Not for bytes that the
 * index has not vetted. */
#ifndef WIRE_OTLP_SPLICE_H
#define WIRE_OTLP_SPLICE_H

#include "base/buf.h"
#include "base/slice.h"

enum { SPLICE_FULL = 1 };

struct splice;
struct splice *splice_create(size_t max_bytes); /* of output; NULL: no memory */
void splice_destroy(struct splice *s);
void splice_reset(struct splice *s, size_t max_bytes);

/* Adds the spans of `request` from the `*span`-th on and before the `end`-th (0-based, document
 * order; UINT32_MAX: all), borrowing its bytes until the next reset. 0: they are in, *span is `end`
 * or the number of spans in the request. SPLICE_FULL: max_bytes is reached, *span is the first that
 * is not in; where nothing was in before and one span alone is too large, it is taken all the same.
 * Negative: no memory. */
int splice_add(struct splice *s, struct slice request, uint32_t *span, uint32_t end);

/* The same for single spans: those that stand at the `offsets` in the request, which ascend, each
 * as `take` gives it: the span itself, or another one in its place, framed as a field and good
 * until the next reset; empty for no memory. Other spans are not looked at: without `tails`,
 * nothing but spans stands behind the first span of a ScopeSpans. *done is how many of the n are
 * in: fewer for SPLICE_FULL, and where there is no span at an offset. */
struct splice_choice {
	const uint32_t *offsets;
	uint32_t n;
	bool tails;
	/* Of offsets[i]; NULL: they stay as they are. */
	struct slice (*take)(void *ctx, uint32_t i, struct slice span);
	void *ctx;
};
int splice_add_some(struct splice *s, struct slice request, const struct splice_choice *c,
		    uint32_t *done);

uint32_t splice_spans(const struct splice *s);
size_t splice_size(const struct splice *s);                /* bytes that write() will append */
int splice_write(const struct splice *s, struct buf *out); /* 0 or BUF_FULL */

#endif

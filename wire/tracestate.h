/* SPDX-License-Identifier: Apache-2.0
 * wire/tracestate.h - the `ot` entry of a span's tracestate, and what its probabilities mean.
 * Sources: W3C Trace Context, 3.3 (tracestate); OpenTelemetry specification 1.60, "TraceState:
 * Probability Sampling" and "TraceState Handling" (status Development).
 *
 * Randomness R and threshold T are numbers of 56 bits. A span is kept if R >= T; the probability of
 * that is (2^56 - T) / 2^56, and what is kept counts for its inverse. */
#ifndef WIRE_TRACESTATE_H
#define WIRE_TRACESTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define THRESHOLD_NEVER ((uint64_t)1 << 56) /* no R reaches it; it cannot be written */

enum { TRACESTATE_BAD = BUF_FULL + 1, TRACESTATE_MAX_MEMBERS = 32, TRACESTATE_MAX_OT = 256 };

struct tracestate {
	struct slice text; /* borrowed; empty is fine */
	struct slice ot;   /* the value of its `ot` entry, empty for none */
	bool has_th, has_rv;
	uint64_t th, rv;
};

/* 0, or TRACESTATE_BAD for what is no tracestate, or has an `ot` entry that is none: nothing can be
 * said of its probability, so *t then has the text and nothing else, and is written unchanged. */
int tracestate_read(struct tracestate *t, struct slice text);

/* Appends t->text with th and rv as they stand in *t now. When that changes `ot`, it comes first;
 * sub-keys we do not know, and all other members, stay as they were and in their order, but the
 * last of more than 32 members goes. 0, BUF_FULL, or TRACESTATE_BAD: `ot` would be too long, th or
 * rv is no number of 56 bits (THRESHOLD_NEVER has no th), or they are to go into a text that is no
 * tracestate. Then nothing was appended. */
int tracestate_write(const struct tracestate *t, struct buf *out);

/* The threshold for keeping that share, 0 to 1: rounded to four hexadecimal digits after those that
 * are f (0.1 is e666), so compare with this and never with the share. 0 and less give
 * THRESHOLD_NEVER. */
uint64_t threshold_of(double share);
double threshold_share(uint64_t threshold); /* the other way: 0 to 1 */

/* Of the share that `first` keeps, keep the share that `second` would: the thresholds of
 * independent coins as one. */
uint64_t threshold_product(uint64_t first, uint64_t second);

/* R of a trace without rv: the last 7 of its 16 bytes (W3C level 2, random trace flag). */
uint64_t randomness_of(const uint8_t *trace_id);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/guard.h - one bucket of cost per HTTP/2 connection.
 * Every frame has a price, time and useful payload earn credit; who runs dry is told
 * ENHANCE_YOUR_CALM. One rule for resets, pings, settings, empty data and what comes next, since
 * the library leaves most of them unlimited (threats-and-tests 2). */
#ifndef WIRE_GUARD_H
#define WIRE_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { FRAME_HEADER = 9 };

struct guard {
	int64_t credit;
	uint64_t last_ms;
	uint32_t skip; /* bytes to the next frame header: the preface, a payload */
	uint8_t header[FRAME_HEADER], n_header;
};

void guard_init(struct guard *g, uint64_t now_ms);

/* Counts the frames in what a client sent, from the first byte of the connection on; the library
 * does not tell of those it ignores. Whether the connection may go on. */
bool guard_bytes(struct guard *g, struct slice bytes, uint64_t now_ms);

/* The peer made us reset a stream, or sent a frame that the library calls invalid. */
bool guard_fault(struct guard *g);

/* A request was read to its end: pays for the frames that clients send along with one. */
void guard_request(struct guard *g);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/guard.h - one bucket of cost per HTTP/2 connection.
 * Every frame has a price, time and useful payload earn credit; who runs dry is told
 * ENHANCE_YOUR_CALM. One rule for resets, pings, settings, empty data and what comes next, since
 * the library leaves most of them unlimited (threats-and-tests 2). */
#ifndef WIRE_GUARD_H
#define WIRE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard {
	int64_t credit;
	uint64_t last_ms;
};

void guard_init(struct guard *g, uint64_t now_ms);

/* A frame header was read: whether the connection may go on. */
bool guard_frame(struct guard *g, uint8_t type, uint8_t flags, size_t length, uint64_t now_ms);

/* The peer made us reset a stream, or sent a frame that the library calls invalid. */
bool guard_fault(struct guard *g);

/* A request was read to its end: pays for the frames that clients send along with one. */
void guard_request(struct guard *g);

#endif

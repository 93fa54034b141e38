/* SPDX-License-Identifier: Apache-2.0
 * wire/http1.h - HTTP/1.1 messages out of a byte stream, strictly framed (RFC 9112), by
 * libhttp-parser. Requests for receivers and the admin page, responses for exporters. Refuses what
 * smugglers use: two or differing Content-Length, Content-Length with Transfer-Encoding, bare CR,
 * folded headers. No I/O; pipelined messages come one after the other. `Upgrade: h2c` is ignored.
 */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include <http_parser.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { HTTP1_HEADER_BYTES = 16384, HTTP1_HEADER_FIELDS = 64 };

/* Valid until the message is complete. Absent headers are empty slices. */
struct http1_head {
	struct slice method, target; /* requests */
	unsigned status;             /* responses */
	bool keep_alive, expect_continue;
	int64_t content_length; /* -1: none was given */
	struct slice content_type, content_encoding, retry_after, user_agent, authorization;
	bool two_authorizations; /* that differ */
};

struct http1;
/* Each returns 0, or nonzero to stop: http1_feed() then returns HTTP1_STOPPED. */
struct http1_events {
	int (*on_head)(void *ctx, const struct http1_head *head);
	int (*on_body)(void *ctx, struct slice piece);
	int (*on_complete)(void *ctx);
};

struct http1 {
	http_parser parser;
	const struct http1_events *events;
	void *ctx;
	struct http1_head head;
	char *text; /* target, then name and value by turns; only while a message is under way */
	uint32_t text_len, fields;
	uint32_t name_at, value_at; /* in text, of the header under way */
	bool in_value, in_head, stopped, too_large;
	uint8_t last;       /* byte of the head, to see a folded line across two feeds */
	bool idle;          /* between messages: nothing of the next one has come */
	bool one_at_a_time; /* http1_feed() returns after each message ... */
	size_t unread;      /* ... having left so many bytes for the next call */
};

enum { HTTP1_STOPPED = -1, HTTP1_MALFORMED = -2, HTTP1_TOO_LARGE = -3 };

void http1_init(struct http1 *h, bool responses, const struct http1_events *events, void *ctx);
void http1_finish(struct http1 *h);

/* Eats all of `bytes`: 0 or one of the above, after which the connection is only good for closing.
 * An empty slice says that the peer closed: a response without length ends so. */
int http1_feed(struct http1 *h, struct slice bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/h2.h - the server's side of one HTTP/2 connection, by nghttp2; no socket, no clock.
 * Bytes go in by h2_feed() and come out by h2_output(). Windows are opened by hand: a connection
 * whose bytes we cannot hold is slowed by HTTP/2 itself. */
#ifndef WIRE_H2_H
#define WIRE_H2_H

#include "base/buf.h"
#include "wire/request.h"

enum {
	/* name + value + 32 a field, as SETTINGS_MAX_HEADER_LIST_SIZE counts */
	H2_HEADER_BYTES = 16384,
	H2_HEADER_FIELDS = 64,
	H2_WINDOW = 1 << 20, /* of a stream and of the connection */
	H2_MAX_STREAMS = 128
};

struct h2;
struct h2_stream;

/* A stream's `user` is the receiver's, set by it. All run inside h2_feed() but on_closed, which may
 * also run inside h2_output() and h2_destroy(). */
struct h2_events {
	void (*on_head)(void *ctx, struct h2_stream *s, const struct request_head *head);
	void (*on_body)(void *ctx, struct h2_stream *s, struct slice piece);
	void (*on_end)(void *ctx, struct h2_stream *s);
	void (*on_closed)(void *ctx, struct h2_stream *s,
			  bool answered); /* s is no more after it */
};

enum { H2_PROTOCOL = -1, H2_ABUSE = -2 };

struct h2 *h2_create(const struct h2_events *events, void *ctx,
		     uint64_t now_ms); /* NULL: no memory */
void h2_destroy(struct h2 *h);

/* 0, or why the connection has to end; what h2_output() then gives is to be written first. */
int h2_feed(struct h2 *h, struct slice bytes, uint64_t now_ms);

/* Appends what is to be written, up to about 64 KiB at a time. */
int h2_output(struct h2 *h, struct buf *out);
bool h2_is_done(const struct h2 *h); /* nothing more will be read or written */

/* Answers a stream; what comes after the first answer or cancel is ignored. Before the request's
 * end, the client is told to stop sending (C11). */
void h2_respond(struct h2_stream *s, const struct response *r);
void h2_cancel(struct h2_stream *s); /* RST_STREAM(CANCEL), instead of an answer */

void **h2_user(struct h2_stream *s);
uint32_t h2_streams(const struct h2 *h); /* open ones */

/* Flow control: while paused, windows are not opened again. */
void h2_pause(struct h2 *h, bool paused);

/* Shutdown in two steps, a round trip apart (C14). */
void h2_shutdown_notice(struct h2 *h);
void h2_shutdown(struct h2 *h);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * The server's HTTP/2 session with gRPC framing on top, after a right preface: any bytes end in
 * answers or in a closed connection, every stream that began is closed once, memory stays bounded.
 * The first byte says how the rest is cut and how streams are answered. */
#include <stdlib.h>

#include "wire/grpc.h"
#include "wire/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_LIMIT = 4096 };

struct call {
	struct grpc_framing framing;
	struct buf body;
	bool answered;
};

static int open_calls, mode;

static void want(bool condition)
{
	if (!condition)
		abort();
}

static void answer(struct h2_stream *s, struct call *c, int status)
{
	struct response r = {.status = 200,
			     .content_type = "application/grpc",
			     .grpc_status = mode & 1 ? status : -1,
			     .grpc_message = "na\xc3\xafve %",
			     .retry_after_s = status != 0,
			     .body = status == 0 ? slice_of("\0\0\0\0\0", 5) : slice_of("", 0)};
	c->answered = true;
	h2_respond(s, &r);
}

static void on_head(void *ctx, struct h2_stream *s, const struct request_head *head)
{
	(void)ctx;
	struct call *c = calloc(1, sizeof(*c));
	want(c != NULL);
	*h2_user(s) = c;
	open_calls++;
	want(open_calls <= H2_MAX_STREAMS);
	want(head->path.len <= H2_HEADER_BYTES);
	grpc_timeout_ms(head->grpc_timeout);
	if (mode & 2)
		answer(s, c, GRPC_RESOURCE_EXHAUSTED);
}

static void on_body(void *ctx, struct h2_stream *s, struct slice piece)
{
	(void)ctx;
	struct call *c = *h2_user(s);
	want(!c->answered);
	int rc = grpc_framing_feed(&c->framing, piece, BODY_LIMIT, &c->body);
	want(c->body.len <= BODY_LIMIT);
	if (rc != 0)
		answer(s, c, GRPC_INTERNAL);
}

static void on_end(void *ctx, struct h2_stream *s)
{
	(void)ctx;
	struct call *c = *h2_user(s);
	bool whole = grpc_framing_is_whole(&c->framing, &c->body);
	if (mode & 4)
		h2_cancel(s);
	else
		answer(s, c, whole ? 0 : GRPC_INTERNAL);
}

static void on_closed(void *ctx, struct h2_stream *s, bool answered)
{
	(void)ctx, (void)answered;
	struct call *c = *h2_user(s);
	open_calls--;
	buf_finish(&c->body);
	free(c);
}

static const struct h2_events EVENTS = {on_head, on_body, on_end, on_closed};

static int feed(struct h2 *h, struct slice bytes, uint64_t now_ms)
{
	struct buf out = {0};
	int rc = h2_feed(h, bytes, now_ms);
	want(h2_output(h, &out) == 0 || rc != 0);
	buf_finish(&out);
	return rc != 0 || h2_is_done(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char HELLO[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	if (size < 1)
		return 0;
	mode = data[0] & 7;
	size_t step = (size_t)1 << (data[0] >> 4);
	open_calls = 0;
	struct h2 *h = h2_create(&EVENTS, NULL, 1);
	want(h != NULL);
	int over = feed(h, slice_of(HELLO, sizeof(HELLO) - 1), 1);
	for (size_t i = 1; i < size && !over; i += step)
		over = feed(h, slice_of(data + i, size - i < step ? size - i : step), 1 + i);
	h2_pause(h, false);
	h2_destroy(h);
	want(open_calls == 0);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Bytes from a hostile backend, for both clients: each call ends at most once, bodies stay within
 * the limit, and nothing is read of a call that is its owner's again. The first byte chooses
 * HTTP/1.1 or HTTP/2 and how the rest is cut into pieces; with HTTP/2, frames come as type, flags,
 * stream, length and payload, so that the input need not be well framed to get far. */
#include <stdlib.h>

#include "wire/http_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 3 };

static void want(int condition)
{
	if (!condition)
		abort();
}

static void submit(struct http_client *c, struct http_call *call)
{
	const struct http_field fields[] = {
	    {slice_str(":method"), slice_str("POST"), false},
	    {slice_str(":scheme"), slice_str("http"), false},
	    {slice_str(":authority"), slice_str("b"), false},
	    {slice_str(":path"), slice_str("/"), false},
	    {slice_str("secret"), slice_str("value"), true},
	};
	call->body[0] = slice_str("12345");
	call->body[1] = slice_str("body");
	want(c->ops->submit(c, call, fields, 5) == 0);
}

static void pull_all(struct http_client *c)
{
	struct slice out;
	while (c->ops->pull(c, &out) == 0 && out.len != 0)
		;
}

static void collect(struct http_client *c, struct http_call **calls)
{
	for (struct http_call *call; (call = http_client_ended(c)) != NULL;) {
		size_t i = 0;
		while (i < CALLS && calls[i] != call)
			i++;
		want(i < CALLS);
		want(call->response.body.len <= HTTP_BODY_MAX);
		http_response_finish(&call->response);
		free(call);
		calls[i] = NULL;
	}
}

/* type, flags, stream, length, payload -> an HTTP/2 frame. */
static struct slice next_frame(struct slice *in, uint8_t *frame)
{
	if (in->len < 4)
		return slice_of(frame, 0);
	size_t len = in->data[3] < in->len - 4 ? in->data[3] : in->len - 4;
	memcpy(frame,
	       (uint8_t[]){0, 0, (uint8_t)len, in->data[0] % 12, in->data[1], 0, 0, 0,
			   in->data[2] % 8},
	       9);
	memcpy(frame + 9, in->data + 4, len);
	*in = slice_of(in->data + 4 + len, in->len - 4 - len);
	return slice_of(frame, len + 9);
}

static struct slice next_piece(struct slice *in, size_t most)
{
	size_t len = in->len < most ? in->len : most;
	struct slice piece = slice_of(in->data, len);
	*in = slice_of(in->data + len, in->len - len);
	return piece;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	bool http1 = data[0] & 1, framed = data[0] & 2, cancels = data[0] & 4;
	struct http_client *c = http1 ? http1_client_create() : h2_client_create();
	struct http_call *calls[CALLS] = {NULL}, **unwanted = &calls[http1 ? 0 : 1];
	for (size_t i = 0; i < CALLS && c->ops->has_room(c); i++) {
		calls[i] = calloc(1, sizeof(*calls[i]));
		submit(c, calls[i]);
	}
	if ((data[0] & 8) == 0)
		pull_all(c);
	struct slice in = slice_of(data + 1, size - 1), piece;
	uint8_t frame[9 + 255];
	do {
		piece =
		    framed && !http1 ? next_frame(&in, frame) : next_piece(&in, 1u + data[0] / 16);
		if (c->ops->feed(c, piece) != 0)
			break;
		pull_all(c);
		collect(c, calls);
		if (cancels && *unwanted != NULL && in.len % 5 == 0) {
			c->ops->cancel(c, *unwanted);
			http_response_finish(&(*unwanted)->response);
			free(*unwanted);
			*unwanted = NULL;
		}
	} while (piece.len != 0);
	http_client_lost(c, "over");
	collect(c, calls);
	for (size_t i = 0; i < CALLS; i++)
		want(calls[i] == NULL);
	http_client_destroy(c);
	return 0;
}

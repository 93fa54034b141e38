/* SPDX-License-Identifier: Apache-2.0
 * HTTP/2 for wire/http_client.h. */
#include "wire/http_client.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

enum {
	WINDOW = 1 << 20, /* answers are small; a slow reader of them would only hurt ourselves */
	HEADER_LIST = 16 << 10,    /* what we announce; libnghttp2 itself stops at 64 KiB */
	FRAME_PAYLOAD = 16384 - 9, /* a frame with its header fills one TLS record */
	NOISE_MAX = 1000           /* control frames for one request; an honest peer sends a few */
};

struct h2_client {
	struct http_client client;
	nghttp2_session *session;
	unsigned noise; /* frames since the last request or answer that moved nothing on */
	bool goaway;
};

static struct h2_client *h2_of(struct http_client *c)
{
	return container_of(c, struct h2_client, client);
}

static struct http_call *call_of(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* From here on nghttp2 knows the stream no more by this call, whose body may go. */
static void call_end(struct h2_client *c, struct http_call *call, enum http_end end)
{
	nghttp2_session_set_stream_user_data(c->session, call->stream_id, NULL);
	http_call_end(&c->client, call, end);
	c->noise = 0;
}

static void reset(struct h2_client *c, const struct http_call *call, uint32_t code)
{
	/* Fails only for lack of memory; the session then ends at its next call. */
	(void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->stream_id, code);
}

static ssize_t on_read_body(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t room,
			    uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	(void)source, (void)ctx;
	struct http_call *call = call_of(session, stream_id);
	if (call == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* ended; its reset is on the way */
	size_t n = 0, skip = call->sent;
	for (size_t i = 0; i < 2; i++) {
		struct slice piece = call->body[i];
		size_t from = skip < piece.len ? skip : piece.len;
		size_t len = piece.len - from < room - n ? piece.len - from : room - n;
		if (len != 0)
			memcpy(out + n, piece.data + from, len);
		n += len;
		skip -= from;
	}
	call->sent += n;
	if (http_call_all_sent(call))
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static ssize_t on_frame_size(nghttp2_session *session, uint8_t type, int32_t stream_id,
			     int32_t session_window, int32_t stream_window, uint32_t max_frame,
			     void *ctx)
{
	(void)session, (void)type, (void)stream_id, (void)session_window, (void)stream_window;
	(void)ctx;
	return max_frame < FRAME_PAYLOAD ? max_frame : FRAME_PAYLOAD;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *ctx)
{
	(void)flags, (void)ctx;
	struct http_call *call = call_of(session, frame->hd.stream_id);
	if (call == NULL)
		return 0;
	struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);
	if (slice_is(n, ":status")) { /* three digits, says nghttp2 */
		call->response.status = 0;
		for (size_t i = 0; i < v.len; i++)
			call->response.status = call->response.status * 10 + (v.data[i] - '0');
	} else {
		http_response_field(&call->response, n, v);
	}
	return 0;
}

static int on_body(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
		   size_t len, void *ctx)
{
	(void)flags;
	struct h2_client *c = ctx;
	struct http_call *call = call_of(session, stream_id);
	if (call != NULL && http_response_body(&call->response, slice_of(data, len)) != 0) {
		reset(c, call, NGHTTP2_CANCEL);
		call_end(c, call, HTTP_TOO_LARGE);
	}
	return 0;
}

/* Requests above the last id that the peer looked at; nghttp2 itself ends those already sent, but
 * those that wait inside for a free stream would wait for ever. */
static void on_goaway(struct h2_client *c, int32_t last_id)
{
	c->goaway = true;
	list_for_each_safe(pos, tmp, &c->client.calls)
	{
		struct http_call *call = container_of(pos, struct http_call, link);
		if (call->stream_id > last_id) {
			reset(c, call, NGHTTP2_CANCEL);
			call_end(c, call, HTTP_NOT_TAKEN);
		}
	}
}

static bool is_noise(const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_DATA)
		return frame->hd.length == 0;
	return frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_WINDOW_UPDATE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2_client *c = ctx;
	if (is_noise(frame) && ++c->noise > NOISE_MAX)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		on_goaway(c, frame->goaway.last_stream_id);
	bool ends = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
	if (!ends || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	struct http_call *call = call_of(session, frame->hd.stream_id);
	if (call == NULL)
		return 0;
	if (!http_call_all_sent(
		call)) /* answered early: the rest of the body is of no use to anybody */
		reset(c, call, NGHTTP2_NO_ERROR);
	call_end(c, call, HTTP_WHOLE);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx)
{
	struct http_call *call = call_of(session, stream_id);
	if (call == NULL)
		return 0;
	call->response.reset_code = code;
	call_end(ctx, call, code == NGHTTP2_REFUSED_STREAM ? HTTP_NOT_TAKEN : HTTP_RESET);
	return 0;
}

/* HEADERS that could not go out: no stream was opened, so none will be closed. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *ctx)
{
	(void)session, (void)error;
	struct h2_client *c = ctx;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	list_for_each_safe(pos, tmp, &c->client.calls)
	{
		struct http_call *call = container_of(pos, struct http_call, link);
		if (call->stream_id == frame->hd.stream_id)
			call_end(c, call, HTTP_NOT_TAKEN);
	}
	return 0;
}

static int session_create(struct h2_client *c)
{
	nghttp2_session_callbacks *cb;
	if (nghttp2_session_callbacks_new(&cb) != 0)
		return -1;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_body);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_frame_size);
	int rc = nghttp2_session_client_new(&c->session, cb, c);
	nghttp2_session_callbacks_del(cb);
	return rc;
}

/* nghttp2 takes fields it only reads as pointers to mutable bytes. */
static nghttp2_nv field_nv(const struct http_field *f)
{
	union {
		const uint8_t *in;
		uint8_t *out;
	} name = {.in = f->name.data}, value = {.in = f->value.data};
	return (nghttp2_nv){.name = name.out,
			    .value = value.out,
			    .namelen = f->name.len,
			    .valuelen = f->value.len,
			    .flags = f->secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

/* Above the peer's limit of streams, nghttp2 keeps the request until one is free. */
static int on_submit(struct http_client *client, struct http_call *call,
		     const struct http_field *fields, size_t n)
{
	struct h2_client *c = h2_of(client);
	nghttp2_nv *nv = calloc(n, sizeof(*nv));
	if (nv == NULL)
		return NGHTTP2_ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		nv[i] = field_nv(&fields[i]);
	nghttp2_data_provider body = {.read_callback = on_read_body};
	int32_t id = nghttp2_submit_request(c->session, NULL, nv, n, &body, call);
	free(nv);
	if (id < 0)
		return id;
	call->stream_id = id;
	http_call_begin(client, call);
	c->noise = 0;
	return 0;
}

static void on_cancel(struct http_client *client, struct http_call *call)
{
	struct h2_client *c = h2_of(client);
	nghttp2_session_set_stream_user_data(c->session, call->stream_id, NULL);
	reset(c, call, NGHTTP2_CANCEL);
	list_del(&call->link);
}

static int on_feed(struct http_client *client, struct slice bytes)
{
	nghttp2_session *session = h2_of(client)->session;
	ssize_t n = nghttp2_session_mem_recv(session, bytes.data, bytes.len);
	if (n < 0)
		return (int)n;
	return nghttp2_session_want_read(session) ? 0 : NGHTTP2_ERR_EOF;
}

static int on_pull(struct http_client *client, struct slice *out)
{
	nghttp2_session *session = h2_of(client)->session;
	const uint8_t *data = NULL;
	ssize_t n = nghttp2_session_mem_send(session, &data);
	if (n < 0)
		return (int)n;
	*out = slice_of(data, (size_t)n);
	/* After a fault nghttp2 has a GOAWAY to send, and then wants to hear nothing more. */
	return n > 0 || nghttp2_session_want_read(session) ? 0 : NGHTTP2_ERR_EOF;
}

static bool is_spent(struct http_client *client)
{
	const struct h2_client *c = h2_of(client);
	return c->goaway || !nghttp2_session_check_request_allowed(c->session);
}

static bool has_room(struct http_client *client)
{
	return !is_spent(client);
}

static void on_destroy(struct http_client *client)
{
	struct h2_client *c = h2_of(client);
	nghttp2_session_del(c->session);
	free(c);
}

static const struct http_client_ops H2_OPS = {
    .submit = on_submit,
    .cancel = on_cancel,
    .feed = on_feed,
    .pull = on_pull,
    .has_room = has_room,
    .is_spent = is_spent,
    .destroy = on_destroy,
};

struct http_client *h2_client_create(void)
{
	struct h2_client *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	http_client_init(&c->client, &H2_OPS);
	const nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST},
	};
	size_t n = sizeof(settings) / sizeof(settings[0]);
	if (session_create(c) != 0 ||
	    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, n) != 0 ||
	    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0) {
		http_client_destroy(&c->client);
		return NULL;
	}
	return &c->client;
}

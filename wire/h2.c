/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "wire/grpc.h"
#include "wire/guard.h"

enum { OUTPUT_CHUNK = 65536 };

/* The headers that receivers ask for, in the order of struct h2_stream.header. */
enum header {
	METHOD,
	PATH,
	CONTENT_TYPE,
	CONTENT_ENCODING,
	CONTENT_LENGTH,
	GRPC_ENCODING,
	GRPC_TIMEOUT,
	AUTHORIZATION,
	HEADERS
};
static const char *const HEADER_NAMES[HEADERS] = {
    ":method",        ":path",         "content-type", "content-encoding",
    "content-length", "grpc-encoding", "grpc-timeout", "authorization",
};

struct h2 {
	nghttp2_session *session;
	const struct h2_events *events;
	void *ctx;
	struct guard guard;
	struct list open; /* h2_stream.open_link */
	uint32_t streams;
	size_t held; /* bytes that came in while paused, for the connection's window */
	bool paused, abuse;
};

struct h2_stream {
	struct h2 *h2;
	struct list open_link;
	void *user;
	int32_t id;
	struct buf text; /* of the headers we keep; freed when the head is whole */
	struct {
		uint32_t at, len;
	} header[HEADERS];
	uint32_t header_bytes, header_fields;
	bool two_authorizations;
	bool begun;    /* on_head() was called: not for a head that nghttp2 refused */
	bool ended;    /* the request is whole */
	bool answered; /* a response or a reset of ours is on its way */
	bool done;     /* ... and went out whole */
	struct buf body;
	size_t body_sent;
	int grpc_status; /* -1: no trailers */
	unsigned retry_s;
	struct buf message; /* grpc-message, encoded */
};

static nghttp2_nv pair(const char *name, const char *value, size_t len)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
			    len, NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

/* ---- reading ---- */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int give_up(struct h2 *h)
{
	h->abuse = true;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
			    void *ctx)
{
	struct h2 *h = ctx;
	(void)session, (void)frame, (void)error;
	return guard_fault(&h->guard) ? 0 : give_up(h);
}

static int on_headers_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct h2_stream *s = calloc(1, sizeof(*s));
	if (s == NULL ||
	    h->streams >= H2_MAX_STREAMS) { /* also before our SETTINGS are acknowledged */
		free(s);
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
					  NGHTTP2_REFUSED_STREAM);
		return guard_fault(&h->guard) ? 0 : give_up(h);
	}
	s->h2 = h;
	s->id = frame->hd.stream_id;
	s->grpc_status = -1;
	s->text.limit = H2_HEADER_BYTES;
	list_add_tail(&h->open, &s->open_link);
	h->streams++;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static struct slice header_of(const struct h2_stream *s, enum header i)
{
	return slice_of(s->text.data + s->header[i].at, s->header[i].len);
}

/* The cap ends the session, not the stream: HPACK decoding would go on otherwise. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *ctx)
{
	(void)flags;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	if (s == NULL)
		return 0;
	s->header_bytes += (uint32_t)(name_len + value_len + 32);
	if (++s->header_fields > H2_HEADER_FIELDS || s->header_bytes > H2_HEADER_BYTES)
		return give_up(ctx);
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	for (unsigned i = 0; i < HEADERS; i++) {
		if (!slice_equal(slice_of(name, name_len), slice_str(HEADER_NAMES[i])))
			continue;
		s->two_authorizations |=
		    i == AUTHORIZATION && s->header[i].len != 0 &&
		    !slice_equal(header_of(s, AUTHORIZATION), slice_of(value, value_len));
		s->header[i].at = (uint32_t)s->text.len;
		s->header[i].len = (uint32_t)value_len;
		return buf_append(&s->text, value, value_len) == 0 ? 0 : give_up(ctx);
	}
	return 0;
}

static int64_t length_header(const struct h2_stream *s)
{
	struct slice text =
	    header_of(s, CONTENT_LENGTH); /* nghttp2 has checked that it is a number */
	if (text.len == 0 || text.len > 18)
		return -1;
	int64_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		n = n * 10 + (text.data[i] - '0');
	return n;
}

static void head_done(struct h2 *h, struct h2_stream *s)
{
	struct request_head head = {
	    .method = header_of(s, METHOD),
	    .path = header_of(s, PATH),
	    .content_type = header_of(s, CONTENT_TYPE),
	    .content_encoding = header_of(s, CONTENT_ENCODING),
	    .grpc_encoding = header_of(s, GRPC_ENCODING),
	    .grpc_timeout = header_of(s, GRPC_TIMEOUT),
	    .authorization = header_of(s, AUTHORIZATION),
	    .two_authorizations = s->two_authorizations,
	    .content_length = length_header(s),
	};
	s->begun = true;
	h->events->on_head(h->ctx, s, &head);
	if (head.authorization.len != 0)
		explicit_bzero(s->text.data, s->text.len);
	buf_finish(&s->text);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	if (s == NULL)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		head_done(h, s);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		s->ended = true;
		guard_request(&h->guard);
		if (s->begun && !s->answered)
			h->events->on_end(h->ctx, s);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *ctx)
{
	(void)flags;
	struct h2 *h = ctx;
	struct h2_stream *s = stream_of(session, id);
	if (s != NULL && s->begun && !s->answered)
		h->events->on_body(h->ctx, s, slice_of(data, len));
	nghttp2_session_consume_stream(session, id, len);
	if (h->paused)
		h->held += len;
	else
		nghttp2_session_consume_connection(session, len);
	return 0;
}

static void stream_free(struct h2_stream *s)
{
	if (s->begun)
		s->h2->events->on_closed(s->h2->ctx, s, s->done);
	list_del(&s->open_link);
	s->h2->streams--;
	buf_finish(&s->text);
	buf_finish(&s->body);
	buf_finish(&s->message);
	free(s);
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t error, void *ctx)
{
	(void)error, (void)ctx;
	struct h2_stream *s = stream_of(session, id);
	nghttp2_session_set_stream_user_data(session, id, NULL);
	if (s != NULL)
		stream_free(s);
	return 0;
}

/* ---- writing ---- */

/* Our answer is out before the request's end: the client may stop sending. RST_STREAM that the peer
 * provoked costs it (CVE-2025-8671). */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
	    frame->rst_stream.error_code != NGHTTP2_CANCEL) {
		guard_fault(&h->guard); /* the next frame of this peer ends it */
		return 0;
	}
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	if (s == NULL)
		return 0;
	s->done = true;
	if (!s->ended)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

static void submit_trailers(struct h2_stream *s)
{
	char status[8];
	nghttp2_nv nv[4];
	size_t n = 0;
	struct buf details = {0}, retry_info = {0};
	nv[n++] = pair("grpc-status", status,
		       (size_t)snprintf(status, sizeof(status), "%d", s->grpc_status));
	if (s->message.len != 0)
		nv[n++] = pair("grpc-message", (char *)s->message.data, s->message.len);
	if (s->retry_s != 0 && grpc_retry_details(s->grpc_status, "throttled", s->retry_s, &details,
						  &retry_info) == 0) {
		nv[n++] = pair("grpc-status-details-bin", (char *)details.data, details.len);
		nv[n++] = pair("google.rpc.retryinfo-bin", (char *)retry_info.data, retry_info.len);
	}
	nghttp2_submit_trailer(s->h2->session, s->id, nv, n);
	buf_finish(&details);
	buf_finish(&retry_info);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t len,
			 uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	(void)session, (void)id, (void)ctx;
	struct h2_stream *s = source->ptr;
	size_t left = s->body.len - s->body_sent;
	if (len > left)
		len = left;
	memcpy(out, s->body.data + s->body_sent, len);
	s->body_sent += len;
	if (s->body_sent == s->body.len) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->grpc_status >= 0) {
			*flags |=
			    NGHTTP2_DATA_FLAG_NO_END_STREAM; /* trailers end the stream (C9) */
			submit_trailers(s);
		}
	}
	return (ssize_t)len;
}

static size_t response_headers(const struct response *r, nghttp2_nv *nv, char *numbers, size_t room)
{
	size_t n = 0, at = 0;
	size_t len = (size_t)snprintf(numbers, room, "%u", r->status);
	nv[n++] = pair(":status", numbers, len);
	at = len + 1;
	if (r->content_type != NULL)
		nv[n++] = pair("content-type", r->content_type, strlen(r->content_type));
	if (r->grpc_status < 0) {
		len = (size_t)snprintf(numbers + at, room - at, "%zu", r->body.len);
		nv[n++] = pair("content-length", numbers + at, len);
		at += len + 1;
	}
	if (r->retry_after_s != 0 && r->grpc_status < 0) {
		len = (size_t)snprintf(numbers + at, room - at, "%u", r->retry_after_s);
		nv[n++] = pair("retry-after", numbers + at, len);
	}
	if (r->allow != NULL)
		nv[n++] = pair("allow", r->allow, strlen(r->allow));
	if (r->accept_encoding != NULL)
		nv[n++] = pair(r->grpc_status < 0 ? "accept-encoding" : "grpc-accept-encoding",
			       r->accept_encoding, strlen(r->accept_encoding));
	return n;
}

void h2_respond(struct h2_stream *s, const struct response *r)
{
	if (s->answered)
		return; /* its deadline passed, and the reset is still to be written */
	nghttp2_nv nv[8];
	char numbers[64];
	size_t n = response_headers(r, nv, numbers, sizeof(numbers));
	nghttp2_session *session = s->h2->session;
	s->answered = true;
	s->grpc_status = r->grpc_status;
	s->retry_s = r->grpc_status >= 0 ? r->retry_after_s : 0;
	if (r->grpc_status > 0 && r->grpc_message != NULL)
		grpc_message_encode(r->grpc_message,
				    &s->message); /* without memory: without words */
	if (r->body.len != 0 && buf_append(&s->body, r->body.data, r->body.len) != 0) {
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	} else if (r->body.len != 0) {
		nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
		nghttp2_submit_response(session, s->id, nv, n, &provider);
	} else if (r->grpc_status < 0) {
		nghttp2_submit_response(session, s->id, nv, n, NULL);
	} else {
		nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, s->id, NULL, nv, n, NULL);
		submit_trailers(s);
	}
}

void h2_cancel(struct h2_stream *s)
{
	if (s->answered)
		return;
	s->answered = true;
	nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
}

int h2_output(struct h2 *h, struct buf *out)
{
	while (out->len < OUTPUT_CHUNK) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(h->session, &data);
		if (n < 0)
			return H2_PROTOCOL;
		if (n == 0)
			break;
		if (buf_append(out, data, (size_t)n) != 0)
			return H2_PROTOCOL;
	}
	return 0;
}

/* ---- the connection ---- */

static int session_new(struct h2 *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	if (nghttp2_session_callbacks_new(&cb) != 0)
		return -1;
	if (nghttp2_option_new(&option) != 0) {
		nghttp2_session_callbacks_del(cb);
		return -1;
	}
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_headers_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_closed);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_outbound_ack(option, 100);
	int rc = nghttp2_session_server_new2(&h->session, cb, h, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	return rc;
}

struct h2 *h2_create(const struct h2_events *events, void *ctx, uint64_t now_ms)
{
	static const nghttp2_settings_entry SETTINGS[] = {
	    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_MAX_STREAMS},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_BYTES},
	};
	struct h2 *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->events = events;
	h->ctx = ctx;
	list_init(&h->open);
	guard_init(&h->guard, now_ms);
	if (session_new(h) != 0) {
		free(h);
		return NULL;
	}
	nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, SETTINGS,
				sizeof(SETTINGS) / sizeof(SETTINGS[0]));
	nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW);
	return h;
}

void h2_destroy(struct h2 *h)
{
	if (h == NULL)
		return;
	list_for_each_safe(pos, tmp, &h->open) /* nghttp2 forgets them in silence */
	    stream_free(container_of(pos, struct h2_stream, open_link));
	nghttp2_session_del(h->session);
	free(h);
}

int h2_feed(struct h2 *h, struct slice bytes, uint64_t now_ms)
{
	static const char CALM[] = "too many useless frames";
	if (!guard_bytes(&h->guard, bytes, now_ms))
		h->abuse = true;
	ssize_t n = h->abuse ? -1 : nghttp2_session_mem_recv(h->session, bytes.data, bytes.len);
	if (n == (ssize_t)bytes.len)
		return 0;
	if (!h->abuse && n != NGHTTP2_ERR_FLOODED)
		return H2_PROTOCOL;
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h->session),
			      NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)CALM, sizeof(CALM) - 1);
	return H2_ABUSE;
}

bool h2_is_done(const struct h2 *h)
{
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

void **h2_user(struct h2_stream *s)
{
	return &s->user;
}

uint32_t h2_streams(const struct h2 *h)
{
	return h->streams;
}

void h2_pause(struct h2 *h, bool paused)
{
	h->paused = paused;
	if (!paused && h->held != 0)
		nghttp2_session_consume_connection(h->session, h->held);
	if (!paused)
		h->held = 0;
}

void h2_shutdown_notice(struct h2 *h)
{
	nghttp2_submit_shutdown_notice(h->session);
}

void h2_shutdown(struct h2 *h)
{
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
			      NULL, 0);
}

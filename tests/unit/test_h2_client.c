/* SPDX-License-Identifier: Apache-2.0
 * The client against a server session in memory: bytes go back and forth until both are quiet. */
#include <nghttp2/nghttp2.h>

#include "check.h"
#include "wire/http_client.h"

enum { MAX_STREAMS = 200 };

struct request {
	int32_t id;
	char header[64]; /* the value of "x-secret" */
	bool never_indexed;
	size_t body_len;
	uint32_t body_sum;
	bool ended;
};

struct server {
	nghttp2_session *session;
	struct request requests[MAX_STREAMS];
	size_t n, ended;
	uint32_t reset_code; /* of the last RST_STREAM that came */
	uint32_t goaway_code;
	bool has_goaway;
};

static struct request *request_of(struct server *s, int32_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->requests[i].id == id)
			return &s->requests[i];
	return NULL;
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	(void)session;
	struct server *s = ctx;
	CHECK(s->n < MAX_STREAMS);
	s->requests[s->n++] = (struct request){.id = frame->hd.stream_id};
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *ctx)
{
	(void)session;
	struct request *r = request_of(ctx, frame->hd.stream_id);
	if (slice_is(slice_of(name, name_len), "x-secret")) {
		snprintf(r->header, sizeof(r->header), "%.*s", (int)value_len, (const char *)value);
		r->never_indexed = (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0;
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *ctx)
{
	(void)session, (void)flags;
	struct request *r = request_of(ctx, id);
	r->body_len += len;
	for (size_t i = 0; i < len; i++)
		r->body_sum = r->body_sum * 31 + data[i];
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	(void)session;
	struct server *s = ctx;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		s->reset_code = frame->rst_stream.error_code;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		s->has_goaway = true;
		s->goaway_code = frame->goaway.error_code;
	}
	struct request *r = request_of(s, frame->hd.stream_id);
	if (r != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && frame->hd.type <= 1) {
		r->ended = true;
		s->ended++;
	}
	return 0;
}

static void server_init(struct server *s, const nghttp2_settings_entry *settings, size_t n)
{
	memset(s, 0, sizeof(*s));
	nghttp2_session_callbacks *cb;
	CHECK_EQ(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	CHECK_EQ(nghttp2_session_server_new(&s->session, cb, s), 0);
	nghttp2_session_callbacks_del(cb);
	CHECK_EQ(nghttp2_submit_settings(s->session, 0, settings, n), 0);
}

static int client_to_server(struct http_client *c, struct server *s)
{
	size_t moved = 0;
	struct slice out;
	while (c->ops->pull(c, &out) == 0 && out.len != 0) {
		CHECK_EQ(nghttp2_session_mem_recv(s->session, out.data, out.len), out.len);
		moved += out.len;
	}
	return moved != 0;
}

/* Gives 0, or what feed() gave when it failed. */
static int server_to_client(struct server *s, struct http_client *c, bool *moved)
{
	const uint8_t *data;
	ssize_t n;
	while ((n = nghttp2_session_mem_send(s->session, &data)) > 0) {
		*moved = true;
		int rc = c->ops->feed(c, slice_of(data, (size_t)n));
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int talk(struct http_client *c, struct server *s)
{
	for (bool moved = true; moved;) {
		moved = client_to_server(c, s);
		int rc = server_to_client(s, c, &moved);
		if (rc != 0)
			return rc;
	}
	return 0;
}

#define NV(n, v)                                                                                   \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0      \
	}

static void send_headers(struct server *s, int32_t id, const char *status, bool end)
{
	const nghttp2_nv nv[] = {NV(":status", status), NV("content-type", "application/grpc")};
	CHECK_EQ(nghttp2_submit_headers(s->session, end ? 1 : 0, id, NULL, nv, 2, NULL), 0);
}

static void send_trailers_only(struct server *s, int32_t id, const char *grpc_status)
{
	const nghttp2_nv nv[] = {NV(":status", "200"), NV("grpc-status", grpc_status),
				 NV("grpc-message", "words")};
	CHECK_EQ(nghttp2_submit_headers(s->session, 1, id, NULL, nv, 3, NULL), 0);
}

/* A body of `left` bytes, then trailers. */
static size_t left;

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
		       uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	(void)source, (void)ctx;
	size_t n = left < room ? left : room;
	memset(out, 'x', n);
	left -= n;
	if (left == 0) {
		const nghttp2_nv nv[] = {NV("grpc-status", "0"), NV("ignored", "field")};
		*flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		CHECK_EQ(nghttp2_submit_trailer(session, id, nv, 2), 0);
	}
	return (ssize_t)n;
}

static void send_answer(struct server *s, int32_t id, size_t body_len)
{
	left = body_len;
	const nghttp2_nv nv[] = {NV(":status", "200"), NV("retry-after", "7")};
	const nghttp2_data_provider body = {.read_callback = on_read};
	CHECK_EQ(nghttp2_submit_response(s->session, id, nv, 2, &body), 0);
}

static const char SECRET[] = "correct-horse";

static void submit(struct http_client *c, struct http_call *call, struct slice a, struct slice b)
{
	const struct http_field fields[] = {
	    {slice_str(":method"), slice_str("POST"), false},
	    {slice_str(":scheme"), slice_str("http"), false},
	    {slice_str(":authority"), slice_str("backend"), false},
	    {slice_str(":path"), slice_str("/x"), false},
	    {slice_str("te"), slice_str("trailers"), false},
	    {slice_str("x-secret"), slice_str(SECRET), true},
	};
	memset(call, 0, sizeof(*call));
	call->body[0] = a;
	call->body[1] = b;
	CHECK_EQ(c->ops->submit(c, call, fields, 6), 0);
}

static void submit_small(struct http_client *c, struct http_call *call)
{
	submit(c, call, slice_str("pre"), slice_str("body"));
}

static void check_ended(struct http_client *c, struct http_call *call, enum http_end end)
{
	CHECK(http_client_ended(c) == call);
	CHECK_EQ(call->response.end, end);
}

static void finish(struct http_client *c, struct server *s)
{
	http_client_destroy(c);
	nghttp2_session_del(s->session);
}

static void test_a_request_goes_whole_and_its_answer_comes_back(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	size_t len = 300 * 1000; /* many frames, more than the first window */
	uint8_t *big = malloc(len);
	uint32_t sum = 0;
	for (size_t i = 0; i < len; i++) {
		big[i] = (uint8_t)(i * 7 + i / 251);
		sum = sum * 31 + big[i];
	}
	struct http_call call;
	submit(c, &call, slice_of(big, 5), slice_of(big + 5, len - 5));
	CHECK_EQ(talk(c, &s), 0);
	CHECK_EQ(s.ended, 1);
	CHECK_EQ(s.requests[0].body_len, len);
	CHECK_EQ(s.requests[0].body_sum, sum);
	CHECK(http_client_ended(c) == NULL);
	send_answer(&s, s.requests[0].id, 12);
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &call, HTTP_WHOLE);
	CHECK_EQ(call.response.status, 200);
	CHECK_EQ(call.response.body.len, 12);
	CHECK(slice_is(buf_slice(&call.response.kept[KEPT_GRPC_STATUS]), "0"));
	CHECK(slice_is(buf_slice(&call.response.kept[KEPT_RETRY_AFTER]), "7"));
	http_response_finish(&call.response);
	free(big);
	finish(c, &s);
}

static void test_secrets_are_never_indexed(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call calls[2];
	for (size_t i = 0; i < 2; i++) {
		submit_small(c, &calls[i]);
		CHECK_EQ(talk(c, &s), 0);
		CHECK_STR(s.requests[i].header, SECRET);
		CHECK(s.requests[i].never_indexed);
	}
	finish(c, &s);
}

static void test_trailers_only_and_no_body(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call calls[2];
	submit_small(c, &calls[0]);
	submit_small(c, &calls[1]);
	CHECK_EQ(talk(c, &s), 0);
	send_trailers_only(&s, s.requests[1].id, "14");
	send_headers(&s, s.requests[0].id, "404", true);
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &calls[1], HTTP_WHOLE);
	CHECK(slice_is(buf_slice(&calls[1].response.kept[KEPT_GRPC_STATUS]), "14"));
	CHECK(slice_is(buf_slice(&calls[1].response.kept[KEPT_GRPC_MESSAGE]), "words"));
	check_ended(c, &calls[0], HTTP_WHOLE);
	CHECK_EQ(calls[0].response.status, 404);
	for (size_t i = 0; i < 2; i++)
		http_response_finish(&calls[i].response);
	finish(c, &s);
}

static void test_an_interim_answer_is_not_the_answer(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call call;
	submit_small(c, &call);
	CHECK_EQ(talk(c, &s), 0);
	send_headers(&s, s.requests[0].id, "103", false);
	CHECK_EQ(talk(c, &s), 0);
	CHECK(http_client_ended(c) == NULL);
	send_trailers_only(&s, s.requests[0].id, "0");
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &call, HTTP_WHOLE);
	CHECK_EQ(call.response.status, 200);
	http_response_finish(&call.response);
	finish(c, &s);
}

/* gRPC's http2_test: rst_after_header, rst_during_data, rst_after_data. */
static void test_each_reset_ends_its_call_and_no_other(void)
{
	static const uint32_t codes[] = {NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL,
					 NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_REFUSED_STREAM};
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call other, call;
	submit_small(c, &other);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		submit_small(c, &call);
		CHECK_EQ(talk(c, &s), 0);
		int32_t id = s.requests[s.n - 1].id;
		if (i % 2 == 1)
			send_headers(&s, id, "200", false);
		CHECK_EQ(talk(c, &s), 0);
		CHECK_EQ(nghttp2_submit_rst_stream(s.session, 0, id, codes[i]), 0);
		CHECK_EQ(talk(c, &s), 0);
		check_ended(c, &call,
			    codes[i] == NGHTTP2_REFUSED_STREAM ? HTTP_NOT_TAKEN : HTTP_RESET);
		CHECK_EQ(call.response.reset_code, codes[i]);
		http_response_finish(&call.response);
	}
	send_trailers_only(&s, s.requests[0].id, "0");
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &other, HTTP_WHOLE);
	CHECK(http_client_is_idle(c));
	http_response_finish(&other.response);
	finish(c, &s);
}

static void test_goaway_returns_what_was_not_taken(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call calls[3];
	for (size_t i = 0; i < 3; i++)
		submit_small(c, &calls[i]);
	CHECK_EQ(talk(c, &s), 0);
	CHECK(c->ops->has_room(c));
	CHECK_EQ(nghttp2_submit_goaway(s.session, 0, s.requests[0].id, NGHTTP2_NO_ERROR, NULL, 0),
		 0);
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &calls[1], HTTP_NOT_TAKEN);
	check_ended(c, &calls[2], HTTP_NOT_TAKEN);
	CHECK(!c->ops->has_room(c));
	CHECK(c->ops->is_spent(c));
	CHECK(!http_client_is_idle(c)); /* the first one may still be answered */
	send_trailers_only(&s, s.requests[0].id, "0");
	(void)talk(c, &s);
	check_ended(c, &calls[0], HTTP_WHOLE);
	for (size_t i = 0; i < 3; i++)
		http_response_finish(&calls[i].response);
	finish(c, &s);
}

static void test_the_limit_of_streams_is_obeyed_also_when_it_changes(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	nghttp2_settings_entry limit = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0};
	server_init(&s, &limit, 1);
	CHECK_EQ(talk(c, &s), 0);
	struct http_call calls[3];
	for (size_t i = 0; i < 3; i++)
		submit_small(c, &calls[i]);
	CHECK_EQ(talk(c, &s), 0);
	CHECK_EQ(s.n, 0);
	limit.value = 1;
	CHECK_EQ(nghttp2_submit_settings(s.session, 0, &limit, 1), 0);
	for (size_t i = 0; i < 3; i++) {
		CHECK_EQ(talk(c, &s), 0);
		CHECK_EQ(s.n, i + 1);
		send_trailers_only(&s, s.requests[i].id, "0");
		CHECK_EQ(talk(c, &s), 0);
		check_ended(c, &calls[i], HTTP_WHOLE);
		http_response_finish(&calls[i].response);
	}
	finish(c, &s);
}

static void test_what_waits_for_a_stream_can_be_cancelled_or_returned(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	const nghttp2_settings_entry limit = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0};
	server_init(&s, &limit, 1);
	CHECK_EQ(talk(c, &s), 0);
	struct http_call calls[2];
	submit_small(c, &calls[0]);
	submit_small(c, &calls[1]);
	c->ops->cancel(c, &calls[0]);
	http_response_finish(&calls[0].response);
	memset(&calls[0], 0xa5, sizeof(calls[0])); /* it is the caller's: nobody may look */
	CHECK_EQ(talk(c, &s), 0);
	CHECK(http_client_ended(c) == NULL);
	CHECK_EQ(nghttp2_submit_goaway(s.session, 0, 0, NGHTTP2_NO_ERROR, NULL, 0), 0);
	(void)talk(c, &s);
	check_ended(c, &calls[1], HTTP_NOT_TAKEN);
	http_response_finish(&calls[1].response);
	finish(c, &s);
}

static void test_a_cancelled_call_is_reset_and_forgotten(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call call, next;
	submit_small(c, &call);
	CHECK_EQ(talk(c, &s), 0);
	c->ops->cancel(c, &call);
	http_response_finish(&call.response);
	memset(&call, 0xa5, sizeof(call));
	send_trailers_only(&s, s.requests[0].id, "0"); /* too late */
	CHECK_EQ(talk(c, &s), 0);
	CHECK_EQ(s.reset_code, NGHTTP2_CANCEL);
	CHECK(http_client_ended(c) == NULL);
	submit_small(c, &next);
	CHECK_EQ(talk(c, &s), 0);
	send_trailers_only(&s, s.requests[1].id, "0");
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &next, HTTP_WHOLE);
	http_response_finish(&next.response);
	finish(c, &s);
}

/* A server that judges by the head alone: the body's rest must not be read from freed memory. */
static void test_an_early_answer_stops_the_upload(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	size_t len = 1 << 20; /* the server's window is 64 KiB */
	uint8_t *body = calloc(1, len);
	struct http_call call;
	submit(c, &call, slice_of(body, 0), slice_of(body, len));
	CHECK(client_to_server(c, &s));
	send_trailers_only(&s, s.requests[0].id, "8");
	bool moved;
	CHECK_EQ(server_to_client(&s, c, &moved), 0);
	check_ended(c, &call, HTTP_WHOLE);
	http_response_finish(&call.response);
	free(body);
	memset(&call, 0xa5, sizeof(call));
	CHECK_EQ(talk(c, &s), 0);
	CHECK(s.requests[0].body_len < len);
	finish(c, &s);
}

static void test_an_answer_over_the_limit_is_cut_off(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call call;
	submit_small(c, &call);
	CHECK_EQ(talk(c, &s), 0);
	send_answer(&s, s.requests[0].id, HTTP_BODY_MAX + 1);
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &call, HTTP_TOO_LARGE);
	CHECK_EQ(s.reset_code, NGHTTP2_CANCEL);
	CHECK(call.response.body.cap <= HTTP_BODY_MAX);
	http_response_finish(&call.response);
	submit_small(c, &call);
	CHECK_EQ(talk(c, &s), 0);
	send_answer(&s, s.requests[1].id, HTTP_BODY_MAX);
	CHECK_EQ(talk(c, &s), 0);
	check_ended(c, &call, HTTP_WHOLE);
	CHECK_EQ(call.response.body.len, HTTP_BODY_MAX);
	http_response_finish(&call.response);
	finish(c, &s);
}

static void test_a_flood_of_frames_that_move_nothing_ends_the_connection(void)
{
	struct http_client *c = h2_client_create();
	struct server s;
	server_init(&s, NULL, 0);
	struct http_call call;
	submit_small(c, &call);
	CHECK_EQ(talk(c, &s), 0);
	int rc = 0;
	for (int i = 0; i < 2000 && rc == 0; i++) {
		CHECK_EQ(nghttp2_submit_ping(s.session, 0, NULL), 0);
		rc = talk(c, &s);
	}
	CHECK(rc < 0);
	http_client_lost(c, "flood");
	check_ended(c, &call, HTTP_LOST);
	CHECK_STR(call.response.lost, "flood");
	http_response_finish(&call.response);
	finish(c, &s);
}

static void test_what_is_no_http2_ends_the_connection(void)
{
	struct http_client *c = h2_client_create();
	struct http_call call;
	submit_small(c, &call);
	struct slice out;
	while (c->ops->pull(c, &out) == 0 && out.len != 0)
		;
	int rc = c->ops->feed(c, slice_str("HTTP/1.1 400 Bad Request\r\n\r\n"));
	while (rc == 0 && (rc = c->ops->pull(c, &out)) == 0)
		CHECK(out.len != 0); /* tells the peer why, and then no more */
	CHECK(rc < 0);
	http_client_lost(c, NULL);
	check_ended(c, &call, HTTP_LOST);
	http_response_finish(&call.response);
	http_client_destroy(c);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_request_goes_whole_and_its_answer_comes_back),
		   TEST(test_secrets_are_never_indexed), TEST(test_trailers_only_and_no_body),
		   TEST(test_an_interim_answer_is_not_the_answer),
		   TEST(test_each_reset_ends_its_call_and_no_other),
		   TEST(test_goaway_returns_what_was_not_taken),
		   TEST(test_the_limit_of_streams_is_obeyed_also_when_it_changes),
		   TEST(test_what_waits_for_a_stream_can_be_cancelled_or_returned),
		   TEST(test_a_cancelled_call_is_reset_and_forgotten),
		   TEST(test_an_early_answer_stops_the_upload),
		   TEST(test_an_answer_over_the_limit_is_cut_off),
		   TEST(test_a_flood_of_frames_that_move_nothing_ends_the_connection),
		   TEST(test_what_is_no_http2_ends_the_connection));
}

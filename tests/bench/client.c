/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/grpc.h"

/* A gRPC client's usual buffer: several small requests go with one write, one large with many. */
enum { OUT_HIGH = 64 << 10, WINDOW = 1 << 20 };

static const char PATH[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/* HPACK: a literal that enters no table, its name from the static table or spelled out (RFC 7541
 * 6.2.2); lengths are below 127. */
static void put_field(struct buf *out, unsigned name_index, const char *name, const char *value)
{
	uint8_t head[3] = {(uint8_t)name_index};
	size_t n = 1;
	if (name_index >= 15) {
		head[0] = 15;
		head[n++] = (uint8_t)(name_index - 15);
	}
	buf_append(out, head, n);
	const char *texts[] = {name_index == 0 ? name : NULL, value};
	for (size_t i = 0; i < 2; i++) {
		if (texts[i] == NULL)
			continue;
		uint8_t len = (uint8_t)strlen(texts[i]);
		buf_append(out, &len, 1);
		buf_append(out, texts[i], len);
	}
}

static void put_headers(struct client *c, uint32_t stream)
{
	enum { AUTHORITY = 1, PATH_NAME = 4, CONTENT_TYPE = 31, USER_AGENT = 58 };
	struct buf block = {0};
	buf_append(&block, "\x83\x86", 2); /* :method POST, :scheme http */
	put_field(&block, PATH_NAME, NULL, PATH);
	put_field(&block, AUTHORITY, NULL, "127.0.0.1");
	put_field(&block, CONTENT_TYPE, NULL, "application/grpc");
	put_field(&block, USER_AGENT, NULL, "spanrelay-load");
	put_field(&block, 0, "te", "trailers");
	put_field(&block, 0, "grpc-timeout", "10S");
	if (c->gzip)
		put_field(&block, 0, "grpc-encoding", "gzip");
	frame_put(&c->out, FRAME_HEADERS, END_HEADERS, stream, block.data, block.len);
	buf_finish(&block);
}

/* ---- writing ---- */

static void count_queued(struct client *c, size_t before)
{
	c->queued += c->out.len - before;
}

/* All of the request is in `out`. */
static void whole(struct client *c)
{
	c->sending_call->end_at = c->queued;
	c->n_unsent++;
	c->sending->busy = false;
	c->sending = NULL;
}

/* One DATA frame: as large as allowed, or none where windows are too narrow for that. */
static bool put_data(struct client *c)
{
	const struct sample *s = c->sending;
	struct call *call = c->sending_call;
	size_t total = GRPC_PREFIX + s->message.len, at = c->sending_at, before = c->out.len;
	size_t len = total - at < FRAME_MAX ? total - at : FRAME_MAX;
	uint8_t prefix[GRPC_PREFIX] = {c->gzip};
	if ((int64_t)len > c->window || (int64_t)len > call->window)
		return false;
	frame_put(&c->out, FRAME_DATA, at + len == total ? END_STREAM : 0, call->stream, NULL, 0);
	uint8_t *head = c->out.data + before;
	head[0] = 0;
	head[1] = (uint8_t)(len >> 8);
	head[2] = (uint8_t)len;
	size_t from = 0;
	if (at == 0) {
		frame_put_u32(prefix + 1, (uint32_t)s->message.len);
		buf_append(&c->out, prefix, sizeof(prefix));
		from = GRPC_PREFIX;
	}
	buf_append(&c->out, s->message.data + at + from - GRPC_PREFIX, len - from);
	c->window -= (int64_t)len;
	call->window -= (int64_t)len;
	c->sending_at += len;
	count_queued(c, before);
	if (c->sending_at == total)
		whole(c);
	return true;
}

static void put_all_data(struct client *c)
{
	while (c->sending != NULL && c->out.len < OUT_HIGH && put_data(c))
		;
}

static void put_http1(struct client *c, const struct sample *s)
{
	size_t before = c->out.len;
	buf_printf(&c->out,
		   "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: spanrelay-load\r\n"
		   "Content-Type: application/x-protobuf\r\n%sContent-Length: %zu\r\n\r\n",
		   c->gzip ? "Content-Encoding: gzip\r\n" : "", s->message.len);
	buf_append(&c->out, s->message.data, s->message.len);
	count_queued(c, before);
	whole(c);
}

bool client_has_room(const struct client *c)
{
	return c->sending == NULL && c->n_open < c->n_calls && c->out.len < OUT_HIGH;
}

void client_send(struct client *c, struct sample *s)
{
	struct call *call = c->calls;
	while (call->stream != 0)
		call++;
	*call = (struct call){c->next_stream, -1, c->initial_window, 0, 0};
	c->next_stream += 2;
	c->n_open++;
	c->sending = s;
	c->sending_call = call;
	c->sending_at = 0;
	s->busy = true;
	if (c->http1) {
		put_http1(c, s);
		return;
	}
	size_t before = c->out.len;
	put_headers(c, call->stream);
	count_queued(c, before);
	put_all_data(c);
}

static void stamp_sent(struct client *c)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < c->n_calls && c->n_unsent != 0; i++) {
		struct call *call = &c->calls[i];
		if (call->stream == 0 || call->sent_ns != 0 || call->end_at == 0 ||
		    call->end_at > c->written)
			continue;
		call->sent_ns = now;
		c->n_unsent--;
	}
}

/* Bytes; 0: not now; -1. */
static ssize_t give(struct client *c)
{
	struct slice bytes = slice_of(c->out.data + c->out_at, c->out.len - c->out_at);
	ssize_t n;
	if (c->tls != NULL) {
		n = tls_write(c->tls, bytes);
		return n > 0 ? n : n == TLS_WANT_WRITE ? 0 : -1;
	}
	n = send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
	return n >= 0 ? n : errno == EAGAIN ? 0 : -1;
}

int client_write(struct client *c)
{
	for (;;) {
		put_all_data(c);
		if (c->out.len == 0)
			return 0;
		ssize_t n = give(c);
		if (n <= 0)
			return (int)n;
		c->out_at += (size_t)n;
		c->written += (size_t)n;
		if (c->out_at == c->out.len)
			c->out_at = c->out.len = 0;
		if (c->n_unsent != 0)
			stamp_sent(c);
	}
}

/* ---- reading ---- */

static void answered(struct client *c, struct call *call, int status)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool early = call->sent_ns == 0; /* before its last byte was out */
	if (early && call->end_at != 0)
		c->n_unsent--;
	if (c->sending != NULL && c->sending_call == call) {
		c->sending->busy = false;
		c->sending = NULL;
	}
	call->stream = 0;
	c->n_open--;
	c->on_answer(c->ctx, status, early ? 0 : now - call->sent_ns);
}

static struct call *call_of(struct client *c, uint32_t stream)
{
	for (unsigned i = 0; i < c->n_calls; i++)
		if (c->calls[i].stream == stream)
			return &c->calls[i];
	return NULL;
}

static int number_of(const nghttp2_nv *field)
{
	int n = 0;
	for (size_t i = 0; i < field->valuelen && i < 3; i++)
		n = n * 10 + (field->value[i] - '0');
	return n;
}

/* Every header block is read, for they share one table; what counts is the last grpc-status. */
static int read_headers(struct client *c, const struct frame *f)
{
	struct call *call = call_of(c, f->stream);
	struct slice block = frame_content(f);
	bool last = false;
	if ((f->flags & END_HEADERS) == 0)
		return -1; /* nobody answers us with so many headers */
	while (!last) {
		nghttp2_nv field;
		int flags = 0;
		ssize_t n =
		    nghttp2_hd_inflate_hd2(c->inflater, &field, &flags, block.data, block.len, 1);
		if (n < 0)
			return -1;
		block = slice_of(block.data + n, block.len - (size_t)n);
		last = (flags & NGHTTP2_HD_INFLATE_FINAL) != 0;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 || call == NULL)
			continue;
		struct slice name = slice_of(field.name, field.namelen);
		if (slice_is(name, "grpc-status"))
			call->status = number_of(&field);
		else if (slice_is(name, ":status") && field.valuelen == 3 &&
			 memcmp(field.value, "200", 3) != 0)
			call->status = number_of(&field);
	}
	nghttp2_hd_inflate_end_headers(c->inflater);
	return 0;
}

static void read_settings(struct client *c, const struct frame *f)
{
	if ((f->flags & ACK) != 0)
		return;
	for (size_t at = 0; at + 6 <= f->payload.len; at += 6) {
		const uint8_t *p = f->payload.data + at;
		if ((p[0] << 8 | p[1]) != SETTING_INITIAL_WINDOW)
			continue;
		uint32_t window = frame_u32(p + 2);
		for (unsigned i = 0; i < c->n_calls; i++)
			c->calls[i].window += (int64_t)window - c->initial_window;
		c->initial_window = window;
	}
	frame_put(&c->out, FRAME_SETTINGS, ACK, 0, NULL, 0);
	c->queued += FRAME_HEADER;
}

static void read_window(struct client *c, const struct frame *f)
{
	uint32_t more = f->payload.len == 4 ? frame_u32(f->payload.data) & 0x7fffffff : 0;
	struct call *call = call_of(c, f->stream);
	if (f->stream == 0)
		c->window += more;
	else if (call != NULL)
		call->window += more;
}

static void read_data(struct client *c, const struct frame *f)
{
	c->unacknowledged += (uint32_t)f->payload.len;
	if (c->unacknowledged < WINDOW_DEFAULT / 2)
		return;
	size_t before = c->out.len;
	frame_put_window(&c->out, 0, c->unacknowledged);
	count_queued(c, before);
	c->unacknowledged = 0;
}

static int read_frame(struct client *c, const struct frame *f)
{
	struct call *call;
	size_t before = c->out.len;
	switch (f->type) {
	case FRAME_HEADERS:
		if (read_headers(c, f) != 0)
			return -1;
		break;
	case FRAME_DATA:
		read_data(c, f);
		break;
	case FRAME_SETTINGS:
		read_settings(c, f);
		return 0;
	case FRAME_WINDOW_UPDATE:
		read_window(c, f);
		return 0;
	case FRAME_PING:
		if ((f->flags & ACK) == 0)
			frame_put(&c->out, FRAME_PING, ACK, 0, f->payload.data, f->payload.len);
		count_queued(c, before);
		return 0;
	case FRAME_RST_STREAM:
		call = call_of(c, f->stream);
		if (call != NULL)
			answered(c, call, -1);
		return 0;
	default:
		return f->type == FRAME_GOAWAY ? -1 : 0;
	}
	call = call_of(c, f->stream);
	if (call != NULL && (f->flags & END_STREAM) != 0)
		answered(c, call, call->status);
	return 0;
}

static int read_frames(struct client *c)
{
	struct slice bytes = buf_slice(&c->in);
	struct frame f;
	while (frame_next(&bytes, &f))
		if (read_frame(c, &f) != 0)
			return -1;
	buf_consume(&c->in, c->in.len - bytes.len);
	return 0;
}

static int on_http1_head(void *ctx, const struct http1_head *head)
{
	struct client *c = ctx;
	c->http1_status = (int)head->status;
	return 0;
}

static int on_http1_body(void *ctx, struct slice piece)
{
	(void)ctx, (void)piece;
	return 0;
}

static int on_http1_complete(void *ctx)
{
	struct client *c = ctx;
	if (c->n_open == 0)
		return -1;
	answered(c, &c->calls[0], c->http1_status == 200 ? 0 : c->http1_status);
	return 0;
}

static const struct http1_events HTTP1 = {on_http1_head, on_http1_body, on_http1_complete};

static ssize_t take(struct client *c)
{
	ssize_t n;
	if (c->tls != NULL) {
		n = tls_read(c->tls, c->in.data + c->in.len, CLIENT_IN);
		return n > 0 ? n : n == TLS_WANT_READ ? 0 : -1;
	}
	n = recv(c->fd, c->in.data + c->in.len, CLIENT_IN, 0);
	return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
}

int client_read(struct client *c)
{
	for (;;) {
		if (buf_reserve(&c->in, CLIENT_IN) != 0)
			return -1;
		ssize_t n = take(c);
		if (n <= 0)
			return (int)n;
		c->in.len += (size_t)n;
		int rc = c->http1 ? http1_feed(&c->parser, buf_slice(&c->in)) : read_frames(c);
		if (c->http1)
			c->in.len = 0;
		if (rc != 0)
			return -1;
		if (n < CLIENT_IN && c->tls == NULL)
			return 0; /* what comes now is told by epoll */
	}
}

/* ---- the connection ---- */

static int connect_to(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0)
		return fd;
	perror("load: connect");
	close(fd);
	return -1;
}

static int shake_hands(struct client *c, struct tls *tls)
{
	if (tls == NULL)
		return 0;
	c->tls = tls_connect(tls, c->fd, "127.0.0.1", slice_str(c->http1 ? "\10http/1.1" : "\2h2"));
	if (c->tls != NULL && tls_handshake(c->tls) == 0)
		return 0;
	fprintf(stderr, "load: %s\n", c->tls != NULL ? tls_reason(c->tls) : "no memory");
	return -1;
}

int client_open(struct client *c, unsigned port, struct tls *tls, unsigned streams, bool http1,
		bool gzip, client_answer_fn *on_answer, void *ctx)
{
	*c = (struct client){.gzip = gzip,
			     .http1 = http1,
			     .on_answer = on_answer,
			     .ctx = ctx,
			     .n_calls = http1 ? 1 : streams,
			     .next_stream = 1,
			     .window = WINDOW_DEFAULT,
			     .initial_window = WINDOW_DEFAULT};
	c->fd = connect_to(port);
	if (c->fd < 0 || shake_hands(c, tls) != 0 || fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
		return -1;
	if (http1) {
		http1_init(&c->parser, true, &HTTP1, c);
		return 0;
	}
	if (nghttp2_hd_inflate_new(&c->inflater) != 0)
		return -1;
	buf_append(&c->out, FRAME_PREFACE, sizeof(FRAME_PREFACE) - 1);
	frame_put_setting(&c->out, SETTING_INITIAL_WINDOW, WINDOW);
	count_queued(c, 0);
	return 0;
}

void client_close(struct client *c)
{
	tls_close(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	if (c->http1)
		http1_finish(&c->parser);
	nghttp2_hd_inflate_del(c->inflater);
	buf_finish(&c->out);
	buf_finish(&c->in);
}

/* SPDX-License-Identifier: Apache-2.0
 * The socket of a connection: what the first bytes say, reading, writing, deadlines. */
#include "receivers/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	HEAD_MS = 10000, /* from the first byte of a request to the end of its head */
	BODY_MS = 30000, /* for a body, and a second more for each so many bytes of it */
	BODY_BYTES_PER_S = 4096,
	STALL_MS = 20000, /* the client does not read our answers */
	IDLE_MS = 15 * 60000,
	LINGER_MS = 2000, /* after the last answer, for the client to read it before we close */
	OUT_HIGH = 256 * 1024, /* with so much to write we read no more */
	PENDING_MAX = READ_BYTES
};

/* Nothing more comes: requests that are not whole never will be, and cost memory meanwhile. */
static void give_up_the_unfinished(struct conn *c)
{
	c->at_end = true;
	list_for_each_safe(pos, tmp, &c->exchanges)
	{
		struct exchange *x = container_of(pos, struct exchange, link);
		if (x->batch == NULL || x->away)
			continue;
		if (x->stream != NULL)
			h2_cancel(x->stream);
		else
			c->closing = true;
	}
}

static void on_ready(struct ev_loop *loop, struct ev_io *io, int events);

struct conn *conn_create(struct receivers *r, int fd, enum port port)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->room = r;
	c->fd = fd;
	c->port = port;
	c->state = r->tls[port] != NULL ? CONN_HELLO : CONN_SNIFF;
	c->active_ms = r->now_ms;
	c->pending.limit = PENDING_MAX;
	list_init(&c->exchanges);
	list_init(&c->touched_link);
	list_init(&c->shaking_link);
	list_init(&c->unread_link);
	list_add_tail(&r->conns, &c->link);
	r->n_conns++;
	ev_io_init(&c->io, on_ready, fd, EV_READ);
	c->io.data = c;
	ev_io_start(r->o.loop, &c->io);
	return c;
}

void conn_destroy(struct conn *c)
{
	struct receivers *r = c->room;
	ev_io_stop(r->o.loop, &c->io);
	h2_destroy(c->h2);
	if (c->state == CONN_HTTP1)
		http1_finish(&c->http1);
	exchange_free(c->current);
	buf_finish(&c->pending);
	buf_finish(&c->out);
	conn_tls_close(c);
	free(c->names);
	close(c->fd);
	list_del(&c->link);
	list_del(&c->touched_link);
	list_del(&c->unread_link);
	r->n_conns--;
	atomic_fetch_sub_explicit(&r->o.metrics->value[METRIC_CONNECTIONS_OPEN], 1,
				  memory_order_relaxed);
	free(c);
}

void conn_touch(struct conn *c)
{
	if (list_empty(&c->touched_link))
		list_add_tail(&c->room->touched, &c->touched_link);
}

void conn_refuse(struct conn *c, enum metric why, const char *reason)
{
	metric_add(c->room->o.metrics, why, 1);
	if (reason != NULL)
		log_limited(LOG_WARN, "connection closed", "listener=%s reason=\"%s\"",
			    PORT_NAMES[c->port], reason);
	c->closing = true;
	conn_touch(c);
}

static void watch(struct conn *c)
{
	bool waits = c->current != NULL && c->http1.idle && c->pending.len != 0;
	bool reads = !c->at_end && !waits && c->out.len < OUT_HIGH;
	int events = (reads ? EV_READ : 0) | (c->out.len != 0 ? EV_WRITE : 0);
	if (c->turned)
		events = EV_WRITE;
	if (reads && c->more)
		conn_tls_again(c);
	if (events == (c->io.events & (EV_READ | EV_WRITE)) && ev_is_active(&c->io))
		return;
	ev_io_stop(c->room->o.loop, &c->io);
	ev_io_set(&c->io, c->fd, events);
	if (events != 0)
		ev_io_start(c->room->o.loop, &c->io);
}

/* ---- writing ---- */

static ssize_t give(struct conn *c)
{
	if (c->tls != NULL)
		return conn_tls_write(c, buf_slice(&c->out));
	ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? CONN_LATER : CONN_BROKEN;
}

/* 0, or -1 when the connection is broken. */
static int write_out(struct conn *c)
{
	while (c->out.len != 0) {
		ssize_t n = give(c);
		if (n < 0)
			return n == CONN_LATER ? 0 : -1;
		buf_consume(&c->out, (size_t)n);
		c->active_ms = c->room->now_ms;
		c->stalled_ms = 0;
	}
	return 0;
}

/* The answer is on its way, unread input may be on its: closing now would reset the connection
 * under the answer. */
static void linger(struct conn *c)
{
	conn_tls_close(c);
	shutdown(c->fd, SHUT_WR);
	if (c->state == CONN_HTTP1)
		http1_finish(&c->http1);
	c->state = CONN_LINGER;
	c->active_ms = c->room->now_ms;
}

static bool is_finished(const struct conn *c)
{
	if (c->out.len != 0)
		return false;
	if (c->closing)
		return true;
	if (c->state == CONN_H2)
		return h2_is_done(c->h2) || (c->at_end && list_empty(&c->exchanges));
	return c->at_end && c->current == NULL;
}

void conn_flush(struct conn *c)
{
	list_del(&c->touched_link);
	int rc = 0;
	if (c->state == CONN_HTTP1 && c->current == NULL && c->pending.len != 0) {
		struct buf again = c->pending;
		c->pending = (struct buf){.limit = PENDING_MAX};
		conn_http1_feed(c, buf_slice(&again));
		buf_finish(&again);
		list_del(&c->touched_link);
	}
	do {
		if (c->state == CONN_H2 && h2_output(c->h2, &c->out) != 0)
			c->closing = true;
		size_t before = c->out.len;
		rc = write_out(c);
		if (before == 0)
			break;
	} while (rc == 0 && c->out.len == 0 && c->state == CONN_H2);
	if (rc != 0) {
		conn_destroy(c);
		return;
	}
	if (c->out.len == 0 && c->out.cap > READ_BYTES)
		buf_finish(&c->out);
	if (c->out.len != 0 && c->stalled_ms == 0)
		c->stalled_ms = c->room->now_ms;
	if (!is_finished(c)) {
		watch(c);
	} else if (c->at_end || c->abuse) {
		conn_destroy(c);
	} else if (c->state != CONN_LINGER) {
		linger(c);
		watch(c);
	}
}

/* ---- reading ---- */

void conn_answer_plainly(struct conn *c, const char *hint)
{
	buf_printf(&c->out,
		   "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
		   "Content-Length: %zu\r\n\r\n%s",
		   strlen(hint), hint);
}

static void wrong_protocol(struct conn *c, bool tls)
{
	if (tls) {
		log_limited(LOG_WARN, "the client speaks TLS",
			    "listener=%s hint=\"give it an http:// endpoint, or set "
			    "OTEL_EXPORTER_OTLP_INSECURE=true\"",
			    PORT_NAMES[c->port]);
		conn_refuse(c, METRIC_CLOSED_TLS_ON_PLAINTEXT, NULL);
		return;
	}
	conn_answer_plainly(c, "This port speaks gRPC. OTLP/HTTP has its own, usually 4318.\n");
	log_limited(LOG_WARN, "HTTP/1.1 on the gRPC port",
		    "listener=%s hint=\"OTLP/HTTP has a port of its own, usually 4318\"",
		    PORT_NAMES[c->port]);
	conn_refuse(c, METRIC_CLOSED_PROTOCOL, NULL);
}

/* Looks at the first bytes until they tell the protocol: true when they have. */
static bool sniff(struct conn *c, struct slice bytes)
{
	while (c->n_sniffed < SNIFF_BYTES && bytes.len != 0) {
		c->sniffed[c->n_sniffed++] = *bytes.data;
		bytes = slice_of(bytes.data + 1, bytes.len - 1);
	}
	const uint8_t *s = c->sniffed;
	if (s[0] == 0x16 && (c->n_sniffed < 2 || s[1] == 0x03)) {
		if (c->n_sniffed >= 2)
			wrong_protocol(c, true);
		return false;
	}
	if (c->n_sniffed < SNIFF_BYTES)
		return false;
	bool is_h2 = memcmp(s, "PRI ", SNIFF_BYTES) == 0;
	bool is_http1 = !is_h2 && s[0] >= 'A' && s[0] <= 'Z';
	if (c->port == PORT_GRPC && is_http1)
		wrong_protocol(c, false);
	else if (c->port == PORT_HTTP && !is_h2)
		conn_http1_start(c);
	else if (!conn_h2_start(c)) /* which will say what is wrong with garbage */
		c->closing = true;
	return !c->closing;
}

static void feed(struct conn *c, struct slice bytes)
{
	if (c->state == CONN_HTTP1)
		conn_http1_feed(c, bytes);
	else if (c->state == CONN_H2)
		conn_h2_feed(c, bytes);
}

static void on_bytes(struct conn *c, struct slice bytes)
{
	if (c->closing)
		return; /* read past what comes before the end */
	if (c->state == CONN_SNIFF) {
		size_t before = c->n_sniffed;
		if (!sniff(c, bytes))
			return;
		size_t eaten = SNIFF_BYTES - before;
		feed(c, slice_of(c->sniffed, SNIFF_BYTES));
		bytes = slice_of(bytes.data + eaten, bytes.len - eaten);
	}
	if (bytes.len != 0)
		feed(c, bytes);
}

static ssize_t take(struct conn *c)
{
	struct receivers *r = c->room;
	if (c->tls != NULL)
		return conn_tls_read(c, r->input, sizeof(r->input));
	ssize_t n = recv(c->fd, r->input, sizeof(r->input), 0);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? CONN_LATER : CONN_BROKEN;
}

/* False: the connection is broken. */
static bool read_some(struct conn *c)
{
	struct receivers *r = c->room;
	ssize_t n = take(c);
	if (n == CONN_BROKEN)
		return false;
	if (n == 0)
		give_up_the_unfinished(c);
	if (n > 0) {
		if (c->state != CONN_LINGER)
			c->active_ms = r->now_ms;
		on_bytes(c, slice_of(r->input, (size_t)n));
	}
	return true;
}

void conn_ready(struct conn *c, int events)
{
	c->room->now_ms = clock_mono_ms();
	if (c->state <= CONN_SHAKING && !c->closing)
		conn_tls_shake(c);
	bool reads = (events & EV_READ) != 0 || c->turned;
	bool shaking = c->state <= CONN_SHAKING && !c->closing;
	if (reads && !shaking && !read_some(c))
		conn_destroy(c);
	else
		conn_flush(c);
}

static void on_ready(struct ev_loop *loop, struct ev_io *io, int events)
{
	(void)loop;
	conn_ready(io->data, events);
}

/* ---- deadlines ---- */

/* gRPC's own deadline, or too slow a body. */
static bool is_late(const struct exchange *x, uint64_t now_ms)
{
	uint64_t age = now_ms - x->begun_ms;
	if (x->timeout_ms != 0 && age > x->timeout_ms)
		return true;
	return x->batch != NULL && !x->away &&
	       age > BODY_MS + x->received / BODY_BYTES_PER_S * 1000;
}

void conn_sweep(struct conn *c, uint64_t now_ms)
{
	if (c->state == CONN_H2)
		conn_h2_sweep(c);
	uint64_t quiet = now_ms - c->active_ms;
	bool in_head =
	    c->state <= CONN_SNIFF || (c->state == CONN_HTTP1 && !c->http1.idle && !c->current);
	const char *reason = NULL;
	if (c->state == CONN_LINGER && quiet > LINGER_MS) {
		conn_destroy(c);
		return;
	}
	if (c->stalled_ms != 0 && now_ms - c->stalled_ms > STALL_MS)
		reason = "it does not read its answers";
	else if (in_head && quiet > HEAD_MS)
		reason = "no request came";
	else if (list_empty(&c->exchanges) && quiet > IDLE_MS)
		reason = "idle";
	list_for_each_safe(pos, tmp, &c->exchanges)
	{
		struct exchange *x = container_of(pos, struct exchange, link);
		if (!is_late(x, now_ms))
			continue;
		if (x->stream == NULL) {
			reason = "the request is too slow";
			break;
		}
		h2_cancel(x->stream);
		conn_touch(c);
	}
	if (reason == NULL)
		return;
	metric_add(c->room->o.metrics,
		   c->state <= CONN_SHAKING ? METRIC_CLOSED_TLS_TIMEOUT : METRIC_CLOSED_TIMEOUT, 1);
	log_debug("connection closed", "listener=%s reason=\"%s\"", PORT_NAMES[c->port], reason);
	conn_destroy(c);
}

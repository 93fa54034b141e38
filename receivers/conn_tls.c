/* SPDX-License-Identifier: Apache-2.0
 * TLS below HTTP: the first byte, the handshake, reading and writing. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "receivers/conn.h"

enum {
	/* At a time, in a room: some 20 KiB each. The oldest makes place for a new one: clients
	 * that mean it are done in two round trips. */
	HANDSHAKES = 256,
	RECORD = 16384, /* the largest (RFC 8446 section 5.1) */
	HANDSHAKE_BYTE = 0x16
};

/* For those who look for the client that is set up wrong: early, for one that has hung up has no
 * address any more. */
static void note_peer(struct conn *c)
{
	struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(at);
	(void)getpeername(c->fd, (struct sockaddr *)&at, &len);
	const void *bytes = &((const struct sockaddr_in *)&at)->sin_addr;
	if (at.ss_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)&at)->sin6_addr;
	if (at.ss_family == AF_UNSPEC ||
	    inet_ntop(at.ss_family, bytes, c->peer, sizeof(c->peer)) == NULL)
		memcpy(c->peer, "?", 2);
}

static void refuse(struct conn *c, enum metric why, const char *reason)
{
	log_limited(LOG_WARN, "TLS handshake failed", "listener=%s client=%s reason=\"%s\"",
		    PORT_NAMES[c->port], c->peer, reason);
	conn_refuse(c, why, NULL);
}

static void refuse_plain_text(struct conn *c, uint8_t first)
{
	if (first >= 'A' && first <= 'Z')
		conn_answer_plainly(
		    c, "This port speaks TLS: give the client an https:// endpoint.\n");
	log_limited(LOG_WARN, "the client does not speak TLS",
		    "listener=%s client=%s hint=\"give it an https:// endpoint\"",
		    PORT_NAMES[c->port], c->peer);
	conn_refuse(c, METRIC_CLOSED_PLAINTEXT_ON_TLS, NULL);
}

static void leave_the_shaking(struct conn *c)
{
	if (list_empty(&c->shaking_link))
		return;
	list_del(&c->shaking_link);
	c->room->n_shaking--;
}

static void make_place(struct receivers *r)
{
	if (r->n_shaking < HANDSHAKES)
		return;
	struct conn *oldest = container_of(r->shaking.next, struct conn, shaking_link);
	metric_add(r->o.metrics, METRIC_CLOSED_TLS_LIMIT, 1);
	log_limited(LOG_WARN, "TLS handshake given up",
		    "listener=%s reason=\"%d handshakes at a time\"", PORT_NAMES[oldest->port],
		    HANDSHAKES);
	conn_destroy(oldest);
}

/* The first byte is here. A connection that says nothing has cost no more than a plain one. */
static void begin(struct conn *c)
{
	uint8_t first;
	ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
	if (n < 0)
		return;
	if (n == 0) {
		c->closing = c->at_end = true;
		return;
	}
	note_peer(c);
	if (first != HANDSHAKE_BYTE) {
		refuse_plain_text(c, first);
		return;
	}
	struct receivers *r = c->room;
	make_place(r);
	c->tls = tls_accept(r->tls[c->port], c->fd);
	if (c->tls == NULL) {
		refuse(c, METRIC_CLOSED_TLS_HANDSHAKE, "no memory");
		return;
	}
	c->state = CONN_SHAKING;
	list_add_tail(&r->shaking, &c->shaking_link);
	r->n_shaking++;
}

static int on_name(void *ctx, struct slice name)
{
	return credentials_name(ctx, name);
}

/* 0, or negative: no memory. */
static int read_names(struct conn *c)
{
	if (!tls_is_verified(c->tls))
		return 0;
	c->names = calloc(1, sizeof(*c->names));
	return c->names == NULL ? -ENOMEM : tls_each_name(c->tls, on_name, c->names);
}

void conn_tls_shake(struct conn *c)
{
	if (c->state == CONN_HELLO)
		begin(c);
	if (c->state != CONN_SHAKING)
		return;
	int rc = tls_handshake(c->tls);
	c->turned = rc == TLS_WANT_WRITE;
	if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE)
		return;
	leave_the_shaking(c);
	if (rc != 0) {
		refuse(c, METRIC_CLOSED_TLS_HANDSHAKE,
		       rc == TLS_CLOSED ? "the peer closed the connection" : tls_reason(c->tls));
		return;
	}
	if (read_names(c) != 0) {
		refuse(c, METRIC_CLOSED_TLS_HANDSHAKE, "no memory");
		return;
	}
	metric_add(c->room->o.metrics, METRIC_TLS_HANDSHAKES, 1);
	c->state = CONN_SNIFF;
	c->more = tls_has_more(c->tls);
	c->active_ms = c->room->now_ms;
	if (c->port == PORT_GRPC && !slice_is(tls_alpn(c->tls), "h2")) /* RFC 9113 section 3.2 */
		refuse(c, METRIC_CLOSED_TLS_HANDSHAKE, "gRPC wants ALPN h2");
}

/* As many records as fit as a whole. Where it ends before the socket is empty, the rest waits
 * inside OpenSSL, and no event of the socket will tell of it. */
ssize_t conn_tls_read(struct conn *c, uint8_t *out, size_t room)
{
	size_t got = 0;
	ssize_t n = 0;
	while (room - got >= RECORD && (n = tls_read(c->tls, out + got, room - got)) > 0)
		got += (size_t)n;
	c->turned = n == TLS_WANT_WRITE;
	c->more = got != 0 && n != TLS_WANT_READ && n != TLS_WANT_WRITE;
	if (got != 0)
		return (ssize_t)got;
	if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
		return CONN_LATER;
	return n == TLS_CLOSED ? 0 : CONN_BROKEN;
}

ssize_t conn_tls_write(struct conn *c, struct slice bytes)
{
	ssize_t n = tls_write(c->tls, bytes);
	if (n > 0)
		return n;
	/* It never waits for the peer's bytes: there is no renegotiation. */
	return n == TLS_WANT_WRITE ? CONN_LATER : CONN_BROKEN;
}

void conn_tls_close(struct conn *c)
{
	leave_the_shaking(c);
	tls_close(c->tls);
	c->tls = NULL;
	c->more = c->turned = false;
}

void conn_tls_again(struct conn *c)
{
	struct receivers *r = c->room;
	if (list_empty(&c->unread_link))
		list_add_tail(&r->unread, &c->unread_link);
	if (!ev_is_active(&r->again)) {
		ev_timer_set(&r->again, 0., 0.);
		ev_timer_start(r->o.loop, &r->again);
	}
}

void on_conn_again(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct receivers *r = timer->data;
	struct list now; /* those that come meanwhile have their turn in the next round */
	list_init(&now);
	while (!list_empty(&r->unread)) {
		struct list *first = r->unread.next;
		list_del(first);
		list_add_tail(&now, first);
	}
	while (!list_empty(&now)) {
		struct conn *c = container_of(now.next, struct conn, unread_link);
		list_del(&c->unread_link);
		conn_ready(c, c->io.events & EV_READ);
	}
}

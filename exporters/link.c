/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/dns.h"

enum { READ_SIZE = 32 << 10, RECORD = 16 << 10 /* of TLS, at most */ };

enum link_state { RESOLVING, CONNECTING, SHAKING_HANDS, OPEN, FAILED };

struct link {
	const struct link_target *target;
	struct ev_loop *loop;
	const struct link_events *events;
	void *ctx;
	enum link_state state;
	struct dns *dns;
	struct dns_address addresses[DNS_ADDRESSES];
	unsigned n_addresses, next_address;
	int fd; /* -1: none */
	struct tls_conn *tls;
	struct ev_io io;
	struct ev_timer timer; /* the deadline of what is going on; at once when FAILED, and when
				  OPEN, with more to read than the socket shows */
	const char *reason;
	size_t out_len; /* TLS: what waits for the rest of its record, or for the socket */
	uint8_t out[RECORD];
	uint8_t in[READ_SIZE];
};

static void watch(struct link *l, int events)
{
	if (ev_is_active(&l->io) && (l->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(l->loop, &l->io);
	ev_io_set(&l->io, l->fd, events);
	ev_io_start(l->loop, &l->io);
}

static void set_deadline(struct link *l, unsigned ms)
{
	ev_timer_stop(l->loop, &l->timer);
	ev_timer_set(&l->timer, ms / 1000., 0.);
	ev_timer_start(l->loop, &l->timer);
}

static void close_socket(struct link *l)
{
	tls_close(l->tls);
	l->tls = NULL;
	ev_io_stop(l->loop, &l->io);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->out_len = 0;
}

/* The owner hears of it from the loop. */
static void link_fail(struct link *l, const char *reason)
{
	dns_stop(l->dns);
	l->dns = NULL;
	close_socket(l);
	l->state = FAILED;
	l->reason = reason;
	set_deadline(l, 0);
}

static int connect_to(struct link *l, const struct dns_address *a)
{
	l->fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	int on = 1; /* a request's last small frame must not wait for an acknowledgement */
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	int rc = connect(l->fd, (const struct sockaddr *)&a->at, a->len);
	return rc == 0 || errno == EINPROGRESS ? 0 : -errno;
}

static const char *connect_reason(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused";
	case ETIMEDOUT:
		return "connecting took too long";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "no route to the backend";
	case EMFILE:
	case ENFILE:
		return "out of file descriptors";
	default:
		return "cannot connect";
	}
}

/* Tries addresses from the next one on until one is under way. The time is shared out among them,
 * so that a first address that never answers does not use up all of it. */
static void connect_next(struct link *l, const char *reason)
{
	close_socket(l);
	while (l->next_address < l->n_addresses) {
		int rc = connect_to(l, &l->addresses[l->next_address++]);
		if (rc == 0) {
			l->state = CONNECTING;
			watch(l, EV_WRITE);
			set_deadline(l, LINK_OPEN_MS / l->n_addresses);
			return;
		}
		reason = connect_reason(-rc);
		close_socket(l);
	}
	link_fail(l, reason);
}

static void on_resolved(void *ctx, const struct dns_address *found, unsigned n, const char *reason)
{
	struct link *l = ctx;
	memcpy(l->addresses, found, n * sizeof(*found));
	l->n_addresses = n;
	dns_stop(l->dns);
	l->dns = NULL;
	connect_next(l, reason);
}

static void opened(struct link *l)
{
	l->state = OPEN;
	ev_timer_stop(l->loop, &l->timer);
	if (l->tls != NULL && tls_has_more(l->tls)) /* the peer said something at once */
		set_deadline(l, 0);
	watch(l, EV_READ);
	l->events->on_open(l->ctx, l->tls != NULL ? tls_alpn(l->tls) : slice_of("", 0));
}

static void shake_hands(struct link *l)
{
	int rc = tls_handshake(l->tls);
	if (rc == 0)
		opened(l);
	else if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE)
		watch(l, rc == TLS_WANT_READ ? EV_READ : EV_WRITE);
	else
		connect_next(l, rc == TLS_CLOSED ? "closed during TLS" : tls_reason(l->tls));
}

static void connected(struct link *l)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0) {
		connect_next(l, connect_reason(error));
		return;
	}
	if (l->target->tls == NULL) {
		opened(l);
		return;
	}
	l->state = SHAKING_HANDS;
	l->tls = tls_connect(l->target->tls, l->fd, l->target->name, l->target->alpn);
	if (l->tls == NULL)
		link_fail(l, "no memory");
	else
		shake_hands(l);
}

/* As many records as fit as a whole. What waits inside OpenSSL then, or the end behind them, has
 * its turn in the next round: no event of the socket tells of it. */
static ssize_t read_records(struct link *l)
{
	size_t got = 0;
	ssize_t n = 0;
	while (sizeof(l->in) - got >= RECORD &&
	       (n = tls_read(l->tls, l->in + got, sizeof(l->in) - got)) > 0)
		got += (size_t)n;
	if (got != 0 && n != TLS_WANT_READ && n != TLS_WANT_WRITE)
		set_deadline(l, 0);
	return got != 0 ? (ssize_t)got : n;
}

/* One read an event: what is left makes the socket readable again at once. */
static void read_some(struct link *l)
{
	ssize_t n;
	if (l->tls != NULL)
		n = read_records(l);
	else
		n = recv(l->fd, l->in, sizeof(l->in), 0);
	if (n > 0) {
		l->events->on_bytes(l->ctx, slice_of(l->in, (size_t)n));
		return;
	}
	bool closed = l->tls != NULL ? n == TLS_CLOSED : n == 0;
	bool later = l->tls != NULL ? n == TLS_WANT_READ || n == TLS_WANT_WRITE
				    : n < 0 && (errno == EAGAIN || errno == EINTR);
	if (closed)
		link_fail(l, "the backend closed the connection");
	else if (!later)
		link_fail(l, l->tls != NULL ? tls_reason(l->tls) : "the connection broke");
}

static void on_io(struct ev_loop *loop, struct ev_io *w, int revents)
{
	(void)loop;
	struct link *l = w->data;
	switch (l->state) {
	case CONNECTING:
		connected(l);
		break;
	case SHAKING_HANDS:
		shake_hands(l);
		break;
	case OPEN:
		if (revents & EV_READ) {
			read_some(l); /* writable will be told again */
		} else {
			watch(l, EV_READ);
			link_flush(l);
			l->events->on_writable(l->ctx);
		}
		break;
	case RESOLVING:
	case FAILED:
		break;
	}
}

static void start(struct link *l)
{
	const struct address *to = &l->target->to;
	if (dns_literal(to->host, to->port, &l->addresses[0]) == 0) {
		l->n_addresses = 1;
		connect_next(l, "cannot connect");
		return;
	}
	set_deadline(l, LINK_OPEN_MS);
	l->dns = dns_start(l->loop, to->host, to->port, on_resolved, l);
	if (l->dns == NULL)
		link_fail(l, "no memory");
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct link *l = w->data;
	if (l->state == FAILED)
		l->events->on_closed(l->ctx, l->reason);
	else if (l->state == OPEN)
		read_some(l);
	else if (l->state == RESOLVING && l->dns == NULL)
		start(l);
	else if (l->state == RESOLVING)
		link_fail(l, "no name server answers");
	else
		connect_next(l, l->state == CONNECTING ? "connecting took too long"
						       : "TLS took too long");
}

struct link *link_create(const struct link_target *target, struct ev_loop *loop,
			 const struct link_events *events, void *ctx)
{
	struct link *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return NULL;
	l->target = target;
	l->loop = loop;
	l->events = events;
	l->ctx = ctx;
	l->fd = -1;
	ev_io_init(&l->io, on_io, -1, EV_READ);
	ev_timer_init(&l->timer, on_timer, 0., 0.);
	l->io.data = l->timer.data = l;
	set_deadline(l, 0); /* on_timer() starts the work, off the caller's stack */
	return l;
}

void link_destroy(struct link *l)
{
	if (l == NULL)
		return;
	dns_stop(l->dns);
	close_socket(l);
	ev_timer_stop(l->loop, &l->timer);
	free(l);
}

/* Of what was to be written: bytes written, or 0, and then on_writable or on_closed follows. */
static size_t wrote(struct link *l, ssize_t n, size_t wanted)
{
	bool later = l->tls != NULL ? n == TLS_WANT_READ || n == TLS_WANT_WRITE
				    : n < 0 && (errno == EAGAIN || errno == EINTR);
	if (n < 0 && !later) {
		link_fail(l, l->tls != NULL ? tls_reason(l->tls) : "the connection broke");
		return 0;
	}
	if (n < (ssize_t)wanted)
		watch(l, EV_READ | EV_WRITE);
	return n < 0 ? 0 : (size_t)n;
}

static void write_record(struct link *l)
{
	size_t n = wrote(l, tls_write(l->tls, slice_of(l->out, l->out_len)), l->out_len);
	l->out_len -= n;
	memmove(l->out, l->out + n, l->out_len);
}

/* Data frames of HTTP/2 are made to fill a record and go as they are. What is smaller is collected,
 * for each by itself would be a record and a system call. */
static size_t write_records(struct link *l, struct slice bytes)
{
	size_t taken = 0;
	while (taken < bytes.len && l->state == OPEN) {
		size_t n = bytes.len - taken, room = RECORD - l->out_len;
		bool whole = n >= RECORD;
		if ((whole && l->out_len != 0) || room == 0) {
			write_record(l);
			if (l->out_len != 0)
				break;
		} else if (whole) {
			n = wrote(l, tls_write(l->tls, slice_of(bytes.data + taken, RECORD)),
				  RECORD);
			taken += n;
			if (n == 0)
				break;
		} else {
			n = n < room ? n : room;
			memcpy(l->out + l->out_len, bytes.data + taken, n);
			l->out_len += n;
			taken += n;
		}
	}
	return taken;
}

size_t link_write(struct link *l, struct slice bytes)
{
	if (l->state != OPEN || bytes.len == 0)
		return 0;
	if (l->tls != NULL)
		return write_records(l, bytes);
	return wrote(l, send(l->fd, bytes.data, bytes.len, MSG_NOSIGNAL), bytes.len);
}

void link_flush(struct link *l)
{
	if (l->state == OPEN && l->out_len != 0)
		write_record(l);
}

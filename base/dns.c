/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 2000, TRIES = 2 };

struct dns {
	struct ev_loop *loop;
	ares_channel channel;
	struct ev_io sockets[ARES_GETSOCK_MAXNUM]; /* fd -1: free */
	struct ev_timer timer;                     /* c-ares's own waits */
	struct ev_timer report; /* tells the result, once c-ares is off the stack */
	dns_done *on_done;
	void *ctx;
	uint16_t port;
	unsigned n;
	const char *reason;
	struct dns_address found[DNS_ADDRESSES];
};

static void set_port(struct sockaddr_storage *at, uint16_t port)
{
	if (at->ss_family == AF_INET)
		((struct sockaddr_in *)(void *)at)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)at)->sin6_port = htons(port);
}

int dns_literal(const char *host, uint16_t port, struct dns_address *out)
{
	memset(out, 0, sizeof(*out));
	struct sockaddr_in *v4 = (void *)&out->at;
	struct sockaddr_in6 *v6 = (void *)&out->at;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		out->at.ss_family = AF_INET;
		out->len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		out->at.ss_family = AF_INET6;
		out->len = sizeof(*v6);
	} else {
		return -1;
	}
	set_port(&out->at, port);
	return 0;
}

static void arm_timer(struct dns *d)
{
	struct timeval tv, *wait = ares_timeout(d->channel, NULL, &tv);
	ev_timer_stop(d->loop, &d->timer);
	if (wait == NULL)
		return;
	ev_timer_set(&d->timer, (double)wait->tv_sec + (double)wait->tv_usec / 1e6, 0.);
	ev_timer_start(d->loop, &d->timer);
}

static void on_socket(struct ev_loop *loop, struct ev_io *w, int revents)
{
	(void)loop;
	struct dns *d = w->data;
	ares_process_fd(d->channel, revents & EV_READ ? w->fd : ARES_SOCKET_BAD,
			revents & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
	arm_timer(d);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct dns *d = w->data;
	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(d);
}

/* c-ares says which sockets it wants watched; 0 and 0: it is about to close this one. */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = ctx;
	struct ev_io *slot = NULL;
	for (size_t i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		if (d->sockets[i].fd == fd) {
			slot = &d->sockets[i];
			break;
		}
		if (slot == NULL && d->sockets[i].fd == -1)
			slot = &d->sockets[i];
	}
	if (slot == NULL)
		return; /* more sockets than name servers we wait for: the query times out */
	ev_io_stop(d->loop, slot);
	if (!readable && !writable) {
		slot->fd = -1;
		return;
	}
	ev_io_set(slot, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(d->loop, slot);
}

static void on_addresses(void *ctx, int status, int timeouts, struct ares_addrinfo *found)
{
	(void)timeouts;
	struct dns *d = ctx;
	if (status == ARES_EDESTRUCTION) /* dns_stop() */
		return;
	const struct ares_addrinfo_node *node = found != NULL ? found->nodes : NULL;
	for (; node != NULL && d->n < DNS_ADDRESSES; node = node->ai_next) {
		struct dns_address *a = &d->found[d->n];
		if (node->ai_addrlen > sizeof(a->at))
			continue;
		memcpy(&a->at, node->ai_addr, node->ai_addrlen);
		a->len = node->ai_addrlen;
		set_port(&a->at, d->port);
		d->n++;
	}
	ares_freeaddrinfo(found);
	bool unknown = status == ARES_ENOTFOUND || status == ARES_ENODATA;
	d->reason = d->n != 0 ? NULL : unknown ? "unknown host name" : "no name server answers";
	ev_timer_start(d->loop, &d->report);
}

static void on_report(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct dns *d = w->data;
	d->on_done(d->ctx, d->found, d->n, d->reason);
}

struct dns *dns_start(struct ev_loop *loop, const char *host, uint16_t port, dns_done *on_done,
		      void *ctx)
{
	struct dns *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->loop = loop;
	d->on_done = on_done;
	d->ctx = ctx;
	d->port = port;
	ev_timer_init(&d->timer, on_timer, 0., 0.);
	ev_timer_init(&d->report, on_report, 0., 0.);
	d->timer.data = d->report.data = d;
	for (size_t i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		ev_io_init(&d->sockets[i], on_socket, -1, EV_READ);
		d->sockets[i].data = d;
	}
	struct ares_options options = {.timeout = TIMEOUT_MS,
				       .tries = TRIES,
				       .sock_state_cb = on_socket_state,
				       .sock_state_cb_data = d};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	if (ares_init_options(&d->channel, &options, mask) != ARES_SUCCESS) {
		free(d);
		return NULL;
	}
	const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
						  .ai_socktype = SOCK_STREAM};
	ares_getaddrinfo(d->channel, host, NULL, &hints, on_addresses, d);
	arm_timer(d);
	return d;
}

void dns_stop(struct dns *d)
{
	if (d == NULL)
		return;
	ares_destroy(d->channel);
	for (size_t i = 0; i < ARES_GETSOCK_MAXNUM; i++)
		ev_io_stop(d->loop, &d->sockets[i]);
	ev_timer_stop(d->loop, &d->timer);
	ev_timer_stop(d->loop, &d->report);
	free(d);
}

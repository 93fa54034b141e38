/* SPDX-License-Identifier: Apache-2.0 */
#include "receivers/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

enum { ACCEPTS_PER_ROUND = 64 };

static void on_rested(struct ev_loop *loop, struct ev_timer *rest, int events)
{
	(void)events;
	struct listener *l = rest->data;
	ev_io_start(loop, &l->io);
}

static void pause_accepting(struct listener *l)
{
	log_limited(LOG_WARN, "cannot accept", "listener=%s reason=\"%s\"", PORT_NAMES[l->port],
		    strerrordesc_np(errno));
	ev_io_stop(l->loop, &l->io);
	ev_timer_set(&l->rest, 0.2, 0);
	ev_timer_start(l->loop, &l->rest);
}

static void on_connection(struct ev_loop *loop, struct ev_io *io, int events)
{
	(void)loop, (void)events;
	struct listener *l = io->data;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int one = 1, fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			l->on_accepted(l->ctx, fd, l->port);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			pause_accepting(l);
			return;
		} else if (errno == EAGAIN) {
			return;
		} /* else a connection that died in the queue */
	}
}

void listener_start(struct listener *l, struct ev_loop *loop, int fd)
{
	l->loop = loop;
	ev_io_init(&l->io, on_connection, fd, EV_READ);
	ev_init(&l->rest, on_rested);
	l->io.data = l->rest.data = l;
	ev_io_start(loop, &l->io);
}

void listener_stop(struct listener *l)
{
	if (l->loop == NULL)
		return;
	ev_io_stop(l->loop, &l->io);
	ev_timer_stop(l->loop, &l->rest);
}

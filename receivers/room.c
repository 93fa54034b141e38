/* SPDX-License-Identifier: Apache-2.0 */
#include "receivers/room.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "receivers/conn.h"

static const double SWEEP_S = 1.0;

static void on_sweep(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct receivers *r = timer->data;
	r->now_ms = clock_mono_ms();
	list_for_each_safe(pos, tmp, &r->conns)
	    conn_sweep(container_of(pos, struct conn, link), r->now_ms);
	receivers_flush(r);
}

struct receivers *receivers_create(const struct receivers_options *o)
{
	struct receivers *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->o = *o;
	r->codec = codec_create();
	if (r->codec == NULL) {
		free(r);
		return NULL;
	}
	list_init(&r->conns);
	list_init(&r->touched);
	list_init(&r->shaking);
	list_init(&r->unread);
	ev_timer_init(&r->again, on_conn_again, 0., 0.);
	r->again.data = r;
	r->now_ms = clock_mono_ms();
	ev_timer_init(&r->sweep, on_sweep, SWEEP_S, SWEEP_S);
	r->sweep.data = r;
	ev_timer_start(o->loop, &r->sweep);
	return r;
}

void receivers_destroy(struct receivers *r)
{
	if (r == NULL)
		return;
	list_for_each_safe(pos, tmp, &r->conns) conn_destroy(container_of(pos, struct conn, link));
	ev_timer_stop(r->o.loop, &r->sweep);
	ev_timer_stop(r->o.loop, &r->again);
	for (int i = 0; i < PORTS; i++)
		tls_unref(r->tls[i]);
	codec_destroy(r->codec);
	buf_finish(&r->scratch);
	free(r);
}

void receivers_limit(struct receivers *r, size_t request_bytes, uint32_t spans)
{
	r->o.request_bytes = request_bytes;
	r->o.limits.spans = spans;
}

void receivers_set_tls(struct receivers *r, enum port port, struct tls *tls)
{
	tls_unref(r->tls[port]);
	r->tls[port] = tls;
}

void receivers_adopt(struct receivers *r, int fd, enum port port)
{
	if (conn_create(r, fd, port) == NULL)
		close(fd);
}

void receivers_flush(struct receivers *r)
{
	while (!list_empty(&r->touched))
		conn_flush(container_of(r->touched.next, struct conn, touched_link));
}

void receivers_notice(struct receivers *r)
{
	r->draining = true;
	list_for_each_safe(pos, tmp, &r->conns)
	{
		struct conn *c = container_of(pos, struct conn, link);
		if (c->state == CONN_H2)
			h2_shutdown_notice(c->h2);
		c->keep = false;
		conn_touch(c);
	}
	receivers_flush(r);
}

/* HTTP/1.1 connections without a request are closed; a client that is about to send on one sees it
 * closed, as with any keep-alive. */
void receivers_drain(struct receivers *r)
{
	list_for_each_safe(pos, tmp, &r->conns)
	{
		struct conn *c = container_of(pos, struct conn, link);
		if (c->state == CONN_H2)
			h2_shutdown(c->h2);
		else if (c->current == NULL)
			c->closing = true;
		conn_touch(c);
	}
	receivers_flush(r);
}

uint32_t receivers_connections(const struct receivers *r)
{
	return r->n_conns;
}

/* SPDX-License-Identifier: Apache-2.0
 * Prints traces on standard output, for a first look and for debugging. A reader that is slow, or
 * has gone, holds up nothing but this exporter: it writes only when the terminal or pipe takes
 * more. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "exporters/exporter.h"
#include "exporters/show.h"

enum { WRITE_SIZE = 4096 }; /* PIPE_BUF: a pipe that is writable takes this much without waiting */

struct terminal {
	struct ev_loop *loop;
	struct ev_io writable;
	struct list calls; /* (export_call.link) printed, or partly so */
	struct buf text;
	size_t written;
};

static void end_calls(struct terminal *t, enum verdict verdict, const char *reason)
{
	struct list ending;
	list_init(&ending);
	list_for_each_safe(pos, tmp, &t->calls)
	{
		list_del(pos);
		list_add_tail(&ending, pos);
	}
	t->text.len = t->written = 0;
	ev_io_stop(t->loop, &t->writable);
	while (!list_empty(&ending)) { /* each may send the next one at once */
		struct export_call *call = container_of(ending.next, struct export_call, link);
		list_del(&call->link);
		call->on_done(call,
			      (struct outcome){.verdict = verdict, .status = 0, .reason = reason});
	}
}

static void on_writable(struct ev_loop *loop, struct ev_io *w, int revents)
{
	(void)loop, (void)revents;
	struct terminal *t = w->data;
	size_t left = t->text.len - t->written;
	size_t len = left < WRITE_SIZE ? left : WRITE_SIZE;
	ssize_t n = len != 0 ? write(w->fd, t->text.data + t->written, len) : 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end_calls(t, RETRY, "standard output takes nothing");
		return;
	}
	t->written += n > 0 ? (size_t)n : 0;
	if (t->written == t->text.len)
		end_calls(t, SENT, "printed");
}

static void *terminal_create(const struct conf_exporter *conf, struct tls *tls,
			     struct ev_loop *loop, _Atomic uint64_t *connects)
{
	(void)conf, (void)tls, (void)connects;
	struct terminal *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->loop = loop;
	list_init(&t->calls);
	ev_io_init(&t->writable, on_writable, STDOUT_FILENO, EV_WRITE);
	t->writable.data = t;
	return t;
}

static int terminal_take(void *exporter, const struct conf_exporter *conf)
{
	(void)exporter, (void)conf;
	return 0;
}

static void terminal_renew(void *exporter, struct tls *tls)
{
	(void)exporter;
	tls_unref(tls);
}

static void terminal_send(void *exporter, struct export_call *call)
{
	struct terminal *t = exporter;
	(void)show_request(call->body, &t->text); /* what there is no memory for is not shown */
	list_add_tail(&t->calls, &call->link);
	ev_io_start(t->loop, &t->writable);
}

static void terminal_destroy(void *exporter)
{
	struct terminal *t = exporter;
	end_calls(t, RETRY, "shutting down");
	buf_finish(&t->text);
	free(t);
}

const struct exporter_ops EXPORTER_TERMINAL = {
    .name = "terminal",
    .create = terminal_create,
    .take = terminal_take,
    .renew = terminal_renew,
    .send = terminal_send,
    .destroy = terminal_destroy,
    .compresses = false,
};

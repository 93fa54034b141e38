/* SPDX-License-Identifier: Apache-2.0
 * An HTTP/2 connection: streams are exchanges. */
#include "receivers/conn.h"

/* Above this part of the memory account windows stay shut: back-pressure without loss. */
enum { PAUSE_PERCENT = 70 };

static struct exchange *exchange_of(struct h2_stream *s)
{
	return *h2_user(s);
}

static void settle(struct exchange *x, enum answer a)
{
	if (a != ANSWER_NONE)
		exchange_answer(x, a);
}

static void on_head(void *ctx, struct h2_stream *s, const struct request_head *head)
{
	struct exchange *x = exchange_begin(ctx, s);
	*h2_user(s) = x;
	enum answer a = x != NULL ? exchange_head(x, head) : NO_MEMORY;
	if (x == NULL || x->batch == NULL)
		h2_cancel(s);
	else
		settle(x, a);
}

static void on_body(void *ctx, struct h2_stream *s, struct slice piece)
{
	(void)ctx;
	struct exchange *x = exchange_of(s);
	settle(x, exchange_body(x, piece));
}

static void on_end(void *ctx, struct h2_stream *s)
{
	(void)ctx;
	struct exchange *x = exchange_of(s);
	settle(x, exchange_end(x));
}

static void on_closed(void *ctx, struct h2_stream *s, bool answered)
{
	(void)ctx, (void)answered;
	exchange_free(exchange_of(s));
}

static const struct h2_events EVENTS = {on_head, on_body, on_end, on_closed};

bool conn_h2_start(struct conn *c)
{
	c->state = CONN_H2;
	c->h2 = h2_create(&EVENTS, c, c->room->now_ms);
	return c->h2 != NULL;
}

void conn_h2_sweep(struct conn *c)
{
	h2_pause(c->h2, account_above(c->room->o.account, PAUSE_PERCENT));
	conn_touch(c);
}

void conn_h2_feed(struct conn *c, struct slice bytes)
{
	h2_pause(c->h2, account_above(c->room->o.account, PAUSE_PERCENT));
	switch (h2_feed(c->h2, bytes, c->room->now_ms)) {
	case 0:
		return;
	case H2_ABUSE:
		c->abuse = true;
		conn_refuse(c, METRIC_CLOSED_ABUSE, "too many useless frames");
		return;
	default:
		conn_refuse(c, METRIC_CLOSED_PROTOCOL, "broken HTTP/2");
	}
}

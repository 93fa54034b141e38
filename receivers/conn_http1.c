/* SPDX-License-Identifier: Apache-2.0
 * An HTTP/1.1 connection: one exchange at a time; pipelined ones wait their turn. A refused body is
 * read past if it is short, so that the connection lives on; else it is closed after the answer. */
#include "receivers/conn.h"

void conn_http1_respond(struct conn *c, const struct response *r)
{
	struct buf *out = &c->out;
	int rc = buf_printf(out, "HTTP/1.1 %u %s\r\nContent-Length: %zu\r\n", r->status,
			    http_status_str((enum http_status)r->status), r->body.len);
	if (r->content_type != NULL)
		rc |= buf_printf(out, "Content-Type: %s\r\n", r->content_type);
	if (r->retry_after_s != 0)
		rc |= buf_printf(out, "Retry-After: %u\r\n", r->retry_after_s);
	if (r->allow != NULL)
		rc |= buf_printf(out, "Allow: %s\r\n", r->allow);
	if (r->accept_encoding != NULL)
		rc |= buf_printf(out, "Accept-Encoding: %s\r\n", r->accept_encoding);
	if (!c->keep)
		rc |= buf_printf(out, "Connection: close\r\n");
	rc |= buf_append(out, "\r\n", 2);
	rc |= buf_append(out, r->body.data, r->body.len);
	if (rc != 0 || !c->keep)
		c->closing = true;
	exchange_free(c->current);
	c->current = NULL;
	conn_touch(c);
}

/* A request without an exchange gets this and no more. */
static void refuse(struct conn *c, unsigned status, enum metric why)
{
	c->keep = false;
	conn_http1_respond(c, &(struct response){.status = status, .grpc_status = -1});
	metric_add(c->room->o.metrics, why, 1);
}

static int on_head(void *ctx, const struct http1_head *h)
{
	struct conn *c = ctx;
	struct request_head head = {.method = h->method,
				    .path = h->target,
				    .content_type = h->content_type,
				    .content_encoding = h->content_encoding,
				    .authorization = h->authorization,
				    .two_authorizations = h->two_authorizations,
				    .content_length = h->content_length};
	c->current = exchange_begin(c, NULL);
	c->keep = h->keep_alive && !c->room->draining;
	c->early = c->current != NULL ? exchange_head(c->current, &head) : NO_MEMORY;
	if (c->current == NULL || c->current->batch == NULL) {
		refuse(c, 503, METRIC_REFUSED_MEMORY);
		return 1;
	}
	bool long_body = h->content_length > (int64_t)c->room->o.request_bytes;
	if (c->early != ANSWER_NONE && (long_body || h->expect_continue)) {
		c->keep = false; /* nobody knows whether the body will come */
		exchange_answer(c->current, c->early);
		return 1;
	}
	if (h->expect_continue && buf_printf(&c->out, "HTTP/1.1 100 Continue\r\n\r\n") == 0)
		conn_touch(c);
	return 0;
}

static int on_body(void *ctx, struct slice piece)
{
	struct conn *c = ctx;
	struct exchange *x = c->current;
	if (c->early == ANSWER_NONE) {
		c->early = exchange_body(x, piece);
		if (c->early == ANSWER_NONE)
			return 0;
		buf_finish(&x->batch->body);
		charge_give_back(&x->batch->charge);
	} else {
		x->received += piece.len;
	}
	if (c->early != TOO_LARGE && x->received <= c->room->o.request_bytes)
		return 0;
	c->keep = false;
	exchange_answer(x, c->early);
	return 1;
}

static int on_complete(void *ctx)
{
	struct conn *c = ctx;
	enum answer a = c->early == ANSWER_NONE ? exchange_end(c->current) : c->early;
	if (a != ANSWER_NONE)
		exchange_answer(c->current, a);
	return 0;
}

static const struct http1_events EVENTS = {on_head, on_body, on_complete};

void conn_http1_start(struct conn *c)
{
	c->state = CONN_HTTP1;
	http1_init(&c->http1, false, &EVENTS, c);
	c->http1.one_at_a_time = true;
}

void conn_http1_feed(struct conn *c, struct slice bytes)
{
	while (bytes.len != 0 && !c->closing) {
		if (c->current != NULL && c->http1.idle) { /* its answer is still to come */
			if (buf_append(&c->pending, bytes.data, bytes.len) != 0)
				conn_refuse(c, METRIC_CLOSED_PROTOCOL, "pipelined too much");
			return;
		}
		int rc = http1_feed(&c->http1, bytes);
		if (rc == HTTP1_STOPPED)
			return;
		if (rc != 0) {
			refuse(c, rc == HTTP1_TOO_LARGE ? 431 : 400, METRIC_REFUSED_MALFORMED);
			return;
		}
		bytes = slice_of(bytes.data + bytes.len - c->http1.unread, c->http1.unread);
	}
}

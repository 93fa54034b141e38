/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/carrier.h"

/* Everything under way ends; then the owner takes the carrier down. */
static void finish(struct carrier *c, enum http_end end, const char *reason)
{
	c->ending = true;
	if (c->client != NULL) {
		http_client_lost(c->client, reason);
		for (struct http_call *call; (call = http_client_ended(c->client)) != NULL;)
			c->events->on_ended(c->ctx, call);
	}
	c->events->on_closed(c->ctx, end, reason);
}

static void on_close_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	finish(w->data, HTTP_LOST, "the backend fell silent");
}

/* Moves bytes from the client to the link until one of them has enough. */
static int flush(struct carrier *c)
{
	while (!c->ending) {
		while (c->out.len != 0) {
			size_t n = link_write(c->link, c->out);
			if (n == 0)
				return 0;
			c->out = slice_of(c->out.data + n, c->out.len - n);
			if (c->out.len != 0)
				return 0; /* on_writable follows */
		}
		int rc = c->client->ops->pull(c->client, &c->out);
		if (rc < 0 || c->out.len == 0) {
			link_flush(c->link);
			return rc;
		}
	}
	return 0;
}

/* It will carry nothing more. */
static bool is_over(struct carrier *c)
{
	return (c->retired || c->client->ops->is_spent(c->client)) &&
	       http_client_is_idle(c->client);
}

static void deliver(struct carrier *c)
{
	for (struct http_call *call; (call = http_client_ended(c->client)) != NULL;) {
		if (call->response.end == HTTP_WHOLE)
			c->answers++;
		c->events->on_ended(c->ctx, call);
		c->events->on_room(c->ctx);
	}
}

static struct http_client *make_client(const struct carrier *c, struct slice alpn)
{
	if (c->form->http2_only || slice_is(alpn, "h2"))
		return h2_client_create();
	return http1_client_create();
}

static void on_open(void *ctx, struct slice alpn)
{
	struct carrier *c = ctx;
	bool tls = c->form->target.tls != NULL;
	if (tls && c->form->http2_only && !slice_is(alpn, "h2")) {
		finish(c, HTTP_NO_ALPN, "TLS without ALPN h2");
		return;
	}
	c->client = make_client(c, alpn);
	if (c->client == NULL) {
		finish(c, HTTP_LOST, "no memory");
		return;
	}
	c->events->on_room(c->ctx);
	if (c->retired)
		ev_timer_start(c->loop, &c->close);
	if (flush(c) < 0)
		finish(c, HTTP_LOST, "the connection broke");
}

static void on_bytes(void *ctx, struct slice bytes)
{
	struct carrier *c = ctx;
	c->reads++;
	int rc = c->client->ops->feed(c->client, bytes);
	if (rc < 0) {
		if (c->out.len == 0)
			(void)flush(c); /* tells an HTTP/2 peer what it did wrong */
		finish(c, HTTP_LOST, "the backend ended the connection");
		return;
	}
	deliver(c);
	if (flush(c) < 0 || is_over(c))
		finish(c, HTTP_LOST, "the backend ended the connection");
}

static void on_writable(void *ctx)
{
	struct carrier *c = ctx;
	if (flush(c) < 0)
		finish(c, HTTP_LOST, "the connection broke");
}

static void on_closed(void *ctx, const char *reason)
{
	struct carrier *c = ctx;
	if (c->client != NULL) { /* an HTTP/1.1 answer without a length ends so */
		(void)c->client->ops->feed(c->client, slice_of("", 0));
		c->out.len = 0;
	}
	finish(c, HTTP_LOST, reason);
}

static const struct link_events LINK_EVENTS = {on_open, on_bytes, on_writable, on_closed};

int carrier_open(struct carrier *c, struct ev_loop *loop, const struct carrier_form *form,
		 const struct carrier_events *events, void *ctx)
{
	*c = (struct carrier){.loop = loop, .form = form, .events = events, .ctx = ctx};
	ev_timer_init(&c->close, on_close_timer, 0., 0.);
	c->close.data = c;
	c->link = link_create(&form->target, loop, &LINK_EVENTS, c);
	return c->link != NULL ? 0 : -1;
}

void carrier_close(struct carrier *c)
{
	ev_timer_stop(c->loop, &c->close);
	http_client_destroy(c->client);
	link_destroy(c->link);
	c->client = NULL;
	c->link = NULL;
}

/* One that is opening has begun with what is no longer right: it opens, and ends. */
void carrier_retire(struct carrier *c)
{
	c->retired = true;
	if (c->client != NULL && http_client_is_idle(c->client))
		ev_timer_start(c->loop, &c->close);
}

bool carrier_is_opening(const struct carrier *c)
{
	return c->client == NULL;
}

bool carrier_has_room(const struct carrier *c)
{
	return c->client != NULL && !c->ending && !c->retired &&
	       c->client->ops->has_room(c->client);
}

bool carrier_speaks_http1(const struct carrier *c)
{
	return c->client != NULL && c->client->ops->one_at_a_time;
}

int carrier_send(struct carrier *c, struct http_call *call)
{
	int rc = c->client->ops->submit(c->client, call, c->form->fields, c->form->n_fields);
	if (rc == 0)
		(void)flush(c); /* a broken client shows at the next event */
	return rc;
}

void carrier_cancel(struct carrier *c, struct http_call *call, uint64_t reads)
{
	c->client->ops->cancel(c->client, call);
	if (is_over(c) || reads == c->reads) {
		c->ending = true; /* and writes no more of the body that goes back */
		ev_timer_start(c->loop, &c->close);
	} else {
		(void)flush(c);
	}
}

/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 for wire/http_client.h: one request at a time, kept alive. */
#include <stdlib.h>

#include "wire/http1.h"
#include "wire/http_client.h"

enum { HEAD_MAX = 64 << 10 };

struct http1_client {
	struct http_client client;
	struct http1 parser;
	struct buf head;  /* of the request under way */
	size_t head_sent; /* of it; like call->sent, raised when the next pull() shows it is gone */
	size_t given;     /* by the last pull() */
	bool interim;     /* the head just read was a 1xx */
	bool last;        /* this connection takes no further request */
};

static struct http1_client *http1_of(struct http_client *c)
{
	return container_of(c, struct http1_client, client);
}

static struct http_call *under_way(struct http1_client *c)
{
	if (http_client_is_idle(&c->client))
		return NULL;
	return container_of(c->client.calls.next, struct http_call, link);
}

static int on_head(void *ctx, const struct http1_head *head)
{
	struct http1_client *c = ctx;
	struct http_call *call = under_way(c);
	if (call == NULL)
		return 1; /* nobody asked */
	c->interim = head->status < 200;
	if (c->interim)
		return head->status == 101;
	call->response.status = head->status;
	http_response_field(&call->response, slice_str("retry-after"), head->retry_after);
	c->last = c->last || !head->keep_alive;
	return 0;
}

static int on_body(void *ctx, struct slice piece)
{
	struct http1_client *c = ctx;
	struct http_call *call = under_way(c);
	if (call == NULL)
		return 1; /* who asked has stopped waiting, amid the answer */
	if (http_response_body(&call->response, piece) == 0)
		return 0;
	c->last = true;
	http_call_end(&c->client, call, HTTP_TOO_LARGE);
	return 1;
}

static int on_complete(void *ctx)
{
	struct http1_client *c = ctx;
	struct http_call *call = under_way(c);
	if (c->interim || call == NULL)
		return 0;
	if (!http_call_all_sent(call)) /* answered early: the rest would be read as a request */
		c->last = true;
	http_call_end(&c->client, call, HTTP_WHOLE);
	return 0;
}

static const struct http1_events EVENTS = {on_head, on_body, on_complete};

static bool is_for_http2(struct slice name)
{
	return (name.len != 0 && name.data[0] == ':') || slice_is(name, "te");
}

static struct slice field(const struct http_field *fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_is(fields[i].name, name))
			return fields[i].value;
	return slice_of("", 0);
}

/* Values were checked for line ends when the configuration was read. */
static int write_head(struct buf *out, const struct http_field *fields, size_t n, size_t length)
{
	struct slice path = field(fields, n, ":path"), host = field(fields, n, ":authority");
	int full = buf_printf(out, "POST %.*s HTTP/1.1\r\nhost: %.*s\r\n", (int)path.len,
			      (const char *)path.data, (int)host.len, (const char *)host.data);
	for (size_t i = 0; i < n; i++) {
		const struct http_field *f = &fields[i];
		if (is_for_http2(f->name))
			continue;
		full |= buf_append(out, f->name.data, f->name.len);
		full |= buf_append(out, ": ", 2);
		full |= buf_append(out, f->value.data, f->value.len);
		full |= buf_append(out, "\r\n", 2);
	}
	return full | buf_printf(out, "content-length: %zu\r\n\r\n", length);
}

static int on_submit(struct http_client *client, struct http_call *call,
		     const struct http_field *fields, size_t n)
{
	struct http1_client *c = http1_of(client);
	c->head.len = c->head_sent = c->given = 0;
	if (write_head(&c->head, fields, n, call->body[0].len + call->body[1].len) != 0)
		return -1;
	http_call_begin(client, call);
	return 0;
}

static void on_cancel(struct http_client *client, struct http_call *call)
{
	http1_of(client)->last = true; /* its answer may still come */
	list_del(&call->link);
}

static int on_feed(struct http_client *client, struct slice bytes)
{
	struct http1_client *c = http1_of(client);
	int rc = http1_feed(&c->parser, bytes);
	return rc != 0 ? rc : c->last && http_client_is_idle(client) ? -1 : 0;
}

static int on_pull(struct http_client *client, struct slice *out)
{
	struct http1_client *c = http1_of(client);
	struct http_call *call = under_way(c);
	*out = slice_of("", 0);
	if (call == NULL)
		return 0;
	if (c->head_sent < c->head.len)
		c->head_sent += c->given;
	else
		call->sent += c->given;
	if (c->head_sent < c->head.len)
		*out = buf_slice(&c->head);
	else if (call->sent < call->body[0].len)
		*out = call->body[0];
	else if (!http_call_all_sent(call))
		*out = call->body[1];
	c->given = out->len;
	return 0;
}

static bool is_spent(struct http_client *client)
{
	return http1_of(client)->last;
}

static bool has_room(struct http_client *client)
{
	return !is_spent(client) && http_client_is_idle(client);
}

static void on_destroy(struct http_client *client)
{
	struct http1_client *c = http1_of(client);
	http1_finish(&c->parser);
	if (c->head.data != NULL)
		explicit_bzero(c->head.data, c->head.cap); /* it held the configured headers */
	buf_finish(&c->head);
	free(c);
}

static const struct http_client_ops HTTP1_OPS = {
    .one_at_a_time = true,
    .submit = on_submit,
    .cancel = on_cancel,
    .feed = on_feed,
    .pull = on_pull,
    .has_room = has_room,
    .is_spent = is_spent,
    .destroy = on_destroy,
};

struct http_client *http1_client_create(void)
{
	struct http1_client *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	http_client_init(&c->client, &HTTP1_OPS);
	http1_init(&c->parser, true, &EVENTS, c);
	c->head.limit = HEAD_MAX;
	return &c->client;
}

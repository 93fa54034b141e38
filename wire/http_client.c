/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_client.h"

void http_client_init(struct http_client *c, const struct http_client_ops *ops)
{
	c->ops = ops;
	list_init(&c->calls);
	list_init(&c->ended);
}

void http_client_destroy(struct http_client *c)
{
	if (c == NULL)
		return;
	list_for_each_safe(call, next_call, &c->calls) list_del(call);
	list_for_each_safe(ended, next_ended, &c->ended) list_del(ended);
	c->ops->destroy(c);
}

void http_call_begin(struct http_client *c, struct http_call *call)
{
	call->sent = 0;
	http_response_init(&call->response);
	list_add_tail(&c->calls, &call->link);
}

void http_call_end(struct http_client *c, struct http_call *call, enum http_end end)
{
	list_del(&call->link);
	call->response.end = end;
	list_add_tail(&c->ended, &call->link);
}

bool http_call_all_sent(const struct http_call *call)
{
	return call->sent == call->body[0].len + call->body[1].len;
}

struct http_call *http_client_ended(struct http_client *c)
{
	if (list_empty(&c->ended))
		return NULL;
	struct http_call *call = container_of(c->ended.next, struct http_call, link);
	list_del(&call->link);
	return call;
}

bool http_client_is_idle(struct http_client *c)
{
	return list_empty(&c->calls);
}

void http_client_lost(struct http_client *c, const char *reason)
{
	while (!list_empty(&c->calls)) {
		struct http_call *call = container_of(c->calls.next, struct http_call, link);
		call->response.lost = reason;
		c->ops->cancel(c, call);
		list_add_tail(&c->calls, &call->link);
		http_call_end(c, call, HTTP_LOST);
	}
}

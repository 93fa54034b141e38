/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http1.h"

#include <stdlib.h>

static struct http1 *self(http_parser *p)
{
	return p->data;
}

static int append(struct http1 *h, const char *at, size_t len)
{
	if (len > HTTP1_HEADER_BYTES - h->text_len) {
		h->too_large = true;
		return 1;
	}
	memcpy(h->text + h->text_len, at, len);
	h->text_len += (uint32_t)len;
	return 0;
}

static int on_begin(http_parser *p)
{
	struct http1 *h = self(p);
	h->text = malloc(HTTP1_HEADER_BYTES);
	if (h->text == NULL) {
		h->too_large = true;
		return 1;
	}
	h->head = (struct http1_head){.content_length = -1};
	h->text_len = h->fields = h->name_at = h->value_at = 0;
	h->in_value = h->idle = false;
	h->in_head = true;
	h->last = 0;
	return 0;
}

static int on_target(http_parser *p, const char *at, size_t len)
{
	struct http1 *h = self(p);
	int rc = append(h, at, len);
	h->head.target = slice_of(h->text, h->text_len);
	return rc;
}

/* The header under way is whole: keeps it if somebody asks for it. */
static int end_header(struct http1 *h)
{
	struct slice name = slice_of(h->text + h->name_at, h->value_at - h->name_at);
	struct slice value = slice_of(h->text + h->value_at, h->text_len - h->value_at);
	while (value.len != 0 &&
	       (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	h->in_value = false;
	if (memchr(name.data, ' ', name.len) != NULL)
		return 1; /* the parser lets it pass; RFC 9112 section 5.1 does not */
	if (slice_is_nocase(name, "content-type"))
		h->head.content_type = value;
	else if (slice_is_nocase(name, "content-encoding"))
		h->head.content_encoding = value;
	else if (slice_is_nocase(name, "authorization")) {
		h->head.two_authorizations |=
		    h->head.authorization.len != 0 && !slice_equal(h->head.authorization, value);
		h->head.authorization = value;
	} else if (slice_is_nocase(name, "retry-after"))
		h->head.retry_after = value;
	else if (slice_is_nocase(name, "user-agent"))
		h->head.user_agent = value;
	else if (slice_is_nocase(name, "expect"))
		h->head.expect_continue = slice_is_nocase(value, "100-continue");
	else if (slice_is_nocase(name, "transfer-encoding") && !slice_is_nocase(value, "chunked"))
		return 1; /* any other coding leaves the length of the body to guesswork */
	return 0;
}

static int on_name(http_parser *p, const char *at, size_t len)
{
	struct http1 *h = self(p);
	if (!h->in_head)
		return 0; /* trailers of a chunked body: read past them */
	if (h->in_value || h->fields == 0) {
		if (h->in_value && end_header(h) != 0)
			return 1;
		h->name_at = h->value_at = h->text_len;
		if (++h->fields > HTTP1_HEADER_FIELDS) {
			h->too_large = true;
			return 1;
		}
	}
	int rc = append(h, at, len);
	h->value_at = h->text_len;
	return rc;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
	struct http1 *h = self(p);
	if (!h->in_head)
		return 0;
	h->in_value = true;
	return append(h, at, len);
}

/* Pauses only: http1_feed() looks for folded lines before it believes the head. Refuses by -1: to
 * the parser a 1 here means "has no body". */
static int on_head_end(http_parser *p)
{
	struct http1 *h = self(p);
	if (h->in_value && end_header(h) != 0)
		return -1;
	if (p->type == HTTP_REQUEST) {
		if (p->method == HTTP_CONNECT)
			return -1;
		h->head.method = slice_str(http_method_str((enum http_method)p->method));
	}
	h->head.status = p->status_code;
	if (!(p->flags & F_CHUNKED) && p->content_length != UINT64_MAX)
		h->head.content_length = (int64_t)p->content_length;
	h->head.keep_alive = http_should_keep_alive(p) != 0;
	p->upgrade = 0; /* the JDK's client offers h2c with each request (D9) */
	http_parser_pause(p, 1);
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	struct http1 *h = self(p);
	if (h->events->on_body(h->ctx, slice_of(at, len)) == 0)
		return 0;
	h->stopped = true;
	return 1;
}

static int on_end(http_parser *p)
{
	struct http1 *h = self(p);
	int stop = h->events->on_complete(h->ctx);
	free(h->text);
	h->text = NULL;
	h->idle = true;
	h->stopped = stop != 0;
	http_parser_pause(p, 1);
	return stop;
}

static const http_parser_settings SETTINGS = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_end,
};

void http1_init(struct http1 *h, bool responses, const struct http1_events *events, void *ctx)
{
	memset(h, 0, sizeof(*h));
	http_parser_init(&h->parser, responses ? HTTP_RESPONSE : HTTP_REQUEST);
	h->parser.data = h;
	h->events = events;
	h->ctx = ctx;
	h->idle = true;
}

void http1_finish(struct http1 *h)
{
	free(h->text);
	h->text = NULL;
}

/* A line that begins with a blank continues the one before: obs-fold, RFC 9112 section 5.2. */
static bool has_folded_line(struct http1 *h, struct slice head)
{
	for (size_t i = 0; i < head.len; i++) {
		uint8_t c = head.data[i];
		if (h->last == '\n' && (c == ' ' || c == '\t'))
			return true;
		h->last = c;
	}
	return false;
}

/* The parser pauses at the end of each head and of each message, so that what is looked at here is
 * either head or not. */
int http1_feed(struct http1 *h, struct slice bytes)
{
	h->unread = 0;
	for (;;) {
		bool was_head = h->in_head || h->idle;
		size_t n =
		    http_parser_execute(&h->parser, &SETTINGS, (const char *)bytes.data, bytes.len);
		enum http_errno error = HTTP_PARSER_ERRNO(&h->parser);
		if (h->stopped)
			return HTTP1_STOPPED;
		if (h->too_large || error == HPE_HEADER_OVERFLOW)
			return HTTP1_TOO_LARGE;
		if (error != HPE_OK && error != HPE_PAUSED)
			return HTTP1_MALFORMED;
		if (was_head && has_folded_line(h, slice_of(bytes.data, n)))
			return HTTP1_MALFORMED;
		if (error == HPE_OK)
			return 0;
		http_parser_pause(&h->parser, 0);
		if (!h->idle) {
			h->in_head = false;
			if (h->events->on_head(h->ctx, &h->head) != 0)
				return HTTP1_STOPPED;
		}
		bytes = slice_of(bytes.data + n, bytes.len - n);
		h->unread = h->idle && h->one_at_a_time ? bytes.len : 0;
		if (bytes.len == 0 || h->unread != 0)
			return 0;
	}
}

/* SPDX-License-Identifier: Apache-2.0
 * OTLP/HTTP with bodies of protobuf or JSON, over HTTP/1.1 and HTTP/2 (proto-spec "OTLP/HTTP",
 * otlp-wire D and E). */
#include "receivers/receiver.h"

enum call { EXPORT, LOOK };

/* Parameters such as `; charset=utf-8` say nothing: protobuf has none, JSON is always UTF-8. */
static bool type_is(struct slice type, const char *want)
{
	const uint8_t *end = type.len != 0 ? memchr(type.data, ';', type.len) : NULL;
	if (end != NULL)
		type.len = (size_t)(end - type.data);
	while (type.len != 0 && type.data[type.len - 1] == ' ')
		type.len--;
	return slice_is_nocase(type, want);
}

static enum answer on_head(struct batch *b, const struct request_head *head, size_t limit_bytes)
{
	b->is_json = type_is(head->content_type, "application/json"); /* errors are too (D2) */
	if (path_is(head->path, "/healthz")) {
		b->call = LOOK;
		return slice_is(head->method, "GET") || slice_is(head->method, "POST") ? ANSWER_NONE
										       : BAD_METHOD;
	}
	if (!path_is(head->path, "/v1/traces"))
		return BAD_PATH;
	if (!slice_is(head->method, "POST"))
		return BAD_METHOD;
	if (!b->is_json && !type_is(head->content_type, "application/x-protobuf"))
		return BAD_CONTENT_TYPE;
	b->coding = coding_parse(head->content_encoding);
	if (b->coding == CODING_UNKNOWN)
		return UNKNOWN_ENCODING;
	if (head->content_length > (int64_t)limit_bytes)
		return TOO_LARGE;
	/* One allocation for nearly every request; a length alone gets nobody more than this. */
	if (head->content_length > 0 &&
	    buf_reserve(&b->body, head->content_length < 1 << 20 ? (size_t)head->content_length
								 : 1 << 20) != 0)
		return NO_MEMORY;
	return ANSWER_NONE;
}

static enum answer on_body(struct batch *b, struct slice piece, size_t limit_bytes)
{
	if (b->call == LOOK)
		return ANSWER_NONE;
	if (piece.len > limit_bytes - b->body.len)
		return TOO_LARGE;
	return buf_append(&b->body, piece.data, piece.len) == 0 ? ANSWER_NONE : NO_MEMORY;
}

static enum answer on_end(struct batch *b)
{
	return b->call == LOOK ? HEALTHY : ANSWER_NONE;
}

const struct receiver RECEIVER_OTLP_HTTP = {
    .name = "otlp_http",
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

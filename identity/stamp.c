/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/stamp.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "wire/otlp_walk.h"

static const char PREFIX[] = "spanrelay.identity.";

enum { VALUE_STRING = 0x0a, VALUE_BOOL = 0x10 }; /* AnyValue's tags */
enum { NAME_MAX_BYTES = 63 };                    /* of a client, so that lengths are one byte */

/* Resource.attributes: KeyValue{key, AnyValue}; every length is below 128. */
static int put(struct buf *out, const char *word, uint8_t type, const void *value, size_t len)
{
	size_t key = sizeof(PREFIX) - 1 + strlen(word);
	size_t any = type == VALUE_BOOL ? 2 : 2 + len;
	const uint8_t head[] = {0x0a, (uint8_t)(2 + key + 2 + any), 0x0a, (uint8_t)key};
	const uint8_t mid[] = {0x12, (uint8_t)any, type, type == VALUE_BOOL ? 1 : (uint8_t)len};
	int full = buf_append(out, head, sizeof(head)) |
		   buf_append(out, PREFIX, sizeof(PREFIX) - 1) |
		   buf_append(out, word, strlen(word)) | buf_append(out, mid, sizeof(mid));
	if (type == VALUE_BOOL)
		out->data[out->len - 1] = *(const bool *)value;
	else
		full |= buf_append(out, value, len);
	return full;
}

static int put_text(struct buf *out, const char *word, const char *text)
{
	return text == NULL || *text == '\0' ? 0 : put(out, word, VALUE_STRING, text, strlen(text));
}

int stamp_write(struct buf *out, const struct stamp_words *w)
{
	bool verified = w->client != NULL;
	int full = put(out, "verified", VALUE_BOOL, &verified, 1) |
		   put_text(out, "source", w->source) | put_text(out, "client", w->client) |
		   put_text(out, "environment", w->environment) | put_text(out, "role", w->role);
	return full != 0 ? fail(-ENOMEM, "identity: no memory") : 0;
}

/* ---- the request ---- */

static int add(struct stamper *s, struct otlp_change change)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap == 0 ? 16 : 2 * s->cap;
		struct otlp_change *more = reallocarray(s->changes, cap, sizeof(*more));
		if (more == NULL)
			return fail(-ENOMEM, "identity: no memory");
		s->changes = more;
		s->cap = cap;
	}
	s->changes[s->n++] = change;
	return 0;
}

static uint32_t offset(const struct buf *body, const uint8_t *at)
{
	return (uint32_t)(at - body->data);
}

static bool is_ours(struct slice attribute)
{
	struct field f;
	struct slice key = slice_of(NULL, 0);
	while (field_next(&attribute, &f))
		if (field_is(&f, 1))
			key = f.value;
	return key.len >= sizeof(PREFIX) - 1 && memcmp(key.data, PREFIX, sizeof(PREFIX) - 1) == 0;
}

/* Takes attributes with our keys out of a message, in which they have this number. */
static int strip(struct stamper *s, const struct buf *body, struct slice message, uint32_t number,
		 uint64_t *stripped)
{
	struct slice rest = message;
	struct field f;
	int rc = 0;
	while (rc == 0 && field_next(&rest, &f)) {
		if (!field_is(&f, number) || !is_ours(f.value))
			continue;
		++*stripped;
		rc = add(s, (struct otlp_change){.within = offset(body, message.data),
						 .at = offset(body, f.whole.data),
						 .drop = (uint32_t)f.whole.len});
	}
	return rc;
}

static int strip_span(struct stamper *s, const struct buf *body, struct slice span,
		      uint64_t *stripped)
{
	struct slice rest = span;
	struct field f;
	int rc = strip(s, body, span, SPAN_ATTRIBUTES, stripped);
	while (rc == 0 && field_next(&rest, &f)) {
		if (field_is(&f, SPAN_EVENTS))
			rc = strip(s, body, f.value, EVENT_ATTRIBUTES, stripped);
		else if (field_is(&f, SPAN_LINKS))
			rc = strip(s, body, f.value, LINK_ATTRIBUTES, stripped);
	}
	return rc;
}

static int strip_scope(struct stamper *s, const struct buf *body, struct slice scope_spans,
		       uint64_t *stripped)
{
	struct slice rest = scope_spans;
	struct field f;
	int rc = 0;
	while (rc == 0 && field_next(&rest, &f)) {
		if (field_is(&f, SCOPE_SPANS_SPANS))
			rc = strip_span(s, body, f.value, stripped);
		else if (field_is(&f, SCOPE_SPANS_SCOPE))
			rc = strip(s, body, f.value, SCOPE_ATTRIBUTES, stripped);
	}
	return rc;
}

/* At the end of its resource, or in one that is made for it. */
static int stamp_one(struct stamper *s, const struct buf *body, struct slice resource_spans,
		     struct slice attributes, bool forged, uint64_t *stripped)
{
	struct slice rest = resource_spans;
	struct field f;
	bool has_resource = false;
	int rc = 0;
	while (rc == 0 && field_next(&rest, &f)) {
		if (field_is(&f, RESOURCE_SPANS_SCOPE_SPANS) && forged)
			rc = strip_scope(s, body, f.value, stripped);
		if (!field_is(&f, RESOURCE_SPANS_RESOURCE))
			continue;
		has_resource = true;
		rc = strip(s, body, f.value, RESOURCE_ATTRIBUTES, stripped);
		uint32_t within = offset(body, f.value.data);
		if (rc == 0)
			rc = add(s, (struct otlp_change){.within = within,
							 .at = within + (uint32_t)f.value.len,
							 .with = attributes});
	}
	uint32_t within = offset(body, resource_spans.data);
	if (rc == 0 && !has_resource)
		rc = add(s, (struct otlp_change){
				.within = within, .at = within, .with = buf_slice(&s->resource)});
	return rc;
}

static int make_resource(struct stamper *s, struct slice attributes)
{
	uint8_t head[] = {0x0a, (uint8_t)(attributes.len | 0x80), (uint8_t)(attributes.len >> 7)};
	size_t len = sizeof(head);
	if (attributes.len < 0x80) {
		head[1] = (uint8_t)attributes.len;
		len = 2;
	}
	s->resource.len = 0;
	return buf_append(&s->resource, head, len) |
	       buf_append(&s->resource, attributes.data, attributes.len);
}

static int write_changes(struct stamper *s, struct buf *body, size_t limit)
{
	struct buf out = {.limit = limit};
	otlp_changes_sort(s->changes, s->n);
	int rc = otlp_rewrite_plan(&s->plan, buf_slice(body), s->changes, s->n);
	if (rc != 0)
		return rc < 0 ? rc : fail(-EINVAL, "identity: a change stands nowhere");
	if (s->plan.size > limit)
		return STAMP_TOO_LARGE;
	if (s->plan.size > body->len && buf_reserve(body, s->plan.size - body->len) != 0)
		return fail(-ENOMEM, "identity: no memory");
	if (otlp_rewrite_in_place(&s->plan, buf_slice(body), body->data)) {
		body->len = s->plan.size;
		return 0;
	}
	if (buf_reserve(&out, s->plan.size) != 0)
		return fail(-ENOMEM, "identity: no memory");
	otlp_rewrite_write(&s->plan, buf_slice(body), out.data);
	out.len = s->plan.size;
	buf_finish(body);
	*body = out;
	return 0;
}

int stamp_request(struct stamper *s, struct buf *body, struct slice attributes, bool forged,
		  size_t limit, uint64_t *stripped)
{
	struct slice rest = buf_slice(body);
	struct field f;
	s->n = 0;
	int rc = make_resource(s, attributes) == 0 ? 0 : fail(-ENOMEM, "identity: no memory");
	while (rc == 0 && field_next(&rest, &f))
		if (field_is(&f, REQUEST_RESOURCE_SPANS))
			rc = stamp_one(s, body, f.value, attributes, forged, stripped);
	return rc != 0 || s->n == 0 ? rc : write_changes(s, body, limit);
}

void stamper_finish(struct stamper *s)
{
	otlp_rewrite_finish(&s->plan);
	buf_finish(&s->resource);
	free(s->changes);
	*s = (struct stamper){.n = 0};
}

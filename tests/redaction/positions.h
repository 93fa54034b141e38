/* SPDX-License-Identifier: Apache-2.0
 * tests/redaction/positions.h - one text at any place of a request that can hold one. */
#ifndef TESTS_REDACTION_POSITIONS_H
#define TESTS_REDACTION_POSITIONS_H

#include "base/slice.h"
#include "unit/otlp_sample.h"

/* Where. The first five have attributes, which hold values of all forms. */
enum where {
	IN_RESOURCE,
	IN_SCOPE,
	IN_SPAN,
	IN_EVENT,
	IN_LINK,
	IN_ENTITY_URL,
	IN_ENTITY_TYPE,
	IN_ENTITY_ID,
	IN_ENTITY_DESCRIPTION,
	IN_RESOURCE_URL,
	IN_SCOPE_URL,
	IN_SCOPE_NAME,
	IN_SCOPE_VERSION,
	IN_NAME,
	IN_TRACE_STATE,
	IN_EVENT_NAME,
	IN_LINK_STATE,
	IN_STATUS,
	IN_UNKNOWN, /* a field that no version of OTLP has */
	WHERES
};

/* How an attribute holds it. */
enum how {
	AS_STRING,
	AS_BYTES,
	AS_ARRAY,
	AS_KVLIST,
	AS_DEEP, /* a kvlist in an array in a kvlist */
	AS_KEY,
	AS_INNER_KEY, /* of a kvlist */
	AS_INT,
	AS_DOUBLE,
	HOWS
};

static inline void put_slice(struct buf *b, unsigned field, struct slice s)
{
	pb_bytes(b, field, s.data, s.len);
}

static inline void put_pair(struct buf *b, unsigned field, struct slice key, struct buf *value)
{
	struct buf kv = {0};
	put_slice(&kv, 1, key);
	pb_message(&kv, 2, value);
	pb_message(b, field, &kv);
}

static inline void wrap(struct buf *value, unsigned kind, unsigned field)
{
	struct buf list = {0}, outer = {0};
	pb_message(&list, field, value);
	pb_message(&outer, kind, &list);
	*value = outer;
}

static inline void wrap_pair(struct buf *value, struct slice key)
{
	struct buf list = {0}, outer = {0};
	put_pair(&list, 1, key, value);
	pb_message(&outer, 6, &list);
	*value = outer;
}

static inline void put_value(struct buf *value, enum how how, struct slice text)
{
	double number = how == AS_DOUBLE ? strtod((const char *)text.data, NULL) : 0;
	uint64_t bits;
	memcpy(&bits, &number, sizeof(bits));
	switch (how) {
	case AS_BYTES:
		put_slice(value, 7, text);
		break;
	case AS_INT:
		pb_int(value, 3, (uint64_t)strtoll((const char *)text.data, NULL, 10));
		break;
	case AS_DOUBLE:
		pb_fixed64(value, 4, bits);
		break;
	case AS_KEY:
		pb_str(value, 1, "plain");
		break;
	case AS_INNER_KEY:
		pb_str(value, 1, "plain");
		wrap_pair(value, text);
		break;
	default:
		put_slice(value, 1, text);
		break;
	}
	if (how == AS_ARRAY)
		wrap(value, 5, 1);
	if (how == AS_KVLIST || how == AS_DEEP)
		wrap_pair(value, slice_str("inner"));
	if (how == AS_DEEP) {
		wrap(value, 5, 1);
		wrap_pair(value, slice_str("outer"));
	}
}

/* The attributes around it are to stay as they are. */
static inline void put_attributes(struct buf *b, unsigned field, bool here, enum how how,
				  struct slice key, struct slice text)
{
	struct buf value = {0};
	pb_attribute(b, field, "before", "nothing to see");
	if (here) {
		put_value(&value, how, text);
		put_pair(b, field, how == AS_KEY ? text : key, &value);
	}
	pb_attribute(b, field, "after", "nor here");
}

static inline void put_text(struct buf *b, unsigned field, bool here, struct slice text,
			    const char *otherwise)
{
	put_slice(b, field, here ? text : slice_str(otherwise));
}

static inline void put_span(struct buf *scope, enum where at, enum how how, struct slice key,
			    struct slice text)
{
	struct buf span = {0}, event = {0}, link = {0}, status = {0};
	pb_span_fields(&span, 7);
	put_text(&span, 5, at == IN_NAME, text, "a name");
	put_text(&span, 3, at == IN_TRACE_STATE, text, "a=b");
	put_attributes(&span, 9, at == IN_SPAN, how, key, text);
	put_text(&event, 2, at == IN_EVENT_NAME, text, "an event");
	put_attributes(&event, 3, at == IN_EVENT, how, key, text);
	pb_message(&span, 11, &event);
	pb_bytes(&link, 1, "0123456789abcdef", 16);
	pb_bytes(&link, 2, "01234567", 8);
	put_text(&link, 3, at == IN_LINK_STATE, text, "c=d");
	put_attributes(&link, 4, at == IN_LINK, how, key, text);
	pb_message(&span, 13, &link);
	put_text(&status, 2, at == IN_STATUS, text, "fine");
	pb_int(&status, 3, 2);
	pb_message(&span, 15, &status);
	if (at == IN_UNKNOWN)
		put_slice(&span, 77, text);
	pb_message(scope, 2, &span);
}

/* `key` is the attribute's, `text` at its place and nowhere else. */
static inline void put_request(struct buf *b, enum where at, enum how how, struct slice key,
			       struct slice text)
{
	struct buf resource = {0}, ref = {0}, scope = {0}, scope_spans = {0}, all = {0};
	struct buf plain = {0};
	put_attributes(&resource, 1, at == IN_RESOURCE, how, key, text);
	put_text(&ref, 1, at == IN_ENTITY_URL, text, "https://a.example/schema");
	put_text(&ref, 2, at == IN_ENTITY_TYPE, text, "service");
	put_text(&ref, 3, at == IN_ENTITY_ID, text, "before");
	put_text(&ref, 4, at == IN_ENTITY_DESCRIPTION, text, "after");
	pb_message(&resource, 3, &ref);
	pb_message(&all, 1, &resource);
	put_text(&scope, 1, at == IN_SCOPE_NAME, text, "library");
	put_text(&scope, 2, at == IN_SCOPE_VERSION, text, "1.0");
	put_attributes(&scope, 3, at == IN_SCOPE, how, key, text);
	pb_message(&scope_spans, 1, &scope);
	put_span(&scope_spans, at, how, key, text);
	pb_span_fields(&plain, 8);
	pb_message(&scope_spans, 2, &plain);
	put_text(&scope_spans, 3, at == IN_SCOPE_URL, text, "https://b.example/1");
	pb_message(&all, 2, &scope_spans);
	put_text(&all, 3, at == IN_RESOURCE_URL, text, "https://c.example/1");
	pb_message(b, 1, &all);
}

#endif

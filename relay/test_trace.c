/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/test_trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/distance.h"
#include "conf/unit.h"
#include "wire/otlp_walk.h"

/* Field numbers of common/v1/common.proto. */
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { ANY_STRING = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_ARRAY };

enum { MAX_COUNT = 10000, WORD_MAX = 64, MS_IN_NS = 1000000 };

/* Any will do; nothing that is tested looks at the clock. */
#define START_NS UINT64_C(1700000000000000000)

static const char *const KINDS[] = {"unspecified", "internal", "server", "client",
				    "producer",    "consumer", NULL};
static const char *const STATUSES[] = {"unset", "ok", "error", NULL};

static const char SPAN_KEYS[] =
    "name kind service scope root start duration status attributes resource events count";
static const char EVENT_KEYS[] = "name attributes";

/* One trace on its way. */
struct trace {
	struct report *r;
	uint32_t spans;
};

/* ---- protobuf ---- */

static void put(struct trace *t, struct buf *b, const void *bytes, size_t len)
{
	if (buf_append(b, bytes, len) != 0)
		t->r->no_memory = true;
}

static void put_varint(struct trace *t, struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	put(t, b, bytes, n);
}

static void put_int(struct trace *t, struct buf *b, unsigned field, uint64_t v)
{
	put_varint(t, b, field << 3 | WIRE_VARINT);
	put_varint(t, b, v);
}

static void put_fixed64(struct trace *t, struct buf *b, unsigned field, uint64_t v)
{
	uint8_t bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	put_varint(t, b, field << 3 | WIRE_FIXED64);
	put(t, b, bytes, sizeof(bytes));
}

static void put_bytes(struct trace *t, struct buf *b, unsigned field, const void *bytes, size_t len)
{
	put_varint(t, b, field << 3 | WIRE_BYTES);
	put_varint(t, b, len);
	put(t, b, bytes, len);
}

static void put_text(struct trace *t, struct buf *b, unsigned field, const char *text)
{
	put_bytes(t, b, field, text, strlen(text));
}

/* Empties `inner`. */
static void put_message(struct trace *t, struct buf *b, unsigned field, struct buf *inner)
{
	put_bytes(t, b, field, inner->len != 0 ? (const void *)inner->data : "", inner->len);
	buf_finish(inner);
}

/* ---- values ---- */

static bool is_int(const char *text, int64_t *n)
{
	char *end;
	errno = 0;
	*n = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && end != text;
}

static bool is_double(const char *text, double *d)
{
	char *end;
	if (strspn(text, "0123456789+-.eE") != strlen(text))
		return false; /* inf, nan and 0x are words */
	*d = strtod(text, &end);
	return *end == '\0' && end != text;
}

/* As YAML has it: what is plain and looks like a number, true or false, is one. */
static void put_scalar(struct trace *t, struct buf *any, const struct node *n)
{
	int64_t i;
	double d;
	uint64_t bits;
	bool plain = n->quote == QUOTE_NONE;
	if (plain && (strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0)) {
		put_int(t, any, ANY_BOOL, *n->text == 't');
	} else if (plain && is_int(n->text, &i)) {
		put_int(t, any, ANY_INT, (uint64_t)i);
	} else if (plain && is_double(n->text, &d)) {
		memcpy(&bits, &d, sizeof(bits));
		put_fixed64(t, any, ANY_DOUBLE, bits);
	} else {
		put_text(t, any, ANY_STRING, n->text);
	}
}

static void put_any(struct trace *t, struct buf *any, const struct node *n)
{
	struct buf array = {.data = NULL}, element = {.data = NULL};
	if (n->kind == NODE_SCALAR && !n->empty) {
		put_scalar(t, any, n);
		return;
	}
	for (const struct node *e = n->first; n->kind == NODE_LIST && e != NULL; e = e->next) {
		if (e->kind != NODE_SCALAR || e->empty)
			report_fault(t->r, e->at, "wanted a text, a number, true or false");
		else
			put_scalar(t, &element, e);
		put_message(t, &array, 1, &element);
	}
	if (n->kind != NODE_LIST)
		report_fault(t->r, n->at, "%s: wanted a text, a number, true, false or a list",
			     n->key);
	put_message(t, any, ANY_ARRAY, &array);
}

static void put_attribute(struct trace *t, struct buf *b, unsigned field, const char *key,
			  struct buf *any)
{
	struct buf pair = {.data = NULL};
	put_text(t, &pair, KEY_VALUE_KEY, key);
	put_message(t, &pair, KEY_VALUE_VALUE, any);
	put_message(t, b, field, &pair);
}

static void put_attributes(struct trace *t, struct buf *b, unsigned field, const struct node *map)
{
	if (map == NULL || map->bad || map->empty)
		return;
	if (map->kind != NODE_MAP) {
		report_fault(t->r, map->at, "%s: wanted a map of keys and values", map->key);
		return;
	}
	for (const struct node *n = map->first; n != NULL; n = n->next) {
		struct buf any = {.data = NULL};
		if (n->bad)
			continue;
		put_any(t, &any, n);
		put_attribute(t, b, field, n->key, &any);
	}
}

/* ---- what a span says of itself ---- */

/* NULL: not said, or no single value, which is reported. */
static const char *text_of(struct trace *t, const struct node *map, const char *key)
{
	const struct node *n = node_child(map, key);
	if (n == NULL || n->bad)
		return NULL;
	if (n->kind == NODE_SCALAR && !n->empty)
		return n->text;
	report_fault(t->r, n->at, "%s: wanted one value", key);
	return NULL;
}

static uint64_t word_of(struct trace *t, const struct node *span, const char *key,
			const char *const *words)
{
	const char *text = text_of(t, span, key);
	char all[128] = "";
	for (uint64_t i = 0; text != NULL && words[i] != NULL; i++) {
		size_t len = strlen(all);
		if (strcmp(words[i], text) == 0)
			return i;
		snprintf(all + len, sizeof(all) - len, "%s%s", len != 0 ? ", " : "", words[i]);
	}
	if (text != NULL)
		report_fault(t->r, node_child(span, key)->at, "%s: wanted one of %s", key, all);
	return 0;
}

static uint64_t time_of(struct trace *t, const struct node *span, const char *key)
{
	const char *text = text_of(t, span, key);
	uint64_t ms = 0;
	if (text != NULL && (unit_time(text, &ms) != 0 || ms > INT64_MAX / MS_IN_NS / 4)) {
		report_fault(t->r, node_child(span, key)->at,
			     "%s: wanted a whole number and a unit, such as 150ms or 3s", key);
		return 0;
	}
	return ms * MS_IN_NS;
}

static uint64_t count_of(struct trace *t, const struct node *span)
{
	const char *text = text_of(t, span, "count");
	uint64_t n = 1;
	if (text != NULL && (unit_count(text, &n) != 0 || n == 0 || n > MAX_COUNT)) {
		report_fault(t->r, node_child(span, "count")->at, "count: wanted from 1 to %d",
			     MAX_COUNT);
		return 1;
	}
	return n;
}

/* The first span is the root unless it says otherwise. */
static bool is_root(struct trace *t, const struct node *span, bool first)
{
	const char *text = text_of(t, span, "root");
	if (text == NULL)
		return first;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		report_fault(t->r, node_child(span, "root")->at, "root: wanted true or false");
	return *text == 't';
}

static void put_events(struct trace *t, struct buf *b, const struct node *list)
{
	if (list == NULL || list->bad || list->empty)
		return;
	if (list->kind != NODE_LIST)
		report_fault(t->r, list->at, "events: wanted a list, each one a map");
	for (const struct node *n = list->first; list->kind == NODE_LIST && n != NULL;
	     n = n->next) {
		struct buf event = {.data = NULL};
		if (!test_keys_check(n, "tests[].spans[].events[]", EVENT_KEYS, t->r))
			continue;
		const char *name = text_of(t, n, "name");
		put_fixed64(t, &event, EVENT_TIME, START_NS);
		put_text(t, &event, EVENT_NAME, name != NULL ? name : "");
		put_attributes(t, &event, EVENT_ATTRIBUTES, node_child(n, "attributes"));
		put_message(t, b, SPAN_EVENTS, &event);
	}
}

/* All of one trace; span ids count from 1, and the first span is the parent of all others. */
static void put_span(struct trace *t, struct buf *b, const struct node *n, bool root)
{
	static const uint8_t TRACE_ID[16] = "spanrelay--test";
	uint8_t id[8] = {0}, parent[8] = {[7] = 1};
	uint32_t number = ++t->spans;
	uint64_t start = START_NS + time_of(t, n, "start");
	const char *name = text_of(t, n, "name");
	struct buf status = {.data = NULL};
	for (int i = 0; i < 4; i++)
		id[7 - i] = (uint8_t)(number >> (8 * i));
	put_bytes(t, b, SPAN_TRACE_ID, TRACE_ID, sizeof(TRACE_ID));
	put_bytes(t, b, SPAN_SPAN_ID, id, sizeof(id));
	if (!root)
		put_bytes(t, b, SPAN_PARENT_ID, parent, sizeof(parent));
	put_text(t, b, SPAN_NAME, name != NULL ? name : "");
	put_int(t, b, SPAN_KIND, word_of(t, n, "kind", KINDS));
	put_fixed64(t, b, SPAN_START, start);
	put_fixed64(t, b, SPAN_END, start + time_of(t, n, "duration"));
	put_attributes(t, b, SPAN_ATTRIBUTES, node_child(n, "attributes"));
	put_events(t, b, node_child(n, "events"));
	put_int(t, &status, STATUS_CODE, word_of(t, n, "status", STATUSES));
	put_message(t, b, SPAN_STATUS, &status);
}

/* A resource of its own for each: they differ in services. */
static void put_resource_spans(struct trace *t, struct buf *out, const struct node *n, bool root)
{
	struct buf resource = {.data = NULL}, scope = {.data = NULL}, scope_spans = {.data = NULL},
		   span = {.data = NULL}, whole = {.data = NULL}, any = {.data = NULL};
	const char *service = text_of(t, n, "service"), *name = text_of(t, n, "scope");
	if (service != NULL) {
		put_text(t, &any, ANY_STRING, service);
		put_attribute(t, &resource, RESOURCE_ATTRIBUTES, "service.name", &any);
	}
	put_attributes(t, &resource, RESOURCE_ATTRIBUTES, node_child(n, "resource"));
	put_message(t, &whole, RESOURCE_SPANS_RESOURCE, &resource);
	if (name != NULL)
		put_text(t, &scope, SCOPE_NAME, name);
	put_message(t, &scope_spans, SCOPE_SPANS_SCOPE, &scope);
	put_span(t, &span, n, root);
	put_message(t, &scope_spans, SCOPE_SPANS_SPANS, &span);
	put_message(t, &whole, RESOURCE_SPANS_SCOPE_SPANS, &scope_spans);
	put_message(t, out, REQUEST_RESOURCE_SPANS, &whole);
}

/* ---- all of it ---- */

/* Whether `word` is one of `known`; else the nearest of them, which may be none. */
static bool is_known(const char *word, const char *known, char nearest[WORD_MAX])
{
	unsigned best = DISTANCE_WORD_MAX;
	*nearest = '\0';
	while (*known != '\0') {
		char one[WORD_MAX];
		int len = (int)strcspn(known, " ");
		snprintf(one, sizeof(one), "%.*s", len, known);
		known += len + (known[len] == ' ');
		unsigned d = word_distance(word, one);
		if (d == 0 && strcmp(word, one) == 0)
			return true;
		if (d < best && distance_is_near(d, word))
			snprintf(nearest, WORD_MAX, "%s", one);
		best = d < best ? d : best;
	}
	return false;
}

bool test_keys_check(const struct node *map, const char *what, const char *known, struct report *r)
{
	char nearest[WORD_MAX];
	if (map->bad)
		return false;
	if (map->kind != NODE_MAP) {
		report_fault(r, map->at, "%s: wanted a map of keys and values", what);
		return false;
	}
	for (const struct node *n = map->first; n != NULL; n = n->next) {
		if (is_known(n->key, known, nearest))
			continue;
		if (*nearest != '\0')
			report_fault(r, n->key_at,
				     "unknown key \"%.64s\" in %s; did you mean \"%s\"?", n->key,
				     what, nearest);
		else
			report_fault(r, n->key_at, "unknown key \"%.64s\" in %s; known here: %s",
				     n->key, what, known);
	}
	return true;
}

void test_trace_encode(const struct node *spans, struct report *r, struct buf *out)
{
	struct trace t = {.r = r};
	if (spans->kind != NODE_LIST || spans->first == NULL) {
		report_fault(r, spans->at, "tests[].spans: wanted a list, each one a map");
		return;
	}
	for (const struct node *n = spans->first; n != NULL; n = n->next) {
		if (!test_keys_check(n, "tests[].spans[]", SPAN_KEYS, r))
			continue;
		bool root = is_root(&t, n, n == spans->first);
		uint32_t faults = r->faults;
		for (uint64_t i = count_of(&t, n); i > 0 && r->faults == faults; i--)
			put_resource_spans(&t, out, n, root);
	}
}

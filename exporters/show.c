/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/show.h"

#include <inttypes.h>
#include <time.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "wire/protobuf.h"

enum { ARENA_LIMIT = 64 << 20, INDENT = 2, ONE_SECOND_NS = 1000000000 };

typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest Request;
typedef Opentelemetry__Proto__Trace__V1__ResourceSpans ResourceSpans;
typedef Opentelemetry__Proto__Trace__V1__ScopeSpans ScopeSpans;
typedef Opentelemetry__Proto__Trace__V1__Span Span;
typedef Opentelemetry__Proto__Common__V1__KeyValue KeyValue;
typedef Opentelemetry__Proto__Common__V1__AnyValue AnyValue;

static const char *const KINDS[] = {"unspecified", "internal", "server",
				    "client",      "producer", "consumer"};

/* One span of the request, and what is known of its place in the tree. */
struct shown {
	const Span *span;
	const char *service;
	bool printed;
};

struct page {
	struct shown spans[SHOW_SPANS];
	size_t n;
	uint64_t left_out;
	struct buf *out;
	int full;
};

static struct slice bytes_of(ProtobufCBinaryData d)
{
	return slice_of(d.data, d.len);
}

static void put(struct page *p, const char *text)
{
	p->full |= buf_append(p->out, text, strlen(text));
}

/* Control characters, C1 in UTF-8 included, as \xNN; cut off after SHOW_TEXT bytes, between
 * characters. */
static void put_text(struct page *p, const char *text)
{
	size_t i = 0;
	for (; text[i] != '\0' && i < SHOW_TEXT; i++) {
		uint8_t c = (uint8_t)text[i], next = (uint8_t)text[i + 1];
		bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
		if (c1)
			p->full |= buf_printf(p->out, "\\x%02x", text[++i] & 0xff);
		else if (c < 0x20 || c == 0x7f || c == '\\')
			p->full |= buf_printf(p->out, "\\x%02x", c);
		else
			p->full |= buf_append(p->out, &c, 1);
	}
	while (((uint8_t)text[i] & 0xc0) == 0x80) /* the rest of a character that was begun */
		p->full |= buf_append(p->out, &text[i++], 1);
	if (text[i] != '\0')
		put(p, "...");
}

static void put_hex(struct page *p, struct slice id)
{
	for (size_t i = 0; i < id.len; i++)
		p->full |= buf_printf(p->out, "%02x", id.data[i]);
}

static void put_value(struct page *p, const AnyValue *v)
{
	switch (v != NULL ? v->value_case
			  : OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE__NOT_SET) {
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE:
		put_text(p, v->string_value);
		break;
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_BOOL_VALUE:
		put(p, v->bool_value ? "true" : "false");
		break;
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE:
		p->full |= buf_printf(p->out, "%" PRId64, v->int_value);
		break;
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_DOUBLE_VALUE:
		p->full |= buf_printf(p->out, "%g", v->double_value);
		break;
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_ARRAY_VALUE:
		p->full |= buf_printf(p->out, "[%zu values]", v->array_value->n_values);
		break;
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_KVLIST_VALUE:
		p->full |= buf_printf(p->out, "{%zu values}", v->kvlist_value->n_values);
		break;
	case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_BYTES_VALUE:
		p->full |= buf_printf(p->out, "(%zu bytes)", v->bytes_value.len);
		break;
	default:
		break;
	}
}

static void put_attributes(struct page *p, const Span *span)
{
	size_t n = span->n_attributes < SHOW_ATTRIBUTES ? span->n_attributes : SHOW_ATTRIBUTES;
	for (size_t i = 0; i < n; i++) {
		const KeyValue *kv = span->attributes[i];
		put(p, " ");
		put_text(p, kv->key);
		put(p, "=");
		put_value(p, kv->value);
	}
	if (n < span->n_attributes)
		p->full |= buf_printf(p->out, " +%zu", span->n_attributes - n);
}

/* Clocks step, and spans may have no end: a time that went backwards is no duration. */
static void put_duration(struct page *p, const Span *span)
{
	if (span->end_time_unix_nano < span->start_time_unix_nano)
		put(p, "-");
	else
		p->full |= buf_printf(
		    p->out, "%.3f ms",
		    (double)(span->end_time_unix_nano - span->start_time_unix_nano) / 1e6);
}

static void put_start(struct page *p, uint64_t unix_ns)
{
	time_t s = (time_t)(unix_ns / ONE_SECOND_NS);
	struct tm tm;
	char text[32];
	if (gmtime_r(&s, &tm) == NULL || strftime(text, sizeof(text), "%FT%T", &tm) == 0)
		return;
	unsigned ms = (unsigned)(unix_ns % ONE_SECOND_NS / 1000000);
	p->full |= buf_printf(p->out, "%s.%03uZ", text, ms);
}

static void put_status(struct page *p, const Span *span)
{
	if (span->status == NULL || span->status->code == 0)
		return;
	put(p, span->status->code == 2 ? "  ERROR" : "  OK");
	if (*span->status->message != '\0') {
		put(p, " ");
		put_text(p, span->status->message);
	}
}

static void put_span(struct page *p, const struct shown *s, size_t depth)
{
	const Span *span = s->span;
	p->full |= buf_printf(p->out, "%*s", (int)(depth * INDENT), "");
	put_text(p, *s->service != '\0' ? s->service : "unknown_service");
	put(p, ": ");
	put_text(p, span->name);
	p->full |= buf_printf(p->out, "  %s  ",
			      (unsigned)span->kind < 6 ? KINDS[span->kind] : "unknown kind");
	put_duration(p, span);
	put_status(p, span);
	put(p, "  ");
	put_start(p, span->start_time_unix_nano);
	put_attributes(p, span);
	put(p, "\n");
}

static bool same_trace(const Span *a, const Span *b)
{
	return slice_equal(bytes_of(a->trace_id), bytes_of(b->trace_id));
}

static bool is_child(const Span *child, const Span *parent)
{
	return child->parent_span_id.len != 0 && same_trace(child, parent) &&
	       slice_equal(bytes_of(child->parent_span_id), bytes_of(parent->span_id));
}

/* Prints the span and those below it, deepest first. A span goes on the stack once, so a loop of
 * parents ends. */
static void put_tree(struct page *p, size_t root)
{
	struct {
		size_t span, depth;
	} stack[SHOW_SPANS];
	size_t n = 0;
	stack[n].span = root;
	stack[n++].depth = 1;
	p->spans[root].printed = true;
	while (n > 0) {
		n--;
		size_t at = stack[n].span, depth = stack[n].depth;
		put_span(p, &p->spans[at], depth);
		for (size_t i = p->n; i-- > 0;) { /* backwards, so that they come off in order */
			if (p->spans[i].printed || !is_child(p->spans[i].span, p->spans[at].span))
				continue;
			p->spans[i].printed = true;
			stack[n].span = i;
			stack[n++].depth = depth + 1;
		}
	}
}

static bool has_parent_here(const struct page *p, size_t at)
{
	for (size_t i = 0; i < p->n; i++)
		if (i != at && is_child(p->spans[at].span, p->spans[i].span))
			return true;
	return false;
}

/* First the trees that have a root here, then what hangs in a loop. */
static void put_trace(struct page *p, const Span *of)
{
	put(p, "trace ");
	put_hex(p, bytes_of(of->trace_id));
	put(p, "\n");
	for (int loops = 0; loops < 2; loops++)
		for (size_t i = 0; i < p->n; i++)
			if (!p->spans[i].printed && same_trace(p->spans[i].span, of) &&
			    (loops || !has_parent_here(p, i)))
				put_tree(p, i);
}

static const char *service_of(const ResourceSpans *rs)
{
	for (size_t i = 0; rs->resource != NULL && i < rs->resource->n_attributes; i++) {
		const KeyValue *kv = rs->resource->attributes[i];
		if (strcmp(kv->key, "service.name") == 0 && kv->value != NULL &&
		    kv->value->value_case ==
			OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE)
			return kv->value->string_value;
	}
	return "";
}

static void collect(struct page *p, const Request *r)
{
	for (size_t i = 0; i < r->n_resource_spans; i++) {
		const ResourceSpans *rs = r->resource_spans[i];
		const char *service = service_of(rs);
		for (size_t j = 0; j < rs->n_scope_spans; j++) {
			const ScopeSpans *ss = rs->scope_spans[j];
			size_t room = SHOW_SPANS - p->n;
			size_t n = ss->n_spans < room ? ss->n_spans : room;
			for (size_t k = 0; k < n; k++)
				p->spans[p->n++] = (struct shown){ss->spans[k], service, false};
			p->left_out += ss->n_spans - n;
		}
	}
}

int show_request(struct slice request, struct buf *out)
{
	struct arena arena;
	arena_init(&arena, ARENA_LIMIT);
	ProtobufCAllocator allocator = protobuf_arena(&arena);
	const Request *r =
	    opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
		&allocator, request.len, request.data);
	struct page p = {.out = out};
	if (r != NULL)
		collect(&p, r);
	else
		put(&p, "a request too large to show\n");
	for (size_t i = 0; i < p.n; i++)
		if (!p.spans[i].printed)
			put_trace(&p, p.spans[i].span);
	if (p.left_out != 0)
		p.full |= buf_printf(out, "... and %" PRIu64 " more spans\n", p.left_out);
	arena_finish(&arena);
	return p.full;
}

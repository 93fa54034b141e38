/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/sample.h"

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

/* protobuf-c's names are long; these are the messages that a trace is made of. */
typedef Opentelemetry__Proto__Common__V1__KeyValue KeyValue;
typedef Opentelemetry__Proto__Common__V1__AnyValue AnyValue;
typedef Opentelemetry__Proto__Common__V1__InstrumentationScope Scope;
typedef Opentelemetry__Proto__Resource__V1__Resource Resource;
typedef Opentelemetry__Proto__Trace__V1__Span Span;
typedef Opentelemetry__Proto__Trace__V1__ScopeSpans ScopeSpans;
typedef Opentelemetry__Proto__Trace__V1__ResourceSpans ResourceSpans;
typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest Request;

enum { SERVICES = 2, ATTRIBUTES = 6, NO_PARENT = -1 };
enum {
	SERVER = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__SPAN_KIND__SPAN_KIND_SERVER,
	CLIENT = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__SPAN_KIND__SPAN_KIND_CLIENT
};

struct attribute {
	const char *key, *text; /* text NULL: the number */
	int64_t number;
};

static const char *const SERVICE_NAMES[SERVICES] = {"edge", "checkout"};

/* Names by the semantic conventions 1.37 for HTTP and databases. */
static const struct {
	unsigned service;
	int parent;
	int kind;
	const char *name;
	uint32_t start_us, end_us; /* after the root's start */
	struct attribute attributes[ATTRIBUTES];
} SPANS[SAMPLE_SPANS] = {
    {0,
     NO_PARENT,
     SERVER,
     "POST /checkout/{cart}",
     0,
     48200,
     {{"http.request.method", "POST", 0},
      {"url.path", "/checkout/81c3", 0},
      {"http.route", "/checkout/{cart}", 0},
      {"http.response.status_code", NULL, 201},
      {"client.address", "203.0.113.7", 0},
      {"user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)", 0}}},
    {0,
     0,
     CLIENT,
     "POST",
     1100,
     47400,
     {{"http.request.method", "POST", 0},
      {"server.address", "checkout.internal", 0},
      {"server.port", NULL, 8080},
      {"http.response.status_code", NULL, 201}}},
    {1,
     1,
     SERVER,
     "POST /checkout/{cart}",
     2000,
     46100,
     {{"http.request.method", "POST", 0},
      {"http.route", "/checkout/{cart}", 0},
      {"http.response.status_code", NULL, 201}}},
    {1,
     2,
     CLIENT,
     "INSERT orders",
     20300,
     41900,
     {{"db.system.name", "postgresql", 0},
      {"db.operation.name", "INSERT", 0},
      {"db.collection.name", "orders", 0},
      {"db.query.text", "INSERT INTO orders (cart, total) VALUES ($1, $2)", 0}}},
};

/* Everything that the request points at, in one piece. */
struct sample {
	struct {
		AnyValue value;
		KeyValue pair;
	} storage[SAMPLE_SPANS + SERVICES][ATTRIBUTES];
	KeyValue *attributes[SAMPLE_SPANS + SERVICES][ATTRIBUTES];
	uint8_t ids[SAMPLE_SPANS][8];
	Span spans[SAMPLE_SPANS], *span_list[SERVICES][SAMPLE_SPANS];
	Scope scope;
	ScopeSpans scope_spans[SERVICES], *scope_list[SERVICES];
	Resource resources[SERVICES];
	ResourceSpans resource_spans[SERVICES], *resource_list[SERVICES];
	Request request;
};

/* protobuf-c's structs want char *, and only read. */
static char *unconst(const char *text)
{
	return (char *)(uintptr_t)text;
}

static size_t fill_attributes(struct sample *s, unsigned row, const struct attribute *from)
{
	size_t n = 0;
	for (; n < ATTRIBUTES && from[n].key != NULL; n++) {
		AnyValue *value = &s->storage[row][n].value;
		KeyValue *pair = &s->storage[row][n].pair;
		opentelemetry__proto__common__v1__any_value__init(value);
		opentelemetry__proto__common__v1__key_value__init(pair);
		if (from[n].text != NULL) {
			value->value_case =
			    OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
			value->string_value = unconst(from[n].text);
		} else {
			value->value_case =
			    OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE;
			value->int_value = from[n].number;
		}
		pair->key = unconst(from[n].key);
		pair->value = value;
		s->attributes[row][n] = pair;
	}
	return n;
}

static void fill_span(struct sample *s, unsigned i, uint8_t *trace_id, uint64_t start_unix_ns)
{
	Span *span = &s->spans[i];
	opentelemetry__proto__trace__v1__span__init(span);
	memcpy(s->ids[i], trace_id + 8, 8);
	s->ids[i][7] ^= (uint8_t)(i + 1); /* so that no two are equal */
	s->ids[i][0] |= 1;                /* and none is all zeros */
	span->trace_id = (ProtobufCBinaryData){SAMPLE_TRACE_ID, trace_id};
	span->span_id = (ProtobufCBinaryData){8, s->ids[i]};
	if (SPANS[i].parent != NO_PARENT)
		span->parent_span_id = (ProtobufCBinaryData){8, s->ids[SPANS[i].parent]};
	span->name = unconst(SPANS[i].name);
	span->kind = (Opentelemetry__Proto__Trace__V1__Span__SpanKind)SPANS[i].kind;
	span->start_time_unix_nano = start_unix_ns + SPANS[i].start_us * UINT64_C(1000);
	span->end_time_unix_nano = start_unix_ns + SPANS[i].end_us * UINT64_C(1000);
	span->n_attributes = fill_attributes(s, i, SPANS[i].attributes);
	span->attributes = s->attributes[i];
	span->flags = 0x101; /* sampled; and whether the parent is remote is known: it is not */
	ScopeSpans *of = &s->scope_spans[SPANS[i].service];
	of->spans[of->n_spans++] = span;
}

static void fill_service(struct sample *s, unsigned i)
{
	const struct attribute named[ATTRIBUTES] = {{"service.name", SERVICE_NAMES[i], 0},
						    {"service.version", "1.8.2", 0},
						    {"deployment.environment.name", "sample", 0}};
	unsigned row = SAMPLE_SPANS + i;
	opentelemetry__proto__trace__v1__scope_spans__init(&s->scope_spans[i]);
	s->scope_spans[i].scope = &s->scope;
	s->scope_spans[i].spans = s->span_list[i];
	s->scope_list[i] = &s->scope_spans[i];
	opentelemetry__proto__resource__v1__resource__init(&s->resources[i]);
	s->resources[i].n_attributes = fill_attributes(s, row, named);
	s->resources[i].attributes = s->attributes[row];
	opentelemetry__proto__trace__v1__resource_spans__init(&s->resource_spans[i]);
	s->resource_spans[i].resource = &s->resources[i];
	s->resource_spans[i].n_scope_spans = 1;
	s->resource_spans[i].scope_spans = &s->scope_list[i];
	s->resource_list[i] = &s->resource_spans[i];
}

int sample_write(struct buf *out, const uint8_t trace_id[SAMPLE_TRACE_ID], uint64_t now_unix_ns)
{
	struct sample s;
	uint8_t id[SAMPLE_TRACE_ID];
	uint64_t start_unix_ns = now_unix_ns - SPANS[0].end_us * UINT64_C(1000);
	memcpy(id, trace_id, sizeof(id));
	opentelemetry__proto__common__v1__instrumentation_scope__init(&s.scope);
	s.scope.name = unconst("spanrelay send");
	s.scope.version = unconst(SPANRELAY_VERSION);
	for (unsigned i = 0; i < SERVICES; i++)
		fill_service(&s, i);
	for (unsigned i = 0; i < SAMPLE_SPANS; i++)
		fill_span(&s, i, id, start_unix_ns);
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__init(&s.request);
	s.request.n_resource_spans = SERVICES;
	s.request.resource_spans = s.resource_list;
	size_t len =
	    opentelemetry__proto__collector__trace__v1__export_trace_service_request__get_packed_size(
		&s.request);
	if (buf_reserve(out, len) != 0)
		return BUF_FULL;
	out->len += opentelemetry__proto__collector__trace__v1__export_trace_service_request__pack(
	    &s.request, out->data + out->len);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * The index against protobuf-c: what the index passes, protobuf-c decodes to as many spans, whose
 * ids and strings are what OTLP wants; what it mends needs no mending again; what it calls
 * malformed, protobuf-c refuses too, but for what is listed below. */
#include <stdlib.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "wire/otlp_index.h"
#include "wire/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define Request Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define Spans   Opentelemetry__Proto__Trace__V1__ScopeSpans
#define request_unpack                                                                             \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define request_free                                                                               \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked

static void want(int condition)
{
	if (!condition)
		abort();
}

static uint32_t check_spans(const Spans *s)
{
	for (size_t i = 0; i < s->n_spans; i++) {
		want(s->spans[i]->trace_id.len == 16 && s->spans[i]->span_id.len == 8);
		want(utf8_is_valid(slice_str(s->spans[i]->name)));
		for (size_t k = 0; k < s->spans[i]->n_attributes; k++)
			want(utf8_is_valid(slice_str(s->spans[i]->attributes[k]->key)));
	}
	return (uint32_t)s->n_spans;
}

static void check_accepted(const struct otlp_index *ix, struct slice request)
{
	uint8_t *bytes = malloc(ix->edited_size + 1);
	otlp_edit(ix, request, bytes);
	Request *r = request_unpack(NULL, ix->edited_size, bytes);
	want(r != NULL);
	uint32_t spans = 0;
	for (size_t i = 0; i < r->n_resource_spans; i++)
		for (size_t k = 0; k < r->resource_spans[i]->n_scope_spans; k++)
			spans += check_spans(r->resource_spans[i]->scope_spans[k]);
	want(spans == ix->spans);
	request_free(r, NULL);

	struct otlp_index again;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	want(otlp_index(&again, slice_of(bytes, ix->edited_size), &INDEX_LIMITS, &arena) ==
	     INDEX_OK);
	want(again.spans == ix->spans && again.rejected == 0 && again.repaired == 0);
	arena_finish(&arena);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice request = slice_of(data, size);
	struct otlp_index ix;
	struct arena arena;
	if (size > 8192) /* so that protobuf-c's recursion fits the stack whatever the nesting */
		return 0;
	arena_init(&arena, 1 << 20);
	if (otlp_index(&ix, request, &INDEX_LIMITS, &arena) == INDEX_OK)
		check_accepted(&ix, request);
	arena_finish(&arena);
	return 0;
}

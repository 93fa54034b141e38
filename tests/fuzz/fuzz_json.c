/* SPDX-License-Identifier: Apache-2.0
 * JSON in: whatever the text, the protobuf made of it fits the bound and is malformed neither for
 * the index nor for protobuf-c; an accepted text with a bracket more or less is accepted no more;
 * and jansson takes for JSON what we take for it, but for what is listed below. */
#include <stdlib.h>

#include <jansson.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "wire/otlp_json.h"
#include "wire/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define Request Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define request_unpack                                                                             \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define request_free                                                                               \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked

static void want(int condition)
{
	if (!condition)
		abort();
}

static enum index_verdict convert(struct slice text, struct buf *out, const char **why)
{
	buf_finish(out);
	enum index_verdict v = otlp_json(text, out, why);
	want((v == INDEX_OK) == (*why == NULL));
	want(v == INDEX_OK || v == INDEX_MALFORMED || v == INDEX_DEPTH);
	want(out->len <= otlp_json_bound(text.len) && out->cap <= otlp_json_bound(text.len));
	return v;
}

static void check_protobuf(struct slice protobuf)
{
	struct arena arena;
	struct otlp_index ix;
	arena_init(&arena, 1 << 20);
	want(otlp_index(&ix, protobuf, &INDEX_LIMITS, &arena) != INDEX_MALFORMED);
	arena_finish(&arena);
	Request *r = request_unpack(NULL, protobuf.len, protobuf.data);
	want(r != NULL);
	request_free(r, NULL);
}

/* What jansson cannot hold, or takes for broken: numbers too large, half surrogates, NUL in keys,
 * no UTF-8. */
static int jansson_agrees(struct slice text)
{
	json_error_t error;
	json_t *j = json_loadb((const char *)text.data, text.len, JSON_ALLOW_NUL, &error);
	int code = j != NULL ? -1 : (int)json_error_code(&error);
	json_decref(j);
	return code == -1 || code == json_error_numeric_overflow ||
	       code == json_error_invalid_utf8 || code == json_error_null_byte_in_key ||
	       memmem(text.data, text.len, "\\u", 2) != NULL || !utf8_is_valid(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct buf out = {0}, again = {0};
	const char *why;
	enum index_verdict v = convert(text, &out, &why);
	json_error_t error;
	if (v == INDEX_OK) {
		check_protobuf(buf_slice(&out));
		want(jansson_agrees(text));
		uint8_t *longer = malloc(size + 1);
		memcpy(longer, data, size);
		longer[size] = ']';
		want(convert(slice_of(longer, size + 1), &again, &why) == INDEX_MALFORMED);
		longer[size] = ' ';
		want(convert(slice_of(longer, size + 1), &again, &why) == INDEX_OK);
		want(slice_equal(buf_slice(&out), buf_slice(&again)));
		while (size > 0 && longer[size - 1] != '}')
			size--;
		want(convert(slice_of(longer, size - 1), &again, &why) == INDEX_MALFORMED);
		free(longer);
	} else if (v == INDEX_MALFORMED && strcmp(why, "not valid JSON") == 0 &&
		   memchr(data, 0, size) == NULL) { /* jansson reads past a NUL behind a number */
		json_t *j = json_loadb((const char *)data, size, 0, &error);
		want(j == NULL || !json_is_object(j));
		json_decref(j);
	}
	buf_finish(&out);
	buf_finish(&again);
	return 0;
}

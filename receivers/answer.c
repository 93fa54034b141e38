/* SPDX-License-Identifier: Apache-2.0
 * What clients are told. The codes decide whether a client keeps its spans (B9, D5): what may pass
 * is UNAVAILABLE or 503 with a delay, what will not is final. Never OK for a span that was thrown
 * away. */
#include "receivers/receiver.h"

#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

enum { RETRY_S = 1 }; /* beyond a client's own deadline of 10 s a delay means "drop" (B7) */

static const struct words {
	unsigned http;
	int grpc;
	enum metric metric;
	bool retry;
	const char *text;
} WORDS[ANSWERS] = {
    [ANSWER_NONE] = {500, GRPC_INTERNAL, METRIC_COUNT, false, "internal error"},
    [ACCEPTED] = {200, GRPC_OK, METRIC_COUNT, false, ""},
    [HEALTHY] = {200, GRPC_OK, METRIC_COUNT, false, ""},
    [UNKNOWN_SERVICE] = {404, GRPC_NOT_FOUND, METRIC_COUNT, false, "unknown service"},
    [MALFORMED] = {400, GRPC_INVALID_ARGUMENT, METRIC_REFUSED_MALFORMED, false,
		   "malformed request"},
    [OVER_LIMIT] = {400, GRPC_INVALID_ARGUMENT, METRIC_REFUSED_LIMIT, false, "over a limit"},
    [TOO_LARGE] = {413, GRPC_RESOURCE_EXHAUSTED, METRIC_REFUSED_TOO_LARGE, false,
		   "the request is larger than limits.request"},
    [UNKNOWN_ENCODING] = {415, GRPC_UNIMPLEMENTED, METRIC_REFUSED_ENCODING, false,
			  "unknown compression"},
    [CORRUPT_ENCODING] = {400, GRPC_INTERNAL, METRIC_REFUSED_ENCODING, false,
			  "the compressed body is corrupt"},
    [BAD_CONTENT_TYPE] = {415, GRPC_UNKNOWN, METRIC_REFUSED_CONTENT_TYPE, false,
			  "unsupported content type"},
    [BAD_METHOD] = {405, GRPC_UNKNOWN, METRIC_REFUSED_METHOD, false, "use POST"},
    [BAD_PATH] = {404, GRPC_UNIMPLEMENTED, METRIC_REFUSED_PATH, false,
		  "only /v1/traces is served here"},
    [BAD_FRAMING] = {400, GRPC_INTERNAL, METRIC_REFUSED_FRAMING, false, "broken message framing"},
    [BAD_CARDINALITY] = {400, GRPC_UNIMPLEMENTED, METRIC_REFUSED_FRAMING, false,
			 "Export takes exactly one message"},
    [BAD_TIMEOUT] = {400, GRPC_INTERNAL, METRIC_REFUSED_FRAMING, false, "malformed grpc-timeout"},
    [NO_MEMORY] = {503, GRPC_UNAVAILABLE, METRIC_REFUSED_MEMORY, true,
		   "the relay is at its memory limit"},
    [JOURNAL_FULL] = {503, GRPC_UNAVAILABLE, METRIC_REFUSED_JOURNAL_FULL, true,
		      "the journal is full"},
    [JOURNAL_ERROR] = {503, GRPC_UNAVAILABLE, METRIC_REFUSED_JOURNAL_ERROR, true,
		       "the journal cannot be written"},
    [SHUTTING_DOWN] = {503, GRPC_UNAVAILABLE, METRIC_REFUSED_SHUTDOWN, true,
		       "the relay is shutting down"},
};

enum metric answer_metric(enum answer a)
{
	return WORDS[a].metric;
}

const char *answer_text(const struct batch *b)
{
	return b->why != NULL ? b->why : WORDS[b->answer].text;
}

#define Reply        Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse
#define reply_init   opentelemetry__proto__collector__trace__v1__export_trace_service_response__init
#define reply_pack   opentelemetry__proto__collector__trace__v1__export_trace_service_response__pack
#define Partial      Opentelemetry__Proto__Collector__Trace__V1__ExportTracePartialSuccess
#define partial_init opentelemetry__proto__collector__trace__v1__export_trace_partial_success__init

enum { REPLY_MAX = 256 }; /* one number and one of our own sentences */

static const char *rejection(const struct batch *b)
{
	return b->why != NULL ? b->why : INDEX_REASONS[b->index.why];
}

static void pack_partial_success(const struct batch *b, struct buf *out)
{
	char text[128];
	snprintf(text, sizeof(text), "%s", rejection(b));
	Partial partial;
	partial_init(&partial);
	partial.rejected_spans = b->index.rejected;
	partial.error_message = text;
	Reply reply;
	reply_init(&reply);
	reply.partial_success = &partial;
	if (buf_reserve(out, REPLY_MAX) == 0)
		out->len += reply_pack(&reply, out->data + out->len);
}

static void pack_status(int code, const char *message, struct buf *out)
{
	char text[200];
	snprintf(text, sizeof(text), "%s", message);
	Google__Rpc__Status s;
	google__rpc__status__init(&s);
	s.code = code;
	s.message = text;
	if (buf_reserve(out, REPLY_MAX) == 0)
		out->len += google__rpc__status__pack(&s, out->data + out->len);
}

/* The body of a gRPC answer is one message: 5 bytes of framing, then mostly nothing (B4). */
static void grpc_body(const struct batch *b, struct buf *out)
{
	static const uint8_t SERVING[] = {0x08, 0x01}; /* HealthCheckResponse{status = SERVING} */
	buf_append(out, "\0\0\0\0\0", GRPC_PREFIX);
	if (out->len != GRPC_PREFIX)
		return;
	if (b->answer == HEALTHY)
		buf_append(out, SERVING, sizeof(SERVING));
	else if (b->index.rejected != 0)
		pack_partial_success(b, out);
	out->data[3] = (uint8_t)((out->len - GRPC_PREFIX) >> 8);
	out->data[4] = (uint8_t)(out->len - GRPC_PREFIX);
}

static void grpc_words(const struct batch *b, const struct words *w, const char *text,
		       struct response *r, struct buf *scratch)
{
	r->content_type = "application/grpc";
	if (w->http == 415 &&
	    b->answer == BAD_CONTENT_TYPE) { /* not gRPC at all: plain HTTP (C4, C5) */
		r->grpc_status = -1;
		return;
	}
	if (b->answer == BAD_METHOD) {
		r->grpc_status = -1;
		return;
	}
	r->status = 200;
	r->grpc_status = w->grpc;
	r->grpc_message = text;
	r->accept_encoding = b->answer == UNKNOWN_ENCODING ? "identity,gzip,zstd" : NULL;
	if (w->grpc == GRPC_OK)
		grpc_body(b, scratch);
}

static void protobuf_body(const struct batch *b, const struct words *w, const char *text,
			  struct buf *out)
{
	if (w->http != 200)
		pack_status(w->grpc, text, out);
	else if (b->index.rejected != 0)
		pack_partial_success(b, out);
}

/* Nothing in our sentences needs an escape in JSON; a test sees to that. */
static void json_body(const struct batch *b, const struct words *w, const char *text,
		      struct buf *out)
{
	if (w->http != 200)
		buf_printf(out, "{\"code\":%d,\"message\":\"%s\"}", w->grpc, text);
	else if (b->index.rejected != 0)
		buf_printf(
		    out, "{\"partialSuccess\":{\"rejectedSpans\":\"%u\",\"errorMessage\":\"%s\"}}",
		    b->index.rejected, rejection(b));
	else
		buf_append(out, "{}", 2);
}

static void http_words(const struct batch *b, const struct words *w, const char *text,
		       struct response *r, struct buf *scratch)
{
	r->grpc_status = -1;
	r->content_type = b->is_json ? "application/json" : "application/x-protobuf";
	r->accept_encoding = w->http == 415 ? "gzip, deflate, zstd" : NULL;
	if (b->answer == HEALTHY) {
		r->content_type = "text/plain";
		buf_append(scratch, "ok\n", 3);
	} else if (b->is_json) {
		json_body(b, w, text, scratch);
	} else {
		protobuf_body(b, w, text, scratch);
	}
}

void answer_words(const struct batch *b, struct response *r, struct buf *scratch)
{
	const struct words *w = &WORDS[b->answer];
	const char *text = answer_text(b);
	*r = (struct response){.status = w->http, .retry_after_s = w->retry ? RETRY_S : 0};
	scratch->len = 0;
	if (b->answer == BAD_METHOD)
		r->allow = "POST";
	if (b->receiver->grpc)
		grpc_words(b, w, text, r, scratch);
	else
		http_words(b, w, text, r, scratch);
	r->body = buf_slice(scratch);
}

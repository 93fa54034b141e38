/* SPDX-License-Identifier: Apache-2.0
 * OTLP/gRPC (proto-spec "OTLP/gRPC", otlp-wire B and C) and grpc.health.v1. */
#include "receivers/receiver.h"

enum call { EXPORT, HEALTH_CHECK };

static bool has_grpc_type(struct slice type)
{
	return type.len >= 16 && slice_is_nocase(slice_of(type.data, 16), "application/grpc") &&
	       (type.len == 16 || type.data[16] == '+' || type.data[16] == ';');
}

static enum answer on_head(struct batch *b, const struct request_head *head, size_t limit_bytes)
{
	static const char PACKAGE[] = "/opentelemetry.proto.collector.trace.v1.TraceService/";
	if (!slice_is(head->method, "POST"))
		return BAD_METHOD;
	if (!has_grpc_type(head->content_type))
		return BAD_CONTENT_TYPE;
	if (head->grpc_timeout.len != 0 && grpc_timeout_ms(head->grpc_timeout) == 0)
		return BAD_TIMEOUT;
	if (slice_is(head->path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export")) {
		b->call = EXPORT;
	} else if (slice_is(head->path, "/grpc.health.v1.Health/Check")) {
		b->call = HEALTH_CHECK;
	} else {
		size_t len = sizeof(PACKAGE) - 1;
		bool ours = head->path.len >= len && memcmp(head->path.data, PACKAGE, len) == 0;
		b->why = ours ? "unknown method" : "unknown service";
		return BAD_PATH;
	}
	b->coding = coding_parse(head->grpc_encoding);
	if (head->content_length > (int64_t)limit_bytes + GRPC_PREFIX)
		return TOO_LARGE;
	return ANSWER_NONE;
}

static enum answer on_body(struct batch *b, struct slice piece, size_t limit_bytes)
{
	switch (grpc_framing_feed(&b->framing, piece, limit_bytes, &b->body)) {
	case 0:
		return ANSWER_NONE;
	case GRPC_FRAMING_BAD:
		return BAD_FRAMING;
	case GRPC_FRAMING_SECOND:
		return BAD_CARDINALITY;
	default:
		return TOO_LARGE;
	}
}

/* HealthCheckRequest{service=1}: the whole relay or its one service serve; nothing else is here. */
static enum answer health(const struct batch *b)
{
	static const char SERVICE[] = "opentelemetry.proto.collector.trace.v1.TraceService";
	struct slice body = buf_slice(&b->body);
	if (body.len >= 2 && body.data[0] == 0x0a && body.data[1] == body.len - 2)
		body = slice_of(body.data + 2, body.len - 2);
	return body.len == 0 || slice_is(body, SERVICE) ? HEALTHY : UNKNOWN_SERVICE;
}

static enum answer on_end(struct batch *b)
{
	if (b->framing.have == 0)
		return BAD_CARDINALITY; /* no message at all */
	if (!grpc_framing_is_whole(&b->framing, &b->body))
		return BAD_FRAMING;
	if (!grpc_framing_is_compressed(&b->framing))
		b->coding = CODING_IDENTITY; /* legal under any grpc-encoding (C6) */
	else if (b->coding == CODING_IDENTITY)
		return BAD_FRAMING;
	else if (b->coding != CODING_GZIP && b->coding != CODING_ZSTD)
		return UNKNOWN_ENCODING;
	return b->call == HEALTH_CHECK ? health(b) : ANSWER_NONE;
}

const struct receiver RECEIVER_OTLP_GRPC = {
    .name = "otlp_grpc",
    .grpc = true,
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/answer.h"

#include <nghttp2/nghttp2.h>
#include <time.h>

#include "base/base64.h"
#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "wire/protobuf.h"

enum {
	DECODE_MAX = 64 << 10, /* bytes given to protobuf-c; honest answers have some hundred */
	ARENA_LIMIT = 4 << 20, /* what those may grow to: two-byte members cost 64 bytes each */
	TEXT_SEEN = 4 << 10,   /* of a message in which we look for words */
	STATUS_NONE = -1
};

struct class
{
	enum verdict verdict;
	const char *reason;
};

/* By gRPC status code. RESOURCE_EXHAUSTED and INVALID_ARGUMENT are looked at more closely. */
static const struct class GRPC_CLASSES[] = {
    [0] = {SENT, "taken"},
    [1] = {RETRY, "the backend cancelled the request"},
    [2] = {REFUSED, "the backend failed with UNKNOWN"},
    [3] = {REFUSED, "the backend calls the data invalid"},
    [4] = {RETRY, "the backend ran out of time"},
    [5] = {HOLD_UPSTREAM, "the backend does not know this path or tenant"},
    [6] = {REFUSED, "the backend refuses the data as existing"},
    [7] = {HOLD_AUTH, "the backend denies permission"},
    [8] = {SPLIT, "the backend finds the request too large"},
    [9] = {REFUSED, "the backend refuses the data in its present state"},
    [10] = {RETRY, "the backend aborted the request"},
    [11] = {RETRY, "the backend is out of range"},
    [12] = {HOLD_UPSTREAM, "the backend does not implement OTLP traces here"},
    [13] = {REFUSED, "the backend failed with INTERNAL"},
    [14] = {RETRY, "the backend is unavailable"},
    [15] = {RETRY, "the backend reports data loss"},
    [16] = {HOLD_AUTH, "the backend refuses the credential"},
};
enum { GRPC_INVALID_ARGUMENT = 3, GRPC_EXHAUSTED = 8, GRPC_UNKNOWN = 2, GRPC_CODES = 17 };

static struct outcome outcome_of(enum verdict verdict, int status, const char *reason)
{
	return (struct outcome){.verdict = verdict, .status = status, .reason = reason};
}

static uint64_t clamp_wait(uint64_t ms)
{
	return ms < ANSWER_WAIT_MAX_MS ? ms : ANSWER_WAIT_MAX_MS;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Whether `s` begins with `word`, in lower case; case is ignored. */
static bool begins(struct slice s, const char *word)
{
	size_t i = 0;
	while (word[i] != '\0' && i < s.len && lower(s.data[i]) == (uint8_t)word[i])
		i++;
	return word[i] == '\0';
}

/* /access[ _-]?token/i. The one documented answer to a bad Lightstep token calls it bad data. */
static bool speaks_of_token(struct slice text)
{
	const char access[] = "access";
	size_t end = text.len < TEXT_SEEN ? text.len : TEXT_SEEN;
	for (size_t i = 0; i + sizeof(access) <= end; i++) {
		struct slice s = slice_of(text.data + i, end - i);
		if (!begins(s, access))
			continue;
		struct slice rest = slice_of(s.data + 6, s.len - 6);
		if (rest.len != 0 && strchr(" _-", rest.data[0]) != NULL && rest.data[0] != 0)
			rest = slice_of(rest.data + 1, rest.len - 1);
		if (begins(rest, "token"))
			return true;
	}
	return false;
}

static uint64_t duration_ms(const Google__Rpc__RetryInfo *info)
{
	const Google__Rpc__Duration *d = info->retry_delay;
	if (d == NULL || d->seconds < 0 || d->nanos < 0)
		return 0;
	if (d->seconds >= ANSWER_WAIT_MAX_MS / 1000)
		return ANSWER_WAIT_MAX_MS;
	return clamp_wait((uint64_t)d->seconds * 1000 + (uint64_t)d->nanos / 1000000);
}

static uint64_t read_retry_info(struct slice bytes, ProtobufCAllocator *allocator)
{
	const Google__Rpc__RetryInfo *info =
	    google__rpc__retry_info__unpack(allocator, bytes.len, bytes.data);
	return info != NULL ? duration_ms(info) : 0;
}

uint64_t answer_retry_info(struct slice bytes)
{
	if (bytes.len > HTTP_KEPT_MAX)
		return 0;
	struct arena arena;
	arena_init(&arena, ARENA_LIMIT);
	ProtobufCAllocator allocator = protobuf_arena(&arena);
	uint64_t ms = read_retry_info(bytes, &allocator);
	arena_finish(&arena);
	return ms;
}

uint64_t answer_retry_details(struct slice bytes)
{
	if (bytes.len >
	    HTTP_KEPT_MAX) /* the schema does not recurse, so size is all there is to bound */
		return 0;
	struct arena arena;
	arena_init(&arena, ARENA_LIMIT);
	ProtobufCAllocator allocator = protobuf_arena(&arena);
	uint64_t ms = 0;
	const Google__Rpc__Status *st =
	    google__rpc__status__unpack(&allocator, bytes.len, bytes.data);
	for (size_t i = 0; st != NULL && ms == 0 && i < st->n_details; i++) {
		const Google__Rpc__Any *any = st->details[i];
		if (strcmp(any->type_url, "type.googleapis.com/google.rpc.RetryInfo") == 0)
			ms = read_retry_info(slice_of(any->value.data, any->value.len), &allocator);
	}
	arena_finish(&arena);
	return ms;
}

uint64_t answer_rejected(struct slice bytes)
{
	if (bytes.len == 0 || bytes.len > DECODE_MAX)
		return 0;
	struct arena arena;
	arena_init(&arena, ARENA_LIMIT);
	ProtobufCAllocator allocator = protobuf_arena(&arena);
	const Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *r =
	    opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(
		&allocator, bytes.len, bytes.data);
	int64_t rejected = 0;
	if (r != NULL && r->partial_success != NULL)
		rejected = r->partial_success->rejected_spans;
	arena_finish(&arena);
	return rejected > 0 ? (uint64_t)rejected : 0;
}

static uint64_t wait_seconds(struct slice digits)
{
	uint64_t s = 0;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return 0;
		if (s < ANSWER_WAIT_MAX_MS)
			s = s * 10 + (digits.data[i] - '0');
	}
	return clamp_wait(s * 1000);
}

uint64_t answer_retry_after(struct slice value, uint64_t now_unix_ms)
{
	char text[40];
	if (value.len == 0 || value.len >= sizeof(text))
		return 0;
	if (value.data[0] >= '0' && value.data[0] <= '9')
		return wait_seconds(value);
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	struct tm tm = {0};
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm); /* RFC 9110 5.6.7 */
	if (end == NULL || *end != '\0')
		return 0;
	time_t at = timegm(&tm);
	if (at < 0 || (uint64_t)at * 1000 <= now_unix_ms)
		return 0;
	return clamp_wait((uint64_t)at * 1000 - now_unix_ms);
}

/* A wait in one of the two trailers that servers use for it. */
static uint64_t trailer_wait(const struct http_response *r, enum http_kept field,
			     uint64_t (*read)(struct slice))
{
	struct slice text = buf_slice(&r->kept[field]);
	const uint8_t *comma = text.len != 0 ? memchr(text.data, ',', text.len) : NULL;
	if (comma != NULL) /* several values; the first will do */
		text.len = (size_t)(comma - text.data);
	struct buf bytes = {.limit = HTTP_KEPT_MAX};
	uint64_t ms = 0;
	if (text.len != 0 && base64_decode(text, &bytes) == 0)
		ms = read(buf_slice(&bytes));
	buf_finish(&bytes);
	return ms;
}

static uint64_t grpc_wait(const struct http_response *r)
{
	uint64_t ms = trailer_wait(r, KEPT_GRPC_DETAILS, answer_retry_details);
	return ms != 0 ? ms : trailer_wait(r, KEPT_GRPC_RETRY_INFO, answer_retry_info);
}

/* What happened when no answer can be read; true if that is so. */
static bool answer_missing(const struct http_response *r, struct outcome *out)
{
	switch (r->end) {
	case HTTP_WHOLE:
		return false;
	case HTTP_RESET:
		*out = outcome_of(RETRY, STATUS_NONE, "the backend reset the request");
		if (r->reset_code == NGHTTP2_HTTP_1_1_REQUIRED)
			*out = outcome_of(HOLD_UPSTREAM, STATUS_NONE, "the backend wants HTTP/1.1");
		return true;
	case HTTP_NOT_TAKEN:
		*out = outcome_of(RETRY, STATUS_NONE, "the backend did not take the request");
		return true;
	case HTTP_LOST:
		*out = outcome_of(RETRY, STATUS_NONE,
				  r->lost != NULL ? r->lost : "the connection was lost");
		return true;
	case HTTP_TOO_LARGE:
		*out = outcome_of(HOLD_UPSTREAM, STATUS_NONE, "the answer is over 4 MiB");
		return true;
	case HTTP_TIMED_OUT:
		*out = outcome_of(RETRY, STATUS_NONE, "no answer in time");
		return true;
	case HTTP_NO_ALPN:
		*out = outcome_of(HOLD_UPSTREAM, STATUS_NONE, "TLS without ALPN h2");
		return true;
	}
	return true;
}

static unsigned grpc_code(struct slice text)
{
	if (text.len == 1 && text.data[0] >= '0' && text.data[0] <= '9')
		return text.data[0] - (unsigned)'0';
	if (text.len == 2 && text.data[0] == '1' && text.data[1] >= '0' && text.data[1] <= '6')
		return 10 + text.data[1] - (unsigned)'0';
	return GRPC_UNKNOWN;
}

/* HTTP status without grpc-status: something that is no gRPC server spoke, as Envoy in front of
 * Lightstep does with a bare 400. */
static struct outcome bare_status(unsigned status)
{
	int s = (int)status;
	switch (status) {
	case 401:
	case 403:
		return outcome_of(HOLD_AUTH, s, "the backend refuses the credential");
	case 408:
	case 429:
		return outcome_of(RETRY, s, "the backend asks to wait");
	default:
		if (status >= 500)
			return outcome_of(RETRY, s, "the backend is unavailable");
		return outcome_of(HOLD_UPSTREAM, s, "the answer is no gRPC");
	}
}

/* One message: a flag, four bytes of length. We asked for it uncompressed. */
static struct slice grpc_message(struct slice body)
{
	if (body.len < 5 || body.data[0] != 0)
		return slice_of(body.data, 0);
	uint32_t len = (uint32_t)body.data[1] << 24 | (uint32_t)body.data[2] << 16 |
		       (uint32_t)body.data[3] << 8 | body.data[4];
	return slice_of(body.data + 5, len <= body.len - 5 ? len : 0);
}

struct outcome answer_grpc(const struct http_response *r, uint64_t now_unix_ms)
{
	struct slice text = buf_slice(&r->kept[KEPT_GRPC_STATUS]);
	unsigned code = text.len != 0 ? grpc_code(text) : 0;
	struct outcome o;
	if (code == 0 &&
	    answer_missing(r, &o)) /* a failure counts even if the stream was cut after */
		return o;
	if (text.len == 0) {
		o = bare_status(r->status);
		if (o.verdict == RETRY)
			o.retry_ms =
			    answer_retry_after(buf_slice(&r->kept[KEPT_RETRY_AFTER]), now_unix_ms);
		return o;
	}
	o = outcome_of(GRPC_CLASSES[code].verdict, (int)code, GRPC_CLASSES[code].reason);
	uint64_t wait = code != 0 ? grpc_wait(r) : 0;
	if (code == GRPC_EXHAUSTED && wait != 0) /* OTLP: RetryInfo says that it will pass */
		o = outcome_of(RETRY, (int)code, "the backend asks to wait");
	if (code == GRPC_INVALID_ARGUMENT &&
	    speaks_of_token(buf_slice(&r->kept[KEPT_GRPC_MESSAGE])))
		o = outcome_of(HOLD_AUTH, (int)code, "the backend refuses the credential");
	if (o.verdict == RETRY)
		o.retry_ms = wait;
	if (o.verdict == SENT)
		o.rejected = answer_rejected(grpc_message(buf_slice(&r->body)));
	return o;
}

static struct class http_class(unsigned status)
{
	switch (status) {
	case 400:
		return (struct class){REFUSED, "the backend calls the data invalid"};
	case 401:
	case 403:
		return (struct class){HOLD_AUTH, "the backend refuses the credential"};
	case 404:
	case 405:
	case 415:
	case 501:
		return (struct class){HOLD_UPSTREAM, "the backend does not take OTLP traces here"};
	case 408: /* about time, not about data */
	case 429:
		return (struct class){RETRY, "the backend asks to wait"};
	case 413:
		return (struct class){SPLIT, "the backend finds the request too large"};
	default:
		if (status >= 500)
			return (struct class){RETRY, "the backend is unavailable"};
		if (status >= 400)
			return (struct class){REFUSED, "the backend refuses the request"};
		if (status >= 300 || status < 200)
			return (struct class){HOLD_UPSTREAM, "the backend sends us elsewhere"};
		return (struct class){SENT, "taken"};
	}
}

struct outcome answer_http(const struct http_response *r, uint64_t now_unix_ms)
{
	struct outcome o;
	bool judged = r->status >= 200 && r->end == HTTP_TOO_LARGE; /* the status has said it all */
	if (!judged && answer_missing(r, &o))
		return o;
	struct class class = http_class(r->status);
	o = outcome_of(class.verdict, (int)r->status, class.reason);
	if (r->status == 400 && speaks_of_token(buf_slice(&r->body)))
		o = outcome_of(HOLD_AUTH, 400, "the backend refuses the credential");
	if (o.verdict == RETRY)
		o.retry_ms = answer_retry_after(buf_slice(&r->kept[KEPT_RETRY_AFTER]), now_unix_ms);
	if (o.verdict == SENT)
		o.rejected = answer_rejected(buf_slice(&r->body));
	return o;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/corpus.h"

#include <libdeflate.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/otlp_sample.h"
#include "wire/otlp_walk.h"

enum { PER_TRACE = 6, SPAN_ID_AFTER = 18, GZIP_LEVEL = 6 };

/* splitmix64: good enough to fill ids, and the same everywhere. */
static uint64_t next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static const char *pick(uint64_t *seed, const char *const *of, size_t n)
{
	return of[next(seed) % n];
}
#define PICK(seed, of) pick(seed, of, sizeof(of) / sizeof((of)[0]))

static const char *const METHODS[] = {"GET", "GET", "GET", "POST", "PUT", "DELETE"};
static const char *const ROUTES[] = {"/api/v1/orders/{id}", "/api/v1/customers/{id}/basket",
				     "/checkout/payment", "/catalogue/search", "/login"};
static const char *const SERVICES[] = {"checkout",     "basket",  "catalogue",
				       "edge-gateway", "payment", "search"};
static const char *const AGENTS[] = {
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari",
    "okhttp/4.12.0", "Go-http-client/2.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"};

static void int_attribute(struct buf *b, unsigned field, const char *key, uint64_t n)
{
	struct buf kv = {0}, value = {0};
	pb_str(&kv, 1, key);
	pb_int(&value, 3, n);
	pb_message(&kv, 2, &value);
	pb_message(b, field, &kv);
}

__attribute__((format(printf, 4, 5))) static void
text_attribute(struct buf *b, unsigned field, const char *key, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pb_attribute(b, field, key, text);
}

static void add_event(struct buf *span, uint64_t at_ns, uint64_t *seed)
{
	struct buf event = {0};
	pb_fixed64(&event, 1, at_ns);
	pb_str(&event, 2, "cache.lookup");
	text_attribute(&event, 3, "cache.key", "basket:%016llx", (unsigned long long)next(seed));
	int_attribute(&event, 3, "cache.age_ms", next(seed) % 60000);
	pb_message(span, 11, &event);
}

/* Ids are zero here; each sending renews them. */
static void add_span(struct buf *scope, bool is_root, bool has_secret, uint64_t *seed)
{
	static const uint8_t ID[16];
	struct buf span = {0};
	uint64_t start = 1700000000000000000u + next(seed) % 1000000000;
	uint64_t end = start + next(seed) % 100000000;
	const char *route = PICK(seed, ROUTES), *method = PICK(seed, METHODS);
	pb_bytes(&span, 1, ID, 16);
	pb_bytes(&span, 2, ID, 8);
	if (!is_root)
		pb_bytes(&span, 4, "parents!", 8);
	pb_str(&span, 5, route);
	pb_int(&span, 6, 2 + next(seed) % 2);
	pb_fixed64(&span, 7, start);
	pb_fixed64(&span, 8, end);
	pb_attribute(&span, 9, "http.request.method", method);
	pb_attribute(&span, 9, "http.route", route);
	text_attribute(&span, 9, "url.path", "/api/v1/orders/%08x", (unsigned)next(seed));
	int_attribute(&span, 9, "http.response.status_code", next(seed) % 50 == 0 ? 503 : 200);
	pb_attribute(&span, 9, "user_agent.original", PICK(seed, AGENTS));
	text_attribute(&span, 9, "client.address", "203.0.113.%u", (unsigned)(next(seed) % 256));
	int_attribute(&span, 9, "client.port", 1024 + next(seed) % 60000);
	pb_attribute(&span, 9, "server.address", "shop.example.com");
	pb_attribute(&span, 9, "network.protocol.version", "1.1");
	text_attribute(&span, 9, "network.peer.address", "10.4.%u.%u", (unsigned)(next(seed) % 16),
		       (unsigned)(next(seed) % 256));
	text_attribute(&span, 9, "thread.name", "worker-%u", (unsigned)(next(seed) % 32));
	text_attribute(&span, 9, "app.customer.id", "c-%016llx", (unsigned long long)next(seed));
	text_attribute(&span, 9, "db.query.text",
		       "SELECT id, total FROM orders WHERE customer = $1 LIMIT %u",
		       (unsigned)(next(seed) % 100));
	if (has_secret)
		text_attribute(&span, 9, "app.note", "rotated AKIAQ3EGRZL7%08X",
			       (unsigned)(next(seed) | 0x22222222) & 0x77777777);
	add_event(&span, start, seed);
	pb_message(scope, 2, &span);
}

static void add_resource(struct buf *request, uint32_t first, uint32_t spans, bool secrets,
			 uint64_t *seed)
{
	struct buf resource = {0}, scope = {0}, scope_spans = {0}, resource_spans = {0};
	pb_attribute(&resource, 1, "service.name", PICK(seed, SERVICES));
	pb_attribute(&resource, 1, "service.version", "2.14.3");
	pb_attribute(&resource, 1, "deployment.environment", "production");
	text_attribute(&resource, 1, "host.name", "node-%02u", (unsigned)(next(seed) % 40));
	pb_attribute(&resource, 1, "telemetry.sdk.language", "go");
	pb_message(&resource_spans, 1, &resource);
	pb_str(&scope, 1, "github.com/example/instrumentation/http");
	pb_str(&scope, 2, "0.53.0");
	pb_message(&scope_spans, 1, &scope);
	for (uint32_t i = first; i < first + spans; i++)
		add_span(&scope_spans, i % PER_TRACE == 0, secrets && next(seed) % 200 == 0, seed);
	pb_message(&resource_spans, 2, &scope_spans);
	pb_message(request, 1, &resource_spans);
}

static void make_request(struct buf *request, uint32_t spans, bool secrets, uint64_t *seed)
{
	uint32_t resources = 1 + (uint32_t)(next(seed) % 4);
	if (resources > spans)
		resources = spans;
	for (uint32_t left = spans; resources > 0; resources--) {
		uint32_t n = left / resources;
		add_resource(request, spans - left, n, secrets, seed);
		left -= n;
	}
}

/* The trace id is a span's first field and the span id follows it, for that is how they are made
 * above. */
static int find_ids(struct sample *s)
{
	struct slice request = buf_slice(&s->message);
	struct field resource, scope, span, id;
	uint32_t n = 0;
	s->trace_ids = calloc(s->spans, sizeof(*s->trace_ids));
	if (s->trace_ids == NULL)
		return -1;
	while (field_next(&request, &resource))
		while (field_next(&resource.value, &scope))
			while (field_is(&scope, RESOURCE_SPANS_SCOPE_SPANS) &&
			       field_next(&scope.value, &span))
				if (field_is(&span, SCOPE_SPANS_SPANS) &&
				    field_next(&span.value, &id))
					s->trace_ids[n++] =
					    (uint32_t)(id.value.data - s->message.data);
	return n == s->spans ? 0 : -1;
}

void sample_renew(struct sample *s, uint32_t per_trace, uint64_t *counter)
{
	for (uint32_t i = 0; i < s->spans; i++) {
		uint8_t *trace_id = s->message.data + s->trace_ids[i];
		uint64_t span = (*counter)++, trace = span / per_trace + 1, seed = trace;
		uint64_t random = next(&seed);
		memcpy(trace_id, &trace, sizeof(trace));
		memcpy(trace_id + sizeof(trace), &random, sizeof(random));
		memcpy(trace_id + SPAN_ID_AFTER, &span, sizeof(span));
	}
}

static int compress(struct sample *s, struct libdeflate_compressor *c)
{
	struct buf packed = {0};
	if (c == NULL ||
	    buf_reserve(&packed, libdeflate_gzip_compress_bound(c, s->message.len)) != 0)
		return -1;
	packed.len =
	    libdeflate_gzip_compress(c, s->message.data, s->message.len, packed.data, packed.cap);
	buf_finish(&s->message);
	s->message = packed;
	free(s->trace_ids);
	s->trace_ids = NULL;
	return packed.len != 0 ? 0 : -1;
}

struct sample *corpus_create(size_t n, uint32_t spans, uint64_t seed, bool gzip, bool secrets)
{
	struct sample *all = calloc(n, sizeof(*all));
	struct libdeflate_compressor *c = gzip ? libdeflate_alloc_compressor(GZIP_LEVEL) : NULL;
	uint64_t counter = (seed << 32) * PER_TRACE; /* so that a request begins with a root */
	int rc = all != NULL ? 0 : -1;
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct sample *s = &all[i];
		s->spans = spans;
		make_request(&s->message, spans, secrets, &seed);
		s->plain_bytes = s->message.len;
		rc = find_ids(s);
		if (rc == 0)
			sample_renew(s, PER_TRACE, &counter);
		if (rc == 0 && gzip)
			rc = compress(s, c);
	}
	if (c != NULL)
		libdeflate_free_compressor(c);
	if (rc == 0)
		return all;
	corpus_destroy(all, n);
	return NULL;
}

void corpus_destroy(struct sample *all, size_t n)
{
	for (size_t i = 0; all != NULL && i < n; i++) {
		buf_finish(&all[i].message);
		free(all[i].trace_ids);
	}
	free(all);
}

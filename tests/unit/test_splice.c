/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/otlp_splice.h"

#include "check.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "otlp_sample.h"
#include "wire/otlp_walk.h"

typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest Request;
typedef Opentelemetry__Proto__Trace__V1__ResourceSpans ResourceSpans;
typedef Opentelemetry__Proto__Trace__V1__ScopeSpans ScopeSpans;

/* Every span with its resource and scope, as protobuf-c understands them, in sorted order. */
struct content {
	struct buf *spans;
	size_t n;
};

static void pack(struct buf *out, const void *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	CHECK_EQ(buf_append(out, &len, sizeof(len)), 0);
	CHECK_EQ(buf_reserve(out, len), 0);
	protobuf_c_message_pack(message, out->data + out->len);
	out->len += len;
}

static int compare(const void *a, const void *b)
{
	const struct buf *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->data, y->data, len);
	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static void read_content(struct content *c, struct slice request)
{
	Request *r =
	    opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
		NULL, request.len, request.data);
	CHECK(r != NULL);
	for (size_t i = 0; i < r->n_resource_spans; i++) {
		ResourceSpans resource = *r->resource_spans[i];
		resource.n_scope_spans = 0;
		for (size_t j = 0; j < r->resource_spans[i]->n_scope_spans; j++) {
			const ScopeSpans *full = r->resource_spans[i]->scope_spans[j];
			ScopeSpans scope = *full;
			scope.n_spans = 0;
			for (size_t k = 0; k < full->n_spans; k++) {
				c->spans = realloc(c->spans, (c->n + 1) * sizeof(*c->spans));
				struct buf *one = &c->spans[c->n++];
				memset(one, 0, sizeof(*one));
				pack(one, &resource);
				pack(one, &scope);
				pack(one, full->spans[k]);
			}
		}
	}
	if (c->n != 0)
		qsort(c->spans, c->n, sizeof(*c->spans), compare);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void content_finish(struct content *c)
{
	for (size_t i = 0; i < c->n; i++)
		buf_finish(&c->spans[i]);
	free(c->spans);
}

static void check_same(const struct content *a, const struct content *b)
{
	CHECK_EQ(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		CHECK(compare(&a->spans[i], &b->spans[i]) == 0);
}

/* A request of many shapes: fields in any order, several scopes and resources, unknown fields. */
static unsigned next_random(unsigned *seed, unsigned below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 16) % below;
}

static void put_some_scope(struct buf *resource, unsigned *seed, uint64_t *id)
{
	struct buf scope = {0};
	char lib[] = "\x0a\x04lib?", unknown[] = "\xa0\x1f\x05"; /* field 500, a varint */
	unsigned shape = next_random(seed, 8), n = next_random(seed, 5);
	lib[5] = (char)('a' + next_random(seed, 3));
	if (shape & 1)
		pb_bytes(&scope, 3, "https://schema", 14);
	if (shape & 2)
		pb_bytes(&scope, 1, lib, 6);
	for (unsigned i = 0; i < n; i++) {
		pb_numbered_span(&scope, (*id)++, next_random(seed, 200));
		if (shape == 7)
			buf_append(&scope, unknown, 3);
	}
	if ((shape & 2) == 0)
		pb_bytes(&scope, 1, lib, 6);
	pb_message(resource, 2, &scope);
}

static void put_some_request(struct buf *out, unsigned *seed, uint64_t *id)
{
	for (unsigned r = next_random(seed, 4); r != 0; r--) {
		struct buf resource = {0};
		char attributes[] = "\x10?"; /* dropped_attributes_count, not to need more */
		unsigned shape = next_random(seed, 8), scopes = next_random(seed, 4);
		attributes[1] = (char)next_random(seed, 3);
		if (shape & 1)
			pb_bytes(&resource, 1, attributes, 2);
		if (shape & 2)
			pb_bytes(&resource, 99, "unknown", 7);
		for (; scopes != 0; scopes--)
			put_some_scope(&resource, seed, id);
		if ((shape & 1) == 0) /* as Kong does */
			pb_bytes(&resource, 1, attributes, 2);
		if (shape & 4)
			pb_bytes(&resource, 3, "https://other", 13);
		pb_message(out, 1, &resource);
	}
}

static void check_write(const struct splice *s, struct content *c, size_t max_bytes)
{
	struct buf out = {0};
	CHECK_EQ(splice_write(s, &out), 0);
	CHECK_EQ(out.len, splice_size(s));
	CHECK(out.len <= max_bytes || splice_spans(s) == 1);
	CHECK_EQ(otlp_walk_spans(buf_slice(&out)), splice_spans(s));
	read_content(c, buf_slice(&out));
	buf_finish(&out);
}

/* Splices `n` requests into outputs of at most max_bytes. */
static unsigned splice_all(struct splice *s, struct buf *requests, unsigned n, size_t max_bytes,
			   struct content *c)
{
	unsigned outputs = 1;
	splice_reset(s, max_bytes);
	for (unsigned i = 0; i < n; i++) {
		uint32_t span = 0, before = 0;
		int rc;
		while ((rc = splice_add(s, buf_slice(&requests[i]), &span, UINT32_MAX)) ==
		       SPLICE_FULL) {
			CHECK(splice_spans(s) != 0 && span >= before);
			before = span;
			check_write(s, c, max_bytes);
			splice_reset(s, max_bytes);
			outputs++;
		}
		CHECK_EQ(rc, 0);
		CHECK_EQ(span, otlp_walk_spans(buf_slice(&requests[i])));
	}
	check_write(s, c, max_bytes);
	return outputs;
}

/* The spans of one request in two outputs, cut at `cut`. */
static void splice_halves(struct splice *s, struct buf *request, uint32_t cut, struct content *c)
{
	uint32_t span = 0;
	for (int half = 0; half < 2; half++) {
		splice_reset(s, 1 << 20);
		CHECK_EQ(splice_add(s, buf_slice(request), &span, half ? UINT32_MAX : cut), 0);
		check_write(s, c, 1 << 20);
	}
}

static void test_every_span_keeps_its_resource_and_scope(void)
{
	static const size_t LIMITS[] = {1 << 20, 4000, 1000, 300, 1};
	struct splice *s = splice_create(1);
	unsigned seed = 7;
	uint64_t id = 1;
	CHECK(s != NULL);
	for (int round = 0; round < 300; round++) {
		struct buf requests[5] = {0};
		struct content before = {0};
		for (int i = 0; i < 5; i++) {
			put_some_request(&requests[i], &seed, &id);
			read_content(&before, buf_slice(&requests[i]));
		}
		for (size_t k = 0; k < sizeof(LIMITS) / sizeof(LIMITS[0]); k++) {
			struct content after = {0};
			splice_all(s, requests, 5, LIMITS[k], &after);
			check_same(&before, &after);
			content_finish(&after);
		}
		struct content halves = {0};
		for (int i = 0; i < 5; i++) {
			splice_halves(s, &requests[i], next_random(&seed, 8), &halves);
			buf_finish(&requests[i]);
		}
		check_same(&before, &halves);
		content_finish(&halves);
		content_finish(&before);
	}
	splice_destroy(s);
}

static void test_equal_headers_are_written_once(void)
{
	struct splice *s = splice_create(1 << 20);
	struct buf requests[100] = {0}, out = {0};
	size_t spans_bytes = 0;
	for (unsigned i = 0; i < 100; i++) {
		uint32_t span = 0;
		struct buf only = {0};
		pb_numbered_request(&requests[i], i * 10, 10, 50);
		for (unsigned k = 0; k < 10; k++)
			pb_numbered_span(&only, i * 10 + k, 50);
		spans_bytes += only.len;
		buf_finish(&only);
		CHECK_EQ(splice_add(s, buf_slice(&requests[i]), &span, UINT32_MAX), 0);
	}
	CHECK_EQ(splice_spans(s), 1000);
	CHECK_EQ(splice_write(s, &out), 0);
	CHECK(out.len < spans_bytes + 32);
	for (unsigned i = 0; i < 100; i++)
		buf_finish(&requests[i]);
	buf_finish(&out);
	splice_destroy(s);
}

/* The largest output that may still grow by one span does, to the byte. */
static void test_limit_is_used_to_the_last_byte(void)
{
	struct splice *s = splice_create(1);
	struct buf request = {0};
	pb_numbered_request(&request, 1, 40, 20); /* lengths on both sides of 128 on the way */
	uint32_t fits = 0;
	for (size_t max = 1; max <= request.len; max++) {
		uint32_t span = 0;
		splice_reset(s, max);
		int rc = splice_add(s, buf_slice(&request), &span, UINT32_MAX);
		CHECK_EQ(rc, max == request.len ? 0 : SPLICE_FULL);
		CHECK(span >= fits && span <= fits + 1 && span == splice_spans(s));
		CHECK(splice_size(s) <= max || span == 1);
		fits = span;
	}
	CHECK_EQ(fits, 40);
	CHECK_EQ(splice_size(s), request.len);
	buf_finish(&request);
	splice_destroy(s);
}

static void check_range(struct splice *s, struct buf *request, uint32_t from, uint32_t end)
{
	struct buf out = {0};
	uint32_t span = from;
	splice_reset(s, 1 << 20);
	CHECK_EQ(splice_add(s, buf_slice(request), &span, end), 0);
	CHECK_EQ(span, end < 10 ? end : 10);
	CHECK_EQ(splice_spans(s), span - from);
	CHECK_EQ(splice_write(s, &out), 0);
	for (uint32_t i = 0; i < 10; i++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "span-%u-", 100 + i);
		bool there = out.len != 0 && memmem(out.data, out.len, name, (size_t)len) != NULL;
		CHECK_EQ(there, i >= from && i < end);
	}
	buf_finish(&out);
}

static void test_any_range_of_spans_can_be_had(void)
{
	struct splice *s = splice_create(1 << 20);
	struct buf request = {0};
	pb_numbered_request(&request, 100, 5, 20);
	pb_numbered_request(&request, 105, 5, 20);
	for (uint32_t from = 0; from <= 10; from++) {
		for (uint32_t end = from; end <= 11; end++)
			check_range(s, &request, from, end);
		check_range(s, &request, from, UINT32_MAX);
	}
	buf_finish(&request);
	splice_destroy(s);
}

static void test_nothing_is_an_empty_request(void)
{
	struct splice *s = splice_create(100);
	struct buf request = {0}, out = {0};
	uint32_t span = 0;
	CHECK_EQ(splice_add(s, slice_of(NULL, 0), &span, UINT32_MAX), 0);
	pb_numbered_request(&request, 1, 0, 0); /* a resource and a scope without spans */
	CHECK_EQ(splice_add(s, buf_slice(&request), &span, UINT32_MAX), 0);
	CHECK_EQ(span + splice_spans(s) + splice_size(s), 0);
	CHECK_EQ(splice_write(s, &out), 0);
	CHECK(out.data == NULL);
	buf_finish(&request);
	splice_destroy(s);
}

static void test_no_memory_is_needed_once_it_was_used(void)
{
	struct splice *s = splice_create(1 << 20);
	struct buf many = {0}, out = {0};
	for (unsigned i = 0; i < 1000; i++) { /* a resource each: tables grow many times */
		struct buf resource = {0}, scope = {0};
		pb_numbered_span(&scope, i, 3);
		pb_bytes(&resource, 3, &i, sizeof(i));
		pb_message(&resource, 2, &scope);
		pb_message(&many, 1, &resource);
	}
	for (int round = 0; round < 3; round++) {
		uint32_t span = 0;
		splice_reset(s, 1 << 20);
		CHECK_EQ(splice_add(s, buf_slice(&many), &span, UINT32_MAX), 0);
		span = 0;
		CHECK_EQ(splice_add(s, buf_slice(&many), &span, UINT32_MAX), 0);
		CHECK_EQ(splice_spans(s), 2000);
		out.len = 0;
		CHECK_EQ(splice_write(s, &out), 0);
		CHECK(out.len < many.len * 2 - 1000 * 8); /* 1000 headers, not 2000 */
	}
	buf_finish(&many);
	buf_finish(&out);
	splice_destroy(s);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_every_span_keeps_its_resource_and_scope),
		   TEST(test_equal_headers_are_written_once),
		   TEST(test_limit_is_used_to_the_last_byte),
		   TEST(test_any_range_of_spans_can_be_had), TEST(test_nothing_is_an_empty_request),
		   TEST(test_no_memory_is_needed_once_it_was_used));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "otlp_sample.h"
#include "wire/otlp_index.h"
#include "wire/otlp_rewrite.h"
#include "wire/otlp_walk.h"

#define Request Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define request_unpack                                                                             \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define request_free                                                                               \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked

static struct buf in, out;
static struct otlp_rewrite w;

/* Where a text of the request stands, as the n-th of its kind. */
static uint32_t find(const char *text, int n)
{
	const uint8_t *p = in.data;
	for (;; p++) {
		p = memmem(p, in.len - (size_t)(p - in.data), text, strlen(text));
		CHECK(p != NULL);
		if (n-- == 0)
			return (uint32_t)(p - in.data);
	}
}

static void make(unsigned spans)
{
	struct buf all = {0};
	in.len = 0;
	for (unsigned i = 0; i < spans; i++) {
		struct buf span = {0}, event = {0};
		pb_span_fields(&span, i);
		pb_str(&event, 2, "an event");
		pb_attribute(&event, 3, "k", "v");
		pb_message(&span, 11, &event);
		pb_message(&all, 2, &span);
	}
	pb_request(&in, "checkout", &all);
}

static unsigned in_place;

/* Where the request's own memory does, it comes to the same. */
static void check_in_place(void)
{
	uint8_t *same = malloc(in.len + w.size);
	CHECK(same != NULL);
	memcpy(same, in.data, in.len);
	if (otlp_rewrite_in_place(&w, slice_of(same, in.len), same)) {
		in_place++;
		CHECK(memcmp(same, out.data, out.len) == 0);
	} else {
		CHECK(memcmp(same, in.data, in.len) == 0);
	}
	free(same);
}

static int rewrite(struct otlp_change *list, uint32_t n)
{
	otlp_changes_sort(list, n);
	int rc = otlp_rewrite_plan(&w, buf_slice(&in), list, n);
	if (rc != 0)
		return rc;
	out.len = 0;
	CHECK_EQ(buf_reserve(&out, w.size + 1), 0);
	otlp_rewrite_write(&w, buf_slice(&in), out.data);
	out.len = w.size;
	check_in_place();
	return 0;
}

static Request *decoded(void)
{
	struct otlp_index ix;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	CHECK_EQ(otlp_index(&ix, buf_slice(&out), &INDEX_LIMITS, &arena), INDEX_OK);
	CHECK(ix.rejected == 0 && ix.edits == NULL);
	arena_finish(&arena);
	Request *r = request_unpack(NULL, out.len, out.data);
	CHECK(r != NULL);
	return r;
}

static Opentelemetry__Proto__Trace__V1__Span *span_of(Request *r, size_t i)
{
	return r->resource_spans[0]->scope_spans[0]->spans[i];
}

static void test_every_length_around_a_longer_value_grows(void)
{
	char text[300];
	for (size_t len = 0; len < sizeof(text); len++) {
		make(3);
		uint32_t at = find("GET /", 1);
		memset(text, 'x', len);
		struct otlp_change c = {at, at, 5, slice_of(text, len)};
		CHECK_EQ(rewrite(&c, 1), 0);
		Request *r = decoded();
		CHECK_EQ(strlen(span_of(r, 1)->name), len);
		CHECK_STR(span_of(r, 0)->name, "GET /");
		CHECK_STR(span_of(r, 2)->events[0]->name, "an event");
		request_free(r, NULL);
	}
	CHECK_EQ(in_place, sizeof(text) - 5); /* all that are not shorter than "GET /" */
}

static void test_no_change_gives_the_same_bytes(void)
{
	make(3);
	CHECK_EQ(rewrite(NULL, 0), 0);
	CHECK(slice_equal(buf_slice(&in), buf_slice(&out)));
}

static void test_changes_of_one_span_add_up(void)
{
	make(2);
	uint32_t name = find("GET /", 0), event = find("an event", 0), span = find("\x0a\x10", 0);
	struct otlp_change list[] = {
	    {event, event + 3, 5, slice_str("occurrence")},
	    {name, name + 4, 1, slice_str("/index")},
	    {span, name - 2, 0, slice_str("\x1a\x03t=1")},
	    {name, name, 3, slice_str("POST")},
	};
	CHECK_EQ(rewrite(list, 4), 0);
	Request *r = decoded();
	CHECK_STR(span_of(r, 0)->name, "POST /index");
	CHECK_STR(span_of(r, 0)->events[0]->name, "an occurrence");
	CHECK_STR(span_of(r, 0)->trace_state, "t=1");
	CHECK_STR(span_of(r, 1)->name, "GET /");
	request_free(r, NULL);
}

static void test_what_stands_in_dropped_bytes_is_left_out(void)
{
	make(2);
	uint32_t value = find("GET", 1), span = find("\x0a\x10", 0);
	uint32_t attribute = find("http.request.method", 0) - 4;
	uint32_t len = 2 + in.data[attribute + 1];
	CHECK_EQ(in.data[attribute], 9 << 3 | 2);
	struct otlp_change list[] = {{span, attribute, len, slice_str("")},
				     {value, value, 3, slice_str("OPTIONS")}};
	CHECK_EQ(rewrite(list, 2), 0);
	CHECK_EQ(out.len, in.len - len - 0);
	Request *r = decoded();
	CHECK_EQ(span_of(r, 0)->n_attributes, 0);
	CHECK_EQ(span_of(r, 1)->n_attributes, 1);
	request_free(r, NULL);
}

static void test_an_empty_payload_is_found(void)
{
	struct buf span = {0}, spans = {0};
	pb_span_fields(&span, 1);
	pb_bytes(&span, 15, "", 0);
	pb_message(&spans, 2, &span);
	in.len = 0;
	pb_request(&in, "s", &spans);
	struct otlp_change c = {(uint32_t)in.len, (uint32_t)in.len, 0, slice_str("\x12\x02no")};
	CHECK_EQ(rewrite(&c, 1), 0);
	Request *r = decoded();
	CHECK_STR(span_of(r, 0)->status->message, "no");
	request_free(r, NULL);
}

static void test_values_deep_within_values_are_reached(void)
{
	struct buf value = {0}, span = {0}, spans = {0}, kv = {0};
	pb_str(&value, 1, "deep");
	for (int i = 0; i < 29; i++) {
		struct buf array = {0}, outer = {0};
		pb_message(&array, 1, &value);
		pb_message(&outer, 5, &array);
		value = outer;
	}
	pb_str(&kv, 1, "key");
	pb_message(&kv, 2, &value);
	pb_span_fields(&span, 1);
	pb_message(&span, 9, &kv);
	pb_message(&spans, 2, &span);
	in.len = 0;
	pb_request(&in, "s", &spans);
	uint32_t at = find("deep", 0);
	char text[200];
	memset(text, 'd', sizeof(text));
	struct otlp_change c = {at, at, 4, slice_of(text, sizeof(text))};
	CHECK_EQ(rewrite(&c, 1), 0);
	request_free(decoded(), NULL);
	CHECK(memmem(out.data, out.len, text, sizeof(text)) != NULL);
}

static void test_a_place_that_is_no_payload_is_lost(void)
{
	make(1);
	uint32_t at = find("GET /", 0);
	struct otlp_change list[] = {{at + 1, at + 1, 1, slice_str("")},
				     {at, at + 3, 9, slice_str("")},
				     {at - 1, at, 1, slice_str("")}};
	for (int i = 0; i < 3; i++)
		CHECK_EQ(rewrite(&list[i], 1), REWRITE_LOST);
}

static void test_thousands_of_changes_in_one_pass(void)
{
	static struct otlp_change list[3000];
	make(3000);
	struct slice rest = buf_slice(&in);
	for (uint32_t i = 0, at = 0; i < 3000; i++) {
		const uint8_t *p = memmem(rest.data, rest.len, "GET /", 5);
		CHECK(p != NULL);
		at = (uint32_t)(p - in.data);
		list[2999 - i] = (struct otlp_change){at, at, 5, slice_str("[REDACTED]")};
		rest = slice_of(p + 5, rest.len - (size_t)(p + 5 - rest.data));
	}
	CHECK_EQ(rewrite(list, 3000), 0);
	Request *r = decoded();
	CHECK_EQ(r->resource_spans[0]->scope_spans[0]->n_spans, 3000);
	for (size_t i = 0; i < 3000; i++)
		CHECK_STR(span_of(r, i)->name, "[REDACTED]");
	request_free(r, NULL);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_every_length_around_a_longer_value_grows),
		   TEST(test_no_change_gives_the_same_bytes), TEST(test_changes_of_one_span_add_up),
		   TEST(test_what_stands_in_dropped_bytes_is_left_out),
		   TEST(test_an_empty_payload_is_found),
		   TEST(test_values_deep_within_values_are_reached),
		   TEST(test_a_place_that_is_no_payload_is_lost),
		   TEST(test_thousands_of_changes_in_one_pass));
}

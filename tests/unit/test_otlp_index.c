/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "otlp_sample.h"
#include "wire/otlp_index.h"
#include "wire/utf8.h"

#define Request Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define request_unpack                                                                             \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define request_free                                                                               \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked

static struct otlp_index ix;
static struct arena arena;
static struct buf out; /* the request after the edits */

/* Indexes b and applies the edits into `out`; frees b. */
static enum index_verdict run(struct buf *b)
{
	arena_init(&arena, 1 << 20);
	enum index_verdict v = otlp_index(&ix, buf_slice(b), &INDEX_LIMITS, &arena);
	out.len = 0;
	if (v == INDEX_OK) {
		CHECK_EQ(buf_reserve(&out, ix.edited_size + 1), 0);
		otlp_edit(&ix, buf_slice(b), out.data);
		out.len = ix.edited_size;
	}
	arena_finish(&arena);
	buf_finish(b);
	return v;
}

static Request *decoded(void)
{
	Request *r = request_unpack(NULL, out.len, out.data);
	CHECK(r != NULL);
	return r;
}

static void add_span(struct buf *spans, unsigned number)
{
	struct buf span = {0};
	pb_span_fields(&span, number);
	pb_message(spans, 2, &span);
}

static void test_a_clean_request_needs_no_edit(void)
{
	struct buf spans = {0}, b = {0};
	for (unsigned i = 0; i < 300; i++)
		add_span(&spans, i);
	pb_request(&b, "checkout", &spans);
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.spans, 300);
	CHECK(ix.edits == NULL && ix.rejected == 0 && ix.repaired == 0);
}

static void test_an_empty_request_is_fine(void)
{
	struct buf b = {0};
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.spans, 0);
	pb_str(&b, 1, "");
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(out.len, 0); /* the empty envelope is gone */
}

static void test_invalid_utf8_is_mended_at_every_depth(void)
{
	static char big[300];
	memset(big, 'x', sizeof(big) - 1);
	struct buf spans = {0}, b = {0}, span = {0}, event = {0};
	pb_span_fields(&span, 1);
	pb_attribute(&span, 9, "http.url", "/caf\xe9/\xff");
	pb_attribute(&event, 3, "k\x80", big);
	pb_str(&event, 2, "\xf0\x9f\x98\x80 \xed\xa0\x80"); /* a good one, a surrogate */
	pb_message(&span, 11, &event);
	pb_message(&spans, 2, &span);
	add_span(&spans, 2);
	pb_request(&b, "sh\xc0p", &spans);
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.repaired, 4);
	Request *r = decoded();
	Opentelemetry__Proto__Trace__V1__ScopeSpans *scope = r->resource_spans[0]->scope_spans[0];
	CHECK_EQ(scope->n_spans, 2);
	CHECK_STR(r->resource_spans[0]->resource->attributes[0]->value->string_value,
		  "sh\xef\xbf\xbdp");
	CHECK_STR(scope->spans[0]->attributes[1]->value->string_value,
		  "/caf\xef\xbf\xbd/\xef\xbf\xbd");
	CHECK_STR(scope->spans[0]->events[0]->attributes[0]->key, "k\xef\xbf\xbd");
	CHECK_STR(scope->spans[0]->events[0]->attributes[0]->value->string_value, big);
	CHECK_STR(scope->spans[0]->events[0]->name,
		  "\xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	request_free(r, NULL);
}

/* Makes a span wrong in one way; the walk must lose that span and no other. */
static void check_rejected(void (*spoil)(struct buf *span), enum index_verdict why)
{
	struct buf spans = {0}, b = {0}, span = {0};
	add_span(&spans, 1);
	pb_attribute(&span, 9, "bad\xff", "an edit within a span that goes");
	spoil(&span);
	pb_message(&spans, 2, &span);
	add_span(&spans, 3);
	pb_request(&b, "checkout", &spans);
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.spans, 2);
	CHECK_EQ(ix.rejected, 1);
	CHECK_EQ(ix.why, why);
	CHECK_EQ(ix.repaired, 0);
	Request *r = decoded();
	CHECK_EQ(r->resource_spans[0]->scope_spans[0]->n_spans, 2);
	CHECK_EQ(r->resource_spans[0]->scope_spans[0]->spans[1]->trace_id.data[0], 3);
	request_free(r, NULL);
}

static void ids(struct buf *b, size_t trace, size_t span, int fill)
{
	uint8_t id[32];
	memset(id, fill, sizeof(id));
	pb_bytes(b, 1, id, trace);
	pb_bytes(b, 2, id, span);
}

static void no_ids(struct buf *b)
{
	pb_str(b, 5, "x");
}
static void short_trace_id(struct buf *b)
{
	ids(b, 15, 8, 1);
}
static void long_span_id(struct buf *b)
{
	ids(b, 16, 9, 1);
}
static void zero_ids(struct buf *b)
{
	ids(b, 16, 8, 0);
}
static void bad_parent(struct buf *b)
{
	pb_span_fields(b, 9);
	pb_bytes(b, 4, "seven b", 7);
}
static void bad_link(struct buf *b)
{
	struct buf link = {0};
	pb_span_fields(b, 9);
	pb_bytes(&link, 1, "short", 5);
	pb_message(b, 13, &link);
}
static void two_status(struct buf *b)
{
	pb_span_fields(b, 9);
	pb_str(b, 15, "");
	pb_str(b, 15, "");
}
static void many_attributes(struct buf *b)
{
	pb_span_fields(b, 9);
	for (unsigned i = 0; i < 1024; i++)
		pb_attribute(b, 9, "k", "v");
}
static void many_events(struct buf *b)
{
	pb_span_fields(b, 9);
	for (unsigned i = 0; i < 1025; i++)
		pb_str(b, 11, "");
}
static void long_key(struct buf *b)
{
	char key[1026];
	memset(key, 'k', 1025);
	key[1025] = '\0';
	pb_span_fields(b, 9);
	pb_attribute(b, 9, key, "v");
}
static void nested(struct buf *b, unsigned depth)
{
	struct buf value = {0}, kv = {0};
	for (unsigned i = 1; i < depth; i++) {
		struct buf array = {0}, outer = {0};
		pb_message(&array, 1, &value);
		pb_message(&outer, 5, &array);
		value = outer;
	}
	pb_str(&kv, 1, "deep");
	pb_message(&kv, 2, &value);
	pb_message(b, 9, &kv);
}
static void too_deep(struct buf *b)
{
	pb_span_fields(b, 9);
	nested(b, INDEX_LIMITS.depth + 1);
}

static void test_a_bad_span_costs_only_itself(void)
{
	check_rejected(no_ids, INDEX_ID);
	check_rejected(short_trace_id, INDEX_ID);
	check_rejected(long_span_id, INDEX_ID);
	check_rejected(zero_ids, INDEX_ID);
	check_rejected(bad_parent, INDEX_ID);
	check_rejected(bad_link, INDEX_ID);
	check_rejected(two_status, INDEX_DUPLICATE);
	check_rejected(many_attributes, INDEX_COUNT);
	check_rejected(many_events, INDEX_COUNT);
	check_rejected(long_key, INDEX_LENGTH);
	check_rejected(too_deep, INDEX_DEPTH);
}

static void test_the_deepest_allowed_value_passes(void)
{
	struct buf spans = {0}, b = {0}, span = {0};
	pb_span_fields(&span, 1);
	nested(&span, INDEX_LIMITS.depth);
	pb_message(&spans, 2, &span);
	pb_request(&b, "s", &spans);
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.spans, 1);
}

static void test_nesting_of_thousands_is_refused(void)
{
	struct buf resource = {0}, rs = {0}, b = {0};
	nested(&resource, 5000); /* field 9 of a Resource is unknown: no descent, no harm */
	struct buf attributes = {0}, value = {0};
	for (unsigned i = 0; i < 5000; i++) {
		struct buf list = {0}, outer = {0};
		pb_message(&list, 1, &value);
		pb_message(&outer, 5, &list);
		value = outer;
	}
	pb_message(&attributes, 2, &value);
	pb_message(&resource, 1, &attributes);
	pb_message(&rs, 1, &resource);
	pb_message(&b, 1, &rs);
	CHECK_EQ(run(&b), INDEX_DEPTH);
}

static void test_floods_of_empty_messages_are_refused(void)
{
	struct buf b = {0};
	for (unsigned i = 0; i < 1000000; i++)
		pb_str(&b, 1, "");
	CHECK_EQ(run(&b), INDEX_COST);
}

static void test_a_repeated_resource_is_refused(void)
{
	struct buf rs = {0}, b = {0};
	pb_str(&rs, 1, "");
	pb_str(&rs, 1, "");
	pb_message(&b, 1, &rs);
	CHECK_EQ(run(&b), INDEX_DUPLICATE);
}

static void test_too_many_spans_are_refused(void)
{
	struct buf spans = {0}, b = {0};
	for (unsigned i = 0; i <= INDEX_LIMITS.spans; i++)
		add_span(&spans, i);
	pb_request(&b, "s", &spans);
	CHECK_EQ(run(&b), INDEX_COUNT);
}

static void test_old_field_1000_becomes_scope_spans(void)
{
	struct buf span = {0}, scope_spans = {0}, rs = {0}, b = {0};
	pb_span_fields(&span, 5);
	pb_message(&scope_spans, 2, &span);
	pb_message(&rs, 1000, &scope_spans);
	pb_message(&b, 1, &rs);
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.spans, 1);
	Request *r = decoded();
	CHECK_EQ(r->resource_spans[0]->n_scope_spans, 1);
	CHECK_EQ(r->resource_spans[0]->scope_spans[0]->n_spans, 1);
	request_free(r, NULL);
}

static void test_every_truncation_is_malformed_or_smaller(void)
{
	struct buf spans = {0}, b = {0};
	add_span(&spans, 1);
	pb_request(&b, "checkout", &spans);
	for (size_t cut = 1; cut < b.len; cut++) {
		struct buf part = {0};
		buf_append(&part, b.data, cut);
		CHECK_EQ(run(&part), INDEX_MALFORMED);
	}
	buf_finish(&b);
}

static void test_a_wrong_wire_type_is_malformed(void)
{
	struct buf span = {0}, spans = {0}, b = {0};
	pb_span_fields(&span, 1);
	pb_int(&span, 5, 7); /* the name as a number */
	pb_message(&spans, 2, &span);
	pb_request(&b, "s", &spans);
	CHECK_EQ(run(&b), INDEX_MALFORMED);
}

/* Keys and values of all short lengths, a byte of one of them broken: in whatever way a run of
 * attributes is looked at, that byte is seen. */
static void test_a_broken_byte_is_seen_wherever_it_stands(void)
{
	enum { RUN = 5, LONGEST = 19 };
	for (unsigned len = 1; len <= LONGEST; len++) {
		for (unsigned bad = 0; bad < RUN * len; bad++) {
			struct buf span = {0}, spans = {0}, b = {0};
			pb_span_fields(&span, 1);
			for (unsigned i = 0; i < RUN; i++) {
				char text[LONGEST + 1] = {0};
				memset(text, 'x', len);
				if (bad / len == i)
					text[bad % len] = (char)0xff;
				pb_attribute(&span, 9, i % 2 ? text : "key", i % 2 ? "v" : text);
			}
			pb_message(&spans, 2, &span);
			pb_request(&b, "s", &spans);
			CHECK_EQ(run(&b), INDEX_OK);
			CHECK_EQ(ix.repaired, 1);
			CHECK(memmem(out.data, out.len, "\xef\xbf\xbd", 3) != NULL);
		}
	}
}

static void test_kongs_field_order(void)
{
	struct buf span = {0}, scope_spans = {0}, rs = {0}, resource = {0}, scope = {0}, b = {0};
	pb_int(&span, 6, 2);
	pb_str(&span, 15, "");
	pb_span_fields(&span, 1);
	pb_message(&scope_spans, 2, &span);
	pb_str(&scope, 1, "kong-internal");
	pb_message(&scope_spans, 1, &scope);
	pb_message(&rs, 2, &scope_spans);
	pb_attribute(&resource, 1, "service.name", "kong");
	pb_message(&rs, 1, &resource);
	pb_message(&b, 1, &rs);
	CHECK_EQ(run(&b), INDEX_OK);
	CHECK_EQ(ix.spans, 1);
	CHECK(ix.edits == NULL);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(
	    TEST(test_a_clean_request_needs_no_edit), TEST(test_an_empty_request_is_fine),
	    TEST(test_invalid_utf8_is_mended_at_every_depth),
	    TEST(test_a_bad_span_costs_only_itself), TEST(test_the_deepest_allowed_value_passes),
	    TEST(test_nesting_of_thousands_is_refused),
	    TEST(test_floods_of_empty_messages_are_refused),
	    TEST(test_a_repeated_resource_is_refused), TEST(test_too_many_spans_are_refused),
	    TEST(test_old_field_1000_becomes_scope_spans),
	    TEST(test_every_truncation_is_malformed_or_smaller),
	    TEST(test_a_wrong_wire_type_is_malformed),
	    TEST(test_a_broken_byte_is_seen_wherever_it_stands), TEST(test_kongs_field_order));
}

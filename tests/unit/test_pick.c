/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/otlp_pick.h"

#include "check.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "otlp_sample.h"
#include "wire/otlp_walk.h"
#include "wire/tracestate.h"

typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest Request;
typedef Opentelemetry__Proto__Trace__V1__Span Span;

static const uint64_t R = 0x80000000000000, T10 = 0xe6660000000000, T25 = 0xc0000000000000, T50 = R;
static const uint64_t R_MAX = 0xffffffffffffff;

static Request *unpack(struct slice request)
{
	Request *r =
	    opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
		NULL, request.len, request.data);
	CHECK(r != NULL);
	return r;
}

/* A request of one span with this tracestate (NULL: none), which stands before its name. */
static void put_request(struct buf *out, const char *state)
{
	struct buf span = {0}, spans = {0};
	pb_bytes(&span, 1, "0123456789abcdef", 16);
	pb_bytes(&span, 2, "12345678", 8);
	if (state != NULL)
		pb_str(&span, 3, state);
	pb_str(&span, 5, "GET /");
	pb_bytes(&span, 500, "unknown", 7);
	pb_message(&spans, 2, &span);
	pb_request(out, "shop", &spans);
}

/* Where the spans of a request stand. */
static uint32_t offsets_of(struct slice request, uint32_t *out)
{
	struct slice rest = request;
	struct field r, s, f;
	uint32_t n = 0;
	while (field_next(&rest, &r))
		for (struct slice resource = r.value; field_next(&resource, &s);)
			if (field_is(&s, RESOURCE_SPANS_SCOPE_SPANS))
				for (struct slice scope = s.value; field_next(&scope, &f);)
					if (field_is(&f, SCOPE_SPANS_SPANS))
						out[n++] = (uint32_t)(f.whole.data - request.data);
	return n;
}

/* What becomes of its tracestate; everything else stays. Gives how many went unmarked. */
static unsigned mark(const char *before, struct pick_mark m, const char *after)
{
	struct buf request = {0}, out = {0}, wanted = {0};
	struct picked one = {.mark = m};
	struct otlp_pick *p = otlp_pick_create();
	uint32_t done;
	put_request(&request, before);
	CHECK_EQ(offsets_of(buf_slice(&request), &one.offset), 1);
	otlp_pick_reset(p, 1 << 20);
	CHECK_EQ(otlp_pick_add(p, buf_slice(&request), false, &one, 1, &done), 0);
	CHECK_EQ(done, 1);
	CHECK_EQ(otlp_pick_write(p, &out), 0);
	Request *r = unpack(buf_slice(&out));
	Span *span = r->resource_spans[0]->scope_spans[0]->spans[0];
	CHECK_STR(span->trace_state, after);
	CHECK_STR(span->name, "GET /");
	CHECK_EQ(span->base.n_unknown_fields, 1);
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(
	    r, NULL);
	if (before != NULL && *after != '\0') { /* its place is the old one */
		put_request(&wanted, after);
		CHECK(slice_equal(buf_slice(&out), buf_slice(&wanted)));
	}
	unsigned unmarked = otlp_pick_unmarked(p);
	otlp_pick_destroy(p);
	buf_finish(&request);
	buf_finish(&wanted);
	buf_finish(&out);
	return unmarked;
}

static struct pick_mark keeps(uint64_t threshold)
{
	return (struct pick_mark){.write_th = true, .threshold = threshold, .randomness = R_MAX};
}

static void test_a_threshold_is_written_and_never_lowered(void)
{
	CHECK_EQ(mark(NULL, keeps(T10), "ot=th:e666"), 0);
	CHECK_EQ(mark("", keeps(T10), "ot=th:e666"), 0);
	CHECK_EQ(mark("ot=th:c", keeps(T10), "ot=th:e666"), 0);
	CHECK_EQ(mark("ot=th:fd70a", keeps(T10), "ot=th:fd70a"), 0);
	CHECK_EQ(mark("ot=th:e666", keeps(T10), "ot=th:e666"), 0);
	CHECK_EQ(mark(NULL, keeps(0), "ot=th:0"), 0);
	CHECK_EQ(mark(NULL, keeps(0xe6660000000001), "ot=th:e6660000000001"), 0);
}

static void test_what_others_wrote_stays(void)
{
	CHECK_EQ(mark("a=1,ot=th:8;rv:ffffffffffffff;x:y,b=2", keeps(T25),
		      "ot=th:c;rv:ffffffffffffff;x:y,a=1,b=2"),
		 0);
	CHECK_EQ(mark("sn=s:199", keeps(T50), "ot=th:8,sn=s:199"), 0);
	CHECK_EQ(mark("sn=s:199", (struct pick_mark){.randomness = R}, "sn=s:199"), 0);
	CHECK_EQ(mark(" a=1 , ot=th:8 ", (struct pick_mark){.randomness = R}, " a=1 , ot=th:8 "),
		 0);
}

static void test_a_threshold_that_would_be_false_goes(void)
{
	struct pick_mark unknown = {.erase_th = true, .randomness = R_MAX};
	struct pick_mark low = {.randomness = R - 1};
	CHECK_EQ(mark("ot=th:8,a=1", unknown, "a=1"), 0);
	CHECK_EQ(mark("ot=th:8", unknown, ""), 0);
	CHECK_EQ(mark(NULL, unknown, ""), 0);
	CHECK_EQ(mark("ot=th:8;x:y", low, "ot=x:y"), 0);
	CHECK_EQ(mark("ot=th:7", low, "ot=th:7"), 0);
	low.write_th = true;
	low.threshold = T10;
	CHECK_EQ(mark(NULL, low, ""), 0);
}

static void test_randomness_is_written_where_there_is_none(void)
{
	struct pick_mark m = {.write_th = true, .write_rv = true, .threshold = 0, .randomness = R};
	CHECK_EQ(mark(NULL, m, "ot=th:0;rv:80000000000000"), 0);
	CHECK_EQ(mark("ot=rv:90000000000000", m, "ot=th:0;rv:90000000000000"), 0);
}

static void test_a_tracestate_that_cannot_be_marked_stays(void)
{
	char longest[TRACESTATE_MAX_OT + 8] = "ot=x:", *end = longest + 5;
	CHECK_EQ(mark("ot=th:xyz", keeps(T10), "ot=th:xyz"), 1);
	memset(end, 'y', TRACESTATE_MAX_OT - 2);
	end[TRACESTATE_MAX_OT - 2] = '\0';
	CHECK_EQ(mark(longest, keeps(T10), longest), 1);
	CHECK_EQ(mark("ot=th:xyz", (struct pick_mark){.randomness = R}, "ot=th:xyz"), 0);
}

/* ---- many spans ---- */

enum { SPANS = 60 };

/* A request with spans 1 to SPANS in resources and scopes of random sizes, some empty. With tails,
 * a schema_url that names the scope stands behind the spans of each. */
static void put_many(struct buf *out, bool tails, unsigned *seed)
{
	for (uint64_t id = 1; id <= SPANS;) {
		struct buf scope = {0}, resource = {0};
		*seed = *seed * 1664525 + 1013904223;
		char name[] = {10, 4, 'l', 'i', 'b', (char)('a' + (*seed >> 13) % 3)};
		pb_bytes(&scope, 1, name, sizeof(name));
		for (unsigned n = (*seed >> 17) % 9; n != 0 && id <= SPANS; n--)
			pb_numbered_span(&scope, id++, (*seed >> 20) % 50);
		if (tails)
			pb_bytes(&scope, 3, name + 2, 4);
		pb_bytes(&resource, 1, name + 1, 0);
		pb_message(&resource, 2, &scope);
		pb_message(out, 1, &resource);
	}
}

static uint64_t id_of(const Span *s)
{
	uint64_t id;
	CHECK_EQ(s->span_id.len, 8);
	memcpy(&id, s->span_id.data, 8);
	return id;
}

/* Counts the spans of a request that was written, by id, with the scope they are in. */
static void count_spans(struct slice request, bool marked, bool tails, unsigned *seen, char *lib)
{
	Request *r = unpack(request);
	for (size_t i = 0; i < r->n_resource_spans; i++)
		for (size_t k = 0; k < r->resource_spans[i]->n_scope_spans; k++) {
			Opentelemetry__Proto__Trace__V1__ScopeSpans *s =
			    r->resource_spans[i]->scope_spans[k];
			for (size_t n = 0; n < s->n_spans; n++) {
				uint64_t id = id_of(s->spans[n]);
				CHECK(id >= 1 && id <= SPANS);
				seen[id]++;
				lib[id] = s->scope->name[3];
				CHECK(lib[id] != '\0');
				CHECK_STR(s->schema_url, tails ? s->scope->name : "");
				if (marked)
					CHECK_STR(s->spans[n]->trace_state,
						  (id - 1) % 3 == 0 ? "ot=th:e6660000000001"
								    : "ot=th:e666");
			}
		}
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(
	    r, NULL);
}

static void test_the_spans_that_are_picked_and_no_others(void)
{
	unsigned seed = 5;
	struct otlp_pick *p = otlp_pick_create();
	for (int round = 0; round < 500; round++) {
		struct buf request = {0}, out = {0};
		struct picked list[SPANS];
		unsigned all[SPANS + 1] = {0}, seen[SPANS + 1] = {0};
		char from[SPANS + 1] = {0}, to[SPANS + 1] = {0};
		uint32_t n = 0, done, at = 0;
		size_t max = round % 2 ? 1 << 20 : 300;
		bool run = round % 3 == 2; /* of spans that stay as they are */
		bool tails = round % 5 == 1;
		uint32_t at_of[SPANS], k = 0;
		uint32_t first = (seed >> 8) % SPANS,
			 end = first + (seed >> 16) % (SPANS + 1 - first);
		put_many(&request, tails, &seed);
		CHECK_EQ(offsets_of(buf_slice(&request), at_of), SPANS);
		count_spans(buf_slice(&request), false, tails, all, from);
		for (uint32_t i = 0; i < SPANS; i++)
			if (run && i >= first && i < end)
				list[n++] = (struct picked){at_of[i], {.as_is = true}};
			else if ((seed = seed * 1664525 + 1013904223) >> 30 == 0 && !run)
				list[n++] = (struct picked){at_of[i], keeps(T10 + (i % 3 == 0))};
		otlp_pick_reset(p, max);
		while (at < n) {
			int rc =
			    otlp_pick_add(p, buf_slice(&request), tails, list + at, n - at, &done);
			CHECK(rc == 0 || (rc == PICK_FULL && max == 300));
			at += done;
			out.len = 0;
			CHECK_EQ(otlp_pick_write(p, &out), 0);
			CHECK(out.len <= max || otlp_pick_spans(p) == 1);
			count_spans(buf_slice(&out), !run, tails, seen, to);
			otlp_pick_reset(p, max);
		}
		for (uint32_t i = 0; i < SPANS; i++) {
			bool wanted = k < n && list[k].offset == at_of[i];
			CHECK_EQ(seen[i + 1], wanted);
			CHECK(!wanted || to[i + 1] == from[i + 1]);
			k += wanted;
		}
		buf_finish(&request);
		buf_finish(&out);
	}
	otlp_pick_destroy(p);
}

static void test_spans_that_are_not_there_are_not_done(void)
{
	struct buf request = {0};
	struct otlp_pick *p = otlp_pick_create();
	uint32_t done = 9, at;
	put_request(&request, NULL);
	CHECK_EQ(offsets_of(buf_slice(&request), &at), 1);
	struct picked list[3] = {{at, keeps(0)}, {at + 1, keeps(0)}, {9999, keeps(0)}};
	otlp_pick_reset(p, 1 << 20);
	CHECK_EQ(otlp_pick_add(p, buf_slice(&request), false, list, 3, &done), 0);
	CHECK_EQ(done, 1);
	struct picked run[2] = {{0, {.as_is = true}}, {9999, {.as_is = true}}};
	CHECK_EQ(otlp_pick_add(p, buf_slice(&request), false, run, 2, &done), 0);
	CHECK_EQ(done, 0);
	CHECK_EQ(otlp_pick_add(p, buf_slice(&request), false, list, 0, &done), 0);
	CHECK_EQ(done, 0);
	CHECK_EQ(otlp_pick_spans(p), 1);
	otlp_pick_destroy(p);
	buf_finish(&request);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_threshold_is_written_and_never_lowered),
		   TEST(test_what_others_wrote_stays),
		   TEST(test_a_threshold_that_would_be_false_goes),
		   TEST(test_randomness_is_written_where_there_is_none),
		   TEST(test_a_tracestate_that_cannot_be_marked_stays),
		   TEST(test_the_spans_that_are_picked_and_no_others),
		   TEST(test_spans_that_are_not_there_are_not_done));
}

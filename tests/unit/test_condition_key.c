/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "condition_sample.h"

static const struct siphash_key KEY = {11, 22};

enum { SPANS = 8 };
static uint32_t told[SPANS][CONDITION_FIELDS];

static void on_told(void *user, const struct span_facts *f)
{
	uint32_t n = *(uint32_t *)user;
	CHECK(f->ordinal < SPANS);
	memcpy(told[f->ordinal], f->keys, n * sizeof(told[0][0]));
}

static uint32_t add_field(struct condition_set *set, const char *text)
{
	struct condition_error why;
	uint32_t number = 0;
	int rc = condition_add_field(set, slice_str(text), &number, &why);
	if (rc != 0) {
		printf("FAIL %s: at %zu: %s\n", text, why.offset, why.words);
		exit(1);
	}
	return number;
}

/* What each span has in the fields, up to NULL. */
static void tell(const struct buf *request, const char *const *fields, const struct siphash_key *k)
{
	struct condition_set *set = condition_set_create();
	uint32_t n = 0;
	for (; fields[n] != NULL; n++)
		CHECK_EQ(add_field(set, fields[n]), n);
	CHECK_EQ(condition_compile(set), 0);
	CHECK_EQ(condition_set_fields(set), n);
	struct condition_scratch *s = condition_scratch_create(set);
	if (k != NULL)
		condition_scratch_set_key(s, k);
	memset(told, 0, sizeof(told));
	condition_evaluate(set, s, buf_slice(request), on_told, &n);
	condition_scratch_destroy(s);
	condition_set_destroy(set);
}

static uint32_t hash_of(const char *text)
{
	return (uint32_t)siphash(&KEY, text, strlen(text));
}

static void array_of_two(struct buf *span, const char *key, const char *a, const char *b)
{
	struct buf v = {0}, array = {0}, element = {0};
	pb_str(&element, 1, a);
	pb_message(&array, 1, &element);
	pb_str(&element, 1, b);
	pb_message(&array, 1, &element);
	pb_message(&v, 5, &array);
	pb_value(span, 9, key, &v);
}

/* A span for each type of x. */
static void test_values_are_hashed_by_their_text(void)
{
	struct buf span = {0}, spans = {0}, request = {0}, empty = {0};
	for (uint8_t i = 0; i < SPANS; i++) {
		pb_span_head(&span, i, false, 1);
		if (i == 0)
			pb_int_attribute(&span, 9, "x", 200);
		else if (i == 1)
			pb_double_attribute(&span, 9, "x", 200.0);
		else if (i == 2)
			pb_attribute(&span, 9, "x", "200");
		else if (i == 3)
			pb_bool_attribute(&span, 9, "x", true);
		else if (i == 4)
			array_of_two(&span, "x", "a", "b");
		else if (i == 5)
			array_of_two(&span, "x", "b", "a");
		else if (i == 6)
			pb_value(&span, 9, "x", &empty);
		pb_message(&spans, 2, &span);
	}
	pb_request(&request, "s", &spans);
	tell(&request, (const char *const[]){"span.x", "x", NULL}, &KEY);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(told[i][0], hash_of("200"));
	CHECK_EQ(told[3][0], hash_of("true"));
	CHECK(told[4][0] != 0 && told[5][0] != 0 && told[4][0] != told[5][0]);
	CHECK(told[6][0] != 0);
	CHECK_EQ(told[7][0], 0);
	for (int i = 0; i < SPANS; i++)
		CHECK_EQ(told[i][0], told[i][1]);
	buf_finish(&request);
}

static void test_negative_and_large_numbers(void)
{
	static const struct {
		int64_t n;
		const char *text;
	} ROWS[] = {{0, "0"},
		    {-7, "-7"},
		    {INT64_MAX, "9223372036854775807"},
		    {INT64_MIN, "-9223372036854775808"}};
	struct buf span = {0}, spans = {0}, request = {0};
	for (uint8_t i = 0; i < 4; i++) {
		pb_span_head(&span, i, false, 1);
		pb_int_attribute(&span, 9, "x", ROWS[i].n);
		pb_message(&spans, 2, &span);
	}
	pb_request(&request, "s", &spans);
	tell(&request, (const char *const[]){"x", NULL}, &KEY);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(told[i][0], hash_of(ROWS[i].text));
	buf_finish(&request);
}

/* Two services; a root in the first; what a span has itself goes before its resource. */
static void make_two(struct buf *request)
{
	struct buf span = {0}, spans = {0}, status = {0};
	pb_span_head(&span, 1, true, 1);
	pb_str(&span, 5, "GET /pay");
	pb_int(&span, 6, 2);
	pb_attribute(&span, 9, "http.method", "GET");
	pb_attribute(&span, 9, "url.path", "/pay/1");
	pb_attribute(&span, 9, "http.route", "/pay");
	pb_message(&spans, 2, &span);
	pb_span_head(&span, 2, false, 1);
	pb_attribute(&span, 9, "url.path", "/pay/1");
	pb_message(&spans, 2, &span);
	pb_request(request, "shop", &spans);
	pb_span_head(&span, 3, false, 1);
	pb_attribute(&span, 9, "service.name", "own");
	pb_attribute(&span, 9, "odd key", "1");
	pb_int(&status, 3, 2);
	pb_message(&span, 15, &status);
	pb_message(&spans, 2, &span);
	pb_span_head(&span, 4, false, 1);
	pb_message(&spans, 2, &span);
	pb_request(request, "bank", &spans);
}

static void test_where_fields_are_looked_for(void)
{
	static const struct {
		const char *field;
		const char *want[4];
	} ROWS[] = {
	    {"service.name", {"shop", "shop", "own", "bank"}},
	    {"resource.service.name", {"shop", "shop", "bank", "bank"}},
	    {"span.service.name", {NULL, NULL, "own", NULL}},
	    {"http.route | url.path", {"/pay", "/pay/1", NULL, NULL}},
	    {"span.url.path|span.http.route", {"/pay/1", "/pay/1", NULL, NULL}},
	    {"http.request.method", {"GET", NULL, NULL, NULL}},
	    {"span.http.method", {"GET", NULL, NULL, NULL}},
	    {"root.url.path", {"/pay/1", NULL, NULL, NULL}},
	    {"root.resource.service.name", {"shop", NULL, NULL, NULL}},
	    {"span.name", {"GET /pay", NULL, NULL, NULL}},
	    {"span.kind", {"server", "unspecified", "unspecified", "unspecified"}},
	    {"span.status", {"unset", "unset", "error", "unset"}},
	    {"span.error", {"false", "false", "true", "false"}},
	    {"scope.name", {"test", "test", "test", "test"}},
	    {"scope.version", {NULL, NULL, NULL, NULL}},
	    {"\"odd key\" | resource.service.name", {"shop", "shop", "1", "bank"}},
	};
	struct buf request = {0};
	make_two(&request);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		tell(&request, (const char *const[]){ROWS[i].field, NULL}, &KEY);
		for (int k = 0; k < 4; k++) {
			const char *want = ROWS[i].want[k];
			if (told[k][0] != (want != NULL ? hash_of(want) : 0)) {
				printf("FAIL %s of span %d\n", ROWS[i].field, k);
				exit(1);
			}
		}
	}
	buf_finish(&request);
}

static void test_the_key_decides_the_hash(void)
{
	static const char *const FIELDS[] = {"service.name", NULL};
	struct buf request = {0};
	make_two(&request);
	tell(&request, FIELDS, &KEY);
	uint32_t first = told[0][0];
	tell(&request, FIELDS, &KEY);
	CHECK_EQ(told[0][0], first);
	tell(&request, FIELDS, &(struct siphash_key){11, 23});
	CHECK(told[0][0] != first);
	tell(&request, FIELDS, NULL);
	CHECK_EQ(told[0][0], (uint32_t)siphash(&(struct siphash_key){0, 0}, "shop", 4));
	buf_finish(&request);
}

static void test_equal_fields_are_one(void)
{
	struct condition_set *set = condition_set_create();
	CHECK_EQ(add_field(set, "span.a | span.b"), 0);
	CHECK_EQ(add_field(set, "span.b | span.a"), 1);
	CHECK_EQ(add_field(set, " span.a|span.b "), 0);
	CHECK_EQ(add_field(set, "root.a"), 2);
	CHECK_EQ(add_field(set, "span.a"), 3);
	CHECK_EQ(condition_set_fields(set), 4);
	condition_set_destroy(set);
}

static void test_conditions_and_fields_do_not_disturb_each_other(void)
{
	struct condition_set *set = condition_set_create();
	struct buf request = {0};
	uint32_t n = 1;
	make_two(&request);
	add_text(set, "any(span.url.path == \"/pay/1\" and resource.service.name == 'shop')");
	CHECK_EQ(add_field(set, "url.path"), 0);
	add_text(set, "any(span.http.route exists)");
	CHECK_EQ(condition_compile(set), 0);
	struct trace_facts t = facts_of(set, buf_slice(&request));
	CHECK(condition_holds(set, 0, &t) && condition_holds(set, 1, &t));
	struct condition_scratch *s = condition_scratch_create(set);
	condition_scratch_set_key(s, &KEY);
	condition_evaluate(set, s, buf_slice(&request), on_told, &n);
	CHECK_EQ(told[1][0], hash_of("/pay/1"));
	condition_scratch_destroy(s);
	condition_set_destroy(set);
	buf_finish(&request);
}

static void test_errors_say_where_and_what(void)
{
	static const struct {
		const char *text;
		size_t offset;
		const char *words;
	} ROWS[] = {
	    {"", 0, "expected a field, such as resource.team or http.route"},
	    {"5", 0, "expected a field, such as resource.team"},
	    {"a |", 3, "expected a field, such as resource.team"},
	    {"a || b", 3, "expected a field, such as resource.team"},
	    {"a b", 2, "expected `|` or the end of the field"},
	    {"a == 5", 2, "expected `|` or the end of the field"},
	    {"\"\"", 0, "expected the key of an attribute"},
	    {"a | #", 4, "`#` means nothing here"},
	    {"trace.duration", 0, "what is counted of a trace is no key"},
	    {"trace.id", 0, "rules cannot read ids or tracestate"},
	    {"trace_id", 0, "rules cannot read ids or tracestate"},
	    {"a | span.span_id", 4, "rules cannot read ids or tracestate"},
	    {"\"TraceId\"", 0, "rules cannot read ids or tracestate"},
	    {"event.name", 0, "a span has many events and links"},
	    {"link.x", 0, "a span has many events and links"},
	    {"span.duration", 0, "durations are all different: they are no key"},
	    {"root.duration_ms", 0, "durations are all different"},
	    {"span.a | root.a", 9, "fields of the root and of spans are no alternatives"},
	    {"span.kind | a", 0, "this field is never missing"},
	    {"a | span.error", 4, "this field is never missing"},
	    {"name", 0, "unknown field `name`, did you mean `span.name`?"},
	    {"kind", 0,
	     "did you mean `span.kind`? (an attribute of that name is written \"kind\")"},
	    {"span.nam", 0, "unknown field `span.nam`, did you mean `span.name`?"},
	    {"resuorce.team", 0, "unknown field `resuorce.team`, did you mean `resource.team`?"},
	    {"spam.x", 0, "did you mean `span.x`? (an attribute of that name is written"},
	    {"tenant", 0, "`tenant` comes with identity"},
	    {"a|b|c|d|e|f|g|h|i", 16, "more than 8 alternatives"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct condition_set *set = condition_set_create();
		struct condition_error why;
		uint32_t number;
		int rc = condition_add_field(set, slice_str(ROWS[i].text), &number, &why);
		if (rc != CONDITION_BAD || why.offset != ROWS[i].offset ||
		    strstr(why.words, ROWS[i].words) == NULL) {
			printf("FAIL %s: %d at %zu: %s\n", ROWS[i].text, rc, why.offset, why.words);
			exit(1);
		}
		CHECK_EQ(condition_set_fields(set), 0);
		condition_set_destroy(set);
	}
}

static void test_no_more_than_16_fields(void)
{
	struct condition_set *set = condition_set_create();
	struct condition_error why;
	char text[16];
	uint32_t number;
	for (uint32_t i = 0; i < CONDITION_FIELDS; i++) {
		snprintf(text, sizeof(text), "span.a%u", i);
		CHECK_EQ(add_field(set, text), i);
	}
	CHECK_EQ(add_field(set, "span.a7"), 7);
	CHECK_EQ(condition_add_field(set, slice_str("b"), &number, &why), CONDITION_BAD);
	CHECK(strstr(why.words, "more than 16 different fields of keys") != NULL);
	condition_set_destroy(set);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_values_are_hashed_by_their_text),
		   TEST(test_negative_and_large_numbers), TEST(test_where_fields_are_looked_for),
		   TEST(test_the_key_decides_the_hash), TEST(test_equal_fields_are_one),
		   TEST(test_conditions_and_fields_do_not_disturb_each_other),
		   TEST(test_errors_say_where_and_what), TEST(test_no_more_than_16_fields));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "redaction_fixture.h"

#define Request Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define Span    Opentelemetry__Proto__Trace__V1__Span
#define request_unpack                                                                             \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define request_free                                                                               \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked

static Request *decoded(void)
{
	Request *r = request_unpack(NULL, body.len, body.data);
	CHECK(r != NULL);
	return r;
}

static Span *span_of(Request *r)
{
	return r->resource_spans[0]->scope_spans[0]->spans[0];
}

static void test_a_secret_goes_wherever_it_stands(void)
{
	fixture_begin();
	for (int at = 0; at < WHERES; at++) {
		for (int how = 0; how < (at <= IN_LINK ? AS_INT : 1); how++) {
			redact_one((enum where)at, (enum how)how, "key", "a " SECRET " b");
			CHECK(!body_has("Zx81") && !body_has("kQ0p") && !body_has("Lm3T"));
			CHECK(at == IN_UNKNOWN || body_has("a " STARS " b"));
			CHECK(at != IN_UNKNOWN || counts.unknown_fields == 1);
		}
	}
	fixture_end();
}

static void test_a_clean_request_stays_as_it_is(void)
{
	fixture_begin();
	for (int at = 0; at < IN_UNKNOWN; at++) {
		struct buf was = {0};
		redact_one((enum where)at, AS_DEEP, "key",
			   "nothing to hide, %41, U29tZXRoaW5nIHBsYWlu");
		put_request(&was, (enum where)at, AS_DEEP, slice_str("key"),
			    slice_str("nothing to hide, %41, U29tZXRoaW5nIHBsYWlu"));
		CHECK(slice_equal(buf_slice(&was), buf_slice(&body)));
		CHECK(counts.hits == 0 && counts.spans == 0);
		buf_finish(&was);
	}
	fixture_end();
}

static void test_overlapping_secrets_are_masked_as_one(void)
{
	fixture_begin();
	redact_one(IN_SPAN, AS_STRING, "key", "over_" SECRET);
	CHECK(body_has("*****" STARS) && !body_has("over_") && counts.hits == 1);
	redact_one(IN_SPAN, AS_STRING, "key", SECRET SECRET);
	CHECK(body_has(STARS STARS) && counts.masked_bytes == 2 * strlen(SECRET));
	redact_one(IN_SPAN, AS_STRING, "key", "\xc3\xa9" SECRET "\xc3\xa9");
	CHECK(body_has("\xc3\xa9" STARS "\xc3\xa9"));
	fixture_end();
}

static void test_numbers_become_texts(void)
{
	fixture_begin();
	redact_one(IN_SPAN, AS_INT, "key", CARD);
	Request *r = decoded();
	CHECK_STR(span_of(r)->attributes[2]->value->string_value, "*******");
	request_free(r, NULL);
	redact_one(IN_SPAN, AS_DOUBLE, "key", CARD);
	CHECK_EQ(counts.hits, 1);
	redact_one(IN_SPAN, AS_INT, "key", "4111111111111112");
	CHECK_EQ(counts.hits, 0);
	conf.mask = CONF_MASK_REPLACE;
	fixture_end();
	conf.mask = CONF_MASK_REPLACE;
	fixture_begin();
	redact_one(IN_SPAN, AS_INT, "key", CARD);
	r = decoded();
	CHECK_STR(span_of(r)->attributes[2]->value->string_value, "[REDACTED]");
	request_free(r, NULL);
	fixture_end();
}

static void test_keys_say_what_is_under_them(void)
{
	conf.keys.block = fixture_names("*secret*");
	conf.keys.ignore = fixture_names("http.route");
	fixture_begin();
	for (int how = AS_STRING; how <= AS_DEEP; how++) {
		redact_one(IN_EVENT, (enum how)how, "my.secret.thing", "abcdefgh");
		CHECK(body_has("********") && !body_has("abcdefgh"));
		redact_one(IN_EVENT, (enum how)how, "http.route", SECRET);
		CHECK(body_has(SECRET) && counts.hits == 0);
		redact_one(IN_EVENT, (enum how)how, "db.password", "hunter2");
		/* in a kvlist the inner key counts */
		CHECK_EQ(body_has("hunter2"), how == AS_KVLIST || how == AS_DEEP);
	}
	redact_one(IN_EVENT, AS_INT, "secret", "7");
	CHECK_EQ(counts.hits, 1);
	redact_one(IN_EVENT, AS_STRING, "db.password", "hu");
	CHECK(body_has("**") && counts.hits == 1);
	CHECK_EQ(redactor_count(redactor, ruleset_rules(set) + EXTRA_KEY_BLOCKED,
				POSITION_EVENT_ATTRIBUTE),
		 6);
	fixture_end();
}

static void test_attributes_not_listed_are_dropped_and_counted(void)
{
	conf.keys.allow_only = fixture_names("after");
	fixture_begin();
	redact_one(IN_SPAN, AS_STRING, "key", "value");
	Request *r = decoded();
	CHECK_EQ(span_of(r)->n_attributes, 1);
	CHECK_EQ(span_of(r)->dropped_attributes_count, 3);
	CHECK_EQ(span_of(r)->events[0]->dropped_attributes_count, 1);
	CHECK_EQ(span_of(r)->links[0]->dropped_attributes_count, 1);
	CHECK_EQ(r->resource_spans[0]->resource->dropped_attributes_count, 1);
	CHECK_EQ(r->resource_spans[0]->resource->n_entity_refs, 0); /* it named one of them */
	CHECK_EQ(r->resource_spans[0]->scope_spans[0]->scope->dropped_attributes_count, 1);
	request_free(r, NULL);
	fixture_end();
}

static void test_a_dropped_attribute_raises_the_count_that_is_there(void)
{
	conf.mask = CONF_MASK_DROP;
	fixture_begin();
	struct buf span = {0}, spans = {0};
	pb_span_fields(&span, 1);
	pb_attribute(&span, 9, "a", SECRET);
	pb_int(&span, 10, 126);
	pb_attribute(&span, 9, "b", SECRET " and " SECRET);
	pb_message(&spans, 2, &span);
	pb_span_fields(&span, 2);
	pb_message(&spans, 2, &span);
	body.len = 0;
	pb_request(&body, "s", &spans);
	redact_body(1 << 20);
	Request *r = decoded();
	CHECK_EQ(span_of(r)->dropped_attributes_count, 128);
	CHECK_EQ(span_of(r)->n_attributes, 1);
	request_free(r, NULL);
	redact_one(IN_NAME, AS_STRING, "", "the " SECRET);
	r = decoded();
	CHECK_STR(span_of(r)->name, "");
	request_free(r, NULL);
	fixture_end();
}

static void test_every_style_is_written_and_known_again(void)
{
	static uint8_t key[] = "0123456789abcdef0123456789abcdef";
	static const char *const WANT[] = {
	    "a " STARS " b",    "a [REDACTED] b",          "a [REDACTED:token] b",
	    "a hmac:0badcafe:", "a ***************Lm3T b", "nothing to see"};
	for (int mask = CONF_MASK_KEEP_LENGTH; mask <= CONF_MASK_DROP; mask++) {
		conf.mask = (enum conf_mask)mask;
		conf.hmac_key = key;
		conf.hmac_key_len = 32;
		memcpy(conf.hmac_key_id, "0badcafe", 9);
		fixture_begin();
		for (int how = AS_STRING; how < AS_INT; how++) {
			redact_one(IN_LINK, (enum how)how, "key", "a " SECRET " b");
			CHECK(!body_has("Zx81"));
			if (how == AS_STRING)
				CHECK(body_has(WANT[mask]));
		}
		redact_one(IN_SPAN, AS_STRING, "url.full", "http://a.example/?sig=abcdef&x=1");
		CHECK(body_has("?sig=REDACTED&x=1"));
		fixture_end();
	}
}

static void test_a_request_never_grows_past_its_limit(void)
{
	for (int mask = CONF_MASK_REPLACE; mask <= CONF_MASK_TYPED; mask++) {
		conf.mask = (enum conf_mask)mask;
		conf.marks = MARKS_COUNT;
		fixture_begin();
		body.len = 0;
		put_request(&body, IN_SPAN, AS_STRING, slice_str("db.password"), slice_str("pw"));
		size_t limit = body.len;
		redact_body(limit);
		CHECK(body.len <= limit && body_has("**") && !body_has("[REDACTED"));
		fixture_end();
	}
}

static void test_marks_add_up(void)
{
	conf.marks = MARKS_COUNT;
	fixture_begin();
	redact_one(IN_EVENT, AS_DEEP, "key", SECRET);
	Request *r = decoded();
	CHECK_EQ(span_of(r)->n_attributes, 4);
	CHECK_STR(span_of(r)->attributes[3]->key, "redaction.masked.count");
	CHECK_EQ(span_of(r)->attributes[3]->value->int_value, 1);
	request_free(r, NULL);
	struct buf span = {0}, spans = {0}, kv = {0}, value = {0};
	pb_span_fields(&span, 1);
	pb_attribute(&span, 9, "a", SECRET);
	pb_int(&value, 3, 41);
	pb_str(&kv, 1, "redaction.masked.count");
	pb_message(&kv, 2, &value);
	pb_message(&span, 9, &kv);
	pb_message(&spans, 2, &span);
	pb_span_fields(&span, 2);
	pb_message(&spans, 2, &span);
	body.len = 0;
	pb_request(&body, SECRET, &spans);
	redact_body(1 << 20);
	r = decoded();
	CHECK_EQ(span_of(r)->n_attributes, 3);
	CHECK_EQ(span_of(r)->attributes[2]->value->int_value, 42);
	CHECK_EQ(r->resource_spans[0]->resource->n_attributes, 1);
	CHECK_EQ(counts.spans, 1);
	request_free(r, NULL);
	fixture_end();
}

static void test_what_was_encoded_is_masked_where_it_stands(void)
{
	static const struct {
		const char *text, *want;
	} FORMS[] = {
	    {"q=sekret%5FZx81kQ0pLm3T&x", "q=*********************&x"},
	    {"q=sekret%255FZx81kQ0pLm3T&x", "q=***********************&x"},
	    {"{\"a\":\"sekret\\u005fZx81kQ0pLm3T\"}", "{\"a\":\"************************\"}"},
	    {"token c2VrcmV0X1p4ODFrUTBwTG0zVA== end", "token **************************== end"},
	    {"/v1/c2VrcmV0X1p4ODFrUTBwTG0zVA", "/v1/**************************"},
	    {"sekret&#95;Zx81kQ0pLm3T", "***********************"},
	    {"sekret\\x5fZx81kQ0pLm3T.", "**********************."},
	    {"%25255F is too deep", "*******************"},
	};
	fixture_begin();
	for (size_t i = 0; i < sizeof(FORMS) / sizeof(FORMS[0]); i++) {
		redact_one(IN_SPAN, AS_STRING, "key", FORMS[i].text);
		Request *r = decoded();
		CHECK_STR(span_of(r)->attributes[2]->value->string_value, FORMS[i].want);
		request_free(r, NULL);
	}
	fixture_end();
}

static void test_what_cannot_be_looked_through_is_masked(void)
{
	static char text[SCAN_MAX_VALUE + 2];
	fixture_begin();
	memset(text, 'x', sizeof(text) - 1);
	redact_one(IN_SPAN, AS_STRING, "key", text);
	CHECK(!body_has("xxxx") && counts.hits == 1);
	CHECK_EQ(
	    redactor_count(redactor, ruleset_rules(set) + EXTRA_TOO_LONG, POSITION_SPAN_ATTRIBUTE),
	    1);
	text[SCAN_MAX_VALUE] = '\0';
	memcpy(text + SCAN_MAX_VALUE - strlen(SECRET), SECRET, strlen(SECRET));
	redact_one(IN_SPAN, AS_STRING, "key", text);
	CHECK(!body_has("Zx81") && body_has("xxxx"));
	fixture_end();
}

static void test_a_text_alone_tells_its_ranges(void)
{
	const struct redact_range *ranges;
	struct buf out = {0};
	uint32_t n;
	fixture_begin();
	struct slice text = slice_str("a " SECRET " b sekret%5FZx81kQ0pLm3T");
	CHECK_EQ(redact_text(redactor, set, slice_str(""), text, &ranges, &n), 0);
	CHECK_EQ(n, 2);
	CHECK(ranges[0].start == 2 && ranges[0].end == 21 && ranges[0].number == 0);
	CHECK_EQ(redact_write(set, text, ranges, n, &out), 0);
	CHECK(slice_is(buf_slice(&out), "a " STARS " b **" STARS));
	CHECK_EQ(
	    redact_text(redactor, set, slice_str("db.password"), slice_str("hunter2"), &ranges, &n),
	    0);
	CHECK(n == 1 && ranges[0].end == 7);
	buf_finish(&out);
	fixture_end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_secret_goes_wherever_it_stands),
		   TEST(test_a_clean_request_stays_as_it_is),
		   TEST(test_overlapping_secrets_are_masked_as_one),
		   TEST(test_numbers_become_texts), TEST(test_keys_say_what_is_under_them),
		   TEST(test_attributes_not_listed_are_dropped_and_counted),
		   TEST(test_a_dropped_attribute_raises_the_count_that_is_there),
		   TEST(test_every_style_is_written_and_known_again),
		   TEST(test_a_request_never_grows_past_its_limit), TEST(test_marks_add_up),
		   TEST(test_what_was_encoded_is_masked_where_it_stands),
		   TEST(test_what_cannot_be_looked_through_is_masked),
		   TEST(test_a_text_alone_tells_its_ranges));
}

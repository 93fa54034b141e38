/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "otlp_sample.h"
#include "wire/otlp_index.h"
#include "wire/otlp_json.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static struct buf out;
static const char *why;

static enum index_verdict convert_bytes(struct slice text)
{
	uint8_t *exact = malloc(text.len + 1); /* an overrun of the text shows under ASan */
	CHECK(exact != NULL);
	memcpy(exact, text.data, text.len);
	exact = realloc(exact, text.len != 0 ? text.len : 1);
	buf_finish(&out);
	enum index_verdict v = otlp_json(slice_of(exact, text.len), &out, &why);
	free(exact);
	CHECK((v == INDEX_OK) == (why == NULL));
	return v;
}

static enum index_verdict convert(const char *text)
{
	return convert_bytes(slice_str(text));
}

/* What stands around the members of one span, and of the value of its one attribute. */
struct around {
	const char *head, *tail;
};
static const struct around SPAN = {"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{", "}]}]}]}"};
static const struct around VALUE = {
    "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"attributes\":[{\"value\":{", "}}]}]}]}]}"};

static enum index_verdict convert_in(struct around a, const char *members)
{
	struct buf text = {0};
	buf_printf(&text, "%s%s%s", a.head, members, a.tail);
	enum index_verdict v = convert_bytes(buf_slice(&text));
	buf_finish(&text);
	return v;
}

static void check_out(const struct buf *want, const char *of)
{
	if (!slice_equal(buf_slice(&out), buf_slice(want))) {
		printf("FAIL %s: not the bytes wanted:\n", of);
		for (size_t i = 0; i < out.len; i++)
			printf("%02x", out.data[i]);
		printf("\n");
		for (size_t i = 0; i < want->len; i++)
			printf("%02x", want->data[i]);
		printf("\n");
		exit(1);
	}
}

/* `inner` as the one span of a request with one resource and one scope that have nothing. */
static void envelope(struct buf *b, struct buf *inner)
{
	struct buf scope_spans = {0}, resource_spans = {0};
	pb_message(&scope_spans, 2, inner);
	pb_message(&resource_spans, 2, &scope_spans);
	pb_message(b, 1, &resource_spans);
}

static void check_span(const char *members, const void *bytes, size_t len)
{
	struct buf span = {0}, want = {0};
	buf_append(&span, bytes, len);
	envelope(&want, &span);
	CHECK_EQ(convert_in(SPAN, members), INDEX_OK);
	check_out(&want, members);
	buf_finish(&want);
}

static void check_value(const char *members, const void *bytes, size_t len)
{
	struct buf value = {0}, attribute = {0}, span = {0}, want = {0};
	buf_append(&value, bytes, len);
	pb_message(&attribute, 2, &value);
	pb_message(&span, 9, &attribute);
	envelope(&want, &span);
	CHECK_EQ(convert_in(VALUE, members), INDEX_OK);
	check_out(&want, members);
	buf_finish(&want);
}

#define BYTES(text) text, sizeof(text) - 1

struct vector {
	const char *json, *bytes;
	size_t len;
};

static void test_each_kind_of_value(void)
{
	static const struct vector rows[] = {
	    {"", BYTES("")},
	    {"\"stringValue\":\"\"", BYTES("\x0a\x00")},
	    {"\"stringValue\":\"abc\"", BYTES("\x0a\x03"
					      "abc")},
	    {"\"stringValue\":null", BYTES("")},
	    {"\"boolValue\":true", BYTES("\x10\x01")},
	    {"\"boolValue\":false", BYTES("\x10\x00")},
	    {"\"intValue\":0", BYTES("\x18\x00")},
	    {"\"intValue\":\"0\"", BYTES("\x18\x00")},
	    {"\"intValue\":-0", BYTES("\x18\x00")},
	    {"\"intValue\":300", BYTES("\x18\xac\x02")},
	    {"\"intValue\":\"300\"", BYTES("\x18\xac\x02")},
	    {"\"intValue\":\"\\u0033\\u0030\\u0030\"", BYTES("\x18\xac\x02")},
	    {"\"intValue\":3e2", BYTES("\x18\xac\x02")},
	    {"\"intValue\":3.00e+2", BYTES("\x18\xac\x02")},
	    {"\"intValue\":30000E-2", BYTES("\x18\xac\x02")},
	    {"\"intValue\":300.000000000000000000000000", BYTES("\x18\xac\x02")},
	    {"\"intValue\":0e999999", BYTES("\x18\x00")},
	    {"\"intValue\":-1", BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
	    {"\"intValue\":9007199254740993", BYTES("\x18\x81\x80\x80\x80\x80\x80\x80\x10")},
	    {"\"intValue\":9223372036854775807", BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f")},
	    {"\"intValue\":\"-9223372036854775808\"",
	     BYTES("\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
	    /* No int64: a double (OTel-JS calls every whole number an intValue). */
	    {"\"intValue\":9223372036854775808", BYTES("\x21\0\0\0\0\0\0\xe0\x43")},
	    {"\"intValue\":-9223372036854775809", BYTES("\x21\0\0\0\0\0\0\xe0\xc3")},
	    {"\"intValue\":1e+300", BYTES("\x21\x9c\x75\x00\x88\x3c\xe4\x37\x7e")},
	    {"\"intValue\":1.5", BYTES("\x21\0\0\0\0\0\0\xf8\x3f")},
	    {"\"doubleValue\":1", BYTES("\x21\0\0\0\0\0\0\xf0\x3f")},
	    {"\"doubleValue\":\"-1.5\"", BYTES("\x21\0\0\0\0\0\0\xf8\xbf")},
	    {"\"doubleValue\":0", BYTES("\x21\0\0\0\0\0\0\0\0")},
	    {"\"doubleValue\":-0.0", BYTES("\x21\0\0\0\0\0\0\0\x80")},
	    {"\"doubleValue\":5e-324", BYTES("\x21\x01\0\0\0\0\0\0\0")},
	    {"\"doubleValue\":1e400", BYTES("\x21\0\0\0\0\0\0\xf0\x7f")},
	    {"\"doubleValue\":\"NaN\"", BYTES("\x21\0\0\0\0\0\0\xf8\x7f")},
	    {"\"doubleValue\":\"Infinity\"", BYTES("\x21\0\0\0\0\0\0\xf0\x7f")},
	    {"\"doubleValue\":\"-Infinity\"", BYTES("\x21\0\0\0\0\0\0\xf0\xff")},
	    {"\"bytesValue\":\"\"", BYTES("\x3a\x00")},
	    {"\"bytesValue\":\"+/8=\"", BYTES("\x3a\x02\xfb\xff")},
	    {"\"bytesValue\":\"+\\/8\"", BYTES("\x3a\x02\xfb\xff")},
	    {"\"bytesValue\":\"-_8\"", BYTES("\x3a\x02\xfb\xff")},
	    {"\"arrayValue\":{}", BYTES("\x2a\x00")},
	    {"\"arrayValue\":{\"values\":[]}", BYTES("\x2a\x00")},
	    {"\"arrayValue\":{\"values\":[{\"intValue\":1},null,{}]}",
	     BYTES("\x2a\x08\x0a\x02\x18\x01\x0a\x00\x0a\x00")},
	    {"\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"boolValue\":true}}]}",
	     BYTES("\x32\x09\x0a\x07\x0a\x01k\x12\x02\x10\x01")},
	    {"\"stringValueStrindex\":7", BYTES("\x40\x07")},
	    {"\"kvlist_value\":{\"values\":[{\"key_strindex\":3}]}",
	     BYTES("\x32\x04\x0a\x02\x18\x03")},
	};
	for (size_t i = 0; i < N(rows); i++)
		check_value(rows[i].json, rows[i].bytes, rows[i].len);
}

static void test_escapes_and_surrogates(void)
{
	static const struct vector rows[] = {
	    {"\"stringValue\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", BYTES("\x0a\x08\"\\/\b\f\n\r\t")},
	    {"\"stringValue\":\"a\\u0000b\"", BYTES("\x0a\x03"
						    "a\0b")},
	    {"\"stringValue\":\"\\u00e9\\u20AC\"", BYTES("\x0a\x05\xc3\xa9\xe2\x82\xac")},
	    {"\"stringValue\":\"\\ud83d\\ude00\"", BYTES("\x0a\x04\xf0\x9f\x98\x80")},
	    {"\"stringValue\":\"\xf0\x9f\x98\x80\"", BYTES("\x0a\x04\xf0\x9f\x98\x80")},
	    /* For the index to mend: halves of pairs, and what is no UTF-8. */
	    {"\"stringValue\":\"\\ud83dx\"", BYTES("\x0a\x02\xffx")},
	    {"\"stringValue\":\"\\ude00\\ud83d\"", BYTES("\x0a\x02\xff\xff")},
	    {"\"stringValue\":\"\\ude00\\ude01\"", BYTES("\x0a\x02\xff\xff")},
	    {"\"stringValue\":\"\\ud83d\\ud83d\\ude00\"", BYTES("\x0a\x05\xff\xf0\x9f\x98\x80")},
	    {"\"stringValue\":\"caf\xe9\"", BYTES("\x0a\x04"
						  "caf\xe9")},
	    /* Keys are strings too. */
	    {"\"\\u0073tring\\u0056alue\":\"x\"", BYTES("\x0a\x01x")},
	    {"\"string\\u005fvalue\":\"x\"", BYTES("\x0a\x01x")},
	};
	for (size_t i = 0; i < N(rows); i++)
		check_value(rows[i].json, rows[i].bytes, rows[i].len);
}

static void test_strings_and_messages_of_every_width(void)
{
	static const size_t LENGTHS[] = {1,   100,   126,   127,     128,
					 129, 16383, 16384, 2097151, 2097152};
	for (size_t i = 0; i < 2 * N(LENGTHS); i++) {
		size_t len = LENGTHS[i / 2];
		bool escaped = i % 2 != 0;
		struct buf text = {0}, event = {0}, span = {0}, want = {0};
		char *name = calloc(1, len + 1);
		memset(name, 'n', len);
		buf_printf(&text,
			   "\"kind\":1,\"events\":[{\"name\":\"%.*s%s\"}],\"name\":\"after\"",
			   (int)len - 1, name, escaped ? "\\u006e" : "n");
		buf_append(&text, "", 1);
		CHECK_EQ(convert_in(SPAN, (const char *)text.data), INDEX_OK);
		pb_str(&event, 2, name);
		pb_int(&span, 6, 1);
		pb_message(&span, 11, &event);
		pb_str(&span, 5, "after");
		envelope(&want, &span);
		check_out(&want, "a width");
		free(name);
		buf_finish(&text);
		buf_finish(&want);
	}
}

static void test_members_of_a_span(void)
{
	static const struct vector rows[] = {
	    {"\"traceId\":\"5B8EFFF798038103d269b633813fc60c\"",
	     BYTES("\x0a\x10\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c")},
	    {"\"spanId\":\"EEE19B7EC3C1B174\"", BYTES("\x12\x08\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74")},
	    {"\"spanId\":\"\\u0045EE19B7EC3C1B174\"",
	     BYTES("\x12\x08\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74")},
	    {"\"parentSpanId\":\"\"", BYTES("")},
	    {"\"parentSpanId\":\"00\"", BYTES("\x22\x01\x00")},
	    {"\"parentSpanId\":\"xyz\"", BYTES("\x22\x01x")},
	    {"\"parentSpanId\":\"abc\"", BYTES("\x22\x01"
					       "a")},
	    {"\"parentSpanId\":\"EEE19B7EC3C1B17g\"", BYTES("\x22\x01"
							    "E")},
	    {"\"name\":\"\",\"traceState\":\"\",\"kind\":0,\"status\":{}", BYTES("\x7a\x00")},
	    {"\"kind\":2", BYTES("\x30\x02")},
	    {"\"kind\":\"2\"", BYTES("\x30\x02")},
	    {"\"kind\":\"SPAN_KIND_CONSUMER\"", BYTES("\x30\x05")},
	    {"\"kind\":\"SPAN_KIND_OF_TOMORROW\"", BYTES("")},
	    {"\"kind\":-1", BYTES("\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
	    {"\"status\":{\"message\":\"no\",\"code\":\"STATUS_CODE_ERROR\"}",
	     BYTES("\x7a\x06\x12\x02no\x18\x02")},
	    {"\"startTimeUnixNano\":\"18446744073709551615\"",
	     BYTES("\x39\xff\xff\xff\xff\xff\xff\xff\xff")},
	    {"\"end_time_unix_nano\":18446744073709551615",
	     BYTES("\x41\xff\xff\xff\xff\xff\xff\xff\xff")},
	    {"\"startTimeUnixNano\":0", BYTES("")},
	    {"\"startTimeUnixNano\":1700000000000000001",
	     BYTES("\x39\x01\x00\x2a\x36\xfe\x9c\x97\x17")},
	    {"\"flags\":769", BYTES("\x85\x01\x01\x03\x00\x00")},
	    {"\"flags\":\"4294967295\"", BYTES("\x85\x01\xff\xff\xff\xff")},
	    {"\"droppedAttributesCount\":4294967295", BYTES("\x50\xff\xff\xff\xff\x0f")},
	    {"\"dropped_events_count\":1,\"droppedLinksCount\":2", BYTES("\x60\x01\x70\x02")},
	    {"\"events\":[{\"timeUnixNano\":\"1\",\"name\":\"e\",\"droppedAttributesCount\":3}]",
	     BYTES("\x5a\x0e\x09\x01\0\0\0\0\0\0\0\x12\x01"
		   "e\x20\x03")},
	    {"\"links\":[{\"spanId\":\"0102030405060708\",\"traceState\":\"a=b\",\"flags\":1}]",
	     BYTES("\x6a\x14\x12\x08\1\2\3\4\5\6\7\x08\x1a\x03"
		   "a=b\x35\1\0\0\0")},
	    {"\"events\":[null],\"links\":[{}],\"attributes\":null", BYTES("\x5a\x00\x6a\x00")},
	    /* Unknown keys of any shape. */
	    {"\"x\":[1,-2.5e3,\"\\u00e9\",{\"name\":\"n\",\"a\":[[],{}]},true,false,null],\"kind\":"
	     "1,"
	     "\"traceid\":\"\",\"\":{}",
	     BYTES("\x30\x01")},
	};
	for (size_t i = 0; i < N(rows); i++)
		check_span(rows[i].json, rows[i].bytes, rows[i].len);
}

static void test_the_last_of_equal_keys_counts(void)
{
	static const struct vector rows[] = {
	    {"\"name\":\"a\",\"name\":\"bc\"", BYTES("\x2a\x02"
						     "bc")},
	    {"\"name\":\"a\",\"name\":null", BYTES("")},
	    {"\"name\":\"a\",\"kind\":1,\"na\\u006de\":\"b\"", BYTES("\x30\x01\x2a\x01"
								     "b")},
	    {"\"traceId\":\"bad\",\"kind\":1,\"flags\":1,\"trace_id\":\"\",\"kind\":2",
	     BYTES("\x85\x01\1\0\0\0\x30\x02")},
	    {"\"events\":[{\"name\":\"a\"},{}],\"kind\":3,\"events\":[{}],\"status\":{\"code\":1},"
	     "\"status\":{\"code\":2,\"code\":0},\"kind\":4,\"x\":1,\"x\":2",
	     BYTES("\x5a\x00\x7a\x00\x30\x04")},
	    {"\"kind\":1,\"name\":\"\",\"kind\":2,\"name\":\"n\",\"kind\":3",
	     BYTES("\x2a\x01n\x30\x03")},
	};
	for (size_t i = 0; i < N(rows); i++)
		check_span(rows[i].json, rows[i].bytes, rows[i].len);
}

static void test_old_names_of_scopes(void)
{
	CHECK_EQ(convert("{\"resourceSpans\":[{\"instrumentationLibrarySpans\":[{"
			 "\"instrumentationLibrary\":{\"name\":\"lib\"},\"spans\":[{}]}]}]}"),
		 INDEX_OK);
	struct buf scope = {0}, scope_spans = {0}, rs = {0}, want = {0};
	pb_str(&scope, 1, "lib");
	pb_message(&scope_spans, 1, &scope);
	pb_str(&scope_spans, 2, "");
	pb_message(&rs, 1000, &scope_spans);
	pb_message(&want, 1, &rs);
	check_out(&want, "old names");
	buf_finish(&want);
}

static void test_entity_refs(void)
{
	CHECK_EQ(
	    convert("{\"resource_spans\":[{\"resource\":{\"entityRefs\":[{\"type\":\"host\","
		    "\"idKeys\":[\"host.id\",\"\"],\"descriptionKeys\":[],\"schemaUrl\":\"\"}],"
		    "\"droppedAttributesCount\":1},\"schemaUrl\":\"u\"}]}"),
	    INDEX_OK);
	struct buf entity = {0}, resource = {0}, rs = {0}, want = {0};
	pb_str(&entity, 2, "host");
	pb_str(&entity, 3, "host.id");
	pb_str(&entity, 3, "");
	pb_message(&resource, 3, &entity);
	pb_int(&resource, 2, 1);
	pb_message(&rs, 1, &resource);
	pb_str(&rs, 3, "u");
	pb_message(&want, 1, &rs);
	check_out(&want, "entity refs");
	buf_finish(&want);
}

static void test_empty_requests(void)
{
	static const char *const rows[] = {"{}", " \t\r\n{ } \n", "{\"resourceSpans\":[]}",
					   "{\"resourceSpans\":null}", "{\"other\":{\"x\":[1]}}"};
	for (size_t i = 0; i < N(rows); i++) {
		CHECK_EQ(convert(rows[i]), INDEX_OK);
		CHECK_EQ(out.len, 0);
	}
}

static void test_what_is_no_json_is_refused(void)
{
	static const char *const rows[] = {"",
					   " ",
					   "null",
					   "[]",
					   "1",
					   "\"\"",
					   "{",
					   "}",
					   "{}}",
					   "{}{}",
					   "{},",
					   "{} x",
					   "{]",
					   "{\"a\"}",
					   "{\"a\":}",
					   "{\"a\":1,}",
					   "{,}",
					   "{\"a\":1 \"b\":2}",
					   "{a:1}",
					   "{'a':1}",
					   "{\"a\":[1,]}",
					   "{\"a\":[1 2]}",
					   "{\"a\":[}]}",
					   "{\"a\":[,1]}",
					   "{\"a\":01}",
					   "{\"a\":1.}",
					   "{\"a\":.5}",
					   "{\"a\":+1}",
					   "{\"a\":-}",
					   "{\"a\":1e}",
					   "{\"a\":1e+}",
					   "{\"a\":0x1}",
					   "{\"a\":NaN}",
					   "{\"a\":Infinity}",
					   "{\"a\":tru}",
					   "{\"a\":nulls}",
					   "{\"a\":True}",
					   "{\"a\":\"\n\"}",
					   "{\"a\":\"\x1f\"}",
					   "{\"a\":\"a line of its own\nand another one\"}",
					   "{\"a\":\"\\x\"}",
					   "{\"a\":\"\\u12g4\"}",
					   "{\"a\":\"\\u123\"}",
					   "{\"a\":\"\\\"}",
					   "{\"a\":\"",
					   "{\"a",
					   "{\"a\":\"\\",
					   "{/**/}",
					   "\xef\xbb\xbf{}",
					   "{\"a\":1:2}",
					   "{\"a\"::1}"};
	for (size_t i = 0; i < N(rows); i++) {
		if (convert(rows[i]) == INDEX_MALFORMED)
			continue;
		printf("FAIL: taken for JSON: %s\n", rows[i]);
		exit(1);
	}
	CHECK_EQ(convert_bytes(slice_of("{}\0", 3)), INDEX_MALFORMED);
	CHECK_EQ(convert_bytes(slice_of("{\"a\0\":1}", 8)), INDEX_MALFORMED);
	CHECK_STR(why, "not valid JSON");
}

static void test_values_of_the_wrong_type_are_refused(void)
{
	static const char *const rows[] = {
	    "\"name\":1",
	    "\"name\":true",
	    "\"name\":{}",
	    "\"name\":[]",
	    "\"name\":[\"a\"]",
	    "\"traceId\":1",
	    "\"traceId\":[1]",
	    "\"kind\":true",
	    "\"kind\":\"\"",
	    "\"kind\":1.5",
	    "\"kind\":2147483648",
	    "\"kind\":{}",
	    "\"startTimeUnixNano\":-1",
	    "\"startTimeUnixNano\":18446744073709551616",
	    "\"startTimeUnixNano\":\"\"",
	    "\"startTimeUnixNano\":\" 1\"",
	    "\"startTimeUnixNano\":\"1x\"",
	    "\"startTimeUnixNano\":0.5",
	    "\"startTimeUnixNano\":\"now\"",
	    "\"flags\":4294967296",
	    "\"flags\":-1",
	    "\"droppedLinksCount\":\"-1\"",
	    "\"attributes\":{}",
	    "\"attributes\":\"\"",
	    "\"attributes\":[1]",
	    "\"attributes\":[[]]",
	    "\"attributes\":[\"\"]",
	    "\"status\":[]",
	    "\"status\":2",
	    "\"status\":\"\"",
	    "\"attributes\":[{\"value\":\"bare\"}]",
	    "\"attributes\":[{\"value\":{\"boolValue\":1}}]",
	    "\"attributes\":[{\"value\":{\"boolValue\":\"true\"}}]",
	    "\"attributes\":[{\"value\":{\"intValue\":true}}]",
	    "\"attributes\":[{\"value\":{\"intValue\":\"NaN\"}}]",
	    "\"attributes\":[{\"value\":{\"doubleValue\":\"nan\"}}]",
	    "\"attributes\":[{\"value\":{\"doubleValue\":\"0x1p3\"}}]",
	    "\"attributes\":[{\"value\":{\"doubleValue\":\"\"}}]",
	    "\"attributes\":[{\"value\":{\"bytesValue\":\"a\"}}]",
	    "\"attributes\":[{\"value\":{\"bytesValue\":\"a*==\"}}]",
	    "\"attributes\":[{\"value\":{\"bytesValue\":[1]}}]",
	    "\"attributes\":[{\"value\":{\"arrayValue\":[]}}]",
	};
	for (size_t i = 0; i < N(rows); i++) {
		if (convert_in(SPAN, rows[i]) != INDEX_MALFORMED ||
		    strcmp(why, "not OTLP/JSON: a value has the wrong type") != 0) {
			printf("FAIL: %s: %s\n", rows[i], why != NULL ? why : "accepted");
			exit(1);
		}
	}
	CHECK_EQ(convert("{\"resourceSpans\":{}}"), INDEX_MALFORMED);
	CHECK_EQ(
	    convert("{\"resourceSpans\":[{\"resource\":{\"entityRefs\":[{\"idKeys\":\"x\"}]}}]}"),
	    INDEX_MALFORMED);
}

/* ---- with the index behind it ---- */

static struct otlp_index ix;
static struct buf mended;

static enum index_verdict index_out(void)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	enum index_verdict v = otlp_index(&ix, buf_slice(&out), &INDEX_LIMITS, &arena);
	buf_finish(&mended);
	if (v == INDEX_OK) {
		CHECK_EQ(buf_reserve(&mended, ix.edited_size + 1), 0);
		otlp_edit(&ix, buf_slice(&out), mended.data);
		mended.len = ix.edited_size;
	}
	arena_finish(&arena);
	return v;
}

static const char IDS[] = "\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":"
			  "\"eee19b7ec3c1b174\"";

static void test_a_bad_id_costs_its_span_only(void)
{
	static const char *const rows[] = {
	    "\"spanId\":\"eee19b7ec3c1b174\"",
	    "\"traceId\":\"\",\"spanId\":\"eee19b7ec3c1b174\"",
	    "\"traceId\":\"xx8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\"",
	    "\"traceId\":\"5b8efff798038103d269b633813fc60\",\"spanId\":\"eee19b7ec3c1b174\"",
	    "\"traceId\":\"5b8efff798038103d269b633813fc60c00\",\"spanId\":\"eee19b7ec3c1b174\"",
	    "\"traceId\":\"00000000000000000000000000000000\",\"spanId\":\"eee19b7ec3c1b174\"",
	    "\"traceId\":\"W47/95gDgQPSabYzgT/GDA==\",\"spanId\":\"7uGbfsPBsXQ=\"",
	};
	for (size_t i = 0; i < N(rows); i++) {
		struct buf text = {0};
		buf_printf(&text,
			   "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{%s},{%s},{%s}]}]}]}",
			   IDS, rows[i], IDS);
		CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_OK);
		CHECK_EQ(index_out(), INDEX_OK);
		CHECK_EQ(ix.spans, 2);
		CHECK_EQ(ix.rejected, 1);
		CHECK_EQ(ix.why, INDEX_ID);
		buf_finish(&text);
	}
}

static void test_broken_strings_are_mended_by_the_index(void)
{
	struct buf text = {0};
	buf_printf(&text, "%s,\"name\":\"caf\xe9\",\"traceState\":\"\\udead!\"", IDS);
	buf_append(&text, "", 1);
	CHECK_EQ(convert_in(SPAN, (const char *)text.data), INDEX_OK);
	CHECK_EQ(index_out(), INDEX_OK);
	CHECK_EQ(ix.repaired, 2);
	CHECK(memmem(mended.data, mended.len,
		     "\x2a\x06"
		     "caf\xef\xbf\xbd",
		     8) != NULL);
	CHECK(memmem(mended.data, mended.len, "\x1a\x04\xef\xbf\xbd!", 6) != NULL);
	buf_finish(&text);
}

/* {"arrayValue":{"values":[ ... ]}}, or with maps, `depth` values in all. */
static void nested(struct buf *b, unsigned depth, bool maps)
{
	buf_printf(b, "%s,\"attributes\":[{\"value\":{", IDS);
	for (unsigned i = 1; i < depth; i++)
		buf_printf(b, maps ? "\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{"
				   : "\"arrayValue\":{\"values\":[{");
	buf_printf(b, "\"intValue\":1");
	for (unsigned i = 1; i < depth; i++)
		buf_printf(b, maps ? "}}]}" : "}]}");
	buf_printf(b, "}}]");
	buf_append(b, "", 1);
}

static void test_depth_has_the_limits_of_protobuf(void)
{
	static const struct {
		unsigned depth;
		bool maps;
		enum index_verdict verdict;
		uint32_t rejected;
	} rows[] = {
	    {30, false, INDEX_OK, 0},    {30, true, INDEX_OK, 0},
	    {31, false, INDEX_OK, 1},    {32, true, INDEX_OK, 1},
	    {33, true, INDEX_OK, 1},     {40, true, INDEX_DEPTH, 0},
	    {60, false, INDEX_DEPTH, 0}, {100000, false, INDEX_DEPTH, 0},
	};
	CHECK_EQ(INDEX_LIMITS.depth, 30);
	for (size_t i = 0; i < N(rows); i++) {
		struct buf span = {0};
		nested(&span, rows[i].depth, rows[i].maps);
		CHECK_EQ(convert_in(SPAN, (const char *)span.data), rows[i].verdict);
		buf_finish(&span);
		if (rows[i].verdict != INDEX_OK)
			continue;
		CHECK_EQ(index_out(), INDEX_OK);
		CHECK_EQ(ix.rejected, rows[i].rejected);
		CHECK_EQ(ix.spans, 1 - rows[i].rejected);
	}
}

static void test_depth_bombs(void)
{
	static const char *const rows[] = {"[", "{\"a\":", "{\"resourceSpans\":[", "{\"a\":["};
	for (size_t i = 0; i < N(rows); i++) {
		struct buf text = {0};
		buf_printf(&text, "{\"x\":");
		for (unsigned k = 0; k < 100000; k++)
			buf_printf(&text, "%s", rows[i]);
		CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_DEPTH);
		CHECK_STR(why, "JSON is nested too deep");
		buf_finish(&text);
	}
}

static void repeat(struct buf *b, const char *head, const char *unit, size_t times,
		   const char *tail)
{
	buf_printf(b, "%s", head);
	for (size_t i = 0; i < times; i++)
		buf_printf(b, "%s%s", i != 0 ? "," : "", unit);
	buf_printf(b, "%s", tail);
}

static void test_floods_are_ignored_or_refused_by_the_index(void)
{
	struct buf text = {0};
	repeat(&text, "{\"resourceSpans\":[", "{}", 1000000, "]}");
	CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_OK);
	CHECK_EQ(out.len, 2000000);
	CHECK_EQ(index_out(), INDEX_COST);
	text.len = 0;
	repeat(&text, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[",
	       "{\"name\":\"thirty bytes of a name: no bomb\"}", 70000, "]}]}]}");
	CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_OK);
	CHECK_EQ(index_out(), INDEX_COUNT);
	text.len = 0;
	repeat(&text, "{\"unknown\":[", "{},[{\"a\":1}]", 1000000, "]}");
	CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_OK);
	CHECK_EQ(out.len, 0);
	CHECK(out.cap < 4096);
	buf_finish(&text);
}

/* The only member whose protobuf is longer than itself, as often as it can be. */
static void test_the_bound_holds(void)
{
	struct buf text = {0};
	repeat(&text, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[", "{\"kind\":-1}", 100000,
	       "]}]}]}");
	CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_OK);
	CHECK(out.len > text.len && out.len <= otlp_json_bound(text.len));
	buf_finish(&text);
}

static void test_every_truncation_is_refused(void)
{
	static const char text[] =
	    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"\\u00e9\",\"value\":{"
	    "\"arrayValue\":{\"values\":[{\"doubleValue\":-1.5e+10},{\"boolValue\":true},null]}}}]}"
	    ","
	    "\"scopeSpans\":[{\"spans\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\"}]}]}]}";
	CHECK_EQ(convert(text), INDEX_OK);
	for (size_t cut = 0; cut < sizeof(text) - 1; cut++)
		CHECK_EQ(convert_bytes(slice_of(text, cut)), INDEX_MALFORMED);
}

/* ---- the same trace both ways ---- */

static void text_id(struct buf *b, const uint8_t *id, size_t len, bool upper)
{
	for (size_t i = 0; i < len; i++)
		buf_printf(b, upper ? "%02X" : "%02x", id[i]);
}

/* pb_span_fields() of otlp_sample.h, as the Rust exporter prints it or as JavaScript does. */
static void text_span(struct buf *b, unsigned number, bool rust)
{
	uint8_t id[16];
	memset(id, (int)(number & 0x7f) + 1, sizeof(id));
	memcpy(id, &number, sizeof(number));
	buf_printf(b, rust ? "\n      {\n        \"traceId\": \"" : "{\"traceId\":\"");
	text_id(b, id, 16, rust);
	buf_printf(b, rust ? "\",\n        \"spanId\": \"" : "\",\"spanId\":\"");
	text_id(b, id, 8, rust);
	if (rust)
		buf_printf(
		    b,
		    "\",\n\t\"traceState\" : \"\",\r\n \"parentSpanId\": \"\",\n \"flags\": 0,\n "
		    "\"name\": \"GET /\",\n \"kind\": 2,\n \"startTimeUnixNano\": "
		    "\"1700000000000000000\",\n \"endTimeUnixNano\": \"1700000000005000000\",\n "
		    "\"attributes\": [\n {\n \"key\": \"http.request.method\",\n \"value\": {\n "
		    "\"stringValue\": \"GET\"\n }\n }\n ],\n \"droppedAttributesCount\": 0,\n "
		    "\"events\": [],\n \"droppedEventsCount\": 0,\n \"links\": [],\n "
		    "\"droppedLinksCount\": 0,\n \"status\": null\n }");
	else
		buf_printf(
		    b, "\",\"name\":\"GET /\",\"kind\":2,\"startTimeUnixNano\":1700000000000000000,"
		       "\"endTimeUnixNano\":\"1700000000005000000\",\"attributes\":[{\"key\":"
		       "\"http.request.method\",\"value\":{\"stringValue\":\"GET\"}}],"
		       "\"droppedAttributesCount\":0,\"events\":[],\"links\":[]}");
}

static void test_json_and_protobuf_of_a_trace_are_the_same_bytes(void)
{
	for (int rust = 0; rust < 2; rust++) {
		for (unsigned n = 0; n < 300; n = n * 2 + 1) {
			struct buf spans = {0}, want = {0}, text = {0};
			buf_printf(
			    &text,
			    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":"
			    "\"service.name\",\"value\":{\"stringValue\":\"shop\"}}],"
			    "\"entityRefs\":[]},\"scopeSpans\":[{\"scope\":{\"name\":\"test\","
			    "\"version\":\"\"},\"spans\":[");
			for (unsigned i = 0; i < n; i++) {
				struct buf span = {0};
				pb_span_fields(&span, i);
				pb_message(&spans, 2, &span);
				buf_printf(&text, i != 0 ? "," : "");
				text_span(&text, i, rust != 0);
			}
			buf_printf(&text, "],\"schemaUrl\":\"\"}],\"schemaUrl\":\"\"}]}");
			pb_request(&want, "shop", &spans);
			CHECK_EQ(convert_bytes(buf_slice(&text)), INDEX_OK);
			check_out(&want, "a trace");
			CHECK_EQ(index_out(), INDEX_OK);
			CHECK_EQ(ix.spans, n);
			CHECK_EQ(ix.rejected + ix.repaired, 0);
			buf_finish(&want);
			buf_finish(&text);
		}
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_kind_of_value), TEST(test_escapes_and_surrogates),
		   TEST(test_strings_and_messages_of_every_width), TEST(test_members_of_a_span),
		   TEST(test_the_last_of_equal_keys_counts), TEST(test_old_names_of_scopes),
		   TEST(test_entity_refs), TEST(test_empty_requests),
		   TEST(test_what_is_no_json_is_refused),
		   TEST(test_values_of_the_wrong_type_are_refused),
		   TEST(test_a_bad_id_costs_its_span_only),
		   TEST(test_broken_strings_are_mended_by_the_index),
		   TEST(test_depth_has_the_limits_of_protobuf), TEST(test_depth_bombs),
		   TEST(test_floods_are_ignored_or_refused_by_the_index),
		   TEST(test_the_bound_holds), TEST(test_every_truncation_is_refused),
		   TEST(test_json_and_protobuf_of_a_trace_are_the_same_bytes));
}

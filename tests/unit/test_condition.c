/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "condition_sample.h"

#define CHECK_HOLDS(text, request, want)                                                           \
	do {                                                                                       \
		if (holds(text, request) != (want)) {                                              \
			printf("FAIL %s:%d: %s should %shold\n", __FILE__, __LINE__, text,         \
			       (want) ? "" : "not ");                                              \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* ---- one span, one attribute x of every type ---- */

enum { MISSING, INT, DOUBLE, HALF, NUMERIC, TEXT, BOOL, ARRAY, EMPTY, LIST, BYTES, TYPES };

static void add_x(struct buf *span, int type)
{
	struct buf v = {0}, array = {0}, element = {0};
	switch (type) {
	case INT:
		pb_int_attribute(span, 9, "x", 500);
		return;
	case DOUBLE:
		pb_double_attribute(span, 9, "x", 500.0);
		return;
	case HALF:
		pb_double_attribute(span, 9, "x", 0.5);
		return;
	case NUMERIC:
		pb_attribute(span, 9, "x", "500");
		return;
	case TEXT:
		pb_attribute(span, 9, "x", "abc");
		return;
	case BOOL:
		pb_bool_attribute(span, 9, "x", true);
		return;
	case ARRAY: /* ["abc", 500, true] */
		pb_str(&element, 1, "abc");
		pb_message(&array, 1, &element);
		pb_int(&element, 3, 500);
		pb_message(&array, 1, &element);
		pb_int(&element, 2, 1);
		pb_message(&array, 1, &element);
		pb_message(&v, 5, &array);
		break;
	case LIST: /* {x: 500} */
		pb_int_attribute(&array, 1, "x", 500);
		pb_message(&v, 6, &array);
		break;
	case BYTES:
		pb_bytes(&v, 7, "abc", 3);
		break;
	case EMPTY:
		break;
	default:
		return;
	}
	pb_value(span, 9, "x", &v);
}

static void test_every_operator_with_every_type(void)
{
	static const struct {
		const char *test;
		const char *want; /* + for the types it holds for, in their order */
	} ROWS[] = {
	    /*                             M I D H N T B A E L B */
	    {"span.x == 500", "            - + + - + - - + - - -"},
	    {"span.x = 500.0", "           - + + - + - - + - - -"},
	    {"span.x == 5e2", "            - + + - + - - + - - -"},
	    {"span.x != 500", "            + - - + - + + - + + +"},
	    {"span.x == \"500\"", "        - + + - + - - + - - -"},
	    {"span.x == '500.0'", "        - + + - - - - + - - -"},
	    {"span.x == 0.5", "            - - - + - - - - - - -"},
	    {"span.x == \"abc\"", "        - - - - - + - + - - -"},
	    {"span.x != \"abc\"", "        + + + + + - + - + + +"},
	    {"span.x == true", "           - - - - - - + + - - -"},
	    {"span.x == \"true\"", "       - - - - - - + + - - -"},
	    {"span.x == false", "          - - - - - - - - - - -"},
	    {"span.x != true", "           + + + + + + - - + + +"},
	    {"span.x < 500", "             - - - + - - - - - - -"},
	    {"span.x <= 500", "            - + + + + - - + - - -"},
	    {"span.x < 500.5", "           - + + + + - - + - - -"},
	    {"span.x > 500", "             - - - - - - - - - - -"},
	    {"span.x > 499.9", "           - + + - + - - + - - -"},
	    {"span.x >= 500", "            - + + - + - - + - - -"},
	    {"span.x >= -1", "             - + + + + - - + - - -"},
	    {"span.x in [\"abc\", 500]", " - + + - + + - + - - -"},
	    {"span.x in [0.5, true]", "    - - - + - - + + - - -"},
	    {"span.x not in [500, 1]", "   + - - + - + + - + + +"},
	    {"span.x not-in [500, 1]", "   + - - + - + + - + + +"},
	    {"span.x exists", "            - + + + + + + + + + +"},
	    {"span.x not exists", "        + - - - - - - - - - -"},
	    {"span.x not-exists", "        + - - - - - - - - - -"},
	    {"span.x =~ \"^5\"", "         - + + - + - - + - - -"},
	    {"span.x =~ \"^5.*0$\"", "     - + + - + - - + - - -"},
	    {"span.x =~ \"b\"", "          - - - - - + - + - - -"},
	    {"span.x =~ \"^(true|abc)$\"", "- - - - - + + + - - -"},
	    {"span.x matches \"[b]\"", "   - - - - - + - + - - -"},
	    {"span.x !~ \"[b]\"", "        + + + + + - + - + + +"},
	    {"span.x not matches \"[b]\"", "+ + + + + - + - + + +"},
	    {"span.x contains \"b\"", "    - - - - - + - + - - -"},
	    {"span.x contains \"0\"", "    - + + + + - - + - - -"},
	    {"span.x not contains \"b\"", "+ + + + + - + - + + +"},
	    {"span.x does-not-contain 'b'", "+ + + + + - + - + + +"},
	    {"span.x starts_with \"ab\"", "- - - - - + - + - - -"},
	    {"span.x starts-with \"50\"", "- + + - + - - + - - -"},
	    {"span.x starts_with \"0.\"", "- - - + - - - - - - -"},
	    {"span.x not starts_with 'a'", "+ + + + + - + - + + +"},
	};
	for (int type = 0; type < TYPES; type++) {
		struct buf span = {0}, spans = {0}, request = {0};
		pb_span_head(&span, 1, true, 1);
		add_x(&span, type);
		pb_message(&spans, 2, &span);
		pb_request(&request, "s", &spans);
		for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
			char text[128];
			const char *want = ROWS[i].want + strspn(ROWS[i].want, " ");
			snprintf(text, sizeof(text), "any(%s)", ROWS[i].test);
			if (holds(text, &request) != (want[2 * type] == '+')) {
				printf("FAIL %s, type %d\n", text, type);
				exit(1);
			}
			snprintf(text, sizeof(text), "root%s", ROWS[i].test + 4);
			CHECK_HOLDS(text, &request, want[2 * type] == '+');
		}
		buf_finish(&request);
	}
}

/* ---- what is wrong is said where it is ---- */

static void test_errors_say_where_and_what(void)
{
	static const struct {
		const char *text;
		size_t offset;
		const char *words;
	} ROWS[] = {
	    {"", 0, "expected a condition, not the end, such as any(span.error)"},
	    {"any(", 4, "expected a condition, not the end, such as span.error"},
	    {"any()", 4, "expected a condition, such as span.error"},
	    {"any span.error", 4, "expected `(` after any, all or none"},
	    {"any(span.error", 14, "expected `and`, `or` or the `)` of the `(` at 3"},
	    {"any(span.error) any(span.error)", 16, "expected `and`, `or` or the end"},
	    {"any(span.error) and", 19, "expected a condition, not the end"},
	    {"and any(span.error)", 0, "expected a condition"},
	    {"any(span.error) && any(span.x exists)", 16, "write `and` for `&`"},
	    {"!any(span.error)", 0, "write `not` for `!`"},
	    {"any(span.x exists || span.y exists)", 18, "expected `and`, `or` or the `)`"},
	    {"any(span.x || span.y exists)", 12, "expected a field after `|`; for || write `or`"},
	    {"any(any(span.error))", 4, "do not stand inside another"},
	    {"span.error", 0, "a field of spans stands inside any(), all() or none()"},
	    {"resource.service.name == 'x'", 0, "stands inside any(), all() or none()"},
	    {"any(trace.duration > 2s)", 4, "a field of the trace stands outside any()"},
	    {"any(root.error)", 4, "a field of the root stands outside any()"},
	    {"any(span.eror)", 4,
	     "unknown field `span.eror`, did you mean `span.error`? (an "
	     "attribute of that name is written span.\"eror\")"},
	    {"root.statsu == 'x'", 0, "unknown field `root.statsu`, did you mean `root.status`?"},
	    {"any(scope.nam == 'x')", 4, "did you mean `scope.name`?"},
	    {"eror", 0, "unknown field `eror`: fields begin with span., root., resource."},
	    {"any(spam.error)", 4, "unknown field `spam.error`, did you mean `span.error`?"},
	    {"any(resuorce.service.name == 'x')", 4,
	     "unknown field `resuorce.service.name`, did you mean `resource.service.name`?"},
	    {"any(http.route == 'x')", 4, "unknown field `http.route`: fields begin with span."},
	    {"trace.spans > 3", 0, "unknown field `trace.spans`: there are trace.duration"},
	    {"trace.span_cuont > 3", 0, "did you mean `trace.span_count`?"},
	    {"trace.id == 'x'", 0, "rules cannot read ids or tracestate"},
	    {"any(span.trace_id starts_with '0')", 4, "rules cannot read ids or tracestate"},
	    {"any(span.\"TraceId\" starts_with '0')", 4, "rules cannot read ids"},
	    {"any(link.span_id exists)", 4, "rules cannot read ids"},
	    {"any(span.trace_state exists)", 4, "rules cannot read ids"},
	    {"source == 'x'", 0, "`source` comes with identity"},
	    {"any(tenant == 'x')", 4, "`tenant` comes with identity"},
	    {"any(span.)", 9, "expected the name of a field or the key of an attribute"},
	    {"any(span.x)", 10, "expected an operator after `span.x`, such as == or exists"},
	    {"any(span.x and span.y)", 11, "expected an operator after `span.x`"},
	    {"any(span.x 5)", 11, "expected an operator after `span.x`"},
	    {"any(span.x ) == 5)", 11, "expected an operator after `span.x`"},
	    {"any(span.x containz 'a')", 11,
	     "unknown operator `containz`, did you mean `contains`?"},
	    {"any(span.x not == 5)", 15, "expected in, exists, matches, contains or"},
	    {"any(span.x not like 'a')", 15, "unknown operator after `not` `like`"},
	    {"any(span.x > 'a')", 13, "expected a number after `>`"},
	    {"any(span.x > )", 13, "expected a number after `>`"},
	    {"any(span.x > 2s)", 14, "a unit here means nothing"},
	    {"any(span.x > 1.2.3)", 13, "`1.2.3` is no number"},
	    {"any(span.x == abc)", 14, "expected a text in quotes, a number, true or false after"},
	    {"any(span.x contains 5)", 20, "expected a text in quotes after `contains`"},
	    {"any(span.x contains '')", 20, "every text contains and starts with nothing"},
	    {"any(span.x =~ 5)", 14, "expected a pattern in quotes after `=~`"},
	    {"any(span.x =~ \"a(b\")", 18, "pattern: missing closing parenthesis"},
	    {"any(span.x =~ \"\\\\d\\\"[a\")", 22, "pattern: missing terminating ]"},
	    {"any(span.x =~ \"a**+*\")", 17, "pattern: quantifier does not follow"},
	    {"any(span.x in 5)", 14, "expected a list such as [\"a\", \"b\"] after `in`"},
	    {"any(span.x in [])", 15, "nothing is in an empty list"},
	    {"any(span.x in [1 2])", 17, "expected `,` or `]` in the list"},
	    {"any(span.x in [1,])", 17, "expected a text in quotes, a number, true or false"},
	    {"any(span.x == \"a)", 14, "a string without its closing \""},
	    {"any(span.x == #)", 14, "`#` means nothing here"},
	    {"any(span.x == \x01)", 14, "byte 0x01 means nothing outside quotes"},
	    {"any(span.kind == 'srever')", 17, "unknown kind `srever`, did you mean `server`?"},
	    {"any(span.kind == 'x')", 17, "unknown kind `x`: there are unspecified, internal"},
	    {"any(span.kind > 'server')", 14, "`span.kind` is compared with ==, !=, in or not in"},
	    {"any(span.kind == 2)", 17, "expected a kind such as \"server\" after `==`"},
	    {"any(span.status == 5)", 19, "expected a status such as \"error\" after `==`"},
	    {"any(span.status exists)", 16, "`span.status` is compared with ==, !=, in or not"},
	    {"any(span.duration > 5)", 20, "expected a duration such as `2s` or `150ms` after `>`"},
	    {"any(span.duration > 5q)", 20, "expected a duration such as `2s` or `150ms`"},
	    {"any(span.duration > -5s)", 20, "this is never below 0"},
	    {"any(span.duration > 99999999999d)", 20, "too large a number"},
	    {"any(span.duration_ms > 5s)", 23, "expected a number of milliseconds after `>`"},
	    {"any(span.duration contains 's')", 18, "`span.duration` is compared with ==, !=, <"},
	    {"any(span.error > 1)", 15, "`span.error` stands alone, or with == or !="},
	    {"any(span.error == 1)", 18, "expected true or false after `==`"},
	    {"any(span.name > 1)", 14, "`span.name` is a text, and < <= > >= are for numbers"},
	    {"any(span.kind | span.x == 'a')", 4, "this field is never missing"},
	    {"any(span.x | span.kind == 'a')", 13, "this field is never missing"},
	    {"root.x | span.x == 'a'", 9, "fields of the root and of spans are no alternatives"},
	    {"trace.duration", 14, "expected an operator after `trace.duration`"},
	    {"trace.duration > 2", 17, "expected a duration such as `2s`"},
	    {"trace.span_count > 1.5", 19, "expected a whole number after `>`"},
	    {"trace.span_count > 1KB", 19, "expected a whole number after `>`"},
	    {"trace.span_count in [1]", 17, "`trace.span_count` is compared with ==, !="},
	    {"trace.bytes > 1s", 14, "expected a number of bytes or a size such as `10KiB`"},
	    {"trace.has_root > 1", 15, "`trace.has_root` stands alone, or with == or !="},
	    {"trace.has_root == 1", 18, "expected true or false after `==`"},
	    {"not not not", 11, "expected a condition, not the end"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct condition_set *set = condition_set_create();
		struct condition_error why;
		uint32_t number;
		int rc = condition_add(set, slice_str(ROWS[i].text), &number, &why);
		if (rc != CONDITION_BAD || why.offset != ROWS[i].offset ||
		    strstr(why.words, ROWS[i].words) == NULL) {
			printf("FAIL %s: %d at %zu: %s\n", ROWS[i].text, rc, why.offset, why.words);
			exit(1);
		}
		condition_set_destroy(set);
	}
}

static void refused(const char *text, const char *words)
{
	struct condition_set *set = condition_set_create();
	struct condition_error why;
	uint32_t number;
	CHECK_EQ(condition_add(set, slice_str(text), &number, &why), CONDITION_BAD);
	if (strstr(why.words, words) == NULL) {
		printf("FAIL %zu: %s\n", why.offset, why.words);
		exit(1);
	}
	condition_set_destroy(set);
}

static void test_limits_are_errors(void)
{
	static char text[40000];
	memset(text, '(', 40);
	snprintf(text + 40, sizeof(text) - 40, "trace.has_root");
	refused(text, "nested deeper than 32");
	text[0] = '\0';
	for (int i = 0; i < 40; i++)
		snprintf(text + 4 * i, sizeof(text) - 4 * (size_t)i, "not trace.has_root");
	refused(text, "nested deeper than 32");
	memset(text, ' ', CONDITION_MAX_BYTES + 1);
	text[CONDITION_MAX_BYTES + 1] = '\0';
	refused(text, "longer than 16384 bytes");
	strncpy(text, "any(span.a", sizeof(text));
	for (int i = 0; i < 16; i++)
		snprintf(text + strlen(text), 32, " | span.a%d", i);
	refused(text, "more than 16 fields");
	snprintf(text, sizeof(text), "any(span.a in [1");
	for (int i = 0; i < 1024; i++)
		snprintf(text + 16 + 2 * i, 4, ",1");
	refused(text, "more than 1024 values");
	char *at = text + snprintf(text, sizeof(text), "any(span.a =~ \"");
	memset(at, 'a', 2049);
	snprintf(at + 2049, 8, "\")");
	refused(text, "pattern: longer than 2048 bytes");
}

static void test_no_more_than_256_bits(void)
{
	struct condition_set *set = condition_set_create();
	struct condition_error why;
	char text[64];
	uint32_t number;
	for (int i = 0; i < CONDITION_MAX_BITS; i++) {
		snprintf(text, sizeof(text), "any(span.a == %d)", i);
		CHECK_EQ(add_text(set, text), i);
	}
	snprintf(text, sizeof(text), "trace.has_root or any(span.a == -1)");
	CHECK_EQ(condition_add(set, slice_str(text), &number, &why), CONDITION_BAD);
	CHECK_STR(why.words, "all conditions together have more than 256 different any(), all(), "
			     "none() and root expressions");
	CHECK_EQ(why.offset, 22);
	CHECK_EQ(add_text(set, "none(span.a == 7)"), CONDITION_MAX_BITS);
	CHECK_EQ(condition_set_bits(set), CONDITION_MAX_BITS);
	CHECK_EQ(condition_compile(set), 0);
	struct buf span = {0}, spans = {0}, request = {0};
	pb_span_head(&span, 1, true, 1);
	pb_int_attribute(&span, 9, "a", 255);
	pb_message(&spans, 2, &span);
	pb_request(&request, "s", &spans);
	struct trace_facts t = facts_of(set, buf_slice(&request));
	for (uint32_t i = 0; i < CONDITION_MAX_BITS; i++)
		CHECK_EQ(condition_holds(set, i, &t), i == 255);
	CHECK(condition_holds(set, CONDITION_MAX_BITS, &t));
	buf_finish(&request);
	condition_set_destroy(set);
}

/* ---- equal expressions are one ---- */

static uint32_t bits_of(const char *a, const char *b)
{
	struct condition_set *set = condition_set_create();
	add_text(set, a);
	add_text(set, b);
	uint32_t n = condition_set_bits(set);
	condition_set_destroy(set);
	return n;
}

static void test_equal_expressions_share_a_bit(void)
{
	static const struct {
		const char *a, *b;
		uint32_t bits;
	} ROWS[] = {
	    {"any(span.error)", "any(span.error == true)", 1},
	    {"any(span.error)", "none(span.error)", 1},
	    {"any(span.error)", "all(not span.error)", 1},
	    {"any(span.error)", "all(span.error)", 2},
	    {"all(span.x == 1)", "any(span.x != 1)", 1},
	    {"any(span.x == 1)", "any(span.x == 1.0)", 1},
	    {"any(span.x == 1)", "any(span.x == \"1\")", 2},
	    {"any(span.a exists and span.b exists)", "any(span.b exists and span.a exists)", 1},
	    {"any(span.a exists or span.b exists)",
	     "any(not (span.b not exists and span.a not exists))", 1},
	    {"any(span.a exists and (span.b exists and span.c exists))",
	     "any((span.c exists and span.a exists) and span.b exists)", 1},
	    {"any(span.a =~ \"^/x\")", "any(span.a starts_with \"/x\")", 1},
	    {"any(span.a =~ \"^/x$\")", "any(span.a matches '^/x$')", 1},
	    {"any(span.a =~ \"x.\")", "any(span.a =~ 'x..')", 2},
	    {"any(span.duration < 2s)", "all(span.duration_ms >= 2000)", 1},
	    {"any(span.http.method == 'GET')", "any(span.http.request.method == 'GET')", 2},
	    {"root.error", "not root.error", 1},
	    {"root.a == 1 and root.b == 2", "root.b == 2 and (root.a == 1)", 1},
	    {"root.a == 1 and any(span.error) and root.b == 2",
	     "any(span.error) and root.b == 2 and root.a == 1", 2},
	    {"trace.has_root", "trace.duration > 2s or trace.bytes > 10KiB", 0},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		if (bits_of(ROWS[i].a, ROWS[i].b) != ROWS[i].bits) {
			printf("FAIL %s, %s: %u bits\n", ROWS[i].a, ROWS[i].b,
			       bits_of(ROWS[i].a, ROWS[i].b));
			exit(1);
		}
}

/* ---- traces ---- */

/* A root without attributes but `r`, a child with a = 1, one with b = 1, and one with both. */
static void make_trace(struct buf *request, bool root, bool both)
{
	struct buf span = {0}, spans = {0};
	pb_span_head(&span, 1, root, 3000000000);
	pb_int_attribute(&span, 9, "r", 1);
	pb_message(&spans, 2, &span);
	pb_span_head(&span, 2, false, 1000);
	pb_int_attribute(&span, 9, "a", 1);
	pb_message(&spans, 2, &span);
	pb_span_head(&span, 3, false, 2000);
	pb_int_attribute(&span, 9, "b", 1);
	pb_message(&spans, 2, &span);
	if (both) {
		pb_span_head(&span, 4, false, 1000);
		pb_int_attribute(&span, 9, "b", 1);
		pb_int_attribute(&span, 9, "a", 1);
		pb_message(&spans, 2, &span);
	}
	pb_request(request, "shop", &spans);
}

static void test_one_span_meets_the_whole_of_any(void)
{
	struct buf apart = {0}, both = {0};
	make_trace(&apart, true, false);
	make_trace(&both, true, true);
	CHECK_HOLDS("any(span.a == 1 and span.b == 1)", &apart, false);
	CHECK_HOLDS("any(span.a == 1 and span.b == 1)", &both, true);
	CHECK_HOLDS("any(span.a == 1) and any(span.b == 1)", &apart, true);
	CHECK_HOLDS("none(span.a == 1 and span.b == 1)", &apart, true);
	CHECK_HOLDS("none(span.a == 1 and span.b == 1)", &both, false);
	CHECK_HOLDS("all(resource.service.name == 'shop')", &both, true);
	CHECK_HOLDS("all(span.a == 1)", &both, false);
	CHECK_HOLDS("all(span.a == 1 or span.b == 1 or span.r == 1)", &both, true);
	CHECK_HOLDS("all(span.a != 2)", &both, true);
	buf_finish(&apart);
	buf_finish(&both);
}

static void test_a_field_that_no_span_has(void)
{
	struct buf r = {0};
	make_trace(&r, true, true);
	CHECK_HOLDS("any(span.zz == 1)", &r, false);
	CHECK_HOLDS("all(span.zz == 1)", &r, false);
	CHECK_HOLDS("none(span.zz == 1)", &r, true);
	CHECK_HOLDS("any(span.zz != 1)", &r, true);
	CHECK_HOLDS("all(span.zz != 1)", &r, true);
	CHECK_HOLDS("none(span.zz != 1)", &r, false);
	CHECK_HOLDS("any(resource.zz != 1 and scope.zz not exists and event.zz != 1)", &r, true);
	buf_finish(&r);
}

static void test_the_root_and_no_root(void)
{
	struct buf with = {0}, without = {0};
	make_trace(&with, true, true);
	make_trace(&without, false, true);
	static const struct {
		const char *text;
		bool with, without;
	} ROWS[] = {
	    {"root.r == 1", true, false},
	    {"root.r != 1", false, true},
	    {"root.a == 1", false, false},
	    {"root.a != 1", true, true},
	    {"not root.r == 1", false, true},
	    {"root.r exists", true, false},
	    {"root.r not exists", false, true},
	    {"root.duration > 2s", true, false},
	    {"root.duration < 4s", true, false},
	    {"root.duration <= 3s", true, false},
	    {"root.duration < 3s", false, false},
	    {"root.duration != 3s", false, true},
	    {"root.kind == 'unspecified'", true, false},
	    {"root.error", false, false},
	    {"not root.error", true, true},
	    {"root.resource.service.name == 'shop'", true, false},
	    {"root.scope.name == 'test'", true, false},
	    {"root.r == 1 and any(span.a == 1) and root.duration > 2s", true, false},
	    {"root.r == 2 or root.duration > 2s or any(span.zz exists)", true, false},
	    {"root.zz | root.r == 1", true, false},
	    {"root.r == 1 and root.a == 1", false, false},
	    {"trace.has_root", true, false},
	    {"has-root-span", true, false},
	    {"trace.has_root != true", false, true},
	    {"trace.has_root == false", false, true},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		CHECK_HOLDS(ROWS[i].text, &with, ROWS[i].with);
		CHECK_HOLDS(ROWS[i].text, &without, ROWS[i].without);
	}
	buf_finish(&with);
	buf_finish(&without);
}

static void test_and_binds_closer_than_or(void)
{
	struct buf r = {0};
	make_trace(&r, true, false);
	CHECK_HOLDS("any(span.a == 1) or any(span.b == 1) and any(span.zz == 1)", &r, true);
	CHECK_HOLDS("(any(span.a == 1) or any(span.b == 1)) and any(span.zz == 1)", &r, false);
	CHECK_HOLDS("any(span.a == 1 or span.b == 1 and span.zz == 1)", &r, true);
	CHECK_HOLDS("any((span.a == 1 or span.b == 1) and span.zz == 1)", &r, false);
	CHECK_HOLDS("not any(span.zz == 1) and any(span.a == 1)", &r, true);
	CHECK_HOLDS("not (any(span.zz == 1) or any(span.a == 1))", &r, false);
	CHECK_HOLDS("any(not span.a == 1 and span.r == 1)", &r, true);
	buf_finish(&r);
}

static void test_facts_of_the_trace(void)
{
	struct condition_set *set = condition_set_create();
	static const struct {
		const char *text;
		bool want;
	} ROWS[] = {{"trace.duration > 2s", true},
		    {"trace.duration >= 2500ms", true},
		    {"trace.duration > 2.5s", false},
		    {"trace.duration == 2500000us", true},
		    {"trace.duration_ms < 2501", true},
		    {"trace.duration_ms < 2500", false},
		    {"trace.duration < 1m", true},
		    {"trace.span_count == 7", true},
		    {"trace.span_count != 7", false},
		    {"trace.span_count <= 7", true},
		    {"trace.bytes >= 10KiB", true},
		    {"trace.bytes > 10KiB", false},
		    {"trace.bytes > 10KB", true},
		    {"trace.bytes < 20000", true},
		    {"trace.error_count > 0", true},
		    {"trace.error_count > 1", false},
		    {"trace.has_root", true},
		    {"not trace.has_root", false},
		    {"not (trace.duration > 2s)", false}};
	struct trace_facts t = {
	    .duration_ns = 2500000000, .bytes = 10240, .spans = 7, .errors = 1, .has_root = true};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		uint32_t n = add_text(set, ROWS[i].text);
		if (condition_holds(set, n, &t) != ROWS[i].want) {
			printf("FAIL %s\n", ROWS[i].text);
			exit(1);
		}
	}
	condition_set_destroy(set);
}

static void test_what_can_still_change(void)
{
	static const struct {
		const char *text;
		const char *want; /* of four states of the trace below: + always, - never, o open */
	} ROWS[] = {
	    {"any(span.error)", "oo++"},
	    {"none(span.error)", "oo--"},
	    {"all(not span.error)", "oo--"},
	    {"trace.span_count > 2", "oo++"},
	    {"trace.span_count >= 3", "oo++"},
	    {"trace.span_count == 3", "oooo"},
	    {"trace.span_count == 1", "oo--"},
	    {"trace.span_count != 1", "oo++"},
	    {"trace.span_count < 3", "oo--"},
	    {"trace.span_count <= 3", "oooo"},
	    {"trace.error_count >= 1", "oo++"},
	    {"trace.bytes > 100", "o+++"},
	    {"trace.bytes < 100", "o---"},
	    {"trace.duration > 2s", "ooo+"},
	    {"trace.duration < 2s", "ooo-"},
	    {"trace.duration > 9s", "ooo-"},
	    {"trace.has_root", "ooo+"},
	    {"not trace.has_root", "ooo-"},
	    {"any(span.error) and trace.has_root", "ooo+"},
	    {"any(span.error) and trace.bytes < 100", "o---"},
	    {"any(span.error) or trace.bytes < 100", "oo++"},
	    {"trace.bytes > 100 or any(span.error)", "o+++"},
	};
	struct condition_set *set = condition_set_create();
	add_text(set, "any(span.error)");
	struct trace_facts t[4] = {
	    {.spans = 0},
	    {.spans = 1, .bytes = 101, .duration_ns = 5000000000},
	    {.spans = 3, .bytes = 500, .duration_ns = 5000000000, .errors = 1, .bits = {1}},
	    {.spans = 3,
	     .bytes = 500,
	     .duration_ns = 5000000000,
	     .errors = 1,
	     .bits = {1},
	     .has_root = true}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		uint32_t n = add_text(set, ROWS[i].text);
		for (int k = 0; k < 4; k++) {
			enum condition_outlook is = condition_outlook(set, n, &t[k]);
			bool now = condition_holds(set, n, &t[k]);
			char got = is == CONDITION_ALWAYS ? '+' : is == CONDITION_NEVER ? '-' : 'o';
			if (got != ROWS[i].want[k] || (got == '+' && !now) || (got == '-' && now)) {
				printf("FAIL %s, state %d: %c\n", ROWS[i].text, k, got);
				exit(1);
			}
		}
	}
	condition_set_destroy(set);
}

/* ---- fields ---- */

static void test_events_and_links(void)
{
	struct buf span = {0}, spans = {0}, r = {0}, inner = {0};
	pb_span_head(&span, 1, true, 1);
	pb_attribute(&span, 9, "a", "1");
	pb_fixed64(&inner, 1, 5);
	pb_str(&inner, 2, "exception");
	pb_attribute(&inner, 3, "exception.type", "Timeout");
	pb_message(&span, 11, &inner);
	pb_str(&inner, 2, "log");
	pb_attribute(&inner, 3, "level", "warn");
	pb_attribute(&inner, 3, "exception.type", "Refused");
	pb_message(&span, 11, &inner);
	pb_bytes(&inner, 1, "0123456789abcdef", 16);
	pb_attribute(&inner, 4, "why", "retry of before");
	pb_message(&span, 13, &inner);
	pb_attribute(&span, 9, "z", "2");
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	static const struct {
		const char *text;
		bool want;
	} ROWS[] = {
	    {"any(event.name == \"exception\")", true},
	    {"any(event.name == \"log\" and event.exception.type == \"Timeout\")", true},
	    {"any(event.name != \"log\")", false},
	    {"any(event.exception.type == \"Refused\")", true},
	    {"any(event.exception.type =~ \"^T.m\")", true},
	    {"any(event.exception.type contains \"fuse\")", true},
	    {"any(event.exception.type starts_with \"x\")", false},
	    {"any(event.level | event.exception.type == \"Timeout\")", false},
	    {"any(event.zz | event.exception.type == \"Timeout\")", true},
	    {"any(link.why contains \"retry\" and span.z == 2 and span.a == 1)", true},
	    {"any(link.why exists)", true},
	    {"any(link.zz exists)", false},
	    {"any(span.why exists)", false},
	    {"any(span.level exists or resource.level exists or scope.level exists)", false},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		CHECK_HOLDS(ROWS[i].text, &r, ROWS[i].want);
	buf_finish(&r);
}

static void test_fields_of_our_own(void)
{
	struct buf span = {0}, spans = {0}, r = {0}, status = {0};
	pb_span_head(&span, 1, true, 1500000000);
	pb_str(&span, 5, "GET /pay");
	pb_int(&span, 6, 3);
	pb_int(&status, 3, 1);
	pb_message(&span, 15, &status);
	pb_attribute(&span, 9, "name", "another");
	pb_attribute(&span, 9, "odd key", "1");
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	static const struct {
		const char *text;
		bool want;
	} ROWS[] = {
	    {"any(span.name == \"GET /pay\")", true},
	    {"any(span.name =~ \"^GET\")", true},
	    {"any(span.name contains \"pay\")", true},
	    {"any(span.name exists)", true},
	    {"any(span.\"name\" == 'another')", true},
	    {"any(span.'odd key' == 1)", true},
	    {"any(span.kind == \"client\")", true},
	    {"any(span.kind == client)", true},
	    {"any(span.kind == SPAN_KIND_CLIENT)", true},
	    {"any(span.kind in [\"server\", \"consumer\"])", false},
	    {"any(span.kind != \"server\")", true},
	    {"any(span.status == \"ok\")", true},
	    {"any(span.status == STATUS_CODE_ERROR)", false},
	    {"any(span.status not in [unset, error])", true},
	    {"any(span.duration == 1.5s)", true},
	    {"any(span.duration > 1s and span.duration < 2s)", true},
	    {"any(span.duration_ms >= 1500.0)", true},
	    {"any(span.duration > 0)", true},
	    {"any(scope.name == \"test\" and scope.version not exists)", true},
	    {"any(resource.service.name in ['s'])", true},
	    {"any(scope.name | span.name == 'test')", true},
	    {"any(span.zz | span.name == 'GET /pay')", true},
	    {"any(span.zz | resource.service.name == 's')", true},
	    {"any(resource.service.name | span.name == 'GET /pay')", false},
	    {"any(resource.zz | span.name != 'GET /pay')", false},
	    {"any(span.zz | span.zy exists)", false},
	    {"any(span.zz | span.name exists)", true},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		CHECK_HOLDS(ROWS[i].text, &r, ROWS[i].want);
	buf_finish(&r);
}

static void check_error(void (*add)(struct buf *span), bool want)
{
	struct buf span = {0}, spans = {0}, r = {0};
	pb_span_head(&span, 1, true, 1);
	add(&span);
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	CHECK_HOLDS("any(span.error)", &r, want);
	CHECK_HOLDS("trace.error_count == 1", &r, want);
	buf_finish(&r);
}

static void error_status(struct buf *span)
{
	struct buf status = {0};
	pb_str(&status, 2, "no");
	pb_int(&status, 3, 2);
	pb_message(span, 15, &status);
}
static void server_503(struct buf *span)
{
	pb_int_attribute(span, 9, "http.response.status_code", 503);
	pb_int(span, 6, 2);
}
static void server_old_double_500(struct buf *span)
{
	pb_int(span, 6, 2);
	pb_double_attribute(span, 9, "http.status_code", 500);
}
static void server_old_text_504(struct buf *span)
{
	pb_int(span, 6, 2);
	pb_attribute(span, 9, "http.status_code", "504");
}
static void server_both(struct buf *span)
{
	pb_int(span, 6, 2);
	pb_attribute(span, 9, "http.status_code", "504");
	pb_int_attribute(span, 9, "http.response.status_code", 499);
}
static void client_503(struct buf *span)
{
	pb_int(span, 6, 3);
	pb_int_attribute(span, 9, "http.response.status_code", 503);
}
static void error_true(struct buf *span)
{
	pb_bool_attribute(span, 9, "error", true);
}
static void error_text(struct buf *span)
{
	pb_attribute(span, 9, "error", "true");
}
static void error_false(struct buf *span)
{
	pb_bool_attribute(span, 9, "error", false);
}

static void test_what_an_error_is(void)
{
	check_error(error_status, true);
	check_error(server_503, true);
	check_error(server_old_double_500, true);
	check_error(server_old_text_504, true);
	check_error(server_both, false);
	check_error(client_503, false);
	check_error(error_true, true);
	check_error(error_text, true);
	check_error(error_false, false);
}

static void test_renamed_attributes_are_alternatives(void)
{
	struct buf span = {0}, spans = {0}, r = {0};
	pb_span_head(&span, 1, true, 1);
	pb_attribute(&span, 9, "http.method", "GET");
	pb_int_attribute(&span, 9, "http.status_code", 204);
	pb_int_attribute(&span, 9, "http.response.status_code", 200);
	pb_attribute(&span, 9, "url.full", "https://a/b");
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	CHECK_HOLDS("any(span.http.request.method == 'GET')", &r, true);
	CHECK_HOLDS("any(span.http.method == 'GET')", &r, true);
	CHECK_HOLDS("any(span.http.response.status_code == 200)", &r, true);
	CHECK_HOLDS("any(span.http.status_code == 204)", &r, true);
	CHECK_HOLDS("any(span.http.url =~ '^https:' and span.url.full exists)", &r, true);
	CHECK_HOLDS("any(resource.http.request.method exists)", &r, false);
	buf_finish(&r);
}

static void test_numbers_compare_by_value(void)
{
	struct buf span = {0}, spans = {0}, r = {0};
	pb_span_head(&span, 1, true, 1);
	pb_int_attribute(&span, 9, "big", 9007199254740993); /* 2^53 + 1: no double */
	pb_double_attribute(&span, 9, "nan", 0.0 / 0.0);
	pb_double_attribute(&span, 9, "inf", 1.0 / 0.0);
	pb_double_attribute(&span, 9, "zero", -0.0);
	pb_attribute(&span, 9, "version", "1.10");
	pb_attribute(&span, 9, "hex", "0x10");
	pb_attribute(&span, 9, "max", "9223372036854775807");
	pb_int_attribute(&span, 9, "minus", -5);
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	static const struct {
		const char *text;
		bool want;
	} ROWS[] = {
	    {"any(span.big == 9007199254740993)", true},
	    {"any(span.big == 9007199254740992.0)", false},
	    {"any(span.big > 9007199254740992.5)", true},
	    {"any(span.big > 9007199254740992)", true},
	    {"any(span.big < 1e300)", true},
	    {"any(span.big > -1e300)", true},
	    {"any(span.nan exists)", true},
	    {"any(span.nan == 0 or span.nan < 0 or span.nan >= 0)", false},
	    {"any(span.inf > 1e308)", true},
	    {"any(span.zero == 0)", true},
	    {"any(span.zero == \"0\")", true},
	    {"any(span.version == \"1.1\")", false},
	    {"any(span.version == 1.1)", true},
	    {"any(span.hex == 16)", false},
	    {"any(span.max == 9223372036854775807)", true},
	    {"any(span.max > 9223372036854775806)", true},
	    {"any(span.minus < 0 and span.minus == -5.0 and span.minus starts_with '-')", true},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		CHECK_HOLDS(ROWS[i].text, &r, ROWS[i].want);
	buf_finish(&r);
}

static void test_escapes_in_strings(void)
{
	struct buf span = {0}, spans = {0}, r = {0};
	pb_span_head(&span, 1, true, 1);
	pb_attribute(&span, 9, "a", "say \"hi\" \\ it's");
	pb_attribute(&span, 9, "b", "/pay.v1");
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	CHECK_HOLDS("any(span.a == \"say \\\"hi\\\" \\\\ it's\")", &r, true);
	CHECK_HOLDS("any(span.a == 'say \"hi\" \\\\ it\\'s')", &r, true);
	CHECK_HOLDS("any(span.b =~ \"^/pay\\.v\\d$\")", &r, true);
	CHECK_HOLDS("any(span.b =~ \"^/pay\\\\.v\\\\d$\")", &r, true);
	CHECK_HOLDS("any(span.b =~ \"^/payXv\\d$\")", &r, false);
	buf_finish(&r);
}

/* A pattern is looked up by its literal where it has one; it has to mean the same. */
static void test_patterns_with_and_without_a_plain_beginning(void)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} ROWS[] = {
	    {"^/pay", "/pay/1", true},
	    {"^/pay", "x/pay", false},
	    {"/pay", "x/pay", true},
	    {"^ab?c", "ac", true},
	    {"^ab*c", "ac", true},
	    {"^ab{0}c", "ac", true},
	    {"^ab+c", "abbc", true},
	    {"^ab|cd", "xcd", true},
	    {"^(ab|cd)e", "cde", true},
	    {"^a\\.b", "a.b", true},
	    {"^a\\.b", "axb", false},
	    {"^a.b$", "axb", true},
	    {"^ab$", "abc", false},
	    {"^", "x", true},
	    {"^a\\db", "a1b", true},
	    {"(?i)^ab", "AB", true},
	    {"^\xc3\xa4?b", "b", true},
	    {"^a\xc3\xa4+b",
	     "a\xc3\xa4"
	     "b",
	     true},
	    {"a^b", "a^b", false},
	    {"^a(?=b)", "ab", true},
	    {"^a\\/b.", "a/bc", true},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf span = {0}, spans = {0}, r = {0};
		char text[64];
		pb_span_head(&span, 1, true, 1);
		pb_attribute(&span, 9, "a", ROWS[i].text);
		pb_message(&spans, 2, &span);
		pb_request(&r, "s", &spans);
		snprintf(text, sizeof(text), "any(span.a =~ \"%s\")", ROWS[i].pattern);
		CHECK_HOLDS(text, &r, ROWS[i].want);
		buf_finish(&r);
	}
}

static void test_a_pattern_that_takes_too_long_does_not_hold(void)
{
	struct condition_set *set = set_of("any(span.a =~ '(a+)+$x') or any(span.b =~ '(a|aa)+$')");
	struct condition_scratch *s = condition_scratch_create(set);
	struct buf span = {0}, spans = {0}, r = {0};
	char text[6001];
	memset(text, 'a', 6000);
	text[6000] = '\0';
	text[5000] = 'b';
	for (uint8_t i = 0; i < 40; i++) {
		pb_span_head(&span, i, false, 1);
		pb_attribute(&span, 9, "b", text);
		pb_message(&spans, 2, &span);
	}
	pb_request(&r, "s", &spans);
	struct trace_facts t = {.has_root = false};
	condition_evaluate(set, s, buf_slice(&r), sum_span, &t);
	CHECK_EQ(t.spans, 40);
	CHECK_EQ(condition_scratch_gave_up(s), 1); /* not one time more in this request */
	CHECK(!condition_holds(set, 0, &t));
	buf_finish(&r);
	condition_scratch_destroy(s);
	condition_set_destroy(set);
}

/* ---- what a span is said to be ---- */

static struct span_facts told[4];

static void on_told(void *user, const struct span_facts *f)
{
	uint32_t *n = user;
	told[(*n)++] = *f;
}

static void test_facts_of_a_span(void)
{
	struct condition_set *set = set_of("any(span.error)");
	struct condition_scratch *s = condition_scratch_create(set);
	struct buf span = {0}, spans = {0}, second = {0}, r = {0};
	uint32_t n = 0;
	pb_span_head(&span, 0, false, 9);
	pb_str(&span, 3, "a=b,ot=th:8;rv:0123456789abcd");
	pb_message(&spans, 2, &span);
	pb_span_head(&span, 1, true, 0);
	pb_str(&span, 3, "ot=th:zz");
	pb_fixed64(&span, 8, 5); /* the last one counts, and is before the start */
	pb_bytes(&span, 4, "\0\0\0\0\0\0\0\0", 8);
	pb_message(&spans, 2, &span);
	pb_request(&r, "s", &spans);
	pb_span_head(&span, 2, false, 0);
	error_status(&span);
	pb_message(&second, 2, &span);
	pb_request(&r, "t", &second);
	condition_evaluate(set, s, buf_slice(&r), on_told, &n);
	CHECK_EQ(n, 3);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK_EQ(told[i].ordinal, i);
		CHECK_EQ(told[i].trace_id[0], 7);
		CHECK_EQ(told[i].span_id[0], i + 1);
		CHECK_EQ(r.data[told[i].offset], 2 << 3 | 2); /* a field `spans` of ScopeSpans */
		CHECK(told[i].trace_id > r.data + told[i].offset);
		CHECK(told[i].trace_id < r.data + told[i].offset + told[i].length);
		CHECK_EQ(told[i].is_root, i == 1);
		CHECK_EQ(told[i].is_error, i == 2);
		CHECK_EQ(told[i].bits[0], i == 2);
	}
	CHECK_EQ(span_duration_ns(&told[0]), 9);
	CHECK_EQ(span_duration_ns(&told[1]), 0);
	CHECK(told[0].has_th && told[0].th == (uint64_t)1 << 55);
	CHECK(told[0].has_rv && told[0].rv == 0x0123456789abcd && !told[0].bad_tracestate);
	CHECK(!told[1].has_th && told[1].bad_tracestate);
	CHECK(!told[2].has_th && !told[2].bad_tracestate);
	CHECK_EQ(told[0].offset + told[0].length, told[1].offset);
	buf_finish(&r);
	condition_scratch_destroy(s);
	condition_set_destroy(set);
}

/* Resource and scope may stand behind what they describe. */
static void test_headers_behind_their_spans(void)
{
	struct buf span = {0}, scope_spans = {0}, scope = {0}, resource = {0}, rs = {0}, r = {0};
	pb_span_head(&span, 1, true, 1);
	pb_message(&scope_spans, 2, &span);
	pb_str(&scope, 1, "lib");
	pb_str(&scope, 2, "1.2");
	pb_attribute(&scope, 3, "s", "1");
	pb_message(&scope_spans, 1, &scope);
	pb_message(&rs, 2, &scope_spans);
	pb_attribute(&resource, 1, "r", "1");
	pb_message(&rs, 1, &resource);
	pb_message(&r, 1, &rs);
	CHECK_HOLDS("any(resource.r == 1 and scope.s == 1 and scope.name == 'lib' and "
		    "scope.version starts_with '1.')",
		    &r, true);
	CHECK_HOLDS("all(resource.r != 1 or scope.s != 1)", &r, false);
	buf_finish(&r);
}

/* What was found in one resource, scope or span is not there in the next. */
static void test_nothing_stays_for_the_next(void)
{
	struct buf span = {0}, spans = {0}, r = {0};
	pb_span_head(&span, 1, true, 1);
	pb_int_attribute(&span, 9, "a", 1);
	pb_message(&spans, 2, &span);
	pb_request(&r, "one", &spans);
	pb_span_head(&span, 2, false, 1);
	pb_int_attribute(&span, 9, "b", 1);
	pb_message(&spans, 2, &span);
	pb_request(&r, "two", &spans);
	CHECK_HOLDS("any(resource.service.name == 'one' and span.b == 1)", &r, false);
	CHECK_HOLDS("any(resource.service.name == 'two' and span.b == 1)", &r, true);
	CHECK_HOLDS("any(resource.service.name == 'two' and span.a == 1)", &r, false);
	CHECK_HOLDS("any(resource.service.name =~ 'w.$' and span.a != 1)", &r, true);
	CHECK_HOLDS("any(resource.service.name =~ '^o.e' and span.b == 1)", &r, false);
	CHECK_HOLDS("any(span.a exists and span.b exists)", &r, false);
	buf_finish(&r);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(
	    TEST(test_every_operator_with_every_type), TEST(test_errors_say_where_and_what),
	    TEST(test_limits_are_errors), TEST(test_no_more_than_256_bits),
	    TEST(test_equal_expressions_share_a_bit), TEST(test_one_span_meets_the_whole_of_any),
	    TEST(test_a_field_that_no_span_has), TEST(test_the_root_and_no_root),
	    TEST(test_and_binds_closer_than_or), TEST(test_facts_of_the_trace),
	    TEST(test_what_can_still_change), TEST(test_events_and_links),
	    TEST(test_fields_of_our_own), TEST(test_what_an_error_is),
	    TEST(test_renamed_attributes_are_alternatives), TEST(test_numbers_compare_by_value),
	    TEST(test_escapes_in_strings), TEST(test_patterns_with_and_without_a_plain_beginning),
	    TEST(test_a_pattern_that_takes_too_long_does_not_hold), TEST(test_facts_of_a_span),
	    TEST(test_headers_behind_their_spans), TEST(test_nothing_stays_for_the_next));
}

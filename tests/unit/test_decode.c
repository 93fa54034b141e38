/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/decode.h"
#include "redaction/escape.h"
#include "redaction_fixture.h"

static struct harvest h;
static struct scanner *scanner;

static void begin(void)
{
	fixture_begin();
	CHECK_EQ(harvest_init(&h), 0);
	scanner = scanner_create();
	CHECK_EQ(scanner_begin(scanner, set), 0);
}

static void end(void)
{
	scanner_destroy(scanner);
	harvest_finish(&h);
	fixture_end();
}

static void decode(struct slice text)
{
	CHECK_EQ(harvest_text(&h, slice_str(""), text, set, scanner), 0);
	CHECK_EQ(decode_copies(&h), 0);
}

/* Whether some copy is this. */
static bool has_copy(const char *text)
{
	for (uint32_t i = h.n_spots; i < h.n; i++)
		if (slice_is(slice_of(h.text.data + h.values[i].at, h.values[i].len), text))
			return true;
	return false;
}

static void test_every_escape_is_read(void)
{
	static const struct {
		const char *text, *means;
		unsigned used;
	} ESCAPES[] = {
	    {"%41b", "A", 3},
	    {"%e2", "\xe2", 3},
	    {"%u00e9", "\xc3\xa9", 6},
	    {"\\n", "\n", 2},
	    {"\\\"", "\"", 2},
	    {"\\\\", "\\", 2},
	    {"\\/", "/", 2},
	    {"\\u0041", "A", 6},
	    {"\\u20ac", "\xe2\x82\xac", 6},
	    {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 12},
	    {"\\x41", "A", 4},
	    {"&amp;", "&", 5},
	    {"&#65;", "A", 5},
	    {"&#x41;", "A", 6},
	    {"&quot;x", "\"", 6},
	    {"&#x1F600;", "\xf0\x9f\x98\x80", 9},
	};
	static const char *const NONE_AT_ALL[] = {
	    "%",           "%4",      "%4g",     "%u12",  "\\",   "\\q",
	    "\\u12",       "\\ud83d", "\\ude00", "&amp",  "&;",   "&#;",
	    "&#x;",        "&#xg;",   "&nope;",  "&#6a;", "\\x4", "\\ud83d\\u0041",
	    "&#99999999;", "&",
	};
	struct escape e;
	for (size_t i = 0; i < sizeof(ESCAPES) / sizeof(ESCAPES[0]); i++) {
		struct slice s = slice_str(ESCAPES[i].text);
		CHECK(escape_begins(s.data[0]) && escape_read(s.data, s.len, &e));
		CHECK_EQ(e.used, ESCAPES[i].used);
		CHECK(slice_is(slice_of(e.bytes, e.len), ESCAPES[i].means));
	}
	for (size_t i = 0; i < sizeof(NONE_AT_ALL) / sizeof(NONE_AT_ALL[0]); i++) {
		struct slice s = slice_str(NONE_AT_ALL[i]);
		CHECK(!escape_read(s.data, s.len, &e));
	}
}

static void test_copies_say_what_is_encoded(void)
{
	begin();
	decode(slice_str("a%20b\\u0041&lt;"));
	CHECK(h.n_copies == 1 && has_copy("a bA<"));
	decode(slice_str("%2541 and %255cn"));
	CHECK(h.n_copies == 2 && has_copy("%41 and %5cn") && has_copy("A and \\n"));
	decode(slice_str("/v1/dXNlcjpwYXNzd29yZCBvZiBtaW5l?x"));
	CHECK(has_copy("user:password of mine"));
	decode(slice_str("Y2xcdTAwZTkgJTQxIHRleHQgY2w="));
	CHECK(has_copy("cl\\u00e9 %41 text cl") && has_copy("cl\xc3\xa9 A text cl"));
	decode(slice_str("550e8400-e29b-41d4-a716-446655440000 4bf92f3577b34da6a3ce929d0e0e4736"));
	CHECK_EQ(h.n_copies, 0);
	decode(slice_str("/api/v1/customers/42/orders/checkout-7d9f8b6c5-x2x4z, 100% & more"));
	CHECK_EQ(h.n_copies, 0);
	end();
}

static void check_back(uint32_t start, uint32_t end_, uint32_t want_start, uint32_t want_end)
{
	decode_back(&h, &h.copies[0], &start, &end_);
	CHECK_EQ(start, want_start);
	CHECK_EQ(end_, want_end);
}

static void test_ranges_go_back_to_their_source(void)
{
	begin();
	decode(slice_str("ab%41cd\\ud83d\\ude00e"));
	check_back(0, 2, 0, 2);
	check_back(1, 3, 1, 5);
	check_back(2, 3, 2, 5);
	check_back(5, 9, 7, 19);
	check_back(6, 7, 7, 19); /* a part of a character: all of it */
	check_back(9, 10, 19, 20);
	decode(slice_str("=dXNlcjpwYXNzd29yZCBvZiBtaW5l="));
	check_back(0, 1, 1, 5);
	check_back(2, 4, 1, 9);
	check_back(20, 21, 25, 29);
	decode(slice_str("=dXNlcjpwYXNzd29yZCBvZiBtaW5lIQ="));
	check_back(21, 22, 29, 31); /* the last group is not whole */
	end();
}

static void test_ranges_of_long_copies_go_back(void)
{
	static char text[40000];
	begin();
	for (size_t i = 0; i < sizeof(text); i += 4)
		memcpy(text + i, i % 12 == 0 ? "%41x" : "plai", 4);
	decode(slice_of(text, sizeof(text)));
	CHECK_EQ(h.n_copies, 1);
	for (uint32_t group = 0; group < 3333; group += 37) /* ten bytes for twelve */
		check_back(group * 10, group * 10 + 10, group * 12, group * 12 + 12);
	end();
}

static void test_what_is_encoded_deeper_fails_closed(void)
{
	begin();
	decode(slice_str("%252541"));
	CHECK(h.n_forced == 1 && h.forced[0].start == 0 && h.forced[0].end == 7);
	CHECK_EQ(h.forced[0].number, ruleset_rules(set) + EXTRA_TOO_DEEP);
	decode(slice_str("\\\\\\\\\\\\n")); /* but not what is only quoted often */
	CHECK_EQ(h.n_forced, 0);
	end();
}

static void test_copies_are_bounded(void)
{
	static char text[SCAN_MAX_VALUE];
	begin();
	for (size_t i = 0; i + 24 <= sizeof(text); i += 24)
		memcpy(text + i, "JTI1NDElMjU0MSUyNTQxJTI1", 24);
	decode(slice_of(text, sizeof(text) / 24 * 24));
	CHECK(h.text.len <= 4 * sizeof(text) + DECODE_SPARE);
	end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_every_escape_is_read), TEST(test_copies_say_what_is_encoded),
		   TEST(test_ranges_go_back_to_their_source),
		   TEST(test_ranges_of_long_copies_go_back),
		   TEST(test_what_is_encoded_deeper_fails_closed), TEST(test_copies_are_bounded));
}

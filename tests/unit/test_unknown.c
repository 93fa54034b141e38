/* SPDX-License-Identifier: Apache-2.0
 * Fields that nobody knows leave a request without a trace, wherever they stand and however many:
 * what is left is the request that never had them. */
#include "redaction_fixture.h"

static uint32_t number(uint32_t n)
{
	static uint64_t state = 1;
	state = state * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
	return (uint32_t)(state >> 33) % n;
}

static void put_unknown(struct buf *b)
{
	static const char TEXT[400];
	if (number(2) == 0)
		pb_int(b, 19 + number(2000), number(1000));
	else
		pb_bytes(b, 77, TEXT, number(number(2) == 0 ? 4 : sizeof(TEXT)));
}

/* A field of a span, whole; in `full` with others around it and in it. */
static void put_known(struct buf *full, struct buf *bare)
{
	struct buf with = {0}, without = {0};
	uint32_t what = number(6);
	if (what < 2) {
		pb_int(full, what == 0 ? 6 : 10, 2);
		pb_int(bare, what == 0 ? 6 : 10, 2);
		return;
	}
	for (uint32_t n = number(3); n != 0; n--) {
		if (number(2) == 0)
			put_unknown(&with);
		pb_int(&with, what == 2 ? 4 : 1, n);
		pb_int(&without, what == 2 ? 4 : 1, n);
	}
	if (what > 3) {
		pb_str(&with, 2, what == 4 ? "an event" : SECRET);
		pb_str(&without, 2, what == 4 ? "an event" : SECRET);
	}
	if (number(2) == 0)
		put_unknown(&with);
	pb_message(full, 11, &with);
	pb_message(bare, 11, &without);
}

static void redact(struct buf *request)
{
	CHECK_EQ(redact_request(redactor, set, request, SIZE_MAX, &counts), 0);
}

static void test_nothing_is_left_of_them(void)
{
	struct buf full = {0}, bare = {0};
	fixture_begin();
	for (int k = 0; k < 3000; k++) {
		struct buf a = {0}, b = {0}, spans_a = {0}, spans_b = {0};
		uint32_t unknown = 0;
		for (uint32_t n = number(40); n != 0; n--) {
			if (number(3) != 0) {
				put_known(&a, &b);
				continue;
			}
			put_unknown(&a);
			unknown++;
		}
		full.len = bare.len = 0;
		pb_message(&spans_a, 2, &a);
		pb_request(&full, "s", &spans_a);
		pb_message(&spans_b, 2, &b);
		pb_request(&bare, "s", &spans_b);
		redact(&full);
		CHECK(counts.unknown_fields >= unknown);
		redact(&bare);
		CHECK_EQ(counts.unknown_fields, 0);
		CHECK(slice_equal(buf_slice(&full), buf_slice(&bare)));
	}
	buf_finish(&full);
	buf_finish(&bare);
	fixture_end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_nothing_is_left_of_them));
}

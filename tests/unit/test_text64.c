/* SPDX-License-Identifier: Apache-2.0
 * Runs, starts, bytes and texts are what a loop over single bytes finds, whatever the machine. */
#include "check.h"
#include "redaction/text64.h"
#include "wire/utf8.h"

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";

static uint32_t number(uint32_t n)
{
	static uint64_t state = 1;
	state = state * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
	return (uint32_t)(state >> 33) % n;
}

static unsigned worth(uint8_t c)
{
	unsigned at = (unsigned)(strchr(DIGITS, c) - DIGITS);
	return at < 64 ? at : at - 2;
}

static bool is_digit(uint8_t c)
{
	return c != 0 && strchr(DIGITS, c) != NULL;
}

static size_t slow_decode(struct slice run, uint8_t *out)
{
	size_t n = 0;
	uint32_t bits = 0;
	for (size_t i = 0; i < run.len; i++) {
		bits = bits << 6 | worth(run.data[i]);
		if (i % 4 != 0)
			out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return n;
}

static unsigned slow_starts(struct slice run)
{
	unsigned starts = 0;
	for (size_t i = 0; i + 12 <= run.len; i++) {
		uint8_t out[9];
		bool is_text = true;
		slow_decode(slice_of(run.data + i, 12), out);
		for (int k = 0; k < 9; k++)
			is_text = is_text && out[k] >= '\t' && out[k] < 0x80;
		starts |= (unsigned)is_text << i % 4;
	}
	return starts;
}

/* Where the text from `at` on ends. */
static size_t slow_end(struct slice s, size_t at)
{
	while (at < s.len) {
		uint8_t c = s.data[at];
		int n = utf8_sequence(s.data + at, s.len - at);
		bool is_control = c < 0x20 && c != '\t' && c != '\n' && c != '\r';
		if (n < 0 || is_control || c == 0x7f)
			break;
		at += (size_t)n;
	}
	return at;
}

static struct slice random_run(uint8_t *run)
{
	size_t len = 1 + number(150), few = number(3) == 0 ? 22 : 66;
	for (size_t i = 0; i < len; i++)
		run[i] = (uint8_t)DIGITS[number((uint32_t)few)];
	return slice_of(run, len);
}

static void test_starts_and_bytes_are_right(void)
{
	uint8_t run[160], want[160], got[160 + TEXT64_SLACK];
	unsigned seen = 0;
	for (int k = 0; k < 50000; k++) {
		struct slice r = random_run(run);
		unsigned starts = slow_starts(r);
		size_t n = slow_decode(r, want);
		CHECK_EQ(text64_starts(r), starts);
		CHECK_EQ(text64_decode(r, got), n);
		CHECK(memcmp(got, want, n) == 0);
		seen |= 1u << starts;
	}
	CHECK_EQ(seen, 0xffff); /* each combination was there */
}

static void test_every_run_is_found(void)
{
	uint8_t text[400];
	for (int k = 0; k < 20000; k++) {
		struct slice s = slice_of(text, 1 + number(sizeof(text)));
		for (size_t i = 0, digits = number(40); i < s.len; i++) {
			bool ends = digits-- == 0;
			text[i] = (uint8_t)(ends ? number(3) * 0x40 : (uint8_t)DIGITS[number(66)]);
			digits = ends ? number(40) : digits;
		}
		size_t at = 0;
		for (size_t i = 0, end; i < s.len; i = end + 1) {
			for (end = i; end < s.len && is_digit(text[end]);)
				end++;
			if (end - i < TEXT64_RUN)
				continue;
			struct slice run = text64_run(s, at);
			CHECK(run.data == text + i && run.len == end - i);
			at = end;
		}
		CHECK_EQ(text64_run(s, at).len, 0);
	}
}

static void test_every_text_is_found(void)
{
	static const char *const PIECES[] = {
	    "plain text",      "\xc3\xa9", "\xe2\x82\xac", "\xc3", "\x80",
	    "\xed\xa0\x80",    "\t",       "\x0c",         "\x7f", "\xff",
	    "\xf0\x9f\x98\x80"};
	uint8_t text[400];
	for (int k = 0; k < 20000; k++) {
		size_t len = 0, limit = 16 + number(300), at = 0;
		while (len < limit) {
			const char *piece = PIECES[number(5) != 0 ? number(3) : number(11)];
			memcpy(text + len, piece, strlen(piece));
			len += strlen(piece);
		}
		struct slice s = slice_of(text, len);
		for (size_t i = 0, end; i < s.len; i = end + 1) {
			end = slow_end(s, i);
			if (end - i < TEXT64_LEAST)
				continue;
			struct slice found = text64_next(s, at);
			CHECK(found.data == text + i && found.len == end - i);
			at = end + 1;
		}
		CHECK_EQ(text64_next(s, at).len, 0);
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_starts_and_bytes_are_right), TEST(test_every_run_is_found),
		   TEST(test_every_text_is_found));
}

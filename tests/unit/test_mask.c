/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/mark.h"
#include "redaction/mask.h"
#include "redaction_fixture.h"

enum { TOKEN, LONGER, CARD_RULE, SIGNATURE, PASSWORD };

static uint32_t merge(struct redact_range *ranges, uint32_t n)
{
	return mask_merge(set, ranges, n);
}

static void test_ranges_that_overlap_or_touch_become_one(void)
{
	fixture_begin();
	struct redact_range r[] = {
	    {10, 20, TOKEN}, {0, 5, TOKEN}, {5, 8, LONGER}, {18, 30, LONGER}};
	CHECK_EQ(merge(r, 4), 2);
	CHECK(r[0].start == 0 && r[0].end == 8 && r[0].number == TOKEN);
	CHECK(r[1].start == 10 && r[1].end == 30 && r[1].number == LONGER);
	struct redact_range within[] = {{0, 30, TOKEN}, {3, 4, LONGER}, {29, 30, LONGER}};
	CHECK_EQ(merge(within, 3), 1);
	CHECK(within[0].end == 30 && within[0].number == TOKEN);
	struct redact_range apart[] = {{0, 3, TOKEN}, {4, 5, TOKEN}};
	CHECK_EQ(merge(apart, 2), 2);
	fixture_end();
}

static void test_the_style_that_tells_least_decides(void)
{
	conf.mask = CONF_MASK_KEEP_LAST_4;
	fixture_begin();
	struct redact_range r[] = {{0, 30, TOKEN}, {8, 12, SIGNATURE}};
	CHECK_EQ(merge(r, 2), 1);
	CHECK(r[0].start == 0 && r[0].end == 30 && r[0].number == SIGNATURE);
	fixture_end();
}

static void test_the_last_four_stay_only_of_much(void)
{
	uint8_t card[] = "4111111111111111", token[] = "abcdefghijk",
		cut[] = "0123456789ab\xc3\xa9xyz";
	mask_in_place(MASK_KEEP_LAST_4, card, 16);
	CHECK_STR((char *)card, "************1111");
	mask_in_place(MASK_KEEP_LAST_4, token, 11);
	CHECK_STR((char *)token, "***********");
	mask_in_place(MASK_KEEP_LAST_4, cut, 17); /* they would begin within a character */
	CHECK_STR((char *)cut, "*****************");
}

static void check_text(uint32_t number, const char *value, size_t start, size_t end,
		       const char *want)
{
	char out[MASK_TEXT_MAX];
	struct redact_range r = {start, end, number};
	size_t len = mask_text(set, &r, slice_str(value), out);
	CHECK(slice_is(slice_of(out, len), want));
	CHECK(len == 0 || mark_covers(slice_of(out, len), 0, len));
}

static void test_marks_are_as_the_styles_say(void)
{
	static uint8_t key[] = "0123456789abcdef0123456789abcdef";
	conf.mask = CONF_MASK_TYPED;
	fixture_begin();
	check_text(TOKEN, "a secret b", 2, 8, "[REDACTED:token]");
	check_text(SIGNATURE, "sig=abcd", 4, 8, "REDACTED");
	check_text(SIGNATURE, "http://a:b@host", 7, 10, "REDACTED:REDACTED");
	check_text(SIGNATURE, "sig=a:b", 4, 7, "REDACTED");
	fixture_end();
	conf.mask = CONF_MASK_HMAC;
	conf.hmac_key = key;
	conf.hmac_key_len = 32;
	memcpy(conf.hmac_key_id, "0badcafe", 9);
	fixture_begin();
	/* printf secret | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef */
	check_text(TOKEN, "a secret b", 2, 8, "hmac:0badcafe:0ad814968caefdec");
	fixture_end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_ranges_that_overlap_or_touch_become_one),
		   TEST(test_the_style_that_tells_least_decides),
		   TEST(test_the_last_four_stay_only_of_much),
		   TEST(test_marks_are_as_the_styles_say));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "wire/tracestate.h"

static struct tracestate parse(const char *text)
{
	struct tracestate t;
	CHECK_EQ(tracestate_read(&t, slice_str(text)), 0);
	return t;
}

static void check_written(const struct tracestate *t, const char *want)
{
	struct buf out = {0};
	CHECK_EQ(tracestate_write(t, &out), 0);
	CHECK_EQ(buf_append(&out, "", 1), 0);
	CHECK_STR((const char *)out.data, want);
	buf_finish(&out);
}

static void test_the_specifications_percentages(void)
{
	static const struct {
		double share;
		const char *th;
	} ROWS[] = {{1, "0"},         {0.5, "8"},      {0.25, "c"},     {0.75, "4"},
		    {0.1, "e666"},    {0.05, "f3333"}, {0.01, "fd70a"}, {0.001, "ffbe77"},
		    {1. / 3, "aaab"}, {0.9999, "0007"}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char want[64];
		struct tracestate t = {.has_th = true, .th = threshold_of(ROWS[i].share)};
		snprintf(want, sizeof(want), "ot=th:%s", ROWS[i].th);
		check_written(&t, want);
		struct tracestate again = parse(want);
		CHECK(again.has_th && again.th == t.th);
		double share = threshold_share(t.th);
		CHECK(share > ROWS[i].share * (1 - 0.00014) &&
		      share < ROWS[i].share * (1 + 0.00014));
	}
}

static void test_the_ends_of_the_scale(void)
{
	CHECK(threshold_of(0) == THRESHOLD_NEVER);
	CHECK(threshold_of(-1) == THRESHOLD_NEVER);
	CHECK(threshold_of(2) == 0);
	CHECK(threshold_of(0.99999999) == 0);
	CHECK(threshold_of(1e-16) < THRESHOLD_NEVER);
	CHECK(threshold_of(1e-30) == THRESHOLD_NEVER - 1);
	CHECK(threshold_share(THRESHOLD_NEVER) == 0);
	CHECK(threshold_share(0) == 1);
	double before = 1;
	for (double share = 0.999; share > 1e-18; share *= 0.93) {
		double is = threshold_share(threshold_of(share));
		CHECK(is <= before);
		before = is;
	}
}

static void test_two_coins_are_one(void)
{
	uint64_t half = threshold_of(0.5), tenth = threshold_of(0.1);
	CHECK(threshold_product(0, half) == half);
	CHECK(threshold_product(half, 0) == half);
	CHECK(threshold_product(half, half) == threshold_of(0.25));
	CHECK(threshold_product(tenth, THRESHOLD_NEVER) == THRESHOLD_NEVER);
	double both = threshold_share(threshold_product(half, tenth));
	CHECK(both > 0.04999 && both < 0.05001);
	CHECK(threshold_product(tenth, half) >= tenth); /* only raised */
}

static void test_randomness_is_the_last_seven_bytes(void)
{
	static const uint8_t ID[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				       0xff, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd};
	CHECK(randomness_of(ID) == 0x0123456789abcd);
}

static void test_entries_of_others_stay(void)
{
	struct tracestate t = parse("congo=t61rcWkgMzE, rojo=00f067aa0ba902b7 ,,ot=th:c;xx:a.B-1");
	CHECK(t.has_th && !t.has_rv && t.th == threshold_of(0.25));
	check_written(&t, "congo=t61rcWkgMzE, rojo=00f067aa0ba902b7 ,,ot=th:c;xx:a.B-1");
	t.th = threshold_of(0.1);
	check_written(&t, "ot=th:e666;xx:a.B-1,congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
	t.has_th = false;
	check_written(&t, "ot=xx:a.B-1,congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
	t = parse("ot=th:8,1a-2b@cd=x");
	t.has_th = false;
	check_written(&t, "1a-2b@cd=x");
}

static void test_rv_is_never_lost(void)
{
	struct tracestate t = parse("ot=rv:0123456789abcd;th:4");
	CHECK(t.has_rv && t.rv == 0x0123456789abcd);
	t.th = threshold_of(0.5);
	check_written(&t, "ot=th:8;rv:0123456789abcd");
	t.has_th = false;
	check_written(&t, "ot=rv:0123456789abcd");
}

static void test_a_cut_keeps_all_digits(void)
{
	struct tracestate t = {.has_th = true, .th = 0x0123456789abcd};
	check_written(&t, "ot=th:0123456789abcd");
	t.th = 0x10000000000000;
	check_written(&t, "ot=th:1");
}

static void test_what_is_no_tracestate_is_not_believed(void)
{
	static const char *const BAD[] = {"ot",           "=x",
					  "OT=th:8",      "a b=c",
					  "ot=th:",       "ot=th:8,ot=th:4",
					  "ot=th:8;th:4", "ot=th:G",
					  "ot=th:E666",   "ot=th:0123456789abcde",
					  "ot=rv:1",      "ot=rv:0123456789abcD",
					  "ot=th",        "ot=;",
					  "ot=th:8;",     "ot=Xx:1",
					  "ot=x:a=b",     "a=b\x01",
					  "a=\x7f",       "ot=x:a b",
					  "a=b=c",        "ot="};
	struct tracestate t;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		if (tracestate_read(&t, slice_str(BAD[i])) != TRACESTATE_BAD) {
			printf("taken: %s\n", BAD[i]);
			CHECK(false);
		}
	char long_one[400] = "ot=x:";
	memset(long_one + 5, 'a', 300);
	CHECK_EQ(tracestate_read(&t, slice_str(long_one)), TRACESTATE_BAD);
}

static void test_limits_of_length_hold(void)
{
	char text[2048] = "";
	for (int i = 0; i < 32; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "k%d=v,", i);
	struct tracestate t = parse(text);
	t.has_th = true;
	t.th = 0;
	struct buf out = {0};
	CHECK_EQ(tracestate_write(&t, &out), 0);
	CHECK_EQ(buf_append(&out, "", 1), 0);
	CHECK(strstr((char *)out.data, "ot=th:0,k0=v,") == (char *)out.data);
	CHECK(strstr((char *)out.data, "k30=v") != NULL &&
	      strstr((char *)out.data, "k31=v") == NULL);

	char full[300] = "ot=x:";
	memset(full + 5, 'a', TRACESTATE_MAX_OT - 2);
	t = parse(full);
	t.has_th = true;
	size_t before = out.len;
	CHECK_EQ(tracestate_write(&t, &out), TRACESTATE_BAD);
	CHECK_EQ(out.len, before);
	buf_finish(&out);
}

static void test_a_share_of_nothing_has_no_th(void)
{
	struct buf out = {0};
	struct tracestate t = parse("a=b");
	t.has_th = true;
	t.th = threshold_of(0);
	CHECK_EQ(tracestate_write(&t, &out),
		 TRACESTATE_BAD); /* cut to 14 digits it would say 15/16 */
	t = parse("a=b");
	t.has_rv = true;
	t.rv = THRESHOLD_NEVER;
	CHECK_EQ(tracestate_write(&t, &out), TRACESTATE_BAD);
	CHECK_EQ(out.len, 0);
}

static void test_what_is_no_tracestate_is_written_as_it_came(void)
{
	struct buf out = {.limit = 4};
	struct tracestate t;
	CHECK_EQ(tracestate_read(&t, slice_str("ot=th:8,B=x")), TRACESTATE_BAD);
	CHECK(!t.has_th && t.ot.len == 0);
	CHECK_EQ(tracestate_write(&t, &out), BUF_FULL);
	CHECK((int)BUF_FULL != (int)TRACESTATE_BAD);
	check_written(&t, "ot=th:8,B=x");
	t.has_th = true;
	CHECK_EQ(tracestate_write(&t, &out), TRACESTATE_BAD);
	CHECK_EQ(out.len, 0);
	buf_finish(&out);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_the_specifications_percentages), TEST(test_the_ends_of_the_scale),
		   TEST(test_two_coins_are_one), TEST(test_randomness_is_the_last_seven_bytes),
		   TEST(test_entries_of_others_stay), TEST(test_rv_is_never_lost),
		   TEST(test_a_cut_keeps_all_digits),
		   TEST(test_what_is_no_tracestate_is_not_believed),
		   TEST(test_limits_of_length_hold), TEST(test_a_share_of_nothing_has_no_th),
		   TEST(test_what_is_no_tracestate_is_written_as_it_came));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>
#include <stdbool.h>

#include "pipeline/budget_fill.h"
#include "pipeline/budget_month.h"

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fmax(1, fabs(b));
}

/* 10, 40 and 200 want a part of 130: 10 and 40 take theirs, 80 is left. */
static void test_water_filling_gives_what_one_does_not_use_to_the_others(void)
{
	struct claim c[] = {{200, 1, 0}, {10, 1, 0}, {40, 1, 0}};
	CHECK(near(fill_level(c, 3, 130), 80));
	struct claim all[] = {{200, 1, 0}, {10, 1, 0}, {40, 1, 0}};
	CHECK(isinf(fill_level(all, 3, 250)));
	CHECK(fill_level(all, 3, 249.9) < 200);
	CHECK(fill_level(all, 3, 0) == 0);
	CHECK(fill_level(all, 3, -5) == 0);
	struct claim idle[] = {{0, 1, 0}, {500, 1, 0}, {500, 1, 0}};
	CHECK(near(fill_level(idle, 3, 100), 50));
	CHECK(isinf(fill_level(idle, 0, 100)));
}

/* Weight 3 against 1: 90 and 30 of 120; when the heavy one wants 50, 70 are left for the other. */
static void test_weights_divide_what_is_short(void)
{
	struct claim c[] = {{200, 1, 0}, {200, 3, 0}};
	double l = fill_level(c, 2, 120);
	CHECK(near(l, 30));
	struct claim d[] = {{200, 1, 0}, {50, 3, 0}};
	CHECK(near(fill_level(d, 2, 120), 70));
}

/* 100 plain spans and 30 of a source that kept 10 %: p = 0.05 keeps 5 and half of the 30. */

/* Each is a little less than the level that the one before leaves: rounds let go one at a time. */
static void test_a_level_is_found_however_volumes_lie(void)
{
	enum { N = 200 };
	static struct claim c[N];
	double goal = 1000, left = goal, sum = 0;
	for (unsigned i = 0; i < N; i++) {
		c[i] = (struct claim){left / (N - i) * 0.999, 1, 0};
		left -= c[i].volume;
	}
	c[N - 1].volume = 1e9;
	double level = fill_level(c, N, goal);
	for (unsigned i = 0; i < N; i++)
		sum += fmin(c[i].volume, level);
	CHECK(near(sum, goal));
	/* A heavy one that is served leaves no error behind for a light one. */
	struct claim d[] = {{1, 1e6, 0}, {50, 1e-6, 0}, {50, 1e-6, 0}};
	CHECK(near(fill_level(d, 3, 11) / 5e6, 1));
}

/* 60 of a reserve is one's in any case; what is left is for the others, and whose 20 is below the
 * level has no more for it. */
static void test_what_one_has_in_any_case_is_not_there_for_the_others(void)
{
	struct claim c[] = {{500, 1, 60}, {100, 1, 20}, {100, 1, 0}};
	CHECK(near(fill_level(c, 3, 140), 40));
	struct claim d[] = {{500, 1, 60}, {100, 1, 45}, {100, 1, 0}, {10, 1, 0}};
	CHECK(near(fill_level(d, 4, 140), 25)); /* 60, 45, 25, 10 */
	struct claim e[] = {{500, 1, 90}, {100, 1, 10}};
	CHECK(near(fill_level(e, 2, 100), 10));
	struct claim all[] = {{50, 1, 50}, {50, 1, 0}};
	CHECK(isinf(fill_level(all, 2, 100)));
}

static void test_spans_that_arrive_sampled_are_kept_with_p_by_their_share(void)
{
	struct flow f = {0};
	flow_add(&f, 100, 1);
	flow_add(&f, 30, 0.1);
	CHECK(near(flow_at(&f, 0.05), 5 + 15));
	CHECK(near(flow_at(&f, 0.1), 10 + 30));
	CHECK(near(flow_at(&f, 1), 130));
	for (int i = 1; i < 100; i++)
		CHECK(near(flow_share(&f, flow_at(&f, 0.01 * i)), 0.01 * i));
	CHECK(near(flow_share(&f, 130), 1));
	CHECK(near(flow_share(&f, 1000), 1));
	CHECK(flow_share(&f, 0) == 0);
	CHECK(flow_share(&(struct flow){0}, 0) == 1);
}

static void test_flows_join_and_decay(void)
{
	struct flow a = {0}, b = {0};
	flow_add(&a, 10, 0.5);
	flow_add(&b, 30, 0.5);
	flow_join(&a, &b);
	flow_scale(&a, 0.5);
	CHECK(near(flow_at(&a, 1), 20));
	CHECK(near(flow_at(&a, 0.25), 10));
}

static void test_protected_spans_draw_their_reserve_first(void)
{
	struct split s = fill_split(20, 500, 100, 30, 4);
	CHECK(near(s.protected, 1) && near(s.normal, 80.0 / 500));
	s = fill_split(20, 70, 100, 30, 4);
	CHECK(near(s.protected, 1) && near(s.normal, 1));
	/* 30 from the reserve; 170 more at weight 4 and 500 at 1 share 70: q = 70 / 1180. */
	s = fill_split(200, 500, 100, 30, 4);
	CHECK(near(s.normal, 70.0 / 1180));
	CHECK(near(s.protected * 200, 30 + 170 * 4 * 70.0 / 1180));
	CHECK(near(s.protected * 200 + s.normal * 500, 100));
	/* An outage: all is an error, and still it is bounded. */
	s = fill_split(1000, 0, 100, 30, 4);
	CHECK(near(s.protected, 0.1));
	/* The weight would give more than there is: the rest is for the others. */
	s = fill_split(35, 500, 100, 30, 100);
	CHECK(near(s.protected, 1) && near(s.normal, 65.0 / 500));
	s = fill_split(10, 10, -1, 30, 4);
	CHECK(s.protected == 0 && s.normal == 0);
}

static uint64_t day(unsigned days)
{
	return (uint64_t)days * 86400000;
}

/* Days since 1970: 2024-02-01 is 19754, 2026-01-01 is 20454, 2026-03-01 is 20513. */
static void test_months_are_those_of_the_calendar(void)
{
	struct month m = month_of(day(19754) + 5, 1);
	CHECK_EQ(m.begin_ms, day(19754));
	CHECK_EQ(m.end_ms, day(19754 + 29)); /* a leap year */
	m = month_of(day(20454) - 1, 1);
	CHECK_EQ(m.end_ms, day(20454));
	CHECK_EQ(m.begin_ms, day(20454 - 31));
	m = month_of(day(20454), 1);
	CHECK_EQ(m.begin_ms, day(20454));
	/* Billed on the 15th: from 15 January to 15 February, and to 15 March. */
	m = month_of(day(20454 + 13), 15);
	CHECK_EQ(m.end_ms, day(20454 + 14));
	m = month_of(day(20454 + 14), 15);
	CHECK_EQ(m.begin_ms, day(20454 + 14));
	CHECK_EQ(m.end_ms, day(20454 + 45));
	m = month_of(day(20513), 28);
	CHECK_EQ(m.begin_ms, day(20513 - 1));
	/* 2100 is no leap year: 2100-02-01 is 47513. 2000 was one: 2000-02-01 is 10988. */
	m = month_of(day(47513), 1);
	CHECK_EQ(m.end_ms - m.begin_ms, day(28));
	m = month_of(day(10988), 1);
	CHECK_EQ(m.end_ms - m.begin_ms, day(29));
	CHECK_EQ(month_of(0, 1).begin_ms, 0);
	for (unsigned d = 1, end = 0; d < 200000; d++) {
		m = month_of(day(d), 1);
		CHECK(m.begin_ms <= day(d) && day(d) < m.end_ms);
		CHECK(end == 0 || m.begin_ms == day(end) || m.end_ms == day(end));
		end = (unsigned)(m.end_ms / day(1));
	}
}

static void test_pace_is_what_remains_by_the_time_left(void)
{
	struct month m = month_of(day(20454), 1);
	double limit = 31 * 86400.0 * 10; /* mean 10 a second */
	CHECK(near(month_pace(m, m.begin_ms, limit, 0, 0.1, 3), 10));
	CHECK(near(month_pace(m, m.begin_ms + day(1), limit, 0, 0.1, 3), 310.0 / 30));
	CHECK(near(month_pace(m, m.end_ms - 1000, limit, limit - 25, 0.1, 3), 25));
	CHECK(near(month_pace(m, m.end_ms - 1000, limit, 0, 0.1, 3), 30));
	CHECK(near(month_pace(m, m.end_ms - 1000, limit, limit, 0.1, 3), 1));
	CHECK(near(month_pace(m, m.end_ms + 5, limit, limit + 100, 0, 3), 0));
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_water_filling_gives_what_one_does_not_use_to_the_others),
		   TEST(test_weights_divide_what_is_short),
		   TEST(test_a_level_is_found_however_volumes_lie),
		   TEST(test_what_one_has_in_any_case_is_not_there_for_the_others),
		   TEST(test_spans_that_arrive_sampled_are_kept_with_p_by_their_share),
		   TEST(test_flows_join_and_decay),
		   TEST(test_protected_spans_draw_their_reserve_first),
		   TEST(test_months_are_those_of_the_calendar),
		   TEST(test_pace_is_what_remains_by_the_time_left));
}

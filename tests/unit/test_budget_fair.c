/* SPDX-License-Identifier: Apache-2.0
 * What protects one key from another: floods of what is marked as an error, and floods that are
 * new. */
#include "check.h"

#include "budget_fixture.h"

#define SPANS(rate)                                                                                \
	{                                                                                          \
		{                                                                                  \
			.per_second = (rate)                                                       \
		}                                                                                  \
	}

static double sum_kept(const struct stream *s, unsigned n)
{
	double sum = 0;
	for (unsigned i = 0; i < n; i++)
		sum += s[i].kept;
	return sum;
}

/* total 300 -> each key 200. The honest one offers 60, a forger 2,700 errors: 260 fit. */
static struct budget *chain(void)
{
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .burst_s = 1, .limit = SPANS(300)},
	    {.name = "each", .parent = 0, .key_fields = 1, .limit = {{.per_second_each = 200}}}};
	begin();
	return make_of(n, 2, 100);
}

static void test_forged_errors_of_one_key_take_nothing_from_another(void)
{
	struct budget *b = chain();
	struct stream s[] = {{.node = 1, .key = 1, .n = 45},
			     {.node = 1, .key = 1, .n = 15, .protected = true},
			     {.node = 1, .key = 2, .n = 2700, .protected = true}};
	seconds(b, s, 2, 4); /* the honest one is known */
	seconds(b, s, 3, 5);
	/* A second at most, until its share falls: the forger's burst is larger than the total. */
	CHECK(s[0].kept >= 45 * 4 && s[1].kept >= 15 * 4);
	seconds(b, s, 3, 60);
	CHECK(s[0].kept == 45 * 60 && s[1].kept == 15 * 60);
	CHECK(s[2].kept <= 200 * 60 * 1.02 && s[2].kept >= 200 * 60 * 0.98);
	CHECK(fabs(s[2].estimate / (2700 * 60) - 1) < 0.03);
	budget_destroy(b);
}

/* 460 for a total of 300, which has the same keys (pipeline/policy_nodes.c): two forgers have 120
 * each. */
static void test_forgers_together_take_nothing_either(void)
{
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .key_fields = 1, .limit = SPANS(300)},
	    {.name = "each", .parent = 0, .key_fields = 1, .limit = {{.per_second_each = 200}}}};
	begin();
	struct budget *b = make_of(n, 2, 100);
	struct stream s[] = {{.node = 1, .key = 1, .n = 45},
			     {.node = 1, .key = 1, .n = 15, .protected = true},
			     {.node = 1, .key = 2, .n = 2700, .protected = true},
			     {.node = 1, .key = 3, .n = 2700, .protected = true}};
	seconds(b, s, 2, 4);
	seconds(b, s, 4, 60);
	seconds(b, s, 4, 60);
	CHECK(s[0].kept == 45 * 60 && s[1].kept == 15 * 60);
	CHECK(fabs(sum_kept(s, 4) / (300 * 60) - 1) < 0.02);
	CHECK(s[2].kept > 110 * 60 && s[3].kept > 110 * 60);
	budget_destroy(b);
}

/* What the key's bucket cannot pay in the second before its share falls is not the parent's. */
static void test_what_a_key_may_not_keep_is_not_offered_to_parents(void)
{
	struct budget *b = chain();
	struct stream s[] = {{.node = 1, .key = 1, .n = 60}, {.node = 1, .key = 2, .n = 9000}};
	struct budget_report r;
	seconds(b, s, 1, 15);
	seconds(b, s, 2, 1);
	budget_report(b, 1, &r);
	CHECK(r.unit[BUDGET_SPANS].offered > 500);
	/* 60, and at most 400 from the bucket and 200 that come into it, in a mean of 10 s. */
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].offered < 60 + 700 / 8.0);
	seconds(b, s, 2, 10);
	CHECK(s[0].kept >= 0.95 * 60 * 10);
	budget_destroy(b);
}

/* 1,000 for ten keys, 200 of it a reserve: nine honest ones want 90 each. */
static void test_a_reserve_is_shared_by_the_keys(void)
{
	begin();
	struct budget_node_options n = {.name = "rest",
					.parent = BUDGET_ROOT,
					.limit = SPANS(1000),
					.reserve = 0.2,
					.key_fields = 1};
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[19] = {{.key = 100, .n = 8000, .protected = true}};
	for (unsigned i = 1; i < 19; i++)
		s[i] = (struct stream){
		    .key = (i + 1) / 2, .n = i % 2 ? 8 : 82, .protected = i % 2 != 0};
	seconds(b, s, 19, 60);
	seconds(b, s, 19, 120);
	for (unsigned i = 1; i < 19; i++)
		CHECK(s[i].kept == s[i].n * 120);
	CHECK(fabs(sum_kept(s, 19) / (1000 * 120) - 1) < 0.02);
	/* They want more than there is: the forger's part of the reserve is part of its share. */
	for (unsigned i = 1; i < 19; i++)
		s[i].n = i % 2 ? 8 : 142;
	seconds(b, s, 19, 60);
	seconds(b, s, 19, 120);
	for (unsigned i = 1; i < 19; i += 2) {
		CHECK(s[i].kept == s[i].n * 120);
		CHECK(s[i].kept + s[i + 1].kept >= 90 * 120);
	}
	CHECK(s[0].kept <= 140 * 120);
	budget_destroy(b);
}

static void test_forged_errors_of_a_child_take_nothing_from_its_sibling(void)
{
	begin();
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .limit = SPANS(300)},
	    {.name = "a", .parent = 0},
	    {.name = "b", .parent = 0, .weight = 2}};
	struct budget *b = make_of(n, 3, 10);
	struct stream s[] = {{.node = 1, .n = 3000, .protected = true}, {.node = 2, .n = 190}};
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(s[1].kept == 190 * 120);
	CHECK(fabs(s[0].kept / (110 * 120) - 1) < 0.03);
	s[1].n = 1000;
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(fabs(s[1].kept / (200 * 120) - 1) < 0.03);
	budget_destroy(b);
}

/* A key's own errors go before its other spans, at four times their chance. */
static void test_within_a_key_errors_go_first(void)
{
	struct budget *b = chain();
	struct stream s[] = {{.node = 1, .key = 1, .n = 400},
			     {.node = 1, .key = 1, .n = 400, .protected = true}};
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(fabs(s[0].kept / (40 * 120) - 1) < 0.05);
	CHECK(fabs(s[1].kept / (160 * 120) - 1) < 0.05);
	budget_destroy(b);
}

static void test_a_new_key_that_fits_has_its_share_at_once(void)
{
	begin();
	struct budget_node_options n = {
	    .name = "rest", .parent = BUDGET_ROOT, .limit = SPANS(300), .key_fields = 1};
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 9000},
			     {.key = 2, .n = 60},
			     {.key = 2, .n = 30, .protected = true},
			     {.key = 3, .n = 9000}};
	seconds(b, s, 1, 60);
	CHECK(share_of(b, 0, 2, false) < 0.05);
	seconds(b, s, 3, 2);
	CHECK(share_of(b, 0, 2, false) == 1);
	seconds(b, s, 3, 10);
	CHECK(s[1].kept == 600 && s[2].kept == 300);
	CHECK(sum_kept(s, 3) <= 3000 + 600);
	/* One that does not fit begins low and comes to its part by and by. */
	seconds(b, s, 4, 3);
	CHECK(share_of(b, 0, 3, false) < 1.2 * 1.2 * 1.2 * 0.03);
	CHECK(s[1].kept >= 0.9 * 180 && s[2].kept >= 0.9 * 90);
	CHECK(sum_kept(s, 4) <= 900 + 600);
	budget_destroy(b);
}

/* It came at the end of a second: ten spans may be all that it offers, or the first of a flood. */
static void test_a_new_key_waits_until_a_whole_second_of_it_is_known(void)
{
	begin();
	struct budget_node_options n = {
	    .name = "rest", .parent = BUDGET_ROOT, .limit = SPANS(300), .key_fields = 1};
	struct budget *b = make_of(&n, 1, 10);
	struct stream s = {.key = 1, .n = 9000};
	struct budget_offer o = {.path = {.keys = {2}}, .spans = 1, .own = 1, .arrived = 1};
	seconds(b, &s, 1, 60);
	for (int update = 0; update < 2; update++) {
		for (int i = 0; i < 10; i++)
			budget_offer(b, &o);
		pass(1);
		budget_tick(b, now, NULL, 0);
		CHECK(update == 0 ? share_of(b, 0, 2, false) < 0.1 : share_of(b, 0, 2, false) == 1);
	}
	budget_destroy(b);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_forged_errors_of_one_key_take_nothing_from_another),
		   TEST(test_forgers_together_take_nothing_either),
		   TEST(test_what_a_key_may_not_keep_is_not_offered_to_parents),
		   TEST(test_a_reserve_is_shared_by_the_keys),
		   TEST(test_forged_errors_of_a_child_take_nothing_from_its_sibling),
		   TEST(test_within_a_key_errors_go_first),
		   TEST(test_a_new_key_that_fits_has_its_share_at_once),
		   TEST(test_a_new_key_waits_until_a_whole_second_of_it_is_known));
}

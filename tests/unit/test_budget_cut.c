/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

#include "pipeline/budget_cut.h"
#include "wire/tracestate.h"

static uint64_t seed;

static uint64_t random_next(void) /* splitmix64 */
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

enum { MOST = 512 };
struct table {
	struct budget_candidate c[MOST];
	struct cut_item item[MOST], *at[MOST];
	unsigned n;
};

static void table_add(struct table *t, double spans, uint64_t threshold, uint64_t r, bool protected)
{
	unsigned i = t->n++;
	t->c[i] = (struct budget_candidate){.randomness = r, .spans = spans};
	t->item[i] = (struct cut_item){.candidate = &t->c[i],
				       .threshold = threshold,
				       .amount = {spans, 100 * spans},
				       .protected = protected,
				       .verdict = BUDGET_KEEP};
	t->at[i] = &t->item[i];
}

static struct gate gate_of(double main, double all)
{
	struct gate g = {.weight = 4};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		g.main[u] = g.all[u] = g.full_main[u] = g.full_all[u] = INFINITY;
		g.month[0][u] = g.month[1][u] = INFINITY;
	}
	g.main[BUDGET_SPANS] = main;
	g.all[BUDGET_SPANS] = all;
	return g;
}

static unsigned count(const struct table *t, enum budget_verdict v)
{
	unsigned n = 0;
	for (unsigned i = 0; i < t->n; i++)
		n += t->item[i].verdict == v;
	return n;
}

/* The table of the reference, 5.2: 90 spans in traces of 1, 5 and 20, and 40 may pass. */
static void test_forty_of_ninety_keep_34_7_and_counts_stay_true(void)
{
	enum { ROUNDS = 20000 };
	static struct table t;
	double kept = 0, estimate = 0, last_kept = 0;
	seed = 40;
	for (unsigned round = 0; round < ROUNDS; round++) {
		t.n = 0;
		uint64_t least = THRESHOLD_NEVER;
		for (unsigned i = 0; i < 28; i++)
			table_add(&t, i < 20 ? 1 : i < 26 ? 5 : 20, 0, random_next() >> 8, false);
		struct gate g = gate_of(40, 40);
		gate_ready(&g, t.at, t.n);
		CHECK_EQ(count(&t, BUDGET_WAIT), 0);
		gate_cut(&g, t.at, t.n);
		double sum = 0;
		for (unsigned i = 0; i < t.n; i++) {
			if (t.item[i].verdict != BUDGET_KEEP)
				continue;
			sum += t.c[i].spans;
			estimate += t.c[i].spans / threshold_share(t.item[i].threshold);
			if (t.c[i].randomness < least)
				least = t.c[i].randomness;
		}
		CHECK(sum <= 40);
		kept += sum;
		last_kept += sum / threshold_share(least);
	}
	CHECK(fabs(kept / ROUNDS - 34.7) < 0.2);
	CHECK(fabs(estimate / ROUNDS / 90 - 1) < 0.01);
	/* What the threshold of the last that was kept would say. */
	CHECK(last_kept / ROUNDS / 90 > 1.12);
}

/* 200 traces at 10 % and 10 at 100 %, room for 15: by r 5.1 of the rare ones pass; 0.8 by R. */
static void test_rank_is_by_the_randomness_above_the_own_threshold(void)
{
	enum { ROUNDS = 4000 };
	static struct table t;
	uint64_t tenth = threshold_of(0.1);
	double rare = 0, estimate = 0;
	seed = 7;
	for (unsigned round = 0; round < ROUNDS; round++) {
		t.n = 0;
		for (unsigned i = 0; i < 210; i++) {
			uint64_t r = random_next() >> 8, own = i < 200 ? tenth : 0;
			if (r >= own)
				table_add(&t, 1, own, r, false);
		}
		unsigned n = t.n;
		struct gate g = gate_of(15, 15);
		gate_cut(&g, t.at, n);
		CHECK_EQ(count(&t, BUDGET_KEEP), n < 15 ? n : 15);
		for (unsigned i = 0; i < n; i++) {
			if (t.item[i].verdict != BUDGET_KEEP)
				continue;
			rare += i >= n - 10;
			estimate += 1 / threshold_share(t.item[i].threshold);
		}
	}
	CHECK(fabs(rare / ROUNDS - 5.1) < 0.15);
	CHECK(fabs(estimate / ROUNDS / 210 - 1) < 0.02);
}

/* The threshold is just above the first that was cut, to the last of 56 bits. */
static void test_threshold_is_one_above_the_first_excluded(void)
{
	static struct table t;
	t.n = 0;
	table_add(&t, 5, 0, 1000, false);
	table_add(&t, 5, 0, 1001, false);
	table_add(&t, 5, 0, 1002, false);
	table_add(&t, 1, 0, 999, false);
	struct gate g = gate_of(11, 11);
	gate_cut(&g, t.at, t.n);
	CHECK_EQ(t.item[1].verdict, BUDGET_KEEP);
	CHECK_EQ(t.item[2].verdict, BUDGET_KEEP);
	CHECK_EQ(t.item[0].verdict, BUDGET_OVER);
	CHECK_EQ(t.item[3].verdict, BUDGET_OVER); /* it would fit, but what is below is cut */
	for (unsigned i = 0; i < t.n; i++)
		CHECK_EQ(t.item[i].threshold, 1001);
}

/* Whatever the thresholds are, who is kept is above its own new one, and who is cut is not. */
static void test_verdicts_are_what_the_thresholds_say(void)
{
	static struct table t;
	seed = 99;
	for (unsigned round = 0; round < 20000; round++) {
		t.n = 0;
		unsigned n = 2 + (unsigned)(random_next() % 30);
		for (unsigned i = 0; i < n; i++) {
			uint64_t own =
			    THRESHOLD_NEVER - 1 - (random_next() >> (8 + random_next() % 56));
			uint64_t r = own + random_next() % (THRESHOLD_NEVER - own);
			table_add(&t, 1 + (double)(random_next() % 7), own, r,
				  random_next() % 3 == 0);
		}
		double all = (double)(random_next() % 40),
		       main = all - (double)(random_next() % 10);
		struct gate g = gate_of(fmax(0, main), all);
		gate_cut(&g, t.at, n);
		for (unsigned i = 0; i < n; i++) {
			CHECK(t.item[i].threshold <= THRESHOLD_NEVER);
			CHECK((t.item[i].verdict == BUDGET_KEEP) ==
			      (t.c[i].randomness >= t.item[i].threshold));
		}
	}
}

/* Traces with one R, as a hostile client sends them, pass or go together. */
static void test_equal_ranks_go_together(void)
{
	static struct table t;
	t.n = 0;
	for (unsigned i = 0; i < 10; i++)
		table_add(&t, 1, 0, 12345, false);
	table_add(&t, 1, 0, 99999, false);
	struct gate g = gate_of(5, 5);
	gate_cut(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_KEEP), 1);
	CHECK_EQ(t.item[10].verdict, BUDGET_KEEP);
}

static void test_nothing_is_cut_before_the_bucket_holds_the_largest(void)
{
	static struct table t;
	t.n = 0;
	for (unsigned i = 0; i < 30; i++)
		table_add(&t, i == 0 ? 20 : 1, 0, random_next() >> 8, false);
	struct gate g = gate_of(19, 19);
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_WAIT), 30);
	/* The largest and as much again. */
	for (unsigned i = 0; i < t.n; i++)
		t.item[i].verdict = BUDGET_KEEP;
	g = gate_of(39, 39);
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_WAIT), 30);
	for (unsigned i = 0; i < t.n; i++)
		t.item[i].verdict = BUDGET_KEEP;
	g = gate_of(40, 40);
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_WAIT), 0);
	/* Or all that the bucket ever holds. */
	g = gate_of(25, 25);
	g.full_main[BUDGET_SPANS] = g.full_all[BUDGET_SPANS] = 25;
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_WAIT), 0);
	/* All that is there is enough, too. */
	t.n = 0;
	table_add(&t, 20, 0, 5, false);
	g = gate_of(20, 20);
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_WAIT), 0);
}

static void test_protected_ones_pass_by_the_reserve_while_others_wait(void)
{
	static struct table t;
	t.n = 0;
	for (unsigned i = 0; i < 10; i++)
		table_add(&t, 10, 0, 1000 + i, i < 2);
	struct gate g = gate_of(5, 25); /* 20 in the reserve */
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_WAIT), 8);
	gate_cut(&g, t.at, t.n);
	CHECK_EQ(t.item[0].verdict, BUDGET_KEEP);
	CHECK_EQ(t.item[0].threshold, 0);
	CHECK_EQ(t.item[1].verdict, BUDGET_KEEP);
}

/* Beyond the reserve they compete at a weight, and both classes' counts stay true. */
static void test_counts_are_true_with_a_reserve_and_weights(void)
{
	enum { ROUNDS = 20000 };
	static struct table t;
	double kept[2] = {0}, estimate[2] = {0};
	seed = 3;
	for (unsigned round = 0; round < ROUNDS; round++) {
		t.n = 0;
		for (unsigned i = 0; i < 60; i++)
			table_add(&t, i % 3 == 0 ? 5 : 1, 0, random_next() >> 8, i % 2 == 0);
		struct gate g = gate_of(40, 50); /* 70 + 70 spans are there */
		gate_ready(&g, t.at, t.n);
		gate_cut(&g, t.at, t.n);
		for (unsigned i = 0; i < t.n; i++) {
			if (t.item[i].verdict != BUDGET_KEEP)
				continue;
			kept[t.item[i].protected] += t.c[i].spans;
			estimate[t.item[i].protected] +=
			    t.c[i].spans / threshold_share(t.item[i].threshold);
		}
	}
	CHECK(fabs(estimate[0] / ROUNDS / 70 - 1) < 0.02);
	CHECK(fabs(estimate[1] / ROUNDS / 70 - 1) < 0.01);
	/* 10 from the reserve; 60 at weight 4 and 70 at 1 share 40: 9.0 normal ones, less what the
	 * first that does not fit leaves. */
	CHECK(kept[0] / ROUNDS > 8 && kept[0] / ROUNDS < 9.2);
	CHECK(kept[1] / ROUNDS > 38 && kept[1] / ROUNDS < 41.5);
}

static void test_bytes_cut_like_spans(void)
{
	static struct table t;
	t.n = 0;
	for (unsigned i = 0; i < 10; i++)
		table_add(&t, 1, 0, 1000 + i, false);
	struct gate g = gate_of(INFINITY, INFINITY);
	g.main[BUDGET_BYTES] = g.all[BUDGET_BYTES] = 450;
	gate_ready(&g, t.at, t.n);
	gate_cut(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_KEEP), 4);
}

static void test_a_month_that_is_over_makes_nobody_wait(void)
{
	static struct table t;
	t.n = 0;
	for (unsigned i = 0; i < 10; i++)
		table_add(&t, 1, 0, 1000 + i, i < 5);
	struct gate g = gate_of(0, 3);
	g.month[0][BUDGET_SPANS] = 0;
	g.month[1][BUDGET_SPANS] = 3;
	gate_ready(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_OVER), 5);
	CHECK_EQ(t.item[9].verdict, BUDGET_OVER);
	CHECK_EQ(t.item[9].threshold, THRESHOLD_NEVER);
	gate_cut(&g, t.at, t.n);
	CHECK_EQ(count(&t, BUDGET_KEEP), 3);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(
	    TEST(test_forty_of_ninety_keep_34_7_and_counts_stay_true),
	    TEST(test_rank_is_by_the_randomness_above_the_own_threshold),
	    TEST(test_threshold_is_one_above_the_first_excluded),
	    TEST(test_verdicts_are_what_the_thresholds_say), TEST(test_equal_ranks_go_together),
	    TEST(test_nothing_is_cut_before_the_bucket_holds_the_largest),
	    TEST(test_protected_ones_pass_by_the_reserve_while_others_wait),
	    TEST(test_counts_are_true_with_a_reserve_and_weights), TEST(test_bytes_cut_like_spans),
	    TEST(test_a_month_that_is_over_makes_nobody_wait));
}

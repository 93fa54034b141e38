/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "budget_fixture.h"

#define SPANS(rate)                                                                                \
	{                                                                                          \
		{                                                                                  \
			.per_second = (rate)                                                       \
		}                                                                                  \
	}

static struct budget_node_options keyed(double rate)
{
	return (struct budget_node_options){
	    .name = "rest", .parent = BUDGET_ROOT, .limit = SPANS(rate), .key_fields = 1};
}

static bool within(double a, double b, double part)
{
	return fabs(a - b) <= part * b;
}

/* Keys of 20, 100 and 600 in 300: 20 whole, 100 whole, 180 left for the third. */
static void test_keys_share_a_goal_by_water_filling(void)
{
	begin();
	struct budget_node_options n = keyed(300);
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 20}, {.key = 2, .n = 100}, {.key = 3, .n = 600}};
	seconds(b, s, 3, 60);
	seconds(b, s, 3, 120);
	CHECK(s[0].kept == 20 * 120);
	CHECK(s[1].kept == 100 * 120);
	CHECK(within(s[2].kept, 180 * 120, 0.02));
	CHECK(within(s[2].estimate, 600 * 120, 0.02));
	budget_destroy(b);
}

static void test_all_is_kept_below_the_goal(void)
{
	begin();
	struct budget_node_options n = keyed(300);
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 200}, {.key = 2, .n = 80}};
	seconds(b, s, 2, 120);
	CHECK(s[0].kept == 200 * 120 && s[1].kept == 80 * 120);
	CHECK(s[0].estimate == s[0].kept);
	budget_destroy(b);
}

static void test_a_share_falls_at_once_and_rises_by_a_fifth(void)
{
	begin();
	struct budget_node_options n = keyed(100);
	struct budget *b = make_of(&n, 1, 10);
	struct stream s = {.key = 1, .n = 10000};
	CHECK(share_of(b, 0, 1, false) == 1);
	seconds(b, &s, 1, 2);
	CHECK(share_of(b, 0, 1, false) < 0.02);
	seconds(b, &s, 1, 20);
	s.n = 50;
	for (int i = 0; i < 100; i++) {
		double was = share_of(b, 0, 1, false);
		seconds(b, &s, 1, 1);
		CHECK(share_of(b, 0, 1, false) <= 1.2001 * was);
	}
	CHECK(share_of(b, 0, 1, false) == 1);
	budget_destroy(b);
}

static void test_a_new_key_starts_at_the_lowest_share_not_at_one(void)
{
	begin();
	struct budget_node_options n = keyed(300);
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 100}, {.key = 2, .n = 2000}};
	seconds(b, s, 2, 30);
	double lowest = share_of(b, 0, 2, false);
	CHECK(lowest < 0.2 && share_of(b, 0, 1, false) == 1);
	CHECK(fabs(share_of(b, 0, 77, false) - fmin(lowest, 300.0 / 2100)) < 0.01);
	budget_destroy(b);
}

static void test_nothing_changes_in_silence(void)
{
	begin();
	struct budget_node_options n = keyed(300);
	struct budget *b = make_of(&n, 1, 10);
	struct stream s = {.key = 1, .n = 3000};
	seconds(b, &s, 1, 30);
	double was = share_of(b, 0, 1, false);
	for (int i = 0; i < 6000; i++) {
		pass(0.1);
		budget_tick(b, now, NULL, 0);
	}
	CHECK(within(share_of(b, 0, 1, false), was, 0.02)); /* one update was due */
	seconds(b, &s, 1, 60);
	CHECK(s.kept <= 60 * 300 + 600);
	budget_destroy(b);
}

static void on_key(void *ctx, const struct budget_key_report *r)
{
	unsigned *n = ctx;
	n[r->overflow]++;
}

/* 8 entries and 1000 keys: no more memory, a share for the classes, and the heavy key that comes
 * late takes an entry. */
static void test_keys_beyond_the_table_share_classes(void)
{
	begin();
	struct budget_node_options n = keyed(500);
	n.max_keys = 8;
	struct budget *b = make_of(&n, 1, 10);
	static struct stream s[1001];
	for (unsigned i = 0; i < 1000; i++) {
		s[i] = (struct stream){.n = 2};
		struct slice v = slice_of(&i, sizeof(i));
		s[i].key = budget_key(&(struct siphash_key){5, 6}, &v, 1);
	}
	seconds(b, s, 1000, 40);
	struct budget_report r;
	budget_report(b, 0, &r);
	CHECK_EQ(r.keys, 8);
	CHECK(r.overflow_share > 0.95);
	unsigned counts[2] = {0};
	budget_each_key(b, 0, on_key, counts);
	CHECK_EQ(counts[0], 8);
	CHECK_EQ(counts[1], 32);
	double kept = 0;
	seconds(b, s, 1000, 60);
	for (unsigned i = 0; i < 1000; i++)
		kept += s[i].kept;
	CHECK(within(kept, 500 * 60, 0.02));
	s[1000] = (struct stream){.key = 0x123456789abcdef, .n = 1000};
	seconds(b, s, 1001, 60);
	budget_report(b, 0, &r);
	CHECK(r.overflow_share < 0.7);
	seconds(b, s, 1001, 60);
	kept = 0;
	for (unsigned i = 0; i < 1001; i++)
		kept += s[i].kept;
	CHECK(within(kept, 500 * 60, 0.02));
	CHECK(s[1000].kept < 30 * 60); /* its part, as one of 40 */
	budget_destroy(b);
}

static void test_values_of_a_key_are_parted_by_their_lengths(void)
{
	struct siphash_key k = {1, 2}, other = {1, 3};
	struct slice a[] = {slice_str("ab"), slice_str("c")},
		     b[] = {slice_str("a"), slice_str("bc")};
	struct slice c[] = {slice_of(NULL, 0), slice_str("c")};
	CHECK(budget_key(&k, a, 2) != budget_key(&k, b, 2));
	CHECK(budget_key(&k, a, 2) == budget_key(&k, a, 2));
	CHECK(budget_key(&k, a, 2) != budget_key(&other, a, 2));
	CHECK(budget_key(&k, c, 2) != budget_key(&k, c + 1, 1));
}

/* total 300 -> a (weight 2), b, c. What the idle ones leave flows to the others, by weight. */
static void test_unused_share_flows_to_siblings_by_weight(void)
{
	begin();
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .limit = SPANS(300)},
	    {.name = "a", .parent = 0, .weight = 2},
	    {.name = "b", .parent = 0},
	    {.name = "c", .parent = 0, .limit = SPANS(60)}};
	struct budget *b = make_of(n, 4, 10);
	struct stream s[] = {{.node = 1, .n = 1000}, {.node = 2, .n = 1000}, {.node = 3, .n = 0}};
	seconds(b, s, 3, 60);
	seconds(b, s, 3, 120);
	CHECK(within(s[0].kept, 200 * 120, 0.03));
	CHECK(within(s[1].kept, 100 * 120, 0.03));
	s[2].n = 1000; /* 60 of its own, below the 75 of its weight: 240 are left */
	seconds(b, s, 3, 120);
	seconds(b, s, 3, 120);
	CHECK(within(s[2].kept, 60 * 120, 0.03));
	CHECK(within(s[0].kept, 160 * 120, 0.03));
	CHECK(within(s[1].kept, 80 * 120, 0.03));
	for (int i = 0; i < 3; i++)
		CHECK(within(s[i].estimate, 1000 * 120, 0.04));
	budget_destroy(b);
}

/* A node's keys with a goal each, below a total. */
static void test_each_key_has_a_goal_of_its_own(void)
{
	begin();
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .limit = SPANS(250)},
	    {.name = "per-team",
	     .parent = 0,
	     .key_fields = 1,
	     .limit = {{.per_second_each = 100}}}};
	struct budget *b = make_of(n, 2, 10);
	struct stream s[] = {{.node = 1, .key = 1, .n = 1000}, {.node = 1, .key = 2, .n = 50}};
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(within(s[0].kept, 100 * 120, 0.02));
	CHECK(s[1].kept == 50 * 120);
	CHECK(within(s[0].estimate, 1000 * 120, 0.03));
	budget_destroy(b);
}

static void test_spans_that_arrive_sampled_count_with_their_share(void)
{
	begin();
	struct budget_node_options n = keyed(100);
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 200, .arrived = 0.05}, {.key = 1, .n = 400}};
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 240);
	CHECK(within(s[0].kept + s[1].kept, 100 * 240, 0.02));
	CHECK(within(s[0].estimate, 200 * 20 * 240, 0.03));
	CHECK(within(s[1].estimate, 400 * 240, 0.06));
	/* 4000 and 400 made, at one share: 100 of 4400. */
	CHECK(within(s[1].kept, 400 * 240 * 100.0 / 4400, 0.06));
	budget_destroy(b);
}

static void test_a_goal_percentage_is_met_by_the_mean_of_keys(void)
{
	begin();
	struct budget_node_options n = {
	    .name = "rest", .parent = BUDGET_ROOT, .goal_share = 0.25, .key_fields = 1};
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 20}, {.key = 2, .n = 980}};
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(s[0].kept == 20 * 120);
	CHECK(within(s[0].kept + s[1].kept, 250 * 120, 0.02));
	budget_destroy(b);
}

/* 1000 error spans a second in a budget of 100: bounded; few of them: all pass, by the reserve. */
static void test_protected_spans_have_a_reserve_and_a_bound(void)
{
	begin();
	struct budget_node_options n = keyed(100);
	n.reserve = 0.3;
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.key = 1, .n = 1000}, {.key = 1, .n = 20, .protected = true}};
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(s[1].kept == 20 * 120);
	CHECK(within(s[0].kept, 80 * 120, 0.03));
	s[1].n = 1000;
	seconds(b, s, 2, 60);
	seconds(b, s, 2, 120);
	CHECK(within(s[0].kept + s[1].kept, 100 * 120, 0.02));
	CHECK(s[1].kept > 80 * 120 && s[0].kept > 5 * 120);
	CHECK(within(s[1].estimate, 1000 * 120, 0.03));
	budget_destroy(b);
}

/* 200 in the bucket, 60 of them for protected traces: others cannot spend those. */
static void test_the_reserve_is_not_for_others(void)
{
	begin();
	struct budget_node_options n = keyed(100);
	n.reserve = 0.3;
	struct budget *b = make_of(&n, 1, 10);
	static struct budget_candidate c[300];
	unsigned kept = 0;
	for (unsigned i = 0; i < 300; i++)
		c[i] = (struct budget_candidate){.randomness = random_next() >> 8, .spans = 1};
	budget_tick(b, now, c, 300);
	for (unsigned i = 0; i < 300; i++)
		kept += c[i].verdict == BUDGET_KEEP;
	CHECK_EQ(kept, 140);
	for (unsigned i = 0; i < 7; i++) {
		c[0] = (struct budget_candidate){.randomness = 5, .spans = 10, .protected = true};
		c[1] = (struct budget_candidate){.randomness = 6, .spans = 10};
		budget_tick(b, now, c, 2);
		CHECK_EQ(c[0].verdict, i < 6 ? BUDGET_KEEP : BUDGET_WAIT);
		CHECK_EQ(c[0].threshold, 0);
		CHECK_EQ(c[1].verdict, BUDGET_WAIT);
	}
	budget_destroy(b);
}

static void test_late_spans_are_charged_into_bounded_debt(void)
{
	begin();
	struct budget_node_options n = keyed(100); /* holds 200, owes 200 */
	struct budget *b = make_of(&n, 1, 10);
	struct budget_path p = {.keys = {1}};
	struct budget_report r;
	CHECK_EQ(budget_late(b, &p, 390, 0), 0);
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].level == -190);
	CHECK_EQ(budget_late(b, &p, 11, 0), BUDGET_LATE_OVER);
	CHECK_EQ(budget_late(b, &p, 10, 0), 0);
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].late_over == 11);
	CHECK(r.unit[BUDGET_SPANS].kept == 400);
	/* Debt is repaid before new traces. */
	struct budget_candidate c = {.path = p, .randomness = 7, .spans = 1};
	for (int i = 0; i < 20; i++) {
		pass(0.1);
		budget_tick(b, now, &c, 1);
		CHECK_EQ(c.verdict, BUDGET_WAIT);
	}
	pass(0.1);
	budget_tick(b, now, &c, 1);
	CHECK_EQ(c.verdict, BUDGET_KEEP);
	/* What a backend rejects comes back, but never more than the bucket holds. */
	budget_refund(b, &p, 5, 0);
	budget_report(b, 0, &r);
	CHECK(fabs(r.unit[BUDGET_SPANS].level - 14) < 1e-6);
	CHECK(r.unit[BUDGET_SPANS].kept == 396);
	budget_refund(b, &p, 1000, 0);
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].level == 200);
	budget_destroy(b);
}

/* Each node of the path pays, or none. */
static void test_a_late_span_is_charged_on_all_its_path_or_not_at_all(void)
{
	begin();
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .limit = SPANS(10)},
	    {.name = "a", .parent = 0, .limit = SPANS(1000)}};
	struct budget *b = make_of(n, 2, 1);
	struct budget_path p = {.node = 1};
	struct budget_report r;
	CHECK_EQ(budget_late(b, &p, 41, 0), BUDGET_LATE_OVER);
	budget_report(b, 1, &r);
	CHECK(r.unit[BUDGET_SPANS].kept == 0 && r.unit[BUDGET_SPANS].level == 2000);
	CHECK_EQ(budget_late(b, &p, 40, 0), 0);
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].kept == 40 && r.unit[BUDGET_SPANS].level == -20);
	budget_destroy(b);
}

static void test_what_waits_is_not_charged_and_what_is_kept_is_charged_once(void)
{
	begin();
	struct budget_node_options n[] = {
	    {.name = "total", .parent = BUDGET_ROOT, .limit = SPANS(10)},
	    {.name = "a", .parent = 0, .limit = SPANS(1000)}};
	struct budget *b = make_of(n, 2, 15);
	struct budget_candidate c[3] = {{.path.node = 1, .randomness = 9, .spans = 15},
					{.path.node = 1, .randomness = 8, .spans = 15},
					{.path.node = 1, .randomness = 7, .spans = 15}};
	struct budget_report r;
	budget_tick(b, now, c, 3);
	CHECK_EQ(c[0].verdict, BUDGET_KEEP);
	CHECK_EQ(c[1].verdict, BUDGET_KEEP);
	CHECK_EQ(c[1].threshold, 8);
	CHECK_EQ(c[2].verdict, BUDGET_OVER);
	c[2].threshold = 0;
	pass(1.4);
	budget_tick(b, now, c + 2, 1);
	CHECK_EQ(c[2].verdict, BUDGET_WAIT);
	CHECK_EQ(c[2].threshold, 0);
	for (unsigned i = 0; i < 2; i++) {
		budget_report(b, i, &r);
		CHECK(r.unit[BUDGET_SPANS].kept == 30);
	}
	pass(0.1);
	budget_tick(b, now, c + 2, 1);
	CHECK_EQ(c[2].verdict, BUDGET_KEEP);
	/* Never: below its own threshold, or larger than a trace may be. */
	c[0] =
	    (struct budget_candidate){.path.node = 1, .randomness = 5, .threshold = 6, .spans = 1};
	c[1] = (struct budget_candidate){.path.node = 1, .randomness = 5, .spans = 16};
	budget_tick(b, now, c, 2);
	CHECK_EQ(c[0].verdict, BUDGET_OVER);
	CHECK_EQ(c[1].verdict, BUDGET_OVER);
	budget_destroy(b);
}

static void test_cap_stops_the_month_but_for_a_reserve(void)
{
	begin();
	struct budget_node_options n = {.name = "total",
					.parent = BUDGET_ROOT,
					.limit = {{.per_month = 1000}},
					.month_policy = BUDGET_CAP,
					.cap_reserve = 0.1};
	struct budget *b = make_of(&n, 1, 10);
	struct stream s[] = {{.n = 200}, {.n = 10, .protected = true}};
	seconds(b, s, 2, 3);
	CHECK(s[0].kept == 600 && s[1].kept == 30);
	seconds(b, s, 2, 4);
	CHECK(s[0].kept + s[1].kept + 630 >= 900);
	seconds(b, s, 2, 20);
	CHECK(s[0].kept == 0);
	struct budget_report r;
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].month_used <= 1000 && r.unit[BUDGET_SPANS].month_used >= 990);
	CHECK_EQ(budget_late(b, &(struct budget_path){0}, 11, 0), BUDGET_LATE_OVER);
	/* A new month. */
	now.unix_ms += 31ull * 86400000;
	seconds(b, s, 2, 1);
	CHECK(s[0].kept == 200 && s[1].kept == 10);
	budget_destroy(b);
}

static void test_report_only_counts(void)
{
	begin();
	struct budget_node_options n = {.name = "total",
					.parent = BUDGET_ROOT,
					.limit = {{0}, {.per_month = 1000}},
					.month_policy = BUDGET_REPORT};
	struct budget *b = make_of(&n, 1, 10);
	struct stream s = {.n = 500};
	seconds(b, &s, 1, 10);
	CHECK(s.kept == 5000);
	struct budget_report r;
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_BYTES].month_used == 500000);
	CHECK(isinf(r.unit[BUDGET_BYTES].goal));
	CHECK(within(r.unit[BUDGET_BYTES].projected, 500000 * 31 * 8640.0, 0.01));
	budget_destroy(b);
}

static void test_pace_sets_the_goal_from_what_remains(void)
{
	begin();
	struct budget_node_options n = {
	    .name = "total", .parent = BUDGET_ROOT, .limit = {{.per_month = 31 * 86400.0 * 100}}};
	struct budget *b = make_of(&n, 1, 10);
	struct budget_report r;
	budget_tick(b, now, NULL, 0);
	budget_report(b, 0, &r);
	CHECK(within(r.unit[BUDGET_SPANS].goal, 100, 1e-6));
	struct stream s = {.n = 1000};
	seconds(b, &s, 1, 60);
	seconds(b, &s, 1, 120);
	CHECK(within(s.kept, 100 * 120, 0.02));
	/* Ten days later with nothing used: 31 / 21 of the mean. */
	now.unix_ms += 10ull * 86400000;
	seconds(b, &s, 1, 60);
	budget_report(b, 0, &r);
	CHECK(within(r.unit[BUDGET_SPANS].goal, 100 * 31 / 21.0, 0.001));
	/* A clock set back keeps what is used, and does not stay in a month to come. */
	double used = r.unit[BUDGET_SPANS].month_used;
	now.unix_ms -= 60ull * 86400000;
	budget_tick(b, now, NULL, 0);
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].month_used == used && used > 0);
	now.unix_ms += 90ull * 86400000;
	budget_tick(b, now, NULL, 0);
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].month_used == 0);
	budget_destroy(b);
}

/* A trace of 1000 spans in a budget of 100 a second passes, and the mean stays. */
static void test_a_large_trace_passes_in_its_turn(void)
{
	begin();
	struct budget_node_options n = keyed(100);
	struct budget *b = make_of(&n, 1, 1000);
	static struct budget_candidate c[600];
	unsigned waits = 0, kept = 0, rounds = 0;
	for (int i = 0; i < 600; i++, rounds++) {
		unsigned m = 0;
		c[m++] = (struct budget_candidate){.randomness = random_next() >> 8, .spans = 1000};
		for (; m < 50; m++)
			c[m] =
			    (struct budget_candidate){.randomness = random_next() >> 8, .spans = 1};
		budget_tick(b, now, c, m);
		waits += c[0].verdict == BUDGET_WAIT;
		kept += c[0].verdict == BUDGET_KEEP;
		pass(1);
	}
	CHECK(waits > 0 && kept > 20);
	struct budget_report r;
	budget_report(b, 0, &r);
	CHECK(r.unit[BUDGET_SPANS].kept <= 100 * 600 + 1200);
	CHECK(r.unit[BUDGET_SPANS].kept >= 100 * 600 * 0.9);
	budget_destroy(b);
}

static void test_own_share_and_the_budget_make_one_threshold(void)
{
	begin();
	struct budget_node_options n = keyed(1e6);
	struct budget *b = make_of(&n, 1, 10);
	struct budget_offer o = {.spans = 1, .bytes = 1, .arrived = 1, .own = 0.1};
	CHECK_EQ(budget_offer(b, &o), threshold_of(0.1));
	o.own = 0;
	CHECK_EQ(budget_offer(b, &o), THRESHOLD_NEVER);
	CHECK_EQ(budget_threshold(b, &o), THRESHOLD_NEVER);
	o.own = 1;
	CHECK_EQ(budget_offer(b, &o), 0);
	budget_destroy(b);
}

static void test_options_that_cannot_be_are_refused(void)
{
	begin();
	struct budget_node_options good = keyed(10), n[7] = {good};
	struct budget_node_options bad[] = {good, good, good, good, good, good, good, good, good};
	bad[0].name = "";
	bad[1].parent = 3;
	bad[2].limit[0].per_second = NAN;
	bad[3].reserve = 1;
	bad[4].billing_day = 29;
	bad[5].max_keys = 1000000;
	bad[6].weight = -1;
	bad[7].goal_share = 1.5;
	bad[8].key_fields = 0;
	bad[8].limit[0].per_second_each = 5;
	struct budget *b = NULL;
	const char *reason;
	unsigned node;
	struct budget_options o = {.nodes = n, .n_nodes = 2, .largest = {10, 1000}};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n[1] = bad[i];
		n[1].name = i == 0 ? "" : "other";
		CHECK_EQ(budget_create(&b, &o, now, &reason, &node), BUDGET_BAD);
		CHECK_EQ(node, 1);
		CHECK(reason != NULL);
	}
	n[1] = good; /* a name twice */
	CHECK_EQ(budget_create(&b, &o, now, &reason, &node), BUDGET_BAD);
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
	for (unsigned i = 0; i < 7; i++) {
		n[i] = good;
		n[i].name = names[i];
		n[i].parent = i == 0 ? BUDGET_ROOT : (uint16_t)(i - 1);
	}
	o.n_nodes = 6;
	CHECK_EQ(budget_create(&b, &o, now, &reason, &node), BUDGET_BAD);
	CHECK_EQ(node, 5);
	o.n_nodes = 0;
	CHECK_EQ(budget_create(&b, &o, now, &reason, &node), BUDGET_BAD);
	budget_destroy(NULL);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(
	    TEST(test_keys_share_a_goal_by_water_filling), TEST(test_all_is_kept_below_the_goal),
	    TEST(test_a_share_falls_at_once_and_rises_by_a_fifth),
	    TEST(test_a_new_key_starts_at_the_lowest_share_not_at_one),
	    TEST(test_nothing_changes_in_silence), TEST(test_keys_beyond_the_table_share_classes),
	    TEST(test_values_of_a_key_are_parted_by_their_lengths),
	    TEST(test_unused_share_flows_to_siblings_by_weight),
	    TEST(test_each_key_has_a_goal_of_its_own),
	    TEST(test_spans_that_arrive_sampled_count_with_their_share),
	    TEST(test_a_goal_percentage_is_met_by_the_mean_of_keys),
	    TEST(test_protected_spans_have_a_reserve_and_a_bound),
	    TEST(test_the_reserve_is_not_for_others),
	    TEST(test_late_spans_are_charged_into_bounded_debt),
	    TEST(test_a_late_span_is_charged_on_all_its_path_or_not_at_all),
	    TEST(test_what_waits_is_not_charged_and_what_is_kept_is_charged_once),
	    TEST(test_cap_stops_the_month_but_for_a_reserve), TEST(test_report_only_counts),
	    TEST(test_pace_sets_the_goal_from_what_remains),
	    TEST(test_a_large_trace_passes_in_its_turn),
	    TEST(test_own_share_and_the_budget_make_one_threshold),
	    TEST(test_options_that_cannot_be_are_refused));
}

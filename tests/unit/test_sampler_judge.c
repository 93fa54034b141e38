/* SPDX-License-Identifier: Apache-2.0
 * How the sampler decides: rules, randomness, thresholds that came with the spans, budgets. */
#include "sampler_fixture.h"

static void test_first_rule_that_holds_decides(void)
{
	struct world w;
	world_init(&w);
	world_rule(&w, "a", "any(span.a == 1)", 0.5);
	world_rule(&w, "b", "any(span.b == 1)", 0);
	world_last(&w, 0.25);
	world_start(&w);
	CHECK_EQ(world_judge(&w, &(struct span){.trace = 1, .low = HALF, .bits = {3}})->rule, 0);
	CHECK_EQ(w.ruling.decisions[0].verdict, VERDICT_KEPT);
	CHECK_EQ(world_judge(&w, &(struct span){.trace = 2, .low = HALF, .bits = {2}})->rule, 1);
	CHECK_EQ(w.ruling.decisions[0].verdict, VERDICT_RULE);
	CHECK_EQ(world_judge(&w, &(struct span){.trace = 3, .low = HALF})->rule, 2);
	CHECK_EQ(w.ruling.decisions[0].verdict, VERDICT_RULE); /* R is below three quarters */
	CHECK_EQ(w.ruling.decisions[0].threshold, HALF / 2 * 3);
	CHECK_EQ(w.report.rules[0].kept_spans, 1);
	CHECK_EQ(w.report.rules[1].dropped, 1);
	world_end(&w);
}

static void test_a_rule_on_trial_is_noted_and_does_nothing(void)
{
	struct world w;
	world_init(&w);
	world_rule(&w, "trial", "any(span.a == 1)", 0)->dry_run = true;
	world_last(&w, 0.5);
	world_start(&w);
	CHECK_EQ(world_judge(&w, &(struct span){.trace = 1, .low = HALF, .bits = {1}})->rule, 1);
	CHECK_EQ(w.ruling.decisions[0].would, 1);
	CHECK_EQ(w.ruling.decisions[0].verdict, VERDICT_KEPT);
	CHECK_EQ(w.report.rules[0].matched, 1);
	CHECK_EQ(w.report.rules[0].dropped, 1);
	CHECK_EQ(world_judge(&w, &(struct span){.trace = 2, .low = HALF})->would, 0);
	world_end(&w);
}

static void test_rollout_is_a_share_of_traces_and_says_nothing_of_r(void)
{
	struct world w;
	uint64_t seen = 0, sum = 0;
	world_init(&w);
	world_rule(&w, "new", NULL, 0.5)->rollout = 0.25;
	world_last(&w, 0.5);
	world_start(&w);
	for (uint64_t i = 0; i < 4000; i++)
		BLOCK(&w, {.trace = i, .low = i << 44});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_decisions, 4000);
	for (size_t i = 0; i < w.ruling.n_decisions; i++)
		if (w.ruling.decisions[i].rule == 0) {
			seen++;
			sum += w.ruling.decisions[i].randomness >> 44;
		}
	CHECK(seen > 880 && seen < 1120);
	CHECK(sum / seen > 1900 && sum / seen < 2100);
	world_end(&w);
}

static void test_dry_run_keeps_all_and_records_the_verdict(void)
{
	struct world w;
	world_init(&w);
	w.policy.dry_run = true;
	world_last(&w, 0.5);
	world_start(&w);
	CHECK_EQ(world_judge(&w, &(struct span){.trace = 1})->verdict, VERDICT_RULE);
	CHECK_EQ(w.ruling.n_picks, 1);
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 1);
	BLOCK(&w, {.trace = 1}); /* late */
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.spans[VERDICT_KEPT], 1);
	world_end(&w);
}

/* ---- what came with the spans ---- */

static void test_explicit_randomness_of_the_root_goes_before_others(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .rv = 7, .flags = NOTICE_RV},
	      {.trace = 1, .rv = HALF, .flags = NOTICE_RV | NOTICE_ROOT},
	      {.trace = 1, .rv = 8, .flags = NOTICE_RV});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].randomness, HALF);
	CHECK_EQ(w.ruling.n_picks, 3);
	CHECK_EQ(w.report.disagreements, 2);
	world_end(&w);
}

static void test_arrived_threshold_is_recorded_and_a_false_one_erased(void)
{
	struct world w;
	struct span s = {.trace = 1, .low = HALF, .flags = NOTICE_TH, .th = HALF / 2};
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	const struct decision *d = world_judge(&w, &s);
	CHECK(d->arrived == HALF / 2 && d->threshold == HALF && d->erase_th == 0);
	s.trace = 2;
	s.th = HALF + 1; /* R does not reach it */
	d = world_judge(&w, &s);
	CHECK(d->verdict == VERDICT_KEPT && d->arrived == 0 && d->erase_th == 1);
	world_end(&w);
}

static void test_share_of_a_source_is_part_of_the_threshold(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	w.sources[0] = (struct policy_source){.condition = POLICY_ALWAYS, .share = 0.25};
	w.policy.n_sources = 1;
	world_start(&w);
	const struct decision *d = world_judge(&w, &(struct span){.trace = 1, .low = 2 * HALF - 1});
	CHECK(d->threshold == 2 * HALF - HALF / 4 && d->erase_th == 0);
	d = world_judge(&w, &(struct span){.trace = 2, .low = HALF}); /* it would look false */
	CHECK(d->verdict == VERDICT_KEPT && d->erase_th == 1);
	/* One that says it itself is believed. */
	d = world_judge(&w, &(struct span){.trace = 3, .low = HALF, .flags = NOTICE_TH, .th = 1});
	CHECK(d->threshold == HALF && d->erase_th == 0 && d->arrived == 1);
	world_end(&w);
}

static void test_hashed_randomness_is_the_same_always_and_written(void)
{
	struct world w;
	uint64_t r[2];
	for (int i = 0; i < 2; i++) {
		world_init(&w);
		world_last(&w, 0.5);
		w.sources[0] = (struct policy_source){.condition = POLICY_ALWAYS, .hash = true};
		w.policy.n_sources = 1;
		world_start(&w);
		const struct decision *d = world_judge(&w, &(struct span){.trace = 1});
		CHECK_EQ(d->write_rv, 1);
		CHECK(d->randomness >> 56 == 0 && d->randomness != 0);
		r[i] = d->randomness;
		d = world_judge(&w, &(struct span){.trace = 2, .flags = NOTICE_RV, .rv = HALF});
		CHECK(d->write_rv == 0 && d->randomness == HALF);
		world_end(&w);
	}
	CHECK(r[0] == r[1]);
	CHECK(r[0] == 0x41d687af114db5); /* on any machine, with any key */
}

static void test_satellite_sampler_leaves_no_threshold(void)
{
	struct world w;
	uint64_t kept = 0;
	world_init(&w);
	world_last(&w, 0.5)->keep = POLICY_SATELLITE;
	world_start(&w);
	for (uint64_t i = 0; i < 1000; i++)
		BLOCK(&w, {.trace = 1, .low = i});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	for (size_t i = 0; i < 1000; i++) {
		const struct decision *d = &w.ruling.decisions[i];
		CHECK_EQ(d->verdict == VERDICT_KEPT, satellite_keeps(d->trace_id, 0.5));
		CHECK_EQ(d->erase_th, 1);
		kept += d->verdict == VERDICT_KEPT;
	}
	CHECK(kept > 400 && kept < 600);
	world_end(&w);
}

/* ---- budgets ---- */

static void test_what_is_over_the_budget_is_cut(void)
{
	struct world w;
	uint64_t kept = 0, all = 0, id = 0;
	double estimate = 0;
	world_init(&w);
	w.policy.trace_spans = 50;
	w.policy.root_wait_ms = 0;
	world_last(&w, 1)->node = 0;
	world_node(&w, "total", BUDGET_ROOT, 100);
	world_start(&w);
	for (int tick = 0; tick < 1200; tick++) {
		struct span s[20] = {0};
		for (int i = 0; i < 20; i++) {
			s[i] = (struct span){.trace = ++id, .flags = NOTICE_ROOT};
			s[i].low = id * 0x9e3779b97f4a7c15u >> 8;
		}
		world_block(&w, s, 20);
		world_pass(&w, 100);
		world_decide(&w);
		if (tick < 600)
			continue;
		all += 20;
		kept += w.ruling.n_picks;
		for (size_t i = 0; i < w.ruling.n_picks; i++)
			estimate +=
			    1 / threshold_share(
				    w.ruling.decisions[w.ruling.picks[i].decision].threshold);
	}
	CHECK(kept > 5700 && kept < 6300); /* 60 s of 100, of 12,000 */
	CHECK(estimate > 0.95 * (double)all && estimate < 1.05 * (double)all);
	world_end(&w);
}

/* A bucket that does not hold it yet. */
static void test_candidate_waits_for_the_bucket_and_takes_more_spans(void)
{
	struct world w;
	struct span s[90] = {0};
	struct sampler_look look;
	world_init(&w);
	w.policy.trace_spans = 100;
	w.policy.root_wait_ms = 0;
	world_last(&w, 1)->node = 0;
	world_node(&w, "total", BUDGET_ROOT, 10);
	world_start(&w);
	for (int i = 0; i < 90; i++)
		s[i] = (struct span){.trace = 1, .low = HALF, .flags = NOTICE_ROOT};
	world_block(&w, s, 90);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 90);
	for (int i = 0; i < 80; i++)
		s[i] = (struct span){.trace = 2, .low = 2 * HALF - 1, .flags = NOTICE_ROOT};
	world_block(&w, s, 80);
	CHECK(!world_decide(&w));
	uint8_t id[16];
	put_id(id, 2, 2 * HALF - 1);
	BLOCK(&w, {.trace = 2, .low = 2 * HALF - 1}, {.trace = 2, .low = 2 * HALF - 1});
	sampler_look(w.sampler, id, w.now, &look);
	CHECK(look.state == SAMPLER_PENDING && look.decision.spans == 82);
	world_pass(&w, 8000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 82);
	CHECK_EQ(w.ruling.decisions[0].trace_id[7], 2);
	struct budget_report r;
	budget_report(w.budget, 0, &r);
	CHECK_EQ(r.unit[BUDGET_SPANS].kept, 172);
	world_end(&w);
}

static void test_late_spans_are_charged_up_to_the_debt(void)
{
	struct world w;
	struct span s[100] = {0};
	struct budget_report r;
	world_init(&w);
	w.policy.trace_spans = 100;
	world_last(&w, 1)->node = 0;
	world_node(&w, "total", BUDGET_ROOT, 10)->burst_s = 1;
	w.nodes[0].debt_s = 1;
	world_start(&w);
	for (int i = 0; i < 100; i++)
		s[i] = (struct span){.trace = 1, .low = HALF};
	world_block(&w, s, 100);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 100);
	world_block(&w, s, 15); /* 10 are left, and 10 of debt */
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 15);
	CHECK_EQ(w.ruling.n_decisions, 0);
	CHECK_EQ(w.ruling.n_late, 1);
	CHECK_EQ(w.ruling.picks[0].decision, PICK_LATE);
	CHECK_EQ(w.ruling.late[0].is_late_only, 1);
	CHECK_EQ(w.ruling.late[0].spans, 100);
	world_block(&w, s, 15);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 0);
	CHECK_EQ(w.ruling.spans[VERDICT_LATE_OVER], 15);
	budget_report(w.budget, 0, &r);
	CHECK_EQ(r.unit[BUDGET_SPANS].kept, 115);
	CHECK_EQ(r.unit[BUDGET_SPANS].late_over, 15);
	world_end(&w);
}

/* A budget holds the largest trace and no more: what came beyond its limits is late. */
static void test_spans_beyond_the_limit_are_charged_as_late_ones(void)
{
	struct world w;
	struct span s[200] = {0};
	world_init(&w);
	w.policy.trace_spans = 100;
	world_last(&w, 1)->node = 0;
	world_node(&w, "total", BUDGET_ROOT, 10)->burst_s = 1;
	w.nodes[0].debt_s = 1;
	world_start(&w);
	for (int i = 0; i < 200; i++)
		s[i] = (struct span){.trace = 1, .low = HALF};
	world_block(&w, s, 115);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 115);
	world_pass(&w, 60000);
	for (int i = 0; i < 200; i++)
		s[i].trace = 2;
	world_block(&w, s, 200);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.n_picks, 100);
	CHECK_EQ(w.ruling.picks[99].at, 99); /* the newest go */
	CHECK_EQ(w.ruling.spans[VERDICT_LATE_OVER], 100);
	world_end(&w);
}

static void test_key_is_the_same_whatever_the_order_of_spans(void)
{
	struct world w;
	uint64_t key[2];
	for (uint32_t order = 0; order < 2; order++) {
		struct span s[20];
		world_init(&w);
		w.policy.n_fields = 2;
		world_last(&w, 1)->node = 1;
		world_node(&w, "total", BUDGET_ROOT, 1000);
		world_node(&w, "rule", 0, 1000)->key_fields = 1;
		w.keys[1] = (struct policy_key){.n = 2, .field = {1, 0}};
		world_start(&w);
		for (uint32_t i = 0; i < 20; i++)
			s[i] = (struct span){.trace = 1,
					     .low = HALF,
					     .keys = {0, (order ? 19 - i : i) % 10 * 7919 + 1}};
		world_block(&w, s, 20);
		world_pass(&w, 30000);
		CHECK(world_decide(&w));
		key[order] = w.ruling.decisions[0].keys[0];
		CHECK(w.ruling.decisions[0].keys[1] == 0);
		const uint32_t smallest[6] = {1, 7920, 15839, 23758, 31677, 39596};
		const struct slice values[2] = {slice_of(smallest, sizeof(smallest)), {0}};
		CHECK(key[order] == budget_key(&(struct siphash_key){5, 6}, values, 2));
		world_end(&w);
	}
	CHECK(key[0] == key[1]);
}

static void test_predicates_beyond_128_count(void)
{
	struct world w;
	world_init(&w);
	w.policy.n_words = 4;
	for (int i = 0; i < 199; i++) {
		char text[64];
		snprintf(text, sizeof(text), "any(span.a%d == 1)", i);
		(void)world_condition(&w, text);
	}
	world_rule(&w, "last", "any(span.z == 1)", 0);
	world_last(&w, 0.5);
	world_start(&w);
	CHECK_EQ(condition_set_bits(w.policy.set), 200);
	BLOCK(&w, {.trace = 1, .low = HALF}, {.trace = 2, .low = HALF});
	BLOCK(&w, {.trace = 1, .low = HALF, .bits = {0, 0, 0, 1 << 7}});
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].rule, 0);
	CHECK_EQ(w.ruling.decisions[0].trace_id[7], 1);
	world_end(&w);
}

static void test_durations_are_never_negative(void)
{
	struct world w;
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	BLOCK(&w, {.trace = 1, .start = 500, .end = 400});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].duration_ns, 0);
	CHECK_EQ(w.report.skewed, 1);
	BLOCK(&w, {.trace = 2, .start = 500, .end = 900}, {.trace = 2, .start = 100, .end = 300});
	BLOCK(&w, {.trace = 3, .start = 500, .end = 900},
	      {.trace = 3, .start = 600, .end = 700, .flags = NOTICE_ROOT},
	      {.trace = 3, .start = 1, .end = 10000});
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	CHECK_EQ(w.ruling.decisions[0].trace_id[7], 3);
	CHECK_EQ(w.ruling.decisions[0].duration_ns, 100); /* the root's own */
	CHECK_EQ(w.ruling.decisions[1].duration_ns, 800);
	world_end(&w);
}

static void test_a_look_says_what_would_be_decided(void)
{
	struct world w;
	struct sampler_look look;
	uint8_t id[16];
	put_id(id, 1, HALF);
	world_init(&w);
	world_last(&w, 0.5);
	world_start(&w);
	sampler_look(w.sampler, id, w.now, &look);
	CHECK_EQ(look.state, SAMPLER_UNKNOWN);
	w.chapter = 7;
	BLOCK(&w, {.trace = 1, .low = HALF}, {.trace = 2});
	sampler_look(w.sampler, id, w.now, &look);
	CHECK(look.state == SAMPLER_PENDING && look.decision.verdict == VERDICT_KEPT);
	CHECK_EQ(look.due_unix_ms, w.now.unix_ms + 30000);
	world_pass(&w, 30000);
	CHECK(world_decide(&w));
	sampler_look(w.sampler, id, w.now, &look);
	CHECK(look.state == SAMPLER_DECIDED && look.decision.verdict == VERDICT_KEPT);
	CHECK(look.number == 7 && look.decision.threshold == HALF);
	put_id(id, 2, 0);
	sampler_look(w.sampler, id, w.now, &look);
	CHECK(look.state == SAMPLER_DECIDED && look.decision.verdict == VERDICT_RULE);
	CHECK_EQ(look.number, 7);
	world_end(&w);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_first_rule_that_holds_decides),
		   TEST(test_a_rule_on_trial_is_noted_and_does_nothing),
		   TEST(test_rollout_is_a_share_of_traces_and_says_nothing_of_r),
		   TEST(test_dry_run_keeps_all_and_records_the_verdict),
		   TEST(test_explicit_randomness_of_the_root_goes_before_others),
		   TEST(test_arrived_threshold_is_recorded_and_a_false_one_erased),
		   TEST(test_share_of_a_source_is_part_of_the_threshold),
		   TEST(test_hashed_randomness_is_the_same_always_and_written),
		   TEST(test_satellite_sampler_leaves_no_threshold),
		   TEST(test_what_is_over_the_budget_is_cut),
		   TEST(test_candidate_waits_for_the_bucket_and_takes_more_spans),
		   TEST(test_late_spans_are_charged_up_to_the_debt),
		   TEST(test_spans_beyond_the_limit_are_charged_as_late_ones),
		   TEST(test_key_is_the_same_whatever_the_order_of_spans),
		   TEST(test_predicates_beyond_128_count), TEST(test_durations_are_never_negative),
		   TEST(test_a_look_says_what_would_be_decided));
}

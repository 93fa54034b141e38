/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

#include "otlp_sample.h"
#include "pipeline/plan.h"
#include "wire/tracestate.h"

/* What the running relay had: one rule that kept a tenth. */
static struct policy_rule old_rules[] = {{.name = "errors"}, {.name = "rest"}};
static const struct policy OLD = {.rules = old_rules, .n_rules = 2, .generation = 9};

static struct policy *policy_of(const char *text)
{
	struct buf findings = {.data = NULL};
	struct policy *p = NULL;
	struct conf c;
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", 1);
	int rc = conf_parse(&c, "f", slice_str(text), &findings);
	if (rc == 0) {
		rc = policy_create(&p, &c, "f", &findings);
		conf_finish(&c);
	}
	if (rc != 0)
		printf("FAIL %.*s", (int)findings.len, (const char *)findings.data);
	CHECK_EQ(rc, 0);
	buf_finish(&findings);
	return p;
}

struct traffic {
	double share; /* recorded; the whole is exact */
	int per_second, seconds;
	uint32_t spans; /* of a trace */
	int error_each; /* one in so many */
	uint64_t late;  /* spans a second */
};

static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
	return (n ^ n >> 27) * 0x94d049bb133111eb;
}

static void put_trace(struct buf *spans, const uint8_t id[16], uint32_t n, bool error)
{
	for (uint32_t i = 0; i < n; i++) {
		struct buf span = {0}, status = {0};
		uint8_t span_id[8] = {1, (uint8_t)i};
		pb_bytes(&span, 1, id, 16);
		pb_bytes(&span, 2, span_id, 8);
		if (i != 0)
			pb_bytes(&span, 4, "parents!", 8);
		pb_str(&span, 5, "GET /");
		pb_fixed64(&span, 7, 1700000000000000000u);
		pb_fixed64(&span, 8, 1700000000005000000u);
		pb_attribute(&span, 9, "shop", id[15] % 4 == 0 ? "small" : "large");
		if (error) {
			pb_int(&status, 3, 2);
			pb_message(&span, 15, &status);
		}
		pb_message(spans, 2, &span);
	}
}

static void put_second(struct plan *plan, const struct traffic *t, int second)
{
	struct part p = {.begin_ms = 0};
	struct buf spans = {0}, bytes = {0};
	struct part_view v;
	uint64_t begin_ms = 1700000000000 + (uint64_t)second * 1000;
	part_clear(&p, begin_ms);
	for (int i = 0; i < t->per_second; i++) {
		int number = second * t->per_second + i;
		bool error = t->error_each != 0 && number % t->error_each == 0;
		uint64_t id[2] = {mix((uint64_t)number), mix((uint64_t)number + 12345678)};
		struct decision d = {.first_unix_ms =
					 begin_ms + (uint64_t)(i * 1000 / t->per_second),
				     .rule = !error,
				     .spans = t->spans,
				     .bytes = 100 * t->spans};
		memcpy(d.trace_id, id, 16);
		d.randomness = randomness_of(d.trace_id);
		d.threshold = error ? 0 : threshold_of(0.1);
		d.verdict = d.randomness >= d.threshold ? VERDICT_KEPT : VERDICT_RULE;
		part_count(&p, &d, d.verdict == VERDICT_KEPT);
		if ((double)(id[0] >> 11) * 0x1p-53 >= t->share)
			continue;
		CHECK_EQ(part_add(&p, &d, t->share, OLD.generation), 0);
		put_trace(&spans, d.trace_id, t->spans, error);
	}
	p.late_spans = t->late;
	p.late_bytes = 100 * t->late;
	if (p.traces != 0) {
		pb_request(&p.request, "shop", &spans);
		CHECK_EQ(part_write(&p, &OLD, begin_ms + 1000, &bytes), 0);
		CHECK_EQ(part_read(&v, buf_slice(&bytes)), 0);
		CHECK_EQ(plan_add(plan, &v), 0);
	}
	buf_finish(&bytes);
	part_finish(&p);
}

static struct plan *plan_of(struct policy *policy, const struct traffic *t)
{
	struct plan *plan = NULL;
	CHECK_EQ(plan_create(&plan, policy), 0);
	for (int s = 0; s < t->seconds; s++)
		put_second(plan, t, s);
	CHECK_EQ(plan_run(plan), 0);
	return plan;
}

static const struct plan_rule *rule_of(const struct plan *p, const char *name)
{
	const struct plan_report *r = plan_report(p);
	for (size_t i = 0; i < r->n_rules; i++)
		if (strcmp(r->rules[i].name, name) == 0)
			return &r->rules[i];
	CHECK(!"there is such a rule");
	return NULL;
}

static bool near(double a, double b, double part)
{
	if (fabs(a - b) > part * fabs(b))
		printf("%g is not near %g\n", a, b);
	return fabs(a - b) <= part * fabs(b);
}

static void test_a_share_is_an_expected_value(void)
{
	struct policy *policy =
	    policy_of("sampling: { rules: [ { name: errors, when: any(span.error), keep: 100% },\n"
		      "  { name: rest, keep: 25% } ] }\n");
	struct traffic t = {1, 100, 20, 3, 10, 0};
	struct plan *p = plan_of(policy, &t);
	const struct plan_report *r = plan_report(p);
	CHECK_EQ(r->traces, 2000);
	CHECK(r->share == 1 && r->covered_s == 20);
	CHECK(near(r->offered.spans, 6000, 1e-9));
	CHECK(near(rule_of(p, "errors")->kept.spans, 600, 1e-9));
	CHECK(near(rule_of(p, "rest")->kept.spans, 5400 * 0.25, 1e-4)); /* as it is encoded */
	CHECK(near(rule_of(p, "rest")->kept.bytes, 540000 * 0.25, 1e-4));
	const struct plan_move *m = &r->moves[0];
	CHECK_STR(m->from, "rest");
	CHECK_STR(m->to, "rest");
	CHECK(near(m->planned.spans - m->now.spans, m->newly_kept.spans, 1e-9));
	CHECK(m->newly_dropped.spans < 1e-6);
	plan_destroy(p);
	policy_destroy(policy);
}

static void test_a_small_sample_is_exact_about_the_volume_of_rules(void)
{
	struct policy *policy =
	    policy_of("sampling: { rules: [ { name: errors, when: any(span.error), keep: 0 },\n"
		      "  { name: new, keep: 50% } ] }\n");
	struct traffic t = {0.02, 1000, 60, 5, 20, 500};
	struct plan *p = plan_of(policy, &t);
	const struct plan_report *r = plan_report(p);
	CHECK(near((double)r->traces, 1200, 0.1) && near(r->share, 0.02, 0.1));
	CHECK(near(r->late_share, 500.0 / 5500, 1e-6));
	CHECK(near(r->offered.spans, 60 * 5500, 1e-9));
	CHECK(near(rule_of(p, "errors")->offered.spans, 60 * 5500 / 20, 1e-9));
	CHECK(rule_of(p, "errors")->kept.spans == 0);
	CHECK(near(rule_of(p, "errors")->kept_now.spans, 60 * 5500 / 20, 1e-9));
	CHECK(near(rule_of(p, "new")->kept.spans, 60 * 5500 * 0.95 / 2, 1e-4));
	CHECK(!rule_of(p, "new")->is_old && !rule_of(p, "rest")->is_new);
	plan_destroy(p);
	policy_destroy(policy);
}

/* Half of the time all is recorded, half of it a twentieth: by count the first would be nearly all.
 */
static void test_traces_count_by_the_share_they_were_recorded_with(void)
{
	struct policy *policy = policy_of(
	    "sampling: { rules: [ { name: large, when: trace.span_count > 4, keep: 100% },\n"
	    "  { name: small, keep: 100% } ] }\n");
	struct traffic small = {1, 500, 60, 2, 0, 0}, large = {0.05, 500, 60, 6, 0, 0};
	struct plan *p = NULL;
	CHECK_EQ(plan_create(&p, policy), 0);
	for (int s = 0; s < 120; s++)
		put_second(p, s < 60 ? &small : &large, s);
	CHECK_EQ(plan_run(p), 0);
	CHECK(near(rule_of(p, "large")->offered.spans, 60 * 500 * 6, 0.02));
	CHECK(near(rule_of(p, "small")->offered.spans, 60 * 500 * 2, 0.06));
	plan_destroy(p);
	policy_destroy(policy);
}

static double total_kept(const char *budget, const struct traffic *t)
{
	char text[1000];
	snprintf(text, sizeof(text),
		 "sampling: { trace_spans: 20, rules: [\n"
		 "  { name: errors, when: any(span.error), keep: 100%%, protected: true },\n"
		 "  { name: rest, keep: 100%% } ] }\nbudgets: [ { name: total, %s } ]\n",
		 budget);
	struct policy *policy = policy_of(text);
	struct plan *p = plan_of(policy, t);
	const struct plan_report *r = plan_report(p);
	double per_s = r->kept.spans / r->covered_s;
	CHECK_EQ(r->n_budgets, 1);
	CHECK(near(r->budgets[0].unit[BUDGET_SPANS].kept, per_s, 0.03));
	plan_destroy(p);
	policy_destroy(policy);
	return per_s;
}

static void test_a_budget_is_met_whatever_the_share_is(void)
{
	static const double SHARES[] = {1, 0.4, 0.05, 0.02};
	for (size_t i = 0; i < sizeof(SHARES) / sizeof(*SHARES); i++) {
		struct traffic t = {SHARES[i], 800, 120, 5, 20, 0};
		CHECK(near(total_kept("spans_per_second: 500, reserve: 20%", &t), 500, 0.02));
		CHECK(near(total_kept("spans_per_second: 5000", &t), 4000, 0.001));
	}
}

/* A trace that stands for two hundred does not come as two hundred at once. */
static void test_a_small_sample_is_no_burst(void)
{
	struct traffic t = {0.005, 800, 120, 5, 0, 0};
	CHECK(near(total_kept("spans_per_second: 6000, burst: 100ms", &t), 4000, 0.02));
}

static void test_keys_share_a_goal(void)
{
	struct policy *policy =
	    policy_of("sampling: { trace_spans: 20, rules: [ { name: rest,\n"
		      "  keep: { spans_per_second: 1000, by: [span.shop] } } ] }\n");
	struct traffic t = {0.1, 500, 120, 4, 0, 0};
	struct plan *p = plan_of(policy, &t); /* 500 spans of the small one, 1500 of the other */
	const struct plan_rule *r = rule_of(p, "rest");
	CHECK(near(r->kept.spans, 120 * 1000, 0.02));
	CHECK(near(r->offered.spans, 120 * 2000, 1e-4)); /* whole traces are offered */
	plan_destroy(p);
	policy_destroy(policy);
}

static void test_months_are_paced_or_capped(void)
{
	struct traffic t = {0.2, 200, 60, 5, 0, 0}; /* 1000 spans/s, 2.63e9 a month */
	double paced = total_kept("spans_per_month: 1000000000", &t);
	CHECK(near(paced, 1e9 / PLAN_MONTH_S, 0.03));
	struct policy *policy = policy_of(
	    "budgets: [ { name: total, spans_per_month: 1000000000, month_policy: cap } ]\n");
	struct plan *p = plan_of(policy, &t);
	const struct plan_report *r = plan_report(p);
	CHECK(near(r->kept.spans / r->covered_s, 1000, 1e-3));
	CHECK(near(r->kept.spans / r->covered_s * PLAN_MONTH_S * r->month, 1e9, 1e-2));
	plan_destroy(p);
	policy_destroy(policy);
}

static void test_a_trace_that_came_sampled_is_judged_by_its_threshold(void)
{
	struct policy *policy = policy_of("sampling: { rules: [ { name: rest, keep: 10% } ] }\n");
	struct plan *plan = NULL;
	struct part p = {.begin_ms = 0};
	struct buf spans = {0}, span = {0}, bytes = {0};
	struct part_view v;
	struct decision d = {.trace_id = {1, [9] = 0xf0}, .rule = 1, .spans = 1, .bytes = 100};
	d.randomness = randomness_of(d.trace_id);
	d.arrived = threshold_of(0.25);
	d.first_unix_ms = 1000;
	part_clear(&p, 1000);
	part_count(&p, &d, true);
	CHECK_EQ(part_add(&p, &d, 1, OLD.generation), 0);
	pb_bytes(&span, 1, d.trace_id, 16);
	pb_bytes(&span, 2, "spanspan", 8);
	pb_str(&span, 3, "ot=th:c");
	pb_message(&spans, 2, &span);
	pb_request(&p.request, "shop", &spans);
	CHECK_EQ(part_write(&p, &OLD, 2000, &bytes), 0);
	CHECK_EQ(part_read(&v, buf_slice(&bytes)), 0);
	CHECK_EQ(plan_create(&plan, policy), 0);
	CHECK_EQ(plan_add(plan, &v), 0);
	CHECK_EQ(plan_run(plan), 0);
	CHECK(near(plan_report(plan)->kept.spans, 0.4, 1e-3)); /* 10 % of what was a quarter */
	plan_destroy(plan);
	policy_destroy(policy);
	part_finish(&p);
	buf_finish(&bytes);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_share_is_an_expected_value),
		   TEST(test_a_small_sample_is_exact_about_the_volume_of_rules),
		   TEST(test_traces_count_by_the_share_they_were_recorded_with),
		   TEST(test_a_budget_is_met_whatever_the_share_is),
		   TEST(test_a_small_sample_is_no_burst), TEST(test_keys_share_a_goal),
		   TEST(test_months_are_paced_or_capped),
		   TEST(test_a_trace_that_came_sampled_is_judged_by_its_threshold));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "pipeline/policy.h"
#include "wire/tracestate.h"

static char findings[16384];

static void keep_findings(struct buf *out)
{
	snprintf(findings, sizeof(findings), "%.*s", (int)out->len,
		 out->data != NULL ? (const char *)out->data : "");
	buf_finish(out);
}

/* The file has no faults but those of conditions and fields. */
static int create(struct policy **p, const char *text)
{
	struct buf out = {.data = NULL};
	struct conf c;
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", 1);
	int rc = conf_parse(&c, "f", slice_str(text), &out);
	if (rc != 0) {
		keep_findings(&out);
		printf("FAIL %s", findings);
		exit(1);
	}
	*p = NULL;
	rc = policy_create(p, &c, "f", &out);
	CHECK_EQ(rc != 0, *p == NULL);
	conf_finish(&c);
	keep_findings(&out);
	return rc;
}

static struct policy *good(const char *text)
{
	struct policy *p;
	CHECK_EQ(create(&p, text), 0);
	CHECK_STR(findings, "");
	return p;
}

/* ---- what is made ---- */

static void test_nothing_said_keeps_everything(void)
{
	static const char *const FILES[] = {"", "sampling: {}\n", "sampling: { rules: [] }\n"};
	for (size_t i = 0; i < 3; i++) {
		struct policy *p = good(FILES[i]);
		CHECK_EQ(p->n_rules, 1);
		CHECK_STR(p->rules[0].name, "everything");
		CHECK(p->rules[0].condition == POLICY_ALWAYS && p->rules[0].share == 1);
		CHECK_EQ(p->rules[0].threshold, 0);
		CHECK_EQ(p->rules[0].node, BUDGET_ROOT);
		CHECK_EQ(p->n_nodes, 0);
		CHECK_EQ(p->n_words, 1);
		CHECK_EQ(p->n_fields, 0);
		CHECK(p->generation != 0);
		CHECK_EQ(p->pending_bytes, 1 << 30);
		policy_destroy(p);
	}
	policy_destroy(NULL);
}

static void test_a_trace_fits_into_what_a_full_journal_has_left(void)
{
	struct policy *p = good("journal: { limit: 64MiB }\n");
	CHECK_EQ(p->trace_bytes, 4 << 20);
	policy_destroy(p);
	p = good("journal: { limit: 64MiB }\nsampling: { trace_bytes: 1MiB }\n");
	CHECK_EQ(p->trace_bytes, 1 << 20);
	policy_destroy(p);
}

static void test_what_asks_for_judgement(void)
{
	static const struct {
		const char *text;
		bool judges;
	} ROWS[] = {{"", false},
		    {"sampling: { wait: 5s, sources: [ { sampled: 1% } ] }\n", false},
		    {"sampling: { rules: [ { name: a, keep: 100% } ] }\n", true},
		    {"budgets: [ { name: a, spans_per_second: 1000 } ]\n", true}};
	for (size_t i = 0; i < 4; i++) {
		struct conf c;
		struct buf out = {0};
		CHECK_EQ(conf_parse(&c, "f", slice_str(ROWS[i].text), &out), 0);
		CHECK_EQ(policy_judges(&c), ROWS[i].judges);
		conf_finish(&c);
		buf_finish(&out);
	}
}

static const char WHOLE[] =
    "sampling:\n"
    "  wait: 10s\n"
    "  dry_run: true\n"
    "  rules:\n"
    "    - { name: errors, when: any(span.error), keep: 100%, protected: true }\n"
    "    - { name: health, when: 'root.url.path in [\"/healthz\"]', keep: 0, budget: total }\n"
    "    - { name: tenth, when: trace.duration > 2s, keep: 10%, rollout_percent: 25 }\n"
    "    - { name: shadow, when: any(span.x exists), keep: { spans_per_second: 1000, by: x }, "
    "dry_run: true }\n"
    "    - { name: old, when: any(span.y exists), keep: { lightstep_satellite: 25% } }\n"
    "    - { name: rest, keep: { spans_per_second: 5000, bytes_per_second: 1MB, by: [service.name, "
    "resource.team], max_keys: 50 } }\n"
    "  sources:\n"
    "    - { when: any(span.kong exists), sampled: 1% }\n"
    "    - { randomness: hash }\n"
    "budgets:\n"
    "  - { name: team, by: resource.team, spans_per_second: 300, parent: total, weight: 3 }\n"
    "  - { name: total, spans_per_second: 2000, bytes_per_month: 500GB, month_policy: cap, "
    "billing_day: 7, reserve: 10%, burst: 1s, debt: 4s }\n";

static void check_rules(const struct policy *p)
{
	const struct policy_rule *r = p->rules;
	CHECK_EQ(p->n_rules, 6);
	CHECK_STR(r[0].name, "errors");
	CHECK(r[0].condition == 0 && r[0].share == 1 && r[0].protected && r[0].rollout == 1);
	CHECK(r[0].threshold == 0 && r[0].node == 1 && !r[0].dry_run);
	CHECK(r[1].share == 0 && r[1].threshold == THRESHOLD_NEVER && r[1].node == BUDGET_ROOT);
	CHECK(r[2].threshold == threshold_of(0.1) && r[2].rollout == 0.25 && r[2].node == 1);
	CHECK(r[3].dry_run && r[3].node == 2 && r[3].threshold == 0);
	CHECK(r[4].keep == POLICY_SATELLITE && r[4].share == 0.25 && r[4].node == 1);
	CHECK(r[5].keep == POLICY_SHARE && r[5].share == 1 && r[5].node == 3);
	CHECK_EQ(r[5].condition, POLICY_ALWAYS);
	CHECK_EQ(p->n_sources, 2);
	CHECK(p->sources[0].condition == 5 - 0 && p->sources[0].share == 0.01);
	CHECK(p->sources[1].condition == POLICY_ALWAYS && p->sources[1].hash);
	CHECK(p->wait_ms == 10000 && p->root_wait_ms == 2000 && p->dry_run);
	CHECK(p->trace_spans == 10000 && p->trace_bytes == 8 << 20);
	CHECK(p->kept_records == 100000 && p->records_ms == 3600000);
}

static void test_a_whole_policy(void)
{
	struct policy *p = good(WHOLE);
	check_rules(p);
	CHECK_EQ(p->n_nodes, 4); /* total, team, and two goals */
	const struct budget_node_options *n = p->nodes;
	CHECK_STR(n[0].name, "total");
	CHECK(n[0].parent == BUDGET_ROOT && n[0].limit[BUDGET_SPANS].per_second == 2000);
	CHECK(n[0].limit[BUDGET_BYTES].per_month == 500e9 && n[0].month_policy == BUDGET_CAP);
	CHECK(n[0].billing_day == 7 && n[0].reserve == 0.1 && n[0].cap_reserve == 0.1);
	CHECK(n[0].burst_s == 1 && n[0].debt_s == 4 && n[0].key_fields == n[1].key_fields);
	CHECK_STR(n[1].name, "team");
	CHECK(n[1].parent == 0 && n[1].weight == 3 && n[1].key_fields != 0);
	CHECK(n[1].limit[BUDGET_SPANS].per_second == 0);
	CHECK(n[1].limit[BUDGET_SPANS].per_second_each == 300);
	CHECK_STR(n[2].name, "rule/shadow"); /* a dry run takes from no budget */
	CHECK(n[2].parent == BUDGET_ROOT && n[2].limit[BUDGET_SPANS].per_second == 1000);
	CHECK_STR(n[3].name, "rule/rest");
	CHECK(n[3].parent == 1 && n[3].limit[BUDGET_SPANS].per_second == 5000);
	CHECK(n[3].limit[BUDGET_BYTES].per_second == 1e6 && n[3].max_keys == 50);
	CHECK(n[3].key_fields != 0 && n[3].key_fields != n[1].key_fields);
	CHECK_EQ(p->n_fields, 3); /* team, x, service.name: each once */
	CHECK(p->keys[0].n == 1 && p->keys[0].field[0] == p->keys[1].field[0]);
	CHECK_EQ(p->keys[1].n, 1);
	CHECK_EQ(p->keys[3].n, 2);
	CHECK_EQ(p->keys[3].field[1], p->keys[1].field[0]);
	CHECK(p->keys[2].field[0] != p->keys[3].field[0]);
	policy_destroy(p);
}

static void test_budgets_alone_have_a_rule_that_keeps_all(void)
{
	struct policy *p = good("budgets:\n"
				"  - { name: c, spans_per_second: 1000, parent: b }\n"
				"  - { name: a, spans_per_second: 3000 }\n"
				"  - { name: b, spans_per_second: 2000, parent: a }\n");
	CHECK_EQ(p->n_rules, 1);
	CHECK_STR(p->rules[0].name, "everything");
	CHECK_STR(p->nodes[p->rules[0].node].name, "c");
	CHECK_EQ(p->n_nodes, 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK(p->nodes[i].parent == BUDGET_ROOT || p->nodes[i].parent < i);
	policy_destroy(p);
}

/* How many nodes have keys. */
static unsigned keyed(const char *text)
{
	struct policy *p = good(text);
	unsigned n = 0;
	for (unsigned i = 0; i < p->n_nodes; i++) {
		CHECK_EQ(p->nodes[i].key_fields != 0, p->keys[i].n != 0);
		n += p->keys[i].n != 0;
	}
	policy_destroy(p);
	return n;
}

static void test_a_total_has_the_keys_of_its_only_child(void)
{
	static const char TOTAL[] = "budgets:\n  - { name: t, spans_per_second: 3000 }\n";
	char text[1024];
	static const struct {
		const char *rest;
		unsigned keyed;
	} ROWS[] = {
	    {"  - { name: a, spans_per_second: 1000, parent: t, by: x }\n", 2},
	    /* through one without keys */
	    {"  - { name: a, spans_per_second: 1000, parent: t }\n"
	     "  - { name: b, spans_per_second: 1000, parent: a, by: x }\n",
	     3},
	    /* two children, or a rule that pays into it */
	    {"  - { name: a, spans_per_second: 1000, parent: t, by: x }\n"
	     "  - { name: b, spans_per_second: 1000, parent: t }\n"
	     "sampling: { rules: [ { name: r, keep: 100%, budget: a } ] }\n",
	     1},
	    {"  - { name: a, spans_per_second: 1000, parent: t, by: x }\n"
	     "sampling: { rules: [ { name: q, when: any(span.error), keep: 100%, budget: t }, "
	     "{ name: r, keep: 100%, budget: a } ] }\n",
	     1},
	    /* a rule's goal is no budget */
	    {"sampling: { rules: [ { name: r, keep: { spans_per_second: 2000, by: x } } ] }\n", 1},
	    /* a record has room for four */
	    {"  - { name: a, spans_per_second: 1000, parent: t, by: x }\n"
	     "  - { name: b, spans_per_second: 1000, parent: a, by: y }\n"
	     "  - { name: c, spans_per_second: 1000, parent: b, by: z }\n"
	     "  - { name: d, spans_per_second: 1000, parent: c, by: w }\n",
	     4}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", TOTAL, ROWS[i].rest);
		CHECK_EQ(keyed(text), ROWS[i].keyed);
	}
}

static void test_words_are_as_many_as_bits_need(void)
{
	struct buf text = {0};
	struct policy *p;
	buf_printf(&text, "sampling:\n  rules:\n");
	for (int i = 0; i < 65; i++)
		buf_printf(&text, "    - { name: a%d, when: any(span.a == %d), keep: 5%% }\n", i,
			   i);
	buf_printf(&text, "    - { name: rest, keep: 100%% }\n");
	CHECK_EQ(buf_append(&text, "", 1), 0);
	p = good((const char *)text.data);
	CHECK_EQ(p->n_words, 2);
	policy_destroy(p);
	buf_finish(&text);
}

/* ---- generations ---- */

static uint64_t generation(const char *text)
{
	struct policy *p;
	CHECK_EQ(create(&p, text), 0);
	uint64_t g = p->generation;
	policy_destroy(p);
	return g;
}

static void test_a_generation_is_that_of_what_decides(void)
{
	static const char *const OTHERS[] = {
	    "",
	    "sampling: { wait: 29s }\n",
	    "sampling: { memory: 65MiB }\n",
	    "sampling: { dry_run: true }\n",
	    "sampling: { rules: [ { name: a, keep: 100% } ] }\n",
	    "sampling: { rules: [ { name: b, keep: 100% } ] }\n",
	    "sampling: { rules: [ { name: b, keep: 99% } ] }\n",
	    "sampling: { rules: [ { name: b, keep: 99%, protected: true } ] }\n",
	    "sampling: { rules: [ { name: b, keep: { lightstep_satellite: 99% } } ] }\n",
	    "sampling: { rules: [ { name: b, keep: { goal_percentage: 99% } } ] }\n",
	    "sampling: { rules: [ { name: b, keep: { goal_percentage: 99%, by: a } } ] }\n",
	    "sampling: { rules: [ { name: b, keep: { goal_percentage: 99%, by: b } } ] }\n",
	    "sampling: { rules: [ { name: b, keep: { goal_percentage: 99%, by: [a, b] } } ] }\n",
	    "sampling: { rules: [ { name: c, when: any(span.a exists), keep: 5% }, { name: b, "
	    "keep: 9% "
	    "} ] }\n",
	    "sampling: { rules: [ { name: c, when: any(span.b exists), keep: 5% }, { name: b, "
	    "keep: 9% "
	    "} ] }\n",
	    "sampling: { sources: [ { sampled: 1% } ] }\n",
	    "sampling: { sources: [ { sampled: 2% } ] }\n",
	    "sampling: { sources: [ { sampled: 2%, when: any(span.b exists) } ] }\n",
	    "budgets: [ { name: a, spans_per_second: 1000 } ]\n",
	    "budgets: [ { name: a, spans_per_second: 1001 } ]\n",
	    "budgets: [ { name: a, spans_per_second: 1001, by: a } ]\n",
	    "budgets: [ { name: a, spans_per_second: 1001, by: b } ]\n",
	    "budgets: [ { name: a, spans_per_second: 1001, by: b, burst: 3s } ]\n",
	    "budgets: [ { name: a, bytes_per_month: 5GB } ]\n",
	    "budgets: [ { name: a, bytes_per_month: 5GB, month_policy: report } ]\n",
	};
	enum { N = sizeof(OTHERS) / sizeof(OTHERS[0]) };
	uint64_t all[N];
	for (size_t i = 0; i < N; i++) {
		all[i] = generation(OTHERS[i]);
		CHECK(all[i] != 0 && all[i] == generation(OTHERS[i]));
		for (size_t k = 0; k < i; k++)
			CHECK(all[i] != all[k]);
	}
	CHECK(generation("log: { level: debug }\n# x\n") == all[0]);
}

/* ---- what is wrong ---- */

#define REST  "    - { name: rest, keep: 100% }\n"
#define RULES "sampling:\n  rules:\n"

static void test_faults_point_at_the_character(void)
{
	static const struct {
		const char *text, *findings;
	} ROWS[] = {
	    {RULES "    - { name: a, when: any(span.eror), keep: 5% }\n" REST,
	     "f:3:28: sampling.rules[0].when: unknown field `span.eror`, did you mean "
	     "`span.error`? "
	     "(an attribute of that name is written span.\"eror\")\n"},
	    {RULES "    - { name: a, when: 'any(span.a == ''x'' and span.b)', keep: 5% }\n" REST,
	     "f:3:55: sampling.rules[0].when: expected an operator after `span.b`, such as == or "
	     "exists\n"},
	    {RULES
	     "    - { name: a, when: \"any(span.a == \\\"x\\\" and span.b)\", keep: 5% }\n" REST,
	     "f:3:55: sampling.rules[0].when: expected an operator after `span.b`, such as == or "
	     "exists\n"},
	    {RULES "    - name: a\n      keep: 5%\n      when: >\n        any(span.a)\n" REST,
	     "f:5:13: sampling.rules[0].when: expected an operator after `span.a`, such as == or "
	     "exists\n"},
	    {RULES "    - { name: a, when: \"any(${env:T_X})\", keep: 5% }\n" REST,
	     "f:3:24: sampling.rules[0].when: its value from the environment is wrong at byte 4\n"},
	    {RULES "    - { name: a, when: any(span.trace_id starts_with 'a'), keep: 5% }\n" REST,
	     "f:3:28: sampling.rules[0].when: rules cannot read ids or tracestate: what they keep "
	     "would not have the probability that is written on it\n"},
	    {RULES REST "    - { name: b, keep: { spans_per_second: 5000, by: [a, trace_id] } }\n",
	     "f:4:58: sampling.rules[1].keep.by: rules cannot read ids or tracestate: what they "
	     "keep "
	     "would not have the probability that is written on it\n"},
	    {RULES REST "    - { name: b, keep: { spans_per_second: 5000, by: 'a | ' } }\n",
	     "f:4:59: sampling.rules[1].keep.by: expected a field, such as resource.team or "
	     "http.route\n"},
	    {"sampling:\n  sources:\n    - { when: any(, sampled: 5% }\n",
	     "f:3:19: sampling.sources[0].when: expected a condition, not the end, such as "
	     "span.error\n"},
	    {"budgets:\n  - { name: a, spans_per_second: 1000, by: event.x }\n",
	     "f:2:44: budgets[0].by: a span has many events and links: keys are made of what it "
	     "has "
	     "once\n"},
	    {RULES "    - { name: a, when: any(span.a), keep: 5% }\n"
		   "    - { name: b, when: any(span.b), keep: 5% }\n" REST,
	     "f:3:34: sampling.rules[0].when: expected an operator after `span.a`, such as == or "
	     "exists\n"
	     "f:4:34: sampling.rules[1].when: expected an operator after `span.b`, such as == or "
	     "exists\n"},
	};
	setenv("T_X", "sesame", 1);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct policy *p;
		CHECK_EQ(create(&p, ROWS[i].text), POLICY_BAD);
		CHECK_STR(findings, ROWS[i].findings);
	}
}

static void test_budgets_too_deep(void)
{
	struct policy *p;
	static const char FIVE[] = "budgets:\n"
				   "  - { name: a, spans_per_second: 1000 }\n"
				   "  - { name: b, spans_per_second: 1000, parent: a }\n"
				   "  - { name: c, spans_per_second: 1000, parent: b }\n"
				   "  - { name: d, spans_per_second: 1000, parent: c }\n"
				   "  - { name: e, spans_per_second: 1000, parent: d }\n";
	struct buf text = {0};
	policy_destroy(good(FIVE));
	buf_printf(&text, "%s  - { name: x, spans_per_second: 1000, parent: e }\n", FIVE);
	CHECK_EQ(buf_append(&text, "", 1), 0);
	CHECK_EQ(create(&p, (const char *)text.data), POLICY_BAD);
	CHECK(strstr(findings,
		     "f:7:5: \"x\" stands under 5 budgets: wanted at most 4, a rule's goal "
		     "counted\n") != NULL);
	text.len = 0;
	buf_printf(&text, RULES "    - { name: r, keep: { spans_per_second: 1000 } }\n%s", FIVE);
	CHECK_EQ(buf_append(&text, "", 1), 0);
	CHECK_EQ(create(&p, (const char *)text.data), POLICY_BAD);
	CHECK(strstr(findings, "f:3:7: \"rule/r\" stands under 5 budgets") != NULL);
	buf_finish(&text);
}

static void test_no_more_keys_than_a_record_holds(void)
{
	struct policy *p;
	CHECK_EQ(create(&p, "budgets:\n"
			    "  - { name: a, spans_per_second: 1000, by: a }\n"
			    "  - { name: b, spans_per_second: 1000, by: b, parent: a }\n"
			    "  - { name: c, spans_per_second: 1000, by: c, parent: b }\n"
			    "  - { name: d, spans_per_second: 1000, by: d, parent: c }\n"
			    "  - { name: e, spans_per_second: 1000, by: e, parent: d }\n"),
		 POLICY_BAD);
	CHECK_STR(findings,
		  "f:6:5: \"e\" and the budgets above it have `by` 5 times: wanted at most "
		  "4\n");
}

static void test_no_more_fields_than_a_span_has_hashes(void)
{
	struct buf text = {0};
	struct policy *p;
	buf_printf(&text, RULES);
	for (int i = 0; i < 5; i++)
		buf_printf(&text,
			   "    - { name: r%d, keep: { spans_per_second: 1000, by: [a%d, b%d, c%d, "
			   "d%d] } }\n",
			   i, i, i, i, i);
	CHECK_EQ(buf_append(&text, "", 1), 0);
	CHECK_EQ(create(&p, (const char *)text.data), POLICY_BAD);
	CHECK(strstr(findings,
		     "f:7:56: sampling.rules[4].keep.by: all conditions together have more "
		     "than 16 different fields of keys\n") != NULL);
	buf_finish(&text);
}

/* ---- what is foolish ---- */

static void test_rules_that_get_nothing_are_warned_of(void)
{
	static const struct {
		const char *text, *findings;
	} ROWS[] = {
	    {RULES REST "    - { name: b, when: any(span.error), keep: 5% }\n"
			"    - { name: c, keep: 5% }\n",
	     "f:4:24: warning: sampling.rules[1]: no trace comes here: rule \"rest\" takes them "
	     "all\n"
	     "f:5:7: warning: sampling.rules[2]: no trace comes here: rule \"rest\" takes them "
	     "all\n"},
	    {RULES "    - { name: a, when: any(span.error), keep: 5% }\n"
		   "    - { name: b, when: 'any( span.error  == true )', keep: 5% }\n" REST,
	     "f:4:25: warning: sampling.rules[1].when: the same condition as that of rule \"a\", "
	     "which "
	     "comes first\n"},
	    {RULES
	     "    - { name: a, when: any(span.error) and trace.bytes > 5KB, keep: 5% }\n"
	     "    - { name: b, when: any(span.error) and trace.bytes > 5000, keep: 5% }\n" REST,
	     "f:4:24: warning: sampling.rules[1].when: the same condition as that of rule \"a\", "
	     "which "
	     "comes first\n"},
	    {RULES
	     "    - { name: a, when: any(span.error) and trace.bytes > 5KB, keep: 5% }\n"
	     "    - { name: b, when: any(span.error) and trace.bytes > 6KB, keep: 5% }\n" REST,
	     ""},
	    {RULES "    - { name: a, when: any(span.error), keep: 5%, dry_run: true }\n"
		   "    - { name: b, when: any(span.error), keep: 5%, rollout_percent: 50 }\n"
		   "    - { name: c, when: any(span.error), keep: 5% }\n" REST,
	     ""},
	    {RULES "    - { name: a, keep: 5%, dry_run: true }\n"
		   "    - { name: b, keep: 5%, rollout_percent: 50 }\n" REST,
	     ""},
	    {RULES "    - { name: a, when: trace.span_count < 0, keep: 5% }\n" REST,
	     "f:3:24: warning: sampling.rules[0].when: never holds\n"},
	    {RULES
	     "    - { name: a, when: any(span.a exists and span.a not exists), keep: 5% }\n" REST,
	     "f:3:24: warning: sampling.rules[0].when: never holds\n"},
	    {RULES "    - { name: a, when: trace.span_count >= 0, keep: 5% }\n" REST,
	     "f:3:24: warning: sampling.rules[0].when: always holds\n"
	     "f:4:7: warning: sampling.rules[1]: no trace comes here: rule \"a\" takes them all\n"},
	    {"sampling:\n  sources:\n    - { sampled: 5% }\n"
	     "    - { sampled: 6%, when: any(span.a exists) }\n",
	     "f:4:28: warning: sampling.sources[1]: no trace comes here: the one before it without "
	     "`when` is for all\n"},
	    {"sampling:\n  sources:\n    - { sampled: 5%, when: trace.span_count < 0 }\n",
	     "f:3:28: warning: sampling.sources[0].when: never holds\n"},
	    {"budgets: [ { name: a, spans_per_second: 10 } ]\n",
	     "f:1:12: warning: \"a\": one trace at sampling.trace_spans takes 1000 seconds of its "
	     "spans_per_second: lower trace_spans, or it comes in lumps\n"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct policy *p;
		CHECK_EQ(create(&p, ROWS[i].text), 0);
		CHECK_STR(findings, ROWS[i].findings);
		policy_destroy(p);
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_nothing_said_keeps_everything),
		   TEST(test_a_trace_fits_into_what_a_full_journal_has_left),
		   TEST(test_what_asks_for_judgement), TEST(test_a_whole_policy),
		   TEST(test_budgets_alone_have_a_rule_that_keeps_all),
		   TEST(test_a_total_has_the_keys_of_its_only_child),
		   TEST(test_words_are_as_many_as_bits_need),
		   TEST(test_a_generation_is_that_of_what_decides),
		   TEST(test_faults_point_at_the_character), TEST(test_budgets_too_deep),
		   TEST(test_no_more_keys_than_a_record_holds),
		   TEST(test_no_more_fields_than_a_span_has_hashes),
		   TEST(test_rules_that_get_nothing_are_warned_of));
}

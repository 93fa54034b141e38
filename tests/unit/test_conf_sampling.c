/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "conf/conf.h"
#include "conf/unit.h"

static char findings[16384];

static int parse(struct conf *c, const char *text)
{
	struct buf out = {.data = NULL};
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", 1);
	int rc = conf_parse(c, "f", slice_str(text), &out);
	snprintf(findings, sizeof(findings), "%.*s", (int)out.len,
		 out.data != NULL ? (const char *)out.data : "");
	buf_finish(&out);
	return rc;
}

#define REST "    - { name: rest, keep: 100% }\n"

static const struct {
	const char *text, *findings;
} WRONG[] = {
    {"sampling: 5\n", "f:1:11: sampling: wanted a map of keys and values\n"},
    {"sampling: { wiat: 5s }\n",
     "f:1:13: unknown key \"wiat\" in sampling; did you mean \"wait\"?\n"},
    {"sampling: { wait: 5 }\n", "f:1:19: sampling.wait: \"5\": wanted a whole number and a unit, "
				"such as 5ms, 10s or 48h\n"},
    {"sampling: { wait: 1s, root_wait: 3s }\n",
     "f:1:34: sampling.root_wait: longer than sampling.wait\n"},
    {"sampling: { records: { age: 1s, kpet: 5 } }\n",
     "f:1:33: unknown key \"kpet\" in sampling.records; did you mean \"kept\"?\n"},
    {"sampling: { dry_run: yes }\n", "f:1:22: sampling.dry_run: \"yes\": wanted false or true\n"},
    {"sampling: { rules: 5 }\n",
     "f:1:20: sampling.rules: wanted a list, each one a map: - { name: ... }\n"},
    {"sampling: { rules: [5] }\n", "f:1:21: sampling.rules[]: wanted a map of keys and values\n"},
    {"sampling:\n  rules:\n    - { keep: 100% }\n", "f:3:7: sampling.rules[].name is missing\n"},
    {"sampling:\n  rules:\n    - { name: a b, keep: 100% }\n",
     "f:3:15: sampling.rules[].name: \"a b\": wanted letters, digits, - and _ only\n"},
    {"sampling:\n  rules:\n    - { name: a, when: any(span.error), keep: 5% }\n"
     "    - { name: a, keep: 0 }\n",
     "f:4:15: sampling.rules[].name: \"a\" is taken by another rule\n"},
    {"sampling:\n  rules:\n    - { name: a }\n",
     "f:3:7: sampling.rules[].keep is missing: wanted a percentage such as 100% or 0, or a goal "
     "such as { spans_per_second: 500, by: service.name }\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: 50 }\n",
     "f:3:24: sampling.rules[].keep: \"50\": wanted a percentage such as 50% or 0.5%, or 0\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: 0.5 }\n",
     "f:3:24: sampling.rules[].keep: \"0.5\": wanted a percentage such as 50% or 0.5%, or 0\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: 101% }\n",
     "f:3:24: sampling.rules[].keep: \"101%\": wanted a percentage such as 50% or 0.5%, or 0\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: [] }\n",
     "f:3:24: sampling.rules[].keep: wanted one value, not a list\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: {} }\n",
     "f:3:24: sampling.rules[].keep: wanted spans_per_second, bytes_per_second, goal_percentage or "
     "lightstep_satellite\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { span_per_second: 5 } }\n",
     "f:3:24: sampling.rules[].keep: wanted spans_per_second, bytes_per_second, goal_percentage or "
     "lightstep_satellite\n"
     "f:3:26: unknown key \"span_per_second\" in sampling.rules[].keep; did you mean "
     "\"spans_per_second\"?\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { goal_percentage: 5%, spans_per_second: 5 } }\n",
     "f:3:24: sampling.rules[].keep: a rate, goal_percentage and lightstep_satellite are different "
     "ways: wanted one of them\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { spans_per_second: 0 } }\n",
     "f:3:44: sampling.rules[].keep.spans_per_second: \"0\": wanted from 1 to 1000000000000\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { goal_percentage: 0 } }\n",
     "f:3:43: sampling.rules[].keep.goal_percentage: wanted more than 0%; to drop all write keep: "
     "0\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { lightstep_satellite: 5%, by: a } }\n",
     "f:3:55: sampling.rules[].keep.by: lightstep_satellite looks at the trace id and knows no "
     "keys\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { spans_per_second: 5, max_keys: 5 } }\n",
     "f:3:57: sampling.rules[].keep.max_keys: wants `by`: there are no keys\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { spans_per_second: 5, by: [a,b,c,d,e] } }\n",
     "f:3:60: sampling.rules[].keep.by: at most 4 fields\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { spans_per_second: 5, by: { a: b } } }\n",
     "f:3:51: sampling.rules[].keep.by: wanted a field such as service.name, or a list of them\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: { spans_per_second: 5, by: [a, ''] } }\n",
     "f:3:55: sampling.rules[].keep.by: wanted a field such as service.name, or a list of them\n"},
    {"sampling:\n  rules:\n    - { name: a, when: , keep: 5% }\n" REST,
     "f:3:24: sampling.rules[].when: wanted a condition such as any(span.error)\n"},
    {"sampling:\n  rules:\n    - { name: a, when: [any(span.error)], keep: 5% }\n" REST,
     "f:3:24: sampling.rules[].when: wanted a condition such as any(span.error)\n"},
    {"sampling:\n  rules:\n    - { name: a, protected: 5, keep: 5% }\n",
     "f:3:29: sampling.rules[].protected: \"5\": wanted false or true\n"},
    {"sampling:\n  rules:\n    - { name: a, rollout_percent: 5 5, keep: 5% }\n" REST,
     "f:3:35: sampling.rules[].rollout_percent: \"5 5\": wanted a percentage such as 25, at most "
     "100\n"},
    {"sampling:\n  rules:\n    - { name: a, when: any(span.error), keep: 5% }\n",
     "f:3:7: sampling.rules: the last rule has to take every trace that is left: add one such as "
     "- { name: rest, keep: 100% }, without when, dry_run and rollout_percent\n"},
    {"sampling:\n  rules:\n" REST "    - { name: a, dry_run: true, keep: 5% }\n",
     "f:4:7: sampling.rules: the last rule has to take every trace that is left: add one such as "
     "- { name: rest, keep: 100% }, without when, dry_run and rollout_percent\n"},
    {"sampling:\n  rules:\n" REST "    - { name: a, rollout_percent: 50, keep: 5% }\n",
     "f:4:7: sampling.rules: the last rule has to take every trace that is left: add one such as "
     "- { name: rest, keep: 100% }, without when, dry_run and rollout_percent\n"},
    {"sampling:\n  rules:\n    - { name: a, budget: x, keep: 5% }\n",
     "f:3:26: sampling.rules[].budget: \"x\": there are no budgets\n"},
    {"sampling:\n  rules:\n    - { name: a, budget: totla, keep: 5% }\n"
     "budgets: [ { name: total, spans_per_second: 5 } ]\n",
     "f:3:26: sampling.rules[].budget: no budget \"totla\"; did you mean \"total\"?\n"},
    {"sampling:\n  rules:\n    - { name: a, keep: 5% }\n"
     "budgets: [ { name: one, spans_per_second: 5 }, { name: two, spans_per_second: 5 } ]\n",
     "f:3:7: sampling.rules[].budget is missing: the budgets are not one chain: wanted one of one, "
     "two\n"},
    {"sampling:\n  sources: [ { when: any(span.error) } ]\n",
     "f:2:14: sampling.sources[]: wanted what is special about it: sampled or randomness\n"},
    {"sampling:\n  sources: [ { sampled: 0% } ]\n",
     "f:2:25: sampling.sources[].sampled: wanted more than 0%, which its sender kept\n"},
    {"sampling:\n  sources: [ { randomness: dice } ]\n",
     "f:2:28: sampling.sources[].randomness: \"dice\": wanted id or hash\n"},
    {"budgets: { name: a }\n", "f:1:10: budgets: wanted a list, each one a map: - { name: ... }\n"},
    {"budgets: [ { spans_per_second: 5 } ]\n", "f:1:12: budgets[].name is missing\n"},
    {"budgets: [ { name: a } ]\n",
     "f:1:12: budgets[]: wanted a limit: spans_per_second, bytes_per_second, spans_per_month or "
     "bytes_per_month\n"},
    {"budgets: [ { name: a, spans_per_second: 0 } ]\n",
     "f:1:12: budgets[]: wanted a limit: spans_per_second, bytes_per_second, spans_per_month or "
     "bytes_per_month\n"
     "f:1:41: budgets[].spans_per_second: \"0\": wanted from 1 to 1000000000000\n"},
    {"budgets: [ { name: a, spans_per_second: 5, reserve: 96% } ]\n",
     "f:1:53: budgets[].reserve: \"96%\": wanted from 0% to 95%\n"},
    {"budgets: [ { name: a, spans_per_second: 5, billing_day: 29, bytes_per_month: 5 } ]\n",
     "f:1:57: budgets[].billing_day: \"29\": wanted from 1 to 28\n"},
    {"budgets: [ { name: a, by: x } ]\n",
     "f:1:12: budgets[]: wanted a limit: spans_per_second, bytes_per_second, spans_per_month or "
     "bytes_per_month\n"
     "f:1:27: budgets[].by: wants spans_per_second or bytes_per_second, which is each key's\n"},
    {"budgets: [ { name: a, by: x, spans_per_second: 5, bytes_per_month: 5GB } ]\n",
     "f:1:27: budgets[].by: a month is for all keys together: put its limit into a budget without "
     "`by`, and make that one the parent\n"},
    {"budgets: [ { name: a, by: x, spans_per_second: 5, reserve: 5% } ]\n",
     "f:1:60: budgets[].reserve: is of a budget as a whole: with `by` put it into the parent\n"},
    {"budgets: [ { name: a, spans_per_second: 5, max_keys: 5 } ]\n",
     "f:1:54: budgets[].max_keys: wants `by`: there are no keys\n"},
    {"budgets: [ { name: a, spans_per_second: 5 }, { name: a, spans_per_second: 5, parent: a } ]\n",
     "f:1:54: budgets[].name: \"a\" is taken by another budget\n"},
    {"budgets: [ { name: a, spans_per_second: 5, parent: zzz } ]\n",
     "f:1:52: budgets[].parent: no budget \"zzz\"; there are a\n"},
    {"budgets: [ { name: a, spans_per_second: 5, parent: a } ]\n",
     "f:1:52: budgets[].parent: \"a\" is its own ancestor\n"},
    {"budgets:\n  - { name: a, spans_per_second: 5, parent: b }\n"
     "  - { name: b, spans_per_second: 5, parent: a }\n",
     "f:2:45: budgets[].parent: \"a\" is its own ancestor\n"
     "f:3:45: budgets[].parent: \"b\" is its own ancestor\n"},
    {"budgets: [ { name: one, spans_per_second: 5 }, { name: two, spans_per_second: 5 } ]\n",
     "f:1:12: budgets: they are not one chain: add rules to sampling.rules, each with its budget, "
     "one of one, two\n"},
};

static void test_each_wrong_file_is_told_where_and_what(void)
{
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		struct conf c;
		CHECK_EQ(parse(&c, WRONG[i].text), CONF_FAULTY);
		CHECK_STR(findings, WRONG[i].findings);
		CHECK(c.sampling.rules == NULL && c.budgets == NULL);
	}
}

static void test_no_sampling_is_none(void)
{
	static const char *const FILES[] = {"", "sampling: {}\n", "sampling:\nbudgets:\n",
					    "sampling: { rules: [], sources: }\nbudgets: []\n"};
	for (size_t i = 0; i < 4; i++) {
		struct conf c;
		CHECK_EQ(parse(&c, FILES[i]), 0);
		CHECK_STR(findings, "");
		CHECK_EQ(c.sampling.n_rules, 0);
		CHECK_EQ(c.sampling.n_sources, 0);
		CHECK_EQ(c.n_budgets, 0);
		CHECK_EQ(c.sampling.wait_ms, 30000);
		CHECK_EQ(c.sampling.root_wait_ms, 2000);
		CHECK_EQ(c.sampling.trace_spans, 10000);
		CHECK_EQ(c.sampling.trace_bytes, 8 << 20);
		CHECK_EQ(c.sampling.memory_bytes, 64 << 20);
		CHECK_EQ(c.sampling.pending_bytes, 1 << 30); /* half of the journal */
		CHECK_EQ(c.sampling.kept_records, 100000);
		CHECK_EQ(c.sampling.dropped_records, 1000000);
		CHECK_EQ(c.sampling.records_ms, 3600000);
		CHECK(!c.sampling.dry_run);
		conf_finish(&c);
	}
}

static const char WHOLE[] =
    "journal: { limit: 1GiB }\n"
    "sampling:\n"
    "  wait: 1500ms\n"
    "  trace_spans: 500\n"
    "  trace_bytes: 1MB\n"
    "  memory: 16MiB\n"
    "  records: { kept: 5000, dropped: 6000, age: 2h }\n"
    "  dry_run: true\n"
    "  rules:\n"
    "    - { name: errors, when: \"any(span.error)\", keep: 100%, protected: true, budget: total "
    "}\n"
    "    - { name: half, keep: 0.5%, dry_run: true, rollout_percent: 25 }\n"
    "    - { name: team, keep: { bytes_per_second: 1MB, spans_per_second: 7, by: a | b, max_keys: "
    "9 }, rollout_percent: 12.5% }\n"
    "    - { name: goal, keep: { goal_percentage: 5%, by: [service.name, http.route] } }\n"
    "    - { name: old, keep: { lightstep_satellite: 10% } }\n"
    "    - { name: none, keep: 0 }\n"
    "  sources:\n"
    "    - { when: 'any(resource.service.name == \"kong\")', sampled: 1% }\n"
    "    - { randomness: hash }\n"
    "budgets:\n"
    "  - { name: team, by: resource.team, spans_per_second: 300, parent: total, weight: 3 }\n"
    "  - name: total\n"
    "    spans_per_second: 2000\n"
    "    bytes_per_second: 1MiB\n"
    "    spans_per_month: 5000000000\n"
    "    bytes_per_month: 500GB\n"
    "    month_policy: cap\n"
    "    billing_day: 15\n"
    "    reserve: 10%\n"
    "    burst: 1s\n"
    "    debt: 3s\n";

static void test_a_whole_file_is_read(void)
{
	struct conf c;
	CHECK_EQ(parse(&c, WHOLE), 0);
	CHECK_STR(findings, "");
	const struct conf_sampling *s = &c.sampling;
	CHECK_EQ(s->wait_ms, 1500);
	CHECK_EQ(s->root_wait_ms, 1500); /* never longer */
	CHECK_EQ(s->trace_spans, 500);
	CHECK_EQ(s->trace_bytes, 1000000);
	CHECK_EQ(s->memory_bytes, 16 << 20);
	CHECK_EQ(s->pending_bytes, 512 << 20);
	CHECK_EQ(s->kept_records, 5000);
	CHECK_EQ(s->dropped_records, 6000);
	CHECK_EQ(s->records_ms, 7200000);
	CHECK(s->dry_run);
	CHECK_EQ(s->n_rules, 6);
	const struct conf_rule *r = s->rules;
	CHECK_STR(r[0].when.text, "any(span.error)");
	CHECK(r[0].keep.kind == KEEP_SHARE && r[0].keep.share == 1 && r[0].protected);
	CHECK(r[0].budget_index == 1 && r[0].at.line == 10 && r[0].at.column == 7);
	CHECK(r[1].keep.share == 0.005 && r[1].dry_run && r[1].rollout == 0.25);
	CHECK(r[1].when.text == NULL && !r[1].protected);
	CHECK_EQ(r[1].budget_index, 0); /* the end of the chain */
	CHECK_EQ(r[2].keep.kind, KEEP_GOAL);
	CHECK_EQ(r[2].keep.bytes_per_second, 1000000);
	CHECK_EQ(r[2].keep.spans_per_second, 7);
	CHECK_EQ(r[2].keep.max_keys, 9);
	CHECK_EQ(r[2].keep.by.n, 1);
	CHECK_STR(r[2].keep.by.fields[0].text, "a | b");
	CHECK(r[2].rollout == 0.125);
	CHECK(r[3].keep.kind == KEEP_GOAL && r[3].keep.goal == 0.05 && r[3].keep.by.n == 2);
	CHECK_STR(r[3].keep.by.fields[1].text, "http.route");
	CHECK_EQ(r[3].keep.max_keys, 500);
	CHECK(r[4].keep.kind == KEEP_SATELLITE && r[4].keep.satellite == 0.1);
	CHECK(r[5].keep.share == 0 && r[5].rollout == 1);
	CHECK_EQ(r[5].budget_index, CONF_NO_BUDGET); /* what keeps nothing needs none */
	CHECK_EQ(s->n_sources, 2);
	CHECK(s->sources[0].sampled == 0.01 && !s->sources[0].hash);
	CHECK(s->sources[1].sampled == 0 && s->sources[1].hash && s->sources[1].when.text == NULL);
	CHECK_EQ(c.n_budgets, 2);
	const struct conf_budget *b = c.budgets;
	CHECK_EQ(b[0].parent_index, 1);
	CHECK(b[0].by.n == 1 && b[0].spans_per_second == 300 && b[0].weight == 3);
	CHECK_EQ(b[1].parent_index, CONF_NO_BUDGET);
	CHECK(b[1].spans_per_second == 2000 && b[1].bytes_per_second == 1 << 20);
	CHECK(b[1].spans_per_month == 5000000000 && b[1].bytes_per_month == 500000000000);
	CHECK(b[1].month_policy == MONTH_CAP && b[1].billing_day == 15 && b[1].reserve == 0.1);
	CHECK(b[1].burst_ms == 1000 && b[1].debt_ms == 3000 && b[1].max_keys == 500);
	conf_finish(&c);
	conf_finish(&c); /* in peace */
}

static void test_a_month_policy_without_a_month_is_warned_of(void)
{
	struct conf c;
	CHECK_EQ(parse(&c, "budgets: [ { name: a, spans_per_second: 5, month_policy: cap } ]\n"),
		 0);
	CHECK_STR(findings,
		  "f:1:58: warning: budgets[]: without spans_per_month or bytes_per_month "
		  "this says nothing\n");
	conf_finish(&c);
}

static void test_more_waiting_spans_than_the_journal_holds_are_warned_of(void)
{
	struct conf c;
	CHECK_EQ(parse(&c, "journal: { limit: 1GiB }\nsampling: { pending: 1000MiB }\n"), 0);
	CHECK_STR(findings, "f:2:22: warning: sampling.pending: the journal is full before that: "
			    "wanted at most nine tenths of journal.limit\n");
	CHECK_EQ(c.sampling.pending_bytes, 1000 << 20);
	conf_finish(&c);
}

static void test_a_place_inside_a_text(void)
{
	static const struct {
		const char *text;
		size_t offset;
		uint32_t line, column;
	} ROWS[] = {
	    {"    - { name: a, keep: 5%, when: abcdef }\n", 0, 3, 34},
	    {"    - { name: a, keep: 5%, when: abcdef }\n", 3, 3, 37},
	    {"    - { name: a, keep: 5%, when: \"abcdef\" }\n", 3, 3, 38},
	    {"    - { name: a, keep: 5%, when: 'abcdef' }\n", 6, 3, 41},
	    {"    - { name: a, keep: 5%, when: 'a''b''cdef' }\n", 5, 3, 42},
	    {"    - { name: a, keep: 5%, when: \"a\\\"b\\\\cdef\" }\n", 5, 3, 42},
	    {"    - { name: a, keep: 5%, when: \"\xc3\xa4xx\" }\n", 2, 3, 36}, /* one character */
	    {"    - name: a\n      keep: 5%\n      when: |\n        abcdef\n", 3, 5, 13},
	    {"    - name: a\n      keep: 5%\n      when: abc\n        def\n", 5, 5, 13},
	    {"    - { name: a, keep: 5%, when: \"a${env:T_X}bcdef\" }\n", 5, 3, 34},
	    {"    - { name: a, keep: 5%, when: \"a$${bcdef\" }\n", 5, 3, 34},
	};
	setenv("T_X", "sesame", 1);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct conf c;
		struct buf text = {0};
		buf_printf(&text, "sampling:\n  rules:\n%s%s", ROWS[i].text, REST);
		CHECK_EQ(buf_append(&text, "", 1), 0);
		CHECK_EQ(parse(&c, (const char *)text.data), 0);
		struct conf_place at = conf_text_place(&c.sampling.rules[0].when, ROWS[i].offset);
		if (at.line != ROWS[i].line || at.column != ROWS[i].column) {
			printf("FAIL %s: %u:%u\n", ROWS[i].text, at.line, at.column);
			exit(1);
		}
		conf_finish(&c);
		buf_finish(&text);
	}
}

static void test_percentages(void)
{
	static const struct {
		const char *text;
		bool bare;
		double share; /* -1: wrong */
	} ROWS[] = {{"100%", false, 1},
		    {"0", false, 0},
		    {"0%", false, 0},
		    {"0.0", false, 0},
		    {"0.5%", false, .005},
		    {"12.5 %", false, .125},
		    {"25", true, .25},
		    {"100", true, 1},
		    {"25", false, -1},
		    {"100.1%", false, -1},
		    {"-5%", false, -1},
		    {"5%%", false, -1},
		    {"%", false, -1},
		    {"", true, -1},
		    {".5%", false, -1},
		    {"5.%", false, -1},
		    {"1e1%", false, -1},
		    {"nan%", true, -1},
		    {"0x1%", true, -1},
		    {"5  %", false, -1},
		    {"0.00000000000000000000001%", false, -1}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		double share = -1;
		CHECK_EQ(unit_share(ROWS[i].text, ROWS[i].bare, &share),
			 ROWS[i].share < 0 ? UNIT_BAD : 0);
		CHECK(share == ROWS[i].share);
	}
}

static void test_more_rules_than_there_may_be(void)
{
	struct conf c;
	struct buf text = {0};
	buf_printf(&text, "sampling:\n  rules:\n");
	for (int i = 0; i <= CONF_MAX_RULES; i++)
		buf_printf(&text, "    - { name: a%d, keep: 5%% }\n", i);
	CHECK_EQ(buf_append(&text, "", 1), 0);
	CHECK_EQ(parse(&c, (const char *)text.data), CONF_FAULTY);
	CHECK_STR(findings, "f:259:7: sampling.rules: at most 256\n");
	buf_finish(&text);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_wrong_file_is_told_where_and_what),
		   TEST(test_no_sampling_is_none), TEST(test_a_whole_file_is_read),
		   TEST(test_a_month_policy_without_a_month_is_warned_of),
		   TEST(test_more_waiting_spans_than_the_journal_holds_are_warned_of),
		   TEST(test_a_place_inside_a_text), TEST(test_percentages),
		   TEST(test_more_rules_than_there_may_be));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "redaction/ruleset.h"

static char words[8192];

/* What is said about the rules; "" where they are good. */
static const char *refusal(const char *yaml, const struct conf_redaction *conf)
{
	static const struct conf_redaction none = {.file = "spanrelay.yaml"};
	struct rules rules = {0};
	struct report *report = calloc(1, sizeof(*report));
	struct buf findings = {0};
	struct ruleset *set = NULL;
	int rc = rules_read(&rules, "r.yaml", slice_str(yaml), report);
	if (rc == 0)
		rc = ruleset_compile(&set, &rules, conf != NULL ? conf : &none, &findings);
	else
		report_write(report, "r.yaml", &findings);
	snprintf(words, sizeof(words), "%.*s", (int)findings.len, (const char *)findings.data);
	CHECK_EQ(rc != 0, findings.len != 0);
	CHECK(rc == 0 || rc == RULESET_FAULTY);
	rules_finish(&rules);
	ruleset_release(set);
	buf_finish(&findings);
	free(report);
	return words;
}

#define RULE(body) "pack: p\nrules:\n  - id: one\n" body
#define EXAMPLES   "    examples: { match: ['x'], no_match: ['y'] }\n"

static void test_bad_rules_are_refused_with_their_place(void)
{
	static const struct {
		const char *yaml, *want;
	} ROWS[] = {
	    {RULE("    regex: '[a-z]{20}'\n" EXAMPLES),
	     "r.yaml:4:12: one: regex: it would be tried on"},
	    {RULE("    regex: '[a-z]{20}'\n    keywords: [a]\n" EXAMPLES), "r.yaml:5:"},
	    {RULE("    regex: 'abc(?:d'\n" EXAMPLES), "r.yaml:4:"},
	    {RULE("    regex: '(?:abc)?'\n" EXAMPLES), "r.yaml:4:"},
	    {RULE("    regex: 'abc\\Kd'\n" EXAMPLES), "say which group is the `secret`"},
	    {RULE("    regex: 'abc(?:a+)+b'\n    examples: { match: [abcab], no_match: [b] }\n"),
	     "r.yaml:4:12: one: regex: it goes back and forth without bound"},
	    {RULE("    regex: 'abc'\n    examples: { match: [abd], no_match: [b] }\n"),
	     "r.yaml:5:25: one: examples: the rule finds nothing here"},
	    {RULE("    regex: 'abc'\n    examples: { match: ['<<ab>>c'], no_match: [b] }\n"),
	     "finds something else than what stands between"},
	    {RULE("    regex: 'abc'\n    examples: { match: [abc], no_match: [xabc] }\n"),
	     "and must not"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		if (strstr(refusal(ROWS[i].yaml, NULL), ROWS[i].want) == NULL) {
			printf("FAIL row %zu: %s\n", i, words);
			exit(1);
		}
}

static void test_allow_names_a_rule_there_is(void)
{
	static char wrong[] = "onne", right[] = "one", match[] = "^x";
	struct conf_allow allow = {.at = {7, 3}, .rule = wrong, .match = {.text = match}};
	struct conf_redaction conf = {.file = "c.yaml", .allow = &allow, .n_allow = 1};
	static const char yaml[] =
	    RULE("    regex: '[a-z]abc'\n    examples: { match: [yabc], no_match: [xabc] }\n");
	CHECK_STR(refusal(yaml, &conf),
		  "c.yaml:7:3: allow: no rule is called \"onne\"; did you mean \"one\"?\n");
	allow.rule = right;
	CHECK_STR(refusal(yaml, &conf), "");
	CHECK(strstr(refusal(yaml, NULL), "must not") != NULL);
}

static void test_extras_have_numbers_behind_the_rules(void)
{
	struct conf_redaction conf = {.file = "c.yaml", .mask = CONF_MASK_KEEP_LAST_4};
	struct ruleset *set = NULL;
	struct buf findings = {0};
	CHECK_EQ(ruleset_build(&set, &conf, &findings), 0);
	CHECK_EQ(ruleset_rules(set), 0);
	CHECK_EQ(ruleset_numbers(set), EXTRAS);
	CHECK_STR(ruleset_id(set, EXTRA_TOO_LONG), "too-long");
	CHECK_EQ(ruleset_mask(set, EXTRA_TOO_LONG), MASK_KEEP_LENGTH);
	CHECK_EQ(ruleset_mask(set, EXTRA_KEY_UNLISTED), MASK_DROP);
	CHECK(ruleset_rule(set, 0) == NULL);
	CHECK(ruleset_take(set) == set);
	ruleset_release(set);
	CHECK_EQ(ruleset_numbers(set), EXTRAS);
	ruleset_release(set);
}

static void test_packs_of_the_program_are_good_and_small(void)
{
	static char names[16][32];
	char *list[16];
	struct conf_redaction conf = {.file = "c.yaml", .packs = {.names = list}};
	struct ruleset *set = NULL;
	struct buf findings = {0};
	for (uint32_t i = 0; i < N_PACKS; i++) {
		snprintf(names[i], sizeof(names[i]), "%s", PACKS[i].name);
		list[conf.packs.n++] = names[i];
	}
	int rc = ruleset_build(&set, &conf, &findings);
	printf("%.*s", (int)findings.len, findings.data != NULL ? (const char *)findings.data : "");
	CHECK_EQ(rc, 0);
	CHECK(ruleset_bytes(set) < 16 << 20);
	struct rule_cost cost;
	CHECK_EQ(ruleset_cost(set, 0, &cost), 0);
	CHECK(cost.prefilter[0] != '\0' && cost.ns_per_kib > 0);
	ruleset_release(set);
	snprintf(names[0], sizeof(names[0]), "secret");
	conf.packs.n = 1;
	CHECK_EQ(ruleset_build(&set, &conf, &findings), RULESET_FAULTY);
	CHECK(strstr((const char *)findings.data, "did you mean \"secrets\"?") != NULL);
	buf_finish(&findings);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_bad_rules_are_refused_with_their_place),
		   TEST(test_allow_names_a_rule_there_is),
		   TEST(test_extras_have_numbers_behind_the_rules),
		   TEST(test_packs_of_the_program_are_good_and_small));
}

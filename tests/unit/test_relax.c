/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "redaction/relax.h"

static char relaxed_text[8192];
static struct relaxed r;

static int relax_to(const char *regex, enum relax_degree degree)
{
	char words[REGEX_WORDS];
	size_t offset;
	int rc = relax(&r, slice_str(regex), degree, &offset, words);
	snprintf(relaxed_text, sizeof(relaxed_text), "%s",
		 rc == 0           ? (const char *)r.text.data
		 : rc == RELAX_BAD ? words
				   : "");
	buf_finish(&r.text);
	return rc;
}

#define CHECK_RELAXES(regex, want)                                                                 \
	do {                                                                                       \
		CHECK_EQ(relax_to(regex, RELAX_CLOSE), 0);                                         \
		CHECK_STR(relaxed_text, want);                                                     \
	} while (0)

static void test_what_looks_around_goes_and_ends_are_cut(void)
{
	CHECK_RELAXES("\\bghp_[a-z]{36,}(?![a-z])", "ghp\\x5f[a-z]{36}");
	CHECK_RELAXES("^abc+$", "abc{1}");
	CHECK_RELAXES("(?<=x)abc(?:de)?f*", "abc");
	CHECK_RELAXES("[a-z]{3,}token=[0-9]{4,9}?", "token\\x3d[0-9]{4}");
	CHECK_RELAXES("(?<name>abc)(?>d+)(?#note)e", "abcd{1,}e");
	CHECK_RELAXES("abc[0-9]{2,}def", "abc[0-9]{2,}def");
}

static void test_case_is_in_the_sets(void)
{
	CHECK_RELAXES("(?i)aB1", "[Aa][Bb]1");
	CHECK_RELAXES("(?i:ab)cd", "[Aa][Bb]cd");
	CHECK_RELAXES("ab(?i)cd", "ab[Cc][Dd]");
	CHECK_RELAXES("ab[^\\x01-\\xff]c", "ab\\x00c");
}

static void test_alternatives_begin_with_their_own_literals(void)
{
	CHECK_RELAXES("(?:[ab]?xkey|token)=", "(?:xkey|token)\\x3d");
	CHECK_RELAXES("[0-9]+foo|bar[a-z]+", "(?:foo|bar[a-z]{1})");
	CHECK_EQ(relax_to("foo|[a-z]+", RELAX_CLOSE), RELAX_NO_LITERAL);
}

static void test_classes_alone_are_no_prefilter(void)
{
	CHECK_EQ(relax_to("[0-9]{16}", RELAX_CLOSE), RELAX_NO_LITERAL);
	CHECK_EQ(relax_to("(?:abc)?[0-9]+", RELAX_CLOSE), RELAX_NO_LITERAL);
	CHECK_EQ(r.narrow, 1);
	CHECK_EQ(r.wide, REGEX_FAR);
}

static void test_reach_is_how_far_back_a_match_may_begin(void)
{
	CHECK_EQ(relax_to("[a-z]{0,9}token[0-9]{4,}", RELAX_CLOSE), 0);
	CHECK_EQ(r.reach, 9 + 5 + 4);
	CHECK_EQ(relax_to("[a-z]*token", RELAX_CLOSE), 0);
	CHECK_EQ(r.reach, REGEX_FAR);
	CHECK_EQ(relax_to("abc[a-z]{0,500}def", RELAX_CLOSE), 0);
	CHECK_EQ(r.reach, 506);
}

static void test_a_gate_asks_for_what_has_to_follow(void)
{
	CHECK_EQ(relax_to("key[a-z]{0,8}\\s?(?:=>|:)[0-9]", RELAX_LITERAL), 0);
	CHECK_STR(relaxed_text, "key");
	CHECK(set_has(&r.gate.stop, '>') && set_has(&r.gate.stop, ':'));
	CHECK(!set_has(&r.gate.stop, '/') && !set_has(&r.gate.parts[0], '/'));
	CHECK(set_has(&r.gate.parts[0], 'z') && !set_has(&r.gate.parts[0], ' '));
	CHECK(set_has(&r.gate.parts[1], ' ') && !set_has(&r.gate.parts[1], 'z'));
	CHECK_EQ(relax_to("key[a-z]*", RELAX_LITERAL), 0);
	CHECK_EQ(r.gate.span, REGEX_FAR);
}

static void test_what_rules_may_not_use_is_refused_at_its_place(void)
{
	static const struct {
		const char *regex, *words;
	} ROWS[] = {
	    {"abc\\Kd", "\\K is not for rules: say which group is the `secret`"},
	    {"abc(*ACCEPT)", "verbs are not for rules"},
	    {"abc(?(1)d)", "this kind of group is not for rules"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		CHECK_EQ(relax_to(ROWS[i].regex, RELAX_CLOSE), RELAX_BAD);
		CHECK_STR(relaxed_text, ROWS[i].words);
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_looks_around_goes_and_ends_are_cut),
		   TEST(test_case_is_in_the_sets),
		   TEST(test_alternatives_begin_with_their_own_literals),
		   TEST(test_classes_alone_are_no_prefilter),
		   TEST(test_reach_is_how_far_back_a_match_may_begin),
		   TEST(test_a_gate_asks_for_what_has_to_follow),
		   TEST(test_what_rules_may_not_use_is_refused_at_its_place));
}

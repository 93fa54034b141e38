/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "redaction/rule.h"

static char findings[8192];

static int read_as(struct rules *all, const char *name, const char *text)
{
	struct report report = {.n = 0};
	struct buf out = {.data = NULL};
	int rc = rules_read(all, name, slice_str(text), &report);
	report_write(&report, name, &out);
	snprintf(findings, sizeof(findings), "%.*s", (int)out.len,
		 out.data != NULL ? (const char *)out.data : "");
	buf_finish(&out);
	return rc;
}

#define EXAMPLES     "   examples: { match: [x], no_match: [y] }\n"
#define RULE(fields) "pack: p\nrules:\n - id: a\n" fields "\n" EXAMPLES

static const struct {
	const char *text, *findings;
} WRONG[] = {
    {"", "f: wanted a map with pack and rules\n"},
    {"- a\n", "f:1:1: wanted a map with pack and rules\n"},
    {"pack: p\n", "f:1:1: rules: wanted a list of rules\n"},
    {"rules: []\n", "f:1:1: pack: wanted the name of these rules\n"},
    {"pack: p\nruls: []\nrules: []\n", "f:2:1: unknown key \"ruls\"; did you mean \"rules\"?\n"},
    {"pack: p\nrules: [x]\n", "f:2:9: wanted a rule: - { id: ..., ... }\n"},
    {"pack: p\nallow: ['(']\nrules: []\n", "f:2:11: allow: missing closing parenthesis\n"},
    {"pack: p\nrules:\n - regex: abc\n" EXAMPLES, "f:3:4: id is missing\n"},
    {"pack: p\nrules:\n - id: A_b\n   regex: abc\n" EXAMPLES,
     "f:3:8: id: wanted small letters, digits and -, at most 64\n"},
    {"pack: p\nrules:\n - id: a\n   regex: b\n", "f:3:4: examples: wanted at least one of match "
						 "and one of no_match for a\n"},
    {"pack: p\nrules:\n - id: a\n   regex: b\n   examples: { match: [b] }\n",
     "f:5:14: examples: wanted at least one of match and one of no_match for a\n"},
    {RULE(""), "f:3:4: wanted a regex, a class or keys\n"},
    {RULE("   regx: abc"), "f:3:4: wanted a regex, a class or keys\n"
			   "f:4:4: unknown key \"regx\"; did you mean \"regex\"?\n"},
    {RULE("   regex: 'ab(c'"), "f:4:16: regex: missing closing parenthesis\n"},
    {RULE("   regex: 'ab[c'"), "f:4:16: regex: missing terminating ] for character class\n"},
    {RULE("   regex: 'a*'"), "f:4:11: regex: it matches the empty text\n"},
    {RULE("   regex: []"), "f:4:11: regex: wanted a text\n"},
    {RULE("   regex: 'a(b)'\n   secret: 2"), "f:5:12: secret: the expression has 1 group\n"},
    {RULE("   regex: 'a(b)'\n   secret: one"), "f:5:12: secret: wanted the number of a group\n"},
    {RULE("   keys: [a]\n   secret: 1"), "f:5:4: secret: wants a regex, whose group it is\n"},
    {RULE("   regex: ab\n   entropy: 9"),
     "f:5:13: entropy: wanted bits a byte, over 0, at most 8\n"},
    {RULE("   regex: ab\n   entropy: nan"),
     "f:5:13: entropy: wanted bits a byte, over 0, at most 8\n"},
    {RULE("   regex: ab\n   checksum: lunh"),
     "f:5:14: unknown checksum \"lunh\"; did you mean \"luhn\"?\n"},
    {RULE("   regex: ab\n   mask: stars"),
     "f:5:10: unknown mask \"stars\"; known here: keep_length, replace, typed, hmac, keep_last_4, "
     "drop, url\n"},
    {RULE("   class: crad"), "f:4:11: unknown class \"crad\"; did you mean \"card\"?\n"},
    {RULE("   class: card\n   regex: ab"),
     "f:4:4: class: stands in place of a regex, and knows no keys\n"},
    {RULE("   regex: ab\n   keywords: ab"), "f:5:14: keywords: wanted a list: [a, b]\n"},
    {RULE("   regex: ab\n   keywords: [ab]"), "f:5:15: keywords: wanted 3 to 64 bytes\n"},
    {RULE("   regex: ab\n   keywords: []"), "f:5:14: keywords: wanted a list: [a, b]\n"},
    {RULE("   keys: ['*']"), "f:4:11: keys: this is the key of every attribute\n"},
    {RULE("   keys: ['*a*']"),
     "f:5:24: examples: all keys are globs: wanted { key: ..., value: ... }\n"
     "f:5:39: examples: all keys are globs: wanted { key: ..., value: ... }\n"},
    {RULE("   keys: [abc]\n   cut: [abc]"),
     "f:5:4: cut: is for a rule with a regex, and without keys\n"},
    {"pack: p\nrules:\n - id: a\n   regex: b\n   examples: { match: ['a <<b'], no_match: [b] }\n",
     "f:5:24: examples: << wants a secret and >> behind it\n"},
    {"pack: p\nrules:\n - id: a\n   regex: b\n   examples: { match: [{ key: a }], no_match: [b] "
     "}\n",
     "f:5:24: examples: wanted a text, or { key: ..., value: ... }\n"},
    {"pack: p\nrules:\n - { id: a, regex: b, examples: { match: [b], no_match: [c] } }\n"
     " - { id: a, regex: b, examples: { match: [b], no_match: [c] } }\n",
     "f:4:10: id: there is a rule \"a\" already, in f:3\n"},
};

static void test_what_is_wrong_is_told_by_its_place(void)
{
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		struct rules all = {.n = 0};
		CHECK_EQ(read_as(&all, "f", WRONG[i].text), RULE_FAULTY);
		CHECK_STR(findings, WRONG[i].findings);
		CHECK_EQ(all.n, 0);
		rules_finish(&all);
	}
}

static const char WHOLE[] =
    "pack: mine\n"
    "description: my own\n"
    "allow: ['EXAMPLE$']\n"
    "rules:\n"
    "  - id: shop-token\n"
    "    description: of the shop\n"
    "    keywords: [shop_, SHOP]\n"
    "    regex: '\\b(shop)_([a-z0-9]{8})'\n"
    "    secret: 2\n"
    "    entropy: 2.5\n"
    "    checksum: github\n"
    "    allow: ['^x+$']\n"
    "    cut: [shop_]\n"
    "    mask: keep_last_4\n"
    "    examples: { match: ['a <<shop_1>>, b', plain], no_match: ['1 << 2'] }\n"
    "  - id: shop-key\n"
    "    keys: ['*shop*', shop.pass]\n"
    "    examples: { match: [<<a>>], no_match: [{ key: other, value: a }] }\n"
    "  - id: a-card\n"
    "    class: card\n"
    "    checksum: luhn\n"
    "    examples: { match: ['4111'], no_match: ['4112'] }\n";

static void check_token(const struct rule *r)
{
	CHECK_STR(r->id, "shop-token");
	CHECK_STR(r->description, "of the shop");
	CHECK_STR(r->pack, "mine");
	CHECK_STR(r->file, "f");
	CHECK_EQ(r->at.line, 5);
	CHECK_EQ(r->regex_at.line, 8);
	CHECK_EQ(r->regex_at.column, 12);
	CHECK_EQ(r->keywords.n, 2);
	CHECK_STR(r->keywords.items[1], "SHOP");
	CHECK_STR(r->regex, "\\b(shop)_([a-z0-9]{8})");
	CHECK_EQ(r->secret, 2);
	CHECK(r->entropy == 2.5);
	CHECK_EQ(r->checksum, CHECKSUM_GITHUB);
	CHECK_EQ(r->mask, MASK_KEEP_LAST_4);
	CHECK_EQ(r->allow.n, 2);
	CHECK_STR(r->allow.items[0], "^x+$");
	CHECK_STR(r->allow.items[1], "EXAMPLE$");
	CHECK_STR(r->cut.items[0], "shop_");
	CHECK_EQ(r->n_match, 2);
	CHECK_STR(r->match[0].value, "a shop_1, b");
	CHECK(r->match[0].marked && r->match[0].start == 2 && r->match[0].end == 8);
	CHECK(!r->match[1].marked && r->match[1].key == NULL);
	CHECK_STR(r->no_match[0].value, "1 << 2"); /* what must not match has no marks */
}

static void test_a_rule_is_read_with_all_its_fields(void)
{
	struct rules all = {.n = 0};
	CHECK_EQ(read_as(&all, "f", WHOLE), 0);
	CHECK_STR(findings, "");
	CHECK_EQ(all.n, 3);
	check_token(&all.list[0]);
	CHECK_EQ(all.list[1].keys.n, 2);
	CHECK(all.list[1].regex == NULL && all.list[1].entropy == 0);
	CHECK_STR(all.list[1].match[0].key, "shop.pass");
	CHECK_STR(all.list[1].no_match[0].key, "other");
	CHECK_EQ(all.list[2].class, CLASS_CARD);
	CHECK_EQ(all.list[2].checksum, CHECKSUM_LUHN);
	rules_finish(&all);
}

static void test_a_faulty_file_leaves_the_others_as_they_were(void)
{
	struct rules all = {.n = 0};
	CHECK_EQ(read_as(&all, "first", WHOLE), 0);
	CHECK_EQ(read_as(&all, "second", WHOLE), RULE_FAULTY);
	CHECK_STR(findings, "second:5:9: id: there is a rule \"shop-token\" already, in first:5\n"
			    "second:16:9: id: there is a rule \"shop-key\" already, in first:16\n"
			    "second:19:9: id: there is a rule \"a-card\" already, in first:19\n");
	CHECK_EQ(all.n, 3);
	CHECK_STR(all.list[0].file, "first");
	rules_finish(&all);
	rules_finish(&all);
}

/* Each pack by its name, and ids unique over all of them. */
static void test_the_packs_of_the_program_are_sound(void)
{
	struct rules all = {.n = 0};
	for (uint32_t i = 0; i < N_PACKS; i++) {
		const struct pack *p = &PACKS[i];
		char text[1 << 20];
		uint32_t before = all.n;
		CHECK(p->text.len < sizeof(text));
		snprintf(text, sizeof(text), "%.*s", (int)p->text.len, (const char *)p->text.data);
		int rc = read_as(&all, p->file, text);
		printf("%s", findings);
		CHECK_EQ(rc, 0);
		CHECK(pack_find(p->name) == p);
		for (uint32_t k = before; k < all.n; k++)
			CHECK_STR(all.list[k].pack, p->name);
	}
	CHECK(pack_find("nothing") == NULL);
	rules_finish(&all);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_is_wrong_is_told_by_its_place),
		   TEST(test_a_rule_is_read_with_all_its_fields),
		   TEST(test_a_faulty_file_leaves_the_others_as_they_were),
		   TEST(test_the_packs_of_the_program_are_sound));
}

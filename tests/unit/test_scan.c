/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "redaction/scan.h"

struct fixture {
	struct ruleset *set;
	struct scanner *scanner;
	const struct hit *hits;
	uint32_t n;
};

static struct fixture make(const char *yaml, const struct conf_redaction *conf)
{
	static const struct conf_redaction none;
	struct fixture f = {0};
	struct rules rules = {0};
	struct report *report = calloc(1, sizeof(*report));
	struct buf findings = {0};
	int rc = rules_read(&rules, "rules.yaml", slice_str(yaml), report);
	if (rc != 0)
		report_write(report, "rules.yaml", &findings);
	else
		rc = ruleset_compile(&f.set, &rules, conf != NULL ? conf : &none, &findings);
	if (rc != 0)
		printf("%.*s", (int)findings.len, (const char *)findings.data);
	CHECK_EQ(rc, 0);
	f.scanner = scanner_create();
	CHECK(f.scanner != NULL);
	CHECK_EQ(scanner_begin(f.scanner, f.set), 0);
	buf_finish(&findings);
	free(report);
	return f;
}

static void finish(struct fixture *f)
{
	scanner_destroy(f->scanner);
	ruleset_release(f->set);
}

static void look(struct fixture *f, const char *key, const char *text)
{
	struct scan_value v = {.len = (uint32_t)strlen(text)};
	CHECK_EQ(scanner_begin(f->scanner, f->set), 0);
	if (key != NULL)
		v.key = scanner_key(f->scanner, slice_str(key));
	CHECK_EQ(scan(f->scanner, slice_str(text), &v, 1, &f->hits, &f->n), 0);
}

/* "rule 3-9, rule 12-20" */
static const char *found(const struct fixture *f)
{
	static char text[4096];
	size_t len = 0;
	text[0] = '\0';
	for (uint32_t i = 0; i < f->n && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %u-%u",
					i != 0 ? ", " : "", ruleset_id(f->set, f->hits[i].number),
					f->hits[i].start, f->hits[i].end);
	return text;
}

#define CHECK_FINDS(f, key, text, want)                                                            \
	do {                                                                                       \
		look(f, key, text);                                                                \
		CHECK_STR(found(f), want);                                                         \
	} while (0)

static const char GITHUB[] =
    "pack: p\n"
    "rules:\n"
    "  - id: github\n"
    "    regex: '\\bghp_[A-Za-z0-9]{10,}(?![A-Za-z0-9])'\n"
    "    cut: [ghp_]\n"
    "    examples: { match: ['x <<ghp_abcdefghij>> y'], no_match: [ghp] }\n"
    "  - id: password\n"
    "    regex: '(?i)password\\s*[=:]\\s*([^\\s,]{4,})'\n"
    "    secret: 1\n"
    "    examples: { match: ['password=<<hunter2>>'], no_match: [password] }\n";

static void test_secrets_are_found_where_they_are(void)
{
	struct fixture f = make(GITHUB, NULL);
	CHECK_FINDS(&f, NULL, "nothing here", "");
	CHECK_FINDS(&f, NULL, "a ghp_0123456789abc b", "github 2-19");
	CHECK_FINDS(&f, NULL, "PassWord: abcdef, password=ghijkl",
		    "password 10-16, password 27-33");
	CHECK_FINDS(&f, NULL, "password=ghp_0123456789", "github 9-23, password 9-23");
	finish(&f);
}

static void test_copies_of_a_secret_are_found_too(void)
{
	struct fixture f = make(GITHUB, NULL);
	CHECK_FINDS(&f, NULL, "hunter2 password=hunter2 (hunter2)",
		    "password 0-7, password 17-24, password 26-33");
	CHECK_FINDS(&f, NULL, "user password=user", "password 14-18"); /* too short to look for */
	CHECK_FINDS(&f, NULL, "abababababab password=ababab", "password 0-12, password 22-28");
	finish(&f);
}

static void test_cut_secrets_at_the_end_are_found(void)
{
	struct fixture f = make(GITHUB, NULL);
	CHECK_FINDS(&f, NULL, "a ghp_0123", "github 2-10");
	CHECK_FINDS(&f, NULL, "a ghp_0123 b", "");
	CHECK_FINDS(&f, NULL, "a ghp_012", "");
	CHECK_FINDS(&f, NULL, "ghp_0123ghp_0123", "github 0-16");
	CHECK_FINDS(&f, NULL, "ghp_4567 ghp_0123", "github 9-17");
	finish(&f);
}

static void test_marks_are_no_secrets(void)
{
	static const char *const MARKS[] = {
	    "********",        "[REDACTED]",        "[REDACTED:password]",
	    "REDACTED",        "REDACTED:REDACTED", "hmac:0a1b2c3d:0123456789abcdef",
	    "************1111"};
	struct fixture f = make(GITHUB, NULL);
	char text[128];
	for (size_t i = 0; i < sizeof(MARKS) / sizeof(MARKS[0]); i++) {
		snprintf(text, sizeof(text), "password=%s", MARKS[i]);
		CHECK_FINDS(&f, NULL, text, "");
	}
	CHECK_FINDS(&f, NULL, "password=REDACTEDx", "password 9-18");
	CHECK_FINDS(&f, NULL, "password=***1111", "password 9-16");
	finish(&f);
}

static void test_ranges_end_between_characters(void)
{
	struct fixture f = make("pack: p\n"
				"rules:\n"
				"  - id: odd\n"
				"    regex: 'key=[^ ]{2}'\n"
				"    examples: { match: ['key=ab'], no_match: [key] }\n",
				NULL);
	CHECK_FINDS(&f, NULL, "key=a\xc3\xa9 b", "odd 0-7");
	CHECK_FINDS(&f, NULL, "key=a\xc3 b\xff", "odd 0-6");
	CHECK_FINDS(&f, NULL, "key=a\x80\x80", "odd 0-6"); /* no UTF-8 */
	finish(&f);
}

static void test_values_are_looked_at_one_by_one(void)
{
	static const char text[] = "password=\nabcdefgh\nghp_0123456789\nghp_01234567890";
	struct scan_value values[] = {{0, 9, NULL}, {10, 8, NULL}, {19, 14, NULL}, {34, 15, NULL}};
	struct fixture f = make(GITHUB, NULL);
	CHECK_EQ(scan(f.scanner, slice_str(text), values, 4, &f.hits, &f.n), 0);
	CHECK_STR(found(&f), "github 0-14, github 0-15");
	CHECK_EQ(f.hits[0].value, 2);
	CHECK_EQ(f.hits[1].value, 3);
	finish(&f);
}

static char *many(const char *part, size_t bytes)
{
	size_t len = strlen(part);
	char *text = malloc(bytes + len + 1);
	CHECK(text != NULL);
	for (size_t at = 0; at < bytes; at += len)
		memcpy(text + at, part, len + 1);
	return text;
}

static void test_what_cannot_be_looked_through_is_masked_whole(void)
{
	struct fixture f = make(GITHUB, NULL);
	char *text = many("clean ", SCAN_MAX_VALUE);
	look(&f, NULL, text);
	CHECK_EQ(f.n, 1);
	CHECK_STR(ruleset_id(f.set, f.hits[0].number), "too-long");
	CHECK_EQ(f.hits[0].end, strlen(text));
	free(text);
	text = malloc(SCAN_MAX_HITS * 32 + 64);
	CHECK(text != NULL);
	for (int n = SCAN_MAX_HITS; n <= SCAN_MAX_HITS + 1; n++) {
		size_t len = 0;
		for (int i = 0; i < n; i++)
			len += (size_t)sprintf(text + len, "password=x%05d ", i);
		look(&f, NULL, text);
		CHECK_EQ(f.n, n == SCAN_MAX_HITS ? SCAN_MAX_HITS : 1);
	}
	CHECK_STR(ruleset_id(f.set, f.hits[0].number), "too-many");
	free(text);
	finish(&f);
}

static const char KEYED[] =
    "pack: p\n"
    "rules:\n"
    "  - id: any-password\n"
    "    keys: ['*passw?rd*', db.pass]\n"
    "    examples: { match: ['x'], no_match: [{key: a, value: b}] }\n"
    "  - id: card\n"
    "    class: card\n"
    "    checksum: luhn\n"
    "    examples: { match: ['x <<4111111111111111>>'], no_match: ['1'] }\n";

static void test_rules_with_keys_see_values_of_those_keys(void)
{
	struct fixture f = make(KEYED, NULL);
	CHECK_FINDS(&f, "User.PASSWORD.old", "abc", "any-password 0-3");
	CHECK_FINDS(&f, "DB.Pass", "abc", "any-password 0-3");
	CHECK_FINDS(&f, "db.passx", "abc", "");
	CHECK_FINDS(&f, NULL, "abc", "");
	CHECK_FINDS(&f, "http.url", "x 4111111111111111", "card 2-18");
	finish(&f);
}

static void test_keys_are_blocked_listed_and_ignored(void)
{
	static char cards[] = "card.*", a[] = "a*", plain[] = "a.plain";
	static char *block[] = {cards}, *list[] = {a, cards}, *ignore[] = {plain};
	struct conf_redaction conf = {.keys = {.block = {block, NULL, 1},
					       .allow_only = {list, NULL, 2},
					       .ignore = {ignore, NULL, 1}}};
	struct fixture f = make(KEYED, &conf);
	CHECK_FINDS(&f, "card.number", "abc", "key-blocked 0-3");
	CHECK_FINDS(&f, "a.other", "4111111111111111", "card 0-16");
	CHECK_FINDS(&f, "a.plain", "4111111111111111", "");
	CHECK_FINDS(&f, "b", "abc", "key-unlisted 0-3");
	CHECK_FINDS(&f, "redaction.masked.count", "abc", "");
	finish(&f);
}

static void test_made_up_keys_are_judged_but_not_remembered(void)
{
	struct fixture f = make(KEYED, NULL);
	char key[64];
	for (int i = 0; i < 3 * SCAN_MAX_KEYS; i++) {
		snprintf(key, sizeof(key), "password.%d", i);
		const struct key_verdict *v = scanner_key(f.scanner, slice_str(key));
		CHECK_EQ(v->n, 1);
		CHECK(!v->clean);
		v = scanner_key(f.scanner, slice_str("plain"));
		CHECK_EQ(v->n, 0);
		CHECK(v->clean == (i > 0));
	}
	finish(&f);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_secrets_are_found_where_they_are),
		   TEST(test_copies_of_a_secret_are_found_too),
		   TEST(test_cut_secrets_at_the_end_are_found), TEST(test_marks_are_no_secrets),
		   TEST(test_ranges_end_between_characters),
		   TEST(test_values_are_looked_at_one_by_one),
		   TEST(test_what_cannot_be_looked_through_is_masked_whole),
		   TEST(test_rules_with_keys_see_values_of_those_keys),
		   TEST(test_keys_are_blocked_listed_and_ignored),
		   TEST(test_made_up_keys_are_judged_but_not_remembered));
}

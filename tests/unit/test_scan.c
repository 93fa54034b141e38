/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "redaction/scan.h"

struct fixture {
	struct ruleset *set;
	struct scanner *scanner;
	const struct hit *hits;
	uint32_t n;
	uint32_t sizes;
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

static const char GITHUB[] = "pack: p\n"
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
	CHECK_FINDS(&f, NULL, "PassWord: abcdef, password=ghijkl", "password 10-16, password 27-33");
	CHECK_FINDS(&f, NULL, "password=ghp_0123456789", "github 9-23, password 9-23");
	finish(&f);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_secrets_are_found_where_they_are));
}

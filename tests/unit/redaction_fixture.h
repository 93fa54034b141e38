/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/redaction_fixture.h - a small rule set, and what redaction makes of a request. */
#ifndef TESTS_REDACTION_FIXTURE_H
#define TESTS_REDACTION_FIXTURE_H

#include "check.h"
#include "conf/conf.h"
#include "redaction/positions.h"
#include "redaction/redact.h"
#include "redaction/scan.h"
#include "wire/otlp_index.h"

#define SECRET "sekret_Zx81kQ0pLm3T"
#define STARS  "*******************" /* as many */
#define CARD   "4111111111111111"

#define NONE "      no_match: ['nothing']\n"
static const char FIXTURE_RULES[] =
    "pack: test\n"
    "rules:\n"
    "  - id: token\n"
    "    description: a token\n"
    "    keywords: [sekret_]\n"
    "    regex: 'sekret_[A-Za-z0-9]{12}'\n"
    "    examples:\n"
    "      match: ['<<" SECRET ">>']\n" NONE "  - id: longer\n"
    "    description: ends in a token\n"
    "    keywords: [over_]\n"
    "    regex: 'over_sekret_[A-Za-z0-9]{4}'\n"
    "    examples:\n"
    "      match: ['<<over_sekret_Zx81>>']\n" NONE "  - id: card\n"
    "    description: a card\n"
    "    class: card\n"
    "    checksum: luhn\n"
    "    examples:\n"
    "      match: ['<<" CARD ">>']\n" NONE "  - id: signature\n"
    "    description: of a URL\n"
    "    keywords: [sig=]\n"
    "    regex: '[?&]sig=([^&\\s]+)'\n"
    "    secret: 1\n"
    "    mask: url\n"
    "    examples:\n"
    "      match: ['/a?sig=<<abcd>>&b=1']\n" NONE "  - id: password-key\n"
    "    description: by its key\n"
    "    keys: ['*password*']\n"
    "    examples:\n"
    "      match: [{ key: db.password, value: '<<hunter2>>' }]\n"
    "      no_match: [{ key: db.name, value: hunter2 }]\n";

static struct conf_redaction conf;
static struct ruleset *set;
static struct redactor *redactor;
static struct redaction_counts counts;
static struct buf body;

static inline struct conf_names fixture_names(const char *name)
{
	static struct conf_place at;
	char **names = calloc(1, sizeof(*names));
	names[0] = strdup(name);
	return (struct conf_names){.names = names, .at = &at, .n = 1};
}

/* Compiles the rules with the configuration as it is. */
static inline void fixture_begin(void)
{
	static struct report report;
	struct rules rules = {0};
	struct buf findings = {0};
	conf.file = "test.yaml";
	conf.rules_dir = (char[]){""};
	conf.hmac_key_file = (char[]){""};
	report = (struct report){.n = 0};
	CHECK_EQ(rules_read(&rules, "rules.yaml", slice_str(FIXTURE_RULES), &report), 0);
	int rc = ruleset_compile(&set, &rules, &conf, &findings);
	if (rc != 0)
		printf("%.*s\n", (int)findings.len, findings.data);
	CHECK_EQ(rc, 0);
	buf_finish(&findings);
	redactor = redactor_create();
	CHECK(redactor != NULL);
}

static inline void names_free(struct conf_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->names[i]);
	free(n->names);
	*n = (struct conf_names){0};
}

static inline void fixture_end(void)
{
	redactor_destroy(redactor);
	ruleset_release(set);
	names_free(&conf.keys.block);
	names_free(&conf.keys.ignore);
	names_free(&conf.keys.allow_only);
	conf = (struct conf_redaction){0};
	buf_finish(&body);
}

/* What the index says of the body: nothing to mend, and so many spans. */
static inline void check_valid(uint32_t spans)
{
	struct otlp_index ix;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	CHECK_EQ(otlp_index(&ix, buf_slice(&body), &INDEX_LIMITS, &arena), INDEX_OK);
	CHECK(ix.spans == spans && ix.rejected == 0 && ix.edits == NULL);
	arena_finish(&arena);
}

static inline void redact_body(size_t max_bytes)
{
	CHECK_EQ(redact_request(redactor, set, &body, max_bytes, &counts), 0);
	check_valid(2);
}

/* A request with one text, redacted; and once more, which may change nothing. */
static inline void redact_one(enum where at, enum how how, const char *key, const char *text)
{
	body.len = 0;
	put_request(&body, at, how, slice_str(key), slice_str(text));
	redact_body(1 << 20);
	struct redaction_counts first = counts;
	struct buf once = {0};
	buf_append(&once, body.data, body.len);
	redact_body(1 << 20);
	CHECK(slice_equal(buf_slice(&once), buf_slice(&body)));
	CHECK(counts.hits == 0 && counts.spans == 0 && counts.masked_bytes == 0);
	buf_finish(&once);
	counts = first;
}

static inline bool body_has(const char *text)
{
	return memmem(body.data, body.len, text, strlen(text)) != NULL;
}

#endif

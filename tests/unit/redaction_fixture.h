/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/redaction_fixture.h - a small rule set, requests with one text at a time, and what
 * redaction makes of them. */
#ifndef TESTS_REDACTION_FIXTURE_H
#define TESTS_REDACTION_FIXTURE_H

#include "check.h"
#include "conf/conf.h"
#include "otlp_sample.h"
#include "redaction/redact.h"
#include "wire/otlp_index.h"

#define SECRET "sekret_Zx81kQ0pLm3T"

static const char FIXTURE_RULES[] =
    "pack: test\n"
    "rules:\n"
    "  - id: token\n"
    "    description: a token\n"
    "    keywords: [sekret_]\n"
    "    regex: 'sekret_[A-Za-z0-9]{12}'\n"
    "    cut: [sekret_]\n"
    "    match: ['<<" SECRET ">>']\n"
    "  - id: longer\n"
    "    description: what begins before a token and ends in it\n"
    "    keywords: [over_]\n"
    "    regex: 'over_sekret_[A-Za-z0-9]{4}'\n"
    "    match: ['<<over_sekret_Zx81>>']\n"
    "  - id: card\n"
    "    description: a card\n"
    "    class: card\n"
    "    checksum: luhn\n"
    "    match: ['<<4111111111111111>>']\n"
    "  - id: signature\n"
    "    description: of a URL\n"
    "    keywords: [sig=]\n"
    "    regex: '[?&]sig=([^&\\s*]+)'\n"
    "    secret: 1\n"
    "    mask: url\n"
    "    match: ['/a?sig=<<abcd>>&b=1']\n"
    "  - id: password-key\n"
    "    description: by its key\n"
    "    keys: ['*password*']\n"
    "    match: [{ key: db.password, value: '<<hunter2>>' }]\n";

static inline struct ruleset *fixture_set(struct conf_redaction *c)
{
	struct rules rules = {0};
	struct buf findings = {0};
	struct report report = {0};
	struct ruleset *set = NULL;
	(void)report;
	c->file = "test.yaml";
	CHECK_EQ(rules_read(&rules, "rules.yaml", slice_str(FIXTURE_RULES), &report), 0);
	int rc = ruleset_compile(&set, &rules, c, &findings);
	if (rc != 0)
		printf("%.*s\n", (int)findings.len, findings.data);
	CHECK_EQ(rc, 0);
	buf_finish(&findings);
	return set;
}

#endif

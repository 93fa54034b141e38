/* SPDX-License-Identifier: Apache-2.0
 * spanrelay rules: which rules look for secrets, and what each of them costs. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "redaction/ruleset.h"
#include "relay/cli.h"
#include "relay/load.h"

static const char HELP[] =
    "Usage: spanrelay rules list [-c FILE]\n"
    "       spanrelay rules cost [-c FILE]\n"
    "\n"
    "list: the rules of redaction that FILE, or without one the defaults, ask for: id, pack, how "
    "a\n"
    "secret is masked, what it is. cost: what the automaton looks for before a rule's exact\n"
    "expression runs, what that takes by itself, in ns for a KiB of clean text, measured now, and "
    "in\n"
    "bytes of automaton. In one automaton with the others a rule costs much less.\n"
    "\n"
    "  -c, --config FILE  the configuration; the examples of all rules are run\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit codes: 0 fine, 64 usage, 78 the configuration or a rule is wrong.\n";

static int list(const struct ruleset *rules)
{
	printf("%-40s %-16s %-12s %s\n", "rule", "pack", "mask", "description");
	for (uint32_t i = 0; i < ruleset_rules(rules); i++) {
		const struct rule *r = ruleset_rule(rules, i);
		printf("%-40s %-16s %-12s %s\n", r->id, r->pack, MASK_NAMES[ruleset_mask(rules, i)],
		       r->description);
	}
	return EX_OK;
}

static int cost(const struct ruleset *rules)
{
	printf("%-40s %9s %9s  %s\n", "rule", "ns/KiB", "bytes", "looks for");
	for (uint32_t i = 0; i < ruleset_rules(rules); i++) {
		struct rule_cost c;
		if (ruleset_cost(rules, i, &c) != 0)
			return EX_OSERR;
		printf("%-40s %9.1f %9u  %s\n", ruleset_id(rules, i), c.ns_per_kib,
		       c.automaton_bytes, c.prefilter);
		fflush(stdout);
	}
	return EX_OK;
}

static int with_rules(const char *file, int (*show)(const struct ruleset *rules))
{
	struct conf conf;
	struct ruleset *rules = NULL;
	struct buf findings = {.data = NULL};
	int code = EX_CONFIG, rc = load_configuration(&conf, NULL, file, &findings);
	if (rc == 0) {
		rc = load_rules(&conf, &rules, &findings);
		conf_finish(&conf);
	}
	if (findings.len != 0)
		fprintf(stderr, "%.*s", (int)findings.len, (const char *)findings.data);
	buf_finish(&findings);
	if (rc == 0 && rules != NULL)
		code = show(rules);
	else if (rc == 0)
		code = puts("no rules") < 0 ? EX_IOERR : EX_OK;
	ruleset_release(rules);
	return rc < 0 ? EX_OSERR : code;
}

int cli_rules(int argc, char **argv)
{
	static const struct option LONG[] = {{"config", required_argument, NULL, 'c'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};
	const char *file = NULL;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", LONG, NULL)) != -1) {
		if (c == 'h') {
			fputs(HELP, stdout);
			return EX_OK;
		}
		if (c != 'c')
			return EX_USAGE;
		file = optarg;
	}
	const char *what = optind < argc ? argv[optind] : "";
	if (optind + 1 == argc && strcmp(what, "list") == 0)
		return with_rules(file, list);
	if (optind + 1 == argc && strcmp(what, "cost") == 0)
		return with_rules(file, cost);
	fputs(HELP, stderr);
	return EX_USAGE;
}

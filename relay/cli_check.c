/* SPDX-License-Identifier: Apache-2.0
 * spanrelay check: everything that is wrong with a configuration, at once. */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "redaction/ruleset.h"
#include "relay/certificates.h"
#include "relay/cli.h"
#include "relay/load.h"

static const char HELP[] = "Usage: spanrelay check [-c FILE]\n"
			   "\n"
			   "Reads a configuration as `run` would, with the environment of this "
			   "shell, and names everything\n"
			   "that is wrong with it, one `file:line:column: ...` a line. Starts and "
			   "changes nothing. Without\n"
			   "FILE: the defaults, and the exporter that the environment asks for.\n"
			   "\n"
			   "  -c, --config FILE  the configuration; the word itself will do too\n"
			   "  -h, --help         this text\n"
			   "\n"
			   "Exit codes: 0 fine (there may be warnings), 64 usage, 78 wrong.\n";

static const char *name_of(const char *file)
{
	return file != NULL ? file : "defaults";
}

static int check(const char *file)
{
	struct conf conf;
	struct buf findings = {.data = NULL};
	struct ruleset *rules = NULL;
	struct certificates certificates = {.conf = NULL};
	int rc = load_configuration(&conf, NULL, file, &findings);
	if (rc == 0 &&
	    ((rc = certificates_load(&certificates, &conf, name_of(file), &findings)) != 0 ||
	     (rc = load_rules(&conf, &rules, &findings)) != 0)) {
		certificates_release(&certificates);
		conf_finish(&conf);
	}
	if (findings.len != 0)
		fprintf(stderr, "%.*s", (int)findings.len, (const char *)findings.data);
	buf_finish(&findings);
	if (rc < 0)
		return EX_OSERR;
	if (rc != 0)
		return EX_CONFIG;
	for (size_t i = 0; i < conf.n_exporters; i++) {
		const struct conf_exporter *e = &conf.exporters[i];
		printf("exporter %s: %s, chosen by %s\n", e->name,
		       *e->endpoint != '\0' ? e->endpoint : "the terminal", e->chosen_by);
	}
	for (size_t i = 0; i < conf.sampling.n_rules; i++)
		printf("rule %zu %s%s%s\n", i, conf.sampling.rules[i].name,
		       conf.sampling.rules[i].budget_index == CONF_NO_BUDGET ? "" : ", budget ",
		       conf.sampling.rules[i].budget_index == CONF_NO_BUDGET
			   ? ""
			   : conf.budgets[conf.sampling.rules[i].budget_index].name);
	if (rules != NULL)
		printf("redaction: %u rules\n", ruleset_rules(rules));
	printf("%s: fine\n", name_of(file));
	ruleset_release(rules);
	certificates_release(&certificates);
	conf_finish(&conf);
	return EX_OK;
}

int cli_check(int argc, char **argv)
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
	if (file == NULL && optind < argc)
		file = argv[optind++];
	if (optind != argc) {
		fprintf(stderr, "spanrelay check: one file at a time\n");
		return EX_USAGE;
	}
	return check(file);
}

/* SPDX-License-Identifier: Apache-2.0
 * spanrelay run: the keeper, or, when a keeper started us, a worker. */
#include <getopt.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/environment.h"
#include "pipeline/policy.h"
#include "redaction/ruleset.h"
#include "relay/certificates.h"
#include "relay/cli.h"
#include "relay/load.h"
#include "relay/worker.h"

static const char HELP[] =
    "Usage: spanrelay run [-c FILE] [--discard]\n"
    "\n"
    "Receives spans, writes them to disk, answers, and forwards them. Without FILE: listeners on\n"
    "127.0.0.1:4317 (gRPC) and 127.0.0.1:4318 (HTTP), data in ./spanrelay-data, and an exporter\n"
    "chosen from the environment (OTEL_EXPORTER_OTLP_*, a Lightstep token), else the terminal.\n"
    "\n"
    "  -c, --config FILE  the configuration; `spanrelay options` explains it\n"
    "      --discard      answer and throw away: for measuring only\n"
    "  -h, --help         this text\n"
    "\n"
    "Signals: SIGTERM or SIGINT stops in good order, a second one at once; SIGHUP reads files "
    "with\n"
    "tokens again; SIGUSR2 upgrades to the program file as it is now. Exit codes: 0 stopped, 64 "
    "usage, 69 a port is taken, 73 the data\n"
    "folder cannot be written, 74 the journal cannot be read, 75 another process uses the data, 77 "
    "no\n"
    "permission, 78 the configuration is wrong.\n";

struct loaded {
	struct conf conf;
	struct policy *policy;
	struct ruleset *rules;
	struct certificates certificates;
};

static void unload(struct loaded *l)
{
	certificates_release(&l->certificates);
	ruleset_release(l->rules);
	policy_destroy(l->policy);
	conf_finish(&l->conf);
}

/* The keeper leaves certificates and rules of redaction to its worker, which ends with the same
 * code. */
static int load(struct loaded *l, const char *file, bool is_worker)
{
	struct conf *conf = &l->conf;
	struct buf findings = {0};
	int rc = load_configuration(conf, is_worker ? &l->policy : NULL, file, &findings);
	if (rc == 0 && is_worker) {
		findings.len = 0; /* the keeper has said that */
		rc = certificates_load(&l->certificates, conf, file != NULL ? file : "defaults",
				       &findings);
		if (rc == 0)
			rc = load_rules(conf, &l->rules, &findings);
		if (rc != 0)
			unload(l);
	}
	if (findings.len != 0)
		fprintf(stderr, "%.*s", (int)findings.len, (char *)findings.data);
	buf_finish(&findings);
	if (rc == 0)
		log_setup((enum log_level)conf->log.level, conf->log.json);
	else if (!is_worker)
		fprintf(stderr, "spanrelay: the configuration is wrong; nothing was started\n");
	return rc;
}

static int run(char **argv, const char *file, bool discard)
{
	struct worker_birth birth;
	struct loaded l = {.policy = NULL};
	bool is_worker = worker_birth_read(&birth);
	if (load(&l, file, is_worker) != 0)
		return EX_CONFIG;
	if (environment_wipe() != 0)
		return EX_OSERR;
	int code = is_worker
		       ? worker_run(&l.conf, l.policy, l.rules, &l.certificates, &birth, discard)
		       : keeper_run(&l.conf, argv);
	unload(&l);
	return code;
}

int cli_run(int argc, char **argv)
{
	static const struct option OPTIONS[] = {{"config", required_argument, NULL, 'c'},
						{"discard", no_argument, NULL, 'd'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	const char *file = NULL;
	bool discard = false;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", OPTIONS, NULL)) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'd':
			discard = true;
			break;
		case 'h':
			fputs(HELP, stdout);
			return EX_OK;
		default:
			return EX_USAGE;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "spanrelay run: unexpected argument: %s\n", argv[optind]);
		return EX_USAGE;
	}
	return run(argv - 1, file, discard);
}

/* SPDX-License-Identifier: Apache-2.0
 * spanrelay run: the keeper, or, when a keeper started us, a worker. */
#include <getopt.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/environment.h"
#include "relay/certificates.h"
#include "relay/cli.h"
#include "relay/load.h"
#include "relay/worker.h"
#include "relay/world.h"

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
    "Signals: SIGTERM or SIGINT stops in good order, a second one at once; SIGHUP reads FILE "
    "again\n"
    "(see `spanrelay reload`); SIGUSR2 upgrades to the program file as it is now. Exit codes: 0 "
    "stopped, 64 usage, 69 a port is taken, 73 the data\n"
    "folder cannot be written, 74 the journal cannot be read, 75 another process uses the data, 77 "
    "no\n"
    "permission, 78 the configuration is wrong.\n";

static int finish(int rc, bool say, struct buf *findings)
{
	if (findings->len != 0 && (say || rc != 0))
		fprintf(stderr, "%.*s", (int)findings->len, (char *)findings->data);
	buf_finish(findings);
	return rc != 0 ? EX_CONFIG : EX_OK;
}

static int run_worker(const char *file, const struct worker_birth *birth, bool discard)
{
	struct buf findings = {.data = NULL};
	struct certificates certificates = {.conf = NULL};
	struct world *world = NULL;
	int code = finish(world_load(&world, file, &findings), false, &findings); /* said before */
	if (code != EX_OK)
		return code;
	findings = (struct buf){.data = NULL};
	code = finish(certificates_load(&certificates, &world->conf,
					file != NULL ? file : "defaults", &findings),
		      true, &findings);
	log_setup((enum log_level)world->conf.log.level, world->conf.log.json);
	if (code == EX_OK && environment_wipe() != 0)
		code = EX_OSERR;
	if (code == EX_OK)
		code = worker_run(world, &certificates, file, birth, discard);
	certificates_release(&certificates);
	world_destroy(world, NULL);
	return code;
}

/* It leaves certificates and rules of redaction to its worker, which ends with the same code. */
static int run_keeper(char **argv, const char *file)
{
	struct buf findings = {.data = NULL};
	struct conf conf;
	int code = finish(load_configuration(&conf, NULL, file, &findings), true, &findings);
	if (code != EX_OK) {
		fprintf(stderr, "spanrelay: the configuration is wrong; nothing was started\n");
		return code;
	}
	log_setup((enum log_level)conf.log.level, conf.log.json);
	code = environment_wipe() == 0 ? keeper_run(&conf, argv) : EX_OSERR;
	conf_finish(&conf);
	return code;
}

static int run(char **argv, const char *file, bool discard)
{
	struct worker_birth birth;
	if (worker_birth_read(&birth))
		return run_worker(file, &birth, discard);
	return run_keeper(argv, file);
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

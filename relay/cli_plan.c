/* SPDX-License-Identifier: Apache-2.0
 * spanrelay plan: what other rules and budgets would do to the recorded traffic of the last hour,
 * in spans, bytes and money, before they are deployed. Reads the recording from the data folder
 * itself, beside a running relay or without one, and changes nothing. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "pipeline/plan.h"
#include "relay/cli.h"
#include "relay/load.h"
#include "relay/plan_text.h"
#include "relay/recent.h"
#include "storage/survey.h"

static const char HELP[] =
    "Usage: spanrelay plan -c FILE [OPTIONS]\n"
    "\n"
    "What the rules and budgets of FILE would do to the traffic of about the last hour, which the\n"
    "relay records (sampling.recent): spans, bytes and money by rule, now and as planned, what\n"
    "budgets would cut, and what would newly be kept or dropped. Nothing is changed, and no relay\n"
    "needs to run.\n"
    "\n"
    "  -c, --config FILE                 the configuration to try\n"
    "      --data-dir DIR                data folder of the relay that recorded; FILE's where it\n"
    "                                    is not given\n"
    "      --from DIR                    a recording that was copied: its folder `recent`\n"
    "      --price-per-million-spans X   shows money, in whatever currency X is in\n"
    "      --price-per-gb X              likewise; both may be given, and are added up\n"
    "      --json                        the same for programs\n"
    "  -h, --help                        this text\n"
    "\n"
    "Exit codes: 0 done, 64 usage, 65 the recording is damaged, 66 nothing is recorded, 71 no\n"
    "memory, 74 the recording cannot be read, 78 FILE is wrong.\n";

struct plan_command {
	const char *config, *data_dir, *from;
	struct plan_prices prices;
	bool json;
	struct conf conf;
	struct policy *policy;
	struct plan *plan;
	struct codec *codec;
	struct buf part;
	uint64_t damaged;
};

/* ---- the command line ---- */

static bool read_price(const char *option, const char *text, double *out)
{
	char *end;
	*out = strtod(text, &end);
	if (end != text && *end == '\0' && isfinite(*out) && *out >= 0)
		return true;
	fprintf(stderr, "spanrelay plan: %s wants a number such as 0.3\n", option);
	return false;
}

static bool take(struct plan_command *c, int option, int *code)
{
	switch (option) {
	case 'c':
		c->config = optarg;
		return true;
	case 'd':
		c->data_dir = optarg;
		return true;
	case 'f':
		c->from = optarg;
		return true;
	case 'j':
		c->json = true;
		return true;
	case 's':
		return read_price("--price-per-million-spans", optarg, &c->prices.million_spans);
	case 'g':
		return read_price("--price-per-gb", optarg, &c->prices.gb);
	case 'h':
		fputs(HELP, stdout);
		*code = EX_OK;
		return false;
	default:
		return false;
	}
}

static bool read_line(struct plan_command *c, int argc, char **argv, int *code)
{
	static const struct option LONG[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"data-dir", required_argument, NULL, 'd'},
	    {"from", required_argument, NULL, 'f'},
	    {"json", no_argument, NULL, 'j'},
	    {"price-per-million-spans", required_argument, NULL, 's'},
	    {"price-per-gb", required_argument, NULL, 'g'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	int option;
	*code = EX_USAGE;
	while ((option = getopt_long(argc, argv, "c:h", LONG, NULL)) != -1)
		if (!take(c, option, code))
			return false;
	if (optind < argc)
		fprintf(stderr, "spanrelay plan: unexpected argument: %s\n", argv[optind]);
	else if (c->config == NULL)
		fprintf(stderr, "spanrelay plan: wanted the configuration to try: -c FILE\n");
	else if (c->from != NULL && c->data_dir != NULL)
		fprintf(stderr, "spanrelay plan: --from and --data-dir: one of them, please\n");
	else
		return true;
	return false;
}

static int load(struct plan_command *c)
{
	struct buf findings = {.data = NULL};
	int rc = load_configuration(&c->conf, &c->policy, c->config, &findings);
	fprintf(stderr, "%.*s", (int)findings.len,
		findings.len != 0 ? (const char *)findings.data : "");
	buf_finish(&findings);
	return rc == 0 ? EX_OK : rc < 0 ? EX_OSERR : EX_CONFIG;
}

/* ---- the recording ---- */

static int on_parcel(void *ctx, const struct parcel *p)
{
	struct plan_command *c = ctx;
	struct part_view v;
	c->part.len = 0;
	int rc = codec_decompress(c->codec, p->coding, p->body, PARCEL_MAX_BODY, &c->part);
	if (rc == 0)
		rc = part_read(&v, buf_slice(&c->part));
	if (rc == 0)
		rc = plan_add(c->plan, &v);
	c->damaged += rc > 0;
	return rc < 0 ? rc : 0;
}

static int read_recording(struct plan_command *c)
{
	char folder[4096];
	uint64_t damaged = 0;
	const char *dir = c->data_dir != NULL ? c->data_dir : c->conf.data_dir;
	int rc = recent_folder(folder, sizeof(folder), dir);
	if (rc == 0)
		rc = survey_box(c->from != NULL ? NULL : dir, c->from != NULL ? c->from : folder,
				on_parcel, c, &damaged);
	c->damaged += damaged;
	if (rc < 0)
		return rc == -ENOMEM ? EX_OSERR : EX_IOERR;
	if (rc == 0 && plan_report(c->plan)->traces != 0)
		return EX_OK;
	fprintf(stderr,
		"spanrelay plan: nothing is recorded in %s: a relay records traffic where it has "
		"rules or\n"
		"budgets and sampling.recent is not 0, and some seconds after it came\n",
		c->from != NULL ? c->from : folder);
	return EX_NOINPUT;
}

static int run(struct plan_command *c)
{
	int code = load(c);
	if (code != EX_OK)
		return code;
	c->codec = codec_create();
	if (c->codec == NULL || plan_create(&c->plan, c->policy) != 0)
		return EX_OSERR;
	code = read_recording(c);
	if (code != EX_OK)
		return code;
	if (plan_run(c->plan) != 0)
		return EX_OSERR;
	code = c->json ? plan_print_json(plan_report(c->plan), &c->prices)
		       : plan_print_text(plan_report(c->plan), &c->prices);
	if (c->damaged != 0)
		fprintf(stderr, "spanrelay plan: %llu parts of the recording are damaged\n",
			(unsigned long long)c->damaged);
	return code != EX_OK || c->damaged == 0 ? code : EX_DATAERR;
}

int cli_plan(int argc, char **argv)
{
	struct plan_command c = {.prices = {-1, -1}};
	int code;
	if (!read_line(&c, argc, argv, &code))
		return code;
	code = run(&c);
	plan_destroy(c.plan);
	codec_destroy(c.codec);
	policy_destroy(c.policy);
	conf_finish(&c.conf);
	buf_finish(&c.part);
	return code;
}

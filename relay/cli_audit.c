/* SPDX-License-Identifier: Apache-2.0
 * spanrelay audit: proves that an audit log is as it was written, or shows it. Reads the folder
 * itself, beside a running relay or without one. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "audit/folder.h"
#include "audit/verify.h"
#include "base/hex.h"
#include "conf/audit.h"
#include "conf/conf.h"
#include "relay/audit_show.h"
#include "relay/cli.h"

static const char HELP[] =
    "Usage: spanrelay audit verify [OPTIONS] [--checkpoint SEQ:MAC] [--key-file FILE]...\n"
    "       spanrelay audit show [OPTIONS] [--kind KIND] [--since TIME] [--trace ID] [--json]\n"
    "\n"
    "verify reads every record and every block of decisions, and names the first one that is not\n"
    "as it was written: edited, deleted, inserted, re-chained by somebody without the key, or a\n"
    "torn tail. What was cut off at the end shows against a checkpoint only: a line `audit\n"
    "checkpoint` of the log, or the metric spanrelay_audit_checkpoint_info, kept elsewhere.\n"
    "show prints records, one a line. Both change nothing (docs/audit.md).\n"
    "\n"
    "  -c, --config FILE         the relay's configuration, for its data folder and key\n"
    "      --data-dir DIR        that folder; ./spanrelay-data where neither is given\n"
    "      --key-file FILE       the key; up to eight, where it was changed over time\n"
    "      --checkpoint SEQ:MAC  the log must reach that record, with that mac; its first 16\n"
    "                            digits will do\n"
    "      --kind KIND           records of this kind only: start, credential, drop, ...\n"
    "      --since TIME          not older: 2h, or 2026-01-01T00:00:00.000Z\n"
    "      --trace ID            what was decided about this trace, out of the packed decisions\n"
    "      --json                the records as they are\n"
    "  -h, --help                this text\n"
    "\n"
    "Exit codes: 0 whole or shown, 1 damaged, 64 usage, 66 there is no audit log, 74 it cannot be\n"
    "read, 78 wrong FILE.\n";

enum { DAMAGED = 1, TORN_TRIES = 5, TORN_WAIT_MS = 50 };

struct audit_command {
	char *data_dir; /* ours */
	struct secret *keys[AUDIT_KEYS];
	size_t n_keys;
	struct audit_checkpoint checkpoint;
	struct audit_wanted wanted;
	const char *verb;
};

/* ---- the command line ---- */

static bool add_key(struct audit_command *c, const char *path)
{
	if (c->n_keys == AUDIT_KEYS) {
		fprintf(stderr, "spanrelay audit: at most %d keys\n", AUDIT_KEYS);
		return false;
	}
	const char *wrong = audit_key_read(path, true, &c->keys[c->n_keys]);
	if (wrong != NULL)
		fprintf(stderr, "spanrelay audit: %s: %s\n", path, wrong);
	c->n_keys += wrong == NULL;
	return wrong == NULL;
}

static bool read_conf(struct audit_command *c, const char *file)
{
	struct conf conf;
	struct buf findings = {.data = NULL};
	bool found = conf_load(&conf, file, &findings) == 0;
	if (!found)
		fprintf(stderr, "%.*s", (int)findings.len,
			findings.data != NULL ? (const char *)findings.data : "");
	buf_finish(&findings);
	if (!found)
		return false;
	free(c->data_dir);
	c->data_dir = strdup(conf.data_dir);
	if (conf.audit.key != NULL && c->n_keys < AUDIT_KEYS)
		c->keys[c->n_keys++] = secret_share(conf.audit.key);
	conf_finish(&conf);
	return c->data_dir != NULL;
}

static bool complain(const char *what)
{
	fprintf(stderr, "spanrelay audit: %s\n", what);
	return false;
}

static bool take(struct audit_command *c, int option, int *code)
{
	*code = EX_USAGE;
	switch (option) {
	case 'c':
		*code = EX_CONFIG;
		return read_conf(c, optarg);
	case 'd':
		free(c->data_dir);
		c->data_dir = strdup(optarg);
		return c->data_dir != NULL;
	case 'f':
		*code = EX_CONFIG;
		return add_key(c, optarg);
	case 'p':
		return audit_checkpoint_read(optarg, &c->checkpoint) ||
		       complain("--checkpoint wants SEQ:MAC, 16 to 64 hexadecimal digits");
	case 'k':
		return audit_want_kind(&c->wanted, optarg) || complain("no such kind of record");
	case 's':
		return audit_want_since(&c->wanted, optarg) ||
		       complain("--since wants 2h, or 2026-01-01T00:00:00.000Z");
	case 't':
		return audit_want_trace(&c->wanted, optarg) ||
		       complain("--trace wants 32 hexadecimal digits");
	case 'j':
		c->wanted.json = true;
		return true;
	case 'h':
		fputs(HELP, stdout);
		*code = EX_OK;
		return false;
	default:
		return false;
	}
}

static bool read_line(struct audit_command *c, int argc, char **argv, int *code)
{
	static const struct option LONG[] = {{"config", required_argument, NULL, 'c'},
					     {"data-dir", required_argument, NULL, 'd'},
					     {"key-file", required_argument, NULL, 'f'},
					     {"checkpoint", required_argument, NULL, 'p'},
					     {"kind", required_argument, NULL, 'k'},
					     {"since", required_argument, NULL, 's'},
					     {"trace", required_argument, NULL, 't'},
					     {"json", no_argument, NULL, 'j'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};
	int option;
	while ((option = getopt_long(argc, argv, "c:h", LONG, NULL)) != -1)
		if (!take(c, option, code))
			return false;
	*code = EX_USAGE;
	c->verb = optind < argc ? argv[optind++] : "";
	if (optind < argc || (strcmp(c->verb, "verify") != 0 && strcmp(c->verb, "show") != 0))
		return complain("wanted `verify` or `show`, and no more; see --help");
	return true;
}

/* ---- verify ---- */

static int unreadable(const char *folder, int rc)
{
	fprintf(stderr, "spanrelay audit: %s: %s\n", folder, strerrordesc_np(-rc));
	return rc == -ENOENT || rc == -ENOTDIR ? EX_NOINPUT : EX_IOERR;
}

/* Everything once. 0, or a negative errno. */
static int verify_all(const char *folder, struct audit_verifier *v)
{
	int rc = 0;
	for (int kind = 0; rc == 0 && kind < AUDIT_FILE_KINDS; kind++) {
		struct audit_files l;
		char path[AUDIT_PATH];
		rc = audit_list(&l, folder, (enum audit_file_kind)kind);
		for (size_t i = 0; rc == 0 && i < l.n && v->damage == AUDIT_WHOLE; i++) {
			struct buf bytes = {.data = NULL};
			rc = audit_path(path, folder, (enum audit_file_kind)kind, l.files[i].first);
			if (rc == 0)
				rc = audit_read_file(path, &bytes);
			if (rc == 0 && kind == AUDIT_CHAIN_FILE)
				audit_verify_chain(v, buf_slice(&bytes), i + 1 == l.n);
			else if (rc == 0)
				audit_verify_blocks(v, buf_slice(&bytes));
			buf_finish(&bytes);
		}
		if (rc == 0 && kind == AUDIT_CHAIN_FILE)
			audit_verify_chain_end(v);
		else if (rc == 0)
			audit_verify_blocks_end(v);
		audit_list_finish(&l);
	}
	return rc;
}

static void begin(struct audit_verifier *v, const struct audit_command *c)
{
	*v = (struct audit_verifier){.checkpoint = c->checkpoint, .n_keys = c->n_keys};
	for (size_t i = 0; i < c->n_keys; i++)
		v->keys[i] = secret_reveal(c->keys[i]);
}

static int print_verdict(const struct audit_command *c, const struct audit_verifier *v)
{
	char mac[2 * AUDIT_MAC + 1], key_id[AUDIT_KEY_ID];
	hex_print(v->head.mac, AUDIT_MAC, mac);
	if (v->damage != AUDIT_WHOLE) {
		printf("DAMAGED at record %" PRIu64 ": %s\n", v->seq,
		       AUDIT_DAMAGE_NAMES[v->damage]);
		if (v->first != 0)
			printf("  before it, records %" PRIu64 " to %" PRIu64 " are as written\n",
			       v->first, v->head.seq);
		return DAMAGED;
	}
	printf("whole: records %" PRIu64 " to %" PRIu64 ", %" PRIu64 " decisions in %" PRIu64
	       " blocks\n",
	       v->first, v->head.seq, v->decisions, v->blocks);
	printf("  head %" PRIu64 ":%s\n", v->head.seq, mac);
	if (v->n_keys != 0) {
		audit_key_id(v->keys[v->key], key_id);
		printf("  signed with key %s\n", key_id);
	} else {
		printf("  without a key: it does not show if somebody made all of it anew\n");
	}
	if (c->checkpoint.seq == 0)
		printf("  without a checkpoint: it does not show if its end was cut off\n");
	else if (!v->met_checkpoint)
		printf("  the checkpoint is older than what is kept\n");
	if (v->unanchored != 0)
		printf("  %" PRIu64 " blocks of decisions are not in the chain yet\n",
		       v->unanchored);
	return EX_OK;
}

/* What looks torn may be a record that a running relay writes just now. */
static int verify(const struct audit_command *c, const char *folder)
{
	struct audit_verifier v;
	int rc, code;
	for (int tries = 0;; tries++) {
		begin(&v, c);
		rc = verify_all(folder, &v);
		if (v.damage != AUDIT_TORN || tries == TORN_TRIES)
			break;
		audit_verify_finish(&v);
		poll(NULL, 0, TORN_WAIT_MS);
	}
	if (rc != 0)
		code = unreadable(folder, rc);
	else if (v.damage == AUDIT_WHOLE && v.head.seq == 0)
		code = unreadable(folder, -ENOENT);
	else
		code = print_verdict(c, &v);
	audit_verify_finish(&v);
	return code;
}

static int run(const struct audit_command *c)
{
	char folder[AUDIT_PATH];
	const char *dir = c->data_dir != NULL ? c->data_dir : "./spanrelay-data";
	if (audit_folder(folder, dir) != 0) {
		complain("the folder's name is too long");
		return EX_USAGE;
	}
	if (strcmp(c->verb, "verify") == 0)
		return verify(c, folder);
	int rc = audit_show(folder, &c->wanted);
	return rc == 0 ? EX_OK : unreadable(folder, rc);
}

int cli_audit(int argc, char **argv)
{
	struct audit_command c = {.data_dir = NULL};
	int code;
	audit_want_all(&c.wanted);
	if (read_line(&c, argc, argv, &code))
		code = run(&c);
	for (size_t i = 0; i < c.n_keys; i++)
		secret_release(c.keys[i]);
	free(c.data_dir);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0
 * spanrelay credentials: which tokens a running relay uses, how old they are, where they come
 * from. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "relay/ask.h"
#include "relay/cli.h"
#include "relay/words.h"

static const char HELP[] =
    "Usage: spanrelay credentials [-c FILE | --admin ADDRESS] [--json]\n"
    "       spanrelay credentials drop-previous [EXPORTER] [-c FILE | --admin ADDRESS]\n"
    "\n"
    "Shows the credential of each exporter of a running relay: its generation, age, state and\n"
    "source, and the first twelve hex digits of its SHA-256, as `printf %s TOKEN | sha256sum`\n"
    "prints them. Never the token.\n"
    "\n"
    "drop-previous ends the overlap after a change at once: no request goes with the previous\n"
    "token any more. For a token that others know; see docs/credentials.md.\n"
    "\n"
    "      --json           as it stands in /status\n" ASKING_HELP "\n"
    "Exit codes: 0 it answered, 64 usage, 69 nothing answers, 78 wrong FILE.\n";

static void print_sources(const json_t *credential)
{
	const json_t *list = json_object_get(credential, "sources");
	char header[128], source[128], path[128], variable[128];
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);
		bool has_path = json_is_string(json_object_get(o, "path"));
		bool has_variable = json_is_string(json_object_get(o, "variable"));
		printf("  %s: %s%s%s%s%s\n", words_text(o, "header", header),
		       words_text(o, "source", source), has_path ? " " : "",
		       has_path ? words_text(o, "path", path) : "", has_variable ? ", by " : "",
		       has_variable ? words_text(o, "variable", variable) : "");
	}
}

static const char *slot(const json_t *credential, const char *which, char out[160])
{
	const json_t *o = json_object_get(credential, which);
	char fingerprint[128], age[32];
	if (!json_is_object(o))
		return "-";
	snprintf(out, 160, "%.12s (%" PRIu64 ", %s old)", words_text(o, "fingerprint", fingerprint),
		 words_number(o, "generation"), words_duration(words_number(o, "age_s"), age));
	return out;
}

static void print_exporter(const json_t *e)
{
	char name[128], state[128], last[128], current[160], previous[160], a[32], b[32];
	const json_t *c = json_object_get(e, "credential");
	if (!json_is_object(c)) {
		printf("%-16s needs none\n", words_text(e, "name", name));
		return;
	}
	const json_t *refusals = json_object_get(c, "refusals");
	printf(
	    "%-16s %-14s current %s  previous %s  refused %s + %s  last read: %s\n",
	    words_text(e, "name", name), words_text(c, "state", state), slot(c, "current", current),
	    slot(c, "previous", previous), words_grouped(words_number(refusals, "current"), a),
	    words_grouped(words_number(refusals, "previous"), b), words_text(c, "last_read", last));
	print_sources(c);
}

static int print_json(const json_t *exporters)
{
	json_t *all = json_object();
	for (size_t i = 0; i < json_array_size(exporters); i++) {
		const json_t *e = json_array_get(exporters, i);
		json_object_set(all, json_string_value(json_object_get(e, "name")),
				json_object_get(e, "credential"));
	}
	int rc = json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	return rc == 0 ? EX_OK : EX_OSERR;
}

static int show(const struct asking *a)
{
	char why[ASK_WHY];
	int code = EX_OK;
	json_t *status = ask_status(a, &code, why);
	if (status == NULL) {
		fprintf(stderr, "spanrelay credentials: %s\n", why);
		return code;
	}
	const json_t *exporters = json_object_get(status, "exporters");
	if (a->json)
		code = print_json(exporters);
	for (size_t i = 0; !a->json && i < json_array_size(exporters); i++)
		print_exporter(json_array_get(exporters, i));
	json_decref(status);
	return code;
}

static int drop_previous(const struct asking *a, const char *exporter)
{
	char path[160], why[ASK_WHY];
	struct buf body = {.data = NULL};
	snprintf(path, sizeof(path), "/credentials/drop-previous%s%.64s",
		 exporter != NULL ? "?exporter=" : "", exporter != NULL ? exporter : "");
	int code = ask_to(a, path, &body, why);
	buf_finish(&body);
	if (code != 0)
		fprintf(stderr, "spanrelay credentials: %s\n", why);
	return code;
}

int cli_credentials(int argc, char **argv)
{
	struct asking asking;
	const char *exporter = NULL;
	int code;
	bool drop = argc > 1 && strcmp(argv[1], "drop-previous") == 0;
	if (!asking_read(&asking, argc - drop, argv + drop, HELP, drop ? &exporter : NULL, &code))
		return code;
	return drop ? drop_previous(&asking, exporter) : show(&asking);
}

/* SPDX-License-Identifier: Apache-2.0
 * spanrelay reload: has a running relay read its configuration again, and tells what came of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "relay/ask.h"
#include "relay/cli.h"
#include "relay/words.h"

static const char HELP[] =
    "Usage: spanrelay reload [--dry-run] [-c FILE | --admin ADDRESS] [--json]\n"
    "\n"
    "Has a running relay read its configuration file again, and waits until all of it goes by the\n"
    "new one. Connections, open traces, budgets and what is held on disk stay. A faulty file "
    "changes\n"
    "nothing. SIGHUP to the relay does the same; then its log says what came of it.\n"
    "\n"
    "      --dry-run        only tell what would change\n"
    "      --json           as it comes from /reload\n" ASKING_HELP "\n"
    "Exit codes: 0 applied, or nothing to do, 64 usage, 69 nothing answers, 70 it could not be\n"
    "applied (the log says why), 78 the file is faulty.\n";

enum { PATIENCE_S = 120 }; /* an exporter may have to end what is in flight */

static void print_lines(const json_t *answer, const char *key, const char *before, FILE *out)
{
	const json_t *list = json_object_get(answer, key);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		fprintf(out, "%s", before);
		for (; text != NULL && *text != '\0'; text++)
			fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, out);
		fputc('\n', out);
	}
}

static void print_answer(const json_t *answer, const char *result)
{
	bool dry_run = json_is_true(json_object_get(answer, "dry_run"));
	print_lines(answer, "findings", "", stderr);
	if (strcmp(result, "applied") == 0)
		print_lines(answer, "changes", "", stdout);
	print_lines(answer, "needs_restart", "needs a restart: ", stdout);
	if (strcmp(result, "invalid") == 0)
		fprintf(stderr, "spanrelay: the configuration is wrong; nothing was changed\n");
	else if (strcmp(result, "failed") == 0)
		fprintf(stderr, "spanrelay: the reload failed, nothing was changed; the log says "
				"why\n");
	else if (strcmp(result, "unchanged") == 0)
		printf("nothing %s\n", dry_run ? "would change" : "has changed");
	else if (dry_run)
		printf("nothing was done: --dry-run\n");
	else
		printf("applied, generation %llu\n",
		       (unsigned long long)words_number(answer, "generation"));
}

static int print(const struct asking *a, struct buf *body)
{
	json_t *answer = json_loadb((const char *)body->data, body->len, 0, NULL);
	char result[128];
	if (answer == NULL) {
		fprintf(stderr, "spanrelay reload: what answers is no relay\n");
		return EX_UNAVAILABLE;
	}
	words_text(answer, "result", result);
	if (a->json)
		fwrite(body->data, 1, body->len, stdout);
	else
		print_answer(answer, result);
	json_decref(answer);
	if (strcmp(result, "invalid") == 0)
		return EX_CONFIG;
	return strcmp(result, "failed") == 0 ? EX_SOFTWARE : EX_OK;
}

/* Takes the word out of the command line; what is left is for asking_read(). */
static bool take_word(int *argc, char **argv, const char *word)
{
	for (int i = 1; i < *argc; i++)
		if (strcmp(argv[i], word) == 0) {
			memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
			--*argc;
			return true;
		}
	return false;
}

int cli_reload(int argc, char **argv)
{
	struct asking asking;
	struct buf body = {.data = NULL};
	char why[ASK_WHY];
	bool dry_run = take_word(&argc, argv, "--dry-run");
	int code;
	if (!asking_read(&asking, argc, argv, HELP, NULL, &code))
		return code;
	asking.patience_s = PATIENCE_S;
	code = ask_to(&asking, dry_run ? "/reload?dry_run" : "/reload", &body, why);
	if (code == 0)
		code = print(&asking, &body);
	else
		fprintf(stderr, "spanrelay reload: %s\n", why);
	buf_finish(&body);
	return code;
}

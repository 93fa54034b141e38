/* SPDX-License-Identifier: Apache-2.0
 * spanrelay explain: why a trace was kept or dropped, of a running relay. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "relay/ask.h"
#include "relay/cli.h"
#include "relay/words.h"

static const char HELP[] =
    "Usage: spanrelay explain TRACE_ID [-c FILE | --admin ADDRESS] [--json]\n"
    "\n"
    "Tells which rule decided about a trace, which of its spans met it, when and why, and by "
    "which\n"
    "probability. Of traces that are not decided yet: what would be decided now.\n"
    "\n"
    "      --json           as it comes from /explain\n" ASKING_HELP "\n"
    "Exit codes: 0 it is known, 64 usage, 66 the relay does not know the trace, 69 nothing "
    "answers,\n"
    "78 wrong FILE.\n";

static void print_time(const char *what, uint64_t unix_ms)
{
	char text[64];
	time_t s = (time_t)(unix_ms / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	printf("%-12s %s.%03uZ\n", what, text, (unsigned)(unix_ms % 1000));
}

/* The relay says ids in hexadecimal; whatever else answers does not redraw the terminal. */
static const char *id_of(const json_t *id)
{
	const char *text = json_string_value(id);
	return text != NULL && strspn(text, "0123456789abcdef") == strlen(text) ? text : "-";
}

/* "a, b and 3 more spans". */
static void print_met_by(const json_t *o)
{
	const json_t *list = json_object_get(o, "met_by");
	uint64_t spans = words_number(o, "met_by_spans");
	size_t named = json_array_size(list);
	char n[32];
	if (spans == 0)
		return;
	printf("%-12s ", "met by");
	for (size_t i = 0; i < named; i++)
		printf("%s%s",
		       i == 0           ? ""
		       : spans == named ? " and "
					: ", ",
		       id_of(json_array_get(list, i)));
	if (spans > named)
		printf("%s%s %s%s", named != 0 ? " and " : "", words_grouped(spans - named, n),
		       named != 0 ? "more span" : "span", spans - named == 1 ? "" : "s");
	printf("\n");
}

static void print_details(const json_t *o)
{
	char a[128], b[128], n[32], size[32];
	print_met_by(o);
	print_time("first span", words_number(o, "first_unix_ms"));
	if (words_number(o, "decided_unix_ms") != 0)
		print_time("decided", words_number(o, "decided_unix_ms"));
	if (words_number(o, "due_unix_ms") != 0)
		print_time("due", words_number(o, "due_unix_ms"));
	printf("%-12s %s, after %.1f s\n", "because of", words_text(o, "trigger", a),
	       (double)words_number(o, "waited_ms") / 1e3);
	printf("%-12s %s spans, %" PRIu64 " errors, %s, %.3f ms%s\n", "had",
	       words_grouped(words_number(o, "spans"), n), words_number(o, "errors"),
	       words_size(words_number(o, "bytes"), size),
	       json_real_value(json_object_get(o, "duration_ms")),
	       json_is_true(json_object_get(o, "has_root")) ? "" : ", no root");
	printf("%-12s %.6g: randomness %s, threshold %s\n", "probability",
	       json_real_value(json_object_get(o, "probability")), words_text(o, "randomness", a),
	       words_text(o, "threshold", b));
	if (strcmp(words_text(o, "arrived_threshold", a), "00000000000000") != 0)
		printf("%-12s threshold %s\n", "came with", a);
	if (json_is_true(json_object_get(o, "th_erased")))
		printf("%-12s no threshold is written: the probability is not known\n", "");
}

static void print_budgets(const json_t *budgets)
{
	for (size_t i = 0; i < json_array_size(budgets); i++) {
		const json_t *b = json_array_get(budgets, i);
		const json_t *goal = json_object_get(b, "goal");
		char name[128];
		printf("%-12s %s: %.1f spans/s offered now", i == 0 ? "budgets" : "",
		       words_text(b, "name", name), json_real_value(json_object_get(b, "offered")));
		if (json_is_real(goal))
			printf(", goal %.1f, bucket %.0f", json_real_value(goal),
			       json_real_value(json_object_get(b, "level")));
		printf("\n");
	}
}

static void print_explanation(const json_t *o)
{
	char a[128], rule[128];
	const char *state = words_text(o, "state", a);
	bool pending = strcmp(state, "pending") == 0;
	char verdict[128];
	printf("%-12s %s\n", pending ? "would be" : "verdict", words_text(o, "verdict", verdict));
	printf("%-12s %s\n", "rule", words_text(o, "rule", rule));
	if (json_is_string(json_object_get(o, "would_rule")))
		printf("%-12s %s, which is a dry run\n", "first met",
		       words_text(o, "would_rule", a));
	if (json_is_true(json_object_get(o, "details")))
		print_details(o);
	else
		printf("%-12s expired\n", "details");
	print_budgets(json_object_get(o, "budgets_now"));
}

static bool is_unknown(const json_t *o)
{
	char state[128];
	return strcmp(words_text(o, "state", state), "unknown") == 0;
}

int cli_explain(int argc, char **argv)
{
	struct asking asking;
	struct buf body = {.data = NULL};
	char path[64], why[ASK_WHY];
	const char *id = NULL;
	int code;
	if (!asking_read(&asking, argc, argv, HELP, &id, &code))
		return code;
	if (id == NULL || strlen(id) != 32 || strspn(id, "0123456789abcdefABCDEF") != 32) {
		fprintf(stderr, "spanrelay explain: wanted a trace id, 32 hexadecimal digits\n");
		return EX_USAGE;
	}
	snprintf(path, sizeof(path), "/explain/%s", id);
	code = ask(&asking, path, &body, why);
	if (code != 0) {
		fprintf(stderr, "spanrelay explain: %s\n", why);
		buf_finish(&body);
		return code;
	}
	json_t *o = json_loadb((const char *)body.data, body.len, 0, NULL);
	if (asking.json || o == NULL)
		fwrite(body.data, 1, body.len, stdout);
	else if (is_unknown(o))
		fprintf(stderr,
			"spanrelay explain: the relay does not know this trace: it never came, "
			"or is forgotten\n");
	else
		print_explanation(o);
	code = is_unknown(o) ? EX_NOINPUT : EX_OK;
	json_decref(o);
	buf_finish(&body);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0
 * spanrelay status: /status of a running relay, as a page that is read in ten seconds. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "relay/ask.h"
#include "relay/cli.h"
#include "relay/status_sampling.h"
#include "relay/words.h"

static const char HELP[] =
    "Usage: spanrelay status [-c FILE | --admin ADDRESS] [--json]\n"
    "\n"
    "Shows what a running relay is doing.\n"
    "\n"
    "      --json           as it comes from /status\n" ASKING_HELP "\n"
    "Exit codes: 0 it answered, 64 usage, 69 nothing answers, 78 wrong FILE.\n";

static void print_head(const json_t *o)
{
	char a[128], b[128], c[128], up[32];
	bool ready = json_is_true(json_object_get(o, "ready"));
	printf("spanrelay %s  %s%s  up %s  worker %" PRIu64 ", keeper %" PRIu64 "\n",
	       words_text(o, "version", a),
	       ready ? "ready" : "NOT READY: ", ready ? "" : words_text(o, "reason", b),
	       words_duration(words_number(o, "uptime_s"), up), words_number(o, "worker_pid"),
	       words_number(o, "keeper_pid"));
	const json_t *l = json_object_get(o, "listeners");
	printf("listens   gRPC %s  HTTP %s  admin %s\n", words_text(l, "otlp_grpc", a),
	       words_text(l, "otlp_http", b), words_text(l, "admin", c));
}

static void print_configuration(const json_t *o)
{
	const json_t *c = json_object_get(o, "configuration");
	const json_t *reloads = json_object_get(c, "reloads");
	uint64_t since_ms = words_number(c, "unix_ms"), now_ms = clock_wall_ms();
	uint64_t bad = words_number(reloads, "invalid") + words_number(reloads, "failed");
	char age[32], n[32];
	printf("config    generation %" PRIu64 ", for %s", words_number(c, "generation"),
	       words_duration(now_ms > since_ms ? (now_ms - since_ms) / 1000 : 0, age));
	if (bad != 0)
		printf("; %s reloads CHANGED NOTHING, see the log", words_grouped(bad, n));
	printf("\n");
}

static void print_stores(const json_t *o)
{
	char dir[128], a[32], b[32], c[32];
	const json_t *j = json_object_get(o, "journal"), *m = json_object_get(o, "memory");
	const json_t *l = json_object_get(o, "ledger");
	printf("journal   %s of %s in %s blocks, %s\n",
	       words_size(words_number(j, "live_bytes"), a),
	       words_size(words_number(j, "limit_bytes"), b),
	       words_grouped(words_number(j, "blocks"), c), words_text(j, "data_dir", dir));
	if (words_number(j, "bad_blocks") != 0)
		printf("          %s DAMAGED blocks were skipped\n",
		       words_grouped(words_number(j, "bad_blocks"), a));
	printf("disk      %s free\n", words_size(words_number(j, "disk_free_bytes"), a));
	printf("memory    %s, of which %s for clients (limit %s)\n",
	       words_size(words_number(m, "anonymous_bytes"), a),
	       words_size(words_number(m, "charged_bytes"), b),
	       words_size(words_number(m, "limit_bytes"), c));
	printf("spans     received %s = accepted %s + rejected %s\n",
	       words_grouped(words_number(l, "received"), a),
	       words_grouped(words_number(l, "accepted"), b),
	       words_grouped(words_number(l, "rejected"), c));
}

static uint64_t dropped(const json_t *exporter)
{
	uint64_t sum = 0;
	const char *reason;
	json_t *count;
	json_t *reasons = json_object_get(exporter, "dropped");
	json_object_foreach(reasons, reason, count) sum += (uint64_t)json_integer_value(count);
	return sum;
}

static void print_exporter(const json_t *e, uint64_t now_unix_ms)
{
	char name[128], state[128], endpoint[128], n[4][32], next[48] = "-", wait[32];
	uint64_t next_ms = words_number(e, "next_try_unix_ms");
	if (next_ms > now_unix_ms)
		snprintf(next, sizeof(next), "in %s",
			 words_duration((next_ms - now_unix_ms + 999) / 1000, wait));
	words_text(e, "endpoint", endpoint);
	printf("%-16s %-14s %14s %16s %10s %10s %-10s %s\n", words_text(e, "name", name),
	       words_text(e, "state", state), words_grouped(words_number(e, "buffered"), n[0]),
	       words_grouped(words_number(e, "sent"), n[1]),
	       words_grouped(words_number(e, "backend_rejected"), n[2]),
	       words_grouped(dropped(e), n[3]), next,
	       *endpoint != '\0' ? endpoint : words_text(e, "protocol", endpoint));
}

static void print_drops(const json_t *e)
{
	char name[128], n[32];
	const char *reason;
	json_t *count;
	json_t *reasons = json_object_get(e, "dropped");
	json_object_foreach(reasons, reason, count) if (json_integer_value(count) != 0)
	    printf("%s: dropped %s: %s\n", words_text(e, "name", name), reason,
		   words_grouped((uint64_t)json_integer_value(count), n));
}

static void print_exporters(const json_t *o)
{
	const json_t *list = json_object_get(o, "exporters");
	size_t n = json_array_size(list);
	printf("\n%-16s %-14s %14s %16s %10s %10s %-10s %s\n", "EXPORTER", "STATE", "BUFFERED",
	       "SENT", "REJECTED", "DROPPED", "NEXT TRY", "BACKEND");
	for (size_t i = 0; i < n; i++)
		print_exporter(json_array_get(list, i), clock_wall_ms());
	for (size_t i = 0; i < n; i++)
		print_drops(json_array_get(list, i));
}

static int print_raw(const struct asking *a)
{
	struct buf body = {.data = NULL};
	char why[ASK_WHY];
	int code = ask(a, "/status", &body, why);
	if (code == 0)
		fwrite(body.data, 1, body.len, stdout);
	else
		fprintf(stderr, "spanrelay status: %s\n", why);
	buf_finish(&body);
	return code;
}

int cli_status(int argc, char **argv)
{
	struct asking asking;
	char why[ASK_WHY];
	int code;
	if (!asking_read(&asking, argc, argv, HELP, NULL, &code))
		return code;
	if (asking.json)
		return print_raw(&asking);
	json_t *status = ask_status(&asking, &code, why);
	if (status == NULL) {
		fprintf(stderr, "spanrelay status: %s\n", why);
		return code;
	}
	print_head(status);
	print_configuration(status);
	print_stores(status);
	status_print_judged(status);
	status_print_sampling(status);
	print_exporters(status);
	json_decref(status);
	return EX_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * spanrelay status: /status of a running relay, as a page that is read in ten seconds. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "relay/ask.h"
#include "relay/cli.h"

static const char HELP[] =
    "Usage: spanrelay status [-c FILE | --admin ADDRESS] [--json]\n"
    "\n"
    "Shows what a running relay is doing.\n"
    "\n"
    "      --json           as it comes from /status\n" ASKING_HELP "\n"
    "Exit codes: 0 it answered, 64 usage, 69 nothing answers, 78 wrong FILE.\n";

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* Nobody's bytes redraw the terminal. */
static const char *text(const json_t *o, const char *key, char out[128])
{
	const char *s = json_string_value(json_object_get(o, key));
	snprintf(out, 128, "%s", s != NULL ? s : "-");
	for (char *c = out; *c != '\0'; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return out;
}

/* 12,345,678 */
static const char *grouped(uint64_t n, char out[32])
{
	char plain[24];
	int len = snprintf(plain, sizeof(plain), "%" PRIu64, n);
	char *to = out;
	for (int i = 0; i < len; i++) {
		if (i != 0 && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = plain[i];
	}
	*to = '\0';
	return out;
}

static const char *size(uint64_t bytes, char out[32])
{
	static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	unsigned unit = 0;
	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(out, 32, n < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", n, UNITS[unit]);
	return out;
}

/* The two largest units: 3d 4h, 4h 5m, 5m 6s, 6s. */
static const char *duration(uint64_t s, char out[32])
{
	if (s >= 86400)
		snprintf(out, 32, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(out, 32, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(out, 32, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(out, 32, "%" PRIu64 "s", s);
	return out;
}

static void print_head(const json_t *o)
{
	char a[128], b[128], c[128], up[32];
	bool ready = json_is_true(json_object_get(o, "ready"));
	printf("spanrelay %s  %s%s  up %s  worker %" PRIu64 ", keeper %" PRIu64 "\n",
	       text(o, "version", a),
	       ready ? "ready" : "NOT READY: ", ready ? "" : text(o, "reason", b),
	       duration(number(o, "uptime_s"), up), number(o, "worker_pid"),
	       number(o, "keeper_pid"));
	const json_t *l = json_object_get(o, "listeners");
	printf("listens   gRPC %s  HTTP %s  admin %s\n", text(l, "otlp_grpc", a),
	       text(l, "otlp_http", b), text(l, "admin", c));
}

static void print_stores(const json_t *o)
{
	char dir[128], a[32], b[32], c[32];
	const json_t *j = json_object_get(o, "journal"), *m = json_object_get(o, "memory");
	const json_t *l = json_object_get(o, "ledger");
	printf("journal   %s of %s in %s blocks, %s\n", size(number(j, "live_bytes"), a),
	       size(number(j, "limit_bytes"), b), grouped(number(j, "blocks"), c),
	       text(j, "data_dir", dir));
	if (number(j, "bad_blocks") != 0)
		printf("          %s DAMAGED blocks were skipped\n",
		       grouped(number(j, "bad_blocks"), a));
	printf("memory    %s, of which %s for clients (limit %s)\n",
	       size(number(m, "anonymous_bytes"), a), size(number(m, "charged_bytes"), b),
	       size(number(m, "limit_bytes"), c));
	printf("spans     received %s = accepted %s + rejected %s\n",
	       grouped(number(l, "received"), a), grouped(number(l, "accepted"), b),
	       grouped(number(l, "rejected"), c));
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
	uint64_t next_ms = number(e, "next_try_unix_ms");
	if (next_ms > now_unix_ms)
		snprintf(next, sizeof(next), "in %s",
			 duration((next_ms - now_unix_ms + 999) / 1000, wait));
	text(e, "endpoint", endpoint);
	printf("%-16s %-14s %14s %16s %10s %10s %-10s %s\n", text(e, "name", name),
	       text(e, "state", state), grouped(number(e, "buffered"), n[0]),
	       grouped(number(e, "sent"), n[1]), grouped(number(e, "backend_rejected"), n[2]),
	       grouped(dropped(e), n[3]), next,
	       *endpoint != '\0' ? endpoint : text(e, "protocol", endpoint));
}

static void print_drops(const json_t *e)
{
	char name[128], n[32];
	const char *reason;
	json_t *count;
	json_t *reasons = json_object_get(e, "dropped");
	json_object_foreach(reasons, reason, count) if (json_integer_value(count) != 0)
	    printf("%s: dropped %s: %s\n", text(e, "name", name), reason,
		   grouped((uint64_t)json_integer_value(count), n));
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
	if (!asking_read(&asking, argc, argv, HELP, &code))
		return code;
	if (asking.json)
		return print_raw(&asking);
	json_t *status = ask_status(&asking, &code, why);
	if (status == NULL) {
		fprintf(stderr, "spanrelay status: %s\n", why);
		return code;
	}
	print_head(status);
	print_stores(status);
	print_exporters(status);
	json_decref(status);
	return EX_OK;
}

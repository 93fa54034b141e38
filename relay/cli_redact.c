/* SPDX-License-Identifier: Apache-2.0
 * spanrelay redact: what would be masked, and by which rule. The masked text goes to standard
 * output and what was found to standard error; what is found itself goes nowhere. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "redaction/redact.h"
#include "redaction/scan.h"
#include "relay/cli.h"
#include "relay/load.h"
#include "wire/otlp_index.h"
#include "wire/otlp_json.h"

static const char HELP[] =
    "Usage: spanrelay redact [-c FILE] [--key KEY] [--fail] <TEXT\n"
    "\n"
    "Reads standard input: text of any kind, OTLP/JSON, or OTLP (the protobuf of an export "
    "request).\n"
    "Writes it masked to standard output, OTLP/JSON as protobuf, and to standard error what was\n"
    "found, never the secret itself: `line:column: rule, N bytes` for text, counts by rule and\n"
    "position for spans. Text is looked through in pieces of at most 64 KiB, cut at line ends.\n"
    "\n"
    "  -c, --config FILE  the configuration, for its `redaction`; else the defaults\n"
    "      --key KEY      the text is the value of this attribute\n"
    "      --fail         end with 1 where something is found\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit codes: 0 done, 1 found something (--fail), 64 usage, 65 input of more than 64 MiB or "
    "spans\n"
    "that are no OTLP, 78 the configuration or a rule is wrong.\n";

enum { FOUND = 1, INPUT_MOST = 64 << 20, ARENA_BYTES = 64 << 20 };

struct run {
	struct ruleset *rules;
	struct redactor *redactor;
	struct slice key;
	uint64_t found;
};

static int write_out(struct slice bytes)
{
	return fwrite(bytes.data, 1, bytes.len, stdout) == bytes.len ? EX_OK : EX_IOERR;
}

/* ---- text ---- */

/* Where a byte of the input stands; both count from 1, columns in bytes. */
struct spot {
	size_t at, line, line_at;
};

static void go_to(struct spot *s, struct slice text, size_t at)
{
	for (; s->at < at; s->at++)
		if (text.data[s->at] == '\n') {
			s->line++;
			s->line_at = s->at + 1;
		}
}

/* The next piece: up to the last line end that fits, or as much as fits. */
static size_t piece_len(struct slice rest)
{
	if (rest.len <= SCAN_MAX_VALUE)
		return rest.len;
	const uint8_t *end = memrchr(rest.data, '\n', SCAN_MAX_VALUE);
	return end != NULL ? (size_t)(end + 1 - rest.data) : SCAN_MAX_VALUE;
}

static int redact_piece(struct run *run, struct slice all, size_t at, size_t len,
			struct spot *where)
{
	struct slice piece = slice_of(all.data + at, len);
	const struct redact_range *ranges;
	struct buf out = {.data = NULL};
	uint32_t n;
	if (redact_text(run->redactor, run->rules, run->key, piece, &ranges, &n) != 0 ||
	    redact_write(run->rules, piece, ranges, n, &out) != 0) {
		buf_finish(&out);
		return EX_OSERR;
	}
	for (uint32_t i = 0; i < n; i++) {
		go_to(where, all, at + ranges[i].start);
		fprintf(stderr, "%zu:%zu: %s, %zu bytes\n", where->line,
			where->at - where->line_at + 1, ruleset_id(run->rules, ranges[i].number),
			ranges[i].end - ranges[i].start);
	}
	run->found += n;
	int code = write_out(buf_slice(&out));
	buf_finish(&out);
	return code;
}

static int redact_all(struct run *run, struct slice text)
{
	struct spot where = {.line = 1};
	int code = EX_OK;
	for (size_t at = 0, len; code == EX_OK && at < text.len; at += len) {
		len = piece_len(slice_of(text.data + at, text.len - at));
		code = redact_piece(run, text, at, len, &where);
	}
	return code;
}

/* ---- spans ---- */

static void print_counts(struct run *run, const struct redaction_counts *n)
{
	for (uint32_t number = 0; number < ruleset_numbers(run->rules); number++)
		for (unsigned p = 0; p < POSITIONS; p++) {
			uint64_t times = redactor_count(run->redactor, number, (enum position)p);
			if (times != 0)
				fprintf(stderr, "%s in %s: %" PRIu64 "\n",
					ruleset_id(run->rules, number), POSITION_NAMES[p], times);
		}
	fprintf(stderr,
		"%" PRIu64 " spans changed, %" PRIu64 " bytes masked, %" PRIu64
		" unknown fields removed\n",
		n->spans, n->masked_bytes, n->unknown_fields);
	run->found += n->hits;
}

/* Vets it as a relay would. Gives whether it is an export request; its edits are applied. */
static bool vet(struct buf *request)
{
	struct index_limits limits = INDEX_LIMITS;
	struct otlp_index ix;
	struct arena arena;
	limits.spans = UINT32_MAX;
	arena_init(&arena, ARENA_BYTES);
	bool good =
	    otlp_index(&ix, buf_slice(request), &limits, &arena) == INDEX_OK && ix.spans != 0;
	if (good && ix.edits != NULL) {
		struct buf edited = {.data = NULL};
		good = buf_reserve(&edited, ix.edited_size + 1) == 0;
		if (good) {
			otlp_edit(&ix, buf_slice(request), edited.data);
			edited.len = ix.edited_size;
			buf_finish(request);
			*request = edited;
		}
	}
	arena_finish(&arena);
	return good;
}

static int redact_spans(struct run *run, struct buf *request)
{
	struct redaction_counts n = {0};
	if (redact_request(run->redactor, run->rules, request, INPUT_MOST * (size_t)2, &n) != 0)
		return EX_OSERR;
	print_counts(run, &n);
	return write_out(buf_slice(request));
}

static bool looks_like_json(struct slice text)
{
	size_t i = 0;
	while (i < text.len && strchr(" \t\r\n", text.data[i]) != NULL && text.data[i] != '\0')
		i++;
	struct slice rest = slice_of(text.data + i, text.len - i < 256 ? text.len - i : 256);
	return rest.len != 0 && rest.data[0] == '{' &&
	       (slice_contains(rest, slice_str("\"resourceSpans\"")) ||
		slice_contains(rest, slice_str("\"resource_spans\"")));
}

static int redact_input(struct run *run, struct buf *input)
{
	struct buf request = {.data = NULL};
	const char *why;
	int code;
	if (looks_like_json(buf_slice(input))) {
		code = EX_DATAERR;
		if (otlp_json(buf_slice(input), &request, &why) != INDEX_OK)
			fprintf(stderr, "spanrelay redact: no OTLP/JSON: %s\n", why);
		else if (!vet(&request))
			fprintf(stderr, "spanrelay redact: OTLP/JSON without a good span\n");
		else
			code = redact_spans(run, &request);
		buf_finish(&request);
		return code;
	}
	bool is_otlp = input->len != 0 && input->data[0] == 0x0a && run->key.len == 0 && vet(input);
	return is_otlp ? redact_spans(run, input) : redact_all(run, buf_slice(input));
}

static int read_input(struct buf *input)
{
	ssize_t n = 1;
	while (n > 0 && input->len <= INPUT_MOST) {
		if (buf_reserve(input, 1 << 16) != 0)
			return EX_OSERR;
		n = read(STDIN_FILENO, input->data + input->len, 1 << 16);
		if (n > 0)
			input->len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n < 0) {
		fprintf(stderr, "spanrelay redact: standard input: %s\n", strerror(errno));
		return EX_IOERR;
	}
	if (input->len > INPUT_MOST) {
		fprintf(stderr, "spanrelay redact: more than 64 MiB\n");
		return EX_DATAERR;
	}
	return EX_OK;
}

static int redact(const char *file, const char *key, bool fail)
{
	struct run run = {.key = slice_str(key)};
	struct conf conf;
	struct buf findings = {.data = NULL}, input = {.data = NULL};
	int code = EX_CONFIG, rc = load_configuration(&conf, NULL, file, &findings);
	if (rc == 0) {
		rc = load_rules(&conf, &run.rules, &findings);
		conf_finish(&conf);
	}
	if (findings.len != 0)
		fprintf(stderr, "%.*s", (int)findings.len, (const char *)findings.data);
	buf_finish(&findings);
	if (rc == 0)
		code = read_input(&input);
	if (rc == 0 && code == EX_OK) {
		run.redactor = redactor_create();
		if (run.rules == NULL)
			code = write_out(buf_slice(&input));
		else
			code = run.redactor != NULL ? redact_input(&run, &input) : EX_OSERR;
	}
	if (fflush(stdout) != 0 && code == EX_OK)
		code = EX_IOERR;
	redactor_destroy(run.redactor);
	ruleset_release(run.rules);
	buf_finish(&input);
	return code == EX_OK && fail && run.found != 0 ? FOUND : code;
}

int cli_redact(int argc, char **argv)
{
	static const struct option LONG[] = {{"config", required_argument, NULL, 'c'},
					     {"key", required_argument, NULL, 'k'},
					     {"fail", no_argument, NULL, 'f'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};
	const char *file = NULL, *key = "";
	bool fail = false;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", LONG, NULL)) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 'f':
			fail = true;
			break;
		case 'h':
			fputs(HELP, stdout);
			return EX_OK;
		default:
			return EX_USAGE;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "spanrelay redact: unexpected argument: %s\n", argv[optind]);
		return EX_USAGE;
	}
	return redact(file, key, fail);
}

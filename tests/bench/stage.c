/* SPDX-License-Identifier: Apache-2.0
 * What redaction costs a span by its parts, on the requests of tests/bench/corpus.h with the
 * default packs; then what a byte costs in requests that are made to be slow, at 1, 2 and 4 MiB.
 * Usage: stage [parts|slow]. Times are of this thread, the least of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "redaction/decode.h"
#include "redaction/search.h"
#include "tests/bench/corpus.h"
#include "tests/unit/otlp_sample.h"

enum { REQUESTS = 64, SPANS = 300, ROUNDS = 25, SLOW_ROUNDS = 9, VALUE_BYTES = 60000 };

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "stage: %s\n", what);
	exit(1);
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static struct ruleset *make_rules(void)
{
	char *names[16];
	struct conf_redaction conf = {.file = "bench", .packs = {.names = names}};
	struct ruleset *set = NULL;
	struct buf findings = {.data = NULL};
	for (uint32_t i = 0; i < N_PACKS && conf.packs.n < 16; i++)
		if (PACKS[i].by_default)
			names[conf.packs.n++] = strdup(PACKS[i].name);
	need(ruleset_build(&set, &conf, &findings) == 0, "the rules are faulty");
	for (size_t i = 0; i < conf.packs.n; i++)
		free(names[i]);
	buf_finish(&findings);
	return set;
}

/* ---- by parts ---- */

enum part { HARVEST, HINTS, SEARCH, WHOLE, PARTS };
static const char *const PART_NAMES[PARTS] = {"harvest", "hints", "scan", "whole stage"};

struct lap {
	uint64_t last, spent[PARTS];
};

static void lap(struct lap *l, enum part part)
{
	uint64_t now = cpu_ns();
	l->spent[part] += now - l->last;
	l->last = now;
}

struct stage {
	struct ruleset *set;
	struct scanner *scanner;
	struct harvest harvest;
	struct search search;
	struct redactor *redactor;
};

/* As the index leaves it for the redactor: in the cache. */
static void read_all(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i += 64)
		(void)*(const volatile uint8_t *)(b->data + i);
}

static void one_request(struct stage *s, struct sample *sample, struct lap *l)
{
	struct redaction_counts counts;
	read_all(&sample->message);
	l->last = cpu_ns();
	need(scanner_begin(s->scanner, s->set) == 0 &&
		 harvest_request(&s->harvest, &sample->message, s->set, s->scanner) == 0,
	     "no memory");
	lap(l, HARVEST);
	need(decode_copies(&s->harvest) == 0, "no memory");
	lap(l, HINTS);
	need(search_run(&s->search, s->scanner, &s->harvest) == 0, "no memory");
	lap(l, SEARCH);
	need(redact_request(s->redactor, s->set, &sample->message, SIZE_MAX, &counts) == 0,
	     "no memory");
	lap(l, WHOLE);
}

static void by_parts(struct stage *s)
{
	struct sample *all = corpus_create(REQUESTS, SPANS, 1, false, true);
	uint64_t best[PARTS], values = 0, bytes = 0, copies = 0;
	need(all != NULL, "no memory");
	memset(best, 0xff, sizeof(best));
	for (int round = 0; round < ROUNDS; round++) {
		struct lap l = {.last = 0};
		values = bytes = copies = 0;
		for (int i = 0; i < REQUESTS; i++) {
			one_request(s, &all[i], &l);
			values += s->harvest.n_spots;
			copies += s->harvest.n_copies;
			bytes += s->harvest.text.len;
		}
		for (int i = 0; i < PARTS; i++)
			best[i] = l.spent[i] < best[i] ? l.spent[i] : best[i];
	}
	double spans = (double)REQUESTS * SPANS;
	printf("%.1f values, %.1f B of text, %.4f copies a span\n", (double)values / spans,
	       (double)bytes / spans, (double)copies / spans);
	for (int i = 0; i < PARTS; i++)
		printf("%-12s %6.1f ns/span\n", PART_NAMES[i], (double)best[i] / spans);
	corpus_destroy(all, REQUESTS);
}

/* ---- made to be slow ---- */

static const struct family {
	const char *name, *again;
} FAMILIES[] = {
    {"clean", "GET /shop/orders/1842 took 12 ms on node seven; "},
    {"percent", "%25"},
    {"double percent", "%2541"},
    {"percent letters", "%41"},
    {"base64 of %41", "JTQxJTQxJTQxJTQx"},
    {"backslashes", "\\\\"},
    {"\\u0041", "\\u0041"},
    {"&amp;", "&amp;"},
    {"pw", "password=a "},
    {"bearer", "Authorization: Bearer "},
    {"unknown", NULL},
};

/* One span with attributes of 60,000 bytes, or with fields that nobody knows. */
static void write_request(struct buf *b, const struct family *f, size_t bytes)
{
	static char text[VALUE_BYTES + 1];
	struct buf span = {.data = NULL};
	b->len = 0;
	pb_span_fields(&span, 1);
	if (f->again != NULL)
		for (size_t i = 0; i < VALUE_BYTES; i++)
			text[i] = f->again[i % strlen(f->again)];
	while (span.len < bytes) {
		if (f->again == NULL) {
			for (int i = 0; i < 1000; i++) {
				pb_int(&span, 19, 1);
				pb_int(&span, 6, 2); /* so that those do not go together */
			}
		} else {
			pb_attribute(&span, 9, "some.key", text);
		}
	}
	struct buf spans = {.data = NULL};
	pb_message(&spans, 2, &span);
	pb_request(b, "slow", &spans);
}

static double a_byte(struct stage *s, const struct buf *request)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < SLOW_ROUNDS; i++) {
		struct buf body = {.data = NULL};
		struct redaction_counts counts;
		need(buf_append(&body, request->data, request->len) == 0, "no memory");
		uint64_t start = cpu_ns();
		need(redact_request(s->redactor, s->set, &body, SIZE_MAX, &counts) == 0,
		     "no memory");
		uint64_t took = cpu_ns() - start;
		best = took < best ? took : best;
		buf_finish(&body);
	}
	return (double)best / (double)request->len;
}

static void slow_ones(struct stage *s)
{
	double clean = 0;
	struct buf request = {.data = NULL};
	for (size_t i = 0; i < sizeof(FAMILIES) / sizeof(FAMILIES[0]); i++) {
		double ns[3];
		for (int k = 0; k < 3; k++) {
			write_request(&request, &FAMILIES[i], (size_t)1 << (20 + k));
			ns[k] = a_byte(s, &request);
		}
		if (i == 0)
			clean = ns[2];
		printf("%-16s %6.2f %6.2f %6.2f ns/B  %5.1f x clean\n", FAMILIES[i].name, ns[0],
		       ns[1], ns[2], ns[2] / clean);
	}
	buf_finish(&request);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct stage s = {
	    .set = make_rules(), .scanner = scanner_create(), .redactor = redactor_create()};
	need(s.scanner != NULL && s.redactor != NULL && harvest_init(&s.harvest) == 0 &&
		 search_init(&s.search) == 0,
	     "no memory");
	s.harvest.numbers = harvest_wants_numbers(s.set);
	if (strcmp(what, "slow") != 0)
		by_parts(&s);
	if (strcmp(what, "parts") != 0)
		slow_ones(&s);
	search_finish(&s.search);
	harvest_finish(&s.harvest);
	scanner_destroy(s.scanner);
	redactor_destroy(s.redactor);
	ruleset_release(s.set);
	return 0;
}

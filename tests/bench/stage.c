/* SPDX-License-Identifier: Apache-2.0
 * What redaction costs a span by its parts, on the requests of tests/bench/corpus.h, with the
 * default packs and with those of personal data too, by turns. Times are of this thread, the least
 * of several rounds. What is made to be slow is in tests/redaction/linear.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "redaction/decode.h"
#include "redaction/search.h"
#include "tests/bench/corpus.h"
#include "tests/unit/otlp_sample.h"

enum { REQUESTS = 64, SPANS = 300, ROUNDS = 25 };

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

static struct ruleset *make_rules(bool personal)
{
	char *names[16];
	struct conf_redaction conf = {.file = "bench", .packs = {.names = names}};
	struct ruleset *set = NULL;
	struct buf findings = {.data = NULL};
	for (uint32_t i = 0; i < N_PACKS && conf.packs.n < 16; i++)
		if (PACKS[i].by_default || (personal && strncmp(PACKS[i].name, "pii-", 4) == 0))
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
	uint64_t hits;   /* of the last one */
	struct buf body; /* the request at hand, to be changed */
};

static void one_request(struct stage *s, struct sample *sample, struct lap *l)
{
	struct redaction_counts counts;
	s->body.len = 0;
	need(buf_append(&s->body, sample->message.data, sample->message.len) == 0, "no memory");
	l->last = cpu_ns();
	need(scanner_begin(s->scanner, s->set) == 0 &&
		 harvest_request(&s->harvest, &s->body, s->set, s->scanner) == 0,
	     "no memory");
	lap(l, HARVEST);
	need(decode_copies(&s->harvest) == 0, "no memory");
	lap(l, HINTS);
	need(search_run(&s->search, s->scanner, &s->harvest) == 0, "no memory");
	lap(l, SEARCH);
	need(redact_request(s->redactor, s->set, &s->body, SIZE_MAX, &counts) == 0, "no memory");
	lap(l, WHOLE);
	s->hits = counts.hits;
}

enum { DEFAULT, PERSONAL, SETS };

static void open_stage(struct stage *s, bool personal)
{
	*s = (struct stage){.set = make_rules(personal),
			    .scanner = scanner_create(),
			    .redactor = redactor_create()};
	need(s->scanner != NULL && s->redactor != NULL && harvest_init(&s->harvest) == 0 &&
		 search_init(&s->search) == 0,
	     "no memory");
	s->harvest.numbers = harvest_wants_numbers(s->set);
}

static void close_stage(struct stage *s)
{
	buf_finish(&s->body);
	search_finish(&s->search);
	harvest_finish(&s->harvest);
	scanner_destroy(s->scanner);
	redactor_destroy(s->redactor);
	ruleset_release(s->set);
}

int main(void)
{
	struct stage stages[SETS];
	uint64_t best[SETS][PARTS], values = 0, bytes = 0, hits[SETS] = {0};
	struct sample *all[SETS];
	for (int k = 0; k < SETS; k++) {
		open_stage(&stages[k], k == PERSONAL);
		all[k] = corpus_create(REQUESTS, SPANS, 1, false, true);
		need(all[k] != NULL, "no memory");
	}
	memset(best, 0xff, sizeof(best));
	for (int k = 0; k < ROUNDS * SETS; k++) {
		struct stage *s = &stages[k % SETS];
		struct lap l = {.last = 0};
		for (int i = 0; i < REQUESTS; i++) {
			one_request(s, &all[k % SETS][i], &l);
			values += s->harvest.n_spots;
			hits[k % SETS] += s->hits;
			bytes += s->harvest.text.len;
		}
		for (int i = 0; i < PARTS; i++)
			if (l.spent[i] < best[k % SETS][i])
				best[k % SETS][i] = l.spent[i];
	}
	double spans = (double)REQUESTS * SPANS, of_all = spans * ROUNDS * SETS;
	printf("%.1f values, %.1f B of text a span; masked in a thousand spans: %.1f, and %.1f\n",
	       (double)values / of_all, (double)bytes / of_all,
	       1000 * SETS * (double)hits[DEFAULT] / of_all,
	       1000 * SETS * (double)hits[PERSONAL] / of_all);
	printf("%-12s %10s %10s\n", "ns/span", "default", "personal");
	for (int i = 0; i < PARTS; i++)
		printf("%-12s %10.1f %10.1f\n", PART_NAMES[i], (double)best[DEFAULT][i] / spans,
		       (double)best[PERSONAL][i] / spans);
	for (int k = 0; k < SETS; k++) {
		close_stage(&stages[k]);
		corpus_destroy(all[k], REQUESTS);
	}
	return 0;
}

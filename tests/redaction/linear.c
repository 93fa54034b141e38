/* SPDX-License-Identifier: Apache-2.0
 * Texts that are made to be slow, with the default rules: for each family the time a byte takes at
 * 1, 2 and 4 MiB, in values of 64 KiB and of 200 bytes, beside text without secrets. Twice the
 * bytes may take 2.3 times as long, and a byte LIMIT times as long as a clean one.
 * Usage: linear [LIMIT]. Ends with `redact-linear: N passed, N failed`. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "redaction/scan.h"

enum { MOST = 4 << 20, SMALL = 200, ROUNDS = 3 };

struct family {
	const char *name, *first, *again; /* what a value begins with; what is repeated */
};

static const struct family FAMILIES[] = {
    {"clean", "", "GET /shop/orders/1842 took 12 ms on node seven; "},
    {"prefixes", "", "ghp_"},
    {"near tokens", "", "ghp_0123456789abcdefghij0123456789abcde "},
    {"keywords", "", "password token secret api_key "},
    {"assignments", "", "password="},
    {"quotes", "", "\"password\":\""},
    {"digits", "", "4111111111111111"},
    {"at signs", "", "a@"},
    {"dots", "", "1.2.3."},
    {"base64", "", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"},
    {"percent", "", "%"},
    {"backslashes", "", "\\"},
    {"nested JSON", "", "{\\\"key\\\":\\\""},
    {"PEM begins", "", "-----BEGIN RSA PRIVATE KEY-----\n"},
    {"JWT begins", "", "eyJhbGciOi."},
    {"URL userinfo", "", "https://a:"},
    {"one long word", "key=", "a"},
    {"blanks", "password", " "},
    {"bearer", "", "Authorization: Bearer "},
    {"many secrets", "", "password=h7Gq2Lw9x "},
};

struct world {
	struct ruleset *set;
	struct scanner *scanner;
	uint8_t *text;
	struct scan_value *values;
	uint32_t n;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "linear: %s\n", what);
	exit(1);
}

static size_t write_values(struct world *w, const struct family *f, size_t bytes, size_t each)
{
	size_t len = 0;
	w->n = 0;
	while (len + each < bytes) {
		size_t at = len, end = len + each, n = strlen(f->first);
		memcpy(w->text + len, f->first, n);
		for (len += n; len < end; len++)
			w->text[len] = (uint8_t)f->again[(len - at - n) % strlen(f->again)];
		w->values[w->n++] =
		    (struct scan_value){.at = (uint32_t)at, .len = (uint32_t)(len - at)};
		w->text[len++] = '\n';
	}
	return len;
}

static double measure(struct world *w, const struct family *f, size_t bytes, size_t each)
{
	size_t len = write_values(w, f, bytes, each);
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < ROUNDS; i++) {
		const struct hit *hits;
		uint32_t n;
		uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		need(scanner_begin(w->scanner, w->set) == 0 &&
			 scan(w->scanner, slice_of(w->text, len), w->values, w->n, &hits, &n) == 0,
		     "no memory");
		uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		best = took < best ? took : best;
	}
	return (double)best / (double)len;
}

/* Whether its time grows as it does, and stays near that of clean text. */
static bool is_linear(struct world *w, const struct family *f, size_t each, double clean,
		      double limit)
{
	double a_byte[3];
	for (int i = 0; i < 3; i++)
		a_byte[i] = measure(w, f, (size_t)MOST >> (2 - i), each);
	bool grows = 2 * a_byte[1] > 2.3 * a_byte[0] || 2 * a_byte[2] > 2.3 * a_byte[1];
	grows = grows && a_byte[2] > clean; /* what is quicker is as quick as the clock is good */
	bool slow = a_byte[2] > limit * clean;
	printf("%-14s %6zu B values  %6.2f %6.2f %6.2f ns/B  %5.1f x clean%s%s\n", f->name, each,
	       a_byte[0], a_byte[1], a_byte[2], a_byte[2] / clean, grows ? "  GROWS" : "",
	       slow ? "  SLOW" : "");
	return !grows && !slow;
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? strtod(argv[1], NULL) : 5;
	static const size_t EACH[] = {SCAN_MAX_VALUE, SMALL};
	char *names[16];
	struct conf_redaction conf = {.file = "linear", .packs = {.names = names}};
	struct buf findings = {.data = NULL};
	struct world w = {.scanner = scanner_create()};
	uint32_t passed = 0, failed = 0;
	for (uint32_t i = 0; i < N_PACKS && conf.packs.n < 16; i++)
		if (PACKS[i].by_default)
			names[conf.packs.n++] = strdup(PACKS[i].name);
	need(ruleset_build(&w.set, &conf, &findings) == 0, "the rules are faulty");
	w.text = malloc(MOST);
	w.values = calloc(MOST / SMALL, sizeof(*w.values));
	need(w.scanner != NULL && w.text != NULL && w.values != NULL, "no memory");
	for (int k = 0; k < 2; k++) {
		double clean = measure(&w, &FAMILIES[0], MOST, EACH[k]);
		for (size_t i = 0; i < sizeof(FAMILIES) / sizeof(FAMILIES[0]); i++) {
			bool good = is_linear(&w, &FAMILIES[i], EACH[k], clean, limit);
			passed += good;
			failed += !good;
		}
	}
	printf("redact-linear: %u passed, %u failed\n", passed, failed);
	scanner_destroy(w.scanner);
	ruleset_release(w.set);
	for (size_t i = 0; i < conf.packs.n; i++)
		free(names[i]);
	buf_finish(&findings);
	free(w.values);
	free(w.text);
	return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * The engine beside the oracle (tests/redaction/oracle.h): the same ranges by the same rules, on
 * values made of all rules' examples: changed, cut, joined, put into other text, many in one scan.
 * Usage: differential [VALUES]. Ends with `redact-truth: N passed, N failed`, values counted. */
#include "redaction/oracle.h"
#include "redaction/packs.h"
#include "redaction/scan.h"

enum { BATCH = 64, LONGEST = 2000, SHOWN = 10 };

struct world {
	struct rules rules; /* the oracle's; the set has its own */
	struct ruleset *set;
	struct scanner *scanner;
	struct oracle *oracle;
	const struct example **examples;
	uint32_t n_examples, failed, passed;
	uint64_t random;
	char text[BATCH * (LONGEST + 1)];
	struct scan_value values[BATCH];
	const char *keys[BATCH];
	uint64_t hits;
};

static uint32_t draw(struct world *w, uint32_t below)
{
	w->random = w->random * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
	return (uint32_t)((w->random >> 32) * below >> 32);
}

/* ---- values ---- */

struct draft {
	char text[LONGEST];
	size_t len;
	const char *key;
};

static void put(struct draft *d, const char *text, size_t len)
{
	if (len > sizeof(d->text) - d->len)
		len = sizeof(d->text) - d->len;
	memcpy(d->text + d->len, text, len);
	d->len += len;
}

static void put_example(struct world *w, struct draft *d)
{
	const struct example *e = w->examples[draw(w, w->n_examples)];
	size_t len = strlen(e->value);
	if (e->key != NULL && draw(w, 2) == 0)
		d->key = e->key;
	if (e->marked && draw(w, 4) == 0) /* the secret alone */
		put(d, e->value + e->start, e->end - e->start);
	else if (draw(w, 6) == 0) /* a part of it */
		put(d, e->value, draw(w, (uint32_t)len + 1));
	else
		put(d, e->value, len);
}

static void put_other(struct world *w, struct draft *d)
{
	static const char *const OTHER[] = {" ",
					    "\n",
					    "\"",
					    "'",
					    "{\"a\":\"",
					    "\",\"",
					    "&",
					    "?",
					    "=",
					    ": ",
					    ",",
					    ";",
					    "/",
					    "\\",
					    "%20",
					    "\xc3\xa9",
					    "\xe2\x82\xac",
					    "\xff",
					    "password=",
					    "token: ",
					    "-",
					    "_",
					    "x",
					    "7",
					    "https://",
					    "@",
					    "example.com",
					    "Authorization: Bearer ",
					    "api_key",
					    " and then some prose ",
					    "SELECT * FROM users WHERE id = ",
					    "'; ",
					    "<secret>",
					    "</secret>",
					    "[REDACTED]",
					    "********"};
	const char *text = OTHER[draw(w, sizeof(OTHER) / sizeof(OTHER[0]))];
	put(d, text, strlen(text));
}

/* One byte: another one, one more, one less, or two that change their places. */
static void change(struct world *w, struct draft *d)
{
	static const char BYTES[] = "aZ09_-./=+ \"':,@\n\xc3";
	if (d->len == 0)
		return;
	size_t at = draw(w, (uint32_t)d->len);
	char c = BYTES[draw(w, sizeof(BYTES) - 1)];
	switch (draw(w, 4)) {
	case 0:
		d->text[at] = c;
		break;
	case 1:
		memmove(d->text + at, d->text + at + 1, d->len - at - 1);
		d->len--;
		break;
	case 2:
		if (d->len == sizeof(d->text))
			return;
		memmove(d->text + at + 1, d->text + at, d->len - at);
		d->text[at] = c;
		d->len++;
		break;
	default:
		c = d->text[at];
		d->text[at] = d->text[d->len - 1 - at];
		d->text[d->len - 1 - at] = c;
		break;
	}
}

static void make_value(struct world *w, struct draft *d)
{
	d->len = 0;
	d->key = NULL;
	for (uint32_t n = 1 + draw(w, 4); n > 0; n--) {
		if (draw(w, 3) == 0)
			put_other(w, d);
		put_example(w, d);
		if (draw(w, 3) == 0)
			put_other(w, d);
	}
	for (uint32_t n = draw(w, 2) == 0 ? 0 : draw(w, 4); n > 0; n--)
		change(w, d);
}

static size_t make_batch(struct world *w, uint32_t n)
{
	struct draft d;
	size_t len = 0;
	for (uint32_t i = 0; i < n; i++) {
		make_value(w, &d);
		w->values[i] = (struct scan_value){.at = (uint32_t)len, .len = (uint32_t)d.len};
		w->keys[i] = d.key;
		memcpy(w->text + len, d.text, d.len);
		len += d.len;
		w->text[len++] = '\n';
	}
	return len;
}

/* ---- both ---- */

static void show(const struct world *w, uint32_t i, const struct oracle_hit *want, uint32_t n_want,
		 const struct hit *got, uint32_t n_got)
{
	const struct scan_value *v = &w->values[i];
	printf("value [%s] %.*s\n", w->keys[i] != NULL ? w->keys[i] : "", (int)v->len,
	       w->text + v->at);
	for (uint32_t k = 0; k < n_want; k++)
		printf("  wanted %zu-%zu %s\n", want[k].start, want[k].end,
		       ruleset_id(w->set, want[k].number));
	for (uint32_t k = 0; k < n_got; k++)
		printf("  found  %u-%u %s\n", got[k].start, got[k].end,
		       ruleset_id(w->set, got[k].number));
}

/* Whether each byte is covered by the same rules: overlapping copies may be told one by one or as
 * one range. */
static bool covers(const struct oracle_hit *a, uint32_t n, size_t start, size_t end,
		   uint32_t number)
{
	size_t at = start; /* hits come in the order of their starts */
	for (uint32_t i = 0; i < n && at < end; i++)
		if (a[i].number == number && a[i].start <= at && a[i].end > at)
			at = a[i].end;
	return at >= end;
}

static bool same(const struct oracle_hit *want, uint32_t n_want, const struct hit *got,
		 uint32_t n_got)
{
	struct oracle_hit ours[SCAN_MAX_HITS];
	for (uint32_t i = 0; i < n_got; i++)
		ours[i] = (struct oracle_hit){got[i].start, got[i].end, got[i].number};
	for (uint32_t i = 0; i < n_got; i++)
		if (!covers(want, n_want, got[i].start, got[i].end, got[i].number))
			return false;
	for (uint32_t i = 0; i < n_want; i++)
		if (!covers(ours, n_got, want[i].start, want[i].end, want[i].number))
			return false;
	return true;
}

static void compare_batch(struct world *w, uint32_t n)
{
	const struct hit *hits;
	uint32_t n_hits, at = 0;
	size_t len = make_batch(w, n);
	if (scanner_begin(w->scanner, w->set) != 0)
		exit(1);
	for (uint32_t i = 0; i < n; i++)
		if (w->keys[i] != NULL)
			w->values[i].key = scanner_key(w->scanner, slice_str(w->keys[i]));
	if (scan(w->scanner, slice_of(w->text, len), w->values, n, &hits, &n_hits) != 0)
		exit(1);
	w->hits += n_hits;
	for (uint32_t i = 0; i < n; i++) {
		const struct oracle_hit *want;
		uint32_t first = at;
		struct slice value = slice_of(w->text + w->values[i].at, w->values[i].len);
		uint32_t n_want = oracle_find(
		    w->oracle, slice_str(w->keys[i] != NULL ? w->keys[i] : ""), value, &want);
		while (at < n_hits && hits[at].value == i)
			at++;
		bool good = same(want, n_want, hits + first, at - first);
		if (!good && w->failed < SHOWN)
			show(w, i, want, n_want, hits + first, at - first);
		w->passed += good;
		w->failed += !good;
	}
}

static void add_examples(struct world *w, const struct example *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		w->examples[w->n_examples++] = &list[i];
}

static bool setup(struct world *w)
{
	static const struct conf_redaction conf = {.file = "none"};
	struct rules rules = {.list = NULL};
	struct buf findings = {.data = NULL};
	uint32_t n = 0;
	packs_read(&w->rules, true);
	packs_read(&rules, true);
	int rc = ruleset_compile(&w->set, &rules, &conf, &findings);
	printf("%.*s", (int)findings.len, findings.data != NULL ? (const char *)findings.data : "");
	buf_finish(&findings);
	for (uint32_t i = 0; i < w->rules.n; i++)
		n += w->rules.list[i].n_match + w->rules.list[i].n_no_match;
	w->examples = calloc(n + 1, sizeof(*w->examples));
	w->scanner = scanner_create();
	w->oracle = oracle_create(&w->rules);
	if (rc != 0 || w->examples == NULL || w->scanner == NULL || w->oracle == NULL)
		return false;
	for (uint32_t i = 0; i < w->rules.n; i++) {
		add_examples(w, w->rules.list[i].match, w->rules.list[i].n_match);
		add_examples(w, w->rules.list[i].no_match, w->rules.list[i].n_no_match);
	}
	return w->n_examples != 0;
}

int main(int argc, char **argv)
{
	struct world *w = calloc(1, sizeof(*w));
	uint32_t values = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	if (w == NULL || !setup(w))
		return 1;
	w->random = 1;
	for (uint32_t done = 0; done < values; done += BATCH) {
		compare_batch(w, values - done < BATCH ? values - done : BATCH);
		if (done % (BATCH * 2048) == 0)
			fprintf(stderr, "%u of %u values, %u failed\n", done, values, w->failed);
	}
	printf("%llu hits\n", (unsigned long long)w->hits);
	printf("redact-truth: %u passed, %u failed\n", w->passed, w->failed);
	scanner_destroy(w->scanner);
	ruleset_release(w->set);
	oracle_destroy(w->oracle);
	rules_finish(&w->rules);
	free(w->examples);
	int failed = w->failed != 0;
	free(w);
	return failed;
}

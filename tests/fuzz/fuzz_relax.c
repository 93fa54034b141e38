/* SPDX-License-Identifier: Apache-2.0
 * An expression, a NUL, and a text: what PCRE2 takes is relaxed or refused, and where the exact
 * expression matches the text, the relaxed one ends within the match, no further behind its begin
 * than it says. */
#include <hs.h>
#include <stdlib.h>

#include "base/pattern.h"
#include "redaction/relax.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

struct watch {
	struct pattern_range match;
	uint32_t reach;
	int found;
};

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		    void *user)
{
	struct watch *w = user;
	(void)id;
	(void)from;
	(void)flags;
	if (to > w->match.start && to <= w->match.end &&
	    (w->reach == REGEX_FAR || to - w->match.start <= w->reach))
		w->found = 1;
	return w->found;
}

static void compare(const struct pattern *exact, const struct relaxed *r, struct slice text)
{
	struct matcher *m = matcher_create();
	struct pattern_search s = {.until = text.len};
	hs_database_t *db = NULL;
	hs_scratch_t *scratch = NULL;
	hs_compile_error_t *why = NULL;
	const char *relaxed = (const char *)r->text.data;
	want(m != NULL);
	if (hs_compile(relaxed, 0, HS_MODE_BLOCK, NULL, &db, &why) == HS_SUCCESS &&
	    pattern_find(exact, m, text, &s) == PATTERN_YES && s.match.end > s.match.start) {
		struct watch w = {.match = s.match, .reach = r->reach};
		want(hs_alloc_scratch(db, &scratch) == HS_SUCCESS);
		hs_scan(db, (const char *)text.data, (unsigned)text.len, 0, scratch, on_match, &w);
		want(w.found);
	}
	hs_free_compile_error(why);
	hs_free_scratch(scratch);
	hs_free_database(db);
	matcher_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size != 0 ? memchr(data, 0, size) : NULL;
	size_t len = nul != NULL ? (size_t)(nul - data) : size, offset;
	struct slice regex = slice_of(data, len), text = slice_of(nul, 0);
	struct pattern *exact = NULL;
	struct relaxed r;
	char words[PATTERN_WORDS];
	if (nul != NULL)
		text = slice_of(nul + 1, size - len - 1);
	if (len > 256 || pattern_create_bytes(&exact, regex, &offset, words) != 0)
		return 0;
	int rc = relax(&r, regex, RELAX_CLOSE, &offset, words);
	want(rc == 0 || rc == RELAX_NO_LITERAL || (rc == RELAX_BAD && offset <= len));
	if (rc == 0 && text.len != 0)
		compare(exact, &r, text);
	buf_finish(&r.text);
	pattern_destroy(exact);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * conf/suggest.c - what a person may have meant by a key that does not exist. */
#include <string.h>

#include "conf/option.h"

enum { WORD_MAX = 48 };

static unsigned min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edit distance: insert, delete, replace, and swap of neighbours, each 1. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);
	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= m; j++)
		row[0][j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned *now = row[i % 3], *above = row[(i + 2) % 3],
			 *two_above = row[(i + 1) % 3];
		now[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			now[j] = min2(above[j] + 1, now[j - 1] + 1);
			now[j] = min2(now[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = min2(now[j], two_above[j - 2] + 1);
		}
	}
	return row[n % 3][m];
}

/* The word of an option's or a list's key that comes after `section`; false if it is not in there.
 */
static bool word_in(const char *section, const char *key, char word[WORD_MAX])
{
	size_t len = strlen(section);
	if (strncmp(key, section, len) != 0 || (len != 0 && key[len] != '.'))
		return false;
	const char *start = key + len + (len != 0);
	size_t n = strcspn(start, ".[");
	if (n >= WORD_MAX)
		return false;
	memcpy(word, start, n);
	word[n] = '\0';
	return true;
}

void option_suggest(const char *section, const char *key, struct buf *out)
{
	char nearest[WORD_MAX] = "", word[WORD_MAX], last[WORD_MAX] = "";
	unsigned best = WORD_MAX;
	struct buf known = {.data = NULL};
	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (!word_in(section, OPTIONS[i].key, word) || strcmp(word, last) == 0)
			continue;
		unsigned d = distance(key, word);
		if (d < best) {
			best = d;
			memcpy(nearest, word, sizeof(nearest));
		}
		buf_printf(&known, "%s%s", *last != '\0' ? ", " : "", word);
		memcpy(last, word, sizeof(last)); /* rows of a section stand together */
	}
	if (best <= 2 || best <= strlen(key) / 3)
		buf_printf(out, "did you mean \"%s\"?", nearest);
	else if (known.len != 0)
		buf_printf(out, "known here: %.*s", (int)known.len, (const char *)known.data);
	buf_finish(&known);
}

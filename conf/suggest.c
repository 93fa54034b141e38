/* SPDX-License-Identifier: Apache-2.0
 * conf/suggest.c - what a person may have meant by a key that does not exist. */
#include <string.h>

#include "base/distance.h"
#include "conf/option.h"

enum { WORD_MAX = DISTANCE_WORD_MAX };

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
		unsigned d = word_distance(key, word);
		if (d < best) {
			best = d;
			memcpy(nearest, word, sizeof(nearest));
		}
		buf_printf(&known, "%s%s", *last != '\0' ? ", " : "", word);
		memcpy(last, word, sizeof(last)); /* rows of a section stand together */
	}
	if (distance_is_near(best, key))
		buf_printf(out, "did you mean \"%s\"?", nearest);
	else if (known.len != 0)
		buf_printf(out, "known here: %.*s", (int)known.len, (const char *)known.data);
	buf_finish(&known);
}

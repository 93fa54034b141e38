/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/glob.h"

#include <ctype.h>

static bool same(char of_glob, uint8_t c)
{
	return of_glob == '?' || tolower((unsigned char)of_glob) == tolower(c);
}

bool glob_match(const char *glob, struct slice key)
{
	const char *star = NULL; /* the last one: what stands before it needs no second look */
	size_t at = 0, after_star = 0;
	while (at < key.len) {
		if (*glob == '*') {
			star = glob++;
			after_star = at;
		} else if (*glob != '\0' && same(*glob, key.data[at])) {
			glob++;
			at++;
		} else if (star != NULL) {
			glob = star + 1;
			at = ++after_star;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return *glob == '\0';
}

struct slice glob_literal(const char *glob)
{
	struct slice best = slice_str("");
	while (*glob != '\0') {
		size_t len = strcspn(glob, "*?");
		if (len > best.len)
			best = slice_of(glob, len);
		glob += len;
		glob += strspn(glob, "*?");
	}
	return best;
}

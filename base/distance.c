/* SPDX-License-Identifier: Apache-2.0 */
#include "base/distance.h"

#include <string.h>

static unsigned min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned word_distance(const char *a, const char *b)
{
	unsigned row[3][DISTANCE_WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);
	if (n > DISTANCE_WORD_MAX || m > DISTANCE_WORD_MAX)
		return DISTANCE_WORD_MAX;
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

bool distance_is_near(unsigned distance, const char *written)
{
	return distance <= 2 || distance <= strlen(written) / 3;
}

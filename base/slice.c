/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

static unsigned lower(unsigned c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

bool slice_is_nocase(struct slice s, const char *text)
{
	if (s.len != strlen(text))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (lower(s.data[i]) != lower((unsigned char)text[i]))
			return false;
	return true;
}

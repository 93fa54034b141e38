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

/* memchr() is many times as fast as memmem(), as long as what it stops at is rarely wrong. */
bool slice_contains(struct slice text, struct slice part)
{
	const uint8_t *p = text.data;
	if (part.len == 0)
		return true;
	if (part.len > text.len)
		return false;
	size_t left = text.len - part.len + 1; /* places where it may begin */
	for (int stops = 0; stops < 16; stops++) {
		const uint8_t *at = memchr(p, part.data[0], left);
		if (at == NULL)
			return false;
		if (memcmp(at, part.data, part.len) == 0)
			return true;
		left -= (size_t)(at + 1 - p);
		p = at + 1;
		if (left == 0)
			return false;
	}
	return memmem(p, left + part.len - 1, part.data, part.len) != NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/utf8.h"

static const uint8_t REPLACEMENT[] = {0xef, 0xbf, 0xbd};

bool utf8_is_ascii(struct slice s)
{
	const uint8_t *p = s.data, *end = p + s.len;
	uint64_t seen = 0, word;
	uint32_t low, high;
	for (; end - p > 8; p += 8) {
		memcpy(&word, p, 8);
		seen |= word;
	}
	if (s.len >= 8) { /* the last eight, some of them again */
		memcpy(&word, end - 8, 8);
		seen |= word;
	} else if (s.len >= 4) {
		memcpy(&low, p, 4);
		memcpy(&high, end - 4, 4);
		seen = (uint64_t)low << 32 | high;
	} else {
		for (; p < end; p++)
			seen |= *p;
	}
	return (seen & 0x8080808080808080u) == 0;
}

/* The second byte's range tells overlong forms, surrogates and what is above U+10FFFF (Table 3-7).
 */
int utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t c = p[0], low = 0x80, high = 0xbf;
	int len;
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		len = 2;
	else if (c >= 0xe0 && c <= 0xef)
		len = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		len = 4;
	else
		return -1;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (int i = 1; i < len; i++) {
		if ((size_t)i == left || p[i] < low || p[i] > high)
			return -i;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

bool utf8_is_valid(struct slice s)
{
	if (utf8_is_ascii(s))
		return true;
	for (size_t i = 0; i < s.len;) {
		int n = utf8_sequence(s.data + i, s.len - i);
		if (n < 0)
			return false;
		i += (size_t)n;
	}
	return true;
}

size_t utf8_repaired_len(struct slice s)
{
	size_t out = 0;
	for (size_t i = 0; i < s.len;) {
		int n = utf8_sequence(s.data + i, s.len - i);
		out += n < 0 ? sizeof(REPLACEMENT) : (size_t)n;
		i += (size_t)(n < 0 ? -n : n);
	}
	return out;
}

void utf8_repair(struct slice s, uint8_t *out)
{
	for (size_t i = 0; i < s.len;) {
		int n = utf8_sequence(s.data + i, s.len - i);
		size_t len = n < 0 ? sizeof(REPLACEMENT) : (size_t)n;
		memcpy(out, n < 0 ? REPLACEMENT : s.data + i, len);
		out += len;
		i += (size_t)(n < 0 ? -n : n);
	}
}

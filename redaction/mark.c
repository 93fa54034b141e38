/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/mark.h"

#include <ctype.h>

#include "base/hex.h"

enum { LONGEST = 80, LEAST_STARS = 4, LAST = 4, KEY_ID = 8, DIGEST = 16 };

static bool starts(struct slice s, const char *word)
{
	size_t len = strlen(word);
	return s.len >= len && memcmp(s.data, word, len) == 0;
}

static size_t hex_digits(struct slice s, size_t at)
{
	size_t n = 0;
	while (at + n < s.len && hex_digit(s.data[at + n]) >= 0)
		n++;
	return n;
}

/* The mark with which `s` begins: its bytes, or 0. Stars are not among them. */
static size_t mark_len(struct slice s)
{
	static const char PLAIN[] = "REDACTED", HMAC[] = "hmac:";
	size_t open = s.len != 0 && s.data[0] == '[', at = open;
	if (starts(s, HMAC)) {
		at = sizeof(HMAC) - 1;
		if (hex_digits(s, at) != KEY_ID || at + KEY_ID >= s.len ||
		    s.data[at + KEY_ID] != ':')
			return 0;
		at += KEY_ID + 1;
		return hex_digits(s, at) == DIGEST ? at + DIGEST : 0;
	}
	if (!starts(slice_of(s.data + open, s.len - open), PLAIN))
		return 0;
	at += sizeof(PLAIN) - 1;
	if (!open)
		return starts(slice_of(s.data + at, s.len - at), ":REDACTED") ? 2 * at + 1 : at;
	if (at < s.len && s.data[at] == ':')
		for (at++; at < s.len && (isalnum(s.data[at]) != 0 || s.data[at] == '-');)
			at++;
	return at < s.len && s.data[at] == ']' ? at + 1 : 0;
}

/* Stars, or at least four and no more than the last four bytes of what was there. */
static bool is_starred(struct slice s)
{
	size_t stars = 0;
	while (stars < s.len && s.data[stars] == '*')
		stars++;
	return stars != 0 &&
	       (stars == s.len || (stars >= LEAST_STARS && s.len - stars <= LAST &&
				   memchr(s.data + stars, '*', s.len - stars) == NULL));
}

bool mark_covers(struct slice value, size_t start, size_t end)
{
	if (is_starred(slice_of(value.data + start, end - start)))
		return true;
	for (size_t back = 0; back <= start && back < LONGEST; back++) {
		size_t at = start - back;
		uint8_t c = value.data[at];
		if (c == '[' || c == 'R' || c == 'h') {
			size_t len = mark_len(slice_of(value.data + at, value.len - at));
			if (len != 0 && at + len >= end)
				return true;
		}
		if (isalnum(c) == 0 && strchr("[]:-", c) == NULL)
			return false; /* no mark goes on over it */
	}
	return false;
}

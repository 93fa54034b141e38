/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/escape.h"

#include "base/hex.h"

enum { ENTITY_MAX = 10 /* bytes of &#x10FFFF; */ };

const uint8_t ESCAPE_HEX[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

const uint8_t ESCAPE_NAMED[256] = {
    ['n'] = '\n', ['r'] = '\r',  ['t'] = '\t',  ['b'] = '\b', ['f'] = '\f',
    ['"'] = '"',  ['\''] = '\'', ['\\'] = '\\', ['/'] = '/',
};

const uint8_t ESCAPE_LONG[256] = {
    ['u'] = 1 | 2, ['U'] = 1, ['x'] = 2, ['#'] = 4, ['q'] = 4, ['a'] = 4, ['l'] = 4, ['g'] = 4,
};

/* The number of `n` hexadecimal digits; negative: they are not there. */
static inline int32_t hex_number(const uint8_t *p, size_t left, unsigned n)
{
	int32_t none = 0;
	uint32_t v = 0;
	if (left < n)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		int32_t d = ESCAPE_HEX[p[i]] - 1;
		none |= d;
		v = v << 4 | (uint32_t)d;
	}
	return none < 0 ? -1 : (int32_t)v;
}

static bool means_byte(struct escape *e, uint8_t used, int32_t byte)
{
	e->used = used;
	e->len = 1;
	e->bytes[0] = (uint8_t)byte;
	e->strong = byte > 0x20 && byte < 0x7f;
	return true;
}

/* UTF-8 of a character (RFC 3629, section 3); half a surrogate pair means none. */
static bool means_character(struct escape *e, uint8_t used, int32_t c)
{
	if (c < 0x80)
		return means_byte(e, used, c);
	if ((c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return false;
	e->used = used;
	e->strong = true;
	e->len = (uint8_t)(c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
	for (int i = e->len - 1; i > 0; i--, c >>= 6)
		e->bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
	static const uint8_t LEAD[] = {0, 0, 0xc0, 0xe0, 0xf0};
	e->bytes[0] = (uint8_t)(LEAD[e->len] | c);
	return true;
}

/* A 16-bit unit written with `head` bytes and four digits, or two of them that are a pair. */
static bool utf16_escape(const uint8_t *p, size_t left, uint8_t head, struct escape *e)
{
	uint8_t used = (uint8_t)(head + 4);
	int32_t high = hex_number(p + head, left - head, 4), low = -1;
	if (high < 0)
		return false;
	if (high < 0xd800 || high >= 0xdc00)
		return means_character(e, used, high);
	if (left >= (size_t)2 * used && memcmp(p, p + used, head) == 0)
		low = hex_number(p + used + head, 4, 4);
	if (low < 0xdc00 || low >= 0xe000)
		return false;
	return means_character(e, (uint8_t)(2 * used),
			       0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff)));
}

static bool percent(const uint8_t *p, size_t left, struct escape *e)
{
	if (left > 2 && (p[1] | 0x20) == 'u')
		return utf16_escape(p, left, 2, e); /* of old JavaScript */
	int32_t byte = hex_number(p + 1, left - 1, 2);
	return byte >= 0 && means_byte(e, 3, byte);
}

static bool backslash(const uint8_t *p, size_t left, struct escape *e)
{
	if (left < 2)
		return false;
	if (p[1] == 'u')
		return utf16_escape(p, left, 2, e);
	if (p[1] == 'x') {
		int32_t byte = hex_number(p + 2, left - 2, 2);
		return byte >= 0 && means_byte(e, 4, byte);
	}
	if (ESCAPE_NAMED[p[1]] == 0)
		return false;
	means_byte(e, 2, ESCAPE_NAMED[p[1]]);
	e->strong = false;
	return true;
}

static bool numeric_entity(const uint8_t *p, size_t len, struct escape *e)
{
	int32_t c = 0;
	bool is_hex = (p[2] | 0x20) == 'x';
	size_t i = is_hex ? 3 : 2;
	if (i == len)
		return false;
	for (; i < len; i++) {
		int d = hex_digit(p[i]);
		if (d < 0 || (!is_hex && d > 9))
			return false;
		c = c * (is_hex ? 16 : 10) + d;
	}
	return means_character(e, (uint8_t)(len + 1), c);
}

static bool entity(const uint8_t *p, size_t left, struct escape *e)
{
	static const struct {
		char text[7];
		uint8_t len, byte, second;
	} NAMED[] = {{"&amp;", 5, '&', 'a'},
		     {"&quot;", 6, '"', 'q'},
		     {"&lt;", 4, '<', 'l'},
		     {"&gt;", 4, '>', 'g'},
		     {"&apos;", 6, '\'', 'a'}};
	if (left < 4)
		return false;
	if (p[1] == '#') {
		const uint8_t *end = memchr(p, ';', left < ENTITY_MAX ? left : ENTITY_MAX);
		return end != NULL && end - p > 2 && numeric_entity(p, (size_t)(end - p), e);
	}
	for (size_t i = 0; i < sizeof(NAMED) / sizeof(NAMED[0]); i++) {
		if (p[1] != NAMED[i].second || left < NAMED[i].len ||
		    memcmp(p, NAMED[i].text, NAMED[i].len) != 0)
			continue;
		means_byte(e, NAMED[i].len, NAMED[i].byte);
		e->strong = false;
		return true;
	}
	return false;
}

bool escape_read(const uint8_t *p, size_t left, struct escape *e)
{
	switch (p[0]) {
	case '%':
		return percent(p, left, e);
	case '\\':
		return backslash(p, left, e);
	case '&':
		return entity(p, left, e);
	default:
		return false;
	}
}

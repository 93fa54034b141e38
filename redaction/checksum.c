/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/checksum.h"

#include <libdeflate.h>

enum { CARD_LEAST = 12, CARD_MOST = 19, IBAN_LEAST = 15, IBAN_MOST = 34, SSN_DIGITS = 9 };

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_gap(uint8_t c)
{
	return c == ' ' || c == '-';
}

/* From the last digit on, each second one is doubled; of two digits their sum counts. */
static bool luhn_holds(struct slice s)
{
	unsigned sum = 0, n = 0;
	for (size_t i = s.len; i-- > 0;) {
		if (is_gap(s.data[i]))
			continue;
		if (!is_digit(s.data[i]) || n == CARD_MOST)
			return false;
		unsigned d = (unsigned)(s.data[i] - '0') << (n++ & 1);
		sum += d > 9 ? d - 9 : d;
	}
	return n >= CARD_LEAST && sum % 10 == 0;
}

/* 0 to 35, or -1. */
static int iban_value(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	c &= 0xdf;
	return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : -1;
}

static bool mod97_holds(struct slice s)
{
	int values[IBAN_MOST];
	unsigned n = 0, rest = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (is_gap(s.data[i]))
			continue;
		int v = iban_value(s.data[i]);
		if (v < 0 || n == IBAN_MOST)
			return false;
		values[n++] = v;
	}
	if (n < IBAN_LEAST)
		return false;
	for (unsigned i = 0; i < n; i++) { /* the first four come last */
		unsigned v = (unsigned)values[(i + 4) % n];
		rest = (rest * (v > 9 ? 100 : 10) + v) % 97;
	}
	return rest == 1;
}

static int base62_value(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'z' ? c - 'a' + 36 : -1;
}

static bool github_holds(struct slice s)
{
	enum { DIGITS = 6 };
	const uint8_t *low = s.len != 0 ? memrchr(s.data, '_', s.len) : NULL;
	size_t at = low != NULL ? (size_t)(low - s.data) + 1 : 0;
	uint64_t told = 0;
	if (low == NULL || s.len - at <= DIGITS)
		return false;
	for (size_t i = s.len - DIGITS; i < s.len; i++) {
		int v = base62_value(s.data[i]);
		if (v < 0)
			return false;
		told = told * 62 + (uint64_t)v;
	}
	return told == libdeflate_crc32(0, s.data + at, s.len - at - DIGITS);
}

static int base64url_value(uint8_t c)
{
	int v = base62_value(c); /* digits, capitals, small letters: there they come first */
	if (v >= 0)
		return v < 10 ? v + 52 : v - 10;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Its bytes are text, the first is { and the last }: that much is told without a parser. */
static bool jwt_holds(struct slice s)
{
	uint32_t bits = 0, have = 0, last = 0;
	size_t n = 0;
	for (size_t i = 0; i < s.len && s.data[i] != '.' && s.data[i] != '='; i++) {
		int v = base64url_value(s.data[i]);
		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		last = bits >> have & 0xff;
		if ((n == 0 && last != '{') ||
		    (last < ' ' && last != '\n' && last != '\t' && last != '\r'))
			return false;
		n++;
	}
	return n >= 2 && last == '}';
}

/* Never given out: area 000, 666 and from 900 on, group 00, serial 0000. */
static bool ssn_holds(struct slice s)
{
	unsigned number = 0, n = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (is_gap(s.data[i]))
			continue;
		if (!is_digit(s.data[i]) || n++ == SSN_DIGITS)
			return false;
		number = number * 10 + (unsigned)(s.data[i] - '0');
	}
	unsigned area = number / 1000000, group = number / 10000 % 100, serial = number % 10000;
	return n == SSN_DIGITS && area != 0 && area != 666 && area < 900 && group != 0 &&
	       serial != 0;
}

bool checksum_holds(enum checksum checksum, struct slice secret)
{
	switch (checksum) {
	case CHECKSUM_LUHN:
		return luhn_holds(secret);
	case CHECKSUM_MOD97:
		return mod97_holds(secret);
	case CHECKSUM_GITHUB:
		return github_holds(secret);
	case CHECKSUM_JWT:
		return jwt_holds(secret);
	case CHECKSUM_SSN:
		return ssn_holds(secret);
	default:
		return true;
	}
}

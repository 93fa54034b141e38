/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/json.h"
#include "base/hex.h"

#include <stdlib.h>

/* The exact decimal expansion of the longest double has 767 digits, after up to 324 zeros. */
enum { NUMBER_MAX = 1100 };

uint8_t json_next(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
		j->p++;
	return j->p < j->end ? *j->p : 0;
}

/* ---- strings ---- */

/* The first of p..end that ends a run of plain characters: a quote, a backslash, a control. */
static const uint8_t *plain_end(const uint8_t *p, const uint8_t *end)
{
	const uint64_t ONES = 0x0101010101010101u, HIGHS = 0x8080808080808080u;
	for (; end - p >= 8; p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		uint64_t quote = word ^ ONES * '"', slash = word ^ ONES * '\\';
		uint64_t hit = ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) |
			       ((word - ONES * 0x20) & ~word);
		if (hit & HIGHS)
			break;
	}
	while (p < end && *p != '"' && *p != '\\' && *p >= 0x20)
		p++;
	return p;
}

/* The length of the escape at p, or 0. */
static size_t escape(const uint8_t *p, const uint8_t *end)
{
	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return p[1] != 0 && strchr("\"\\/bfnrt", p[1]) != NULL ? 2 : 0;
	if (end - p < 6)
		return 0;
	for (int i = 2; i < 6; i++)
		if (hex_digit(p[i]) < 0)
			return 0;
	return 6;
}

bool json_read_string(struct json *j, struct json_text *s)
{
	if (j->p == j->end || *j->p != '"')
		return false;
	const uint8_t *start = j->p + 1, *p = plain_end(start, j->end);
	s->escaped = false;
	while (p < j->end && *p == '\\') {
		size_t len = escape(p, j->end);
		if (len == 0)
			return false;
		s->escaped = true;
		p = plain_end(p + len, j->end);
	}
	if (p == j->end || *p != '"')
		return false;
	s->raw = slice_of(start, (size_t)(p - start));
	j->p = p + 1;
	return true;
}

static unsigned code_unit(const uint8_t *escape)
{
	unsigned v = 0;
	for (int i = 2; i < 6; i++)
		v = v << 4 | (unsigned)hex_digit(escape[i]);
	return v;
}

static size_t utf8_write(unsigned c, uint8_t *out)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t FIRST[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3f));
	out[0] = (uint8_t)(FIRST[len] | c);
	return len;
}

/* The escape \uXXXX at *at, with its other half if it has one: goes behind, gives bytes written. */
static size_t unescape_unicode(const uint8_t **at, const uint8_t *end, uint8_t *out)
{
	unsigned c = code_unit(*at);
	*at += 6;
	if (c < 0xd800 || c > 0xdfff)
		return utf8_write(c, out);
	const uint8_t *next = *at;
	unsigned low = end - next >= 6 && next[0] == '\\' && next[1] == 'u' ? code_unit(next) : 0;
	if (c >= 0xdc00 || low < 0xdc00 || low > 0xdfff) {
		*out = 0xff;
		return 1;
	}
	*at += 6;
	return utf8_write(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), out);
}

size_t json_unescape(struct json_text s, uint8_t *out)
{
	static const uint8_t SHORT[] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
					['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
	const uint8_t *p = s.raw.data, *end = p + s.raw.len;
	uint8_t *start = out;
	while (p < end) {
		const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));
		size_t plain = (size_t)((stop != NULL ? stop : end) - p);
		memcpy(out, p, plain);
		out += plain;
		p += plain;
		if (p == end)
			break;
		if (p[1] == 'u') {
			out += unescape_unicode(&p, end, out);
		} else {
			*out++ = SHORT[p[1]];
			p += 2;
		}
	}
	return (size_t)(out - start);
}

/* ---- numbers and words ---- */

static const uint8_t *digits_end(const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* The parts of a number: -whole.fraction e exponent. */
struct number {
	bool negative;
	struct slice whole, fraction;
	int exponent; /* capped: far beyond what matters */
};

static bool read_exponent(struct json *j, int *exponent)
{
	bool negative = false;
	if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
		negative = *j->p++ == '-';
	const uint8_t *end = digits_end(j->p, j->end);
	if (end == j->p)
		return false;
	int v = 0;
	for (; j->p < end; j->p++)
		v = v < 100000 ? v * 10 + (*j->p - '0') : v;
	*exponent = negative ? -v : v;
	return true;
}

static bool read_number(struct json *j, struct number *n)
{
	*n = (struct number){0};
	if (j->p < j->end && *j->p == '-') {
		n->negative = true;
		j->p++;
	}
	const uint8_t *end = digits_end(j->p, j->end);
	n->whole = slice_of(j->p, (size_t)(end - j->p));
	if (n->whole.len == 0 || (n->whole.len > 1 && *j->p == '0'))
		return false;
	j->p = end;
	if (j->p < j->end && *j->p == '.') {
		end = digits_end(++j->p, j->end);
		n->fraction = slice_of(j->p, (size_t)(end - j->p));
		if (n->fraction.len == 0)
			return false;
		j->p = end;
	}
	if (j->p == j->end || (*j->p | 0x20) != 'e')
		return true;
	j->p++;
	return read_exponent(j, &n->exponent);
}

bool json_read_number(struct json *j, struct slice *number)
{
	const uint8_t *start = j->p;
	struct number n;
	if (!read_number(j, &n))
		return false;
	*number = slice_of(start, (size_t)(j->p - start));
	return true;
}

bool json_read_word(struct json *j, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(j->end - j->p) < len || memcmp(j->p, word, len) != 0)
		return false;
	j->p += len;
	return true;
}

static bool push_digit(uint64_t *v, unsigned digit)
{
	return !__builtin_mul_overflow(*v, 10, v) && !__builtin_add_overflow(*v, digit, v);
}

static bool push_digits(uint64_t *v, struct slice digits)
{
	for (size_t i = 0; i < digits.len; i++)
		if (!push_digit(v, digits.data[i] - '0'))
			return false;
	return true;
}

int json_to_integer(struct slice number, bool *negative, uint64_t *magnitude)
{
	struct json j = {number.data, number.data + number.len};
	struct number n;
	if (!read_number(&j, &n) || j.p != j.end)
		return JSON_NOT_NUMBER;
	struct slice f = n.fraction;
	while (f.len != 0 && f.data[f.len - 1] == '0')
		f.len--;
	uint64_t v = 0;
	if (!push_digits(&v, n.whole) || !push_digits(&v, f))
		return JSON_NOT_INTEGER;
	int64_t shift = (int64_t)n.exponent - (int64_t)f.len;
	for (; shift < 0 && v % 10 == 0 && v != 0; shift++)
		v /= 10;
	if (shift < 0 && v != 0)
		return JSON_NOT_INTEGER;
	for (; shift > 0 && v != 0; shift--)
		if (!push_digit(&v, 0))
			return JSON_NOT_INTEGER;
	*negative = n.negative && v != 0;
	*magnitude = v;
	return 0;
}

int json_to_double(struct slice number, double *value)
{
	char text[NUMBER_MAX + 1];
	struct json j = {number.data, number.data + number.len};
	struct number n;
	if (number.len > NUMBER_MAX || !read_number(&j, &n) || j.p != j.end)
		return JSON_NOT_NUMBER;
	memcpy(text, number.data, number.len);
	text[number.len] = '\0';
	*value = strtod(text, NULL);
	return 0;
}

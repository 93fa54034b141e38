/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/value.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/otlp_walk.h"

enum {
	ANY_STRING = 1,
	ANY_BOOL,
	ANY_INT,
	ANY_DOUBLE,
	ANY_ARRAY,
	ANY_LIST,
	ANY_BYTES,
	ANY_STRINDEX
};

#define INT64_END 0x1p63 /* the first double that is no int64_t any more */

/* ---- numbers ---- */

int number_of_double(double d, struct number *n)
{
	if (isnan(d))
		return NUMBER_NONE;
	if (d >= -INT64_END && d < INT64_END && d == trunc(d))
		*n = number_of_int((int64_t)d);
	else
		*n = (struct number){.d = d};
	return 0;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static size_t digits(struct slice s, size_t from)
{
	size_t at = from;
	while (at < s.len && is_digit(s.data[at]))
		at++;
	return at - from;
}

/* sign? (digits [. digits?] | . digits) [e sign? digits]; whole: neither point nor exponent. */
static bool is_decimal(struct slice s, bool *whole)
{
	size_t at = s.len != 0 && (s.data[0] == '-' || s.data[0] == '+');
	size_t before = digits(s, at), after = 0;
	at += before;
	*whole = at == s.len;
	if (at < s.len && s.data[at] == '.') {
		after = digits(s, at + 1);
		at += 1 + after;
	}
	if (before + after == 0)
		return false;
	if (at < s.len && (s.data[at] | 0x20) == 'e') {
		at++;
		at += at < s.len && (s.data[at] == '-' || s.data[at] == '+');
		size_t exponent = digits(s, at);
		if (exponent == 0)
			return false;
		at += exponent;
	}
	return at == s.len;
}

int number_parse(struct slice text, struct number *n)
{
	char copy[NUMBER_TEXT_MAX + 1];
	bool whole;
	if (text.len == 0 || text.len > NUMBER_TEXT_MAX || text.data[0] > '9' ||
	    !is_decimal(text, &whole))
		return NUMBER_NONE;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (whole) {
		errno = 0;
		long long i = strtoll(copy, NULL, 10);
		if (errno == 0) {
			*n = number_of_int(i);
			return 0;
		}
	}
	return number_of_double(strtod(copy, NULL), n);
}

static int compare_mixed(int64_t i, double d)
{
	if (d >= INT64_END)
		return -1;
	if (d < -INT64_END)
		return 1;
	int64_t whole = (int64_t)d; /* towards 0; d itself is no whole number */
	if (i != whole)
		return i < whole ? -1 : 1;
	return (double)whole < d ? -1 : 1;
}

int number_compare_slow(struct number a, struct number b)
{
	if (!a.is_int && !b.is_int)
		return (a.d > b.d) - (a.d < b.d);
	return a.is_int ? compare_mixed(a.i, b.d) : -compare_mixed(b.i, a.d);
}

/* ---- AnyValue ---- */

static struct value of_double(uint64_t bits)
{
	struct value v = {.type = VALUE_NUMBER};
	double d;
	memcpy(&d, &bits, sizeof(d));
	if (number_of_double(d, &v.number) != 0)
		v.type = VALUE_OTHER;
	return v;
}

/* A varint that field_next() has measured. */
static uint64_t varint_of(struct slice whole)
{
	uint64_t v = 0;
	unsigned shift = 0;
	size_t at = 0;
	while (at < whole.len && whole.data[at] >= 0x80) /* the tag */
		at++;
	for (at++; at < whole.len && shift < 64; at++, shift += 7)
		v |= (uint64_t)(whole.data[at] & 0x7f) << shift;
	return v;
}

static struct value of_field(const struct field *f)
{
	uint64_t bits;
	switch (f->number) {
	case ANY_STRING:
		return (struct value){.type = VALUE_TEXT, .text = f->value};
	case ANY_BOOL:
		return (struct value){.type = VALUE_BOOL, .yes = varint_of(f->whole) != 0};
	case ANY_INT:
		return (struct value){.type = VALUE_NUMBER,
				      .number = number_of_int((int64_t)varint_of(f->whole))};
	case ANY_DOUBLE:
		memcpy(&bits, f->value.data, sizeof(bits));
		return of_double(le64toh(bits));
	case ANY_ARRAY:
		return (struct value){.type = VALUE_ARRAY, .text = f->value};
	default:
		return (struct value){.type = VALUE_OTHER};
	}
}

struct value value_read_slow(struct slice rest)
{
	static const uint8_t TYPES[] = {
	    [ANY_STRING] = WIRE_BYTES,   [ANY_BOOL] = WIRE_VARINT,    [ANY_INT] = WIRE_VARINT,
	    [ANY_DOUBLE] = WIRE_FIXED64, [ANY_ARRAY] = WIRE_BYTES,    [ANY_LIST] = WIRE_BYTES,
	    [ANY_BYTES] = WIRE_BYTES,    [ANY_STRINDEX] = WIRE_VARINT};
	struct value v = {.type = VALUE_EMPTY};
	struct field f;
	while (field_next(&rest, &f))
		if (f.number >= ANY_STRING && f.number <= ANY_STRINDEX && f.type == TYPES[f.number])
			v = of_field(&f);
	return v;
}

bool value_next(struct slice *array, struct value *v)
{
	struct field f;
	while (field_next(array, &f)) {
		if (!field_is(&f, 1))
			continue;
		*v = value_read(f.value);
		return true;
	}
	return false;
}

/* Decimal digits from the end of `room`; snprintf takes ten times as long. */
static struct slice int_text(int64_t n, char room[NUMBER_TEXT_MAX])
{
	char *at = room + NUMBER_TEXT_MAX;
	uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
	do
		*--at = (char)('0' + rest % 10);
	while ((rest /= 10) != 0);
	if (n < 0)
		*--at = '-';
	return slice_of(at, (size_t)(room + NUMBER_TEXT_MAX - at));
}

bool value_text(const struct value *v, char room[NUMBER_TEXT_MAX], struct slice *text)
{
	int len;
	switch (v->type) {
	case VALUE_TEXT:
		*text = v->text;
		return true;
	case VALUE_BOOL:
		*text = slice_str(v->yes ? "true" : "false");
		return true;
	case VALUE_NUMBER:
		if (v->number.is_int) {
			*text = int_text(v->number.i, room);
			return true;
		}
		len = snprintf(room, NUMBER_TEXT_MAX, "%.15g", v->number.d);
		*text = slice_of(room, (size_t)len);
		return true;
	default:
		return false;
	}
}

bool attribute_read(struct slice rest, struct slice *key, struct slice *value)
{
	struct field f;
	bool found = false;
	*value = slice_of("", 0);
	while (field_next(&rest, &f)) {
		if (field_is(&f, 1)) {
			*key = f.value;
			found = true;
		} else if (field_is(&f, 2)) {
			*value = f.value;
		}
	}
	return found;
}

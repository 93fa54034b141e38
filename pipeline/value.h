/* SPDX-License-Identifier: Apache-2.0
 * pipeline/value.h - attribute values as rules see them: read off vetted bytes where they stand.
 * Source: OTLP 1.11.0, common/v1/common.proto, AnyValue and KeyValue; where a field of a oneof
 * stands twice, the last one counts, as protobuf has it. */
#ifndef PIPELINE_VALUE_H
#define PIPELINE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* A double that is a whole number in the range of int64_t is kept as one, so 200 and 200.0 are one
 * number. Never NaN. */
struct number {
	bool is_int;
	union {
		int64_t i;
		double d;
	};
};

/* NUMBER_NONE for NaN, which no operator takes for a number. */
enum { NUMBER_NONE = 1, NUMBER_TEXT_MAX = 64 };
int number_of_double(double d, struct number *n);

static inline struct number number_of_int(int64_t i)
{
	return (struct number){.is_int = true, .i = i};
}

/* A decimal number and nothing else: sign, digits, fraction, exponent; at most NUMBER_TEXT_MAX
 * bytes. 0 or NUMBER_NONE. */
int number_parse(struct slice text, struct number *n);

int number_compare_slow(struct number a, struct number b);
/* Exact: -1, 0 or 1. */
static inline int number_compare(struct number a, struct number b)
{
	return a.is_int && b.is_int ? (a.i > b.i) - (a.i < b.i) : number_compare_slow(a, b);
}

enum value_type {
	VALUE_EMPTY, /* AnyValue without a value: there, but met by `exists` alone */
	VALUE_TEXT,
	VALUE_BOOL,
	VALUE_NUMBER,
	VALUE_ARRAY,
	VALUE_OTHER /* bytes, a list of keys, NaN, what is newer than we: as VALUE_EMPTY */
};

struct value {
	enum value_type type;
	union {
		struct slice text; /* borrowed; of VALUE_ARRAY: the ArrayValue */
		struct number number;
		bool yes;
	};
};

struct value value_read_slow(struct slice any_value);
/* Here for the shapes that nearly all have: one field, with a length of one byte or a value of one
 * or two. */
static inline struct value value_read(struct slice any)
{
	const uint8_t *p = any.data;
	if (any.len >= 2 && p[0] == 0x0a && p[1] == any.len - 2 && any.len < 0x82)
		return (struct value){.type = VALUE_TEXT, .text = {p + 2, any.len - 2}};
	if (any.len == 2 && p[0] == 0x18 && p[1] < 0x80)
		return (struct value){.type = VALUE_NUMBER, .number = {.is_int = true, .i = p[1]}};
	if (any.len == 3 && p[0] == 0x18 && p[1] >= 0x80 && p[2] < 0x80)
		return (struct value){.type = VALUE_NUMBER,
				      .number = {.is_int = true, .i = (p[1] & 0x7f) | p[2] << 7}};
	return value_read_slow(any);
}
bool value_next(struct slice *array, struct value *v); /* takes the first off an ArrayValue */

/* A value as the operators for text see it: strings as they are, numbers in decimal (200, 0.5),
 * true and false; false for others. `room` holds what is no string. */
bool value_text(const struct value *v, char room[NUMBER_TEXT_MAX], struct slice *text);

/* Key and AnyValue of a KeyValue; *value is empty where there is none. false: no key. */
bool attribute_read(struct slice key_value, struct slice *key, struct slice *value);

#endif

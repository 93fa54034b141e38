/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_value.c - what stands behind an operator: texts, numbers, durations, sizes. */
#include <math.h>
#include <strings.h>

#include "pipeline/condition_text.h"

struct unit {
	const char *name;
	double factor;
};
static const struct unit TIMES[] = {{"ns", 1},   {"us", 1e3},   {"ms", 1e6},    {"s", 1e9},
				    {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}, {NULL, 0}};
static const struct unit SIZES[] = {
    {"", 1},         {"B", 1},        {"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9}, {"TB", 1e12},
    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {NULL, 0}};
static const struct unit MILLISECONDS[] = {{"", 1e6}, {NULL, 0}};
static const struct unit COUNTS[] = {{"", 1}, {NULL, 0}};

static const char *const EXPECTED_TIME = "a duration such as `2s` or `150ms`";
static const char *const EXPECTED_MS = "a number of milliseconds";
static const char *const EXPECTED_SIZE = "a number of bytes or a size such as `10KiB`";
static const char *const EXPECTED_COUNT = "a whole number";

static bool expected(struct parser *p, const char *what, const char *written)
{
	return parser_fail(p, p->token.at, "expected %s after `%s`", what, written);
}

/* A number of whole units from 0 to 2^63. */
static bool amount(struct parser *p, const struct unit *units, const char *what,
		   const char *written, uint64_t *out)
{
	struct number n;
	if (p->token.kind != TOKEN_NUMBER || number_parse(p->token.digits, &n) != 0)
		return expected(p, what, written);
	double d = n.is_int ? (double)n.i : n.d;
	if (d == 0 && p->token.unit.len == 0) { /* 0 of anything */
		*out = 0;
		return token_next(p);
	}
	while (units->name != NULL && !slice_is_nocase(p->token.unit, units->name))
		units++;
	if (units->name == NULL)
		return expected(p, what, written);
	d *= units->factor;
	if (d < 0)
		return parser_fail(p, p->token.at, "this is never below 0");
	if (d >= 0x1p63)
		return parser_fail(p, p->token.at, "too large a number");
	if (units->factor == 1 && d != trunc(d))
		return expected(p, EXPECTED_COUNT, written);
	*out = n.is_int && units->factor == 1 ? (uint64_t)n.i : (uint64_t)llround(d);
	return token_next(p);
}

bool fact_value_parse(struct parser *p, enum fact fact, bool in_ms, const char *written,
		      uint64_t *value)
{
	switch (fact) {
	case FACT_DURATION:
		return in_ms ? amount(p, MILLISECONDS, EXPECTED_MS, written, value)
			     : amount(p, TIMES, EXPECTED_TIME, written, value);
	case FACT_BYTES:
		return amount(p, SIZES, EXPECTED_SIZE, written, value);
	case FACT_HAS_ROOT:
		*value = token_is(p, "true");
		if (*value == 0 && !token_is(p, "false"))
			return expected(p, "true or false", written);
		return token_next(p);
	default:
		return amount(p, COUNTS, EXPECTED_COUNT, written, value);
	}
}

static bool kind_value(struct parser *p, const struct field_name *f, const char *written,
		       struct literal *v)
{
	const char *const *names = f->what == WHAT_KIND ? KIND_NAMES : STATUS_NAMES;
	int64_t n;
	if (p->token.kind != TOKEN_WORD && p->token.kind != TOKEN_STRING)
		return expected(p,
				f->what == WHAT_KIND ? "a kind such as \"server\""
						     : "a status such as \"error\"",
				written);
	if (!kind_parse(p->token.text, f->what, &n))
		return name_unknown(p, p->token.at, f->what == WHAT_KIND ? "kind" : "status",
				    p->token.text, names);
	v->type = LITERAL_NUMBER;
	v->number = number_of_int(n);
	return token_next(p);
}

static bool bool_value(struct parser *p, const char *written, struct literal *v)
{
	v->type = LITERAL_BOOL;
	v->yes = token_is(p, "true");
	if (!v->yes && !token_is(p, "false"))
		return expected(p, "true or false", written);
	return token_next(p);
}

static bool number_value(struct parser *p, const char *written, struct literal *v)
{
	if (p->token.kind != TOKEN_NUMBER)
		return expected(p, "a number", written);
	if (p->token.unit.len != 0)
		return parser_fail(p, p->token.at + p->token.digits.len,
				   "a unit here means nothing: durations are compared with "
				   "span.duration and trace.duration, sizes with trace.bytes");
	if (number_parse(p->token.digits, &v->number) != 0)
		return parser_fail(p, p->token.at, "`%.*s` is no number", (int)p->token.text.len,
				   (const char *)p->token.text.data);
	v->type = LITERAL_NUMBER;
	return token_next(p);
}

static bool text_value(struct parser *p, const char *what, const char *written, struct literal *v)
{
	if (p->token.kind != TOKEN_STRING)
		return expected(p, what, written);
	v->type = LITERAL_TEXT;
	v->text = p->token.text;
	return token_next(p);
}

bool value_parse(struct parser *p, const struct field_name *f, enum test_op op, const char *written,
		 struct literal *v)
{
	uint64_t ns = 0;
	switch (f->what) {
	case WHAT_DURATION:
		v->type = LITERAL_NUMBER;
		if (!fact_value_parse(p, FACT_DURATION, f->in_ms, written, &ns))
			return false;
		v->number = number_of_int((int64_t)ns);
		return true;
	case WHAT_KIND:
	case WHAT_STATUS:
		return kind_value(p, f, written, v);
	case WHAT_ERROR:
		return bool_value(p, written, v);
	default:
		break;
	}
	if (op >= TEST_BELOW && op <= TEST_AT_LEAST)
		return number_value(p, written, v);
	if (op == TEST_MATCHES)
		return text_value(p, "a pattern in quotes", written, v);
	if (op == TEST_CONTAINS || op == TEST_STARTS)
		return text_value(p, "a text in quotes", written, v);
	if (token_is(p, "true") || token_is(p, "false"))
		return bool_value(p, written, v);
	if (p->token.kind == TOKEN_NUMBER)
		return number_value(p, written, v);
	return text_value(p, "a text in quotes, a number, true or false", written, v);
}

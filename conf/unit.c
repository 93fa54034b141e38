/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

#define KIB ((uint64_t)1024)

/* Printing takes the first that divides, so the large ones stand first. */
static const struct unit SIZES[] = {
    {"TiB", KIB *KIB *KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"MiB", KIB *KIB},
    {"KiB", KIB},
    {"TB", 1000000000000},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"KB", 1000},
    {"B", 1},
    {NULL, 0},
};
static const struct unit TIMES[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit NONE[] = {{NULL, 0}};

/* A number and a unit; `bare` is the factor of a number without one, 0 where that is wrong. */
static int parse(const char *text, const struct unit *units, uint64_t bare, uint64_t *out)
{
	uint64_t n = 0;
	const char *at = text;
	for (; isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*at - '0'), &n))
			return UNIT_BAD;
	if (at == text)
		return UNIT_BAD;
	uint64_t factor = n == 0 ? 1 : bare;
	if (*at != '\0') {
		at += *at == ' ';
		while (units->name != NULL && strcasecmp(units->name, at) != 0)
			units++;
		factor = units->factor;
	}
	if (factor == 0 || __builtin_mul_overflow(n, factor, &n))
		return UNIT_BAD;
	*out = n;
	return 0;
}

int unit_size(const char *text, uint64_t *bytes)
{
	return parse(text, SIZES, 1, bytes);
}

int unit_time(const char *text, uint64_t *ms)
{
	return parse(text, TIMES, 0, ms);
}

int unit_count(const char *text, uint64_t *n)
{
	return parse(text, NONE, 1, n);
}

int unit_share(const char *text, bool bare, double *share)
{
	size_t whole = strspn(text, "0123456789"), len = whole;
	if (text[len] == '.')
		len += 1 + strspn(text + len + 1, "0123456789");
	bool percent = strcmp(text + len, "%") == 0 || strcmp(text + len, " %") == 0;
	if (whole == 0 || len > 20 || text[len - 1] == '.' || (!percent && text[len] != '\0'))
		return UNIT_BAD;
	double n = strtod(text, NULL); /* digits and a point: nothing else to misread */
	if (n > 100 || (n != 0 && !percent && !bare))
		return UNIT_BAD;
	*share = n / 100;
	return 0;
}

static void print(char out[UNIT_TEXT], const struct unit *units, uint64_t n)
{
	while (n == 0 ? units[1].name != NULL : n % units->factor != 0)
		units++;
	snprintf(out, UNIT_TEXT, "%" PRIu64 "%s", n / units->factor, units->name);
}

void unit_print_size(char out[UNIT_TEXT], uint64_t bytes)
{
	print(out, SIZES, bytes);
}

void unit_print_time(char out[UNIT_TEXT], uint64_t ms)
{
	print(out, TIMES, ms);
}

void unit_print_count(char out[UNIT_TEXT], uint64_t n)
{
	snprintf(out, UNIT_TEXT, "%" PRIu64, n);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/budget_month.h"

#include <math.h>
#include <stdbool.h>

enum { DAY_MS = 86400000 };

static bool is_leap(uint64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in(uint64_t year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return month == 1 && is_leap(year) ? 29 : days[month];
}

/* Counts whole 400 years, then years, then months, up to the first month that ends after it. */
struct month month_of(uint64_t unix_ms, unsigned billing_day)
{
	uint64_t shift = (uint64_t)(billing_day - 1) * DAY_MS;
	uint64_t at = unix_ms > shift ? (unix_ms - shift) / DAY_MS : 0;
	uint64_t era = at / 146097, day = era * 146097, year = 1970 + era * 400;
	while (at - day >= 365u + is_leap(year))
		day += 365u + is_leap(year++);
	unsigned month = 0;
	while (at - day >= days_in(year, month))
		day += days_in(year, month++);
	/* The month that began in this one ends `billing_day` days into the next. */
	return (struct month){day * DAY_MS + shift, (day + days_in(year, month)) * DAY_MS + shift};
}

double month_pace(struct month m, uint64_t unix_ms, double limit, double used, double least,
		  double most)
{
	double mean = limit / month_seconds(m);
	double left_s = unix_ms < m.end_ms ? (double)(m.end_ms - unix_ms) / 1000 : 0;
	double remaining = fmax(0, limit - used);
	return fmin(most * mean, fmax(least * mean, left_s > 0 ? remaining / left_s : 0));
}

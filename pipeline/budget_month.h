/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget_month.h - months in UTC that begin on a billing day, and the pace through one. */
#ifndef PIPELINE_BUDGET_MONTH_H
#define PIPELINE_BUDGET_MONTH_H

#include <stdint.h>

struct month {
	uint64_t begin_ms, end_ms; /* unix; the end is the next one's begin */
};

/* The month that `unix_ms` lies in. billing_day: 1 to 28. */
struct month month_of(uint64_t unix_ms, unsigned billing_day);

/* What remains by the seconds left, within `least` and `most` of the mean rate. */
double month_pace(struct month m, uint64_t unix_ms, double limit, double used, double least,
		  double most);

static inline double month_seconds(struct month m)
{
	return (double)(m.end_ms - m.begin_ms) / 1000;
}

#endif

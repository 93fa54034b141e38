/* SPDX-License-Identifier: Apache-2.0
 * relay/plan_text.h - what `spanrelay plan` prints. Volumes are of the time that is covered there,
 * and of a day and a month here. Private to relay/. */
#ifndef RELAY_PLAN_TEXT_H
#define RELAY_PLAN_TEXT_H

#include "pipeline/plan.h"

struct plan_prices {
	double million_spans, gb; /* below 0: not given */
};

/* Each gives a sysexits code. */
int plan_print_text(const struct plan_report *r, const struct plan_prices *prices);
int plan_print_json(const struct plan_report *r, const struct plan_prices *prices);

#endif

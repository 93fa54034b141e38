/* SPDX-License-Identifier: Apache-2.0
 * pipeline/plan.h - what another policy would do to recorded traffic (pipeline/recording.h).
 *
 * Each recorded trace is judged by the policy as the sampler would, and stands for 1 / share traces
 * like it; what the traces of a rule stand for is then scaled to the exact sums that are recorded
 * beside them, so that a small sample is right about the volume of rules and only estimates how it
 * divides anew. A rule with a fixed share keeps that share of each trace: nothing is tossed.
 *
 * Budgets and goals run in simulated time on the real code (pipeline/budget.h): every trace is
 * offered as often as it stands for, in its real size and spread over ten seconds, so that neither
 * `largest` nor a burst knows of the sample. Only whether one passes soft control is tossed, by
 * numbers that are spread evenly. What is kept is the expected volume, less the part that the
 * ceiling cut. It begins with a minute of the recording that is not counted. A month is paced at
 * its mean rate; a cap is applied to the sum of a month.
 *
 * Late spans are known as a sum: all volumes are larger by their part. No I/O. Volumes are of the
 * time that is covered. */
#ifndef PIPELINE_PLAN_H
#define PIPELINE_PLAN_H

#include "pipeline/recording.h"

struct plan;
int plan_create(struct plan **out, const struct policy *policy); /* 0 or -ENOMEM */
void plan_destroy(struct plan *p);

/* Parts in the order of their time; borrows. 0, RECORDING_BAD (its spans are not what it says) or
 * -ENOMEM. */
int plan_add(struct plan *p, const struct part_view *v);
int plan_run(struct plan *p); /* 0 or negative */

#define PLAN_MONTH_S (30.436875 * 86400) /* the mean one */

struct volume {
	double traces, spans, bytes;
};

struct plan_rule {
	const char *name;
	bool is_old, is_new; /* in the running configuration; in the policy */
	struct volume offered_now, kept_now, offered, kept;
	double month; /* of what is kept: the part that the caps of its budgets leave of a month */
};

/* Of traces that `from` decided and `to` would. */
struct plan_move {
	const char *from, *to;
	struct volume offered, now, planned;
	struct volume newly_kept, newly_dropped;
};

struct plan_budget {
	const char *name;
	bool has_keys; /* then a goal of its keys is not shown */
	struct {
		double goal;          /* per second; 0: none */
		double month;         /* 0: none */
		double offered, kept; /* per second */
		double cut;           /* of it, by the ceiling */
	} unit[BUDGET_UNITS];
	enum budget_month_policy month_policy;
};

struct plan_report {
	uint64_t begin_ms, end_ms; /* Unix time */
	double covered_s;
	uint64_t traces, spans; /* recorded */
	double share;           /* of all traces that were decided */
	double late_share;      /* late spans, of all spans */
	struct volume offered, kept_now, kept;
	double month; /* as of a rule */
	struct plan_rule *rules;
	size_t n_rules;
	struct plan_move *moves;
	size_t n_moves;
	struct plan_budget *budgets;
	size_t n_budgets;
};
const struct plan_report *plan_report(const struct plan *p); /* after plan_run() */

#endif

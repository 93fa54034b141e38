/* SPDX-License-Identifier: Apache-2.0
 * relay/view.h - what the judge room shows of itself: a copy, made when a page asks. Private to
 * relay/. */
#ifndef RELAY_VIEW_H
#define RELAY_VIEW_H

#include "pipeline/sampler.h"

struct judge_view {
	const struct policy *policy;  /* borrowed; names of rules and budgets */
	struct sampler_report report; /* its rules are in this memory */
	unsigned n_budgets;
	struct budget_report *budgets; /* by policy->nodes */
};

/* NULL: no memory. Freed with free(). */
struct judge_view *view_create(const struct policy *p, const struct sampler *s,
			       const struct budget *b);

/* What is known of a trace, for `spanrelay explain`. */
struct explanation {
	uint8_t trace_id[16];
	enum sampler_state state;
	struct decision decision; /* of SAMPLER_PENDING: as it would be decided now */
	struct met_by met;        /* of 0 spans: none, or it is not known */
	bool has_details; /* of SAMPLER_DECIDED: the whole record; else verdict and rule only */
	char rule[64], would[64]; /* names; "": not known any more, none */
	uint64_t generation;      /* of the policy it was decided by */
	uint64_t decided_unix_ms, due_unix_ms;
	/* The budgets on its way, from the rule up, as they are now. */
	unsigned n_budgets;
	struct {
		char name[64];
		double goal, offered, level; /* spans; goal of INFINITY: none */
	} budgets[BUDGET_DEPTH];
};

#endif

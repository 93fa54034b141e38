/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget_cut.h - which candidates pass a bucket that cannot hold them all.
 *
 * Ranked by the randomness above their own threshold, r = (R - T) / (2^56 - T), spent from the top,
 * stopping at the first that does not fit; T is raised to T + c (2^56 - T), with c its r, and by
 * one more. Whether a trace passes then depends on its own R and on others' R alone, so counts by
 * the raised thresholds have no bias. For that, each candidate must fit if it is ranked first:
 * nothing is cut before the bucket holds the largest. Everything else is decided by sizes, never by
 * R. Source: reference sampling-and-budgets 5.2. */
#ifndef PIPELINE_BUDGET_CUT_H
#define PIPELINE_BUDGET_CUT_H

#include "pipeline/budget.h"

struct cut_item {
	struct budget_candidate *candidate;
	uint64_t threshold; /* as raised so far */
	double amount[BUDGET_UNITS];
	double weight; /* scratch */
	uint64_t rank; /* scratch: smaller is kept first */
	struct cut_item *next;
	unsigned depth;              /* of its first node */
	uint32_t slot[BUDGET_DEPTH]; /* its key at each node of the path */
	uint32_t group;              /* scratch: of these, the one at hand */
	bool protected;
	enum budget_verdict verdict; /* BUDGET_KEEP while it is in the running */
};

/* What may be spent. `all` less `main` is the reserve, for protected ones. INFINITY for no limit.
 * `month` is what the month has left, for normal and for protected ones: who is larger than that
 * gets no chance any more. */
struct gate {
	double main[BUDGET_UNITS], all[BUDGET_UNITS];
	double full_main[BUDGET_UNITS], full_all[BUDGET_UNITS]; /* the most they can become */
	double month[2][BUDGET_UNITS];                          /* by `protected` */
	double weight; /* of protected ones beyond the reserve */
};

/* Sets verdicts of those who must wait, or whose month is over. */
void gate_ready(const struct gate *g, struct cut_item **items, unsigned n);

/* Cuts those of `items` in the running down to what the gate holds: the verdict of what is cut
 * becomes BUDGET_OVER, the threshold of all is raised. Sorts `items`. */
void gate_cut(const struct gate *g, struct cut_item **items, unsigned n);

#endif

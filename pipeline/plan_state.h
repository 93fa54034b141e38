/* SPDX-License-Identifier: Apache-2.0
 * pipeline/plan_state.h - what a plan is made of. Only pipeline/plan*.c include this. */
#ifndef PIPELINE_PLAN_STATE_H
#define PIPELINE_PLAN_STATE_H

#include "base/charge.h"
#include "pipeline/plan.h"
#include "pipeline/sampler_state.h"

/* A recorded trace, judged. */
struct plan_item {
	double at_s;   /* of the time that is covered */
	double weight; /* how many it stands for */
	double spans, bytes;
	double was;       /* the share that traces like it were kept with */
	double own;       /* and that its new rule keeps by itself, of those that came */
	uint64_t arrived; /* the threshold that it came with */
	uint16_t from, to;
	bool budgeted;
	struct budget_offer offer;
};

/* A rule of a running configuration. */
struct plan_source {
	char name[CONF_RULE_NAME + 8];
	struct tally all;
	struct volume recorded; /* what the sample says of `all` */
	double expected;        /* spans, by the shares that were kept of traces like them */
};

/* Sums over traces that were decided by `from` and are by `to`. */
struct plan_pair {
	struct volume offered, was, soft, up; /* up: soft beyond `was` */
	double candidates, kept;              /* spans, before the ceiling and after it */
};

enum { PLAN_SOURCES = 1024 };
#define PLAN_KEY ((struct siphash_key){0x706c616e, 1})

struct plan {
	const struct policy *policy;
	struct sampler *judge; /* its tables and its judgement */
	struct budget *budget;
	struct condition_scratch *scratch;
	struct account account;
	struct plan_item *items;
	size_t n_items, room_items;
	struct plan_source *sources;
	size_t n_sources, room_sources;
	struct plan_pair *pairs; /* n_sources * policy->n_rules */
	uint64_t late_spans, late_bytes;
	struct volume all; /* decided, late spans not counted */
	struct plan_report report;
};

static inline struct plan_pair *plan_pair_at(const struct plan *p, uint32_t from, uint32_t to)
{
	return &p->pairs[(size_t)from * p->policy->n_rules + to];
}

static inline void volume_add(struct volume *v, const struct volume *more, double part)
{
	v->traces += more->traces * part;
	v->spans += more->spans * part;
	v->bytes += more->bytes * part;
}

/* plan_budget.c. A budget of the policy's nodes, its months as rates, for traces that are `times`
 * as large as they may be. 0 or negative. */
int plan_budget_create(struct budget **out, const struct policy *p, double times);
/* Offers what has to pass a budget, and fills the pairs and report.budgets. 0 or
 * negative. */
int plan_simulate(struct plan *p);

#endif

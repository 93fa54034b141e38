/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget_node.h - what a budget is made of. Only pipeline/budget*.c include this. */
#ifndef PIPELINE_BUDGET_NODE_H
#define PIPELINE_BUDGET_NODE_H

#include <math.h>

#include "pipeline/budget.h"
#include "pipeline/budget_cut.h"
#include "pipeline/budget_keys.h"
#include "pipeline/budget_month.h"

/* What each charge changes. */
struct bucket {
	double level, reserve; /* tokens; the reserve is part of the level */
	double used;           /* this month */
	double kept, over, late_over;
};

struct node {
	struct budget_node_options o; /* defaults filled in; `name` is the node's own */
	unsigned depth;               /* 0 at a root */
	uint64_t as_child;            /* its key at a parent that has none of its own */
	struct bucket bucket[BUDGET_UNITS];
	double capacity[BUDGET_UNITS], debt[BUDGET_UNITS];
	double goal[BUDGET_UNITS]; /* as paced; INFINITY for none */
	struct month month;

	/* Soft control: decayed volumes, in decayed seconds of `time`. */
	struct keys keys; /* of a node without key_fields: its children, and 0 for what is direct */
	double late[BUDGET_UNITS], time;
	double room[BUDGET_UNITS]; /* of the bucket, what the parents were not yet told of */
	double lift[BUDGET_UNITS]; /* on the goal, by how full the bucket was: soft_goal() */
	bool traffic;              /* since the last update */
};

struct budget {
	struct node *nodes;
	unsigned n_nodes;
	double largest[BUDGET_UNITS];
	double update_s, average_s;
	struct siphash_key hash_key;
	struct budget_now last;
	uint64_t since_update_ms;

	unsigned max_candidates; /* scratch of a tick */
	struct cut_item *items, **picked;
	struct cut_item **at_node; /* lists by cut_item.next */
};

/* The key under which a trace takes part in a node: `i` steps from its first node. */
uint64_t node_key(const struct budget *b, const struct budget_path *p, unsigned i, unsigned node);

/* The goals and months of all nodes as of `unix_ms`, and soft control's update. */
void budget_pace(struct budget *b, uint64_t unix_ms);
void budget_update(struct budget *b, double elapsed_s);

static inline double each_limit(const struct node *n, int unit)
{
	double each = n->o.limit[unit].per_second_each;
	return each > 0 ? each : INFINITY;
}

static inline bool has_each(const struct node *n)
{
	return n->o.limit[BUDGET_SPANS].per_second_each > 0 ||
	       n->o.limit[BUDGET_BYTES].per_second_each > 0;
}

#endif

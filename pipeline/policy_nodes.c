/* SPDX-License-Identifier: Apache-2.0
 * pipeline/policy_nodes.c - budgets and goals of rules as nodes of one forest, and their keys. */
#include <stdio.h>

#include "pipeline/policy_build.h"

/* A chapter remembers the keys of four nodes (pipeline/decision.h). */
enum { KEYED_NODES = 4, WHAT_BYTES = 64 };

_Static_assert((int)MONTH_PACE == BUDGET_PACE && (int)MONTH_CAP == BUDGET_CAP &&
		   (int)MONTH_REPORT == BUDGET_REPORT,
	       "one list of policies");
_Static_assert((int)CONF_MAX_BY == POLICY_KEY_FIELDS, "one limit");
_Static_assert(CONF_MAX_RULES + CONF_MAX_BUDGETS <= BUDGET_NODES, "all of them fit");

/* ---- keys ---- */

/* What tells one list of fields from another, for ever. */
static uint64_t hash_fields(const struct conf_by *by)
{
	static const struct siphash_key FIXED = {0x6669656c6473, 0};
	uint64_t chain[2] = {by->n, 0};
	for (size_t i = 0; i < by->n; i++) {
		chain[1] = siphash(&FIXED, by->fields[i].text, strlen(by->fields[i].text));
		chain[0] = siphash(&FIXED, chain, sizeof(chain));
	}
	return chain[0] != 0 ? chain[0] : 1;
}

static void make_key(struct policy_build *b, unsigned node, const struct conf_by *by,
		     const char *what)
{
	struct policy_key *key = &b->p->keys[node];
	for (size_t i = 0; i < by->n && !b->no_memory; i++) {
		const struct conf_text *t = &by->fields[i];
		struct condition_error why;
		uint32_t field = 0;
		int rc = condition_add_field(b->p->set, slice_str(t->text), &field, &why);
		if (rc == CONDITION_BAD)
			policy_fault(b, t, what, &why);
		b->no_memory = b->no_memory || rc < 0;
		key->field[key->n++] = (uint8_t)field;
	}
	if (by->n != 0)
		b->p->nodes[node].key_fields = hash_fields(by);
}

/* ---- nodes ---- */

static unsigned add_node(struct policy_build *b, const char *name, uint16_t parent,
			 struct conf_place at)
{
	unsigned n = b->p->n_nodes++;
	b->p->nodes[n].name = name;
	b->p->nodes[n].parent = parent;
	b->node_at[n] = place_at(at);
	return n;
}

static void add_budget(struct policy_build *b, size_t i)
{
	const struct conf_budget *from = &b->c->budgets[i];
	uint16_t parent = from->parent_index == CONF_NO_BUDGET
			      ? BUDGET_ROOT
			      : b->node_of_budget[from->parent_index];
	char what[WHAT_BYTES];
	unsigned n = add_node(b, policy_keep(b, "", from->name), parent, from->at);
	struct budget_node_options *o = &b->p->nodes[n];
	struct budget_limit *spans = &o->limit[BUDGET_SPANS], *bytes = &o->limit[BUDGET_BYTES];
	bool each = from->by.n != 0;
	b->node_of_budget[i] = (uint16_t)n;
	*(each ? &spans->per_second_each : &spans->per_second) = (double)from->spans_per_second;
	*(each ? &bytes->per_second_each : &bytes->per_second) = (double)from->bytes_per_second;
	spans->per_month = (double)from->spans_per_month;
	bytes->per_month = (double)from->bytes_per_month;
	o->max_keys = each ? (unsigned)from->max_keys : 0;
	o->weight = (double)from->weight;
	o->month_policy = (enum budget_month_policy)from->month_policy;
	o->billing_day = (unsigned)from->billing_day;
	o->reserve = o->cap_reserve = from->reserve;
	o->burst_s = (double)from->burst_ms / 1000;
	o->debt_s = (double)from->debt_ms / 1000;
	snprintf(what, sizeof(what), "budgets[%zu].by", i);
	make_key(b, n, &from->by, what);
}

/* A dry run has a goal of its own and no budget: it must not take from those that count. */
static void add_goal(struct policy_build *b, size_t i)
{
	const struct conf_rule *from = &b->c->sampling.rules[i];
	struct policy_rule *rule = &b->p->rules[i];
	char what[WHAT_BYTES];
	unsigned n = add_node(b, policy_keep(b, "rule/", from->name), rule->node, from->at);
	struct budget_node_options *o = &b->p->nodes[n];
	o->limit[BUDGET_SPANS].per_second = (double)from->keep.spans_per_second;
	o->limit[BUDGET_BYTES].per_second = (double)from->keep.bytes_per_second;
	o->goal_share = from->keep.goal;
	o->max_keys = from->keep.by.n != 0 ? (unsigned)from->keep.max_keys : 0;
	rule->node = (uint16_t)n;
	snprintf(what, sizeof(what), "sampling.rules[%zu].keep.by", i);
	make_key(b, n, &from->keep.by, what);
}

static unsigned keyed_on_way(const struct policy_build *b, unsigned node)
{
	unsigned keyed = 0;
	for (unsigned n = node; n != BUDGET_ROOT; n = b->p->nodes[n].parent)
		keyed += b->p->keys[n].n != 0;
	return keyed;
}

/* The child through which all comes that a node pays for, or BUDGET_ROOT. */
static unsigned only_child(const struct policy_build *b, unsigned node)
{
	unsigned child = BUDGET_ROOT;
	for (size_t i = 0; i < b->p->n_rules; i++)
		if (b->p->rules[i].node == node)
			return BUDGET_ROOT;
	for (unsigned n = 0; n < b->p->n_nodes; n++) {
		if (b->p->nodes[n].parent != node)
			continue;
		if (child != BUDGET_ROOT)
			return BUDGET_ROOT;
		child = n;
	}
	return child;
}

/* total -> per team: the total has the teams for keys too. Else it knows one child, and when some
 * teams come to their limits at once it thins all alike: a few that forge errors would take what
 * is due to the others. */
static void inherit_keys(struct policy_build *b, unsigned node)
{
	unsigned child = only_child(b, node);
	if (b->p->keys[node].n != 0 || child >= b->c->n_budgets)
		return; /* none, or a rule's goal, which stands behind the budgets */
	b->p->keys[node] = b->p->keys[child];
	for (unsigned n = 0; n < b->p->n_nodes; n++)
		if (keyed_on_way(b, n) > KEYED_NODES) {
			b->p->keys[node] = (struct policy_key){0};
			return;
		}
	b->p->nodes[node].key_fields = b->p->nodes[child].key_fields;
	b->p->nodes[node].max_keys = b->p->nodes[child].max_keys;
}

/* The way from a node to its root: no deeper than a trace can be charged on, with no more keys than
 * its record holds. */
static void check_way(struct policy_build *b, unsigned node)
{
	unsigned depth = 0, keyed = keyed_on_way(b, node);
	for (unsigned n = node; n != BUDGET_ROOT; n = b->p->nodes[n].parent)
		depth++;
	if (depth > BUDGET_DEPTH)
		report_fault(b->r, b->node_at[node],
			     "\"%s\" stands under %u budgets: wanted at most %d, a rule's goal "
			     "counted",
			     b->p->nodes[node].name, depth - 1, BUDGET_DEPTH - 1);
	else if (keyed > KEYED_NODES)
		report_fault(
		    b->r, b->node_at[node],
		    "\"%s\" and the budgets above it have `by` %u times: wanted at most %d",
		    b->p->nodes[node].name, keyed, KEYED_NODES);
}

/* A bucket holds the largest trace: where that takes long to fill, volume comes in lumps. */
static void check_lumps(struct policy_build *b, unsigned node)
{
	const struct budget_node_options *o = &b->p->nodes[node];
	const struct budget_limit *l = &o->limit[BUDGET_SPANS];
	double rate = l->per_second > 0 ? l->per_second : l->per_second_each;
	if (rate > 0 && b->p->trace_spans > 60 * rate)
		report_warning(b->r, b->node_at[node],
			       "\"%s\": one trace at sampling.trace_spans takes %.0f seconds of "
			       "its spans_per_second: lower trace_spans, or it comes in lumps",
			       o->name, b->p->trace_spans / rate);
}

/* What budget_create() would refuse is found here, not at the start. */
static void try_nodes(struct policy_build *b)
{
	struct budget_options o = {.nodes = b->p->nodes,
				   .n_nodes = b->p->n_nodes,
				   .largest = {b->p->trace_spans, (double)b->p->trace_bytes},
				   .max_candidates = 1};
	struct budget *budget = NULL;
	const char *reason;
	unsigned node;
	int rc = budget_create(&budget, &o, (struct budget_now){0, 0}, &reason, &node);
	if (rc == BUDGET_BAD)
		report_fault(b->r, b->node_at[node], "\"%s\": %s", b->p->nodes[node].name, reason);
	b->no_memory = b->no_memory || rc < 0;
	budget_destroy(budget);
}

static bool is_ready(const struct policy_build *b, size_t i)
{
	uint32_t parent = b->c->budgets[i].parent_index;
	return parent == CONF_NO_BUDGET || b->node_of_budget[parent] != BUDGET_ROOT;
}

void policy_make_nodes(struct policy_build *b)
{
	size_t n_budgets = b->c->n_budgets, n_rules = b->c->sampling.n_rules;
	b->p->nodes = policy_alloc(b, n_budgets + n_rules, sizeof(*b->p->nodes));
	b->p->keys = policy_alloc(b, n_budgets + n_rules, sizeof(*b->p->keys));
	b->node_at = policy_alloc(b, n_budgets + n_rules, sizeof(*b->node_at));
	b->node_of_budget = policy_alloc(b, n_budgets, sizeof(*b->node_of_budget));
	if (b->no_memory)
		return;
	for (size_t i = 0; i < n_budgets; i++)
		b->node_of_budget[i] = BUDGET_ROOT; /* not yet */
	for (size_t round = 0; round < n_budgets && b->p->n_nodes < n_budgets; round++)
		for (size_t i = 0; i < n_budgets; i++)
			if (b->node_of_budget[i] == BUDGET_ROOT && is_ready(b, i))
				add_budget(b, i);
	for (size_t i = 0; i < n_rules; i++) {
		const struct conf_rule *rule = &b->c->sampling.rules[i];
		bool pays = !rule->dry_run && b->p->rules[i].share > 0;
		if (rule->budget_index != CONF_NO_BUDGET && pays)
			b->p->rules[i].node = b->node_of_budget[rule->budget_index];
		if (rule->keep.kind == KEEP_GOAL)
			add_goal(b, i);
	}
	for (unsigned n = b->p->n_nodes; n-- > 0;)
		inherit_keys(b, n);
	for (unsigned n = 0; n < b->p->n_nodes; n++) {
		check_way(b, n);
		check_lumps(b, n);
	}
	if (b->p->n_nodes != 0 && !b->no_memory && b->r->faults == 0)
		try_nodes(b);
}

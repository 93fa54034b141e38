/* SPDX-License-Identifier: Apache-2.0
 * The forest of nodes and its buckets. */
#include "pipeline/budget.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/budget_node.h"
#include "wire/tracestate.h"

static const double MONTH_S = 30.436875 * 86400; /* the mean one: only for the size of a bucket */

/* ---- building ---- */

static const char *check_limit(const struct budget_limit *l)
{
	const double all[] = {l->per_second, l->per_second_each, l->per_month};
	for (unsigned i = 0; i < 3; i++)
		if (!(all[i] >= 0 && all[i] < 1e18))
			return "a limit is a number from 0 to 1e18";
	return NULL;
}

static const char *check_node(const struct budget_options *o, unsigned i)
{
	const struct budget_node_options *n = &o->nodes[i];
	const char *bad = check_limit(&n->limit[BUDGET_SPANS]);
	if (bad == NULL)
		bad = check_limit(&n->limit[BUDGET_BYTES]);
	if (bad != NULL)
		return bad;
	if (n->name == NULL || n->name[0] == '\0' || strlen(n->name) > BUDGET_NAME)
		return "a name has 1 to 64 bytes";
	for (unsigned j = 0; j < i; j++)
		if (strcmp(o->nodes[j].name, n->name) == 0)
			return "two have this name";
	if (n->parent != BUDGET_ROOT && n->parent >= i)
		return "a parent stands before its children";
	if (!(n->weight >= 0 && n->weight <= 1e6) ||
	    !(n->protected_weight >= 0 && n->protected_weight <= 1e6))
		return "a weight is a number from 0 to 1e6";
	if (!(n->goal_share >= 0 && n->goal_share <= 1))
		return "a share is a number from 0 to 1";
	if (!(n->reserve >= 0 && n->reserve <= 0.95) ||
	    !(n->cap_reserve >= 0 && n->cap_reserve <= 1))
		return "a reserve is a share from 0 to 0.95";
	if (!(n->burst_s >= 0 && n->burst_s <= 3600) || !(n->debt_s >= 0 && n->debt_s <= 3600))
		return "burst and debt are 0 to 3600 seconds";
	if (!(n->pace_min >= 0 && n->pace_min <= 1) || !(n->pace_max >= 0 && n->pace_max <= 1e6) ||
	    (n->pace_max > 0 && n->pace_max < 1))
		return "the pace is at least 0 to 1 and at most 1 or more of the mean";
	if (n->billing_day > 28)
		return "a billing day is 1 to 28";
	if (n->max_keys > BUDGET_KEYS)
		return "too many keys";
	if (has_each(&(struct node){.o = *n}) && n->key_fields == 0)
		return "a limit for each key wants keys";
	return NULL;
}

static void set_default(double *v, double to)
{
	*v = *v > 0 ? *v : to;
}

/* The burst, or else the largest trace and some more: it must not need the bucket to the brim. */
static double hold(double burst, double largest)
{
	return fmax(burst, largest + fmin(largest, burst));
}

static void size_buckets(const struct budget *b, struct node *n)
{
	for (int u = 0; u < BUDGET_UNITS; u++) {
		const struct budget_limit *l = &n->o.limit[u];
		double rate = l->per_second > 0 ? l->per_second : INFINITY;
		if (l->per_month > 0 && n->o.month_policy == BUDGET_PACE)
			rate = fmin(rate, l->per_month / MONTH_S);
		if (isinf(rate))
			rate = 0;
		n->capacity[u] = hold(n->o.burst_s * rate, b->largest[u] / (1 - n->o.reserve));
		n->debt[u] = n->o.debt_s * rate;
		n->bucket[u].level = n->capacity[u];
		n->bucket[u].reserve = n->o.reserve * n->capacity[u];
		n->keys.full[u] = hold(n->o.burst_s * l->per_second_each, b->largest[u]);
		n->room[u] = n->capacity[u];
		for (uint32_t c = n->keys.max; c < keys_end(&n->keys); c++)
			n->keys.entries[c].level[u] = n->keys.entries[c].room[u] = n->keys.full[u];
	}
}

static uint64_t child_key(const struct budget *b, const char *name)
{
	return siphash(&b->hash_key, name, strlen(name));
}

static int node_init(struct budget *b, unsigned i, const struct budget_options *o)
{
	struct node *n = &b->nodes[i];
	n->o = o->nodes[i];
	n->o.name = strdup(n->o.name);
	if (n->o.name == NULL)
		return -ENOMEM;
	n->as_child = child_key(b, n->o.name);
	set_default(&n->o.weight, 1);
	set_default(&n->o.protected_weight, 4);
	set_default(&n->o.pace_min, 0.1);
	set_default(&n->o.pace_max, 3);
	set_default(&n->o.burst_s, 2);
	set_default(&n->o.debt_s, 2);
	n->o.billing_day = n->o.billing_day != 0 ? n->o.billing_day : 1;
	n->depth = n->o.parent == BUDGET_ROOT ? 0 : b->nodes[n->o.parent].depth + 1;
	unsigned max = n->o.max_keys != 0 ? n->o.max_keys : 500, children = 0;
	for (unsigned j = i + 1; j < o->n_nodes; j++)
		children += o->nodes[j].parent == i;
	int rc = keys_init(&n->keys, n->o.key_fields != 0 ? max : children + 1);
	if (rc != 0)
		return rc;
	size_buckets(b, n);
	for (unsigned j = i + 1; n->o.key_fields == 0 && j < o->n_nodes; j++)
		if (o->nodes[j].parent == i) {
			struct key *e = keys_add(&n->keys, child_key(b, o->nodes[j].name));
			e->weight = o->nodes[j].weight > 0 ? o->nodes[j].weight : 1;
		}
	return 0;
}

static int build(struct budget *b, const struct budget_options *o, const char **reason,
		 unsigned *node)
{
	for (unsigned i = 0; i < o->n_nodes; i++) {
		*node = i;
		*reason = check_node(o, i);
		if (*reason != NULL)
			return BUDGET_BAD;
		int rc = node_init(b, i, o);
		if (rc != 0)
			return rc;
		if (b->nodes[i].depth >= BUDGET_DEPTH) {
			*reason = "too many parents above it";
			return BUDGET_BAD;
		}
	}
	return 0;
}

int budget_create(struct budget **out, const struct budget_options *o, struct budget_now now,
		  const char **reason, unsigned *node)
{
	*node = 0;
	*reason = "1 to 1024 nodes, and limits for the largest trace";
	if (o->n_nodes == 0 || o->n_nodes > BUDGET_NODES || !(o->largest[BUDGET_SPANS] >= 1) ||
	    !(o->largest[BUDGET_BYTES] >= 1) || !(o->update_s >= 0) || !(o->average_s >= 0))
		return BUDGET_BAD;
	struct budget *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	memcpy(b->largest, o->largest, sizeof(b->largest));
	b->update_s = o->update_s > 0 ? o->update_s : 1;
	b->average_s = o->average_s > 0 ? o->average_s : 10;
	b->hash_key = o->hash_key;
	b->last = now;
	b->max_candidates = o->max_candidates != 0 ? o->max_candidates : 65536;
	b->nodes = calloc(o->n_nodes, sizeof(*b->nodes));
	b->n_nodes = b->nodes != NULL ? o->n_nodes : 0;
	b->items = calloc(b->max_candidates, sizeof(*b->items));
	b->picked = calloc(b->max_candidates, sizeof(struct cut_item *));
	b->at_node = calloc(o->n_nodes, sizeof(struct cut_item *));
	int rc = -ENOMEM;
	if (b->nodes != NULL && b->items != NULL && b->picked != NULL && b->at_node != NULL)
		rc = build(b, o, reason, node);
	if (rc != 0) {
		budget_destroy(b);
		return rc;
	}
	budget_pace(b, now.unix_ms);
	*out = b;
	return 0;
}

void budget_destroy(struct budget *b)
{
	if (b == NULL)
		return;
	for (unsigned i = 0; i < b->n_nodes; i++) {
		keys_finish(&b->nodes[i].keys);
		free((void *)(uintptr_t)b->nodes[i].o.name);
	}
	free(b->nodes);
	free(b->items);
	free((void *)b->picked);
	free((void *)b->at_node);
	free(b);
}

/* ---- the way of a trace ---- */

/* Lengths part the values: "ab" and "c" are not "a" and "bc". */
uint64_t budget_key(const struct siphash_key *k, const struct slice *values, size_t n)
{
	uint64_t h = n;
	for (size_t i = 0; i < n; i++) {
		uint64_t parts[3] = {h, values[i].len,
				     siphash(k,
					     values[i].len != 0 ? (const void *)values[i].data : "",
					     values[i].len)};
		h = siphash(k, parts, sizeof(parts));
	}
	return h;
}

uint64_t node_key(const struct budget *b, const struct budget_path *p, unsigned i, unsigned node)
{
	if (b->nodes[node].o.key_fields != 0)
		return p->keys[i];
	if (i == 0)
		return 0;
	unsigned from = p->node;
	while (b->nodes[from].o.parent != node)
		from = b->nodes[from].o.parent;
	return b->nodes[from].as_child;
}

/* ---- buckets ---- */

static void refill(struct budget *b, double dt)
{
	for (unsigned i = 0; i < b->n_nodes; i++) {
		struct node *n = &b->nodes[i];
		for (int u = 0; u < BUDGET_UNITS; u++) {
			struct bucket *k = &n->bucket[u];
			double more = isinf(n->goal[u]) ? n->capacity[u] : n->goal[u] * dt;
			k->level = fmin(n->capacity[u], k->level + more);
			k->reserve =
			    fmin(n->o.reserve * n->capacity[u], k->reserve + n->o.reserve * more);
			k->reserve = fmin(k->reserve, fmax(k->level, 0));
		}
		if (!has_each(n))
			continue;
		for (uint32_t j = keys_first(&n->keys); j < keys_end(&n->keys);
		     j = keys_next(&n->keys, j)) {
			struct key *e = &n->keys.entries[j];
			for (int u = 0; u < BUDGET_UNITS; u++)
				e->level[u] =
				    fmin(n->keys.full[u],
					 e->level[u] + n->o.limit[u].per_second_each * dt);
		}
	}
}

static struct gate node_gate(const struct node *n)
{
	struct gate g = {.weight = n->o.protected_weight};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		const struct bucket *k = &n->bucket[u];
		double limit = n->o.limit[u].per_month;
		g.all[u] = isinf(n->goal[u]) ? INFINITY : k->level;
		g.main[u] = isinf(n->goal[u]) ? INFINITY : k->level - k->reserve;
		g.full_all[u] = isinf(n->goal[u]) ? INFINITY : n->capacity[u];
		g.full_main[u] = g.full_all[u] * (1 - n->o.reserve);
		g.month[0][u] = g.month[1][u] = INFINITY;
		if (limit > 0 && n->o.month_policy == BUDGET_CAP) {
			g.month[0][u] = limit * (1 - n->o.cap_reserve) - k->used;
			g.month[1][u] = limit - k->used;
		}
		g.main[u] = fmin(g.main[u], g.month[0][u]);
		g.all[u] = fmin(g.all[u], g.month[1][u]);
		g.full_main[u] = fmin(g.full_main[u], g.month[0][u]);
		g.full_all[u] = fmin(g.full_all[u], g.month[1][u]);
	}
	return g;
}

/* Of one key: no reserve, no month. */
static struct gate key_gate(const struct node *n, const struct key *e)
{
	struct gate g = {.weight = n->o.protected_weight};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		g.main[u] = g.all[u] = isinf(each_limit(n, u)) ? INFINITY : e->level[u];
		g.full_main[u] = g.full_all[u] = isinf(g.all[u]) ? INFINITY : n->keys.full[u];
		g.month[0][u] = g.month[1][u] = INFINITY;
	}
	return g;
}

/* Below 0 for giving back. */
static void charge(struct node *n, struct key *e, const double amount[BUDGET_UNITS], bool protected)
{
	for (int u = 0; u < BUDGET_UNITS; u++) {
		struct bucket *k = &n->bucket[u];
		k->kept = fmax(0, k->kept + amount[u]);
		k->used = fmax(0, k->used + amount[u]);
		if (!isinf(n->goal[u]))
			k->level = fmin(n->capacity[u], k->level - amount[u]);
		if (protected)
			k->reserve = fmax(0, k->reserve - amount[u]);
		k->reserve = fmin(k->reserve, fmax(k->level, 0));
		if (!isinf(each_limit(n, u)))
			e->level[u] = fmin(n->keys.full[u], e->level[u] - amount[u]);
	}
}

/* ---- a tick ---- */

typedef void stage(const struct gate *g, struct cut_item **items, unsigned n);

static int by_slot(const void *a, const void *b)
{
	const struct cut_item *x = *(struct cut_item *const *)a, *y = *(struct cut_item *const *)b;
	return (x->group > y->group) - (x->group < y->group);
}

/* The buckets of a node's keys, before its own. */
static void run_keys(struct node *n, stage *run, struct cut_item **items, unsigned m)
{
	for (unsigned i = 0; i < m; i++) {
		unsigned step = items[i]->depth - n->depth;
		items[i]->group = items[i]->slot[step];
	}
	qsort((void *)items, m, sizeof(struct cut_item *), by_slot);
	for (unsigned i = 0, end = 0; i < m; i = end) {
		while (end < m && items[end]->group == items[i]->group)
			end++;
		struct gate g = key_gate(n, &n->keys.entries[items[i]->group]);
		run(&g, items + i, end - i);
	}
}

static void count_over(struct node *n, struct cut_item *const *items, unsigned m)
{
	for (unsigned i = 0; i < m; i++)
		for (int u = 0; u < BUDGET_UNITS; u++)
			if (items[i]->verdict == BUDGET_OVER)
				n->bucket[u].over += items[i]->amount[u];
}

/* From the leaves to the roots: children stand behind their parents. */
static void run_stage(struct budget *b, unsigned n_items, stage *run)
{
	memset((void *)b->at_node, 0, b->n_nodes * sizeof(struct cut_item *));
	for (unsigned i = n_items; i-- > 0;) {
		struct cut_item **list = &b->at_node[b->items[i].candidate->path.node];
		b->items[i].next = *list;
		*list = &b->items[i];
	}
	for (unsigned i = b->n_nodes; i-- > 0;) {
		struct node *n = &b->nodes[i];
		unsigned m = 0;
		for (struct cut_item *c = b->at_node[i]; c != NULL; c = c->next)
			if (c->verdict == BUDGET_KEEP)
				b->picked[m++] = c;
		if (m == 0)
			continue;
		if (has_each(n))
			run_keys(n, run, b->picked, m);
		struct gate g = node_gate(n);
		run(&g, b->picked, m);
		count_over(n, b->picked, m);
		if (n->o.parent == BUDGET_ROOT)
			continue;
		struct cut_item **up = &b->at_node[n->o.parent];
		for (struct cut_item *c = b->at_node[i], *next; c != NULL; c = next) {
			next = c->next;
			c->next = *up;
			*up = c;
		}
	}
}

static void fill_item(struct budget *b, struct cut_item *c, struct budget_candidate *from)
{
	*c = (struct cut_item){.candidate = from,
			       .threshold = from->threshold,
			       .amount = {from->spans, from->bytes},
			       .depth = b->nodes[from->path.node].depth,
			       .protected = from->protected,
			       .verdict = BUDGET_KEEP};
	unsigned i = 0;
	for (unsigned at = from->path.node; at != BUDGET_ROOT; at = b->nodes[at].o.parent, i++)
		c->slot[i] = keys_meet(&b->nodes[at].keys, node_key(b, &from->path, i, at));
	if (from->spans > b->largest[BUDGET_SPANS] || from->bytes > b->largest[BUDGET_BYTES] ||
	    from->randomness < from->threshold)
		c->verdict = BUDGET_OVER;
}

static void settle(struct budget *b, const struct cut_item *c)
{
	unsigned i = 0;
	c->candidate->verdict = c->verdict;
	if (c->verdict == BUDGET_WAIT)
		return; /* as if it had not been here */
	c->candidate->threshold = c->threshold;
	for (unsigned at = c->candidate->path.node; at != BUDGET_ROOT && c->verdict == BUDGET_KEEP;
	     at = b->nodes[at].o.parent, i++) {
		struct node *n = &b->nodes[at];
		charge(n, &n->keys.entries[c->slot[i]], c->amount, c->protected);
	}
}

void budget_tick(struct budget *b, struct budget_now now, struct budget_candidate *list, size_t n)
{
	uint64_t passed = now.mono_ms > b->last.mono_ms ? now.mono_ms - b->last.mono_ms : 0;
	b->last = now;
	b->since_update_ms += passed;
	budget_pace(b, now.unix_ms);
	refill(b, (double)passed / 1000);
	double since_s = (double)b->since_update_ms / 1000;
	if (since_s >= b->update_s) {
		budget_update(b, since_s);
		b->since_update_ms = 0;
	}
	unsigned m = n < b->max_candidates ? (unsigned)n : b->max_candidates;
	for (unsigned i = 0; i < m; i++)
		fill_item(b, &b->items[i], &list[i]);
	run_stage(b, m, gate_ready);
	run_stage(b, m, gate_cut);
	for (unsigned i = 0; i < m; i++)
		settle(b, &b->items[i]);
	for (size_t i = m; i < n; i++)
		list[i].verdict = BUDGET_WAIT;
}

/* ---- late spans ---- */

static bool may_owe(const struct node *n, const struct key *e, const double amount[BUDGET_UNITS])
{
	for (int u = 0; u < BUDGET_UNITS; u++) {
		const struct bucket *k = &n->bucket[u];
		double each = each_limit(n, u), month = n->o.limit[u].per_month;
		if (!isinf(n->goal[u]) && k->level - amount[u] < -n->debt[u])
			return false;
		if (!isinf(each) && e->level[u] - amount[u] < -n->o.debt_s * each)
			return false;
		if (month > 0 && n->o.month_policy == BUDGET_CAP && k->used + amount[u] > month)
			return false;
	}
	return true;
}

int budget_late(struct budget *b, const struct budget_path *path, double spans, double bytes)
{
	const double amount[BUDGET_UNITS] = {spans, bytes};
	uint32_t slot[BUDGET_DEPTH] = {0};
	unsigned i = 0;
	for (unsigned at = path->node; at != BUDGET_ROOT; at = b->nodes[at].o.parent, i++) {
		struct node *n = &b->nodes[at];
		slot[i] = keys_meet(&n->keys, node_key(b, path, i, at));
		if (may_owe(n, &n->keys.entries[slot[i]], amount))
			continue;
		for (int u = 0; u < BUDGET_UNITS; u++)
			n->bucket[u].late_over += amount[u];
		return BUDGET_LATE_OVER;
	}
	i = 0;
	for (unsigned at = path->node; at != BUDGET_ROOT; at = b->nodes[at].o.parent, i++) {
		struct node *n = &b->nodes[at];
		charge(n, &n->keys.entries[slot[i]], amount, false);
		for (int u = 0; u < BUDGET_UNITS; u++)
			n->late[u] += amount[u];
		n->traffic = true;
	}
	return 0;
}

void budget_refund(struct budget *b, const struct budget_path *path, double spans, double bytes)
{
	const double amount[BUDGET_UNITS] = {-spans, -bytes};
	unsigned i = 0;
	for (unsigned at = path->node; at != BUDGET_ROOT; at = b->nodes[at].o.parent, i++) {
		struct node *n = &b->nodes[at];
		uint32_t slot = keys_find(&n->keys, node_key(b, path, i, at));
		charge(n, &n->keys.entries[slot], amount, false);
	}
}

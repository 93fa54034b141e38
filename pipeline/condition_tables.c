/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_tables.c - the tables of a set when all its conditions are in: keys, values,
 * bounds, and which predicate depends on which leaf. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/condition_set.h"

enum { MIN_ENTRIES = 64, SPARE = 4 };

struct compiling {
	struct condition_set *set;
	uint32_t n_values; /* entries in the value table, once they are all there */
	bool no_memory;
};

static void *allocate(struct compiling *c, size_t n, size_t size)
{
	void *room = arena_alloc(&c->set->arena, n != 0 ? n * size : 1);
	if (room == NULL)
		c->no_memory = true;
	else
		memset(room, 0, n * size);
	return room;
}

static uint32_t table_size(uint32_t n)
{
	uint32_t size = MIN_ENTRIES;
	while (size < SPARE * n)
		size *= 2;
	return size;
}

/* ---- keys ---- */

static void make_keys(struct compiling *c, enum level level)
{
	struct condition_set *set = c->set;
	struct key_table *t = &set->keys[level];
	uint32_t n = 0;
	for (uint32_t i = 0; i < set->n_slots; i++)
		n += set->slots[i].level == level;
	uint32_t size = table_size(n);
	t->mask = size - 1;
	t->entries = allocate(c, size, sizeof(*t->entries));
	if (t->entries == NULL)
		return;
	for (uint32_t i = 0; i < size; i++)
		t->entries[i].slot = NO_INDEX;
	for (uint32_t i = 0; i < set->n_slots; i++) {
		const struct slot *slot = &set->slots[i];
		if (slot->level != level)
			continue;
		size_t len = slot->key.len;
		uint64_t tail = key_tail(slot->key.data, len);
		uint32_t at = key_hash(tail, len) & t->mask;
		if (len != 0 && len < FILTER_LENGTHS)
			t->filter[len] |= (uint64_t)1 << (slot->key.data[len - 1] & 63);
		while (t->entries[at].slot != NO_INDEX)
			at = (at + 1) & t->mask;
		t->entries[at] = (struct key_entry){tail, (uint32_t)len, (uint16_t)i};
	}
}

static void link_slots(struct compiling *c)
{
	struct condition_set *set = c->set;
	for (uint32_t i = 0; i < set->n_subjects; i++)
		for (uint32_t k = 0; k < set->subjects[i].n_slots; k++)
			set->slots[set->subjects[i].slots[k]].n_subjects++;
	for (uint32_t i = 0; i < set->n_slots; i++) {
		struct slot *slot = &set->slots[i];
		slot->subjects = allocate(c, slot->n_subjects, sizeof(*slot->subjects));
		slot->n_subjects = 0;
	}
	if (c->no_memory)
		return;
	for (uint32_t i = 0; i < set->n_subjects; i++)
		for (uint32_t k = 0; k < set->subjects[i].n_slots; k++) {
			struct slot *slot = &set->slots[set->subjects[i].slots[k]];
			slot->subjects[slot->n_subjects++] = (uint16_t)i;
		}
}

/* ---- values ---- */

/* In two rounds: the first, without a table, counts. */
static void put_value(struct compiling *c, uint32_t leaf, enum value_kind kind, struct slice text,
		      struct number number)
{
	struct value_table *t = &c->set->values;
	uint16_t subject = c->set->leaves[leaf].subject;
	c->n_values++;
	if (t->entries == NULL)
		return;
	struct value_entry e = {
	    value_hash(subject, kind, text, number), leaf, subject, (uint8_t)kind, text, number};
	uint32_t at = (uint32_t)e.hash & t->mask;
	while (t->entries[at].leaf != UINT32_MAX)
		at = (at + 1) & t->mask;
	t->entries[at] = e;
}

/* condition.h: a text equals texts byte by byte, and numbers and bools by value; numbers and bools
 * equal the texts that spell them. */
static void put_equal(struct compiling *c, uint32_t leaf, struct subject *s,
		      const struct literal *v)
{
	static const struct slice NO_TEXT = {(const uint8_t *)"", 0};
	struct number n = number_of_int(v->yes);
	struct slice text = v->text;
	bool is_bool = v->type == LITERAL_BOOL, is_number = v->type == LITERAL_NUMBER;
	if (is_bool)
		text = slice_str(v->yes ? "true" : "false");
	if (v->type == LITERAL_TEXT && (slice_is(text, "true") || slice_is(text, "false"))) {
		is_bool = true;
		n = number_of_int(slice_is(text, "true"));
	}
	if (is_bool)
		put_value(c, leaf, BY_BOOL, NO_TEXT, n);
	if (is_number) {
		put_value(c, leaf, BY_NUMBER, NO_TEXT, v->number);
		put_value(c, leaf, BY_NUMERIC_TEXT, NO_TEXT, v->number);
	} else {
		put_value(c, leaf, BY_TEXT, text, number_of_int(0));
		if (v->type == LITERAL_TEXT && number_parse(text, &n) == 0) {
			put_value(c, leaf, BY_NUMBER, NO_TEXT, n);
			is_number = true;
		}
		s->by_text = true;
		s->max_text = text.len > s->max_text ? (uint32_t)text.len : s->max_text;
	}
	s->by_bool = s->by_bool || is_bool;
	s->by_number = s->by_number || is_number;
	s->by_numeric_text = s->by_numeric_text || v->type == LITERAL_NUMBER;
}

static void put_leaf(struct compiling *c, uint32_t i)
{
	struct leaf *leaf = &c->set->leaves[i];
	struct subject *s = &c->set->subjects[leaf->subject];
	if (leaf->op == TEST_EQUAL)
		for (uint32_t k = 0; k < leaf->n_values; k++)
			put_equal(c, i, s, &leaf->values[k]);
	if (leaf->op == TEST_STARTS || leaf->guarded)
		put_value(c, i, BY_PREFIX, leaf->prefix, number_of_int(0));
}

static void make_values(struct compiling *c)
{
	struct condition_set *set = c->set;
	struct value_table *t = &set->values;
	for (uint32_t i = 0; i < set->n_leaves; i++)
		put_leaf(c, i);
	uint32_t size = table_size(c->n_values);
	t->mask = size - 1;
	t->entries = allocate(c, size, sizeof(*t->entries));
	if (t->entries == NULL)
		return;
	for (uint32_t i = 0; i < size; i++)
		t->entries[i].leaf = UINT32_MAX;
	for (uint32_t i = 0; i < set->n_leaves; i++)
		put_leaf(c, i);
}

/* ---- subjects ---- */

static int compare_bounds(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;
	int order = number_compare(x->limit, y->limit);
	return order != 0 ? order : x->strict - y->strict;
}

/* From the greatest down, and what takes the limit itself before what does not. */
static int compare_bounds_down(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;
	int order = number_compare(y->limit, x->limit);
	return order != 0 ? order : x->strict - y->strict;
}

static bool is_lower_bound(const struct leaf *leaf)
{
	return leaf->op == TEST_ABOVE || leaf->op == TEST_AT_LEAST;
}

static bool is_upper_bound(const struct leaf *leaf)
{
	return leaf->op == TEST_BELOW || leaf->op == TEST_AT_MOST;
}

static void add_prefix_len(struct subject *s, size_t len)
{
	uint32_t at = 0;
	while (at < s->n_prefix_lens && s->prefix_lens[at] < len)
		at++;
	if (at < s->n_prefix_lens && s->prefix_lens[at] == len)
		return;
	memmove(s->prefix_lens + at + 1, s->prefix_lens + at,
		(s->n_prefix_lens - at) * sizeof(*s->prefix_lens));
	s->prefix_lens[at] = (uint16_t)len; /* a text has CONDITION_MAX_BYTES at most */
	s->n_prefix_lens++;
}

static void fill_subject(struct condition_set *set, struct subject *s, uint32_t i)
{
	const struct leaf *leaf = &set->leaves[i];
	bool strict = leaf->op == TEST_ABOVE || leaf->op == TEST_BELOW;
	struct bound bound = {number_of_int(0), strict, i};
	if (leaf->n_values != 0)
		bound.limit = leaf->values[0].number;
	if (is_lower_bound(leaf))
		s->lower[s->n_lower++] = bound;
	if (is_upper_bound(leaf))
		s->upper[s->n_upper++] = bound;
	if (leaf->op == TEST_STARTS || leaf->guarded)
		add_prefix_len(s, leaf->prefix.len);
	if (leaf->lazy) {
		s->lazy[s->n_lazy++] = i;
		if (!leaf->guarded)
			mask_add(&s->lazy_deps, &leaf->deps);
	}
}

static void make_subject(struct compiling *c, uint16_t index)
{
	struct condition_set *set = c->set;
	struct subject *s = &set->subjects[index];
	uint32_t lower = 0, upper = 0, lazy = 0, prefixes = 0;
	for (uint32_t i = 0; i < set->n_leaves; i++) {
		const struct leaf *leaf = &set->leaves[i];
		if (leaf->subject != index)
			continue;
		lower += is_lower_bound(leaf);
		upper += is_upper_bound(leaf);
		lazy += leaf->lazy;
		prefixes += leaf->op == TEST_STARTS || leaf->guarded;
	}
	s->lower = allocate(c, lower, sizeof(*s->lower));
	s->upper = allocate(c, upper, sizeof(*s->upper));
	s->lazy = allocate(c, lazy, sizeof(*s->lazy));
	s->prefix_lens = allocate(c, prefixes, sizeof(*s->prefix_lens));
	s->needs_text = prefixes != 0;
	set->builtin[s->level][s->what] = index;
	if (c->no_memory)
		return;
	for (uint32_t i = 0; i < set->n_leaves; i++)
		if (set->leaves[i].subject == index)
			fill_subject(set, s, i);
	if (lower > 1)
		qsort(s->lower, lower, sizeof(*s->lower), compare_bounds);
	if (upper > 1)
		qsort(s->upper, upper, sizeof(*s->upper), compare_bounds_down);
}

/* ---- predicates ---- */

/* A predicate is only looked at when a leaf that it waits for becomes true. An AND that is false as
 * long as one operand is, need not wait for the others: one is enough, the rarest. What resource
 * and scope make true can change which operand that is, so they are waited for always, and do not
 * count as false here. */
struct watch {
	enum { NO, OPEN, YES } missing; /* the value with nothing found in the span */
	uint32_t best;                  /* operand to wait for; UINT32_MAX: all */
	uint32_t weight;                /* of what is waited for: how often it comes, in no unit */
};

static uint32_t leaf_weight(const struct condition_set *set, const struct leaf *leaf)
{
	uint32_t weight = 1 + leaf->uses;
	if (leaf->lazy && !leaf->guarded)
		return 8 * weight; /* whenever the field is there */
	return leaf->op == TEST_EXISTS && set->subjects[leaf->subject].what == WHAT_ATTRIBUTE
		   ? 4 * weight
		   : weight;
}

static struct watch watch_and(const struct condition_set *set, const struct watch *all,
			      const struct node *node)
{
	struct watch w = {YES, UINT32_MAX, 0};
	uint32_t least = UINT32_MAX;
	for (uint32_t i = 0; i < node->n; i++) {
		uint32_t ref = set->refs[node->first + i];
		const struct watch *child = &all[ref >> 1];
		int missing = ref & 1 ? YES - (int)child->missing : (int)child->missing;
		if (missing < (int)w.missing)
			w.missing = missing == NO ? NO : OPEN;
		if (missing == NO && child->weight < least) {
			least = child->weight;
			w.best = i;
		}
		w.weight += child->weight;
	}
	if (w.best != UINT32_MAX)
		w.weight = least;
	return w;
}

/* Operands have lower numbers than what they are part of. */
static void make_watches(const struct condition_set *set, struct watch *all)
{
	for (uint32_t i = 0; i < set->n_nodes; i++) {
		const struct node *node = &set->nodes[i];
		if (node->kind == NODE_AND)
			all[i] = watch_and(set, all, node);
		else if (node->kind == NODE_TRUE)
			all[i] = (struct watch){YES, UINT32_MAX, 0};
		else if (node->level < LEVEL_SPAN)
			all[i] = (struct watch){OPEN, UINT32_MAX, 0};
		else
			all[i] = (struct watch){NO, UINT32_MAX,
						leaf_weight(set, &set->leaves[node->first])};
	}
}

/* All leaves of a predicate: how many predicates each is part of, and those that are always waited
 * for. */
static void count_uses(struct condition_set *set, uint32_t node, uint32_t predicate)
{
	const struct node *n = &set->nodes[node];
	if (n->kind == NODE_LEAF) {
		set->leaves[n->first].uses++;
		if (n->level < LEVEL_SPAN)
			mask_set(&set->leaves[n->first].deps, predicate, true);
	}
	for (uint32_t i = 0; n->kind == NODE_AND && i < n->n; i++)
		count_uses(set, set->refs[n->first + i] >> 1, predicate);
}

static void mark_deps(struct condition_set *set, const struct watch *all, uint32_t node,
		      uint32_t predicate)
{
	const struct node *n = &set->nodes[node];
	if (n->kind == NODE_LEAF)
		mask_set(&set->leaves[n->first].deps, predicate, true);
	if (n->kind != NODE_AND)
		return;
	if (all[node].best != UINT32_MAX) {
		mark_deps(set, all, set->refs[n->first + all[node].best] >> 1, predicate);
		return;
	}
	for (uint32_t i = 0; i < n->n; i++)
		mark_deps(set, all, set->refs[n->first + i] >> 1, predicate);
}

static void make_deps(struct compiling *c, struct mask *all)
{
	struct condition_set *set = c->set;
	struct watch *watches = allocate(c, set->n_nodes, sizeof(*watches));
	if (watches == NULL)
		return;
	for (uint32_t i = 0; i < set->n_predicates; i++) {
		count_uses(set, set->predicates[i] >> 1, i);
		mask_set(all, i, true);
	}
	make_watches(set, watches);
	for (uint32_t i = 0; i < set->n_predicates; i++)
		mark_deps(set, watches, set->predicates[i] >> 1, i);
}

int condition_compile(struct condition_set *set)
{
	struct compiling c = {.set = set};
	struct mask all = {{0}};
	memset(set->builtin, 0xff, sizeof(set->builtin)); /* NO_INDEX */
	make_deps(&c, &all);
	for (enum level level = 0; level < LEVELS; level++)
		make_keys(&c, level);
	link_slots(&c);
	make_values(&c);
	for (uint32_t i = 0; i < set->n_subjects; i++) {
		make_subject(&c, (uint16_t)i);
		set->wants_events |= set->subjects[i].level == LEVEL_EVENT;
		set->wants_links |= set->subjects[i].level == LEVEL_LINK;
	}
	struct condition_scratch *s = c.no_memory ? NULL : condition_scratch_create(set);
	if (s == NULL)
		return fail(-ENOMEM, "conditions: no memory for their tables");
	condition_fix(s, &all, &set->fixed, &set->base);
	condition_scratch_destroy(s);
	set->compiled = true;
	return 0;
}

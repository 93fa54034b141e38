/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_lower.c - from the tree of a text to shared nodes, predicates and operations.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/condition_set.h"

/* The attributes of HTTP that changed their names and nothing else (semantic conventions 1.23). */
static const char *const RENAMED[][2] = {
    {"http.request.method", "http.method"},
    {"http.response.status_code", "http.status_code"},
    {"url.full", "http.url"},
    {"url.scheme", "http.scheme"},
    {"user_agent.original", "http.user_agent"},
    {"client.address", "http.client_ip"},
};

struct lowering {
	struct condition_set *set;
	struct condition_error *why;
	int rc;
};

static uint32_t no_memory(struct lowering *l)
{
	if (l->rc >= 0)
		l->rc = fail(-ENOMEM, "conditions: no memory");
	return REF_FALSE;
}

static uint32_t too_many(struct lowering *l, size_t at, const char *what, int limit)
{
	if (l->rc == 0) {
		l->rc = CONDITION_BAD;
		l->why->offset = at;
		snprintf(l->why->words, sizeof(l->why->words),
			 "all conditions together have more than %d different %s", limit, what);
	}
	return REF_FALSE;
}

bool set_grow(void *all, uint32_t n, uint32_t *room, size_t size)
{
	void *was, *now;
	if (n < *room)
		return true;
	uint32_t more = *room == 0 ? 16 : *room * 2;
	memcpy(&was, all, sizeof(was));
	now = realloc(was, more * size);
	if (now == NULL)
		return false;
	memcpy(all, &now, sizeof(now));
	*room = more;
	return true;
}

/* ---- what is tested ---- */

/* A copy that outlives the text, with bytes before it that key_hash() may read. */
static struct slice keep(struct lowering *l, struct slice text)
{
	uint8_t *copy = arena_alloc(&l->set->arena, KEY_PAD + text.len);
	if (copy == NULL) {
		no_memory(l);
		return slice_of(NULL, 0);
	}
	memset(copy, 0, KEY_PAD);
	if (text.len != 0)
		memcpy(copy + KEY_PAD, text.data, text.len);
	return slice_of(copy + KEY_PAD, text.len);
}

static uint16_t slot_of(struct lowering *l, enum level level, struct slice key, size_t at)
{
	struct condition_set *set = l->set;
	for (uint32_t i = 0; i < set->n_slots; i++)
		if (set->slots[i].level == level && slice_equal(set->slots[i].key, key))
			return (uint16_t)i;
	if (set->n_slots == MAX_SLOTS)
		return (uint16_t)too_many(l, at, "attributes", MAX_SLOTS);
	struct slice copy = keep(l, key);
	if (copy.data == NULL ||
	    !set_grow(&set->slots, set->n_slots, &set->room_slots, sizeof(*set->slots)))
		return (uint16_t)no_memory(l);
	set->slots[set->n_slots] = (struct slot){.level = level, .key = copy};
	return (uint16_t)set->n_slots++;
}

static uint16_t subject_of(struct lowering *l, const struct subject *like, size_t at)
{
	struct condition_set *set = l->set;
	for (uint32_t i = 0; i < set->n_subjects; i++) {
		const struct subject *s = &set->subjects[i];
		if (s->level == like->level && s->what == like->what &&
		    s->n_slots == like->n_slots &&
		    memcmp(s->slots, like->slots, s->n_slots * sizeof(s->slots[0])) == 0)
			return (uint16_t)i;
	}
	if (set->n_subjects == MAX_SUBJECTS)
		return (uint16_t)too_many(l, at, "fields", MAX_SUBJECTS);
	if (!set_grow(&set->subjects, set->n_subjects, &set->room_subjects, sizeof(*set->subjects)))
		return (uint16_t)no_memory(l);
	set->subjects[set->n_subjects] = *like;
	set->subjects[set->n_subjects].exists = UINT32_MAX;
	return (uint16_t)set->n_subjects++;
}

/* ---- nodes ---- */

static uint32_t add_node(struct lowering *l, struct node node)
{
	struct condition_set *set = l->set;
	if (!set_grow(&set->nodes, set->n_nodes, &set->room_nodes, sizeof(*set->nodes)))
		return no_memory(l);
	set->nodes[set->n_nodes] = node;
	return set->n_nodes++ << 1;
}

static bool same_literals(const struct leaf *a, const struct leaf *b)
{
	if (a->n_values != b->n_values)
		return false;
	for (uint32_t i = 0; i < a->n_values; i++) {
		const struct literal *x = &a->values[i], *y = &b->values[i];
		bool same = x->type == y->type;
		if (same && x->type == LITERAL_TEXT)
			same = slice_equal(x->text, y->text);
		else if (same && x->type == LITERAL_NUMBER)
			same = number_compare(x->number, y->number) == 0;
		else if (same)
			same = x->yes == y->yes;
		if (!same)
			return false;
	}
	return true;
}

static bool keep_literals(struct lowering *l, struct leaf *leaf)
{
	struct literal *copy = NULL;
	if (leaf->n_values != 0) {
		copy = arena_alloc(&l->set->arena, leaf->n_values * sizeof(*copy));
		if (copy == NULL)
			return false;
	}
	for (uint32_t i = 0; i < leaf->n_values; i++) {
		copy[i] = leaf->values[i];
		if (copy[i].type == LITERAL_TEXT)
			copy[i].text = keep(l, copy[i].text);
	}
	leaf->values = copy;
	return l->rc == 0;
}

static uint32_t find_leaf(const struct condition_set *set, const struct leaf *like)
{
	for (uint32_t i = 0; i < set->n_leaves; i++) {
		const struct leaf *leaf = &set->leaves[i];
		if (leaf->subject == like->subject && leaf->op == like->op &&
		    same_literals(leaf, like))
			return leaf->node << 1;
	}
	return UINT32_MAX;
}

static uint32_t leaf_node(struct lowering *l, struct leaf leaf, size_t at)
{
	struct condition_set *set = l->set;
	enum level level = set->subjects[leaf.subject].level;
	char words[PATTERN_WORDS];
	size_t offset;
	uint32_t ref = find_leaf(set, &leaf);
	if (ref != UINT32_MAX)
		return ref;
	if (set->n_leaves == MAX_LEAVES)
		return too_many(l, at, "tests", MAX_LEAVES);
	if (!set_grow(&set->leaves, set->n_leaves, &set->room_leaves, sizeof(*set->leaves)) ||
	    !keep_literals(l, &leaf))
		return no_memory(l);
	if (leaf.op == TEST_STARTS)
		leaf.prefix = leaf.values[0].text;
	leaf.lazy = leaf.op == TEST_CONTAINS || leaf.op == TEST_MATCHES;
	struct node node = {.kind = NODE_LEAF,
			    .level = (uint8_t)(level < LEVEL_SPAN ? level : LEVEL_SPAN),
			    .first = set->n_leaves};
	node.cost = (uint8_t)(node.level + (leaf.lazy ? NODE_LEVELS : 0));
	ref = add_node(l, node);
	leaf.node = ref >> 1;
	if (l->rc == 0 && leaf.op == TEST_MATCHES &&
	    pattern_create(&leaf.pattern, leaf.values[0].text, &offset, words) != 0)
		return no_memory(l);
	if (leaf.op == TEST_EXISTS)
		set->subjects[leaf.subject].exists = set->n_leaves;
	set->leaves[set->n_leaves++] = leaf;
	return ref;
}

/* What a pattern plainly asks for can be looked up. */
static uint32_t lower_pattern(struct lowering *l, struct leaf leaf, size_t at)
{
	struct literal value = leaf.values[0];
	uint8_t *literal = arena_alloc(&l->set->arena, value.text.len + 1);
	size_t len;
	if (literal == NULL)
		return no_memory(l);
	enum pattern_shape shape = pattern_shape(value.text, literal, &len);
	if (shape == PATTERN_GUARDED) {
		leaf.guarded = true;
		leaf.prefix = slice_of(literal, len);
	} else if (shape != PATTERN_ANY) {
		leaf.op = shape == PATTERN_STARTS ? TEST_STARTS : TEST_CONTAINS;
		value.text = slice_of(literal, len);
		leaf.values = &value;
	}
	return leaf_node(l, leaf, at);
}

static int compare_refs(const void *a, const void *b)
{
	uint32_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static uint32_t find_and(const struct condition_set *set, const uint32_t *refs, uint32_t n)
{
	for (uint32_t i = 0; i < set->n_nodes; i++) {
		const struct node *node = &set->nodes[i];
		if (node->kind == NODE_AND && node->n == n &&
		    memcmp(&set->refs[node->first], refs, n * sizeof(*refs)) == 0)
			return i;
	}
	return UINT32_MAX;
}

/* By cost; refs of equal cost stay in their order. */
static void sort_by_cost(const struct condition_set *set, uint32_t *refs, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint32_t ref = refs[i], at = i;
		for (; at > 0 && set->nodes[refs[at - 1] >> 1].cost > set->nodes[ref >> 1].cost;
		     at--)
			refs[at] = refs[at - 1];
		refs[at] = ref;
	}
}

/* The AND of `refs`, which it reorders. */
static uint32_t make_and(struct lowering *l, uint32_t *refs, uint32_t n, size_t at)
{
	struct condition_set *set = l->set;
	uint32_t kept = 0;
	if (l->rc != 0)
		return REF_FALSE;
	qsort(refs, n, sizeof(*refs), compare_refs);
	for (uint32_t i = 0; i < n; i++) {
		if (refs[i] == REF_TRUE || (kept != 0 && refs[i] == refs[kept - 1]))
			continue;
		if (refs[i] == REF_FALSE || (kept != 0 && refs[i] == (refs[kept - 1] ^ 1)))
			return REF_FALSE;
		refs[kept++] = refs[i];
	}
	if (kept == 0)
		return REF_TRUE;
	if (kept == 1)
		return refs[0];
	sort_by_cost(set, refs, kept);
	uint32_t found = find_and(set, refs, kept);
	if (found != UINT32_MAX)
		return found << 1;
	if (set->n_nodes >= MAX_NODES)
		return too_many(l, at, "expressions", MAX_NODES);
	struct node node = {.kind = NODE_AND, .first = set->n_refs, .n = kept};
	for (uint32_t i = 0; i < kept; i++) {
		const struct node *child = &set->nodes[refs[i] >> 1];
		node.level = child->level > node.level ? child->level : node.level;
		node.cost = child->cost > node.cost ? child->cost : node.cost;
		if (!set_grow(&set->refs, set->n_refs, &set->room_refs, sizeof(*set->refs)))
			return no_memory(l);
		set->refs[set->n_refs++] = refs[i];
	}
	return add_node(l, node);
}

static uint32_t make_and2(struct lowering *l, uint32_t a, uint32_t b, size_t at)
{
	uint32_t refs[2] = {a, b};
	return make_and(l, refs, 2, at);
}

/* ---- tests ---- */

static uint32_t is_root(struct lowering *l, size_t at)
{
	struct subject s = {.level = LEVEL_SPAN, .what = WHAT_ROOT};
	return leaf_node(l, (struct leaf){.op = TEST_EXISTS, .subject = subject_of(l, &s, at)}, at);
}

/* A test of one subject. What is always there is never below or at most: it is not above, which few
 * spans are, so that the others cost nothing. */
static uint32_t lower_subject(struct lowering *l, const struct subject *subject,
			      const struct test *t, enum test_op op, size_t at)
{
	struct leaf leaf = {.op = op, .subject = subject_of(l, subject, at)};
	bool swap = subject->what == WHAT_DURATION && (op == TEST_BELOW || op == TEST_AT_MOST);
	if (l->rc != 0)
		return REF_FALSE;
	if (subject->what == WHAT_ERROR) {
		leaf.op = TEST_EXISTS;
		return leaf_node(l, leaf, at) ^ !t->values[0].yes;
	}
	if (op != TEST_EXISTS) {
		leaf.values = t->values;
		leaf.n_values = t->n_values;
	}
	if (op == TEST_MATCHES)
		return lower_pattern(l, leaf, at);
	if (!swap)
		return leaf_node(l, leaf, at);
	leaf.op = op == TEST_BELOW ? TEST_AT_LEAST : TEST_ABOVE;
	uint32_t ref = leaf_node(l, leaf, at) ^ 1;
	return t->fields[0].of_root ? make_and2(l, is_root(l, at), ref, at) : ref;
}

/* The name and, behind it, what it was called before or is called since. */
static uint32_t with_renamed(const struct field_name *f, struct field_name out[2])
{
	out[0] = *f;
	if (f->what != WHAT_ATTRIBUTE || f->level != LEVEL_SPAN)
		return 1;
	for (size_t i = 0; i < sizeof(RENAMED) / sizeof(RENAMED[0]); i++) {
		for (int new = 0; new < 2; new ++) {
			if (!slice_is(f->key, RENAMED[i][new]))
				continue;
			out[1] = *f;
			out[1].key = slice_str(RENAMED[i][!new]);
			return 2;
		}
	}
	return 1;
}

static struct subject one_subject(struct lowering *l, const struct field_name *f, size_t at)
{
	struct subject s = {.level = f->level, .what = f->what};
	if (f->what == WHAT_ATTRIBUTE)
		s.slots[s.n_slots++] = slot_of(l, f->level, f->key, at);
	return s;
}

/* a | b, where one subject cannot stand for both, is a, or b where a does not exist. */
static uint32_t lower_first(struct lowering *l, const struct test *t,
			    const struct field_name *fields, uint32_t n, size_t at)
{
	uint32_t ref = REF_FALSE;
	while (n-- > 0) {
		struct subject s = one_subject(l, &fields[n], at);
		uint32_t there = lower_subject(l, &s, t, TEST_EXISTS, at);
		uint32_t here = lower_subject(l, &s, t, t->op, at);
		uint32_t later = make_and2(l, there ^ 1, ref, at);
		ref = make_and2(l, here ^ 1, later ^ 1, at) ^ 1;
	}
	return ref;
}

static uint32_t lower_test(struct lowering *l, const struct expr *e)
{
	const struct test *t = &e->test;
	struct field_name fields[MAX_ALTERNATIVES] = {{0}};
	uint32_t n = 0;
	bool alike = true;
	for (uint32_t i = 0; i < t->n_fields; i++)
		n += with_renamed(&t->fields[i], fields + n);
	for (uint32_t i = 0; i < n; i++)
		alike = alike && fields[i].what == WHAT_ATTRIBUTE &&
			fields[i].level == fields[0].level && fields[i].level <= LEVEL_SPAN;
	if (!alike && n > 1)
		return lower_first(l, t, fields, n, e->at);
	struct subject s = one_subject(l, &fields[0], e->at);
	for (uint32_t i = 1; i < n; i++)
		s.slots[s.n_slots++] = slot_of(l, fields[i].level, fields[i].key, e->at);
	return lower_subject(l, &s, t, t->op, e->at);
}

/* An expression over one span. */
static uint32_t lower_span(struct lowering *l, const struct expr *e)
{
	if (l->rc != 0)
		return REF_FALSE;
	if (e->kind == EXPR_TEST)
		return lower_test(l, e);
	if (e->kind == EXPR_NOT)
		return lower_span(l, e->children[0]) ^ 1;
	uint32_t flip = e->kind == EXPR_OR; /* a or b is not (not a and not b) */
	uint32_t *refs = malloc(e->n * sizeof(*refs));
	if (refs == NULL)
		return no_memory(l);
	for (uint32_t i = 0; i < e->n; i++)
		refs[i] = lower_span(l, e->children[i]) ^ flip;
	uint32_t ref = make_and(l, refs, e->n, e->at) ^ flip;
	free(refs);
	return ref;
}

/* ---- traces ---- */

static void add_op(struct lowering *l, struct op op)
{
	struct condition_set *set = l->set;
	if (!set_grow(&set->ops, set->n_ops, &set->room_ops, sizeof(*set->ops)))
		no_memory(l);
	else
		set->ops[set->n_ops++] = op;
}

static void add_bit(struct lowering *l, uint32_t ref, size_t at)
{
	struct condition_set *set = l->set;
	uint32_t i = 0;
	while (i < set->n_predicates && set->predicates[i] != ref)
		i++;
	if (i == CONDITION_MAX_BITS) {
		too_many(l, at, "any(), all(), none() and root expressions", CONDITION_MAX_BITS);
		return;
	}
	set->predicates[i] = ref;
	set->n_predicates += i == set->n_predicates;
	add_op(l, (struct op){.kind = OP_BIT, .n = i, .size = 1});
}

static bool of_root_only(const struct expr *e)
{
	if (e->kind == EXPR_TEST)
		return true; /* outside of quantifiers there are no others */
	if (e->kind == EXPR_FACT || e->kind == EXPR_ANY)
		return false;
	for (uint32_t i = 0; i < e->n; i++)
		if (!of_root_only(e->children[i]))
			return false;
	return true;
}

/* The value with no field there. */
static bool when_missing(const struct condition_set *set, uint32_t ref)
{
	const struct node *node = &set->nodes[ref >> 1];
	bool value = node->kind != NODE_LEAF;
	for (uint32_t i = 0; node->kind == NODE_AND && i < node->n && value; i++)
		value = when_missing(set, set->refs[node->first + i]);
	return value ^ (ref & 1);
}

/* Bits only ever come: what holds without a root is looked for by its opposite. */
static void add_root(struct lowering *l, uint32_t ref, size_t at)
{
	if (l->rc != 0)
		return;
	bool missing = when_missing(l->set, ref);
	if (missing)
		add_op(l, (struct op){.kind = OP_NOT, .n = 1, .size = 2});
	add_bit(l, make_and2(l, is_root(l, at), ref ^ missing, at), at);
}

static void lower_trace(struct lowering *l, const struct expr *e);

/* What asks for the root is asked of one span, wherever it stands between the others. */
static void lower_list(struct lowering *l, const struct expr *e)
{
	uint32_t at = l->set->n_ops, n = 0, n_root = 0, flip = e->kind == EXPR_OR;
	uint32_t *refs = malloc(e->n * sizeof(*refs));
	if (refs == NULL) {
		no_memory(l);
		return;
	}
	add_op(l, (struct op){.kind = e->kind == EXPR_AND ? OP_AND : OP_OR});
	for (uint32_t i = 0; i < e->n; i++) {
		if (of_root_only(e->children[i])) {
			refs[n_root++] = lower_span(l, e->children[i]) ^ flip;
			continue;
		}
		lower_trace(l, e->children[i]);
		n++;
	}
	if (n_root != 0) {
		add_root(l, make_and(l, refs, n_root, e->at) ^ flip, e->at);
		n++;
	}
	free(refs);
	if (l->rc != 0)
		return;
	l->set->ops[at].n = n;
	l->set->ops[at].size = l->set->n_ops - at;
}

static void lower_trace(struct lowering *l, const struct expr *e)
{
	uint32_t at = l->set->n_ops;
	if (l->rc != 0)
		return;
	if (of_root_only(e)) {
		add_root(l, lower_span(l, e), e->at);
		return;
	}
	switch (e->kind) {
	case EXPR_ANY:
		add_bit(l, lower_span(l, e->children[0]), e->at);
		break;
	case EXPR_FACT:
		add_op(l, (struct op){.kind = OP_FACT, .size = 1, .fact = e->fact});
		break;
	case EXPR_NOT:
		add_op(l, (struct op){.kind = OP_NOT, .n = 1});
		lower_trace(l, e->children[0]);
		if (l->rc == 0)
			l->set->ops[at].size = l->set->n_ops - at;
		break;
	default:
		lower_list(l, e);
		break;
	}
}

/* ---- keys ---- */

static bool same_field(const struct key_field *a, const struct key_field *b)
{
	bool same = a->of_root == b->of_root && a->n_sources == b->n_sources;
	for (uint32_t i = 0; same && i < a->n_sources; i++)
		same = a->sources[i].level == b->sources[i].level &&
		       a->sources[i].what == b->sources[i].what &&
		       a->sources[i].slot == b->sources[i].slot;
	return same;
}

int condition_lower_field(struct condition_set *set, const struct field_name *fields, uint32_t n,
			  uint32_t *number, struct condition_error *why)
{
	struct lowering l = {.set = set, .why = why};
	struct key_field field = {.of_root = fields[0].of_root};
	for (uint32_t i = 0; i < n; i++) {
		struct field_name both[2];
		uint32_t names = with_renamed(&fields[i], both);
		for (uint32_t k = 0; k < names; k++) {
			struct key_source source = {(uint8_t)both[k].level, (uint8_t)both[k].what,
						    0};
			if (both[k].what == WHAT_ATTRIBUTE)
				source.slot = slot_of(&l, both[k].level, both[k].key, 0);
			field.sources[field.n_sources++] = source;
		}
	}
	uint32_t at = 0;
	while (at < set->n_key_fields && !same_field(&set->key_fields[at], &field))
		at++;
	if (l.rc == 0 && at == CONDITION_FIELDS)
		too_many(&l, 0, "fields of keys", CONDITION_FIELDS);
	if (l.rc != 0)
		return l.rc;
	set->key_fields[at] = field;
	set->n_key_fields += at == set->n_key_fields;
	*number = at;
	return 0;
}

int condition_lower(struct condition_set *set, const struct expr *e, struct condition_error *why)
{
	struct lowering l = {.set = set, .why = why};
	if (set->n_nodes == 0) {
		static const char *const KEYS[] = {[SLOT_ERROR] = "error",
						   [SLOT_STATUS_NEW] = "http.response.status_code",
						   [SLOT_STATUS_OLD] = "http.status_code"};
		for (int i = 0; i < FIXED_SLOTS; i++)
			slot_of(&l, LEVEL_SPAN, slice_str(KEYS[i]), 0);
		add_node(&l, (struct node){.kind = NODE_TRUE});
	}
	if (e != NULL)
		lower_trace(&l, e);
	return l.rc;
}

/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition.c - sets of conditions: what is added, the tables made of it, and what it says
 * of a trace. The text is read by condition_parse.c, spans are looked at by condition_eval.c. */
#include "pipeline/condition.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/condition_set.h"

/* A text of CONDITION_MAX_BYTES takes less, whatever is in it. */
enum { PARSE_BYTES = 16 << 20, SET_BYTES = 256 << 20 };

struct condition_set *condition_set_create(void)
{
	struct condition_set *set = calloc(1, sizeof(*set));
	if (set == NULL)
		return NULL;
	arena_init(&set->arena, SET_BYTES);
	if (condition_lower(set, NULL, NULL) != 0) {
		condition_set_destroy(set);
		return NULL;
	}
	return set;
}

void condition_set_destroy(struct condition_set *set)
{
	if (set == NULL)
		return;
	for (uint32_t i = 0; i < set->n_leaves; i++)
		pattern_destroy(set->leaves[i].pattern);
	free(set->slots);
	free(set->subjects);
	free(set->leaves);
	free(set->nodes);
	free(set->refs);
	free(set->ops);
	free(set->conditions);
	arena_finish(&set->arena);
	free(set);
}

int condition_add(struct condition_set *set, struct slice text, uint32_t *number,
		  struct condition_error *why)
{
	struct arena arena;
	uint32_t first = set->n_ops;
	assert(!set->compiled);
	*why = (struct condition_error){0};
	arena_init(&arena, PARSE_BYTES);
	struct parser p = {.text = text, .arena = &arena, .why = why};
	struct expr *e = condition_parse(&p);
	int rc = CONDITION_BAD;
	if (p.no_memory)
		rc = fail(-ENOMEM, "conditions: no memory to read one");
	else if (e != NULL)
		rc = condition_lower(set, e, why);
	if (rc == 0 && !set_grow(&set->conditions, set->n_conditions, &set->room_conditions,
				 sizeof(*set->conditions)))
		rc = fail(-ENOMEM, "conditions: no memory");
	if (rc == 0) {
		*number = set->n_conditions++;
		set->conditions[*number] = (struct condition){first};
	} else {
		set->n_ops = first;
	}
	arena_finish(&arena);
	return rc;
}

uint32_t condition_set_bits(const struct condition_set *set)
{
	return set->n_predicates;
}

/* ---- traces ---- */

/* Three values, so that AND is the least and OR the greatest of them (Kleene). */
enum truth { NO, OPEN, YES };

static enum truth truth_of(bool holds)
{
	return holds ? YES : NO;
}

static bool compare(enum test_op op, uint64_t a, uint64_t b)
{
	switch (op) {
	case TEST_BELOW:
		return a < b;
	case TEST_AT_MOST:
		return a <= b;
	case TEST_ABOVE:
		return a > b;
	case TEST_AT_LEAST:
		return a >= b;
	default:
		return a == b;
	}
}

static uint64_t fact_value(enum fact fact, const struct trace_facts *t)
{
	switch (fact) {
	case FACT_DURATION:
		return t->duration_ns;
	case FACT_SPANS:
		return t->spans;
	case FACT_BYTES:
		return t->bytes;
	case FACT_ERRORS:
		return t->errors;
	default:
		return t->has_root;
	}
}

/* What of a fact can still change. Counts only grow, and so does the duration until there is a
 * root, which sets it to its own, be it more or less. */
static enum truth fact_outlook(const struct fact_test *f, const struct trace_facts *t)
{
	uint64_t value = fact_value(f->fact, t);
	bool holds = compare(f->op, value, f->value);
	if (t->has_root && (f->fact == FACT_DURATION || f->fact == FACT_HAS_ROOT))
		return truth_of(holds);
	if (f->fact == FACT_DURATION)
		return OPEN;
	if (value > f->value)
		return truth_of(holds); /* it grows and stays on that side */
	if (value == f->value && (f->op == TEST_AT_LEAST || f->op == TEST_BELOW))
		return truth_of(holds);
	return OPEN;
}

/* `later`: with all that may still come. */
static enum truth evaluate(const struct condition_set *set, uint32_t at,
			   const struct trace_facts *t, bool later)
{
	const struct op *op = &set->ops[at];
	switch (op->kind) {
	case OP_BIT:
		if (t->bits[op->n / 64] >> (op->n % 64) & 1)
			return YES;
		return later && set->predicates[op->n] != REF_FALSE ? OPEN : NO;
	case OP_FACT:
		return later ? fact_outlook(&op->fact, t)
			     : truth_of(compare(op->fact.op, fact_value(op->fact.fact, t),
						op->fact.value));
	case OP_NOT:
		return YES - evaluate(set, at + 1, t, later);
	default:
		break;
	}
	enum truth stop = op->kind == OP_AND ? NO : YES, all = YES - stop;
	uint32_t child = at + 1;
	for (uint32_t i = 0; i < op->n && all != stop; i++) {
		enum truth one = evaluate(set, child, t, later);
		if (op->kind == OP_AND ? one < all : one > all)
			all = one;
		child += set->ops[child].size;
	}
	return all;
}

bool condition_holds(const struct condition_set *set, uint32_t number,
		     const struct trace_facts *facts)
{
	return evaluate(set, set->conditions[number].first, facts, false) == YES;
}

enum condition_outlook condition_outlook(const struct condition_set *set, uint32_t number,
					 const struct trace_facts *facts)
{
	switch (evaluate(set, set->conditions[number].first, facts, true)) {
	case YES:
		return CONDITION_ALWAYS;
	case NO:
		return CONDITION_NEVER;
	default:
		return CONDITION_OPEN;
	}
}

/* Those below `at` that make it come out as `want`. */
static uint64_t reasons(const struct condition_set *set, uint32_t at, const struct trace_facts *t,
			bool want)
{
	const struct op *op = &set->ops[at];
	if (op->kind == OP_BIT)
		return want && op->n < 64 ? t->bits[0] & (uint64_t)1 << op->n : 0;
	if (op->kind == OP_NOT)
		return reasons(set, at + 1, t, !want);
	if (op->kind == OP_FACT)
		return 0;
	bool needs_all = (op->kind == OP_AND) == want;
	uint64_t all = 0;
	uint32_t child = at + 1;
	for (uint32_t i = 0; i < op->n; i++) {
		if (needs_all || (evaluate(set, child, t, false) == YES) == want)
			all |= reasons(set, child, t, want);
		child += set->ops[child].size;
	}
	return all;
}

uint64_t condition_reasons(const struct condition_set *set, uint32_t number,
			   const struct trace_facts *facts)
{
	return reasons(set, set->conditions[number].first, facts, true);
}

static bool same_op(const struct op *a, const struct op *b)
{
	if (a->kind != b->kind || a->n != b->n || a->size != b->size)
		return false;
	return a->kind != OP_FACT || (a->fact.fact == b->fact.fact && a->fact.op == b->fact.op &&
				      a->fact.value == b->fact.value);
}

bool condition_equal(const struct condition_set *set, uint32_t a, uint32_t b)
{
	const struct op *x = &set->ops[set->conditions[a].first];
	const struct op *y = &set->ops[set->conditions[b].first];
	for (uint32_t i = 0; i < x->size; i++)
		if (!same_op(&x[i], &y[i]))
			return false;
	return true;
}

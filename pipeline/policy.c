/* SPDX-License-Identifier: Apache-2.0
 * pipeline/policy.c - rules, sources and conditions of a configuration, compiled, and what is
 * foolish about them. Budgets become nodes in pipeline/policy_nodes.c. */
#include "pipeline/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/policy_build.h"
#include "wire/tracestate.h"

/* 256 rules of a few hundred bytes and their names take a small part of this. */
enum { POLICY_BYTES = 4 << 20, WHAT_BYTES = 64 };

_Static_assert((int)CONF_FAULTY == POLICY_BAD, "findings are written by conf/report.h");
_Static_assert((int)CONF_MAX_RULES == POLICY_RULES, "one limit");
_Static_assert((int)CONDITION_FIELDS == POLICY_FIELDS, "one limit");

/* What policy_create() gives is the first of these. */
struct owner {
	struct policy p;
	struct arena arena;
};

bool policy_judges(const struct conf *c)
{
	return c->sampling.n_rules != 0 || c->n_budgets != 0;
}

void policy_destroy(struct policy *p)
{
	if (p == NULL)
		return;
	struct owner *owner = (struct owner *)p;
	condition_set_destroy(p->set);
	arena_finish(&owner->arena);
	free(owner);
}

void *policy_alloc(struct policy_build *b, size_t n, size_t size)
{
	void *room = arena_alloc(b->arena, n != 0 ? n * size : 1);
	if (room == NULL)
		b->no_memory = true;
	else
		memset(room, 0, n * size);
	return room;
}

const char *policy_keep(struct policy_build *b, const char *before, const char *text)
{
	size_t size = strlen(before) + strlen(text) + 1;
	char *copy = policy_alloc(b, size, 1);
	if (copy == NULL)
		return "";
	snprintf(copy, size, "%s%s", before, text);
	return copy;
}

void policy_fault(struct policy_build *b, const struct conf_text *t, const char *what,
		  const struct condition_error *why)
{
	if (t->secret) /* the words may hold some of it */
		report_fault(b->r, place_at(t->at),
			     "%s: its value from the environment is wrong at byte %zu", what,
			     why->offset);
	else
		report_fault(b->r, place_at(conf_text_place(t, why->offset)), "%s: %s", what,
			     why->words);
}

/* ---- conditions ---- */

/* The number of the condition; POLICY_ALWAYS for none, and after a fault. */
static uint32_t add_condition(struct policy_build *b, const struct conf_text *t, const char *what)
{
	struct condition_error why;
	uint32_t number = POLICY_ALWAYS;
	if (t->text == NULL || b->no_memory)
		return POLICY_ALWAYS;
	int rc = condition_add(b->p->set, slice_str(t->text), &number, &why);
	if (rc == CONDITION_BAD)
		policy_fault(b, t, what, &why);
	b->no_memory = b->no_memory || rc < 0;
	return rc == 0 ? number : POLICY_ALWAYS;
}

static void make_rule(struct policy_build *b, size_t i)
{
	const struct conf_rule *from = &b->c->sampling.rules[i];
	struct policy_rule *rule = &b->p->rules[i];
	char what[WHAT_BYTES];
	snprintf(what, sizeof(what), "sampling.rules[%zu].when", i);
	*rule = (struct policy_rule){.name = policy_keep(b, "", from->name),
				     .condition = add_condition(b, &from->when, what),
				     .share = 1,
				     .protected = from->protected,
				     .dry_run = from->dry_run,
				     .rollout = from->rollout,
				     .node = BUDGET_ROOT};
	if (from->keep.kind == KEEP_SHARE)
		rule->share = from->keep.share;
	if (from->keep.kind == KEEP_SATELLITE) {
		rule->keep = POLICY_SATELLITE;
		rule->share = from->keep.satellite;
	}
	rule->threshold = threshold_of(rule->share);
}

/* With budgets alone, or with nothing. */
static void make_only_rule(struct policy_build *b)
{
	struct policy_rule *rule = &b->p->rules[0];
	*rule = (struct policy_rule){.name = policy_keep(b, "", "everything"),
				     .condition = POLICY_ALWAYS,
				     .share = 1,
				     .rollout = 1,
				     .node = BUDGET_ROOT};
	rule->threshold = threshold_of(1);
}

/* The budgets are one chain then: the last of it has no children. */
static void place_only_rule(struct policy_build *b)
{
	struct policy *p = b->p;
	for (unsigned n = 0; n < p->n_nodes; n++) {
		bool is_parent = false;
		for (unsigned k = 0; k < p->n_nodes; k++)
			is_parent = is_parent || p->nodes[k].parent == n;
		if (!is_parent)
			p->rules[0].node = (uint16_t)n;
	}
}

static void make_source(struct policy_build *b, size_t i)
{
	const struct conf_source *from = &b->c->sampling.sources[i];
	char what[WHAT_BYTES];
	snprintf(what, sizeof(what), "sampling.sources[%zu].when", i);
	b->p->sources[i] = (struct policy_source){.condition = add_condition(b, &from->when, what),
						  .share = from->sampled,
						  .hash = from->hash};
}

static void make_rules(struct policy_build *b)
{
	const struct conf_sampling *s = &b->c->sampling;
	struct policy *p = b->p;
	p->n_rules = s->n_rules != 0 ? (uint32_t)s->n_rules : 1;
	p->n_sources = (uint32_t)s->n_sources;
	p->rules = policy_alloc(b, p->n_rules, sizeof(*p->rules));
	p->sources = policy_alloc(b, p->n_sources, sizeof(*p->sources));
	if (b->no_memory)
		return;
	if (s->n_rules == 0)
		make_only_rule(b);
	for (size_t i = 0; i < s->n_rules; i++)
		make_rule(b, i);
	for (size_t i = 0; i < s->n_sources; i++)
		make_source(b, i);
}

/* ---- what can never be ---- */

static enum condition_outlook outlook_of(const struct policy *p, uint32_t condition)
{
	static const struct trace_facts NOTHING = {.spans = 0};
	if (condition == POLICY_ALWAYS)
		return CONDITION_ALWAYS;
	return condition_outlook(p->set, condition, &NOTHING);
}

/* The rule before `i` that leaves nothing to it, or n_rules. */
static uint32_t shadow_of(const struct policy *p, uint32_t i)
{
	uint32_t mine = p->rules[i].condition;
	for (uint32_t k = 0; k < i; k++) {
		const struct policy_rule *rule = &p->rules[k];
		if (rule->dry_run || rule->rollout < 1)
			continue;
		if (outlook_of(p, rule->condition) == CONDITION_ALWAYS)
			return k;
		if (mine != POLICY_ALWAYS && condition_equal(p->set, rule->condition, mine))
			return k;
	}
	return p->n_rules;
}

static void warn_of_rule(struct policy_build *b, uint32_t i)
{
	const struct policy *p = b->p;
	const struct conf_rule *from = &b->c->sampling.rules[i];
	struct place at =
	    place_at(from->when.text != NULL ? conf_text_place(&from->when, 0) : from->at);
	uint32_t shadow = shadow_of(p, i);
	if (shadow != p->n_rules && outlook_of(p, p->rules[shadow].condition) == CONDITION_ALWAYS)
		report_warning(
		    b->r, at, "sampling.rules[%u]: no trace comes here: rule \"%s\" takes them all",
		    i, p->rules[shadow].name);
	else if (shadow != p->n_rules)
		report_warning(b->r, at,
			       "sampling.rules[%u].when: the same condition as that of rule "
			       "\"%s\", which comes first",
			       i, p->rules[shadow].name);
	else if (outlook_of(p, p->rules[i].condition) == CONDITION_NEVER)
		report_warning(b->r, at, "sampling.rules[%u].when: never holds", i);
	else if (from->when.text != NULL &&
		 outlook_of(p, p->rules[i].condition) == CONDITION_ALWAYS)
		report_warning(b->r, at, "sampling.rules[%u].when: always holds", i);
}

static void warn_of_source(struct policy_build *b, uint32_t i)
{
	const struct policy *p = b->p;
	const struct conf_source *from = &b->c->sampling.sources[i];
	struct place at =
	    place_at(from->when.text != NULL ? conf_text_place(&from->when, 0) : from->at);
	for (uint32_t k = 0; k < i; k++)
		if (outlook_of(p, p->sources[k].condition) == CONDITION_ALWAYS) {
			report_warning(b->r, at,
				       "sampling.sources[%u]: no trace comes here: the one before "
				       "it without `when` is for all",
				       i);
			return;
		}
	if (outlook_of(p, p->sources[i].condition) == CONDITION_NEVER)
		report_warning(b->r, at, "sampling.sources[%u].when: never holds", i);
}

static void warn(struct policy_build *b)
{
	for (uint32_t i = 0; i < b->c->sampling.n_rules; i++)
		warn_of_rule(b, i);
	for (uint32_t i = 0; i < b->p->n_sources; i++)
		warn_of_source(b, i);
}

/* ---- generation ---- */

struct digest {
	struct siphash_key key;
	uint64_t sum;
};

static void digest(struct digest *d, const void *bytes, size_t len)
{
	uint64_t chain[2] = {d->sum, siphash(&d->key, bytes, len)};
	d->sum = siphash(&d->key, chain, sizeof(chain));
}

static void digest_text(struct digest *d, const char *text)
{
	digest(d, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 0);
}

static void digest_number(struct digest *d, double n)
{
	digest(d, &n, sizeof(n));
}

static void digest_by(struct digest *d, const struct conf_by *by)
{
	for (size_t i = 0; i < by->n; i++)
		digest_text(d, by->fields[i].text);
}

static void digest_rules(struct digest *d, const struct policy *p, const struct conf *c)
{
	for (uint32_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		const double numbers[] = {r->keep,      r->share,   (double)r->threshold,
					  r->protected, r->dry_run, r->rollout,
					  r->node};
		digest_text(d, r->name);
		digest(d, numbers, sizeof(numbers));
		if (i >= c->sampling.n_rules)
			continue;
		digest_text(d, c->sampling.rules[i].when.text);
		digest_by(d, &c->sampling.rules[i].keep.by);
	}
	for (uint32_t i = 0; i < p->n_sources; i++) {
		digest_text(d, c->sampling.sources[i].when.text);
		digest_number(d, p->sources[i].share);
		digest_number(d, p->sources[i].hash);
	}
}

static void digest_nodes(struct digest *d, const struct policy *p, const struct conf *c)
{
	for (unsigned i = 0; i < p->n_nodes; i++) {
		const struct budget_node_options *o = &p->nodes[i];
		const double numbers[] = {
		    o->parent,      o->max_keys,     o->weight,      o->goal_share, o->reserve,
		    o->cap_reserve, o->month_policy, o->billing_day, o->burst_s,    o->debt_s};
		digest_text(d, o->name);
		digest(d, numbers, sizeof(numbers));
		for (int u = 0; u < BUDGET_UNITS; u++) {
			digest_number(d, o->limit[u].per_second);
			digest_number(d, o->limit[u].per_second_each);
			digest_number(d, o->limit[u].per_month);
		}
	}
	for (size_t i = 0; i < c->n_budgets; i++)
		digest_by(d, &c->budgets[i].by);
}

static uint64_t generation_of(const struct policy *p, const struct conf *c)
{
	struct digest d = {.key = {1, 0}}; /* the version of what is hashed */
	const uint64_t limits[] = {
	    p->wait_ms,       p->root_wait_ms, p->trace_spans,     p->trace_bytes, p->memory_bytes,
	    p->pending_bytes, p->kept_records, p->dropped_records, p->records_ms,  p->dry_run};
	digest(&d, limits, sizeof(limits));
	digest_rules(&d, p, c);
	digest_nodes(&d, p, c);
	return d.sum != 0 ? d.sum : 1;
}

/* ---- all of it ---- */

static void take_scalars(struct policy *p, const struct conf *c)
{
	const struct conf_sampling *s = &c->sampling;
	uint64_t most = c->journal.limit_bytes / POLICY_TRACE_PART;
	p->wait_ms = s->wait_ms;
	p->root_wait_ms = s->root_wait_ms < s->wait_ms ? s->root_wait_ms : s->wait_ms;
	p->trace_spans = (uint32_t)s->trace_spans;
	p->trace_bytes = s->trace_bytes < most ? s->trace_bytes : most;
	p->memory_bytes = s->memory_bytes;
	p->pending_bytes = s->pending_bytes;
	p->kept_records = s->kept_records;
	p->dropped_records = s->dropped_records;
	p->records_ms = s->records_ms;
	p->dry_run = s->dry_run;
}

static void build(struct policy_build *b)
{
	struct policy *p = b->p;
	p->set = condition_set_create();
	b->no_memory = p->set == NULL;
	if (b->no_memory)
		return;
	take_scalars(p, b->c);
	make_rules(b);
	if (!b->no_memory)
		policy_make_nodes(b);
	if (b->no_memory || b->r->faults != 0)
		return;
	if (b->c->sampling.n_rules == 0)
		place_only_rule(b);
	warn(b);
	b->no_memory = condition_compile(p->set) != 0;
	uint32_t bits = condition_set_bits(p->set);
	p->n_words = bits > 64 ? (bits + 63) / 64 : 1;
	p->n_fields = condition_set_fields(p->set);
	p->generation = generation_of(p, b->c);
}

int policy_create(struct policy **out, const struct conf *c, const char *name, struct buf *findings)
{
	struct owner *owner = calloc(1, sizeof(*owner));
	struct report *r = calloc(1, sizeof(*r));
	int rc = -ENOMEM;
	if (owner != NULL && r != NULL) {
		arena_init(&owner->arena, POLICY_BYTES);
		struct policy_build b = {.c = c, .p = &owner->p, .arena = &owner->arena, .r = r};
		build(&b);
		r->no_memory = b.no_memory;
		rc = report_write(r, name, findings);
	}
	free(r);
	if (rc < 0)
		rc = fail(rc, "policy: no memory");
	if (rc == 0)
		*out = &owner->p;
	else if (owner != NULL)
		policy_destroy(&owner->p);
	return rc;
}

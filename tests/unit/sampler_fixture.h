/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/sampler_fixture.h - a sampler in simulated time, with a policy and notices made by
 * hand. A world has at most 8 rules, 4 nodes and 2 sources. */
#ifndef TESTS_UNIT_SAMPLER_FIXTURE_H
#define TESTS_UNIT_SAMPLER_FIXTURE_H

#include "check.h"
#include "pipeline/sampler.h"
#include "wire/tracestate.h"

enum { RULES = 8, NODES = 4, SOURCES = 2 };

struct world {
	struct policy policy;
	struct policy_rule rules[RULES];
	struct policy_source sources[SOURCES];
	struct budget_node_options nodes[NODES];
	struct policy_key keys[NODES];
	struct budget *budget;
	struct sampler *sampler;
	struct sampler_now now;
	uint64_t block, chapter;
	struct ruling ruling;
	struct sampler_report report;
	uint64_t noticed; /* spans */
};

/* A trace's last rule keeps all; nothing is short. */
static inline void world_init(struct world *w)
{
	*w = (struct world){.now = {100000, 1767225600000}};
	w->policy = (struct policy){.set = condition_set_create(),
				    .n_words = 1,
				    .rules = w->rules,
				    .n_rules = 1,
				    .sources = w->sources,
				    .nodes = w->nodes,
				    .keys = w->keys,
				    .wait_ms = 30000,
				    .root_wait_ms = 2000,
				    .trace_spans = 1000,
				    .trace_bytes = 1 << 20,
				    .memory_bytes = 64 << 20,
				    .pending_bytes = 1 << 30,
				    .kept_records = 1000,
				    .dropped_records = 10000,
				    .records_ms = 600000,
				    .generation = 1};
	CHECK(w->policy.set != NULL);
	w->rules[0] = (struct policy_rule){.name = "rest",
					   .condition = POLICY_ALWAYS,
					   .share = 1,
					   .rollout = 1,
					   .node = BUDGET_ROOT};
}

static inline uint32_t world_condition(struct world *w, const char *text)
{
	struct condition_error why;
	uint32_t number;
	if (text == NULL)
		return POLICY_ALWAYS;
	CHECK_EQ(condition_add(w->policy.set, slice_str(text), &number, &why), 0);
	return number;
}

/* Before the last one, which moves on. */
static inline struct policy_rule *world_rule(struct world *w, const char *name, const char *text,
					     double share)
{
	struct policy_rule *r = &w->rules[w->policy.n_rules - 1];
	CHECK(w->policy.n_rules < RULES);
	w->rules[w->policy.n_rules++] = *r;
	*r = (struct policy_rule){.name = name,
				  .condition = world_condition(w, text),
				  .share = share,
				  .threshold = threshold_of(share),
				  .rollout = 1,
				  .node = BUDGET_ROOT};
	return r;
}

static inline struct policy_rule *world_last(struct world *w, double share)
{
	struct policy_rule *r = &w->rules[w->policy.n_rules - 1];
	r->share = share;
	r->threshold = threshold_of(share);
	return r;
}

static inline struct budget_node_options *world_node(struct world *w, const char *name,
						     uint16_t parent, double per_second)
{
	struct budget_node_options *n = &w->nodes[w->policy.n_nodes++];
	*n = (struct budget_node_options){.name = name, .parent = parent};
	n->limit[BUDGET_SPANS].per_second = per_second;
	return n;
}

static inline struct budget *world_budget(const struct world *w)
{
	struct budget *b = NULL;
	const char *reason;
	unsigned node;
	struct budget_options o = {
	    .nodes = w->nodes,
	    .n_nodes = w->policy.n_nodes,
	    .largest = {(double)w->policy.trace_spans, (double)w->policy.trace_bytes},
	    .hash_key = {5, 6}};
	CHECK_EQ(budget_create(&b, &o, (struct budget_now){w->now.mono_ms, w->now.unix_ms}, &reason,
			       &node),
		 0);
	return b;
}

static inline void world_sampler(struct world *w)
{
	struct sampler_options o = {.policy = &w->policy, .budget = w->budget, .hash_key = {5, 6}};
	CHECK_EQ(sampler_create(&w->sampler, &o), 0);
}

static inline void world_start(struct world *w)
{
	CHECK_EQ(condition_compile(w->policy.set), 0);
	if (w->policy.n_nodes != 0)
		w->budget = world_budget(w);
	world_sampler(w);
}

static inline void world_end(struct world *w)
{
	sampler_destroy(w->sampler);
	budget_destroy(w->budget);
	condition_set_destroy(w->policy.set);
}

static inline void world_pass(struct world *w, uint64_t ms)
{
	w->now.mono_ms += ms;
	w->now.unix_ms += ms;
}

/* ---- spans ---- */

struct span {
	uint64_t trace;      /* the id's high half; the low one is `low` */
	uint64_t low;        /* randomness_of() is its low 56 bits */
	uint64_t identity;   /* 0: one of its own */
	uint64_t start, end; /* 0: 1000 and 1001 */
	uint32_t flags;
	uint64_t th, rv;
	uint32_t bytes; /* 0: 100 */
	uint64_t bits[4];
	uint32_t keys[4];
};

static inline void put_id(uint8_t id[16], uint64_t trace, uint64_t low)
{
	for (int i = 0; i < 8; i++) {
		id[i] = (uint8_t)(trace >> (56 - 8 * i));
		id[8 + i] = (uint8_t)(low >> (56 - 8 * i));
	}
}

static inline uint32_t stride_of(const struct policy *p)
{
	size_t more = p->n_words * sizeof(uint64_t) + p->n_fields * sizeof(uint32_t);
	return (uint32_t)(sizeof(struct notice) + (more + 7) / 8 * 8);
}

static uint64_t next_identity = 1000;

static inline void fill_notice(const struct policy *p, struct notice *n, const struct span *s,
			       uint32_t offset)
{
	*n = (struct notice){.identity = s->identity != 0 ? s->identity
							  : next_identity++ * 0x9e3779b97f4a7c15u,
			     .start_ns = s->start != 0 ? s->start : 1000,
			     .end_ns = s->end != 0 ? s->end : 1001,
			     .th = s->th,
			     .rv = s->rv,
			     .bytes = s->bytes != 0 ? s->bytes : 100,
			     .offset = offset & 0xffffff,
			     .flags = s->flags & 0xff};
	put_id(n->trace_id, s->trace, s->low);
	memcpy(n->more, s->bits, p->n_words * sizeof(uint64_t));
	memcpy(n->more + p->n_words, s->keys, p->n_fields * sizeof(uint32_t));
}

static inline struct notices *make_notices(const struct policy *p, uint64_t block, uint32_t first,
					   const struct span *list, uint32_t n)
{
	uint32_t stride = stride_of(p);
	struct notices *all = calloc(1, sizeof(*all) + (size_t)n * stride);
	CHECK(all != NULL);
	all->generation = p->generation;
	all->block_id = block;
	all->offset = first;
	all->n = n;
	all->stride = stride;
	for (uint32_t i = 0; i < n; i++)
		fill_notice(p, (struct notice *)((uint8_t *)all->bytes + (size_t)i * stride),
			    &list[i], i);
	return all;
}

static inline void world_notice(struct world *w, uint32_t first, const struct span *list,
				uint32_t n)
{
	struct notices *all = make_notices(&w->policy, w->block, first, list, n);
	CHECK_EQ(sampler_notice(w->sampler, all, w->now), 0);
	free(all);
	w->noticed += n;
}

static inline uint64_t bytes_of(const struct span *list, uint32_t n)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < n; i++)
		bytes += list[i].bytes != 0 ? list[i].bytes : 100;
	return bytes;
}

/* A block of its own. */
static inline uint64_t world_block(struct world *w, const struct span *list, uint32_t n)
{
	CHECK_EQ(sampler_block(w->sampler, ++w->block, n, bytes_of(list, n), w->now.unix_ms), 0);
	if (n != 0)
		world_notice(w, 0, list, n);
	return w->block;
}

/* Whether there was a ruling. */
static inline bool world_decide(struct world *w)
{
	int rc = sampler_decide(w->sampler, 1 << 30, w->chapter, w->now, &w->ruling);
	CHECK(rc == 0 || rc == SAMPLER_IDLE);
	if (rc != 0)
		w->ruling = (struct ruling){0};
	else
		w->chapter += w->ruling.n_decisions != 0;
	sampler_report(w->sampler, &w->report);
	return rc == 0;
}

/* One trace of one span, decided by its wait. */
static inline const struct decision *world_judge(struct world *w, const struct span *s)
{
	world_block(w, s, 1);
	world_pass(w, w->policy.wait_ms);
	CHECK(world_decide(w));
	CHECK_EQ(w->ruling.n_decisions, 1);
	return w->ruling.decisions;
}

#define BLOCK(w, ...)                                                                              \
	world_block((w), (const struct span[]){__VA_ARGS__},                                       \
		    (uint32_t)(sizeof((const struct span[]){__VA_ARGS__}) / sizeof(struct span)))
#define HALF ((uint64_t)1 << 55)

#endif

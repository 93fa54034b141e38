/* SPDX-License-Identifier: Apache-2.0
 * pipeline/policy.h - `sampling` and `budgets` of a configuration, compiled: what intake evaluates
 * and the sampler decides by. Made by one thread, never changed, read by any.
 *
 * A trace follows the first rule whose condition holds. The rule keeps a share of traces, or names
 * the first node of a way through the budget nodes (pipeline/budget.h), whose goals then decide; or
 * both: what its share leaves goes through the budgets. Rules by goal ({ spans_per_second: 500 })
 * are nodes themselves, in front of the budget they belong to. */
#ifndef PIPELINE_POLICY_H
#define PIPELINE_POLICY_H

#include "base/buf.h"
#include "conf/conf.h"
#include "pipeline/budget.h"
#include "pipeline/condition.h"

enum {
	POLICY_BAD = 1,
	POLICY_RULES = 256,
	POLICY_FIELDS = 16,    /* of all keys together */
	POLICY_KEY_FIELDS = 4, /* of one key */
	/* What is kept goes into the journal before what was pending leaves it: a trace must fit
	 * into what is left when the journal is nearly full. */
	POLICY_TRACE_PART = 16
};
#define POLICY_ALWAYS UINT32_MAX /* a rule without a condition */

enum policy_keep {
	POLICY_SHARE,    /* by the trace's randomness, threshold `threshold` */
	POLICY_SATELLITE /* as the Lightstep satellite sampler (satellite_keeps()) */
};

struct policy_rule {
	const char *name; /* unique; at most 63 bytes */
	uint32_t condition;
	enum policy_keep keep;
	double share;       /* 0 to 1 */
	uint64_t threshold; /* threshold_of(share); THRESHOLD_NEVER for 0 */
	bool protected;     /* its traces may use the budgets' reserve */
	/* Only counted, and the next rule decides: its way ends at its own goal, before any budget.
	 */
	bool dry_run;
	double rollout; /* share of traces that see the rule: 1 for all */
	uint16_t node;  /* the first budget node of its way; BUDGET_ROOT: none, as for share 0 */
};

/* What a node's keys are made of: fields of the policy, in this order. */
struct policy_key {
	uint8_t n;
	uint8_t field[POLICY_KEY_FIELDS];
};

/* Traces whose spans come sampled already, by a sender that writes no `th`. The first whose
 * condition holds counts. */
struct policy_source {
	uint32_t condition;
	double share; /* that the sender kept; 0: as if nothing were said */
	bool hash; /* its ids are not random: R is made of a hash of the trace id, and `rv` written
		    */
};

struct policy {
	struct condition_set *set;
	uint32_t n_words;  /* of predicates a span has, at least 1 */
	uint32_t n_fields; /* of key hashes a span has */
	struct policy_rule *rules;
	uint32_t n_rules; /* the last one has no condition, no dry run, and is for all traces */
	struct policy_source *sources;
	uint32_t n_sources;

	struct budget_node_options *nodes;
	struct policy_key *keys; /* by node */
	unsigned n_nodes;

	uint64_t wait_ms;      /* the longest after a trace's first span */
	uint64_t root_wait_ms; /* after its root; at most wait_ms */
	uint32_t trace_spans;  /* a trace with more is decided */
	uint64_t trace_bytes;
	uint64_t memory_bytes;  /* of traces that are undecided */
	uint64_t pending_bytes; /* of their spans in the journal */
	/* Decisions that late spans can still follow: when there are more of one kind, the oldest
	 * ruling's are forgotten, of both. */
	uint64_t kept_records, dropped_records;
	uint64_t records_ms; /* and for how long at most */
	bool dry_run;        /* everything is kept */
	uint64_t generation; /* a hash of all that can change a decision; never 0 */
};

/* Compiles what `c` says. Appends to `findings` as conf_load() does, with `name` for the file. 0,
 * where there may be warnings (a rule that never matches, one behind a rule that takes all);
 * POLICY_BAD; negative: no memory. Unless 0, *out is not set. Copies what it keeps of `c`. */
int policy_create(struct policy **out, const struct conf *c, const char *name,
		  struct buf *findings);
void policy_destroy(struct policy *p);

/* Whether the configuration asks for any judgement: without rules and budgets all is kept at once.
 */
bool policy_judges(const struct conf *c);

/* Whether a condition of the policy holds; POLICY_ALWAYS always does. */
static inline bool policy_holds(const struct policy *p, uint32_t condition,
				const struct trace_facts *facts)
{
	return condition == POLICY_ALWAYS || condition_holds(p->set, condition, facts);
}

/* Whether Lightstep's satellite sampler at this share keeps the trace: the low 8 bytes of its id as
 * 16 hex digits, CRC-32 (IEEE) of them at most 2^32 - 1 times the share, truncated. Source:
 * otel-collector-charts, satellitesamplerprocessor. */
bool satellite_keeps(const uint8_t *trace_id, double share);

#endif

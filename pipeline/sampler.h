/* SPDX-License-Identifier: Apache-2.0
 * pipeline/sampler.h - tail sampling: holds what is known of undecided traces, decides when they
 * are due, remembers what it decided. Knows no file and no clock; the judge room owns one.
 *
 * Notices come in the order of the journal. A trace is decided, by the policy's first rule that
 * holds: root_wait after its first root, wait after its first span, at its limits of spans and
 * bytes, when memory runs short, or when nothing can change the outcome any more. All of its spans
 * go one way. A span that comes after that follows the decision, as long as it is remembered, and
 * is charged to the same budgets.
 *
 * Exact over crashes: a ruling holds everything that was decided since the one before, and
 * `position`, the last block all of whose notices are in it or undecided. When rulings are durable
 * in order, a span of a held block is decided if and only if its block is not after the last
 * durable position and its trace has a record. So after a crash the blocks are noticed again and
 * sampler_restore() is told both; and a record stays while a block is held that has spans of its
 * trace, late ones too. Spans that come twice count as undecided until their trace is decided.
 *
 * Memory is bounded by the policy: a trace costs at most 120 bytes and a span 24, or 36 in a trace
 * of more than 16 spans; 8 bytes more for each 64 predicates beyond 128, and 24 for each field of
 * keys. Records of decisions are counted by themselves: about 140 bytes for a kept trace and 28 for
 * a dropped one.
 *
 * Not thread-safe: one room owns it. Times, of waits and of records, are monotonic. */
#ifndef PIPELINE_SAMPLER_H
#define PIPELINE_SAMPLER_H

#include "base/siphash.h"
#include "pipeline/decision.h"
#include "pipeline/notice.h"

struct sampler_now {
	uint64_t mono_ms, unix_ms;
};

struct sampler_options {
	const struct policy *policy; /* borrowed */
	struct budget *budget;       /* borrowed; NULL where the policy has no nodes */
	struct siphash_key hash_key; /* of ids and keys; the same from start to start */
};

struct sampler;
int sampler_create(struct sampler **out, const struct sampler_options *o); /* 0 or -ENOMEM */
void sampler_destroy(struct sampler *s);

/* ---- after a start, before anything else: chapters in order, then where the rulings stood ---- */

/* Those from the last durable `forget` on, all of them. `number` is the chapter's in the store,
 * `rule_map[i]` the number today of the rule that was i then (UINT16_MAX: gone), of n_map; NULL:
 * the same policy. 0, DECISION_BAD or -ENOMEM. */
int sampler_remember(struct sampler *s, uint64_t number, struct slice chapter,
		     const uint16_t *rule_map, uint32_t n_map, struct sampler_now now);
/* Notices of blocks up to `position` whose trace has a record are decided already: skipped; so is
 * what is missing of these blocks. Then come the held blocks, from the last durable `first_held`
 * on: no sampler_decide() before those up to `position` were noticed again. All traces wait until
 * grace_ms after `now` at least, for clients that try again, but those over a limit and certain
 * ones. */
void sampler_restore(struct sampler *s, uint64_t position, uint64_t grace_ms,
		     struct sampler_now now);

/* Of what was noticed again: spans that are pending in the account and in no block any more are
 * damaged, which the next ruling says. `pending` is the account's. Gives how many those are. */
uint64_t sampler_reconcile(struct sampler *s, uint64_t pending);

/* ---- another policy, while everything goes on ---- */

/* The blocks that may hold undecided spans, oldest first. */
void sampler_each_block(const struct sampler *s,
			void (*on_block)(void *ctx, uint64_t id, uint32_t spans, uint64_t bytes,
					 uint64_t unix_ms),
			void *ctx);

/* `s` is new, of another policy, and goes on for `old`, of which no ruling is on its way: takes
 * what it decided and what it counted, with rules numbered anew by `rule_map` (as in
 * sampler_remember()). What is undecided it does not take, for that was noticed by other
 * conditions: the blocks of `old` have to be noticed again, as after a start, but that clients were
 * never gone and nothing waits for them. `position` is that of the last durable ruling; `lost` is
 * what sampler_reconcile() gave, as long as no ruling said so. `old` is good for nothing but
 * sampler_destroy() then. */
void sampler_succeed(struct sampler *s, struct sampler *old, const uint16_t *rule_map,
		     uint32_t n_map, uint64_t position, uint64_t lost);

/* ---- in ---- */

/* A block whose notices follow: ids ascend, `spans` is how many it has, `unix_ms` when it came.
 * What is not noticed of it by the next block or sampler_decide() was damaged; its bytes are not
 * known and not counted. 0 or -ENOMEM. */
int sampler_block(struct sampler *s, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms);
/* Of the newest block; borrows. 0 or -ENOMEM (with nothing half done: the worker may end). */
int sampler_notice(struct sampler *s, const struct notices *n, struct sampler_now now);

/* ---- out ---- */

/* One kept span, or many. */
struct pick {
	uint64_t block_id;
	uint32_t at;       /* its place there (pipeline/notice.h) */
	uint32_t decision; /* its trace's place in ruling.decisions, or, with PICK_LATE, in .late */
};
#define PICK_LATE 0x80000000u

/* A trace of the sample: its spans are in ruling.sample. */
struct sampled {
	uint64_t hash; /* what it was chosen by; uniform, and unknown to clients */
	uint32_t decision;
};

struct ruling {
	struct pick *picks; /* sorted by place */
	size_t n_picks;
	struct decision *decisions; /* new ones, kept and dropped */
	size_t n_decisions;
	struct decision *late; /* earlier ones that late spans in `picks` follow */
	size_t n_late;
	/* Of sampler_sample(): whole traces, kept and dropped ones, without what is late or came
	 * twice; sorted by place, and in the order of decisions. */
	struct pick *sample;
	size_t n_sample;
	struct sampled *sampled;
	size_t n_sampled;
	bool sample_failed; /* no memory for all of it: it says nothing */
	/* Which spans made rules hold, in the order of decisions: without their ids, which whoever
	 * has the blocks fills in. Where those lie, the first ones of each, sorted by place;
	 * `decision` is a place in `met`. Where memory is short some are missing. */
	struct met_by *met;
	size_t n_met;
	struct pick *witnesses;
	size_t n_witnesses;
	uint64_t spans[VERDICTS]; /* what became of spans: [VERDICT_KEPT] is n_picks */
	uint64_t bytes[VERDICTS];
	uint64_t position;   /* see above */
	uint64_t first_held; /* blocks before this one hold no undecided span */
	uint64_t forget;     /* chapters before this number are needed no more, nor remembered */
};

enum { SAMPLER_IDLE = 1 };

/* Decides what is due. `max_bytes` of kept spans: what is due beyond it waits for the next call,
 * but late spans are always in, and one trace at least; half of it is for traces that pass a
 * budget, so that they do not keep others waiting. At most 32,768 decisions. *out borrows the
 * sampler's memory until the next call of any of its functions.
 *
 * 0: a ruling; SAMPLER_IDLE: nothing has changed, none is needed; -ENOMEM: as it was. Ten times a
 * second, and when sampler_is_urgent(). `number` is that of the chapter that this ruling's
 * decisions will be in: a new one after each ruling that has some. */
int sampler_decide(struct sampler *s, size_t max_bytes, uint64_t number, struct sampler_now now,
		   struct ruling *out);
/* From now on rulings list this share of all traces, whatever is decided about them: those whose
 * hash is below sample_limit(share). It has nothing to do with the randomness they are judged by.
 */
void sampler_sample(struct sampler *s, double share);
static inline uint64_t sample_limit(double share)
{
	return share >= 1 ? UINT64_MAX : share > 0 ? (uint64_t)(share * 0x1p64) : 0;
}
/* Late spans have gathered, or memory is short: decide now. */
bool sampler_is_urgent(const struct sampler *s);

/* ---- for people ---- */

struct sampler_report {
	uint64_t traces, spans, bytes; /* undecided; bytes of spans */
	uint64_t memory_bytes;         /* taken, records and room for more included */
	uint64_t used_bytes;           /* of policy->memory_bytes */
	uint64_t kept_records, dropped_records;
	uint64_t oldest_unix_ms;     /* first span of the oldest undecided trace; 0: none */
	uint64_t triggers[TRIGGERS]; /* traces, since the start; so are the rest */
	uint64_t disagreements;      /* spans whose explicit randomness is not their trace's */
	uint64_t skewed;             /* spans that end before they start */
	bool stressed;
	struct sampler_rule_report {
		uint64_t matched, kept, dropped; /* traces; of a dry run: would be */
		uint64_t kept_spans, dropped_spans;
	} * rules; /* policy->n_rules, borrowed */
};
void sampler_report(const struct sampler *s, struct sampler_report *out);

enum sampler_state { SAMPLER_UNKNOWN, SAMPLER_PENDING, SAMPLER_DECIDED };
struct sampler_look {
	enum sampler_state state;
	/* PENDING: as it would be decided now; DECIDED: the record of a kept trace, and the
	 * verdict on a dropped one, for the rest see chapter `number` */
	struct decision decision;
	uint64_t number, due_unix_ms;
	/* PENDING: the spans that make that rule hold, as in a ruling */
	struct met_by met;
	struct pick witnesses[MET_SPANS];
	uint32_t n_witnesses;
};
void sampler_look(const struct sampler *s, const uint8_t *trace_id, struct sampler_now now,
		  struct sampler_look *out);

#endif

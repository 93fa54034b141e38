/* SPDX-License-Identifier: Apache-2.0
 * tests/sampler/model.h - the sampler again, slow and obvious: arrays, and everything computed anew
 * from the spans each time it is wanted. Shares nothing with the sampler but conditions, thresholds
 * and budgets. Whether there is stress it is told. */
#ifndef TESTS_SAMPLER_MODEL_H
#define TESTS_SAMPLER_MODEL_H

#include "pipeline/sampler.h"

enum { MODEL_SPANS = 4096, MODEL_TRACES = 4096, MODEL_BLOCKS = 512, MODEL_FIELDS = 2 };

enum model_list { M_NONE, M_READY, M_ROOT, M_WAIT };

struct model_span {
	uint8_t trace_id[16];
	uint64_t block, identity, start, end, th, rv, bits[4];
	uint32_t number, bytes, flags, keys[MODEL_FIELDS];
	int trace; /* -1: none, and it is late or done */
	bool duplicate, done;
	int late_of; /* trace whose record it follows; -1 */
};

struct model_trace {
	uint8_t id[16];
	enum model_list list;
	uint64_t order, due, first_unix;
	enum decision_trigger trigger;
	bool decided, gone; /* has a record; which is forgotten */
	uint64_t position, chapter, made;
	struct decision d;
	uint64_t disagreements;
	/* while it waits for the budget */
	uint16_t rule, would;
	uint64_t threshold;
	struct budget_path path;
	uint64_t keys[4];
};

struct model {
	const struct policy *policy;
	struct budget *budget;
	struct siphash_key key;
	struct model_span spans[MODEL_SPANS];
	struct model_trace traces[MODEL_TRACES];
	struct {
		uint64_t id, unix_ms, bytes;
		uint32_t spans, noticed;
	} blocks[MODEL_BLOCKS];
	int n_spans, n_traces, n_blocks, ruled_blocks;
	int waiting[MODEL_TRACES], n_waiting;
	uint64_t order, spans_done[VERDICTS], bytes_done[VERDICTS];
	/* By condition: sides of an `or`, separated by |, each with the letters of the predicates
	 * that it takes. By letter: the number of its predicate. */
	const char *const *reasons;
	const int *letters;

	/* of the last ruling */
	struct model_pick {
		uint64_t block;
		uint32_t number;
		const struct decision *d;
		bool late;
	} picks[MODEL_SPANS];
	int decisions[MODEL_TRACES], n_decisions, n_picks;
	struct model_met {
		int decision;
		uint32_t spans;
		const struct model_span *first, *second; /* which may be NULL */
	} met[MODEL_TRACES];
	int n_met;
	uint64_t first_held;
};

void model_block(struct model *m, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms);
void model_span(struct model *m, const struct notice *n, uint32_t number, bool stressed,
		struct sampler_now now);
/* Whether there is a ruling. Who reads spans_done and bytes_done sets them to 0. */
bool model_decide(struct model *m, size_t max_bytes, uint64_t chapter, struct sampler_now now);

#endif

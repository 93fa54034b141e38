/* SPDX-License-Identifier: Apache-2.0
 * pipeline/decision.h - what was decided about a trace, and why: a record that late spans follow
 * and `spanrelay explain` shows. Written to the store with what it decides, a chapter for each
 * ruling.
 *
 * A chapter, little endian, 8-byte words:
 *   magic "RLD1" | u32 n | u64 policy generation | u64 unix_ms | records
 *   magic "RLD2" | the same | who met their rules, at least one
 * Records are struct decision as it stands here, what follows them struct met_by, of ascending
 * decisions. Chapters of other versions are not read. */
#ifndef PIPELINE_DECISION_H
#define PIPELINE_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Why it was decided then. */
enum decision_trigger {
	TRIGGER_ROOT,     /* its root was there for root_wait */
	TRIGGER_WAIT,     /* its first span was there for wait */
	TRIGGER_SPANS,    /* over trace_spans */
	TRIGGER_BYTES,    /* over trace_bytes */
	TRIGGER_CERTAIN,  /* nothing that comes could change it */
	TRIGGER_EVICTION, /* memory or the journal ran short */
	TRIGGER_STRESS,   /* likewise, for longer: at its first span */
	TRIGGERS
};
extern const char *const TRIGGER_NAMES[TRIGGERS];

/* What became of spans that were judged. */
enum verdict {
	VERDICT_KEPT,
	VERDICT_RULE,      /* dropped by its rule's share */
	VERDICT_BUDGET,    /* dropped by a budget or a goal */
	VERDICT_LATE,      /* came late to a trace that was dropped */
	VERDICT_LATE_OVER, /* came late to one that was kept, past the debt */
	VERDICT_DUPLICATE, /* the same span was there already */
	VERDICT_DAMAGED,   /* could not be read any more */
	VERDICTS
};
extern const char *const VERDICT_NAMES[VERDICTS];

struct decision {
	uint8_t trace_id[16];
	uint64_t first_unix_ms; /* when its first span came */
	uint64_t randomness;    /* R */
	/* It was judged by. On a kept span max(this, its own th) is written. Where its source is
	 * known to have kept a share, that is in it when the trace is kept. */
	uint64_t threshold;
	uint64_t arrived; /* the highest threshold it came with; 0: none, or R is below it */
	uint64_t keys[4]; /* of the nodes on its way that have keys, from the rule up */
	uint32_t spans, errors;
	uint64_t bytes;
	uint64_t duration_ns;
	uint32_t waited_ms;       /* from first_unix_ms to the decision */
	uint16_t rule;            /* its number in the policy of that generation */
	uint8_t trigger, verdict; /* in a dry run of all, what it would have been */
	uint8_t erase_th; /* 1: its probability is not known, `th` must not stand on its spans */
	uint8_t write_rv; /* 1: R was made of a hash, and stands on its spans as `rv` */
	uint8_t has_root, is_late_only;
	uint16_t would; /* 1 + the first dry-run rule that it met; 0: none */
	uint16_t zero;
};
_Static_assert(sizeof(struct decision) == 120, "as on disk");

/* The spans that made the condition of a trace's rule hold. */
enum { MET_SPANS = 2 };
struct met_by {
	uint32_t decision; /* its place in the chapter */
	uint32_t spans;    /* how many there were; never 0 */
	/* Of the first ones, of different predicates if there are several. Zeros: there is none, or
	 * it could not be read. */
	uint8_t span_ids[MET_SPANS][8];
};
_Static_assert(sizeof(struct met_by) == 24, "as on disk");

enum { DECISION_BAD = 1, CHAPTER_HEADER = 24 };

/* An empty chapter into an empty buffer, then records to its end, then who met them. 0 or BUF_FULL.
 */
int chapter_begin(struct buf *out, uint64_t generation, uint64_t unix_ms);
int chapter_add(struct buf *out, const struct decision *d);
int chapter_add_met(struct buf *out, const struct met_by *m);

struct chapter {
	uint64_t generation, unix_ms;
	uint32_t n, n_met;
	struct slice records, met;
};
int chapter_read(struct chapter *c, struct slice bytes); /* 0 or DECISION_BAD */
void chapter_at(const struct chapter *c, uint32_t i, struct decision *out);
void chapter_met_at(const struct chapter *c, uint32_t i, struct met_by *out); /* of c->n_met */
/* Who met the rule of the i-th decision; of 0 spans if that is not known, or no span did. */
struct met_by chapter_met_by(const struct chapter *c, uint32_t i);

#endif

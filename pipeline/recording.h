/* SPDX-License-Identifier: Apache-2.0
 * pipeline/recording.h - recent traffic, as `spanrelay plan` replays it: a consistent sample of
 * whole traces with what was decided about each, and exact sums of all traces beside them. It comes
 * in parts of a few seconds. No I/O: the judge room makes parts, the spillway room writes them.
 *
 * A part, little endian:
 *   magic "RLT1" | u32 rules | u32 bytes of the book | u32 traces | u64 begin_ms | u64 end_ms
 *   | u64 late spans | u64 their bytes | book (pipeline/rulebook.h, one generation)
 *   | a tally for each rule, 6 u64 | the share of each trace, f64 | chapter (pipeline/decision.h)
 *   | an ExportTraceServiceRequest of their spans, as they came */
#ifndef PIPELINE_RECORDING_H
#define PIPELINE_RECORDING_H

#include "pipeline/decision.h"
#include "pipeline/policy.h"

enum { RECORDING_BAD = 1, RECORDING_HEADER = 48 };

/* All traces that a rule decided, late spans not counted. */
struct tally {
	uint64_t traces, spans, bytes;
	uint64_t kept_traces, kept_spans, kept_bytes;
};

/* ---- making ---- */

struct part {
	uint64_t begin_ms; /* Unix time; the next part begins where this one ends */
	struct tally tallies[POLICY_RULES];
	uint64_t late_spans, late_bytes; /* of all rules, kept or not */
	struct buf shares, chapter, request;
	uint32_t traces, spans; /* recorded */
};

void part_count(struct part *p, const struct decision *d, bool is_kept);
/* A trace whose spans go to p->request. 0 or BUF_FULL: then the part is of no use. */
int part_add(struct part *p, const struct decision *d, double share, uint64_t generation);
int part_write(const struct part *p, const struct policy *policy, uint64_t end_ms, struct buf *out);
void part_clear(struct part *p, uint64_t begin_ms); /* keeps its memory */
void part_finish(struct part *p);

/* ---- reading ---- */

struct part_view {
	uint64_t begin_ms, end_ms, late_spans, late_bytes;
	uint32_t n_rules;
	struct slice book, tallies, shares, request;
	struct chapter chapter;
};

int part_read(struct part_view *v, struct slice bytes); /* 0 or RECORDING_BAD; borrows */
void part_tally(const struct part_view *v, uint32_t rule, struct tally *out);
const char *part_rule(const struct part_view *v, uint32_t rule); /* its name; never NULL */
double part_trace(const struct part_view *v, uint32_t i, struct decision *out); /* its share */

/* ---- how much is recorded ---- */

/* The share of traces that fits: what is recorded in an hour fills the ring. A ring that is younger
 * than that is filled sooner, so that there is something to plan by after a minute; its oldest
 * parts then make room, and it covers most of the relay's age until that is an hour. */
struct recording_rate {
	double limit_bytes;    /* of the ring */
	double share;          /* now */
	uint64_t now_ms;       /* of the last call, monotonic */
	double volume, time_s; /* decayed: bytes of all traces that were decided, in so long */
	double stored, sample; /* decayed: bytes on disk, of so many bytes of spans */
};

void recording_rate_init(struct recording_rate *r, double limit_bytes, uint64_t now_ms);
/* `bytes` were decided since the last call; the ring's content is `age_s` old. Falls at once, and
 * rises by a fifth in ten seconds at most. */
double recording_rate_share(struct recording_rate *r, double bytes, double age_s, uint64_t now_ms);
/* A part of `sample` bytes of spans takes `stored` bytes on disk. */
void recording_rate_stored(struct recording_rate *r, double sample, double stored);

#endif

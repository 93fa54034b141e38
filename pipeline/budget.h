/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget.h - how many spans and bytes may leave: goals that hold, thresholds that are
 * true.
 *
 * A budget is a forest of nodes: total -> tenant or team -> rule. Each node does two things with
 * the traces that pass it on their way from a rule to the root.
 *  - Soft control: who may take how much. The node's goal is water-filled over its participants
 * (its keys, or the child nodes) by weight: from the smallest up, each takes what it offers or its
 *    part of what is left. What one does not use flows to the others. It gives a probability for
 *    each participant, before the trace's R is looked at: budget_offer().
 *  - A hard ceiling: token buckets, from which all that leaves is paid, late spans too. Traces that
 *    survived soft control are candidates; at a tick those with the least randomness above their
 * own threshold are cut, and the others' thresholds raised to just above the first that was cut, so
 *    that counts made from them stay true: budget_tick().
 * A rule's sampler by goal (spans or bytes per second, or a share of what comes, by key) is such a
 * node too, the leaf of a path. A fixed percentage is none: it is `own` in the offer.
 *
 * Randomness R and threshold T are those of wire/tracestate.h: 56 bits, kept if R >= T.
 * Sources: reference sampling-and-budgets 3, 5 and 6; water-filling, "falls at once, rises at most
 * 1.2 times" and the start of a new key from there, 5.1 and 3; the cut from 5.2; priority sampling
 * by rank is Duffield, Lund, Thorup (2007), with the threshold of the first excluded.
 *
 * Shapes and units: volumes are spans and uncompressed bytes (double, whole numbers), rates per
 * second, shares from 0 to 1. Nothing here reads a clock: each call is given `now`. One room owns a
 * budget; nothing is locked. Memory is taken by budget_create() and by saving, never by traffic. */
#ifndef PIPELINE_BUDGET_H
#define PIPELINE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/siphash.h"

enum budget_unit { BUDGET_SPANS, BUDGET_BYTES, BUDGET_UNITS };

enum {
	BUDGET_NODES = 1024,     /* of one budget */
	BUDGET_DEPTH = 5,        /* nodes from a rule to its root, both counted */
	BUDGET_NAME = 64,        /* bytes of a node's name, at most */
	BUDGET_KEYS = 10000,     /* exact keys of a node, at most */
	BUDGET_ROOT = UINT16_MAX /* the parent of a node that has none */
};

enum {
	BUDGET_BAD = 1,      /* options or state that cannot be; nothing was changed */
	BUDGET_LATE_OVER = 2 /* a late span past the debt: `late_over_budget` */
};

struct budget_now {
	uint64_t mono_ms; /* for rates and averages */
	uint64_t unix_ms; /* for months */
};

enum budget_month_policy {
	BUDGET_PACE,  /* the goal is what remains by the time left */
	BUDGET_CAP,   /* stop at the limit, but for a reserve */
	BUDGET_REPORT /* only count */
};

/* 0 means no such limit, here and below where a default is named. */
struct budget_limit {
	double per_second;      /* of the node */
	double per_second_each; /* of each of its keys */
	double per_month;       /* of the node */
};

struct budget_node_options {
	const char *name;  /* tells nodes apart over restarts and reloads: unique in the budget */
	uint16_t parent;   /* its place in the list, before this one; BUDGET_ROOT */
	unsigned max_keys; /* exact ones, where it has keys; the rest share 32 classes. 0: 500 */
	double weight;     /* among its parent's children; 0: 1 */
	struct budget_limit limit[BUDGET_UNITS];
	double goal_share; /* a sampler's goal_percentage: this share of what is offered, by key */

	enum budget_month_policy month_policy;
	unsigned billing_day;      /* of the month, UTC, 1 to 28; 0: 1 */
	double pace_min, pace_max; /* of the mean rate; 0: 0.1 and 3 */
	double cap_reserve;        /* share of the month that only protected spans may use */

	double reserve;          /* share of the goal kept for protected spans, below 1 */
	double protected_weight; /* beyond the reserve, against 1; 0: 4 */
	double burst_s; /* seconds of goal that the bucket holds; 0: 2. It holds more if the
			 * largest trace needs it: that one and the burst */
	double debt_s;  /* seconds of goal that late spans may overdraw; 0: 2 */

	/* What its keys are made of, hashed, in any way that does not change from start to start; 0
	 * for a node without keys. When it changes, the node's keys start afresh. */
	uint64_t key_fields;
};

struct budget_options {
	const struct budget_node_options *nodes; /* borrowed while budget_create() runs */
	unsigned n_nodes;
	double largest[BUDGET_UNITS]; /* a trace at its span and byte limits; buckets hold one */
	unsigned max_candidates;      /* at one tick; 0: 65536 */
	double update_s, average_s;   /* soft control; 0: 1 and 10 */
	struct siphash_key hash_key;  /* of the keys; must be that of the state loaded */
};

struct budget;

/* 0, -ENOMEM, or BUDGET_BAD with a static text in *reason and the node it is about in *node. */
int budget_create(struct budget **out, const struct budget_options *o, struct budget_now now,
		  const char **reason, unsigned *node);
void budget_destroy(struct budget *b); /* NULL is fine */

/* A key from the values of its fields, in order. A missing value is an empty one. */
uint64_t budget_key(const struct siphash_key *k, const struct slice *values, size_t n);

/* The way of a trace: its first node, and the key at each node from there to the root, where nodes
 * have keys (elsewhere it is ignored). */
struct budget_path {
	uint16_t node;
	uint64_t keys[BUDGET_DEPTH];
};

struct budget_offer {
	struct budget_path path;
	double spans, bytes;
	bool protected;
	double
	    arrived; /* the share its source kept, by its `th` or as configured; 1 when unknown */
	double own;  /* the share that the rule itself keeps: a fixed percentage, or 1 */
};

/* Soft control. budget_offer() counts the trace as offered at each node of its path and gives the
 * threshold to judge it by, `own` included; budget_threshold() only gives it. A trace is judged by
 * R >= max(that, the `th` it came with); THRESHOLD_NEVER when `own` is 0. */
uint64_t budget_offer(struct budget *b, const struct budget_offer *o);
uint64_t budget_threshold(const struct budget *b, const struct budget_offer *o);

enum budget_verdict {
	BUDGET_WAIT, /* a bucket does not hold the largest yet: bring it again at the next tick */
	BUDGET_KEEP, /* charged at each node of its path; `threshold` is to be written */
	BUDGET_OVER /* cut; had its R been `threshold`, it were not (THRESHOLD_NEVER: month over) */
};

/* `threshold` is the trace's own, max(soft control's, the `th` it came with), and is not above its
 * randomness. Per span the `th` to write is max(its own `th`, `threshold`). */
struct budget_candidate {
	struct budget_path path;
	uint64_t randomness, threshold;
	double spans, bytes; /* not above `largest` */
	bool protected;
	enum budget_verdict verdict; /* out */
};

/* The hard ceiling, and soft control's update when one is due. Call it ten times a second, with
 * candidates or without. Those beyond max_candidates wait. */
void budget_tick(struct budget *b, struct budget_now now, struct budget_candidate *list, size_t n);

/* A late span (or several) of a kept trace: charged, into debt if need be: 0, or BUDGET_LATE_OVER
 * with nothing charged. Spans that a backend rejects for good may be given back. */
int budget_late(struct budget *b, const struct budget_path *path, double spans, double bytes);
void budget_refund(struct budget *b, const struct budget_path *path, double spans, double bytes);

/* For metrics, `explain` and `plan`. Rates are averages. */
struct budget_unit_report {
	double goal;      /* now, per second; INFINITY for none */
	double offered;   /* per second, after the rules and the nodes below */
	double protected; /* of that */
	double late;
	double capacity, level;       /* of the bucket; below 0 it is debt */
	double month_used, projected; /* this month so far, and at its end at this rate */
	double kept, over, late_over; /* totals since the state began */
};
struct budget_report {
	const char *name;
	struct budget_unit_report unit[BUDGET_UNITS];
	double protected_share; /* soft control's probability for protected traces, in the mean */
	unsigned keys;
	double overflow_share; /* of what is offered, in spans: in keys that have no entry */
};
void budget_report(const struct budget *b, unsigned node, struct budget_report *out);

struct budget_key_report {
	uint64_t key;
	bool overflow;                /* `key` is the number of a class */
	double offered[BUDGET_UNITS]; /* per second */
	double share;                 /* of what is not protected */
};
void budget_each_key(const struct budget *b, unsigned node,
		     void (*on_key)(void *ctx, const struct budget_key_report *r), void *ctx);

/* State as bytes. budget_save() appends all of it, budget_save_levels() what each charge changes
 * (buckets, months, totals: about 300 bytes a node), to be committed with the decisions charged.
 * 0 or BUF_FULL.
 *
 * budget_load() takes either into a budget of the same or other options; levels go over the whole
 * state that was saved before them. Nodes are known by name. Time away fills no bucket. Goals,
 * bursts and weights may have changed; keys stay unless key_fields or the hash key did. 0, or
 * BUDGET_BAD for what is damaged, too new or impossible: then the budget is as it was. */
int budget_save(const struct budget *b, struct buf *out);
int budget_save_levels(const struct budget *b, struct buf *out);
int budget_load(struct budget *b, struct slice state, struct budget_now now);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * redaction/scan_state.h - a scanner from inside, for redaction/scan*.c. */
#ifndef REDACTION_SCAN_STATE_H
#define REDACTION_SCAN_STATE_H

#include "redaction/familiar.h"
#include "redaction/ruleset_state.h"
#include "redaction/scan.h"

/* The automaton spoke on a value: matches of the probe's rule may begin where `reach` bytes before
 * `first` are, or behind, and before `last`. Both are ends of reports, in the text. */
struct job {
	uint32_t value, probe; /* JOB_GAVE_UP: none, the value is too much work */
	uint32_t first, last;
};

#define JOB_GAVE_UP UINT32_MAX

/* A class may have something there. */
struct anchor {
	uint32_t value, at; /* in the text */
	uint32_t class;
};

/* What may still be spent on a value before it counts as hostile; each as many as a few for each
 * byte of the value, so that time is linear in all. */
struct effort {
	int64_t calls; /* of the exact expression that found nothing */
	int64_t bytes; /* that those may have read */
};

/* One value at a time. */
struct look {
	uint32_t number; /* of the value */
	struct slice bytes;
	struct effort effort;
	int64_t tail;   /* where the token bytes at its end begin; -1: not looked for yet */
	uint32_t extra; /* it fails closed: an extra of the set; 0: it does not */
	uint32_t first; /* of its hits */
};

struct key_entry;

struct scanner {
	const struct ruleset *set;
	struct siphash_key identity; /* the set's, to know it by */
	hs_scratch_t *scratch;
	struct matcher *matcher;

	struct slice text;
	const struct scan_value *values;
	uint32_t n_values;
	uint32_t cursor; /* the value in which the last report ended */
	uint32_t base;   /* where in the text the automaton began */
	int64_t credit;  /* reports that may still be looked into */
	bool unordered, no_memory;
	struct job *jobs;
	uint32_t n_jobs, room_jobs;
	uint32_t *last_job; /* of each probe: its number + 1 in this scan */
	struct gap {
		uint32_t from, to; /* in the text: bytes of its gate's first part, no stop */
		uint32_t stay_from, stay_to, stay; /* and that all stay in one part behind it */
	} * gaps; /* of each probe, then of each expression, so that no byte is looked at twice */
	uint32_t *cut; /* of each probe: the value + 1 at whose end it stands */
	struct anchor *anchors;
	uint32_t n_anchors, room_anchors;
	struct hit *hits;
	uint32_t n_hits, room_hits;
	struct rule_state {
		uint32_t value; /* + 1, for which `done` is */
		uint32_t done;  /* matches that begin before it were looked for */
		bool worded;    /* a keyword of the rule is in the value */
	} * rules;

	struct siphash_key hash_key;   /* this process's */
	struct familiar_keys familiar; /* of the entries */
	struct key_entry *entries;
	uint32_t n_entries;
	uint16_t *slots;            /* of entries: their number + 1 */
	struct arena keys, passing; /* what entries point to; verdicts for one call */
	bool keys_full;
	uint8_t *globs_hit; /* of one key */
};

/* ---- scan_confirm.c ---- */
void look_job(struct scanner *s, struct look *l, const struct job *j);
void look_anchor(struct scanner *s, struct look *l, const struct anchor *a);
void look_keyed(struct scanner *s, struct look *l, uint32_t rule);
void look_add_hit(struct scanner *s, struct look *l, uint32_t rule, size_t start, size_t end);

/* ---- scan_copies.c ---- */
void look_copies(struct scanner *s, struct look *l);

/* ---- scan_key.c ---- */
int key_cache_begin(struct scanner *s);
void key_cache_finish(struct scanner *s);

/* Room for one more; false: no memory, which is noted. */
bool scan_grow(struct scanner *s, void *all, uint32_t n, uint32_t *room, size_t size);

#endif

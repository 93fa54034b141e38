/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget_keys.h - who takes part in a node's goal: a bounded table of keys, what each
 * offers, and the share that each may keep. The budget's own; see pipeline/budget.h.
 *
 * What protects one key from another is its part of the goal: the level of water-filling, of all
 * that it offers, protected or not. Only within its part do protected spans go before others, and
 * of a reserve too each key has its part: whoever marks everything as an error gains nothing from
 * the others by it. Source: reference sampling-and-budgets 5.1 and 5.3.
 *
 * Exact entries are the keys with the most volume. Others fall, by their hash, into one of 32
 * classes, each of which takes part like one key. A class remembers one challenger, by majority
 * vote; one that offers more than the smallest entry takes its place (the Space-Saving idea, with
 * the replacing put off to an update, so that a flood of new keys moves nobody).
 *
 * Volumes are decayed sums and `time` is the decayed time they were measured in: a rate is volume
 * by time. Time in which the node saw nothing is not measured. Each key has a time of its own, or
 * one that is new would be taken for smaller than it is until the average has seen it for long. */
#ifndef PIPELINE_BUDGET_KEYS_H
#define PIPELINE_BUDGET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/budget.h"
#include "pipeline/budget_fill.h"

enum { KEYS_CLASSES = 32 };
enum { KEY_NORMAL, KEY_PROTECTED, KEY_KINDS }; /* by `protected` */

struct key {
	uint64_t key;
	struct flow flow[KEY_KINDS][BUDGET_UNITS];
	double time;
	double share[KEY_KINDS], weight;
	double level[BUDGET_UNITS]; /* of its bucket, where a goal is each key's */
	double
	    room[BUDGET_UNITS]; /* of that, what its parents were not yet told of: budget_soft.c */
	double rate[KEY_KINDS][BUDGET_UNITS]; /* scratch of an update: volume by time */
	bool fits; /* scratch: known since the last update, and all it offers is its part */
};

struct keys {
	struct key *entries;  /* n exact ones; the classes stand behind `max` */
	uint32_t *index;      /* by hash: place + 1, 0 for free */
	struct claim *claims; /* room for an update */
	uint32_t n, max, mask;
	struct {
		uint64_t key;
		double volume;
	} challenger[KEYS_CLASSES];
	double start[KEY_KINDS];   /* share of a key that is new */
	double full[BUDGET_UNITS]; /* a new key's bucket */
};

int keys_init(struct keys *k, unsigned max); /* 0 or -ENOMEM */
void keys_finish(struct keys *k);

/* The entry of a key, or the class it falls in. */
uint32_t keys_find(const struct keys *k, uint64_t key);
/* The same; makes an entry while there is room. */
uint32_t keys_meet(struct keys *k, uint64_t key);
/* Adds an entry; there must be room. */
struct key *keys_add(struct keys *k, uint64_t key);

/* Counts what arrived for the entry that keys_meet() gave; `key` may become its challenger. */
void keys_count(struct keys *k, uint32_t at, uint64_t key, bool protected,
		const double volume[BUDGET_UNITS], double arrived);

void keys_decay(struct keys *k, double elapsed_s, double factor);
void keys_promote(struct keys *k);

/* What to share, per second, INFINITY for no goal, and for each key. */
struct keys_goal {
	double node[BUDGET_UNITS], each[BUDGET_UNITS];
	double reserve[BUDGET_UNITS]; /* of `node`, first for protected ones */
	double offered;               /* spans: at most this share of what is offered; 0: any */
	double weight;                /* of protected ones beyond the reserve, within a key */
	double feedback_s;            /* each key's bucket is brought to half in so many seconds */
};
void keys_share(struct keys *k, const struct keys_goal *g);

/* Of a key, both kinds, decayed sum. */
double key_volume(const struct key *e, int unit);
/* Of all keys, one kind: what they offer and what their shares keep of it, decayed sums. */
double keys_offered(const struct keys *k, int kind, int unit);
double keys_kept(const struct keys *k, int kind, int unit);

void keys_join(struct key *to, const struct key *from); /* volumes */

/* All entries and classes, for loops: i < keys_end(), keys_next() skips what is free. */
static inline uint32_t keys_end(const struct keys *k)
{
	return k->max + KEYS_CLASSES;
}

static inline uint32_t keys_next(const struct keys *k, uint32_t i)
{
	return i + 1 == k->n ? k->max : i + 1;
}

static inline uint32_t keys_first(const struct keys *k)
{
	return k->n != 0 ? 0 : k->max;
}

#endif

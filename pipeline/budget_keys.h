/* SPDX-License-Identifier: Apache-2.0
 * pipeline/budget_keys.h - who takes part in a node's goal: a bounded table of keys, what each
 * offers, and the share that each may keep. The budget's own; see pipeline/budget.h.
 *
 * Exact entries are the keys with the most volume. Others fall, by their hash, into one of 32
 * classes, each of which takes part like one key. A class remembers one challenger, by majority
 * vote; one that offers more than the smallest entry takes its place (the Space-Saving idea, with
 * the replacing put off to an update, so that a flood of new keys moves nobody).
 *
 * Volumes are decayed sums and `time` is the decayed time they were measured in: a rate is volume
 * by time. Time in which the node saw nothing is not measured. */
#ifndef PIPELINE_BUDGET_KEYS_H
#define PIPELINE_BUDGET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/budget.h"
#include "pipeline/budget_fill.h"

enum { KEYS_CLASSES = 32 };

struct key {
	uint64_t key;
	struct flow flow[BUDGET_UNITS];
	double share, weight;
	double level[BUDGET_UNITS]; /* of its bucket, where a goal is each key's */
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
	double start;              /* share of a key that is new */
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
void keys_count(struct keys *k, uint32_t at, uint64_t key, const double volume[BUDGET_UNITS],
		double arrived);

void keys_decay(struct keys *k, double factor);
void keys_promote(struct keys *k);

/* What to share, per second, INFINITY for no goal, and for each key; `time` as above. */
struct keys_goal {
	double node[BUDGET_UNITS], each[BUDGET_UNITS];
	double feedback_s; /* each key's bucket is brought to half in so many seconds */
};
void keys_share(struct keys *k, const struct keys_goal *g, double time);

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

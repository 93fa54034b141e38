/* SPDX-License-Identifier: Apache-2.0
 * relay/ruling.h - a ruling on its way from the judge to the store: the kept spans as new requests,
 * copied out of the pending blocks with the thresholds they are to carry, and all else that goes
 * into the same transaction. Private to relay/. */
#ifndef RELAY_RULING_H
#define RELAY_RULING_H

#include "base/mail.h"
#include "pipeline/sampler.h"
#include "relay/pending.h"
#include "storage/store.h"
#include "wire/otlp_pick.h"

enum ruling_state { RULING_KEY, RULING_RULES, RULING_BUDGET, RULING_LEVELS, RULING_STATES };

struct ruling_note {
	struct mail mail;
	struct store_ruling ruling; /* filled by ruling_ready() */
	struct buf requests;        /* one after the other */
	struct store_kept *kept;    /* until ruling_ready() their data are offsets */
	size_t cap_kept;
	struct buf chapter, states[RULING_STATES];
	uint64_t unmarked; /* spans that could not carry their threshold */
};
_Static_assert((int)RULING_STATES <= (int)STORE_STATES, "each has its place");
_Static_assert((int)VERDICTS == (int)STORE_VERDICTS, "the store counts what the judge says");

extern const char *const RULING_STATE_NAMES[RULING_STATES];

struct ruling_note *ruling_create(void); /* NULL: no memory */
void ruling_free(struct ruling_note *n);
/* As if it were new, but that it keeps its memory. */
void ruling_clear(struct ruling_note *n);

/* Copies what `r` keeps; counts what cannot be read any more as damaged. `reader` is between begin
 * and end. 0, or negative: no memory. */
int ruling_fill(struct ruling_note *n, const struct ruling *r, struct store_reader *reader,
		struct pending *pending, struct otlp_pick *pick);
/* The note is complete: makes n->ruling of it. */
void ruling_ready(struct ruling_note *n);

#endif

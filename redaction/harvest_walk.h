/* SPDX-License-Identifier: Apache-2.0
 * redaction/harvest_walk.h - for the files of the harvest alone. */
#ifndef REDACTION_HARVEST_WALK_H
#define REDACTION_HARVEST_WALK_H

#include "redaction/harvest.h"

/* Request, envelopes, span, event, attribute, value; then three frames a nested kvlist, as in
 * wire/otlp_index.c, which lets 32 of those pass. */
enum { HARVEST_FRAMES = 8 + 3 * 32 };

enum harvest_mode {
	HARVEST_LOOK, /* rules look at it */
	HARVEST_SKIP, /* keys.ignore */
	HARVEST_BLOCK /* keys.block */
};

struct harvest_frame {
	const uint8_t *p, *end;
	const struct key_verdict *key; /* of the values within */
	uint32_t start;
	uint32_t attribute, owner, span; /* of what is within */
	uint8_t message;                 /* enum message */
	uint8_t position;                /* of the attributes within */
	uint8_t mode;                    /* enum harvest_mode */
};

static inline uint32_t harvest_offset(const struct harvest *h, const uint8_t *p)
{
	return (uint32_t)(p - h->base);
}

static inline enum harvest_mode harvest_mode_under(enum harvest_mode outer,
						   const struct key_verdict *key)
{
	if (outer != HARVEST_LOOK)
		return outer;
	if (key->ignored)
		return HARVEST_SKIP;
	return key->blocked ? HARVEST_BLOCK : HARVEST_LOOK;
}

void harvest_walk(struct harvest *h, struct slice request);
void harvest_one(struct harvest *h, struct slice text, const struct key_verdict *key);

bool harvest_room_spot(struct harvest *h);
bool harvest_room_row(struct harvest *h, uint32_t n); /* for n values and spots more */
struct owner *harvest_owner(struct harvest *h);       /* a new one; NULL: no memory */
bool harvest_cut(struct harvest *h, const struct cut *c);

/* Steps over a row of plain attributes at owner->p, each with this tag (redaction/harvest_row.c).
 * What is left there is for frames. */
void harvest_row(struct harvest *h, struct harvest_frame *owner, uint8_t tag);

/* Not in keys.allow_only. */
void harvest_cut_attribute(struct harvest *h, const struct harvest_frame *owner,
			   const uint8_t *start, const uint8_t *end);

/* Values (redaction/harvest_value.c); `f` is the frame they stand in. */
void harvest_string(struct harvest *h, const struct harvest_frame *f, struct slice text,
		    enum harvested_kind kind, enum position position);
void harvest_keyless(struct harvest *h, const struct harvest_frame *f, struct slice text,
		     enum position position);
void harvest_number(struct harvest *h, const struct harvest_frame *f, struct slice whole);

#endif

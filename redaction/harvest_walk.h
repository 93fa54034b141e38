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

void harvest_walk(struct harvest *h, struct slice request);
void harvest_one(struct harvest *h, struct slice text, const struct key_verdict *key);

bool harvest_room_spot(struct harvest *h);
bool harvest_owner(struct harvest *h, struct owner owner);
bool harvest_cut(struct harvest *h, const struct cut *c);

/* Values (redaction/harvest_value.c); `f` is the frame they stand in. */
void harvest_string(struct harvest *h, const struct harvest_frame *f, struct slice text,
		    enum harvested_kind kind, enum position position);
void harvest_number(struct harvest *h, const struct harvest_frame *f, struct slice whole);

#endif

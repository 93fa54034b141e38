/* SPDX-License-Identifier: Apache-2.0
 * tests/disk/boxes.h - outboxes and quarantines beside a world's store, worked on as
 * relay/spillway.c and exporters/ do it: a parcel is durable in a box before the journal is told,
 * what is done in a box is durable in the journal before a file is unlinked. What every parcel is
 * and where the boxes end is kept beside them, and compared exactly. */
#ifndef TESTS_DISK_BOXES_H
#define TESTS_DISK_BOXES_H

#include "storage/outbox.h"
#include "world.h"

enum { BOXES_PARCELS = 300 };

struct boxes_parcel {
	uint64_t id, first; /* the number of its first span */
	uint32_t spans, name_bytes;
	struct cursor to; /* in the journal */
};
struct boxes_box {
	struct boxes_parcel parcel[BOXES_PARCELS];
	uint32_t n;
	uint64_t end, committed,
	    told; /* ids: of what was appended, is on disk, the journal knows */
};
/* One piece of memory without pointers, as struct world is. */
struct boxes {
	unsigned mask; /* of the exporters that have some */
	/* parcels that were read; spans that the journal still had */
	uint64_t compared, given_back;
	uint64_t full;                    /* how often one was */
	struct cursor ahead[WORLD_NAMES]; /* what is before it is appended to the outbox */
	struct boxes_box box[WORLD_NAMES][PLACES];
};

/* After world_open(), and a commit if something is new; then everything in them is compared.
 * on_commit as in world_step(). */
bool boxes_open(struct boxes *bs, struct world *w, struct store *s, const char *dir,
		void (*on_commit)(void *ctx, bool done), void *ctx);
/* One random operation. */
bool boxes_step(struct boxes *bs, struct world *w, struct store *s);
bool boxes_check(struct boxes *bs, struct world *w); /* seals */
void boxes_close(struct boxes *bs);

#endif

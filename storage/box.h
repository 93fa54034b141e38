/* SPDX-License-Identifier: Apache-2.0
 * storage/box.h - a box as its own files see it. */
#ifndef STORAGE_BOX_H
#define STORAGE_BOX_H

#include "storage/outbox.h"
#include "storage/segment.h"

struct box {
	char dir[SEGMENT_PATH_MAX - 32];
	uint64_t limit_bytes, segment_bytes;
	struct box_segment *sealed; /* by ascending ids */
	size_t n_sealed, cap_sealed, n_given;
	uint64_t sealed_bytes;
	uint64_t done;
	struct segment making; /* closed: none is */
	uint64_t making_first;
	uint64_t end;     /* the id after what is durable */
	uint64_t next_id; /* after what is appended */
	struct metrics *metrics;
};

int box_add_sealed(struct box *b, struct box_segment g); /* 0 or -ENOMEM */

#endif

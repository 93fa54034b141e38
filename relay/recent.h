/* SPDX-License-Identifier: Apache-2.0
 * relay/recent.h - the ring on disk that holds the recording of recent traffic: a box
 * (storage/outbox.h) in <data_dir>/recent whose oldest file goes when it is full. A parcel's body
 * is a part (pipeline/recording.h), compressed. The spillway room's. Private to relay/. */
#ifndef RELAY_RECENT_H
#define RELAY_RECENT_H

#include "base/metric.h"
#include "relay/recorder.h"
#include "storage/outbox.h"
#include "wire/codec.h"

struct recent {
	struct box *box; /* NULL: nothing is recorded */
	struct codec *codec;
	struct buf body;
	uint64_t limit_bytes, oldest_ms; /* the first part's; 0: none is held */
	char dir[4096];
	struct metrics *metrics;
};

/* A ring that cannot be opened is logged and is off: it never keeps a relay from starting. */
void recent_open(struct recent *r, const char *data_dir, uint64_t limit_bytes,
		 struct metrics *metrics);
void recent_close(struct recent *r);
/* Writes the part and fills in the answer. */
void recent_put(struct recent *r, struct record_note *n);

int recent_folder(char *out, size_t cap, const char *data_dir); /* 0 or -ENAMETOOLONG */

#endif

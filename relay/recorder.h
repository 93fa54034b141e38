/* SPDX-License-Identifier: Apache-2.0
 * relay/recorder.h - the judge room's part in recording recent traffic (pipeline/recording.h): it
 * copies the sample that a ruling brings and hands it, a few seconds at a time, to the spillway
 * room. One part is on its way at a time; where the disk is slower than that, rulings go by
 * unrecorded. Nothing here can fail a ruling. Private to relay/. */
#ifndef RELAY_RECORDER_H
#define RELAY_RECORDER_H

#include "base/mail.h"
#include "base/metric.h"
#include "pipeline/recording.h"
#include "pipeline/sampler.h"
#include "relay/pending.h"
#include "storage/store.h"
#include "wire/otlp_pick.h"

/* judge -> spillway -> judge. */
struct record_note {
	struct mail mail;
	struct buf bytes; /* a part */
	uint64_t begin_ms, end_ms;
	uint64_t sample_bytes; /* of its spans */
	uint32_t spans;
	int rc;             /* the answer: 0, BOX_FULL or negative */
	uint64_t stored;    /* bytes on disk */
	uint64_t oldest_ms; /* of the ring; 0: it is empty */
};

struct recorder {
	const struct policy *policy;
	struct metrics *metrics;
	struct recording_rate rate;
	struct part part;
	uint64_t sample_bytes; /* of its spans */
	uint64_t oldest_ms;    /* of the ring */
	bool on, out;          /* there is a ring; a part is on its way */
	bool began;            /* something was decided since the start */
};

void recorder_init(struct recorder *r, const struct policy *policy, struct metrics *metrics,
		   struct sampler *sampler, uint64_t limit_bytes, uint64_t oldest_ms,
		   struct sampler_now now);
/* Another policy judges from now on: what was recorded so far was judged by the last one, and goes.
 */
void recorder_change(struct recorder *r, const struct policy *policy, struct sampler *sampler,
		     struct sampler_now now);
void recorder_finish(struct recorder *r); /* a zeroed one is fine */

/* Between begin and end of the reader. Takes the sample out of the ruling, which it may reorder,
 * and tells the sampler how much it wants of the next one. */
struct recorder_source {
	struct sampler *sampler;
	struct store_reader *reader;
	struct pending *pending;
	struct otlp_pick *pick;
};
void recorder_take(struct recorder *r, struct ruling *ruling, const struct recorder_source *from,
		   struct sampler_now now);

/* The next part, if it is due; the caller sends it. */
struct record_note *recorder_next(struct recorder *r, struct sampler_now now);
void recorder_answered(struct recorder *r, struct record_note *n); /* takes n */
void record_note_free(struct record_note *n);

#endif

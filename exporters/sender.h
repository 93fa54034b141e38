/* SPDX-License-Identifier: Apache-2.0
 * exporters/sender.h - one exporter's way through the journal: from its cursor it gathers spans
 * into requests, keeps a bounded number of them in flight, sends again what must be sent again, and
 * tells the store how far everything is done, in order. The export room owns it and calls
 * everything. */
#ifndef EXPORTERS_SENDER_H
#define EXPORTERS_SENDER_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "wire/parcel.h"

struct export;
struct key; /* exporters/credential.h */
struct sender;

enum sender_state {
	SENDER_OK,
	SENDER_RETRYING,
	SENDER_HELD_AUTH,
	SENDER_HELD_UPSTREAM,
	SENDER_NO_CREDENTIAL /* none was found yet: all is kept */
};
extern const char *const SENDER_STATE_NAMES[];

enum credential_place { SLOT_CURRENT, SLOT_PREVIOUS, SLOTS };

/* Written by the export room, read by any room. "Fresh" is what goes out straight from the journal,
 * "drained" what comes out of the outbox; rates are in spans a second, over the last seconds. */
struct sender_stats {
	_Atomic int state;       /* enum sender_state */
	_Atomic int last_status; /* of the last failure, -1: none came */
	_Atomic uint64_t requests, retries, sent_bytes, body_bytes; /* on the wire; uncompressed */
	_Atomic uint64_t connects, inflight;
	_Atomic uint64_t next_try_unix_ms; /* 0: not waiting */
	_Atomic uint64_t spilled_spans, quarantined_spans, drained_spans;
	_Atomic uint64_t fresh_rate, drain_rate;
	_Atomic uint64_t fresh_delay_ms; /* journal to backend, of the last fresh request taken */
	_Atomic uint64_t oldest_unix_ms; /* of all that waits, wherever; 0: nothing does */
	_Atomic uint64_t waiting_bytes;  /* in the journal, behind the cursor */
	_Atomic bool spilling;           /* the outbox takes what the backend does not */
	_Atomic int credential_state;    /* enum credential_state */
	struct credential_slot {
		_Atomic uint64_t generation;  /* 0: nothing is in it */
		_Atomic uint64_t fingerprint; /* twelve hex digits as a number */
		_Atomic uint64_t since_unix_ms;
		_Atomic uint64_t refusals; /* of requests that went with it */
	} credential[SLOTS];
};

/* What the store and the boxes had when the worker began. */
struct sender_begin {
	struct cursor from[PLACES];
	uint64_t box_end[PLACES]; /* [PLACE_JOURNAL] is not used */
	/* Above this much that waits in the journal, the outbox takes it. */
	uint64_t spill_bytes;
	uint64_t segment_bytes; /* what a segment of the outbox needs on the disk */
	struct tls *tls;        /* for an https:// endpoint; borrowed */
};

/* `room` is for the doors of relay/path.h, `index` names this exporter there. Borrows conf. Gives
 * NULL when the exporter cannot be made (logged). */
struct sender *sender_create(const struct conf_exporter *conf, unsigned index,
			     const struct sender_begin *begin, struct ev_loop *loop,
			     struct export *room);
void sender_destroy(struct sender *s);

/* A block is on disk and all of it is kept. Ids ascend. */
void sender_filed(struct sender *s, uint64_t block_id, uint32_t spans, uint32_t bytes,
		  uint64_t unix_ms);

/* The answer to path_spill(). */
void sender_on_spilled(struct sender *s, struct spill *spill);
/* A segment can be read: after path_seal(), when one is full, and for each one found at the start.
 * They ascend. */
void sender_on_sealed(struct sender *s, enum span_place box, struct box_segment g);

/* What the source of its credential holds now; takes both, `second` may be NULL. */
void sender_on_key(struct sender *s, struct key *first, struct key *second);
/* An operator's word: the previous credential is not used any more. */
void sender_drop_previous(struct sender *s);

/* An operator's word: sends what is in the quarantine once more, or gives it up. */
void sender_resend_quarantine(struct sender *s);
void sender_clear_quarantine(struct sender *s);

/* Takes a reference: certificates have changed. A backend that is not well gets a try at once. */
void sender_renew(struct sender *s, struct tls *tls);

/* Sends nothing new and no retry; what is in flight may still end. */
void sender_drain(struct sender *s);
bool sender_is_idle(const struct sender *s); /* nothing in flight */

/* Whether a way to the backend can be made of `conf`: 0 or negative. Any room; `loop` is its own.
 */
int sender_try(const struct conf_exporter *conf, struct tls *tls, struct ev_loop *loop);

/* ---- a reload; conf is what it borrows from now on ---- */

/* The way to the backend stays: only headers, where credentials come from, times, sizes and limits
 * differ. 0 or -ENOMEM. */
int sender_take(struct sender *s, const struct conf_exporter *conf, uint64_t segment_bytes);
/* Another way, for everything that waits; with another credential, the old one is not used any
 * more. Only when it was drained and sender_is_quiet(); it sends again then. 0, or negative: the
 * old one goes on as it was, drained. */
int sender_replace(struct sender *s, const struct conf_exporter *conf, struct tls *tls,
		   uint64_t segment_bytes);
bool sender_is_quiet(const struct sender *s); /* no request waits for an answer */

const struct sender_stats *sender_stats(const struct sender *s);

#endif

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
#include "wire/block.h"

struct export;
struct sender;

enum sender_state { SENDER_OK, SENDER_RETRYING, SENDER_HELD_AUTH, SENDER_HELD_UPSTREAM };
extern const char *const SENDER_STATE_NAMES[];

/* Written by the export room, read by any room. */
struct sender_stats {
	_Atomic int state;       /* enum sender_state */
	_Atomic int last_status; /* of the last failure, -1: none came */
	_Atomic uint64_t requests, retries, sent_bytes, body_bytes; /* on the wire; uncompressed */
	_Atomic uint64_t connects, inflight;
	_Atomic uint64_t next_try_unix_ms; /* 0: not waiting */
};

/* `room` is for the doors of relay/path.h, `index` names this exporter there. Borrows conf. Gives
 * NULL when the exporter cannot be made (logged). */
struct sender *sender_create(const struct conf_exporter *conf, unsigned index, struct cursor from,
			     struct ev_loop *loop, struct export *room);
void sender_destroy(struct sender *s);

/* A block is on disk and all of it is kept. Ids ascend. */
void sender_filed(struct sender *s, uint64_t block_id, uint32_t spans, uint32_t bytes);

/* Sends nothing new and no retry; what is in flight may still end. */
void sender_drain(struct sender *s);
bool sender_is_idle(const struct sender *s); /* nothing in flight */

const struct sender_stats *sender_stats(const struct sender *s);

#endif

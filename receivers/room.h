/* SPDX-License-Identifier: Apache-2.0
 * receivers/room.h - all client connections of one intake room. Everything here is called in that
 * room. Batches leave by path_received() and come back by receivers_answer(). */
#ifndef RECEIVERS_ROOM_H
#define RECEIVERS_ROOM_H

#include <ev.h>

#include "base/charge.h"
#include "base/metric.h"
#include "base/tls.h"
#include "receivers/receiver.h"

struct intake;
struct receivers;

struct receivers_options {
	struct ev_loop *loop;
	struct intake *intake; /* for path_received() */
	size_t request_bytes;  /* before and after decompression */
	struct index_limits limits;
	struct account *account; /* shared by all rooms */
	struct metrics *metrics;
};

struct receivers *receivers_create(const struct receivers_options *o); /* NULL: no memory */
void receivers_destroy(struct receivers *r);                           /* closes what is open */

/* Other limits, for requests that begin from now on. */
void receivers_limit(struct receivers *r, size_t request_bytes, uint32_t spans);
/* Takes a reference. Connections that come from now on use it; those that are there stay as they
 * are. NULL: plain text. */
void receivers_set_tls(struct receivers *r, enum port port, struct tls *tls);

/* Takes a connected, non-blocking socket. */
void receivers_adopt(struct receivers *r, int fd, enum port port);

/* Takes b, whose answer is set. The answers of a round go out with receivers_flush(). */
void receivers_answer(struct receivers *r, struct batch *b);
void receivers_flush(struct receivers *r);

/* The three steps of a graceful stop (C14): say that we go, a round trip later refuse new streams,
 * at the deadline answer what is left by UNAVAILABLE and close. */
void receivers_notice(struct receivers *r);
void receivers_drain(struct receivers *r);
uint32_t receivers_connections(const struct receivers *r);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay/worker.h - the process that does the work: builds the rooms, serves until SIGTERM, takes
 * them down in the order of the path. */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include "relay/keeper.h"

struct certificates;
struct world;

/* Borrows all. `world` came out of `file` (NULL: the defaults), which a reload reads again; it
 * loses what later worlds take from it. discard: answer and throw away, for measuring only. Gives
 * an exit code. */
int worker_run(struct world *world, struct certificates *certificates, const char *file,
	       const struct worker_birth *birth, bool discard);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay/worker.h - the process that does the work: builds the rooms, serves until SIGTERM, takes
 * them down in the order of the path. */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include "relay/keeper.h"

struct certificates;
struct policy;
struct ruleset;

/* Borrows all. `rules` may be NULL: nothing is redacted. discard: answer and throw away, for
 * measuring only. Gives an exit code. */
int worker_run(struct conf *conf, const struct policy *policy, struct ruleset *rules,
	       struct certificates *certificates, const struct worker_birth *birth, bool discard);

#endif

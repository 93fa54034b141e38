/* SPDX-License-Identifier: Apache-2.0
 * relay/keeper.h - the small parent that owns the listening sockets, so that a client which
 * connects while a worker is replaced waits a moment instead of being refused. It knows no
 * telemetry, takes no input but signals and its children's ends, and never writes to the data
 * folder.
 *   SIGTERM, SIGINT  stop the worker in good order; a second one at once
 *   SIGHUP           is passed on: the worker reads its configuration again
 *   SIGUSR2          upgrade: a worker of the program file as it is now takes over */
#ifndef RELAY_KEEPER_H
#define RELAY_KEEPER_H

#include <stdbool.h>

#include "conf/conf.h"

enum { SOCKET_GRPC, SOCKET_HTTP, SOCKET_ADMIN, SOCKETS };

/* What a worker is born with: the sockets (-1: that listener is off), a pipe on which it says how
 * far it is, and whether another worker still holds the data. Handed down by the environment
 * variable SPANRELAY_WORKER, which is of no use to anybody else. */
struct worker_birth {
	int sockets[SOCKETS];
	int report;
	bool succeeds;
};
/* REPORT_DEADLINE is followed by eight bytes: shutdown.deadline in ms, as the worker has it now. It
 * comes before REPORT_READY, and whenever a reload changed it. REPORT_SECRET is followed by a byte
 * and as many of a name: a variable that a reloaded file takes a secret from, which is to go out of
 * the keeper's environment too; the next worker gets it through the pipe, as those of the start. */
enum { REPORT_PREPARED = 'p', REPORT_READY = 'r', REPORT_DEADLINE = 'd', REPORT_SECRET = 's' };

bool worker_birth_read(struct worker_birth *b); /* false: this process is no worker */

/* Opens the sockets, or takes those of systemd's socket activation; keeps a worker alive until told
 * to stop. argv is the worker's command line. Gives an exit code. */
int keeper_run(const struct conf *conf, char **argv);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay/sockets.h - the listening sockets of the configuration, and the program's own file. */
#ifndef RELAY_SOCKETS_H
#define RELAY_SOCKETS_H

#include "relay/keeper.h"

/* Takes what systemd passed (LISTEN_FDS; LISTEN_FDNAMES grpc, http, admin, or that order) and opens
 * the rest. 0, or a sysexits code for a fault that was logged. */
int sockets_open(const struct conf *conf, int sockets[SOCKETS]);

/* The file this program was started from, as it is on disk now; negative when it cannot be opened
 * (logged). Remembers the path at the first call. */
int program_open(void);

#endif

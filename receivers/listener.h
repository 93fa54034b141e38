/* SPDX-License-Identifier: Apache-2.0
 * receivers/listener.h - accepts connections on a listening socket that somebody else owns. */
#ifndef RECEIVERS_LISTENER_H
#define RECEIVERS_LISTENER_H

#include <ev.h>

#include "receivers/receiver.h"

struct listener {
	struct ev_io io;
	struct ev_timer rest; /* out of descriptors: a moment's pause instead of a hot loop */
	struct ev_loop *loop;
	enum port port;
	void (*on_accepted)(void *ctx, int fd,
			    enum port port); /* takes fd: non-blocking, no delay */
	void *ctx;
};

/* The callback fields are set; fd is listening and non-blocking. */
void listener_start(struct listener *l, struct ev_loop *loop, int fd);
void listener_stop(struct listener *l);

#endif

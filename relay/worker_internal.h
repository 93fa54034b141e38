/* SPDX-License-Identifier: Apache-2.0
 * relay/worker_internal.h - the inside of the main room, for the files that share it:
 *   worker.c         connections, signals, start and stop
 *   worker_reload.c  turns, and what it takes over of another world; what it tells the keeper
 *   worker_page.c    what the admin page asks
 * Everything here belongs to the main room. */
#ifndef RELAY_WORKER_INTERNAL_H
#define RELAY_WORKER_INTERNAL_H

#include <ev.h>

#include "receivers/listener.h"
#include "redaction/redact.h"
#include "relay/admin.h"
#include "relay/found.h"
#include "relay/rooms.h"
#include "relay/turns.h"
#include "relay/worker.h"

/* The steps of a stop, each with its own reason to go on; every one ends at the deadline too. */
enum stop_state { SERVING, NOTICED, DRAINING, SENDING, STOPPED };

struct worker {
	struct relay relay;
	struct room room;
	struct listener listeners[PORTS];
	struct admin *admin;
	struct store_lock *lock;
	int signal_fd; /* as room.wake_fd: not libev's pipe */
	struct ev_io on_signal;
	struct ev_timer step;
	const char *file; /* the configuration; NULL: defaults */
	int report;       /* to the keeper */
	struct turns turns;
	struct reload_note *reload; /* under way; NULL: none is */
	/* What the page shows of other rooms: they change it only by a note that comes here. */
	const struct sender_stats *stats[CONF_MAX_EXPORTERS]; /* by slot */
	struct redactor *redactors[MAX_INTAKES];
	struct found found;
	enum stop_state state;
	uint64_t state_ms, stop_ms; /* when this state began; when the stop did */
	unsigned intakes_open;
};

/* worker_reload.c */
/* Gives the number of the turn that sees the file as it is now. */
uint64_t worker_ask_reload(struct worker *w, bool dry_run);
void worker_on_reload(struct worker *w, struct reload_note *n); /* takes n */
void worker_show_world(struct worker *w);
void worker_log_exporters(const struct world *world);
void worker_report(const struct worker *w, char what); /* to the keeper: relay/keeper.h */

/* worker_page.c */
int worker_start_admin(struct worker *w, int fd); /* fd -1: none is wanted */

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay/worker_internal.h - the inside of the main room, for the files that share it:
 *   worker.c         connections, signals, start and stop
 *   worker_reload.c  turns, and what it takes over of another world; what it tells the keeper
 *   worker_page.c    what the admin page asks
 *   worker_audit.c   what of each minute goes to the audit log
 * Everything here belongs to the main room. */
#ifndef RELAY_WORKER_INTERNAL_H
#define RELAY_WORKER_INTERNAL_H

#include <ev.h>

#include "receivers/listener.h"
#include "redaction/redact.h"
#include "relay/admin.h"
#include "relay/found.h"
#include "relay/interval.h"
#include "relay/rooms.h"
#include "relay/turns.h"
#include "relay/worker.h"

/* The steps of a stop, each with its own reason to go on; every one ends at the deadline too. */
enum stop_state { SERVING, NOTICED, DRAINING, SENDING, STOPPED };

/* Who asked for a reload: "signal" or "admin". */
struct asked {
	const char *trigger;
	struct caller who;
};

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
	struct asked asked, asking; /* the last time, and for the one under way */
	/* What the page shows of other rooms: they change it only by a note that comes here. */
	const struct sender_stats *stats[CONF_MAX_EXPORTERS]; /* by slot */
	struct redactor *redactors[MAX_INTAKES];
	struct found found;
	struct interval interval;
	struct ev_timer interval_timer;
	bool interval_asked;          /* for the ledger */
	struct audit_head checkpoint; /* of the audit log; seq 0: there is none */
	enum stop_state state;
	uint64_t state_ms, stop_ms; /* when this state began; when the stop did */
	unsigned intakes_open;
};

/* worker_reload.c */
/* Gives the number of the turn that sees the file as it is now. */
uint64_t worker_ask_reload(struct worker *w, bool dry_run, struct asked by);
void worker_on_reload(struct worker *w, struct reload_note *n); /* takes n */
void worker_show_world(struct worker *w);
void worker_log_exporters(const struct world *world);
void worker_report(const struct worker *w, char what); /* to the keeper: relay/keeper.h */

/* worker_audit.c */
bool worker_ask_ledger(struct worker *w, bool for_audit); /* false: no memory */
uint64_t worker_redacted(void *ctx, uint32_t number, unsigned position);
void worker_start_account(struct worker *w);
/* What has happened since the last time; judge may be NULL. */
void worker_end_interval(struct worker *w, const struct ledger *ledger, struct judge_view *judge);
void worker_end_account(struct worker *w); /* when nobody changes it any more */

/* worker_page.c */
int worker_start_admin(struct worker *w, int fd); /* fd -1: none is wanted */

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay/auditor.h - the audit room: the only one that writes the audit log (audit/trail.h). It may
 * wait for its disk, and nobody waits for it: who has something to tell posts a note and goes on.
 * What the queue or the disk does not take is counted, and told in a record of kind `gap` as soon
 * as writing works again. It is stopped after all rooms that tell it things. Private to relay/. */
#ifndef RELAY_AUDITOR_H
#define RELAY_AUDITOR_H

#include <stdatomic.h>

#include "audit/trail.h"
#include "pipeline/decision.h"
#include "relay/caller.h"
#include "relay/room.h"

struct relay;
struct reload_note;
struct secret;
struct world;

/* A record on its way. */
struct audit_note {
	struct mail mail;
	struct audit_record record;
};

/* What a ruling decided, once it is durable. */
struct audit_batch {
	struct mail mail;
	uint64_t policy, chapter; /* the policy's generation; the store's number */
	uint64_t unix_ms;
	uint64_t spans[VERDICTS]; /* late ones and duplicates too */
	uint32_t n;
	struct audit_decision decisions[]; /* after_ms is not filled in yet */
};

/* The head of the chain, every audit.interval. */
struct checkpoint_note {
	struct mail mail;
	struct audit_head head;
};

struct auditor {
	struct room room;
	struct relay *relay;
	bool on, decides; /* audit.enabled; audit.decisions: set before there are threads */
	char folder[1200], boot_id[37], policy_hash[17], config_hash[65];
	struct secret *key; /* NULL: none */
	struct audit_trail_options options;
	struct audit_trail *trail; /* NULL: the disk does not take it; tried again each second */
	/* At the start: decisions of chapters behind this one are told again. */
	bool tells_again;
	uint64_t chapter;
	/* Any room counts; the audit room tells. */
	_Atomic uint64_t lost_records, lost_decisions, queued_bytes;
	uint64_t told_records, told_decisions; /* in records of kind gap */
	uint64_t pause_ms, retry_ms;           /* after a failure; of the next try, monotonic */
	uint64_t added;                        /* records that wait for the commit of this round */
	/* The block in the making. */
	struct audit_block block;
	struct audit_decision *decisions;
	size_t cap;
	uint64_t traces[VERDICTS], spans[VERDICTS];
	uint64_t block_since_ms, checkpoint_ms, retired_ms, interval_ms; /* monotonic */
	struct ev_timer tick;
};

/* Before all other rooms, while there is one thread: mends what a crash left and opens it. A disk
 * that does not take it stops nothing. `succeeds`: an upgrade. 0, or negative: no memory. */
int auditor_open(struct auditor *a, struct relay *relay, bool succeeds);
int auditor_start(struct auditor *a);
/* After all that tell it things; `code` is that of the stop, which is the last record. False: it
 * hangs on its disk. Then it is left as it is, for the process ends anyway. */
bool auditor_stop(struct auditor *a, int code);
void auditor_close(struct auditor *a);

/* Any room: a record to be filled in (audit/record.h) and posted. NULL: there is no audit log, or
 * no memory, which is counted. audit_post() takes it, NULL too, and never waits. */
struct audit_note *audit_note(struct auditor *a, enum audit_kind kind, const char *subject,
			      const char *decision, const char *reason);
void audit_post(struct auditor *a, struct audit_note *n);
struct audit_record *audit_of(struct audit_note *n); /* NULL of NULL */

/* Main room. What is in force from now on; the start (`found` is NULL where the log could not be
 * opened); a reload that has ended; who asked for something. */
void audit_world(struct audit_note *n, const struct world *w);
void audit_start(struct auditor *a, bool succeeds, const struct audit_found *found);
void audit_reload(struct auditor *a, const struct reload_note *n, const char *trigger,
		  struct caller who);
void audit_caller(struct audit_note *n, struct caller who); /* any room */

/* Judge room: the decisions of a chapter, and what became of how many spans (may be NULL). */
void audit_post_chapter(struct auditor *a, struct slice chapter, uint64_t number,
			const uint64_t spans[VERDICTS]);

#endif

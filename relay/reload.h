/* SPDX-License-Identifier: Apache-2.0
 * relay/reload.h - a reload: another world (relay/world.h) in place of the one that is.
 *
 * The reload room reads the file, checks it and makes all that takes time: rules, policy, and what
 * single rooms need for them. Then one note goes from room to room, and each takes over what is its
 * own between two mails:
 *
 *   build -> store -> spillway: boxes of exporters that are new; the last stop that can fail
 *         -> judge -> intakes: rules, budgets, redaction, limits
 *         -> store -> export: numbers, exporters; those that go end what is in flight
 *         -> store -> spillway: exporters that went
 *         -> main, which answers -> keys: where credentials and certificates come from
 *         -> the reload room, which frees what nobody holds any more
 *
 * The order: a judge knows notices of another policy than its own by their generation and makes
 * them anew, so it may go before the intakes. An exporter's account begins in the store room before
 * it is told of blocks, and ends after its last progress. The keys room comes last because a mount
 * may hang there, and nobody waits for that: what is read of a new source is news for the sender
 * (struct world_since), as a rotation is. Private to relay/. */
#ifndef RELAY_RELOAD_H
#define RELAY_RELOAD_H

#include "pipeline/condition.h"
#include "pipeline/sampler.h"
#include "redaction/redact.h"
#include "relay/room.h"
#include "relay/world.h"
#include "storage/store.h"

enum { MAX_INTAKES = 64 };

enum reload_result {
	RELOAD_APPLIED,   /* of a dry run: would be */
	RELOAD_UNCHANGED, /* there is nothing to do */
	RELOAD_INVALID,   /* the file is faulty; nothing was changed */
	RELOAD_FAILED,    /* no memory, or a box cannot be opened; nothing was changed */
	RELOAD_RESULTS
};
extern const char *const RELOAD_RESULT_NAMES[RELOAD_RESULTS];

enum reload_stop {
	RELOAD_BUILD,
	RELOAD_LOOK,   /* store: the accounts of exporters that come back */
	RELOAD_OPEN,   /* spillway */
	RELOAD_JUDGE,  /* judge */
	RELOAD_INTAKE, /* one intake after the other */
	RELOAD_HIDE,   /* main: shows nothing any more of exporters that go */
	RELOAD_STORE,  /* store */
	RELOAD_EXPORT, /* export */
	RELOAD_REMOVE, /* store */
	RELOAD_CLOSE,  /* spillway */
	RELOAD_DONE,   /* main */
	RELOAD_KEYS,   /* keys */
	RELOAD_BURY    /* the reload room */
};

/* What a room takes; then what it had, to be freed. */
struct judge_parts {
	struct sampler *sampler; /* NULL: the policy stays */
	struct budget *budget;
	struct condition_scratch *scratch;
};
struct intake_parts {
	struct redactor *redactor;
	struct redactor *made; /* the same, for main to keep in sight */
	struct condition_scratch *scratch;
};

/* What changes for one slot. */
enum exporter_move {
	EXPORTER_STAYS,    /* with the new world's numbers */
	EXPORTER_REPLACED, /* it goes another way: over new connections */
	EXPORTER_ADDED,
	EXPORTER_REMOVED,
	EXPORTER_NONE
};

struct reload_note {
	struct mail mail;
	uint64_t turn; /* relay/turns.h */
	bool dry_run;
	const struct world *was; /* borrowed until RELOAD_BURY */
	struct world *world;     /* NULL: there is none */
	enum reload_result result;
	enum reload_stop stop;
	struct world_news news;
	struct judge_parts judge;
	struct intake_parts intakes[MAX_INTAKES];
	unsigned n_intakes, intake;                          /* at which one it is */
	enum exporter_move moves[CONF_MAX_EXPORTERS];        /* by slot */
	struct ledger_exporter accounts[CONF_MAX_EXPORTERS]; /* of those that are added */
	uint64_t box_first[CONF_MAX_EXPORTERS][PLACES], box_end[CONF_MAX_EXPORTERS][PLACES];
	struct tls *tls[CONF_MAX_EXPORTERS];        /* of those that are added or go another way */
	struct tls *oauth2_tls[CONF_MAX_EXPORTERS]; /* of those whose credential is another one */
	struct tls *port_tls[PORTS];                /* of those that have other certificates */
	const struct sender_stats *stats[CONF_MAX_EXPORTERS]; /* afterwards */
	struct store_block *blocks; /* that were held when they were added */
	size_t n_blocks;
	uint64_t began_ms, built_ms; /* monotonic */
};

struct relay;

/* The reload room. */
struct reloader {
	struct room room;
	struct relay *relay;
	const char *file; /* NULL: defaults */
};
int reloader_open(struct reloader *r, struct relay *relay, const char *file);
void reloader_close(struct reloader *r);

/* Main room: has the next world made; the note comes back at RELOAD_DONE. NULL: no memory. */
struct reload_note *reload_begin(struct relay *relay, const struct world *was, uint64_t turn,
				 bool dry_run);
/* The room that has the note is done with its part. */
void reload_next(struct relay *relay, struct reload_note *n);
/* Frees the note and what is in it but for the worlds. */
void reload_free(struct reload_note *n);

/* relay/reload_plan.c. The reload room: what becomes of exporters, credentials and certificates. It
 * reads the certificates, and tries out what exporters will go by, for here a fault still stops the
 * reload: then CONF_FAULTY and a finding, or negative. */
int reload_plan(struct reload_note *n, struct ev_loop *loop);

#endif

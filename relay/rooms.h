/* SPDX-License-Identifier: Apache-2.0
 * relay/rooms.h - the rooms of a worker and the mail between them. Private to relay/; the doors
 * that others see are in relay/path.h. Who holds what: each struct belongs to its own room. */
#ifndef RELAY_ROOMS_H
#define RELAY_ROOMS_H

#include "base/charge.h"
#include "conf/conf.h"
#include "exporters/sender.h"
#include "receivers/room.h"
#include "relay/room.h"
#include "storage/outbox.h"
#include "storage/store.h"

enum mail_kind {
	MAIL_ACCEPTED, /* main -> intake: struct accepted */
	MAIL_BATCH,    /* intake -> store -> intake: struct batch */
	MAIL_FILED,    /* store -> judge -> export: struct filed */
	MAIL_PROGRESS, /* export -> store: struct progress_note */
	MAIL_LEDGER,   /* main -> store -> main: struct ledger_request */
	MAIL_STEP,     /* main -> intake, export: struct step */
	MAIL_SPILL,    /* export -> spill -> export: struct spill */
	MAIL_SEAL,     /* export -> spill: struct box_note */
	MAIL_SEALED,   /* spill -> export: struct box_note */
	MAIL_TRIM,     /* store -> spill: struct box_note */
	MAIL_RESEND,   /* main -> export: struct box_note */
	MAIL_CLEAR     /* main -> export: struct box_note */
};

struct accepted {
	struct mail mail;
	int fd;
	enum port port;
};

/* A block is on disk. In this version the judge keeps all of it. */
struct filed {
	struct mail mail;
	struct store_block block;
};

struct progress_note {
	struct mail mail;
	unsigned exporter;
	struct progress progress;
};

struct ledger_request {
	struct mail mail;
	struct ledger ledger;
};

/* About one box of one exporter. */
struct box_note {
	struct mail mail;
	unsigned exporter;
	enum place box;
	struct box_segment segment; /* MAIL_SEALED */
	struct cursor done;         /* MAIL_TRIM: durable */
};

enum stop_step { STEP_NOTICE, STEP_DRAIN };
struct step {
	struct mail mail;
	enum stop_step what;
};

struct relay;

/* Reads requests and makes them safe. There may be several. */
struct intake {
	struct room room;
	struct relay *relay;
	struct receivers *receivers;
	/* connections; main adds what it sends, the room says what there is */
	_Atomic uint32_t load;
};

/* Writes batches in groups, answers them after the commit, keeps the account. */
struct archive {
	struct room room;
	struct relay *relay;
	struct store *store;
	struct mail *first, *last; /* of batches that wait */
	uint64_t queued_bytes, committed_ms, told_ms;
	uint64_t told[CONF_MAX_EXPORTERS]
		     [PLACES];  /* the durable cursors, as the spillway knows them */
	struct ev_timer linger; /* of the group in the making */
	struct ev_timer tidy;   /* progress without traffic becomes durable too */
	unsigned failures;      /* commits in a row */
	uint64_t retry_ms;      /* before that, batches are refused without a try */
};

/* Judges traces; keeps all for now. */
struct judge {
	struct room room;
	struct relay *relay;
};

/* Writes what backends do not take in time to the outboxes, and what they call bad to the
 * quarantines. The other room that may wait for a disk: nobody waits for its answers. */
struct spillway {
	struct room room;
	struct relay *relay;
	struct box_writer {
		struct box *box;
		struct mail *first, *last; /* spills that are appended and not yet committed */
		_Atomic uint64_t bytes;    /* on disk, for the admin page */
	} boxes[CONF_MAX_EXPORTERS][PLACES];
};

/* Hands what is kept to every exporter. */
struct export
{
	struct room room;
	struct relay *relay;
	struct store_reader *reader;
	struct box_reader *boxes[CONF_MAX_EXPORTERS][PLACES];
	struct sender *senders[CONF_MAX_EXPORTERS];
	_Atomic bool idle; /* after STEP_DRAIN: nothing in flight */
	struct ev_timer poll;
};

enum { MAX_INTAKES = 64 };

enum journal_state { JOURNAL_OK, JOURNAL_IS_FULL, JOURNAL_FAILS };

struct relay {
	struct conf *conf;
	struct account account;
	struct metrics metrics;
	bool discard;
	_Atomic int journal_state; /* enum journal_state; the store room says, /_ready shows */
	struct intake intakes[MAX_INTAKES];
	unsigned n_intakes;
	struct archive archive;
	struct judge judge;
	struct spillway spillway;
	struct export export;
	struct room *main_room; /* for answers to main */
};

int intake_open(struct intake *in, struct relay *relay);
void intake_close(struct intake *in);
int archive_open(struct archive *a, struct relay *relay); /* opens and recovers the store */
void archive_tell_held(struct archive *a); /* once all rooms are open: of the blocks there were */
void archive_close(struct archive *a);
int judge_open(struct judge *j, struct relay *relay);
void judge_close(struct judge *j);
int spillway_open(struct spillway *s, struct relay *relay); /* after the archive */
void spillway_close(struct spillway *s);
/* The folder of a box: 0, or -ENAMETOOLONG. */
int spillway_folder(char *out, size_t cap, const char *data_dir, enum place box,
		    const char *exporter);
int export_open(struct export *e, struct relay *relay); /* after the spillway */
void export_close(struct export *e);

#endif

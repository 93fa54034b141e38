/* SPDX-License-Identifier: Apache-2.0
 * relay/rooms.h - the rooms of a worker and the mail between them. Private to relay/; the doors
 * that others see are in relay/path.h. Who holds what: each struct belongs to its own room. */
#ifndef RELAY_ROOMS_H
#define RELAY_ROOMS_H

#include "base/charge.h"
#include "conf/conf.h"
#include "exporters/sender.h"
#include "identity/stamp.h"
#include "pipeline/rulebook.h"
#include "pipeline/sampler.h"
#include "receivers/room.h"
#include "relay/auditor.h"
#include "relay/certificates.h"
#include "relay/keys.h"
#include "relay/pending.h"
#include "relay/recent.h"
#include "relay/recorder.h"
#include "relay/reload.h"
#include "relay/room.h"
#include "relay/view.h"
#include "storage/outbox.h"
#include "storage/store.h"
#include "wire/otlp_pick.h"

enum mail_kind {
	MAIL_ACCEPTED, /* main -> intake: struct accepted */
	MAIL_BATCH,    /* intake -> store -> intake: struct batch */
	MAIL_NOTICED,  /* store -> judge: struct noticed */
	MAIL_RULING,   /* judge -> store -> judge: struct ruling_note */
	MAIL_FILED,    /* store -> export: struct filed */
	MAIL_PROGRESS, /* export -> store: struct progress_note */
	MAIL_LEDGER,   /* main -> store (-> judge) -> main: struct ledger_request */
	MAIL_EXPLAIN,  /* main -> judge -> main: struct explain_request */
	MAIL_STEP,     /* main -> intake, export: struct step */
	MAIL_SPILL,    /* export -> spill -> export: struct spill */
	MAIL_SEAL,     /* export -> spill: struct box_note */
	MAIL_SEALED,   /* spill -> export: struct box_note */
	MAIL_TRIM,     /* store -> spill: struct box_note */
	MAIL_RESEND,   /* main -> export: struct box_note */
	MAIL_CLEAR,    /* main -> export: struct box_note */
	MAIL_KEY,      /* keys -> export: struct key_note */
	MAIL_DROP_KEY, /* main -> export: struct key_note */
	MAIL_KEYS_START,
	MAIL_KEYS_REREAD,     /* any -> keys: keys.mail */
	MAIL_KEYS_REFUSED,    /* export -> keys: keyring.mail */
	MAIL_RECORD,          /* judge -> spill -> judge: struct record_note */
	MAIL_TLS,             /* keys -> intake, export: struct tls_note */
	MAIL_AUDIT,           /* any -> audit: struct audit_note */
	MAIL_AUDIT_DECISIONS, /* judge -> audit: struct audit_batch */
	MAIL_CHECKPOINT,      /* audit -> main: struct checkpoint_note */
	MAIL_RELOAD           /* from room to room, see relay/reload.h: struct reload_note */
};

struct accepted {
	struct mail mail;
	int fd;
	enum port port;
};

/* A block of spans that wait for judgement is on disk. */
struct noticed {
	struct mail mail;
	struct store_block block;
	/* a chain, in the order of the block; NULL where they are missing: it is to be read */
	struct notices *notices;
};

/* A block of spans that are kept is on disk. */
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
	struct judge_view *judge; /* NULL: nothing is judged, or no memory */
	bool for_audit;           /* main asks for the audit log's sake, not for the page's */
};

struct explain_request {
	struct mail mail;
	uint64_t ticket; /* the admin page's */
	struct explanation explanation;
};

/* About one box of one exporter. */
struct box_note {
	struct mail mail;
	unsigned exporter;
	enum span_place box;
	struct box_segment segment; /* MAIL_SEALED */
	struct cursor done;         /* MAIL_TRIM: durable */
};

/* Certificates have changed: of a port, or of an exporter. */
struct tls_note {
	struct mail mail;
	unsigned index;  /* enum port, or the exporter's slot */
	uint64_t since;  /* as in struct world_since: of what it is news */
	struct tls *tls; /* a reference that goes along */
};

/* What the source of an exporter's credential holds now; or, of MAIL_DROP_KEY, nothing. */
struct key_note {
	struct mail mail;
	unsigned exporter; /* its slot */
	uint64_t
	    since; /* as in struct world_since: of which source; MAIL_DROP_KEY: which exporter */
	struct key *first, *second;
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
	const struct world *world;
	struct receivers *receivers;
	struct stamper stamper;    /* writes down who sends */
	struct redactor *redactor; /* NULL: nothing is redacted */
	struct condition_scratch *scratch;
	/* connections; main adds what it sends, the room says what there is */
	_Atomic uint32_t load;
};

/* Writes batches in groups, answers them after the commit, keeps the account. */
struct archive {
	struct room room;
	struct relay *relay;
	struct store *store;
	uint64_t linger_ms, group_bytes, limit_bytes; /* of the journal */
	struct mail *first, *last;                    /* of batches that wait */
	struct mail *unplaced;      /* the batch of the group at hand whose block is told of next */
	struct ruling_note *ruling; /* that waits for a commit, or NULL */
	uint64_t ruling_after_ms;   /* it did not fit: not before that, and alone; 0: it is new */
	uint64_t queued_bytes, committed_ms, told_ms;
	/* By slot: the exporter's number in the store, -1: none; and its durable cursors, as the
	 * spillway knows them. */
	int number[CONF_MAX_EXPORTERS];
	uint64_t told[CONF_MAX_EXPORTERS][PLACES];
	struct ev_timer linger; /* of the group in the making */
	struct ev_timer tidy;   /* progress without traffic becomes durable too */
	unsigned failures;      /* commits in a row */
	uint64_t retry_ms;      /* before that, batches are refused without a try */
};

/* Judges traces. Where nothing is to be judged it gets no notices, and its clock stands still. */
struct judge {
	struct room room;
	struct relay *relay;
	const struct world *world;
	struct sampler *sampler;
	struct budget *budget;  /* NULL: the policy has none */
	struct siphash_key key; /* never changes: others read it */
	struct condition_scratch *scratch;
	struct store_reader *reader;
	struct otlp_pick *pick;
	struct pending pending;
	struct recorder recorder;
	struct buf rulebook;
	struct ev_timer tick;
	bool ruling_out; /* one waits for its commit */
	/* The last one, while one follows the other: the megabytes of kept spans in it are pages of
	 * their own, which would be new each time. */
	struct ruling_note *spare;
	bool introduced;   /* key and rulebook are on disk */
	uint64_t position; /* of the last durable ruling */
	uint64_t lost;     /* what was found missing at the start, until a ruling says so */
	/* Blocks on disk that the sampler does not know yet, in their order. */
	struct mail *unseen_first, *unseen_last;
	struct ev_timer again;      /* goes on with them */
	struct reload_note *reload; /* waits until nothing of the old policy is on its way */
	_Atomic bool has_work;      /* there is something to judge */
	uint64_t next_chapter;
	uint64_t saved_ms; /* when all of the budgets' state was given to the store, monotonic */
	_Atomic bool stopping;
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
		bool is_new; /* nobody reads it yet: its sealed files are told of later */
	} boxes[CONF_MAX_EXPORTERS][PLACES];
	struct recent recent; /* traffic, for `spanrelay plan` */
};

/* Hands what is kept to every exporter. */
struct export
{
	struct room room;
	struct relay *relay;
	struct store_reader *reader;
	struct box_reader *boxes[CONF_MAX_EXPORTERS][PLACES];
	struct sender *senders[CONF_MAX_EXPORTERS]; /* by slot */
	struct world_since since;   /* of what the keys room may have news for the senders */
	struct reload_note *reload; /* waits until nothing goes the old ways any more */
	bool stopping;
	_Atomic bool idle; /* after STEP_DRAIN: nothing in flight */
	struct ev_timer poll;
};

enum journal_state { JOURNAL_OK, JOURNAL_IS_FULL, JOURNAL_FAILS };

struct relay {
	/* The main room's. The others read it while they are opened, and then go by what they took
	 * of it, or by a pointer of their own. */
	struct world *world;
	const char *data_dir; /* never changes */
	struct account account;
	struct metrics metrics;
	struct certificates *certificates;
	_Atomic bool judge_is_behind; /* intake refuses for a moment */
	bool discard;
	_Atomic int journal_state; /* enum journal_state; the store room says, /_ready shows */
	struct intake intakes[MAX_INTAKES];
	unsigned n_intakes;
	struct archive archive;
	struct judge judge;
	struct spillway spillway;
	struct export export;
	struct reloader reloader;
	struct keys keys;
	struct auditor auditor;
	struct room *main_room; /* for answers to main */
};

int intake_open(struct intake *in, struct relay *relay);
void intake_close(struct intake *in);
int archive_open(struct archive *a, struct relay *relay); /* opens and recovers the store */
void archive_tell_held(struct archive *a); /* once all rooms are open: of the blocks there were */
void archive_close(struct archive *a);
int judge_open(struct judge *j, struct relay *relay); /* after the archive */
void judge_record(struct judge *j);                   /* before it is started, after the spillway */
void judge_close(struct judge *j);
int spillway_open(struct spillway *s, struct relay *relay); /* after the archive */
void spillway_close(struct spillway *s);
/* The folder of a box: 0, or -ENAMETOOLONG. */
int spillway_folder(char *out, size_t cap, const char *data_dir, enum span_place box,
		    const char *exporter);
int export_open(struct export *e, struct relay *relay); /* after the spillway */
void export_close(struct export *e);

#endif

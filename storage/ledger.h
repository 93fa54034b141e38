/* SPDX-License-Identifier: Apache-2.0
 * storage/ledger.h - the account and where everybody stands, as it is written with each commit.
 * Private to storage/. `meta` holds "state" and one "exporter <name>" each; an exporter that is
 * configured no more keeps its record, so that it can go on from its cursor when it comes back. */
#ifndef STORAGE_LEDGER_H
#define STORAGE_LEDGER_H

#include "storage/held.h"
#include "storage/journal.h"
#include "storage/store.h"

struct state {
	uint64_t next[TREES]; /* ids of blocks, numbers of chapters: from 1, never used again */
	uint64_t next_seq;
	/* What is before these is done with: deleted, or on its way. For kept blocks the cursors
	 * tell, and it is not used. */
	uint64_t first[TREES];
	uint64_t position; /* of the judge, see store_judged() */
	uint64_t rulings;  /* durable ones */
	bool clean;        /* the last process closed the store */
	/* Not on disk: the record does not say what is pending. It is of a version that had no
	 * judge, or of a salvage (record_catch_up()), or is lost. */
	bool recount;
	struct ledger ledger; /* the configured exporters, in their order, then removed ones */
};

/* 0, JOURNAL_BAD (tree) or negative. A damaged record is reported and begins anew. */
int state_load(struct state *st, struct journal_txn *t);
void state_put(const struct state *st, struct journal_txn *t);

void ledger_receive(struct ledger *l, uint64_t received, uint64_t rejected, bool judged);
void ledger_rule(struct ledger *l, const uint64_t *spans); /* STORE_VERDICTS of them */
/* For a record that does not say what is pending: that many spans are. */
void ledger_recount(struct ledger *l, uint64_t pending);
void ledger_apply(struct ledger_exporter *e, const struct progress *p);
void ledger_keep_boxes(struct ledger_exporter *e);        /* until store_found() */
uint64_t ledger_settled(const struct ledger_exporter *e); /* sent, rejected or dropped */

/* The place of a configured or removed exporter, -1 for none. */
int ledger_find(const struct ledger *l, const char *name);

/* Under which name an exporter's record stands in `meta`. */
#define LEDGER_PREFIX "exporter "
enum { LEDGER_NAME_CAP = sizeof(LEDGER_PREFIX) - 1 + STORE_NAME_MAX };

/* Records of `meta` as storage/salvage.h finds them: the whole name and the words, zeros behind. */
bool record_is_ours(const char *name);
unsigned record_words(const char *name);
bool record_is_newer(const char *name, const uint64_t *words, const uint64_t *than);
/* For a journal made of what could be found: an account that is older than the newest blocks does
 * not give their ids again, what is decided of them is not known any more, and nothing is taken out
 * of a box, for here it may be missing. */
void record_catch_up(const char *name, uint64_t *words, const uint64_t newest_block[STAGES]);
/* Pending blocks before it are done with; 0 for any other record. */
uint64_t record_first_pending(const char *name, const uint64_t *words);
/* Where an exporter that was configured stood; false for any other record. */
bool record_cursor(const char *name, const uint64_t *words, struct cursor *c);

#endif

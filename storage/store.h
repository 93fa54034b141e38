/* SPDX-License-Identifier: Apache-2.0
 * storage/store.h - what survives a crash: one LMDB environment, one writer, the store room.
 *
 * The journal holds blocks of whole requests (wire/block.h) in strict FIFO order until every
 * exporter is past them. The ledger and each exporter's cursor are committed in the same
 * transaction as the blocks they speak of, so the account is exact whenever a process dies.
 *
 * Where traces are judged, requests come in as blocks of another FIFO, the pending ones. A ruling
 * moves what is kept of them into the journal proper, as new requests, and forgets the rest; what
 * was decided, the account and the budgets' state are in the same transaction.
 *
 * A transaction remembers its first failure: after one, every call is a no-op and store_commit()
 * returns it. So the code from begin to commit reads straight down.
 *
 * Only the store room calls what is here, but for the readers at the end. */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/metric.h"
#include "wire/block.h"

enum {
	STORE_LOCKED = 1, /* another process works on this folder */
	STORE_FULL = 2,   /* the journal is at its limit */
	STORE_GONE = 3    /* no such block, chapter or state: retired, or damaged */
};

enum { STORE_MAX_EXPORTERS = 16, STORE_NAME_MAX = 64 };

struct store_options {
	const char *dir;      /* created with mode 0700 if missing */
	uint64_t limit_bytes; /* of the journal; at least 16 MiB */
	const char *const *exporters;
	unsigned n_exporters;
	struct metrics *metrics; /* borrowed for the store's life */
	bool judged; /* what store_append() takes is pending until a ruling; else it is kept */
};

/* Holds <dir>/LOCK for as long as it is open. 0, STORE_LOCKED (said by the caller, who may wait) or
 * negative. Opened before the store and closed after it. */
struct store_lock;
int store_lock_open(struct store_lock **out, const char *dir);
/* The same for somebody who will not write: on a read-only file system too. */
int store_lock_open_to_look(struct store_lock **out, const char *dir);
void store_lock_close(struct store_lock *l);

/* Opens or creates the journal and recovers it. The file is looked through by a child process
 * first, so this is for a process with one thread. One that is foreign, cut short or corrupt is
 * renamed to *.bad-<unix time> with a loud log line, and a new one is started with what is whole in
 * it; each block's checksum is verified, bad ones are skipped, counted and charged to the ledger as
 * DROP_DAMAGED; exporters that are configured no more give up what they had left as
 * DROP_EXPORTER_REMOVED; new ones begin at the oldest block held, one that comes back where it had
 * stood: what is held behind that enters its account again.
 *
 * Bad pending blocks are skipped and deleted as well, but not charged: which of their spans were
 * decided already, only the judge can tell, see store_judged(). Where it cannot either, for the
 * file was salvaged, the account was damaged, or it is of a version without judge, all spans of the
 * pending blocks that are there are pending, position is 0 and no chapter is held: they are judged
 * anew. What was pending beyond that is charged as judged[STORE_VERDICTS - 1], what was not is
 * received and accepted once more. 0 or negative. */
struct store;
int store_open(struct store **out, const struct store_options *o);
void store_close(struct store *s); /* commits what store_progress() left over; NULL is fine */

/* The blocks held, oldest first: after store_open(), for the rooms that work on them. */
struct store_block {
	uint64_t id, unix_ms; /* when it was committed */
	uint32_t spans, bytes;
};
void store_each_block(const struct store *s, void (*on_block)(void *ctx, struct store_block b),
		      void *ctx);

/* Pending ones, those that no ruling gave up (first_pending). */
void store_each_pending(const struct store *s, void (*on_block)(void *ctx, struct store_block b),
			void *ctx);

/* Whether `bytes` more of requests fit, beside blocks, pending blocks, chapters and states. Above
 * 90 % of the limit they do not: the rest is the reserve in which deletes still work, and rulings:
 * what is kept goes in before what was pending leaves. */
bool store_has_room(const struct store *s, uint64_t bytes);

/* A request on its way into a block; borrows. */
struct store_kept {
	struct slice request; /* at most BLOCK_MAX_PAYLOAD */
	uint32_t spans;       /* at least 1 */
};

/* One transaction at a time. */
struct store_txn {
	struct store *store;
	int failed; /* the first failure, 0 if none */
	uint64_t now_unix_ms;
	struct store_kept *batches; /* appended so far; storage's own */
	size_t n_batches, cap_batches;
	uint64_t bytes;
	uint64_t received, rejected;
	const struct store_ruling *ruling;
};
void store_begin(struct store_txn *t, struct store *s, uint64_t now_unix_ms);

/* Queues one vetted request for the block in the making; borrows `payload` until commit. `rejected`
 * spans were received with it and refused; they are in the ledger and not in the payload. A payload
 * without spans, or of length 0, changes the ledger only. */
void store_append(struct store_txn *t, struct slice payload, uint32_t spans, uint32_t rejected);

/* What the judge decided since its last ruling. At most one a transaction; borrowed until commit.
 * One that keeps nothing always finds room; STORE_FULL goes away as exporters get on, and as other
 * commits delete what rulings before gave up. */
enum { STORE_VERDICTS = 7, STORE_STATES = 4 };
struct store_ruling {
	const struct store_kept *kept;
	size_t n_kept;
	/* Spans that were decided, by what became of them; [0] are those of `kept`, the others are
	 * gone. Their sum leaves what is pending. Where it is more than that (a chapter was lost,
	 * and what it had decided is judged anew), the rest is received and accepted once more. */
	uint64_t spans[STORE_VERDICTS];
	uint64_t position;      /* of the judge, see store_judged() */
	uint64_t first_pending; /* those before it are given up; at most the id after the newest */
	struct slice chapter;   /* of decisions, opaque; may be empty */
	uint64_t first_chapter; /* those before it are given up; at most next_chapter */
	struct store_state {
		const char *name;   /* "budget", ...; shorter than STORE_NAME_MAX */
		struct slice bytes; /* empty: unchanged */
	} states[STORE_STATES];
};
void store_rule(struct store_txn *t, const struct store_ruling *r);

/* Writes blocks, ledger, cursors, deletes head blocks that every exporter is past, pending blocks
 * and chapters that an earlier ruling gave up (at most 64 of each), with full sync. On 0 the caller
 * may answer, and `on_block` was called for each new block, in order. On STORE_FULL or a negative
 * failure nothing of the transaction happened (progress is kept and goes with the next one). May be
 * called with nothing appended. Pending blocks are told by on_pending, with the number of the
 * transaction's first batch in it (of those that have spans) and how many there are. */
struct store_told {
	void (*on_block)(void *ctx, struct store_block b);
	void (*on_pending)(void *ctx, struct store_block b, size_t first_batch, size_t n_batches);
	void *ctx;
};
int store_commit(struct store_txn *t, const struct store_told *told); /* NULL: nobody */

/* Takes note of what an exporter got done; durable with the next commit. */
void store_progress(struct store *s, unsigned exporter, const struct progress *p);
bool store_is_dirty(const struct store *s); /* progress or deletes wait for a commit */
void store_touch(struct store *s); /* the next commit writes, even if nothing has changed */

/* Where the last durable ruling left the judge. What was lost of pending blocks shows as
 * ledger.pending above what is undecided in them: the judge says so with its next ruling, as
 * damaged. */
struct store_judged {
	uint64_t position;     /* pending blocks up to it have been looked at */
	uint64_t next_chapter; /* the number that the next chapter gets, from 1 */
};
void store_judged(const struct store *s, struct store_judged *out);
/* Chapters held, in order; `on_chapter` borrows the bytes, and ends the walk with non-zero, which
 * is then returned. Damaged ones are skipped and logged. */
int store_each_chapter(struct store *s,
		       int (*on_chapter)(void *ctx, uint64_t number, struct slice bytes),
		       void *ctx);
/* Appends a state's bytes. 0, STORE_GONE (none, or damaged: logged) or negative. */
int store_state(struct store *s, const char *name, struct buf *out);

/* The account. received = accepted + rejected, accepted = pending + sum(judged), and all exporters
 * are told of judged[0]: those that were kept, or not judged. For each exporter
 * accepted_since_it_was_added + held_then = sent + backend_rejected + sum(dropped) + sum(held).
 * A room that wants it asks the store room by mail. */
struct ledger_exporter {
	char name[STORE_NAME_MAX];
	struct cursor cursor[PLACES];
	uint64_t entered; /* spans that were or are to be delivered by it */
	uint64_t sent, backend_rejected, dropped[DROP_REASONS];
	uint64_t held[PLACES]; /* beyond each cursor */
	/* Ids of a box before this one are the box's alone: a start takes none of them back
	 * (struct box_options). LEDGER_KEEP_ALL until the box was met with this journal. */
	uint64_t kept[PLACES];
};
#define LEDGER_KEEP_ALL UINT64_MAX
static inline uint64_t ledger_buffered(const struct ledger_exporter *e) /* still to be delivered */
{
	return e->held[PLACE_JOURNAL] + e->held[PLACE_OUTBOX];
}
struct ledger {
	uint64_t received, rejected, accepted;
	uint64_t pending, judged[STORE_VERDICTS];
	unsigned n_exporters; /* configured, in the order of store_options */
	unsigned n_removed;   /* after them: configured once, and what became of their spans */
	struct ledger_exporter exporter[STORE_MAX_EXPORTERS];
};
void store_ledger(const struct store *s, struct ledger *out);

/* ---- while it is open: what the next commit makes durable ---- */

/* The number of a configured exporter, by which it is known here; -1: there is none. */
int store_exporter(const struct store *s, const char *name);
/* The account of one that was configured once; false: there is none. */
bool store_removed_exporter(const struct store *s, const char *name, struct ledger_exporter *out);
/* A new one, or one that comes back: as store_open() does. Gives its number, the highest. Not when
 * there are STORE_MAX_EXPORTERS. Its boxes follow by store_found(). */
unsigned store_add_exporter(struct store *s, const char *name);
/* It gives up what it has left, as DROP_EXPORTER_REMOVED. Those after it move up by one. */
void store_remove_exporter(struct store *s, unsigned exporter);
/* What store_append() takes from now on is pending, or is kept. */
void store_judge(struct store *s, bool judged);

/* At the start, once the boxes of all exporters are open: what they really hold, ids [first, end).
 * Where the account says more, the rest was lost and is dropped as damaged; where it says less, it
 * is corrected. To be committed before anything is put into a box. */
void store_found(struct store *s, unsigned exporter, enum span_place box, uint64_t first,
		 uint64_t end);

/* Reader: any room, one reader a room. Between begin and end the slices given stay valid; at most
 * 100 ms, for the file grows meanwhile. A begin fails, negative, while the store room waits to map
 * the journal anew after a failed write: try again later. Closed before the store. */
struct store_reader;
int store_reader_open(struct store_reader **out, struct store *s);
void store_reader_close(struct store_reader *r);
int store_reader_begin(struct store_reader *r);
int store_reader_block(struct store_reader *r, uint64_t block_id,
		       struct slice *out); /* 0 or STORE_GONE */
/* The same; a chapter that is damaged is gone as well. */
int store_reader_pending(struct store_reader *r, uint64_t block_id, struct slice *out);
int store_reader_chapter(struct store_reader *r, uint64_t number, struct slice *out);
void store_reader_end(struct store_reader *r);

#endif

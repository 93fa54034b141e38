/* SPDX-License-Identifier: Apache-2.0
 * storage/journal.h - the LMDB environment under the store: one file, `<dir>/journal.mdb`.
 * Private to storage/. Named databases:
 *   blk   block id (u64, native) -> block (wire/block.h), put at the end, deleted from the front
 *   pnd   the same with ids of its own: blocks that wait for a ruling
 *   dec   chapter number -> chapter (storage/sealed.h), put at the end, deleted from the front
 *   sta   name and slot -> a state of the judge's (storage/states.h)
 *   meta  name -> little-endian u64 words and the CRC-32C of name and words
 * A file of the version before has only the first and the last; opening it for work adds the rest.
 *
 * Default flags mean two flushes a commit and survive power cuts; the faster ones do not. Never
 * WRITEMAP (SIGBUS on a full disk), NOSYNC, NOMETASYNC, NOMEMINIT (heap leaks into the file),
 * NORDAHEAD, DUPSORT. Nothing but FIFO deletes: scattered frees stall later puts. What `sta` gives
 * back when a state is replaced is one run of pages, for as large a run. */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "wire/block.h"

enum {
	JOURNAL_BAD = 1,  /* not ours, cut short or corrupt */
	JOURNAL_FULL = 2, /* at its limit: nothing was written */
	JOURNAL_NONE = 3, /* no such block or name */
	JOURNAL_MAX_WORDS = 32,
	JOURNAL_PATH_MAX = 4096
};

/* First in, first out, by ascending numbers; blocks by their stage. */
enum journal_tree { TREE_KEPT = STAGE_KEPT, TREE_PENDING = STAGE_PENDING, TREE_CHAPTERS, TREES };

struct journal {
	MDB_env *env; /* NULL while closed */
	/* 0: the file has none, where it is only looked at. That reads as an empty one. */
	MDB_dbi tree[TREES], states, meta;
	uint32_t page_bytes;
	uint64_t limit_bytes;
	bool may_be_short; /* of disk space: after damage little of it is better than none */
	char path[JOURNAL_PATH_MAX];
};

/* Opens or creates the file and takes the disk space up to the limit. 0, JOURNAL_BAD (closed again,
 * the file untouched) or negative. */
int journal_open(struct journal *j, const char *path, uint64_t limit_bytes);
int journal_reopen(struct journal *j); /* after a close, with the same path and limit */
void journal_close(struct journal *j);

/* In a child process (storage/inspect.h), on a file that nobody has open: read-only, without locks.
 * An assertion of LMDB's ends the process with one line in the log. The first only maps the file,
 * the second opens the databases too; JOURNAL_NONE: there are none yet. */
int journal_map_to_look(struct journal *j, const char *path);
int journal_open_to_look(struct journal *j, const char *path);

/* Reads j->path, read-only and with locks, beside a relay that works on it or without one. */
int journal_open_beside(struct journal *j);

/* Makes directory entries durable. */
int journal_sync_dir(const char *path_inside);

/* Before an environment is opened with locks: makes its lock file, with disk space of its own. LMDB
 * maps it and writes to the map, and where the disk is full that is SIGBUS. 0 or an errno. */
int journal_make_lock_file(const char *path);

/* A transaction remembers its first failure: calls after it do nothing and journal_commit() returns
 * it. Reading calls need no commit but journal_abort(). */
struct journal_txn {
	struct journal *journal;
	MDB_txn *txn;
	int rc; /* LMDB's code or JOURNAL_FULL */
};
void journal_begin(struct journal_txn *t, struct journal *j);
void journal_begin_read(struct journal_txn *t, struct journal *j);
int journal_commit(struct journal_txn *t); /* 0, JOURNAL_FULL, or negative (logged) */
void journal_abort(struct journal_txn *t);

/* Room for a block or a chapter: fill it before the next call. NULL after a failure. */
uint8_t *journal_reserve(struct journal_txn *t, enum journal_tree in, uint64_t id, size_t len);
/* From the front. */
void journal_delete_through(struct journal_txn *t, enum journal_tree in, uint64_t last_id);
/* To the end. */
void journal_delete_from(struct journal_txn *t, enum journal_tree in, uint64_t first_id);
void journal_delete_one(struct journal_txn *t, enum journal_tree in, uint64_t id);

/* The first value with an id of at least *id; sets it. 0, JOURNAL_NONE, JOURNAL_BAD or negative. */
int journal_next(struct journal_txn *t, enum journal_tree in, uint64_t *id, struct slice *value);

/* States: room for one, as above; one by its whole name; the first one behind `name`, which it
 * replaces. 0, JOURNAL_NONE, JOURNAL_BAD or negative. */
uint8_t *journal_reserve_state(struct journal_txn *t, const char *name, size_t len);
void journal_delete_state(struct journal_txn *t, const char *name);
int journal_get_state(struct journal_txn *t, const char *name, struct slice *value);
int journal_next_state(struct journal_txn *t, char *name, size_t cap, struct slice *value);

/* What chapters and states take, in pages, as LMDB counts them. */
uint64_t journal_side_pages(struct journal_txn *t);

void journal_put_words(struct journal_txn *t, const char *name, const uint64_t *words, size_t n);
void journal_delete_words(struct journal_txn *t, const char *name);
/* What an older version wrote may be shorter: the rest is zero. 0, JOURNAL_NONE, JOURNAL_BAD
 * (checksum or length) or negative. */
int journal_get_words(struct journal_txn *t, const char *name, uint64_t *words, size_t n);

/* The same of bytes that were found elsewhere. 0 or JOURNAL_BAD. */
int journal_words(const char *name, struct slice value, uint64_t *words, size_t n);

/* The first name that begins with `prefix` and is greater than `name`, which it replaces. */
int journal_next_name(struct journal_txn *t, const char *prefix, char *name, size_t cap);

/* What LMDB's code means here: JOURNAL_BAD, JOURNAL_FULL, JOURNAL_NONE, 0 or negative. */
int journal_meaning(int rc);

#endif

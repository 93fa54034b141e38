/* SPDX-License-Identifier: Apache-2.0
 * storage/segment.h - one file of a box: an LMDB environment with the database `req`, id -> parcel.
 * Private to storage/. */
#ifndef STORAGE_SEGMENT_H
#define STORAGE_SEGMENT_H

#include <lmdb.h>

#include "wire/parcel.h"

enum { SEGMENT_PATH_MAX = 4096, SEGMENT_BAD = 16 };

struct segment {
	MDB_env *env; /* NULL: closed */
	MDB_txn *txn; /* of a writer: in the making; of a reader: for as long as it is open */
	MDB_dbi req;
	uint32_t page_bytes;
	uint64_t used_bytes; /* of committed pages and what is appended since */
	uint64_t forgotten;  /* bytes: see segment_forget() */
	char path[SEGMENT_PATH_MAX];
};

/* `<dir>/<first id>.mdb`. 0 or -ENAMETOOLONG. */
int segment_name(struct segment *g, const char *dir, uint64_t first);

/* Whether a file's name is one: sixteen hexadecimal digits and .mdb. */
bool segment_read_name(const char *name, uint64_t *first);

/* Makes the file, durably, with `bytes` of disk space of its own. 0, BOX_FULL or negative; nothing
 * is left of it then. */
int segment_create(struct segment *g, uint64_t bytes);
/* Opens one that was not sealed, or takes back from it. */
int segment_open_again(struct segment *g); /* 0, SEGMENT_BAD or negative */

/* After a failed append the commit fails too; after a commit the transaction is gone. 0, BOX_FULL
 * or negative. */
int segment_append(struct segment *g, const struct parcel *p);
int segment_commit(struct segment *g);
void segment_abort(struct segment *g);
/* Right before a commit: what the last one wrote will not be read for long, and its memory in the
 * page cache goes to what is written now. Any sooner and others take it meanwhile, or the host, and
 * fresh memory is dear. What LMDB has mapped of its tree stays; asking for that again would only
 * make the kernel look harder. */
void segment_forget(struct segment *g);

/* Deletes the parcels with ids from `id` on, durably. */
int segment_cut(struct segment *g, uint64_t id);

/* Closes and gives back the space that was not used. Says how many bytes it takes on the disk. */
uint64_t segment_seal(struct segment *g);
void segment_close(struct segment *g);

/* For reading a sealed one, without locks: checked against its size first. */
int segment_open_sealed(struct segment *g); /* 0, SEGMENT_BAD or negative */
/* Beside its writer, with locks. */
bool segment_is_in_the_making(const struct segment *g);
int segment_open_beside(struct segment *g); /* 0, SEGMENT_BAD or negative */

/* Its transaction is open. Each sets *id to the parcel's key: the first of at least *id, the last
 * below *id. 0, BOX_NONE or SEGMENT_BAD. */
int segment_at_least(struct segment *g, uint64_t *id, struct slice *bytes);
int segment_below(struct segment *g, uint64_t *id, struct slice *bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * tests/disk/record.h - what a process does to the files of one folder and of those in it, in one
 * order, and the folder as a power cut after any of it may leave it. The calls are found in the
 * program before the C library's, as the program's own symbols are; so LMDB's come here as well.
 *
 * A disk keeps what was synced. Of the rest it may keep any part: of written bytes any sectors, of
 * names made, moved and removed in a folder the first ones, in each folder as many as it likes.
 * Lock files are left out: they say nothing that outlives a process. */
#ifndef TESTS_DISK_RECORD_H
#define TESTS_DISK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RECORD_OPS = 8000,
	RECORD_BYTES = 64 << 20,
	RECORD_NAME = 96,
	RECORD_FILES = 160,
	RECORD_FOLDERS = 16
};

enum op_kind {
	OP_WRITE,
	OP_SYNC,
	OP_SIZE,
	OP_CREATE,
	OP_FOLDER,
	OP_RENAME,
	OP_LINK,
	OP_UNLINK,
	OP_MARK
};
struct op {
	enum op_kind kind;
	bool direct;      /* a write that is durable by itself */
	int file;         /* a number of our own; of OP_SYNC: -1 for a folder */
	int folder;       /* the one that is synced, or in which names change */
	uint64_t at, len; /* a write's; at: a size, or a mark's number */
	uint64_t data;    /* where its bytes are */
	char name[RECORD_NAME], to[RECORD_NAME];
};
struct record_log { /* without pointers, for it is shared with the process that is recorded */
	char dir[256];
	uint32_t n_ops, n_files, n_folders;
	bool full;
	uint64_t bytes;
	struct op op[RECORD_OPS];
	uint8_t data[RECORD_BYTES];
};

/* From now on, in this process. The files that are in the folder count as durable. */
void record_start(struct record_log *l, const char *dir);
void record_mark(uint64_t number); /* something the test wants to find again */

/* Makes `to` what is left of `from` (the folder as it was at the start, which no one has changed)
 * after the first n operations and a power cut. `random` gives 0..n-1. */
enum tear { TEAR_WRITES, TEAR_4K, TEAR_512, TEAR_NOTHING_MORE, TEAR_META_ONLY, TEARS };
int record_replay(const struct record_log *l, uint32_t n, enum tear tear, const char *from,
		  const char *to, uint32_t (*random)(void *ctx, uint32_t n), void *ctx);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * audit/trail.h - the audit log on disk, for its one writer: files of the chain and files with
 * blocks of decisions (audit/folder.h), appended to, synced, begun anew at a size, given up by age
 * or size. What a crash left is mended when it is opened. May wait for the disk.
 *
 * After a failure nothing of what was added since the last commit is there, and the trail is good
 * for audit_trail_close() alone: whoever has it opens it again, later. */
#ifndef AUDIT_TRAIL_H
#define AUDIT_TRAIL_H

#include "audit/block.h"
#include "audit/chain.h"

struct audit_trail_options {
	const char *folder;  /* borrowed; made, mode 0700, if it is missing */
	struct slice key;    /* borrowed; of length 0: none */
	const char *boot_id; /* borrowed */
	/* Of all files: a quarter is for the chain, the rest for decisions. Files are of a
	 * sixteenth of it, at most 8 MiB. */
	uint64_t limit_bytes;
	uint64_t keep_ms; /* files whose last record is older go */
};

/* What was found. */
struct audit_found {
	struct audit_head head; /* seq 0: a new chain */
	bool is_stopped;        /* its last record says that the relay stopped in good order */
	uint64_t torn_bytes;    /* of a last record or block that was not whole; it was cut */
	bool other_key;         /* it was written with another key, or without one */
	bool is_damaged;        /* records that are not ours; they stay, for `audit verify` */
	bool knows_chapter;     /* false: the last block is not known, if there is one */
	uint64_t chapter;       /* of the last block; 0: there is none */
};

struct audit_trail;
int audit_trail_open(struct audit_trail **out, const struct audit_trail_options *o,
		     struct audit_found *found); /* 0 or negative, logged */
void audit_trail_close(struct audit_trail *t);   /* NULL is fine; does not commit */

/* Into the next commit. 0 or negative: no memory. */
int audit_trail_add(struct audit_trail *t, const struct audit_record *r, uint64_t unix_ms);
/* Writes and syncs a block, then adds its anchor: `r` with block, records and sha256 put in. The
 * block's magic and number are filled in here. 0 or negative. */
int audit_trail_block(struct audit_trail *t, struct audit_block b,
		      const struct audit_decision *records, struct audit_record *r,
		      uint64_t unix_ms);
int audit_trail_commit(struct audit_trail *t); /* 0 or negative */
/* Gives up what is too old or too much, and says so in a record first. 0 or negative. */
int audit_trail_retire(struct audit_trail *t, uint64_t unix_ms);

bool audit_trail_is_due(const struct audit_trail *t); /* a file was begun since */

/* Of what is committed. */
const struct audit_head *audit_trail_head(const struct audit_trail *t);
uint64_t audit_trail_bytes(const struct audit_trail *t);

#endif

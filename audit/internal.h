/* SPDX-License-Identifier: Apache-2.0
 * audit/internal.h - what trail.c and mend.c share. */
#ifndef AUDIT_INTERNAL_H
#define AUDIT_INTERNAL_H

#include "audit/folder.h"
#include "audit/trail.h"

struct audit_trail {
	struct audit_trail_options o;
	uint64_t file_bytes; /* a file that is larger is followed by another */
	struct audit_out {
		int fd; /* -1: the next record or block begins a file */
		uint64_t bytes;
	} out[AUDIT_FILE_KINDS];
	struct audit_head head, next; /* on disk; with what waits */
	struct buf waiting;           /* lines of the next commit */
	uint64_t next_block;
	uint64_t bytes; /* of all files */
	bool began_file;
};

/* Finds the end of what is there, cuts what is torn, and opens the files to go on with: fills in
 * t->out, head, next_block and bytes. 0 or a negative errno, not logged. */
int audit_mend(struct audit_trail *t, struct audit_found *found);

#endif

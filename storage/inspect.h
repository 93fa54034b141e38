/* SPDX-License-Identifier: Apache-2.0
 * storage/inspect.h - is a file safe to map? LMDB 0.9 has no checksums and trusts its pages: a bad
 * one is an abort, a fault or wrong data. So before a file is adopted its trees are compared with
 * its pages (storage/audit.h), and a child process does with it what the relay will do first; the
 * child may die, the relay does not. Private to storage/. */
#ifndef STORAGE_INSPECT_H
#define STORAGE_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { INSPECT_BAD = 1 };

/* Runs `look` in a child process, which writes what it found to the descriptor `out`. A child that
 * dies by a signal, takes longer than `limit_ms`, or for which look() gives non-zero makes
 * INSPECT_BAD (the reason is logged, with `path`); `found` then holds what it wrote until there.
 * 0: `found` holds all it wrote. Negative: no child could be made. Only while the process has one
 * thread, or from code that needs nothing of the others. */
int inspect_in_child(const char *path, int (*look)(void *ctx, int out), void *ctx,
		     unsigned limit_ms, struct buf *found);

/* For look(): writes all of it, 0 or negative. */
int inspect_tell(int out, const void *data, size_t len);

/* A name for a bad file that nobody has: <path>.bad-<unix time>. 0 or negative. */
int inspect_name_aside(const char *path, char *aside, size_t cap);

/* Renames a bad file, and its lock file, to that, durably; says where to in `aside`, which has room
 * for `cap` bytes. 0 or negative. */
int inspect_set_aside(const char *path, char *aside, size_t cap);

/* Segments of a box (storage/outbox.h): the keys are walked, of the values only the last one's
 * header is read, so that a hundred segments cost milliseconds. One child for all; where it dies,
 * that file is bad and another child goes on behind it. */
struct segment_look {
	const char *path;
	int rc;              /* 0 or INSPECT_BAD (logged): set it aside, rescue what is in it */
	uint64_t first, end; /* ids [first, end); 0, 0 for a file with no parcel in it */
	uint64_t count;      /* parcels */
	uint64_t bytes;      /* the file's size */
};
int inspect_segments(struct segment_look *looks, size_t n); /* 0 or negative */

#endif

/* SPDX-License-Identifier: Apache-2.0
 * storage/inspect.h - is a file safe to map? LMDB 0.9 has no checksums and trusts its pages: a bad
 * one is an abort, a fault or wrong data. So before a file is adopted its size is compared with its
 * last page, and a child process walks every tree in it; the child may die, the relay does not. */
#ifndef STORAGE_INSPECT_H
#define STORAGE_INSPECT_H

#include <stddef.h>

#include "base/buf.h"

enum { INSPECT_BAD = 1 };

/* Runs `look` in a child process, which writes what it found to `out`'s descriptor. A child that
 * dies by a signal, takes longer than `limit_ms`, or for which look() gives non-zero makes
 * INSPECT_BAD (the reason is logged). 0: `found` holds what it wrote. Negative: no child could be
 * made. Only while the process has one thread, or from code that needs nothing of the others. */
int inspect_in_child(int (*look)(void *ctx, int out), void *ctx, unsigned limit_ms,
		     struct buf *found);

/* Renames a bad file, and its lock file, to *.bad-<unix time>, durably; says where to in `aside`,
 * which has room for `cap` bytes. 0 or negative. */
int inspect_set_aside(const char *path, char *aside, size_t cap);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * storage/salvage.h - a journal that cannot be used is replaced by a new one that holds what is
 * whole in it: blocks, and the newest account and cursors that can be found. The bad file is kept
 * as *.bad-<unix time>, and stays in its place until the new one is complete: a crash in between
 * costs nothing but time. Private to storage/. */
#ifndef STORAGE_SALVAGE_H
#define STORAGE_SALVAGE_H

#include <stdint.h>

/* The journal is closed before and after. Where there is no space for all that is found, the rest
 * stays in the bad file, and that is said. 0 or negative. */
int salvage_journal(const char *path, uint64_t limit_bytes);

#endif

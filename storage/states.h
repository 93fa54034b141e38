/* SPDX-License-Identifier: Apache-2.0
 * storage/states.h - the judge's named states, each replaced as a whole with a ruling. Private to
 * storage/.
 *
 * A commit that failed may have got through to the disk all the same (storage/commit.c), and must
 * leave nothing. So a state has two slots, `<name>.0` and `<name>.1`, each with the number of the
 * ruling that wrote it; the newest one that is not after the last durable ruling counts, and the
 * next ruling writes to the other. */
#ifndef STORAGE_STATES_H
#define STORAGE_STATES_H

#include "storage/journal.h"

enum { STATES_NAME_MAX = 64 };

/* With ruling `number`; `durable` is the last one that is. */
void states_put(struct journal_txn *t, const char *name, uint64_t number, uint64_t durable,
		struct slice bytes);

/* 0, JOURNAL_NONE, JOURNAL_BAD (damaged) or negative; `bytes` as long as the transaction is open.
 */
int states_get(struct journal_txn *t, const char *name, uint64_t durable, struct slice *bytes);

/* Deletes what a failed ruling left: before the next one makes its number count. */
void states_delete_after(struct journal_txn *t, uint64_t durable);

#endif

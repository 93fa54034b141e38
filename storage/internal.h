/* SPDX-License-Identifier: Apache-2.0
 * storage/internal.h - the store as its own files see it. */
#ifndef STORAGE_INTERNAL_H
#define STORAGE_INTERNAL_H

#include "storage/held.h"
#include "storage/journal.h"
#include "storage/ledger.h"
#include "storage/reader.h"

/* One request that waits for its commit. */
struct store_batch {
	struct slice payload; /* borrowed until then */
	uint32_t spans;
};

struct store {
	struct journal journal;
	struct held held;       /* as on disk */
	struct state state;     /* as on disk, and progress that goes with the next commit */
	bool progressed;        /* there is such progress */
	struct readers readers; /* the only part that other rooms touch */
	struct metrics *metrics;
	struct store_batch *spare; /* the last transaction's array, for the next */
	size_t n_spare;
	const struct store_txn *under_way;
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 * storage/internal.h - the store as its own files see it. */
#ifndef STORAGE_INTERNAL_H
#define STORAGE_INTERNAL_H

#include "storage/held.h"
#include "storage/journal.h"
#include "storage/ledger.h"
#include "storage/reader.h"

struct store {
	struct journal journal;
	bool judged;
	struct held held[STAGES];  /* as on disk */
	uint64_t side_pages;       /* of chapters and states, as on disk */
	uint64_t chapters_deleted; /* up to this number */
	struct state state;        /* as on disk, and progress that goes with the next commit */
	bool progressed;           /* there is such progress */
	struct readers readers;    /* the only part that other rooms touch */
	struct metrics *metrics;
	struct store_kept *spare; /* the last transaction's array, for the next */
	size_t n_spare;
	const struct store_txn *under_way;
};

/* What blocks, chapters and states cost on disk, and `pages` more. */
uint64_t store_cost(const struct store *s, uint64_t pages);

/* The numbers on the admin page. */
void store_show(const struct store *s);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * storage/scan.h - what a journal's file holds, found out by a child process before this one maps
 * it (storage/inspect.h). The blocks are read there, once; here only their list arrives. Private to
 * storage/. */
#ifndef STORAGE_SCAN_H
#define STORAGE_SCAN_H

#include "base/buf.h"
#include "storage/ledger.h"

struct scan {
	struct buf found;
	/* By stage; in `found`, ascending; `bytes` of 0: it is damaged. */
	const struct store_block *blocks[STAGES];
	size_t n_blocks[STAGES];
	uint64_t start_ms;                    /* when it began, monotonic */
	uint64_t next_seq;                    /* behind the last record */
	uint64_t first_chapter, last_chapter; /* that are there, 0: none */
	/* For the exporters in state_load()'s order: spans before the cursor in the cursor's block,
	 * or CURSOR_ASTRAY when it points at no record. */
	uint32_t before[STORE_MAX_EXPORTERS];
};
#define CURSOR_ASTRAY UINT32_MAX

/* 0, JOURNAL_NONE (no file), JOURNAL_BAD (it is not ours, cut short or corrupt; logged) or
 * negative.
 */
int scan_journal(struct scan *sc, const char *path);
void scan_finish(struct scan *sc);

#endif

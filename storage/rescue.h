/* SPDX-License-Identifier: Apache-2.0
 * storage/rescue.h - what is readable in a file whose trees are not: it is read page by page as a
 * run of bytes, without LMDB and without mapping it, and everything that begins like a block or a
 * parcel and has a right checksum is found. Pages that the disk does not give count as zeros. What
 * was deleted may still be there, and be found. Private to storage/. */
#ifndef STORAGE_RESCUE_H
#define STORAGE_RESCUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum rescue_kind {
	RESCUE_BLOCKS,
	RESCUE_PARCELS,
	RESCUE_LEAVES /* whole pages of keys and values that are in no block */
};

struct rescued {
	enum rescue_kind kind;
	uint64_t id;
	uint64_t at;        /* its place in the file */
	bool placed;        /* the page around it says so as well: nobody wrote it into a payload */
	struct slice bytes; /* all of it, until on_found() returns: for block_open, parcel_open */
};

/* For RESCUE_LEAVES, blocks are found as well, for what is in them must not be taken for a page. In
 * the order of the file, which is not that of the ids; an id may come twice, for a
 * commit that failed gives it back. Ends early when
 * on_found() gives non-zero, which is then returned. 0 or negative. */
int rescue_scan(const char *path, enum rescue_kind kind,
		int (*on_found)(void *ctx, const struct rescued *r), void *ctx);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * storage/audit.h - do the trees of an LMDB file agree with its pages? LMDB 0.9 believes each page
 * it comes to; here all of them are looked at first, by pread() and with every offset checked, so
 * that a bad file cannot hurt the one who looks. What the values hold is not looked at.
 *
 * Every page within the file's last one must be in exactly one place: in a tree, in a value, or in
 * the free list. So a stale or foreign page shows even if it is well formed. Private to storage/.
 *
 * After LMDB 0.9.24, mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta, as 64-bit little-endian programs
 * write them. */
#ifndef STORAGE_AUDIT_H
#define STORAGE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

enum { AUDIT_BAD = 1, AUDIT_TREES = 8 };

struct audit {
	uint64_t file_bytes;
	uint32_t page_bytes;
	uint64_t orphans; /* pages in no place: wasted */
	unsigned n_trees;
	struct audit_tree { /* a named database; first and last if its keys are integers */
		char name[16];
		bool integer;
		uint64_t entries, first, last;
	} tree[AUDIT_TREES];
};

/* The page size that a meta page tells, 0 for bytes that are no meta page of ours. */
enum { AUDIT_META_BYTES = 152 };
uint32_t audit_meta(const uint8_t *page);

/* `values`: whether the header of each value's first page is read too. 0, AUDIT_BAD (logged with
 * the page) or negative. */
int audit_file(struct audit *a, const char *path, bool values);

const struct audit_tree *audit_tree(const struct audit *a, const char *name); /* NULL: none */

#endif

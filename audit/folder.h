/* SPDX-License-Identifier: Apache-2.0
 * audit/folder.h - the files of an audit log, for those who write it and those who look at it,
 * beside a running relay too. Names sort in the order of what is in them. May wait for the disk. */
#ifndef AUDIT_FOLDER_H
#define AUDIT_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum audit_file_kind { AUDIT_CHAIN_FILE, AUDIT_BLOCK_FILE, AUDIT_FILE_KINDS };

struct audit_file {
	uint64_t first; /* the number of the first record or block in it: its name */
	uint64_t bytes, changed_ms;
};
struct audit_files {
	struct audit_file *files; /* heap; ascending */
	size_t n, cap;
};

enum { AUDIT_PATH = 1200 };

/* DATA_DIR/audit, and a file in such a folder. 0 or -ENAMETOOLONG. */
int audit_folder(char out[AUDIT_PATH], const char *data_dir);
int audit_path(char out[AUDIT_PATH], const char *folder, enum audit_file_kind kind, uint64_t first);

/* 0, or a negative errno, not logged: -ENOENT where there is no folder. */
int audit_list(struct audit_files *out, const char *folder, enum audit_file_kind kind);
void audit_list_finish(struct audit_files *l);

/* All of a file, behind what is in `out`. 0, or a negative errno, not logged. */
int audit_read_file(const char *path, struct buf *out);

#endif

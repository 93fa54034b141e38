/* SPDX-License-Identifier: Apache-2.0
 * base/watch.h - tells when what can be read in some files has changed: written in place, renamed
 * over, deleted and back, or swapped as Kubernetes swaps `..data`.
 *
 * The folders are watched, for a file that is replaced takes its own watch with it; both the folder
 * that the path names and the one that a symbolic link leads to. What happens there within 250 ms
 * is one change. Mounts without events (NFS, FUSE), folders that are replaced themselves, and what
 * the kernel has no more watches for are found by reading everything every `poll_ms`, or every
 * second while a folder cannot be watched.
 *
 * What counts is the content: a digest of each file is kept, and on_change comes only when it
 * differs from the last one, or a file comes or goes. So a reader that is called reads the file
 * anew and judges for itself; it may find more than it was called for, and is called again then.
 *
 * It reads files, which may take any time on a mount that is slow: for a loop that may wait, in the
 * relay that of the keys room. */
#ifndef BASE_WATCH_H
#define BASE_WATCH_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WATCH_POLL_MS = 30000,
	WATCH_DEBOUNCE_MS = 250,
	WATCH_FILES = 8,          /* of one group */
	WATCH_READ_MAX = 4 << 20, /* bytes of a file that are looked at */
};

struct watch;       /* on one loop */
struct watch_group; /* some files that belong together, as a certificate and its key do */

/* NULL: no memory. Without inotify there is only the polling, which the log says. */
struct watch *watch_create(struct ev_loop *loop, uint64_t poll_ms);
void watch_set_poll(struct watch *w, uint64_t poll_ms); /* from the next time on */
void watch_destroy(struct watch *w);                    /* with its groups; NULL is fine */

/* From now on, changes of any of the files are told, once for all of the group that changed
 * together. Read the files after this, not before, and no change is missed. A path need not exist.
 * Copies the paths; NULL: no memory, or too many. */
struct watch_group *watch_add(struct watch *w, const char *const *paths, size_t n,
			      void (*on_change)(void *ctx), void *ctx);
void watch_remove(struct watch_group *g); /* NULL is fine; not from within its on_change */

/* Looks at all files now. */
void watch_look(struct watch *w);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * <dir>/LOCK: one process to a folder. LMDB would let two work on one journal, each with its own
 * idea of what is held. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/journal.h"
#include "storage/store.h"

struct store_lock {
	int fd; /* goes with the process, also when it is killed */
};

static int make_dir(const char *dir)
{
	if (mkdir(dir, 0700) == 0)
		return journal_sync_dir(dir);
	return errno == EEXIST ? 0 : fail(-errno, "store: cannot make folder %s", dir);
}

static int take(struct store_lock **out, const char *dir, bool to_look)
{
	char path[JOURNAL_PATH_MAX];
	int rc;
	int len = snprintf(path, sizeof(path), "%s/LOCK", dir);
	if (len < 0 || (size_t)len >= sizeof(path))
		return fail(-ENAMETOOLONG, "store: folder name too long");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EROFS && to_look)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, "store: cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK ? STORE_LOCKED
					  : fail(-errno, "store: cannot lock %s", path);
		goto undo_open;
	}
	*out = malloc(sizeof(**out));
	if (*out == NULL) {
		rc = fail(-ENOMEM, "store: no memory");
		goto undo_open;
	}
	(*out)->fd = fd;
	return 0;

undo_open:
	close(fd);
	return rc;
}

int store_lock_open(struct store_lock **out, const char *dir)
{
	int rc = make_dir(dir);
	return rc != 0 ? rc : take(out, dir, false);
}

int store_lock_open_to_look(struct store_lock **out, const char *dir)
{
	return take(out, dir, true);
}

void store_lock_close(struct store_lock *l)
{
	if (l == NULL)
		return;
	close(l->fd);
	free(l);
}

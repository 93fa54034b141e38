/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/audit.h"
#include "storage/journal.h"
#include "wire/parcel.h"

#define SEGMENT_TREE "req"

/* A segment of 64 MiB that is all tree, on a disk of 16 MB/s: longer than that is a fault. */
enum { READ_BYTES = 65536, SEGMENTS_MS = 10000, SEGMENT_MS = 4000 };

int inspect_tell(int out, const void *data, size_t len)
{
	const char *at = data;
	while (len != 0) {
		ssize_t n = write(out, at, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* A child may die of what it looks at: quickly, without a core file, and not by what the program
 * does on its signals. It goes with its parent, for it holds the folder's lock as well. */
_Noreturn static void be_child(int (*look)(void *ctx, int out), void *ctx, int out)
{
	static const int FATAL[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPIPE, SIGTERM};
	struct rlimit none = {0, 0};
	sigset_t all;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof(FATAL) / sizeof(FATAL[0]); i++)
		signal(FATAL[i], SIG_DFL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	_exit(look(ctx, out) == 0 ? 0 : 1);
}

/* Until the child closes its end: 0, or -ETIMEDOUT, -ENOMEM. */
static int read_all(int fd, uint64_t until_ms, struct buf *found)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (now >= until_ms)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(until_ms - now)) <= 0)
			continue; /* out of time, or a signal */
		if (buf_reserve(found, READ_BYTES) != 0)
			return -ENOMEM;
		ssize_t n = read(fd, found->data + found->len, READ_BYTES);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		found->len += n > 0 ? (size_t)n : 0;
	}
}

static int judge(const char *path, int rc, int status)
{
	if (rc == -ETIMEDOUT)
		log_error("file takes too long to look through", "path=%s", path);
	else if (rc != 0)
		return fail(rc, "inspect: cannot hear of %s", path);
	else if (WIFSIGNALED(status))
		log_error("looking through a file killed the one who looked", "path=%s signal=%d",
			  path, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0) /* what it did not like, the child has said */
		log_error("file is not usable", "path=%s code=%d", path, WEXITSTATUS(status));
	else
		return 0;
	return INSPECT_BAD;
}

int inspect_in_child(const char *path, int (*look)(void *ctx, int out), void *ctx,
		     unsigned limit_ms, struct buf *found)
{
	int fds[2], status;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return fail(-errno, "inspect: no pipe");
	pid_t child = fork();
	if (child == 0) {
		close(fds[0]);
		be_child(look, ctx, fds[1]);
	}
	int error = errno;
	close(fds[1]);
	if (child < 0) {
		close(fds[0]);
		return fail(-error, "inspect: no process to look through %s", path);
	}
	int rc = read_all(fds[0], clock_mono_ms() + limit_ms, found);
	close(fds[0]);
	if (rc != 0)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fail(-errno, "inspect: lost the process that looks through %s",
				    path);
	return judge(path, rc, status);
}

int inspect_name_aside(const char *path, char *aside, size_t cap)
{
	uint64_t stamp = clock_wall_ms() / 1000;
	do {
		int len = snprintf(aside, cap, "%s.bad-%llu", path, (unsigned long long)stamp++);
		if (len < 0 || (size_t)len >= cap)
			return fail(-ENAMETOOLONG, "storage: no name to keep the bad %s", path);
	} while (access(aside, F_OK) == 0); /* an earlier one is evidence as well */
	return 0;
}

int inspect_set_aside(const char *path, char *aside, size_t cap)
{
	char lock[JOURNAL_PATH_MAX + 8], aside_lock[JOURNAL_PATH_MAX + 40];
	int rc = inspect_name_aside(path, aside, cap);
	if (rc != 0)
		return rc;
	snprintf(lock, sizeof(lock), "%s-lock", path);
	snprintf(aside_lock, sizeof(aside_lock), "%s-lock", aside);
	if (rename(path, aside) != 0)
		return fail(-errno, "storage: cannot rename the bad %s", path);
	if (rename(lock, aside_lock) != 0 && errno != ENOENT)
		return fail(-errno, "storage: cannot rename the bad %s", lock);
	log_error("file is set aside", "path=%s kept_as=%s", path, aside);
	return journal_sync_dir(path);
}

struct segments {
	struct segment_look *looks;
	size_t n;
};

static int peek(struct parcel *p, MDB_val key, MDB_val value)
{
	uint64_t id;
	if (key.mv_size != sizeof(id))
		return PARCEL_BAD;
	memcpy(&id, key.mv_data, sizeof(id));
	return parcel_peek(p, slice_of(value.mv_data, value.mv_size), id);
}

/* LMDB's way to the last parcel, in the child: how many spans it has tells where the ids end. */
static int last_parcel(const char *path, struct parcel *p)
{
	struct journal j = {.env = NULL};
	struct journal_txn t;
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	MDB_dbi req;
	int rc = journal_map_to_look(&j, path);
	if (rc != 0)
		return rc;
	journal_begin_read(&t, &j);
	if (t.rc == 0)
		t.rc = mdb_dbi_open(t.txn, SEGMENT_TREE, MDB_INTEGERKEY, &req);
	if (t.rc == 0)
		t.rc = mdb_cursor_open(t.txn, req, &cursor);
	if (t.rc == 0)
		t.rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
	if (t.rc == 0)
		t.rc = peek(p, key, value);
	return t.rc; /* nothing is closed: the child ends */
}

static int look_at_segment(struct segment_look *l)
{
	struct audit a;
	struct parcel p;
	int rc = audit_file(&a, l->path, false);
	if (rc != 0)
		return rc;
	const struct audit_tree *req = audit_tree(&a, SEGMENT_TREE);
	l->bytes = a.file_bytes;
	if (a.n_trees == 0 || (req != NULL && req->entries == 0))
		return 0;
	if (req == NULL || !req->integer || last_parcel(l->path, &p) != 0)
		return INSPECT_BAD;
	l->first = req->first;
	l->end = p.id + p.n_spans;
	l->count = req->entries;
	return 0;
}

static int look_at_segments(void *ctx, int out)
{
	struct segments *s = ctx;
	for (size_t i = 0; i < s->n; i++) {
		struct segment_look *l = &s->looks[i];
		int rc = look_at_segment(l);
		if (rc != 0)
			return rc;
		rc = inspect_tell(out, l, sizeof(*l));
		if (rc != 0)
			return rc;
	}
	return 0;
}

int inspect_segments(struct segment_look *looks, size_t n)
{
	struct segments rest = {looks, n};
	while (rest.n != 0) {
		struct buf found = {0};
		int rc = inspect_in_child("segments", look_at_segments, &rest,
					  SEGMENTS_MS + SEGMENT_MS * (unsigned)rest.n, &found);
		size_t good = found.len / sizeof(*looks);
		if (rc >= 0 && good != 0)
			memcpy(rest.looks, found.data, good * sizeof(*looks));
		buf_finish(&found);
		if (rc < 0)
			return rc;
		rest.looks += good;
		rest.n -= good;
		if (rc == 0 || rest.n == 0)
			return 0;
		log_error("segment is damaged", "path=%s", rest.looks->path);
		rest.looks++->rc = INSPECT_BAD;
		rest.n--;
	}
	return 0;
}

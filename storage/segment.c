/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/journal.h"

/* A parcel that is larger than a segment still fits: this is address space, not disk. */
enum { MAP_RESERVE = PARCEL_MAX_BODY + (32 << 20), NEARLY_FULL = 16 << 20 };

int segment_name(struct segment *g, const char *dir, uint64_t first)
{
	int len = snprintf(g->path, sizeof(g->path), "%s/%016" PRIx64 ".mdb", dir, first);
	return len > 0 && (size_t)len < sizeof(g->path)
		   ? 0
		   : fail(-ENAMETOOLONG, "outbox: folder name too long");
}

bool segment_read_name(const char *name, uint64_t *first)
{
	char again[32];
	*first = strtoull(name, NULL, 16);
	snprintf(again, sizeof(again), "%016" PRIx64 ".mdb", *first);
	return strcmp(name, again) == 0;
}

static void lock_name(char *out, size_t cap, const struct segment *g)
{
	snprintf(out, cap, "%s-lock", g->path);
}

static int map(struct segment *g, uint64_t bytes, unsigned flags)
{
	g->env = NULL;
	int rc = mdb_env_create(&g->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(g->env, 1);
	if (rc == 0 && bytes != 0)
		rc = mdb_env_set_mapsize(g->env, (bytes + MAP_RESERVE) & ~(uint64_t)0xffff);
	if (rc == 0 && (flags & MDB_NOLOCK) == 0)
		rc = journal_make_lock_file(g->path);
	if (rc == 0)
		rc = mdb_env_open(g->env, g->path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
	return rc;
}

/* LMDB 0.9 tells a full disk as EIO: it sees a short write and no reason. */
static bool disk_is_full(const struct segment *g, int rc)
{
	struct statvfs fs;
	if (rc == ENOSPC || rc == EDQUOT)
		return true;
	return rc == EIO && statvfs(g->path, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize < NEARLY_FULL;
}

static int failed(struct segment *g, int rc, const char *what)
{
	if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL)
		return BOX_FULL;
	if (disk_is_full(g, rc)) {
		log_limited(LOG_WARN, "the disk is full", "what=%s path=%s", what, g->path);
		return BOX_FULL;
	}
	log_limited(LOG_ERROR, "outbox cannot be written", "what=%s path=%s reason=\"%s\" code=%d",
		    what, g->path, mdb_strerror(rc), rc);
	return rc > 0 ? -rc : rc;
}

static int measure(struct segment *g)
{
	MDB_envinfo info;
	MDB_stat tree;
	int rc = mdb_env_info(g->env, &info);
	if (rc == 0)
		rc = mdb_env_stat(g->env, &tree);
	if (rc != 0)
		return rc;
	g->page_bytes = tree.ms_psize;
	g->used_bytes = (uint64_t)(info.me_last_pgno + 1) * tree.ms_psize;
	return 0;
}

static int open_database(struct segment *g, unsigned flags)
{
	int rc = mdb_txn_begin(g->env, NULL, flags & MDB_CREATE ? 0 : MDB_RDONLY, &g->txn);
	if (rc == 0)
		rc = mdb_dbi_open(g->txn, "req", MDB_INTEGERKEY | flags, &g->req);
	return rc;
}

void segment_abort(struct segment *g)
{
	mdb_txn_abort(g->txn);
	g->txn = NULL;
}

void segment_close(struct segment *g)
{
	segment_abort(g);
	if (g->env != NULL)
		mdb_env_close(g->env);
	g->env = NULL;
}

/* Space is taken when the file is made, so that a full disk shows at one clean point. */
static int take_space(struct segment *g, uint64_t bytes)
{
	int fd;
	int rc = mdb_env_get_fd(g->env, &fd);
	if (rc == 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0 &&
	    (errno == ENOSPC || errno == EDQUOT))
		rc = errno;
	return rc; /* a file system that cannot promise space tells later */
}

static void unlink_both(const struct segment *g)
{
	char lock[SEGMENT_PATH_MAX + 8];
	lock_name(lock, sizeof(lock), g);
	unlink(g->path);
	unlink(lock);
}

int segment_create(struct segment *g, uint64_t bytes)
{
	g->txn = NULL;
	g->forgotten = 0;
	int rc = map(g, bytes, 0);
	if (rc == 0)
		rc = take_space(g, bytes);
	if (rc == 0)
		rc = open_database(g, MDB_CREATE);
	if (rc == 0) {
		rc = mdb_txn_commit(g->txn);
		g->txn = NULL;
	}
	if (rc == 0)
		rc = measure(g);
	if (rc == 0 && journal_sync_dir(g->path) == 0)
		return 0;
	rc = rc != 0 ? failed(g, rc, "create") : -EIO; /* the sync has been logged */
	segment_close(g);
	unlink_both(g);
	return rc;
}

/* 0, MDB_CORRUPTED for a file that was cut short, or why nobody knows. */
static int check_size(struct segment *g)
{
	struct stat st;
	int fd;
	int rc = mdb_env_get_fd(g->env, &fd);
	if (rc == 0 && fstat(fd, &st) != 0)
		rc = errno;
	if (rc == 0 && (uint64_t)st.st_size < g->used_bytes)
		rc = MDB_CORRUPTED;
	return rc;
}

static int open_as(struct segment *g, unsigned flags)
{
	g->txn = NULL;
	g->forgotten = 0;
	int rc = map(g, 0, flags);
	if (rc == 0)
		rc = measure(g);
	if (rc == 0)
		rc = check_size(g);
	if (rc == 0)
		rc = open_database(g, 0);
	if (rc == 0)
		return 0;
	segment_close(g);
	int what = journal_meaning(rc);
	if (what >= 0)
		return SEGMENT_BAD; /* no database is damage as well */
	return fail(what, "outbox: cannot open %s: %s", g->path, mdb_strerror(rc));
}

int segment_open_again(struct segment *g)
{
	int rc = open_as(g, 0);
	if (rc != 0)
		return rc;
	rc = mdb_txn_commit(g->txn); /* else the database's handle would go with it */
	g->txn = NULL;
	if (rc != 0)
		segment_close(g);
	return rc == 0 ? 0 : failed(g, rc, "open");
}

int segment_open_sealed(struct segment *g)
{
	return open_as(g, MDB_RDONLY | MDB_NOLOCK);
}

bool segment_is_in_the_making(const struct segment *g)
{
	char lock[SEGMENT_PATH_MAX + 8];
	lock_name(lock, sizeof(lock), g);
	return access(lock, F_OK) == 0;
}

int segment_open_beside(struct segment *g)
{
	return open_as(g, MDB_RDONLY);
}

int segment_append(struct segment *g, const struct parcel *p)
{
	uint64_t id = p->id;
	MDB_val key = {sizeof(id), &id}, value = {PARCEL_HEADER + p->body.len, NULL};
	int rc = g->txn != NULL ? 0 : mdb_txn_begin(g->env, NULL, 0, &g->txn);
	if (rc == 0)
		rc = mdb_put(g->txn, g->req, &key, &value, MDB_APPEND | MDB_RESERVE);
	if (rc != 0)
		return failed(g, rc, "append"); /* and so will the commit: LMDB remembers */
	parcel_write(value.mv_data, p);
	g->used_bytes += value.mv_size + g->page_bytes;
	return 0;
}

int segment_commit(struct segment *g)
{
	int rc = mdb_txn_commit(g->txn);
	g->txn = NULL;
	if (rc == 0)
		rc = measure(g);
	return rc == 0 ? 0 : failed(g, rc, "commit");
}

void segment_forget(struct segment *g)
{
	MDB_envinfo info; /* of what is committed */
	int fd;
	if (mdb_env_get_fd(g->env, &fd) != 0 || mdb_env_info(g->env, &info) != 0)
		return;
	(void)posix_fadvise(fd, (off_t)g->forgotten, 0, POSIX_FADV_DONTNEED);
	g->forgotten = (uint64_t)(info.me_last_pgno + 1) * g->page_bytes;
}

int segment_cut(struct segment *g, uint64_t id)
{
	MDB_cursor *cursor = NULL;
	int rc = mdb_txn_begin(g->env, NULL, 0, &g->txn);
	if (rc == 0)
		rc = mdb_cursor_open(g->txn, g->req, &cursor);
	while (rc == 0) {
		MDB_val key, value;
		uint64_t found;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
		if (rc != 0 || key.mv_size != sizeof(found))
			break;
		memcpy(&found, key.mv_data, sizeof(found));
		if (found < id)
			break;
		rc = mdb_cursor_del(cursor, 0);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	if (rc == 0 || rc == MDB_NOTFOUND)
		return segment_commit(g);
	segment_abort(g);
	return failed(g, rc, "take back");
}

uint64_t segment_seal(struct segment *g)
{
	struct stat st = {.st_size = 0};
	char lock[SEGMENT_PATH_MAX + 8];
	segment_close(g);
	int fd = open(g->path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || ftruncate(fd, st.st_size) != 0 || fstat(fd, &st) != 0)
		log_limited(LOG_WARN, "outbox file keeps the space it did not use",
			    "path=%s code=%d", g->path, errno);
	if (fd >= 0 && g->forgotten != 0)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* LMDB's own tree, too */
	if (fd >= 0)
		close(fd);
	lock_name(lock, sizeof(lock), g);
	unlink(lock); /* a file without one is sealed */
	return (uint64_t)st.st_blocks * 512;
}

/* No memory is no damage. */
static int found_no(const struct segment *g, int rc)
{
	if (rc == MDB_NOTFOUND)
		return BOX_NONE;
	int what = journal_meaning(rc);
	return what > 0 ? SEGMENT_BAD : fail(what, "outbox: cannot read %s", g->path);
}

/* What the cursor finds by `first`, or, where that is not below *id, before it. */
static int find(struct segment *g, MDB_cursor_op first, bool below, uint64_t *id,
		struct slice *bytes)
{
	MDB_cursor *cursor;
	uint64_t found = 0;
	MDB_val key = {sizeof(*id), id}, value = {0};
	int rc = mdb_cursor_open(g->txn, g->req, &cursor);
	if (rc != 0)
		return found_no(g, rc);
	rc = mdb_cursor_get(cursor, &key, &value, first);
	if (below && rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
	else if (below && rc == 0)
		rc = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
	if (rc == 0 && key.mv_size == sizeof(found))
		memcpy(&found, key.mv_data, sizeof(found));
	mdb_cursor_close(cursor);
	if (rc != 0)
		return found_no(g, rc);
	if (found == 0 || (below ? found >= *id : found < *id))
		return SEGMENT_BAD;
	*id = found;
	*bytes = slice_of(value.mv_data, value.mv_size);
	return 0;
}

int segment_at_least(struct segment *g, uint64_t *id, struct slice *bytes)
{
	return find(g, MDB_SET_RANGE, false, id, bytes);
}

int segment_below(struct segment *g, uint64_t *id, struct slice *bytes)
{
	return find(g, MDB_SET_RANGE, true, id, bytes);
}

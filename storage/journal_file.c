/* SPDX-License-Identifier: Apache-2.0
 * The journal's file: opened only when it is whole and ours. LMDB 0.9 trusts what it maps, so what
 * it would die of (a file cut short, a page size of 0) is looked for first. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/audit.h"
#include "storage/journal.h"

#if MDB_VERSION_FULL < MDB_VERINT(0, 9, 24) || MDB_VERSION_MAJOR > 0
#error "LMDB 0.9.24 or newer, below 1.0: the file format changed there"
#endif
_Static_assert(sizeof(size_t) == 8, "LMDB's meta page is read as 64-bit programs write it");

enum {
	GAPS_LEAST = 4 << 20, /* of space beyond the limit */
	GAPS_MOST = 32 << 20,
	FORMAT = 1,
	MAX_PAGE = 65536,
	LOCK_BYTES = 8192 /* LMDB's own size; it uses all that is there */
};

/* 0, JOURNAL_NONE when there is no file yet, JOURNAL_BAD or negative. */
static int check_head(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? JOURNAL_NONE
				       : fail(-errno, "journal: cannot open %s", path);
	uint8_t first[AUDIT_META_BYTES], second[AUDIT_META_BYTES];
	int rc = JOURNAL_BAD;
	if (pread(fd, first, sizeof(first), 0) == AUDIT_META_BYTES) {
		uint32_t page_bytes = audit_meta(first);
		if (page_bytes != 0 &&
		    pread(fd, second, sizeof(second), page_bytes) == AUDIT_META_BYTES &&
		    audit_meta(second) == page_bytes)
			rc = 0;
	}
	close(fd);
	return rc;
}

int journal_make_lock_file(const char *path)
{
	char lock[JOURNAL_PATH_MAX + 8];
	snprintf(lock, sizeof(lock), "%s-lock", path);
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 0; /* LMDB knows when it can do without, and says why when not */
	int rc = posix_fallocate(fd, 0, LOCK_BYTES);
	close(fd);
	return rc == ENOSPC || rc == EDQUOT ? rc : 0;
}

static int map_file(struct journal *j, unsigned flags)
{
	uint64_t reserve = j->limit_bytes / 8;
	if (reserve < 256u << 20)
		/* where deletes find pages to copy to when the rest is full */
		reserve = 256u << 20;
	uint64_t map_bytes = (j->limit_bytes + reserve) & ~(uint64_t)(MAX_PAGE - 1);
	int rc = mdb_env_create(&j->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(j->env, 8);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(j->env, 32);
	if (rc == 0 && j->limit_bytes != 0) /* else as large as the file says */
		rc = mdb_env_set_mapsize(j->env, map_bytes);
	if (rc == 0 && (flags & MDB_NOLOCK) == 0)
		rc = journal_make_lock_file(j->path);
	if (rc == 0)
		rc = mdb_env_open(j->env, j->path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
	return rc;
}

/* Every page that LMDB believes in has to be within the file, for reading past its end is SIGBUS:
 * 0, MDB_CORRUPTED, or why nobody knows. */
static int check_size(struct journal *j)
{
	struct stat st;
	MDB_envinfo info;
	MDB_stat tree;
	int fd;
	int rc = mdb_env_get_fd(j->env, &fd);
	if (rc == 0 && fstat(fd, &st) != 0)
		rc = errno;
	if (rc == 0)
		rc = mdb_env_info(j->env, &info);
	if (rc == 0)
		rc = mdb_env_stat(j->env, &tree);
	if (rc != 0)
		return rc;
	j->page_bytes = tree.ms_psize;
	return (uint64_t)st.st_size / j->page_bytes > info.me_last_pgno ? 0 : MDB_CORRUPTED;
}

/* In the order of enum journal_tree. */
static const char *const TREE_NAMES[TREES] = {"blk", "pnd", "dec"};

static void open_tree(struct journal_txn *t, const char *name, unsigned flags, bool required,
		      MDB_dbi *tree)
{
	*tree = 0;
	if (t->rc == 0)
		t->rc = mdb_dbi_open(t->txn, name, flags, tree);
	if (t->rc == MDB_NOTFOUND && !required) {
		*tree = 0;
		t->rc = 0;
	}
}

/* What each file has, with `flags`; what the version before did not make, with `added`. */
static void open_databases(struct journal_txn *t, unsigned flags, unsigned added)
{
	struct journal *j = t->journal;
	open_tree(t, "meta", flags, true, &j->meta);
	for (int i = 0; i < TREES; i++)
		open_tree(t, TREE_NAMES[i], (i == TREE_KEPT ? flags : added) | MDB_INTEGERKEY,
			  i == TREE_KEPT, &j->tree[i]);
	open_tree(t, "sta", added, false, &j->states);
}

static int check_format(struct journal_txn *t)
{
	const struct journal *j = t->journal;
	uint64_t format;
	unsigned flags = MDB_INTEGERKEY;
	for (int i = 0; i < TREES && t->rc == 0 && flags == MDB_INTEGERKEY; i++)
		if (j->tree[i] != 0)
			t->rc = mdb_dbi_flags(t->txn, j->tree[i], &flags);
	bool ours = flags == MDB_INTEGERKEY;
	flags = 0;
	if (t->rc == 0 && j->states != 0)
		t->rc = mdb_dbi_flags(t->txn, j->states, &flags);
	ours &= flags == 0;
	int rc = journal_get_words(t, "format", &format, 1);
	if (rc == JOURNAL_NONE || (rc == 0 && (format != FORMAT || !ours)))
		rc = JOURNAL_BAD;
	return rc;
}

/* A new file gets its databases and its format in one transaction; any other must have them. */
static int adopt(struct journal *j)
{
	struct journal_txn t;
	MDB_dbi root;
	MDB_stat stat;
	uint64_t format = FORMAT, library;
	int major, minor, patch;
	mdb_version(&major, &minor, &patch);
	library = (uint64_t)MDB_VERINT(major, minor, patch);

	journal_begin(&t, j);
	if (t.rc == 0)
		t.rc = mdb_dbi_open(t.txn, NULL, 0, &root);
	if (t.rc == 0)
		t.rc = mdb_stat(t.txn, root, &stat);
	bool fresh = t.rc == 0 && stat.ms_entries == 0;
	open_databases(&t, fresh ? MDB_CREATE : 0, MDB_CREATE);
	if (fresh)
		journal_put_words(&t, "format", &format, 1);
	int rc = check_format(&t);
	if (rc != 0) {
		journal_abort(&t);
		return rc;
	}
	journal_put_words(&t, "lmdb", &library,
			  1); /* which library wrote here last, for a rescue */
	rc = journal_commit(&t);
	return rc == JOURNAL_FULL ? fail(-ENOSPC, "journal: no page left in %s", j->path) : rc;
}

/* A journal that is full is a little larger than its limit: blocks leave gaps in which the next one
 * does not fit. Where the disk is full too, no commit would succeed without this, not even one that
 * gives something up. */
static uint64_t gaps_of(const struct journal *j)
{
	uint64_t bytes = j->limit_bytes / 8;
	return bytes < GAPS_LEAST ? GAPS_LEAST : bytes > GAPS_MOST ? GAPS_MOST : bytes;
}

/* Takes the space now, so that a full disk shows at the start and not in the middle of a night. The
 * file's size stays: it tells truncation. */
static int take_space(struct journal *j)
{
	struct statfs fs;
	MDB_envinfo info;
	int fd;
	if (mdb_env_get_fd(j->env, &fd) != 0 || mdb_env_info(j->env, &info) != 0 ||
	    fstatfs(fd, &fs) != 0)
		return fail(-errno, "journal: cannot look at %s", j->path);
	if ((uint64_t)fs.f_type == TMPFS_MAGIC) {
		log_warn("journal lives in memory and will not survive a reboot", "path=%s",
			 j->path);
		return 0;
	}
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(j->limit_bytes + gaps_of(j))) == 0 ||
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)j->limit_bytes) == 0)
		return 0;
	int error = errno;
	if (error != ENOSPC && error != EDQUOT)
		return 0; /* a file system that cannot promise space, or a file size limit */
	struct stat st;
	if (fstat(fd, &st) == 0 &&
	    ftruncate(fd, st.st_size) != 0) /* gives back what was got of it */
		log_warn("journal cannot give space back", "path=%s code=%d", j->path, errno);
	unsigned long long wanted = j->limit_bytes >> 20;
	unsigned long long free_mib = ((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize) >> 20;
	/* it may hold spans: those come first */
	if (j->may_be_short || info.me_last_pgno * j->page_bytes > 1 << 20) {
		log_warn("disk has less space than the journal's limit",
			 "limit_mib=%llu free_mib=%llu", wanted, free_mib);
		return 0;
	}
	return fail(-error, "journal: its limit is %llu MiB but the disk of %s has %llu MiB",
		    wanted, j->path, free_mib);
}

static int open_file(struct journal *j)
{
	int head = check_head(j->path), dead;
	if (head != 0 && head != JOURNAL_NONE)
		return head;
	int rc = map_file(j, 0);
	if (rc == 0)
		rc = check_size(j);
	if (rc != 0 && journal_meaning(rc) >= 0)
		return JOURNAL_BAD;
	if (rc != 0)
		return fail(journal_meaning(rc), "journal: cannot map %s: %s", j->path,
			    mdb_strerror(rc));
	if (head == JOURNAL_NONE && (rc = journal_sync_dir(j->path)) != 0)
		return rc;
	mdb_reader_check(j->env, &dead);
	rc = adopt(j);
	return rc != 0 ? rc : take_space(j);
}

static void on_assertion(MDB_env *env, const char *what)
{
	(void)env;
	log_error("LMDB does not like the file", "what=\"%s\"", what);
	_exit(1);
}

int journal_map_to_look(struct journal *j, const char *path)
{
	int len = snprintf(j->path, sizeof(j->path), "%s", path);
	if (len < 0 || (size_t)len >= sizeof(j->path))
		return -ENAMETOOLONG;
	int rc = map_file(j, MDB_RDONLY | MDB_NOLOCK);
	if (rc == 0)
		rc = mdb_env_set_assert(j->env, on_assertion);
	return rc == 0 ? 0
		       : fail(JOURNAL_BAD, "journal: cannot map %s: %s", path, mdb_strerror(rc));
}

int journal_open_to_look(struct journal *j, const char *path)
{
	struct journal_txn t;
	MDB_dbi root;
	MDB_stat stat;
	int rc = journal_map_to_look(j, path);
	if (rc != 0)
		return rc;
	journal_begin_read(&t, j);
	if (t.rc == 0)
		t.rc = mdb_dbi_open(t.txn, NULL, 0, &root);
	if (t.rc == 0)
		t.rc = mdb_stat(t.txn, root, &stat);
	if (t.rc == 0 && stat.ms_entries == 0)
		return JOURNAL_NONE;
	open_databases(&t, 0, 0);
	rc = check_format(&t);
	mdb_txn_commit(t.txn); /* keeps the handles */
	return rc;
}

int journal_open_beside(struct journal *j)
{
	struct journal_txn t;
	int rc = map_file(j, MDB_RDONLY);
	if (rc == 0) {
		journal_begin_read(&t, j);
		rc = t.rc;
	}
	if (rc != 0)
		return fail(rc > 0 ? -rc : rc, "cannot map %s: %s", j->path, mdb_strerror(rc));
	open_databases(&t, 0, 0);
	rc = check_format(&t);
	mdb_txn_commit(t.txn); /* keeps the handles */
	return rc;
}

int journal_reopen(struct journal *j)
{
	int rc = open_file(j);
	if (rc != 0)
		journal_close(j);
	return rc;
}

int journal_open(struct journal *j, const char *path, uint64_t limit_bytes)
{
	j->env = NULL;
	j->limit_bytes = limit_bytes;
	int len = snprintf(j->path, sizeof(j->path), "%s", path);
	if (len < 0 || (size_t)len >= sizeof(j->path))
		return fail(-ENAMETOOLONG, "journal: folder name too long");
	return journal_reopen(j);
}

void journal_close(struct journal *j)
{
	if (j->env != NULL)
		mdb_env_close(j->env);
	j->env = NULL;
}

int journal_sync_dir(const char *path_inside)
{
	const char *slash = strrchr(path_inside, '/');
	char dir[JOURNAL_PATH_MAX];
	snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path_inside) + 1 : 1,
		 slash != NULL ? path_inside : ".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc =
	    fd >= 0 && fsync(fd) == 0 ? 0 : fail(-errno, "journal: cannot sync folder %s", dir);
	if (fd >= 0)
		close(fd);
	return rc;
}

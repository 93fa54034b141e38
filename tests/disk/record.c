/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 256 };

/* ---- recording ---- */

static struct record_log *recorder;
static struct {
	int file; /* -1: not ours; -2: a folder */
	int folder;
	bool direct;
} fds[FDS];
static char names[RECORD_FILES][RECORD_NAME];     /* of files, as they are called now */
static char folders[RECORD_FOLDERS][RECORD_NAME]; /* the first is "", the folder itself */

static struct op *next_op(enum op_kind kind)
{
	static struct op spare;
	if (recorder->n_ops == RECORD_OPS) {
		recorder->full = true;
		return &spare;
	}
	struct op *op = &recorder->op[recorder->n_ops++];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	return op;
}

/* Without slashes at the end; -1: none of ours. */
static int find_folder(const char *name, size_t len)
{
	while (len != 0 && name[len - 1] == '/')
		len--;
	for (uint32_t i = 0; i < recorder->n_folders; i++)
		if (strlen(folders[i]) == len && strncmp(folders[i], name, len) == 0)
			return (int)i;
	return -1;
}

static int folder_of(const char *name)
{
	const char *slash = strrchr(name, '/');
	return find_folder(name, slash != NULL ? (size_t)(slash - name) : 0);
}

/* The name within the folder, NULL for files that are none of ours. */
static const char *ours(const char *path)
{
	size_t len = recorder != NULL ? strlen(recorder->dir) : 0;
	if (len == 0 || strncmp(path, recorder->dir, len) != 0 || path[len] != '/')
		return NULL;
	const char *name = path + len + 1;
	size_t end = strlen(name);
	bool lock = (end > 5 && strcmp(name + end - 5, "-lock") == 0) || strcmp(name, "LOCK") == 0;
	return end == 0 || end >= RECORD_NAME || lock ? NULL : name;
}

static int find(const char *name)
{
	for (uint32_t i = 0; i < recorder->n_files; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static int add_file(const char *name)
{
	if (recorder->n_files == RECORD_FILES) {
		recorder->full = true;
		return -1;
	}
	snprintf(names[recorder->n_files], RECORD_NAME, "%s", name);
	return (int)recorder->n_files++;
}

static void note_open(int fd, const char *path, int flags, bool created)
{
	if (recorder == NULL || fd < 0 || fd >= FDS)
		return;
	size_t len = strlen(recorder->dir);
	fds[fd].file = -1;
	if (strncmp(path, recorder->dir, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return;
	const char *inside = path + len + strspn(path + len, "/"), *name = ours(path);
	fds[fd].folder = find_folder(inside, strlen(inside));
	if (fds[fd].folder >= 0)
		fds[fd].file = -2;
	if (fds[fd].folder >= 0 || name == NULL)
		return;
	int file = created ? -1 : find(name);
	if (file < 0) {
		file = add_file(name);
		struct op *op = next_op(OP_CREATE);
		op->file = file;
		op->folder = folder_of(name);
		snprintf(op->name, RECORD_NAME, "%s", name);
	}
	fds[fd].file = file;
	fds[fd].direct = (flags & (O_DSYNC | O_SYNC)) != 0;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	bool created = (flags & O_CREAT) != 0 && syscall(SYS_access, path, F_OK) != 0;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	note_open(fd, path, flags, created);
	return fd;
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		fds[fd].file = -1;
	return (int)syscall(SYS_close, fd);
}

int mkdir(const char *path, mode_t mode)
{
	int rc = (int)syscall(SYS_mkdir, path, mode);
	const char *name = rc == 0 ? ours(path) : NULL;
	if (name != NULL && recorder->n_folders == RECORD_FOLDERS)
		recorder->full = true;
	else if (name != NULL) {
		struct op *op = next_op(OP_FOLDER);
		op->folder = folder_of(name);
		snprintf(op->name, RECORD_NAME, "%s", name);
		snprintf(folders[recorder->n_folders++], RECORD_NAME, "%s", name);
	}
	return rc;
}

static bool recorded(int fd)
{
	return recorder != NULL && fd >= 0 && fd < FDS && fds[fd].file >= 0;
}

static void note_write(int fd, const void *data, size_t len, uint64_t at)
{
	struct op *op = next_op(OP_WRITE);
	if (recorder->bytes + len > RECORD_BYTES) {
		recorder->full = true;
		return;
	}
	op->file = fds[fd].file;
	op->direct = fds[fd].direct;
	op->at = at;
	op->len = len;
	op->data = recorder->bytes;
	memcpy(recorder->data + recorder->bytes, data, len);
	recorder->bytes += len;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (recorded(fd))
		note_write(fd, data, len, (uint64_t)at);
	return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t write(int fd, const void *data, size_t len)
{
	if (recorded(fd))
		note_write(fd, data, len, (uint64_t)lseek(fd, 0, SEEK_CUR));
	return syscall(SYS_write, fd, data, len);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	uint64_t at = recorded(fd) ? (uint64_t)lseek(fd, 0, SEEK_CUR) : 0;
	for (int i = 0; recorded(fd) && i < n; at += iov[i++].iov_len)
		note_write(fd, iov[i].iov_base, iov[i].iov_len, at);
	return syscall(SYS_writev, fd, iov, n);
}

static void note_sync(int fd)
{
	if (recorder == NULL || fd < 0 || fd >= FDS || fds[fd].file == -1)
		return;
	struct op *op = next_op(OP_SYNC);
	op->file = fds[fd].file == -2 ? -1 : fds[fd].file;
	op->folder = fds[fd].folder;
}

int fdatasync(int fd)
{
	note_sync(fd);
	return 0; /* the disk is one we made up */
}

int fsync(int fd)
{
	note_sync(fd);
	return 0;
}

int ftruncate(int fd, off_t size)
{
	if (recorded(fd)) {
		struct op *op = next_op(OP_SIZE);
		op->file = fds[fd].file;
		op->at = (uint64_t)size;
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

static void note_names(enum op_kind kind, const char *from, const char *to)
{
	const char *a = ours(from), *b = to != NULL ? ours(to) : NULL;
	if (a == NULL || (to != NULL && b == NULL))
		return;
	struct op *op = next_op(kind);
	op->folder = folder_of(a); /* nothing moves between folders */
	snprintf(op->name, RECORD_NAME, "%s", a);
	int file = find(a), over = b != NULL ? find(b) : -1;
	if (b != NULL)
		snprintf(op->to, RECORD_NAME, "%s", b);
	if (over >= 0)
		names[over][0] = '\0';
	if (file >= 0 && kind == OP_RENAME)
		snprintf(names[file], RECORD_NAME, "%s", b);
	if (file >= 0 && kind == OP_UNLINK)
		names[file][0] = '\0';
}

int rename(const char *from, const char *to)
{
	int rc = (int)syscall(SYS_rename, from, to);
	if (rc == 0)
		note_names(OP_RENAME, from, to);
	return rc;
}

int link(const char *from, const char *to)
{
	int rc = (int)syscall(SYS_link, from, to);
	if (rc == 0)
		note_names(OP_LINK, from, to);
	return rc;
}

int unlink(const char *path)
{
	int rc = (int)syscall(SYS_unlink, path);
	if (rc == 0)
		note_names(OP_UNLINK, path, NULL);
	return rc;
}

void record_mark(uint64_t number)
{
	next_op(OP_MARK)->at = number;
}

struct listing {
	char file[RECORD_FILES][RECORD_NAME], folder[RECORD_FOLDERS][RECORD_NAME];
	uint32_t n_files, n_folders;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The folders of l->folder grow while they are gone through. */
static void list_folder(struct listing *l, const char *dir, const char *folder)
{
	char path[512], name[512];
	snprintf(path, sizeof(path), "%s/%s", dir, folder);
	DIR *d = opendir(path);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		int len =
		    snprintf(name, sizeof(name), "%s%s%s", folder, *folder ? "/" : "", e->d_name);
		bool lock = len > 5 && strcmp(name + len - 5, "-lock") == 0;
		if (e->d_name[0] == '.' || lock || len >= RECORD_NAME)
			continue;
		if (e->d_type == DT_DIR && l->n_folders < RECORD_FOLDERS)
			snprintf(l->folder[l->n_folders++], RECORD_NAME, "%.95s", name);
		else if (e->d_type != DT_DIR && l->n_files < RECORD_FILES)
			snprintf(l->file[l->n_files++], RECORD_NAME, "%.95s", name);
	}
	if (d != NULL)
		closedir(d);
}

/* The order in which files and folders get their first numbers. */
static void list(struct listing *l, const char *dir)
{
	memset(l, 0, sizeof(*l));
	l->n_folders = 1;
	for (uint32_t i = 0; i < l->n_folders; i++)
		list_folder(l, dir, l->folder[i]);
	qsort(l->file, l->n_files, RECORD_NAME, compare_names);
	qsort(l->folder, l->n_folders, RECORD_NAME, compare_names);
}

void record_start(struct record_log *l, const char *dir)
{
	static struct listing now;
	l->n_ops = 0;
	l->bytes = 0;
	l->full = false;
	snprintf(l->dir, sizeof(l->dir), "%s", dir);
	for (int i = 0; i < FDS; i++)
		fds[i].file = -1;
	list(&now, dir);
	l->n_files = now.n_files;
	l->n_folders = now.n_folders;
	memcpy(names, now.file, sizeof(names));
	memcpy(folders, now.folder, sizeof(folders));
	recorder = l;
}

/* ---- replaying ---- */

struct content {
	uint8_t *data;
	uint64_t len, cap;
};
struct disk {
	const struct record_log *log;
	uint32_t (*random)(void *ctx, uint32_t n);
	void *ctx;
	struct content file[RECORD_FILES];
	char name[RECORD_FILES * 2][RECORD_NAME]; /* durable names; "": none */
	int of[RECORD_FILES * 2];
	char folder[RECORD_FOLDERS][RECORD_NAME]; /* durable ones, those that hold others first */
	uint32_t n_folders;
};

static void resize(struct content *c, uint64_t len)
{
	if (len > c->cap) {
		c->cap = len + (len >> 1) + 65536;
		c->data = realloc(c->data, c->cap);
	}
	if (len > c->len)
		memset(c->data + c->len, 0, len - c->len);
	c->len = len;
}

static void put(struct content *c, uint64_t at, const uint8_t *data, uint64_t len)
{
	if (at + len > c->len)
		resize(c, at + len);
	if (len != 0)
		memcpy(c->data + at, data, len);
}

static void set_name(struct disk *d, const char *name, int file)
{
	int free_slot = -1;
	for (int i = 0; i < RECORD_FILES * 2; i++) {
		if (strcmp(d->name[i], name) == 0 && name[0] != '\0') {
			if (file < 0)
				d->name[i][0] = '\0';
			d->of[i] = file;
			return;
		}
		if (d->name[i][0] == '\0' && free_slot < 0)
			free_slot = i;
	}
	if (file >= 0 && free_slot >= 0) {
		snprintf(d->name[free_slot], RECORD_NAME, "%s", name);
		d->of[free_slot] = file;
	}
}

static int named(const struct disk *d, const char *name)
{
	for (int i = 0; i < RECORD_FILES * 2; i++)
		if (strcmp(d->name[i], name) == 0)
			return d->of[i];
	return -1;
}

static void do_name(struct disk *d, const struct op *op)
{
	int file = op->kind == OP_CREATE ? op->file : named(d, op->name);
	if (op->kind == OP_FOLDER)
		snprintf(d->folder[d->n_folders++], RECORD_NAME, "%s", op->name);
	else if (op->kind == OP_CREATE)
		set_name(d, op->name, file);
	else if (op->kind == OP_UNLINK)
		set_name(d, op->name, -1);
	else if (file >= 0) {
		set_name(d, op->to, file);
		if (op->kind == OP_RENAME)
			set_name(d, op->name, -1);
	}
}

static void do_data(struct disk *d, const struct op *op)
{
	if (op->kind == OP_SIZE)
		resize(&d->file[op->file], op->at);
	else
		put(&d->file[op->file], op->at, d->log->data + op->data, op->len);
}

/* Some of it, in pieces. */
static void do_torn(struct disk *d, const struct op *op, uint64_t piece, uint32_t chance)
{
	for (uint64_t k = 0; k < op->len;) {
		uint64_t end = (op->at + k) / piece * piece + piece - op->at;
		if (end > op->len)
			end = op->len;
		if (d->random(d->ctx, 100) < chance)
			put(&d->file[op->file], op->at + k, d->log->data + op->data + k, end - k);
		k = end;
	}
}

static void do_unsynced(struct disk *d, const struct op *op, enum tear tear, uint32_t chance)
{
	bool meta = op->at < 8192 && op->len < 4096;
	if (tear == TEAR_NOTHING_MORE || (tear == TEAR_META_ONLY && !meta))
		return;
	if (op->kind == OP_SIZE || tear == TEAR_WRITES || tear == TEAR_META_ONLY) {
		if (d->random(d->ctx, 100) < chance)
			do_data(d, op);
	} else
		do_torn(d, op, tear == TEAR_4K ? 4096 : 512, chance);
}

static bool is_name(const struct op *op)
{
	return op->kind == OP_CREATE || op->kind == OP_FOLDER || op->kind == OP_RENAME ||
	       op->kind == OP_LINK || op->kind == OP_UNLINK;
}

/* Where the last sync of this file (-1: this folder) before n is. */
static uint32_t last_sync(const struct record_log *l, uint32_t n, int file, int folder)
{
	while (n != 0 && (l->op[n - 1].kind != OP_SYNC || l->op[n - 1].file != file ||
			  (file < 0 && l->op[n - 1].folder != folder)))
		n--;
	return n;
}

static void replay(struct disk *d, uint32_t n, enum tear tear)
{
	const struct record_log *l = d->log;
	uint32_t synced[RECORD_FILES], names_end[RECORD_FOLDERS];
	uint32_t chance = d->random(d->ctx, 101);
	for (int f = 0; f < (int)l->n_files; f++)
		synced[f] = last_sync(l, n, f, 0);
	for (int f = 0; f < (int)l->n_folders; f++) {
		names_end[f] = last_sync(l, n, -1, f);
		names_end[f] += d->random(d->ctx, n - names_end[f] + 1);
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct op *op = &l->op[i];
		if (is_name(op) && i < names_end[op->folder])
			do_name(d, op);
		else if (op->kind == OP_WRITE || op->kind == OP_SIZE) {
			if (i < synced[op->file] || op->direct)
				do_data(d, op);
			else
				do_unsynced(d, op, tear, chance);
		}
	}
}

static void load(struct content *c, const char *dir, const char *name)
{
	char path[512];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) != 0)
		return;
	resize(c, (uint64_t)st.st_size);
	if (read(fd, c->data, c->len) != (ssize_t)c->len)
		abort();
	close(fd);
}

static int store(const struct content *c, const char *dir, const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = c->len != 0 ? (ssize_t)syscall(SYS_write, fd, c->data, c->len) : 0;
	close(fd);
	return n == (ssize_t)c->len ? 0 : -1;
}

/* Whether the folder that holds it is there, and those that hold that. */
static bool is_reachable(const struct disk *d, const char *name)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash != NULL ? (size_t)(slash - name) : 0;
	if (len == 0)
		return true;
	for (uint32_t i = 0; i < d->n_folders; i++)
		if (strlen(d->folder[i]) == len && strncmp(d->folder[i], name, len) == 0)
			return is_reachable(d, d->folder[i]);
	return false;
}

static void make_folders(const struct disk *d, const char *to)
{
	char path[512];
	for (uint32_t i = 0; i < d->n_folders; i++) {
		snprintf(path, sizeof(path), "%s/%s", to, d->folder[i]);
		if (is_reachable(d, d->folder[i]))
			mkdir(path, 0700);
	}
}

int record_replay(const struct record_log *l, uint32_t n, enum tear tear, const char *from,
		  const char *to, uint32_t (*random)(void *ctx, uint32_t n), void *ctx)
{
	static struct listing first;
	struct disk *d = calloc(1, sizeof(*d));
	int rc = 0;
	list(&first, from);
	d->log = l;
	d->random = random;
	d->ctx = ctx;
	for (uint32_t i = 0; i < first.n_files; i++) {
		load(&d->file[i], from, first.file[i]);
		set_name(d, first.file[i], (int)i);
	}
	memcpy(d->folder, first.folder, sizeof(d->folder));
	d->n_folders = first.n_folders;
	replay(d, n, tear);
	make_folders(d, to);
	for (int i = 0; i < RECORD_FILES * 2 && rc == 0; i++)
		if (d->name[i][0] != '\0' && is_reachable(d, d->name[i]))
			rc = store(&d->file[d->of[i]], to, d->name[i]);
	for (int i = 0; i < RECORD_FILES; i++)
		free(d->file[i].data);
	free(d);
	return rc;
}

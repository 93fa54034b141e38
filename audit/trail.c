/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/internal.h"
#include "base/hex.h"
#include "base/log.h"

enum { FILES_OF_LIMIT = 16, FILE_MOST = 8 << 20 };

/* ---- files ---- */

static int append(struct audit_trail *t, struct audit_out *f, const void *data, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = write(f->fd, (const char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	f->bytes += len;
	t->bytes += len;
	return 0;
}

static int sync_folder(const struct audit_trail *t)
{
	int fd = open(t->o.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int begin_file(struct audit_trail *t, enum audit_file_kind kind, uint64_t first)
{
	struct audit_out *f = &t->out[kind];
	char path[AUDIT_PATH];
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct audit_out){.fd = -1};
	int rc = audit_path(path, t->o.folder, kind, first);
	if (rc != 0)
		return rc;
	f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	return f->fd >= 0 ? sync_folder(t) : -errno;
}

/* Puts bytes behind the others and onto the disk. `first` names a new file, where one is due. */
static int put(struct audit_trail *t, enum audit_file_kind kind, uint64_t first, struct slice a,
	       struct slice b)
{
	struct audit_out *f = &t->out[kind];
	int rc = 0;
	if (f->fd < 0 || (f->bytes != 0 && f->bytes + a.len + b.len > t->file_bytes)) {
		rc = begin_file(t, kind, first);
		t->began_file = true;
	}
	uint64_t before = f->bytes;
	if (rc == 0)
		rc = append(t, f, a.data, a.len);
	if (rc == 0)
		rc = append(t, f, b.data, b.len);
	if (rc == 0 && fdatasync(f->fd) != 0)
		rc = -errno;
	/* What is there in part would be a torn tail. If this fails too, the next one to open it
	 * sees to that. */
	if (rc != 0 && f->fd >= 0 && ftruncate(f->fd, (off_t)before) != 0)
		log_limited(LOG_WARN, "audit: a record that was written in part stays", "code=%d",
			    errno);
	return rc;
}

/* ---- the contract ---- */

int audit_trail_add(struct audit_trail *t, const struct audit_record *r, uint64_t unix_ms)
{
	int rc = audit_append(&t->next, t->o.key, r, unix_ms, t->o.boot_id, &t->waiting);
	return rc == 0 ? 0 : -ENOMEM;
}

int audit_trail_block(struct audit_trail *t, struct audit_block b,
		      const struct audit_decision *records, struct audit_record *r,
		      uint64_t unix_ms)
{
	char hash[2 * AUDIT_BLOCK_HASH + 1];
	struct slice head, body = slice_of(records, b.n * sizeof(*records));
	b.magic = AUDIT_BLOCK_MAGIC;
	b.number = t->next_block;
	head = slice_of(&b, sizeof(b));
	int rc = audit_block_hash(head, body, hash);
	if (rc == 0)
		rc = put(t, AUDIT_BLOCK_FILE, b.number, head, body);
	if (rc != 0)
		return fail(rc, "audit: a block of decisions cannot be written");
	t->next_block++;
	audit_count(r, "block", (int64_t)b.number);
	audit_count(r, "records", b.n);
	audit_count(r, "chapter", (int64_t)b.chapter);
	audit_detail(r, "sha256", hash);
	return audit_trail_add(t, r, unix_ms);
}

int audit_trail_commit(struct audit_trail *t)
{
	int rc = 0;
	if (t->waiting.len != 0)
		rc = put(t, AUDIT_CHAIN_FILE, t->head.seq + 1, buf_slice(&t->waiting),
			 slice_of(NULL, 0));
	t->waiting.len = 0;
	if (rc != 0)
		return fail(rc, "audit: records cannot be written");
	t->head = t->next;
	return 0;
}

const struct audit_head *audit_trail_head(const struct audit_trail *t)
{
	return &t->head;
}

uint64_t audit_trail_bytes(const struct audit_trail *t)
{
	return t->bytes;
}

/* ---- age and size ---- */

/* How many of the oldest files go; never the newest, which is written to. */
static size_t too_many(const struct audit_files *l, uint64_t limit, uint64_t oldest_ms)
{
	uint64_t bytes = 0;
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		bytes += l->files[i].bytes;
	while (n + 1 < l->n && (bytes > limit || l->files[n].changed_ms < oldest_ms))
		bytes -= l->files[n++].bytes;
	return n;
}

static void unlink_files(struct audit_trail *t, const struct audit_files *l,
			 enum audit_file_kind kind, size_t n)
{
	char path[AUDIT_PATH];
	for (size_t i = 0; i < n; i++) {
		if (audit_path(path, t->o.folder, kind, l->files[i].first) != 0 ||
		    unlink(path) != 0)
			log_warn("audit: an old file stays", "path=\"%s\" code=%d", path, errno);
		else
			t->bytes -= l->files[i].bytes < t->bytes ? l->files[i].bytes : t->bytes;
	}
}

int audit_trail_retire(struct audit_trail *t, uint64_t unix_ms)
{
	static const char *const COUNTS[AUDIT_FILE_KINDS] = {"records_to", "blocks_to"};
	const uint64_t limits[AUDIT_FILE_KINDS] = {t->o.limit_bytes / 4, t->o.limit_bytes / 4 * 3};
	uint64_t oldest_ms = unix_ms > t->o.keep_ms ? unix_ms - t->o.keep_ms : 0;
	struct audit_files lists[AUDIT_FILE_KINDS] = {{.files = NULL}};
	size_t n[AUDIT_FILE_KINDS] = {0};
	struct audit_record r;
	int rc = 0;
	audit_record_init(&r, AUDIT_RETENTION, "audit", "given up",
			  "audit.limit or audit.retention");
	for (int k = 0; rc == 0 && k < AUDIT_FILE_KINDS; k++) {
		rc = audit_list(&lists[k], t->o.folder, (enum audit_file_kind)k);
		n[k] = rc == 0 ? too_many(&lists[k], limits[k], oldest_ms) : 0;
		if (n[k] != 0)
			audit_count(&r, COUNTS[k], (int64_t)lists[k].files[n[k]].first - 1);
	}
	t->began_file = false;
	if (rc != 0)
		rc = fail(rc, "audit: the folder cannot be read");
	if (rc == 0 && r.n_counts != 0) {
		rc = audit_trail_add(t, &r, unix_ms);
		if (rc == 0)
			rc = audit_trail_commit(t);
		for (int k = 0; rc == 0 && k < AUDIT_FILE_KINDS; k++)
			unlink_files(t, &lists[k], (enum audit_file_kind)k, n[k]);
	}
	for (int k = 0; k < AUDIT_FILE_KINDS; k++)
		audit_list_finish(&lists[k]);
	return rc;
}

bool audit_trail_is_due(const struct audit_trail *t)
{
	return t->began_file;
}

/* ---- open and close ---- */

static int make_folder(const struct audit_trail *t)
{
	if (mkdir(t->o.folder, 0700) != 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int audit_trail_open(struct audit_trail **out, const struct audit_trail_options *o,
		     struct audit_found *found)
{
	struct audit_trail *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return fail(-ENOMEM, "audit: no memory");
	t->o = *o;
	t->file_bytes = o->limit_bytes / FILES_OF_LIMIT;
	if (t->file_bytes > FILE_MOST)
		t->file_bytes = FILE_MOST;
	t->out[AUDIT_CHAIN_FILE].fd = t->out[AUDIT_BLOCK_FILE].fd = -1;
	int rc = make_folder(t);
	if (rc == 0)
		rc = audit_mend(t, found);
	if (rc != 0) {
		audit_trail_close(t);
		return fail(rc, "audit: %s cannot be used", o->folder);
	}
	t->next = t->head;
	*out = t;
	return 0;
}

void audit_trail_close(struct audit_trail *t)
{
	if (t == NULL)
		return;
	for (int k = 0; k < AUDIT_FILE_KINDS; k++)
		if (t->out[k].fd >= 0)
			close(t->out[k].fd);
	buf_finish(&t->waiting);
	free(t);
}

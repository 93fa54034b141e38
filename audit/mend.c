/* SPDX-License-Identifier: Apache-2.0
 * An audit log as it was left: where it ends, and what of its end a crash left in part. What is
 * torn is cut, for nobody was told of it; what is wrong in another way is evidence and stays: the
 * chain goes on in a new file, behind the last record that can be read. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "audit/internal.h"

/* A file of the chain, looked through. */
struct look {
	struct audit_head head;  /* of the last record that is ours and in its place */
	size_t good;             /* up to here everything is */
	struct audit_head last;  /* of the last line that can be read, whoever wrote it */
	bool is_stop;            /* that one is a stop */
	bool is_linked;          /* all lines follow each other, whatever their macs are */
	bool is_foreign;         /* the first one is not ours */
	uint64_t block, chapter; /* of the last anchor */
};

static void note_line(struct look *k, const struct audit_line *l)
{
	uint64_t n;
	k->last.seq = l->seq > k->last.seq ? l->seq : k->last.seq;
	memcpy(k->last.mac, l->mac, AUDIT_MAC);
	k->is_stop = audit_line_is(l, AUDIT_STOP);
	if (!audit_line_is(l, AUDIT_DECISIONS))
		return;
	if (audit_line_count(l, "block", &n))
		k->block = n;
	if (audit_line_count(l, "chapter", &n))
		k->chapter = n;
}

static void look_through(struct look *k, struct slice file, struct slice key)
{
	struct slice rest = file, text;
	struct audit_line l;
	bool fine = true;
	*k = (struct look){.is_linked = true};
	while (audit_next_line(&rest, &text)) {
		bool first = k->last.seq == 0;
		if (!audit_line_read(&l, text)) {
			fine = k->is_linked = false;
			continue;
		}
		k->is_linked = k->is_linked && (first || audit_line_follows(&l, &k->last));
		k->is_foreign = k->is_foreign || (first && !audit_line_holds(&l, key));
		fine = fine && audit_line_holds(&l, key) &&
		       (first || audit_line_follows(&l, &k->head));
		note_line(k, &l);
		if (!fine)
			continue;
		k->head = k->last;
		k->good = file.len - rest.len;
	}
}

/* Of a write that a crash cut short: no newline, or, where the power went, pages of zeros. */
static bool is_torn(struct slice file, size_t good)
{
	const uint8_t *rest = file.data + good;
	size_t len = file.len - good;
	return memchr(rest, '\n', len) == NULL || memchr(rest, 0, len) != NULL;
}

static int reopen(struct audit_trail *t, enum audit_file_kind kind, uint64_t first, uint64_t bytes,
		  uint64_t *cut)
{
	struct audit_out *f = &t->out[kind];
	char path[AUDIT_PATH];
	int rc = audit_path(path, t->o.folder, kind, first);
	if (rc != 0)
		return rc;
	f->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	off_t end = f->fd >= 0 ? lseek(f->fd, 0, SEEK_END) : -1;
	if (end < 0)
		return -errno;
	f->bytes = bytes;
	if ((uint64_t)end == bytes)
		return 0;
	*cut += (uint64_t)end - bytes;
	return ftruncate(f->fd, (off_t)bytes) == 0 && fsync(f->fd) == 0 ? 0 : -errno;
}

static int remove_file(struct audit_trail *t, enum audit_file_kind kind, uint64_t first)
{
	char path[AUDIT_PATH];
	int rc = audit_path(path, t->o.folder, kind, first);
	return rc != 0 ? rc : unlink(path) == 0 ? 0 : -errno;
}

/* The last file of the chain decides. AGAIN: nothing in it was whole; the one before is the last.
 */
enum { AGAIN = 1, LOOKED = 2 };
static int mend_last(struct audit_trail *t, struct audit_found *found,
		     const struct audit_file *file, struct slice bytes, const struct look *k)
{
	bool torn = k->good < bytes.len && is_torn(bytes, k->good);
	if (k->good == 0 && k->last.seq == 0 && (torn || bytes.len == 0)) {
		found->torn_bytes += bytes.len;
		int rc = remove_file(t, AUDIT_CHAIN_FILE, file->first);
		return rc != 0 ? rc : AGAIN;
	}
	found->is_stopped = k->is_stop;
	if (k->good == bytes.len || (torn && k->head.seq == k->last.seq)) {
		t->head = k->head;
		return reopen(t, AUDIT_CHAIN_FILE, file->first, k->good, &found->torn_bytes);
	}
	found->other_key = k->is_foreign && k->is_linked;
	found->is_damaged = !found->other_key;
	t->head = k->last.seq != 0 ? k->last : (struct audit_head){.seq = file->first};
	return 0;
}

static int mend_chain(struct audit_trail *t, struct audit_found *found, uint64_t *block)
{
	struct audit_files l;
	struct buf bytes = {.data = NULL};
	bool done = false;
	int rc = audit_list(&l, t->o.folder, AUDIT_CHAIN_FILE);
	for (size_t i = 0; rc == 0 && i < l.n; i++)
		t->bytes += l.files[i].bytes;
	/* From the newest on, until there is an end, and the last anchor; that one is in the last
	 * file but one, or in none, for where traces are judged there is one each second. */
	size_t looked = 0;
	for (size_t i = l.n; rc == 0 && i-- > 0 && (!done || (*block == 0 && looked < LOOKED));
	     looked++) {
		char path[AUDIT_PATH];
		struct look k;
		bytes.len = 0;
		rc = audit_path(path, t->o.folder, AUDIT_CHAIN_FILE, l.files[i].first);
		if (rc == 0)
			rc = audit_read_file(path, &bytes);
		if (rc != 0)
			break;
		look_through(&k, buf_slice(&bytes), t->o.key);
		if (!done)
			rc = mend_last(t, found, &l.files[i], buf_slice(&bytes), &k);
		done = done || rc != AGAIN;
		rc = rc == AGAIN ? 0 : rc;
		*block = k.block != 0 ? k.block : *block;
		found->chapter = k.block != 0 ? k.chapter : found->chapter;
	}
	found->head = t->head;
	found->knows_chapter = *block != 0 || (looked == l.n && t->head.seq != 0);
	buf_finish(&bytes);
	audit_list_finish(&l);
	return rc;
}

/* A block behind the last anchor was on its way when the relay died: it is cut, and its decisions
 * are told again from the store's chapters. Where no anchor is known blocks stay, and numbers go on
 * behind them: somebody may want to know where their chain is. */
static int mend_blocks(struct audit_trail *t, struct audit_found *found, uint64_t anchored)
{
	struct audit_files l;
	struct buf bytes = {.data = NULL};
	struct audit_block b;
	struct slice rest, records;
	char path[AUDIT_PATH];
	size_t len;
	int rc = audit_list(&l, t->o.folder, AUDIT_BLOCK_FILE);
	for (size_t i = 0; rc == 0 && i < l.n; i++)
		t->bytes += l.files[i].bytes;
	const struct audit_file *last = l.n != 0 ? &l.files[l.n - 1] : NULL;
	t->next_block = anchored + 1;
	if (rc == 0 && last != NULL) {
		rc = audit_path(path, t->o.folder, AUDIT_BLOCK_FILE, last->first);
		if (rc == 0)
			rc = audit_read_file(path, &bytes);
		rest = buf_slice(&bytes);
		while (rc == 0 && (len = audit_block_read(rest, &b, &records, NULL)) != 0 &&
		       (anchored == 0 || b.number <= anchored)) {
			rest = slice_of(rest.data + len, rest.len - len);
			t->next_block = b.number + 1;
		}
		size_t good = bytes.len - rest.len;
		if (rc == 0 && good == 0) {
			found->torn_bytes += bytes.len;
			rc = remove_file(t, AUDIT_BLOCK_FILE, last->first);
			t->next_block = last->first;
		} else if (rc == 0) {
			rc = reopen(t, AUDIT_BLOCK_FILE, last->first, good, &found->torn_bytes);
		}
	}
	if (t->next_block <= anchored)
		t->next_block = anchored + 1;
	buf_finish(&bytes);
	audit_list_finish(&l);
	return rc;
}

int audit_mend(struct audit_trail *t, struct audit_found *found)
{
	uint64_t anchored = 0;
	*found = (struct audit_found){.is_stopped = false};
	int rc = mend_chain(t, found, &anchored);
	return rc != 0 ? rc : mend_blocks(t, found, anchored);
}

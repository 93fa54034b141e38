/* SPDX-License-Identifier: Apache-2.0
 * Deleted blocks and old records are still in a file's free pages. Which blocks are done with tell
 * the cursors, or, without them, the newest block's `head` (wire/block.h); of pending ones likewise
 * the account. Of records the newest counts: whatever they count only grows. Chapters and states
 * are left behind: what is pending is judged anew. */
#include "storage/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "storage/inspect.h"
#include "storage/ledger.h"
#include "storage/rescue.h"
#include "wire/block.h"

enum { GROUP_BYTES = 16 << 20, NAMES_MAX = 64 };

struct found_block {
	uint64_t id, unix_ms, head, at;
	uint32_t bytes, spans, stage;
	bool placed;
};

struct record_found {
	char name[LEDGER_NAME_CAP];
	uint64_t words[JOURNAL_MAX_WORDS];
};

struct salvage {
	const char *path;
	struct found_block *blocks;
	size_t n_blocks, cap_blocks;
	struct record_found record[NAMES_MAX];
	unsigned n_records;
	uint64_t first[STAGES]; /* the oldest block that is not done with */
	uint64_t saved, saved_spans;
};

static int found_block(struct salvage *s, const struct rescued *r)
{
	struct block b;
	if (block_open(&b, r->bytes, r->id) != 0 || b.stage >= STAGES)
		return 0;
	if (s->n_blocks == s->cap_blocks) {
		size_t cap = s->cap_blocks == 0 ? 1024 : s->cap_blocks * 2;
		struct found_block *blocks = realloc(s->blocks, cap * sizeof(*blocks));
		if (blocks == NULL)
			return fail(-ENOMEM, "salvage: no memory for %zu blocks", cap);
		s->blocks = blocks;
		s->cap_blocks = cap;
	}
	s->blocks[s->n_blocks++] = (struct found_block){
	    b.id, b.unix_ms, b.head, r->at, (uint32_t)r->bytes.len, b.n_spans, b.stage, r->placed};
	return 0;
}

static void found_record(struct salvage *s, const char *name, const uint64_t *words)
{
	unsigned i = 0;
	while (i < s->n_records && strcmp(s->record[i].name, name) != 0)
		i++;
	if (i == NAMES_MAX)
		return;
	struct record_found *r = &s->record[i];
	if (i < s->n_records && !record_is_newer(name, words, r->words))
		return;
	snprintf(r->name, sizeof(r->name), "%s", name);
	memcpy(r->words, words, sizeof(r->words));
	s->n_records = i < s->n_records ? s->n_records : i + 1;
}

static unsigned half(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

/* Nodes of a page of `meta` (storage/audit.h says where the shape comes from). A page of something
 * else has none with such a name and checksum. */
static void found_leaf(struct salvage *s, struct slice page)
{
	size_t end = half(page.data + 12);
	for (size_t i = 16; i + 2 <= end && i + 2 <= page.len; i += 2) { /* 16: a page's header */
		size_t at = half(page.data + i);
		if (at + 8 > page.len)
			continue;
		const uint8_t *p = page.data + at;
		size_t len = half(p) | (size_t)half(p + 2) << 16, key_len = half(p + 6);
		char name[LEDGER_NAME_CAP];
		uint64_t words[JOURNAL_MAX_WORDS];
		if (key_len >= sizeof(name) || at + 8 + key_len + len > page.len)
			continue;
		memcpy(name, p + 8, key_len);
		name[key_len] = '\0';
		if (record_is_ours(name) && journal_words(name, slice_of(p + 8 + key_len, len),
							  words, JOURNAL_MAX_WORDS) == 0)
			found_record(s, name, words);
	}
}

static int on_found(void *ctx, const struct rescued *r)
{
	struct salvage *s = ctx;
	if (r->kind == RESCUE_BLOCKS)
		return found_block(s, r);
	found_leaf(s, r->bytes);
	return 0;
}

/* By stage and id; of two with the same id the newer one comes first: the other's commit failed. */
static int by_id(const void *left, const void *right)
{
	const struct found_block *a = left, *b = right;
	if (a->stage != b->stage)
		return a->stage < b->stage ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->unix_ms != b->unix_ms)
		return a->unix_ms > b->unix_ms ? -1 : 1;
	return b->placed - a->placed;
}

static void choose(struct salvage *s)
{
	uint64_t head[STAGES] = {0}, least = UINT64_MAX, pending = 0;
	if (s->n_blocks != 0)
		qsort(s->blocks, s->n_blocks, sizeof(*s->blocks), by_id);
	for (size_t i = s->n_blocks; i-- != 0;) {
		const struct found_block *b = &s->blocks[i];
		if (b->placed && head[b->stage] == 0) /* a client cannot have made it up */
			head[b->stage] = b->head;
	}
	for (unsigned i = 0; i < s->n_records; i++) {
		struct cursor c;
		if (record_cursor(s->record[i].name, s->record[i].words, &c) && c.block_id < least)
			least = c.block_id;
		if (pending < record_first_pending(s->record[i].name, s->record[i].words))
			pending = record_first_pending(s->record[i].name, s->record[i].words);
	}
	s->first[STAGE_KEPT] =
	    least != UINT64_MAX && least > head[STAGE_KEPT] ? least : head[STAGE_KEPT];
	s->first[STAGE_PENDING] = pending > head[STAGE_PENDING] ? pending : head[STAGE_PENDING];
}

static void put_records(struct salvage *s, struct journal_txn *t)
{
	uint64_t newest[STAGES] = {0};
	for (size_t i = 0; i < s->n_blocks; i++)
		newest[s->blocks[i].stage] = s->blocks[i].id;
	for (unsigned i = 0; i < s->n_records; i++) {
		record_catch_up(s->record[i].name, s->record[i].words, newest);
		journal_put_words(t, s->record[i].name, s->record[i].words,
				  record_words(s->record[i].name));
	}
}

/* What the journal's limit leaves, less what the trees may take. */
static uint64_t room_of(const struct journal *j)
{
	MDB_envinfo info;
	if (mdb_env_info(j->env, &info) != 0)
		return 0;
	uint64_t used = (info.me_last_pgno + 1) * j->page_bytes, limit = j->limit_bytes / 50 * 49;
	return limit > used ? limit - used : 0;
}

/* Copies blocks from the i-th on, about a group; gives the next one. */
static int copy_group(struct salvage *s, int fd, struct journal_txn *t, size_t *i)
{
	const struct found_block *last = *i != 0 ? &s->blocks[*i - 1] : NULL;
	uint64_t bytes = 0, room = room_of(t->journal);
	for (; *i < s->n_blocks && bytes < GROUP_BYTES && t->rc == 0; ++*i) {
		const struct found_block *b = &s->blocks[*i];
		enum journal_tree in = (enum journal_tree)b->stage;
		bool again = last != NULL && b->id == last->id && b->stage == last->stage;
		if (b->id < s->first[b->stage] || again)
			continue;
		if (bytes + b->bytes + t->journal->page_bytes > room)
			return bytes == 0 ? JOURNAL_FULL : journal_commit(t);
		uint8_t *to = journal_reserve(t, in, b->id, b->bytes);
		struct block copy;
		if (to == NULL)
			break;
		if (pread(fd, to, b->bytes, (off_t)b->at) != (ssize_t)b->bytes ||
		    block_open(&copy, slice_of(to, b->bytes), b->id) != 0)
			journal_delete_one(t, in, b->id); /* it could be read a moment ago */
		else {
			s->saved++;
			s->saved_spans += b->spans;
		}
		last = b;
		bytes += b->bytes + t->journal->page_bytes;
	}
	return journal_commit(t);
}

/* The records come first and alone: with them the account knows what could not be copied. */
static int copy_all(struct salvage *s, int fd, struct journal *j)
{
	struct journal_txn t;
	size_t i = 0;
	journal_begin(&t, j);
	put_records(s, &t);
	int rc = journal_commit(&t);
	while (rc == 0 && i < s->n_blocks) {
		uint64_t saved = s->saved, spans = s->saved_spans;
		journal_begin(&t, j);
		rc = copy_group(s, fd, &t, &i);
		if (rc != 0) {
			journal_abort(&t);
			s->saved = saved;
			s->saved_spans = spans;
		}
	}
	if (rc != 0 || i < s->n_blocks)
		log_error(
		    "no space for all that could be salvaged, the rest is only in the bad file",
		    "path=%s limit=%" PRIu64 " code=%d", s->path, j->limit_bytes, rc);
	return 0;
}

static int make_new(struct salvage *s, const char *path, uint64_t limit_bytes)
{
	struct journal j = {.may_be_short = true};
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, "salvage: cannot open %s", s->path);
	int rc = journal_open(&j, path, limit_bytes);
	if (rc > 0)
		rc = fail(-EIO, "salvage: a new journal %s cannot be read back", path);
	if (rc == 0) {
		rc = copy_all(s, fd, &j);
		journal_close(&j);
	}
	close(fd);
	return rc;
}

/* The bad file gets its second name first, so there is a journal at all times. */
static int replace(const char *path, const char *with)
{
	char aside[JOURNAL_PATH_MAX + 32];
	int rc = inspect_name_aside(path, aside, sizeof(aside));
	if (rc != 0)
		return rc;
	if (link(path, aside) != 0 && rename(path, aside) != 0)
		return fail(-errno, "salvage: cannot keep the bad %s", path);
	if (rename(with, path) != 0)
		return fail(-errno, "salvage: cannot put the new journal in place of %s", path);
	log_error("file is set aside", "path=%s kept_as=%s", path, aside);
	return journal_sync_dir(path);
}

int salvage_journal(const char *path, uint64_t limit_bytes)
{
	struct salvage *s = calloc(1, sizeof(*s));
	char new[JOURNAL_PATH_MAX + 8], lock[JOURNAL_PATH_MAX + 16];
	if (s == NULL)
		return fail(-ENOMEM, "salvage: no memory");
	s->path = path;
	snprintf(new, sizeof(new), "%s.new", path);
	snprintf(lock, sizeof(lock), "%s-lock", new);
	unlink(new); /* of a salvage that was interrupted */
	unlink(lock);
	int rc = rescue_scan(path, RESCUE_LEAVES, on_found, s);
	if (rc == 0) {
		choose(s);
		rc = make_new(s, new, limit_bytes);
	}
	if (rc == 0)
		rc = replace(path, new);
	unlink(lock);
	if (rc == 0)
		log_error("journal was not usable, a new one holds what was whole in it",
			  "path=%s blocks=%" PRIu64 " spans=%" PRIu64 " records=%u", path, s->saved,
			  s->saved_spans, s->n_records);
	free(s->blocks);
	free(s);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/journal.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/crc32c.h"
#include "base/log.h"

int journal_meaning(int rc)
{
	switch (rc) {
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return JOURNAL_FULL;
	case MDB_NOTFOUND:
		return JOURNAL_NONE;
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_VALSIZE:
		return JOURNAL_BAD;
	default: /* errnos come as they are, LMDB's own codes are below zero */
		return rc > 0 ? -rc : rc;
	}
}

static MDB_val key_of(uint64_t *id)
{
	return (MDB_val){sizeof(*id), id};
}

static MDB_val name_of(const char *name)
{
	union {
		const char *in;
		void *out;
	} unconst = {name}; /* MDB_val is not const, the key is only read */
	return (MDB_val){strlen(name), unconst.out};
}

static void begin(struct journal_txn *t, struct journal *j, unsigned flags)
{
	t->journal = j;
	t->txn = NULL;
	t->rc = j->env != NULL ? mdb_txn_begin(j->env, NULL, flags, &t->txn) : MDB_PANIC;
}

void journal_begin(struct journal_txn *t, struct journal *j)
{
	begin(t, j, 0);
}

void journal_begin_read(struct journal_txn *t, struct journal *j)
{
	begin(t, j, MDB_RDONLY);
}

void journal_abort(struct journal_txn *t)
{
	mdb_txn_abort(t->txn);
	t->txn = NULL;
}

/* A full disk comes as EIO from LMDB 0.9, for it sees a short write and no reason. */
static const char *reason_of(const struct journal *j, int rc)
{
	struct statvfs fs;
	if ((rc == EIO || rc == ENOSPC) && statvfs(j->path, &fs) == 0 &&
	    (uint64_t)fs.f_bavail * fs.f_frsize < 16 << 20)
		return "the disk is full";
	return mdb_strerror(rc);
}

int journal_commit(struct journal_txn *t)
{
	if (t->rc == 0) {
		t->rc = mdb_txn_commit(t->txn);
		t->txn = NULL;
	}
	journal_abort(t);
	if (t->rc == 0)
		return 0;
	if (t->rc == JOURNAL_FULL || t->rc == MDB_MAP_FULL || t->rc == MDB_TXN_FULL)
		return JOURNAL_FULL;
	log_limited(LOG_ERROR, "journal commit failed", "reason=\"%s\" code=%d",
		    reason_of(t->journal, t->rc), t->rc);
	return t->rc > 0 ? -t->rc : t->rc;
}

uint8_t *journal_reserve(struct journal_txn *t, enum journal_tree in, uint64_t id, size_t len)
{
	if (t->rc != 0)
		return NULL;
	MDB_val key = key_of(&id), value = {len, NULL};
	t->rc = mdb_put(t->txn, t->journal->tree[in], &key, &value, MDB_APPEND | MDB_RESERVE);
	return t->rc == 0 ? value.mv_data : NULL;
}

/* Deletes at the end that `op` names, as long as ids are within the bounds. The cursor is placed
 * anew each time: what it does after a delete changed between versions of LMDB. */
static void delete_end(struct journal_txn *t, enum journal_tree in, MDB_cursor_op op, uint64_t low,
		       uint64_t high)
{
	MDB_cursor *cursor = NULL;
	if (t->rc == 0)
		t->rc = mdb_cursor_open(t->txn, t->journal->tree[in], &cursor);
	while (t->rc == 0) {
		MDB_val key, value;
		uint64_t id;
		int rc = mdb_cursor_get(cursor, &key, &value, op);
		if (rc == MDB_NOTFOUND)
			break;
		t->rc = rc;
		if (rc != 0)
			break;
		memcpy(&id, key.mv_data, sizeof(id));
		if (id < low || id > high)
			break;
		t->rc = mdb_cursor_del(cursor, 0);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
}

void journal_delete_through(struct journal_txn *t, enum journal_tree in, uint64_t last_id)
{
	delete_end(t, in, MDB_FIRST, 0, last_id);
}

void journal_delete_from(struct journal_txn *t, enum journal_tree in, uint64_t first_id)
{
	delete_end(t, in, MDB_LAST, first_id, UINT64_MAX);
}

void journal_delete_one(struct journal_txn *t, enum journal_tree in, uint64_t id)
{
	MDB_val key = key_of(&id);
	if (t->rc == 0)
		t->rc = mdb_del(t->txn, t->journal->tree[in], &key, NULL);
}

int journal_next(struct journal_txn *t, enum journal_tree in, uint64_t *id, struct slice *out)
{
	MDB_cursor *cursor = NULL;
	MDB_val key = key_of(id), value = {0};
	MDB_dbi tree = t->journal->tree[in];
	if (t->rc == 0 && tree == 0)
		return JOURNAL_NONE;
	int rc = t->rc != 0 ? t->rc : mdb_cursor_open(t->txn, tree, &cursor);
	if (rc == 0) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		mdb_cursor_close(cursor);
	}
	if (rc != 0)
		return journal_meaning(rc);
	uint64_t found;
	if (key.mv_size != sizeof(found))
		return JOURNAL_BAD;
	memcpy(&found, key.mv_data, sizeof(found));
	if (found < *id)
		return JOURNAL_BAD;
	*id = found;
	*out = slice_of(value.mv_data, value.mv_size);
	return 0;
}

/* Over the name as well: else a record could turn up under another one's. */
static uint32_t words_crc(const char *name, const uint64_t *stored, size_t n)
{
	return crc32c(crc32c(0, name, strlen(name)), stored, n * 8);
}

int journal_words(const char *name, struct slice value, uint64_t *words, size_t n)
{
	uint64_t stored[JOURNAL_MAX_WORDS + 1];
	size_t there = value.len / 8 - 1; /* wraps for none, which is too many */
	if (value.len % 8 != 0 || there > n)
		return JOURNAL_BAD;
	memcpy(stored, value.data, value.len);
	uint64_t crc = le64toh(stored[there]);
	if (crc != words_crc(name, stored, there) && crc != crc32c(0, stored, there * 8))
		return JOURNAL_BAD; /* the second is what an older version wrote */
	for (size_t i = 0; i < n; i++)
		words[i] = i < there ? le64toh(stored[i]) : 0;
	return 0;
}

void journal_put_words(struct journal_txn *t, const char *name, const uint64_t *words, size_t n)
{
	uint64_t stored[JOURNAL_MAX_WORDS + 1];
	assert(n <= JOURNAL_MAX_WORDS);
	for (size_t i = 0; i < n; i++)
		stored[i] = htole64(words[i]);
	stored[n] = htole64(words_crc(name, stored, n));
	MDB_val key = name_of(name), value = {(n + 1) * 8, stored};
	if (t->rc == 0)
		t->rc = mdb_put(t->txn, t->journal->meta, &key, &value, 0);
}

void journal_delete_words(struct journal_txn *t, const char *name)
{
	MDB_val key = name_of(name);
	if (t->rc == 0)
		t->rc = mdb_del(t->txn, t->journal->meta, &key, NULL);
}

int journal_get_words(struct journal_txn *t, const char *name, uint64_t *words, size_t n)
{
	MDB_val key = name_of(name), value;
	int rc = t->rc != 0 ? t->rc : mdb_get(t->txn, t->journal->meta, &key, &value);
	if (rc != 0)
		return journal_meaning(rc);
	return journal_words(name, slice_of(value.mv_data, value.mv_size), words, n);
}

/* The first key that begins with `prefix` and is greater than `name`, which it replaces. */
static int next_key(struct journal_txn *t, MDB_dbi dbi, const char *prefix, char *name, size_t cap,
		    MDB_val *value)
{
	MDB_cursor *cursor = NULL;
	MDB_val key = name_of(*name != '\0' ? name : prefix);
	int rc = t->rc != 0 ? t->rc : mdb_cursor_open(t->txn, dbi, &cursor);
	if (rc == 0) {
		MDB_cursor_op op = key.mv_size != 0 ? MDB_SET_RANGE : MDB_FIRST;
		rc = mdb_cursor_get(cursor, &key, value, op);
		if (rc == 0 && key.mv_size == strlen(name) &&
		    memcmp(key.mv_data, name, key.mv_size) == 0)
			rc = mdb_cursor_get(cursor, &key, value, MDB_NEXT);
		mdb_cursor_close(cursor);
	}
	if (rc != 0)
		return journal_meaning(rc);
	size_t len = strlen(prefix);
	if (key.mv_size < len || memcmp(key.mv_data, prefix, len) != 0)
		return JOURNAL_NONE;
	if (key.mv_size >= cap)
		return JOURNAL_BAD;
	memcpy(name, key.mv_data, key.mv_size);
	name[key.mv_size] = '\0';
	return 0;
}

int journal_next_name(struct journal_txn *t, const char *prefix, char *name, size_t cap)
{
	MDB_val value;
	return next_key(t, t->journal->meta, prefix, name, cap, &value);
}

uint8_t *journal_reserve_state(struct journal_txn *t, const char *name, size_t len)
{
	if (t->rc != 0)
		return NULL;
	MDB_val key = name_of(name), value = {len, NULL};
	t->rc = mdb_put(t->txn, t->journal->states, &key, &value, MDB_RESERVE);
	return t->rc == 0 ? value.mv_data : NULL;
}

void journal_delete_state(struct journal_txn *t, const char *name)
{
	MDB_val key = name_of(name);
	if (t->rc == 0)
		t->rc = mdb_del(t->txn, t->journal->states, &key, NULL);
}

int journal_get_state(struct journal_txn *t, const char *name, struct slice *out)
{
	MDB_val key = name_of(name), value = {0};
	if (t->rc == 0 && t->journal->states == 0)
		return JOURNAL_NONE;
	int rc = t->rc != 0 ? t->rc : mdb_get(t->txn, t->journal->states, &key, &value);
	*out = slice_of(value.mv_data, value.mv_size);
	return rc != 0 ? journal_meaning(rc) : 0;
}

int journal_next_state(struct journal_txn *t, char *name, size_t cap, struct slice *out)
{
	MDB_val value = {0};
	if (t->rc == 0 && t->journal->states == 0)
		return JOURNAL_NONE;
	int rc = next_key(t, t->journal->states, "", name, cap, &value);
	*out = slice_of(value.mv_data, value.mv_size);
	return rc;
}

uint64_t journal_side_pages(struct journal_txn *t)
{
	const MDB_dbi side[] = {t->journal->tree[TREE_CHAPTERS], t->journal->states};
	uint64_t pages = 0;
	for (int i = 0; i < 2 && t->rc == 0; i++) {
		MDB_stat stat = {0};
		t->rc = mdb_stat(t->txn, side[i], &stat);
		pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
	}
	return pages;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/reader.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "storage/internal.h"
#include "storage/sealed.h"

#define CLOSED (1u << 31)

void readers_init(struct readers *rs, struct journal *j)
{
	rs->journal = j;
	atomic_init(&rs->gate, 0);
	for (int i = 0; i < READERS_MAX; i++) {
		rs->reader[i].all = rs;
		rs->reader[i].txn = NULL;
		atomic_init(&rs->reader[i].taken, false);
	}
}

bool readers_shut(struct readers *rs)
{
	if ((atomic_fetch_or(&rs->gate, CLOSED) & ~CLOSED) != 0)
		return false;
	for (int i = 0; i < READERS_MAX; i++) {
		mdb_txn_abort(rs->reader[i].txn);
		rs->reader[i].txn = NULL;
	}
	return true;
}

void readers_open(struct readers *rs)
{
	atomic_fetch_and(&rs->gate, ~CLOSED);
}

static bool enter(struct readers *rs)
{
	unsigned seen = atomic_load(&rs->gate);
	do
		if (seen & CLOSED)
			return false;
	while (!atomic_compare_exchange_weak(&rs->gate, &seen, seen + 1));
	return true;
}

static void leave(struct readers *rs)
{
	atomic_fetch_sub(&rs->gate, 1);
}

int store_reader_open(struct store_reader **out, struct store *s)
{
	for (int i = 0; i < READERS_MAX; i++) {
		bool taken = false;
		*out = &s->readers.reader[i];
		if (atomic_compare_exchange_strong(&(*out)->taken, &taken, true))
			return 0;
	}
	*out = NULL;
	return fail(-EMFILE, "store: more than %d readers", READERS_MAX);
}

void store_reader_close(struct store_reader *r)
{
	if (r != NULL)
		atomic_store(&r->taken, false); /* its transaction waits for the next taker */
}

int store_reader_begin(struct store_reader *r)
{
	if (!enter(r->all))
		return -EAGAIN;
	int rc;
	if (r->txn != NULL)
		rc = mdb_txn_renew(r->txn);
	else
		rc = mdb_txn_begin(r->all->journal->env, NULL, MDB_RDONLY, &r->txn);
	if (rc == 0)
		return 0;
	leave(r->all);
	log_limited(LOG_ERROR, "journal cannot be read", "reason=\"%s\" code=%d", mdb_strerror(rc),
		    rc);
	return rc > 0 ? -rc : rc;
}

static int get(struct store_reader *r, enum journal_tree in, uint64_t id, struct slice *out)
{
	static const char *const WHAT[TREES] = {"block", "pending_block", "chapter"};
	MDB_val key = {sizeof(id), &id}, value;
	int rc = mdb_get(r->txn, r->all->journal->tree[in], &key, &value);
	if (rc == 0)
		*out = slice_of(value.mv_data, value.mv_size);
	else if (rc != MDB_NOTFOUND)
		log_limited(LOG_ERROR, "journal cannot be read", "%s=%llu reason=\"%s\" code=%d",
			    WHAT[in], (unsigned long long)id, mdb_strerror(rc), rc);
	return rc == 0 ? 0 : STORE_GONE;
}

int store_reader_block(struct store_reader *r, uint64_t block_id, struct slice *out)
{
	return get(r, TREE_KEPT, block_id, out);
}

int store_reader_pending(struct store_reader *r, uint64_t block_id, struct slice *out)
{
	return get(r, TREE_PENDING, block_id, out);
}

int store_reader_chapter(struct store_reader *r, uint64_t number, struct slice *out)
{
	struct slice value;
	uint64_t found;
	int rc = get(r, TREE_CHAPTERS, number, &value);
	if (rc == 0 && (sealed_read(value, SEALED_CHAPTER, &found, out) != 0 || found != number)) {
		log_limited(LOG_ERROR, "chapter is damaged", "chapter=%llu",
			    (unsigned long long)number);
		rc = STORE_GONE;
	}
	return rc;
}

void store_reader_end(struct store_reader *r)
{
	mdb_txn_reset(r->txn);
	leave(r->all);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/internal.h"
#include "storage/recover.h"
#include "storage/salvage.h"

enum { RETIRE_AT_ONCE = 64, ROOM_PERCENT = 90, LIMIT_MIN = 16 << 20 };

static void show(const struct store *s)
{
	metric_set(s->metrics, METRIC_JOURNAL_BLOCKS, held_count(&s->held));
	metric_set(s->metrics, METRIC_JOURNAL_LIVE_BYTES, held_bytes(&s->held, s->held.pages));
	metric_set(s->metrics, METRIC_JOURNAL_LIMIT_BYTES, s->journal.limit_bytes);
}

/* The file is looked through before it is mapped. */
static int open_and_recover(struct store *s, const char *path, const struct store_options *o)
{
	struct scan found;
	int rc = scan_journal(&found, path);
	if (rc != 0 && rc != JOURNAL_NONE)
		return rc;
	rc = journal_open(&s->journal, path, o->limit_bytes);
	if (rc == 0) {
		s->held.page_bytes = s->journal.page_bytes;
		rc = recover(&s->journal, o, &found, &s->held, &s->state);
		if (rc != 0) {
			held_finish(&s->held);
			journal_close(&s->journal);
		}
	}
	scan_finish(&found);
	return rc;
}

static int open_or_salvage(struct store *s, const struct store_options *o)
{
	char path[JOURNAL_PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/journal.mdb", o->dir);
	if (len < 0 || (size_t)len >= sizeof(path))
		return fail(-ENAMETOOLONG, "store: folder name too long");
	int rc = open_and_recover(s, path, o);
	if (rc != JOURNAL_BAD)
		return rc;
	s->journal.may_be_short = true;
	rc = salvage_journal(path, o->limit_bytes);
	if (rc == 0)
		rc = open_and_recover(s, path, o);
	return rc > 0 ? fail(-EIO, "store: a new journal in %s cannot be read back", o->dir) : rc;
}

int store_open(struct store **out, const struct store_options *o)
{
	assert(o->n_exporters >= 1 && o->n_exporters <= STORE_MAX_EXPORTERS && o->metrics != NULL);
	if (o->limit_bytes < LIMIT_MIN)
		return fail(-EINVAL, "store: a journal of less than 16 MiB");
	struct store *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail(-ENOMEM, "store: no memory");
	s->metrics = o->metrics;
	int rc = open_or_salvage(s, o);
	if (rc != 0) {
		free(s);
		return rc;
	}
	readers_init(&s->readers, &s->journal);
	show(s);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	struct store_txn t;
	if (s == NULL)
		return;
	s->state.clean = true;
	s->progressed = true;
	store_begin(&t, s, clock_wall_ms());
	store_commit(&t, NULL, NULL); /* a failure is logged; the next start corrects what it can */
	bool nobody_reads = readers_shut(&s->readers);
	assert(nobody_reads);
	journal_close(&s->journal);
	held_finish(&s->held);
	free(s->spare);
	free(s);
}

void store_each_block(const struct store *s, void (*on_block)(void *ctx, struct store_block b),
		      void *ctx)
{
	for (size_t i = 0; i < held_count(&s->held); i++)
		on_block(ctx, held_at(&s->held, i));
}

bool store_has_room(const struct store *s, uint64_t bytes)
{
	uint64_t pages = bytes / s->held.page_bytes + 2; /* a header, and the last page's rest */
	return held_bytes(&s->held, s->held.pages + pages) <=
	       s->journal.limit_bytes / 100 * ROOM_PERCENT;
}

void store_begin(struct store_txn *t, struct store *s, uint64_t now_unix_ms)
{
	assert(s->under_way == NULL);
	memset(t, 0, sizeof(*t));
	t->store = s;
	t->now_unix_ms = now_unix_ms;
	t->batches = s->spare;
	t->cap_batches = s->n_spare;
	s->under_way = t;
}

static void push_batch(struct store_txn *t, struct store_batch b)
{
	if (t->n_batches == t->cap_batches) {
		size_t cap = t->cap_batches == 0 ? 256 : t->cap_batches * 2;
		struct store_batch *batches = realloc(t->batches, cap * sizeof(*batches));
		if (batches == NULL) {
			t->failed = fail(-ENOMEM, "store: no memory for %zu requests", cap);
			return;
		}
		t->batches = t->store->spare = batches;
		t->cap_batches = t->store->n_spare = cap;
	}
	t->batches[t->n_batches++] = b;
	t->bytes += b.payload.len;
}

void store_append(struct store_txn *t, struct slice payload, uint32_t spans, uint32_t rejected)
{
	assert(payload.len != 0 || spans == 0);
	if (t->failed != 0)
		return;
	t->received += (uint64_t)spans + rejected;
	t->rejected += rejected;
	if (payload.len > BLOCK_MAX_PAYLOAD)
		t->failed = fail(-EMSGSIZE, "store: a request of %zu bytes", payload.len);
	else if (spans != 0)
		push_batch(t, (struct store_batch){payload, spans});
}

/* How many of the batches from `from` on go into one block, and the block's size. */
static size_t pack(const struct store_txn *t, size_t from, size_t *block_len)
{
	size_t n = 0, len = BLOCK_HEADER;
	for (; from + n < t->n_batches; n++) {
		size_t size = record_size((uint32_t)t->batches[from + n].payload.len);
		if (n != 0 && len + size > BLOCK_TARGET)
			break;
		len += size;
	}
	*block_len = len;
	return n;
}

static void fill_block(uint8_t *at, size_t len, const struct store_batch *batches, struct block *b)
{
	uint32_t end = BLOCK_HEADER;
	for (uint32_t i = 0; i < b->n_records; i++) {
		end += record_write(at + end, b->first_seq + i, batches[i].payload);
		b->n_spans += batches[i].spans;
	}
	assert(end == len);
	b->records = slice_of(at + BLOCK_HEADER, len - BLOCK_HEADER);
	block_seal(at, b);
}

/* From the batches straight into LMDB's pages. */
static void write_blocks(const struct store_txn *t, struct journal_txn *jt, struct state *next,
			 size_t n_retired, uint64_t retired_pages)
{
	struct held *held = &t->store->held;
	uint64_t head =
	    n_retired < held_count(held) ? held_at(held, n_retired).id : next->next_block;
	for (size_t i = 0, n; i < t->n_batches && jt->rc == 0; i += n) {
		size_t len;
		n = pack(t, i, &len);
		struct block b = {.id = next->next_block++,
				  .unix_ms = t->now_unix_ms,
				  .first_seq = next->next_seq,
				  .head = head,
				  .n_records = (uint32_t)n};
		uint8_t *at = journal_reserve(jt, b.id, len);
		if (at == NULL)
			return;
		fill_block(at, len, t->batches + i, &b);
		next->next_seq += n;
		if (held_add(held,
			     (struct store_block){b.id, b.unix_ms, b.n_spans, (uint32_t)len}) != 0)
			jt->rc = ENOMEM;
		else if (held_bytes(held, held->pages - retired_pages) >
			 t->store->journal.limit_bytes)
			jt->rc = JOURNAL_FULL;
	}
}

static bool is_past(const struct ledger *l, struct store_block b)
{
	for (unsigned i = 0; i < l->n_exporters; i++) {
		struct cursor c = l->exporter[i].cursor[PLACE_JOURNAL];
		if (c.block_id < b.id || (c.block_id == b.id && c.offset < b.bytes - BLOCK_HEADER))
			return false;
	}
	return true;
}

/* The head blocks that go with this commit: every cursor is past them, and becomes durable with it.
 */
static size_t retirable(const struct store *s, uint64_t *pages)
{
	size_t n = 0;
	*pages = 0;
	while (n < RETIRE_AT_ONCE && n < held_count(&s->held) &&
	       is_past(&s->state.ledger, held_at(&s->held, n)))
		*pages += held_pages(&s->held, held_at(&s->held, n++));
	return n;
}

/* LMDB is in panic after a failed write of a meta page: whether that transaction is on disk shows
 * only when the file is opened again. */
static int reopen(struct store *s)
{
	if (!readers_shut(&s->readers))
		return -EAGAIN;
	journal_close(&s->journal);
	int rc = journal_reopen(&s->journal);
	if (rc > 0)
		rc = fail(-EIO, "store: the journal is not readable any more");
	if (rc != 0)
		return rc;
	readers_open(&s->readers);
	log_warn("journal opened anew after a failed write", "path=%s", s->journal.path);
	return 0;
}

/* What `t` adds is in RAM (`next`, the end of `held`) before it is on disk; the caller takes it
 * back on failure. Blocks at the end that nobody was told of come from a commit that failed and yet
 * got through. */
static int write_all(const struct store_txn *t, struct state *next, size_t n_retired,
		     uint64_t retired_pages)
{
	struct store *s = t->store;
	struct journal_txn jt;
	journal_begin(&jt, &s->journal);
	if (jt.rc == MDB_PANIC && reopen(s) == 0)
		journal_begin(&jt, &s->journal);
	journal_delete_from(&jt, next->next_block);
	if (n_retired != 0)
		journal_delete_through(&jt, held_at(&s->held, n_retired - 1).id);
	write_blocks(t, &jt, next, n_retired, retired_pages);
	state_put(next, &jt);
	return journal_commit(&jt);
}

static void committed(struct store_txn *t, const struct state *next, size_t n_retired,
		      size_t n_before, void (*on_block)(void *ctx, struct store_block b), void *ctx)
{
	struct store *s = t->store;
	uint64_t bytes = 0;
	s->state = *next;
	s->progressed = false;
	for (size_t i = n_before; i < held_count(&s->held); i++) {
		bytes += held_at(&s->held, i).bytes;
		if (on_block != NULL)
			on_block(ctx, held_at(&s->held, i));
	}
	held_drop(&s->held, n_retired);
	metric_add(s->metrics, METRIC_COMMITS, 1);
	metric_add(s->metrics, METRIC_COMMITTED_BYTES, bytes);
	show(s);
}

int store_commit(struct store_txn *t, void (*on_block)(void *ctx, struct store_block b), void *ctx)
{
	struct store *s = t->store;
	uint64_t start = clock_ns(CLOCK_MONOTONIC), retired_pages;
	size_t n_before = held_count(&s->held), n_retired = retirable(s, &retired_pages);
	s->under_way = NULL;
	if (t->failed != 0)
		return t->failed;
	if (t->received == 0 && !s->progressed && n_retired == 0)
		return 0;
	struct state next = s->state;
	ledger_enter(&next.ledger, t->received, t->rejected);
	int rc = write_all(t, &next, n_retired, retired_pages);
	if (rc == 0) {
		histogram_observe(&s->metrics->commit, (clock_ns(CLOCK_MONOTONIC) - start) / 1000);
		committed(t, &next, n_retired, n_before, on_block, ctx);
		return 0;
	}
	held_cut(&s->held, n_before);
	metric_add(s->metrics, METRIC_COMMIT_ERRORS, 1);
	return rc == JOURNAL_FULL ? STORE_FULL : rc;
}

void store_progress(struct store *s, unsigned exporter, const struct progress *p)
{
	assert(exporter < s->state.ledger.n_exporters);
	ledger_apply(&s->state.ledger.exporter[exporter], p);
	s->progressed = true;
}

bool store_is_dirty(const struct store *s)
{
	return s->progressed ||
	       (held_count(&s->held) != 0 && is_past(&s->state.ledger, held_at(&s->held, 0)));
}

void store_touch(struct store *s)
{
	s->progressed = true;
}

void store_ledger(const struct store *s, struct ledger *out)
{
	*out = s->state.ledger;
}

void store_found(struct store *s, unsigned exporter, enum place box, uint64_t first, uint64_t end)
{
	struct ledger_exporter *e = &s->state.ledger.exporter[exporter];
	uint64_t spans = end - first;
	assert(exporter < s->state.ledger.n_exporters && box != PLACE_JOURNAL && first <= end);
	s->progressed |= e->cursor[box].block_id != first || e->kept[box] > end;
	e->cursor[box].block_id = first;
	bool is_new = e->kept[box] == LEDGER_KEEP_ALL;
	if (e->kept[box] > end)
		e->kept[box] = end;
	if (spans == e->held[box])
		return;
	if (is_new && e->held[box] == 0)
		log_warn("box held spans that the account did not know, they are kept",
			 "exporter=%s box=%s spans=%llu", e->name, PLACE_NAMES[box],
			 (unsigned long long)spans);
	else
		log_error("account and box differ, the box is believed",
			  "exporter=%s box=%s account_spans=%llu box_spans=%llu", e->name,
			  PLACE_NAMES[box], (unsigned long long)e->held[box],
			  (unsigned long long)spans);
	if (spans < e->held[box])
		e->dropped[DROP_DAMAGED] += e->held[box] - spans;
	else
		e->entered += spans - e->held[box];
	e->held[box] = spans;
	s->progressed = true;
}

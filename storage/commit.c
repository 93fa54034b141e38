/* SPDX-License-Identifier: Apache-2.0
 * A commit: requests become blocks, a ruling moves some of them on, and what is done with leaves.
 *
 * A failed commit may have got through to the disk all the same, when it was the last write that
 * failed. The one after it takes back what it added, and what it deleted must not have mattered: of
 * kept blocks that is so because progress is never taken back; pending blocks and chapters leave
 * only with a commit after the ruling that gave them up. */
#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/internal.h"
#include "storage/sealed.h"
#include "storage/states.h"

/* Of each tree. More deletes in one transaction cost pages, for each changes others as well. */
enum { RETIRE_AT_ONCE = 64 };

/* What one commit makes of the store, until it is on disk. */
struct work {
	const struct store_txn *txn;
	struct store *store;
	struct state next;
	size_t n_before[STAGES], n_gone[STAGES]; /* blocks held before; head blocks that go */
	uint64_t head[STAGES];                   /* for the blocks' headers */
	uint64_t gone_pages, side_pages;
	uint64_t chapters_through; /* chapters up to it go */
};

/* ---- what leaves ---- */

static bool is_past(const struct ledger *l, struct store_block b)
{
	for (unsigned i = 0; i < l->n_exporters; i++) {
		struct cursor c = l->exporter[i].cursor[PLACE_JOURNAL];
		if (c.block_id < b.id || (c.block_id == b.id && c.offset < b.bytes - BLOCK_HEADER))
			return false;
	}
	return true;
}

/* Every cursor is past it, and becomes durable with this commit; or a ruling is, that is durable.
 */
static bool is_done_with(const struct store *s, enum block_stage stage, struct store_block b)
{
	return stage == STAGE_KEPT ? is_past(&s->state.ledger, b)
				   : b.id < s->state.first[TREE_PENDING];
}

static size_t count_gone(const struct store *s, enum block_stage stage, uint64_t *pages)
{
	const struct held *held = &s->held[stage];
	size_t n = 0;
	while (n < RETIRE_AT_ONCE && n < held_count(held) &&
	       is_done_with(s, stage, held_at(held, n)))
		*pages += held_pages(held, held_at(held, n++));
	return n;
}

static uint64_t chapters_gone(const struct store *s)
{
	uint64_t through = s->state.first[TREE_CHAPTERS] - 1;
	return through > s->chapters_deleted + RETIRE_AT_ONCE ? s->chapters_deleted + RETIRE_AT_ONCE
							      : through;
}

bool store_is_dirty(const struct store *s)
{
	bool dirty = s->progressed || chapters_gone(s) > s->chapters_deleted;
	for (int i = 0; i < STAGES; i++)
		dirty |= held_count(&s->held[i]) != 0 &&
			 is_done_with(s, (enum block_stage)i, held_at(&s->held[i], 0));
	return dirty;
}

/* ---- what comes ---- */

/* How many of the requests from `from` on go into one block, and the block's size. */
static size_t pack(const struct store_kept *requests, size_t n_requests, size_t from,
		   size_t *block_len)
{
	size_t n = 0, len = BLOCK_HEADER;
	for (; from + n < n_requests; n++) {
		size_t size = record_size((uint32_t)requests[from + n].request.len);
		if (n != 0 && len + size > BLOCK_TARGET)
			break;
		len += size;
	}
	*block_len = len;
	return n;
}

static void fill_block(uint8_t *at, size_t len, const struct store_kept *requests, struct block *b)
{
	uint32_t end = BLOCK_HEADER;
	for (uint32_t i = 0; i < b->n_records; i++) {
		end += record_write(at + end, b->first_seq + i, requests[i].request);
		b->n_spans += requests[i].spans;
	}
	assert(end == len);
	b->records = slice_of(at + BLOCK_HEADER, len - BLOCK_HEADER);
	block_seal(at, b);
}

static bool is_over(const struct work *w)
{
	const struct store *s = w->store;
	uint64_t pages = s->held[STAGE_KEPT].pages + s->held[STAGE_PENDING].pages + w->side_pages -
			 w->gone_pages;
	return held_bytes(&s->held[STAGE_KEPT], pages) > s->journal.limit_bytes;
}

/* From the requests straight into LMDB's pages. */
static void write_blocks(struct work *w, struct journal_txn *jt, enum block_stage stage,
			 const struct store_kept *requests, size_t n_requests)
{
	for (size_t i = 0, n; i < n_requests && jt->rc == 0; i += n) {
		size_t len;
		n = pack(requests, n_requests, i, &len);
		struct block b = {.id = w->next.next[stage]++,
				  .unix_ms = w->txn->now_unix_ms,
				  .first_seq = w->next.next_seq,
				  .head = w->head[stage],
				  .n_records = (uint32_t)n,
				  .stage = stage};
		uint8_t *at = journal_reserve(jt, (enum journal_tree)stage, b.id, len);
		if (at == NULL)
			return;
		fill_block(at, len, requests + i, &b);
		w->next.next_seq += n;
		if (held_add(&w->store->held[stage],
			     (struct store_block){b.id, b.unix_ms, b.n_spans, (uint32_t)len}) != 0)
			jt->rc = ENOMEM;
		else if (is_over(w))
			jt->rc = JOURNAL_FULL;
	}
}

static void write_chapter(struct work *w, struct journal_txn *jt, struct slice chapter)
{
	if (chapter.len == 0)
		return;
	uint64_t number = w->next.next[TREE_CHAPTERS]++;
	uint8_t *at = journal_reserve(jt, TREE_CHAPTERS, number, SEALED_HEADER + chapter.len);
	if (at != NULL)
		sealed_write(at, SEALED_CHAPTER, number, chapter);
}

static void write_ruling(struct work *w, struct journal_txn *jt)
{
	const struct store_ruling *r = w->txn->ruling;
	uint64_t durable = w->store->state.rulings;
	states_delete_after(jt, durable);
	write_chapter(w, jt, r->chapter);
	for (int i = 0; i < STORE_STATES; i++)
		if (r->states[i].bytes.len != 0)
			states_put(jt, r->states[i].name, durable + 1, durable, r->states[i].bytes);
}

/* ---- a commit ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void prepare(struct work *w, const struct store_txn *t)
{
	struct store *s = t->store;
	const struct store_ruling *r = t->ruling;
	uint64_t *first = w->next.first;
	w->txn = t;
	w->store = s;
	w->next = s->state;
	w->gone_pages = 0;
	w->side_pages = s->side_pages;
	for (int i = 0; i < STAGES; i++) {
		w->n_before[i] = held_count(&s->held[i]);
		w->n_gone[i] = count_gone(s, (enum block_stage)i, &w->gone_pages);
	}
	w->chapters_through = chapters_gone(s);
	ledger_receive(&w->next.ledger, t->received, t->rejected, s->judged);
	if (r != NULL) {
		ledger_rule(&w->next.ledger, r->spans);
		w->next.position = r->position;
		w->next.rulings++;
		first[TREE_PENDING] = later(first[TREE_PENDING], r->first_pending);
		first[TREE_CHAPTERS] = later(first[TREE_CHAPTERS], r->first_chapter);
	}
	w->head[STAGE_KEPT] = w->n_gone[STAGE_KEPT] < w->n_before[STAGE_KEPT]
				  ? held_at(&s->held[STAGE_KEPT], w->n_gone[STAGE_KEPT]).id
				  : s->state.next[TREE_KEPT];
	w->head[STAGE_PENDING] = first[TREE_PENDING];
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

/* What the transaction adds is in RAM (`next`, the ends of `held`) before it is on disk; the caller
 * takes it back on failure. What is at the ends of the trees and nobody was told of comes from a
 * commit that failed and yet got through. */
static int write_all(struct work *w)
{
	struct store *s = w->store;
	const struct store_txn *t = w->txn;
	struct journal_txn jt;
	journal_begin(&jt, &s->journal);
	if (jt.rc == MDB_PANIC && reopen(s) == 0)
		journal_begin(&jt, &s->journal);
	for (int i = 0; i < TREES; i++)
		journal_delete_from(&jt, (enum journal_tree)i, s->state.next[i]);
	for (int i = 0; i < STAGES; i++)
		if (w->n_gone[i] != 0)
			journal_delete_through(&jt, (enum journal_tree)i,
					       held_at(&s->held[i], w->n_gone[i] - 1).id);
	if (w->chapters_through > s->chapters_deleted)
		journal_delete_through(&jt, TREE_CHAPTERS, w->chapters_through);
	if (t->ruling != NULL)
		write_ruling(w, &jt);
	w->side_pages = journal_side_pages(&jt);
	if (t->ruling != NULL)
		write_blocks(w, &jt, STAGE_KEPT, t->ruling->kept, t->ruling->n_kept);
	write_blocks(w, &jt, s->judged ? STAGE_PENDING : STAGE_KEPT, t->batches, t->n_batches);
	state_put(&w->next, &jt);
	return journal_commit(&jt);
}

static void tell_pending(const struct work *w, const struct store_told *told)
{
	const struct held *held = &w->store->held[STAGE_PENDING];
	size_t batch = 0, n, len;
	for (size_t i = w->n_before[STAGE_PENDING]; i < held_count(held); i++, batch += n) {
		n = pack(w->txn->batches, w->txn->n_batches, batch, &len);
		told->on_pending(told->ctx, held_at(held, i), batch, n);
	}
}

static void tell(const struct work *w, const struct store_told *told)
{
	const struct held *held = &w->store->held[STAGE_KEPT];
	for (size_t i = w->n_before[STAGE_KEPT]; told->on_block != NULL && i < held_count(held);
	     i++)
		told->on_block(told->ctx, held_at(held, i));
	if (told->on_pending != NULL)
		tell_pending(w, told);
}

static void committed(const struct work *w, const struct store_told *told)
{
	struct store *s = w->store;
	uint64_t bytes = 0;
	s->state = w->next;
	s->progressed = false;
	s->side_pages = w->side_pages;
	s->chapters_deleted = later(s->chapters_deleted, w->chapters_through);
	if (told != NULL)
		tell(w, told);
	for (int stage = 0; stage < STAGES; stage++) {
		struct held *held = &s->held[stage];
		for (size_t i = w->n_before[stage]; i < held_count(held); i++)
			bytes += held_at(held, i).bytes;
		held_drop(held, w->n_gone[stage]);
	}
	metric_add(s->metrics, METRIC_COMMITS, 1);
	metric_add(s->metrics, METRIC_COMMITTED_BYTES, bytes);
	store_show(s);
}

int store_commit(struct store_txn *t, const struct store_told *told)
{
	struct store *s = t->store;
	struct work w;
	uint64_t start = clock_ns(CLOCK_MONOTONIC);
	s->under_way = NULL;
	if (t->failed != 0)
		return t->failed;
	if (t->received == 0 && t->ruling == NULL && !store_is_dirty(s))
		return 0;
	prepare(&w, t);
	int rc = write_all(&w);
	if (rc == 0) {
		histogram_observe(&s->metrics->commit, (clock_ns(CLOCK_MONOTONIC) - start) / 1000);
		committed(&w, told);
		return 0;
	}
	for (int i = 0; i < STAGES; i++)
		held_cut(&s->held[i], w.n_before[i]);
	metric_add(s->metrics, METRIC_COMMIT_ERRORS, 1);
	return rc == JOURNAL_FULL ? STORE_FULL : rc;
}

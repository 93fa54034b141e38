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

enum { ROOM_PERCENT = 90, LIMIT_MIN = 16 << 20 };

uint64_t store_cost(const struct store *s, uint64_t pages)
{
	const struct held *kept = &s->held[STAGE_KEPT], *pending = &s->held[STAGE_PENDING];
	return held_bytes(kept, kept->pages + pending->pages + s->side_pages + pages);
}

void store_show(const struct store *s)
{
	metric_set(s->metrics, METRIC_JOURNAL_BLOCKS,
		   held_count(&s->held[STAGE_KEPT]) + held_count(&s->held[STAGE_PENDING]));
	metric_set(s->metrics, METRIC_JOURNAL_LIVE_BYTES, store_cost(s, 0));
	metric_set(s->metrics, METRIC_JOURNAL_LIMIT_BYTES, s->journal.limit_bytes);
}

static int count_side(struct store *s)
{
	struct journal_txn t;
	journal_begin_read(&t, &s->journal);
	s->side_pages = journal_side_pages(&t);
	journal_abort(&t);
	return t.rc == 0 ? 0 : fail(-EIO, "journal: cannot read %s", s->journal.path);
}

static void forget(struct store *s)
{
	journal_close(&s->journal);
	for (int i = 0; i < STAGES; i++)
		held_finish(&s->held[i]);
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
		for (int i = 0; i < STAGES; i++)
			s->held[i].page_bytes = s->journal.page_bytes;
		rc = recover(&s->journal, o, &found, s->held, &s->state);
		s->chapters_deleted = found.first_chapter != 0 ? found.first_chapter - 1
							       : s->state.next[TREE_CHAPTERS] - 1;
		if (rc == 0)
			rc = count_side(s);
		if (rc != 0)
			forget(s);
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
	s->judged = o->judged;
	int rc = open_or_salvage(s, o);
	if (rc != 0) {
		free(s);
		return rc;
	}
	readers_init(&s->readers, &s->journal);
	store_show(s);
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
	store_commit(&t, NULL); /* a failure is logged; the next start corrects what it can */
	bool nobody_reads = readers_shut(&s->readers);
	assert(nobody_reads);
	forget(s);
	free(s->spare);
	free(s);
}

void store_each_block(const struct store *s, void (*on_block)(void *ctx, struct store_block b),
		      void *ctx)
{
	for (size_t i = 0; i < held_count(&s->held[STAGE_KEPT]); i++)
		on_block(ctx, held_at(&s->held[STAGE_KEPT], i));
}

void store_each_pending(const struct store *s, void (*on_block)(void *ctx, struct store_block b),
			void *ctx)
{
	const struct held *held = &s->held[STAGE_PENDING];
	for (size_t i = 0; i < held_count(held); i++)
		if (held_at(held, i).id >= s->state.first[TREE_PENDING])
			on_block(ctx, held_at(held, i));
}

bool store_has_room(const struct store *s, uint64_t bytes)
{
	uint64_t pages = bytes / s->journal.page_bytes + 2; /* a header, and the last page's rest */
	return store_cost(s, pages) <= s->journal.limit_bytes / 100 * ROOM_PERCENT;
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

static void push_batch(struct store_txn *t, struct store_kept b)
{
	if (t->n_batches == t->cap_batches) {
		size_t cap = t->cap_batches == 0 ? 256 : t->cap_batches * 2;
		struct store_kept *batches = realloc(t->batches, cap * sizeof(*batches));
		if (batches == NULL) {
			t->failed = fail(-ENOMEM, "store: no memory for %zu requests", cap);
			return;
		}
		t->batches = t->store->spare = batches;
		t->cap_batches = t->store->n_spare = cap;
	}
	t->batches[t->n_batches++] = b;
	t->bytes += b.request.len;
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
		push_batch(t, (struct store_kept){payload, spans});
}

void store_rule(struct store_txn *t, const struct store_ruling *r)
{
	const struct state *st = &t->store->state;
	uint64_t spans = 0;
	assert(t->ruling == NULL && r->position < st->next[TREE_PENDING]);
	assert(r->first_pending <= st->next[TREE_PENDING]);
	assert(r->first_chapter <= st->next[TREE_CHAPTERS]);
	for (size_t i = 0; i < r->n_kept; i++) {
		assert(r->kept[i].request.len != 0 && r->kept[i].spans != 0);
		spans += r->kept[i].spans;
		if (r->kept[i].request.len > BLOCK_MAX_PAYLOAD && t->failed == 0)
			t->failed = fail(-EMSGSIZE, "store: a request of %zu bytes",
					 r->kept[i].request.len);
	}
	assert(spans == r->spans[0]);
	t->ruling = r;
}

void store_progress(struct store *s, unsigned exporter, const struct progress *p)
{
	assert(exporter < s->state.ledger.n_exporters);
	ledger_apply(&s->state.ledger.exporter[exporter], p);
	s->progressed = true;
}

void store_touch(struct store *s)
{
	s->progressed = true;
}

void store_ledger(const struct store *s, struct ledger *out)
{
	*out = s->state.ledger;
}

void store_found(struct store *s, unsigned exporter, enum span_place box, uint64_t first,
		 uint64_t end)
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

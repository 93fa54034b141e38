/* SPDX-License-Identifier: Apache-2.0
 * The blocks have checksums and the account has one more; LMDB's tree has none. So the blocks are
 * believed first: what the account says beyond them was lost, and is said and counted. */
#include "storage/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* What is known of the journal so far. */
struct sum {
	struct held *held; /* by stage */
	struct state *st;
	uint64_t spans[STAGES], bytes, bad_blocks;
	uint64_t after[STORE_MAX_EXPORTERS]; /* spans behind each one's cursor */
};

/* A cursor that points at no record cannot be trusted: the block is sent again, once too often
 * rather than never. */
static uint32_t spans_before(struct cursor *c, uint32_t found)
{
	if (found != CURSOR_ASTRAY)
		return found;
	log_error("cursor points at no record, its block is sent again",
		  "block=%llu offset=%u span=%u", (unsigned long long)c->block_id, c->offset,
		  c->span);
	c->offset = c->span = 0;
	return 0;
}

static int take_block(struct sum *sc, const struct scan *found, const struct store_block *b)
{
	struct ledger *l = &sc->st->ledger;
	sc->spans[STAGE_KEPT] += b->spans;
	for (unsigned i = 0; i < l->n_exporters + l->n_removed; i++) {
		struct cursor *c = &l->exporter[i].cursor[PLACE_JOURNAL];
		if (c->block_id < b->id)
			sc->after[i] += b->spans;
		else if (c->block_id == b->id)
			sc->after[i] += b->spans - spans_before(c, found->before[i]);
	}
	return held_add(&sc->held[STAGE_KEPT], *b);
}

/* Those that are done with and wait to be deleted too: where it matters how many spans there are,
 * there are no such. */
static int take_pending(struct sum *sc, const struct store_block *b)
{
	sc->spans[STAGE_PENDING] += b->spans;
	return held_add(&sc->held[STAGE_PENDING], *b);
}

static int take_blocks(struct sum *sc, const struct scan *found, enum block_stage stage)
{
	int rc = 0;
	for (size_t i = 0; i < found->n_blocks[stage] && rc == 0; i++) {
		const struct store_block *b = &found->blocks[stage][i];
		if (sc->st->next[stage] <= b->id)
			sc->st->next[stage] = b->id + 1;
		sc->bytes += b->bytes;
		sc->bad_blocks += b->bytes == 0;
		if (b->bytes != 0)
			rc = stage == STAGE_KEPT ? take_block(sc, found, b) : take_pending(sc, b);
	}
	return rc;
}

/* What is undecided the blocks say where the record does not. The decisions go with it: a span is
 * judged anew or not at all. */
static int take_all(struct sum *sc, const struct scan *found)
{
	struct state *st = sc->st;
	int rc = take_blocks(sc, found, STAGE_KEPT);
	if (rc == 0)
		rc = take_blocks(sc, found, STAGE_PENDING);
	if (st->next_seq < found->next_seq)
		st->next_seq = found->next_seq;
	if (st->next[TREE_CHAPTERS] <= found->last_chapter)
		st->next[TREE_CHAPTERS] = found->last_chapter + 1;
	if (st->recount) {
		ledger_recount(&st->ledger, sc->spans[STAGE_PENDING]);
		st->first[TREE_CHAPTERS] = st->next[TREE_CHAPTERS];
		st->recount = false;
	}
	return rc;
}

/* entered - settled is what the account thinks is left, what it counts in the boxes among it. */
static void reconcile(struct ledger_exporter *e, uint64_t held_spans)
{
	uint64_t elsewhere = ledger_settled(e) + e->held[PLACE_OUTBOX] + e->held[PLACE_QUARANTINE];
	e->held[PLACE_JOURNAL] = held_spans;
	if (e->entered == elsewhere + held_spans)
		return;
	log_error("account and blocks differ, the blocks are believed",
		  "exporter=%s account_spans=%lld block_spans=%llu", e->name,
		  (long long)(e->entered - elsewhere), (unsigned long long)held_spans);
	ledger_keep_boxes(e); /* they may have what is missing here */
	if (e->entered > elsewhere + held_spans)
		e->dropped[DROP_DAMAGED] += e->entered - elsewhere - held_spans;
	else
		e->entered = elsewhere + held_spans;
}

/* Those that are configured, in their order. A new one enters all that is held, one that comes back
 * what is held behind its cursor. */
static void keep_configured(struct sum *sc, const struct ledger *old, const struct store_options *o)
{
	struct ledger *l = &sc->st->ledger;
	for (unsigned i = 0; i < o->n_exporters; i++) {
		struct ledger_exporter *e = &l->exporter[l->n_exporters++];
		int was = ledger_find(old, o->exporters[i]);
		memset(e, 0, sizeof(*e));
		snprintf(e->name, sizeof(e->name), "%s", o->exporters[i]);
		e->held[PLACE_JOURNAL] = sc->spans[STAGE_KEPT];
		if (was >= 0)
			*e = old->exporter[was];
		if (was >= 0 && (unsigned)was < old->n_exporters)
			continue;
		ledger_keep_boxes(e); /* what they hold may long have left the journal */
		e->entered += e->held[PLACE_JOURNAL];
		log_info("exporter begins", "exporter=%s spans=%" PRIu64, e->name,
			 e->held[PLACE_JOURNAL]);
	}
}

static void give_up_others(struct sum *sc, const struct ledger *old)
{
	struct ledger *l = &sc->st->ledger;
	for (unsigned i = 0; i < old->n_exporters + old->n_removed; i++) {
		struct ledger_exporter e = old->exporter[i];
		if (ledger_find(l, e.name) >= 0)
			continue;
		if (i < old->n_exporters) {
			uint64_t spans = 0;
			for (int k = 0; k < PLACES; k++)
				spans += e.held[k];
			e.dropped[DROP_EXPORTER_REMOVED] += spans;
			log_warn("exporter is configured no more",
				 "exporter=%s dropped_spans=%" PRIu64, e.name, spans);
		}
		memset(e.held, 0, sizeof(e.held));
		if (l->n_exporters + l->n_removed < STORE_MAX_EXPORTERS)
			l->exporter[l->n_exporters + l->n_removed++] = e;
	}
}

static void configure(struct sum *sc, const struct store_options *o)
{
	struct ledger old = sc->st->ledger;
	for (unsigned i = 0; i < old.n_exporters + old.n_removed; i++) {
		if (i < old.n_exporters)
			reconcile(&old.exporter[i], sc->after[i]);
		old.exporter[i].held[PLACE_JOURNAL] = sc->after[i];
	}
	sc->st->ledger.n_exporters = sc->st->ledger.n_removed = 0;
	keep_configured(sc, &old, o);
	give_up_others(sc, &old);
}

/* An id may not be given twice, also when the record that counts them was lost. */
static void never_go_back(struct state *st)
{
	uint64_t *next = &st->next[TREE_KEPT];
	for (unsigned i = 0; i < st->ledger.n_exporters + st->ledger.n_removed; i++)
		if (*next < st->ledger.exporter[i].cursor[PLACE_JOURNAL].block_id)
			*next = st->ledger.exporter[i].cursor[PLACE_JOURNAL].block_id;
}

static void delete_bad_blocks(struct journal_txn *t, const struct scan *found)
{
	for (int stage = 0; stage < STAGES; stage++)
		for (size_t i = 0; i < found->n_blocks[stage]; i++)
			if (found->blocks[stage][i].bytes == 0)
				journal_delete_one(t, (enum journal_tree)stage,
						   found->blocks[stage][i].id);
}

static void delete_forgotten(struct journal_txn *t, const struct ledger *l)
{
	char name[LEDGER_NAME_CAP] = "";
	while (journal_next_name(t, LEDGER_PREFIX, name, sizeof(name)) == 0)
		if (ledger_find(l, name + strlen(LEDGER_PREFIX)) < 0)
			journal_delete_words(t, name);
}

int recover(struct journal *j, const struct store_options *o, const struct scan *found,
	    struct held held[STAGES], struct state *st)
{
	struct sum sc = {.held = held, .st = st};
	struct journal_txn t;
	journal_begin_read(&t, j);
	int rc = state_load(st, &t);
	if (rc == 0)
		rc = take_all(&sc, found);
	journal_abort(&t);
	if (rc < 0)
		return fail(rc, "journal: cannot read %s", j->path);
	if (rc != 0)
		return rc;
	never_go_back(st);
	configure(&sc, o);
	log_info("journal opened",
		 "path=%s blocks=%zu spans=%" PRIu64 " pending_blocks=%zu bytes=%" PRIu64
		 " bad_blocks=%" PRIu64 " clean=%d ms=%" PRIu64,
		 j->path, held_count(&held[STAGE_KEPT]), sc.spans[STAGE_KEPT],
		 held_count(&held[STAGE_PENDING]), sc.bytes, sc.bad_blocks, st->clean,
		 clock_mono_ms() - found->start_ms);
	metric_add(o->metrics, METRIC_JOURNAL_BAD_BLOCKS, sc.bad_blocks);

	st->clean = false;
	journal_begin(&t, j);
	delete_bad_blocks(&t, found);
	delete_forgotten(&t, &st->ledger);
	state_put(st, &t);
	rc = journal_commit(&t);
	return rc == JOURNAL_FULL ? fail(-ENOSPC, "journal: no page left in %s", j->path) : rc;
}

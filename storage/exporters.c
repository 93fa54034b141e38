/* SPDX-License-Identifier: Apache-2.0
 * Exporters that come and go while the store is open: what storage/recover.c does at a start. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "storage/internal.h"

int store_exporter(const struct store *s, const char *name)
{
	int at = ledger_find(&s->state.ledger, name);
	return at >= 0 && (unsigned)at < s->state.ledger.n_exporters ? at : -1;
}

bool store_removed_exporter(const struct store *s, const char *name, struct ledger_exporter *out)
{
	const struct ledger *l = &s->state.ledger;
	int at = ledger_find(l, name);
	if (at < 0 || (unsigned)at < l->n_exporters)
		return false;
	*out = l->exporter[at];
	return true;
}

/* Takes the record out of the list. */
static struct ledger_exporter take_out(struct ledger *l, unsigned at)
{
	struct ledger_exporter e = l->exporter[at];
	unsigned n = l->n_exporters + l->n_removed;
	memmove(&l->exporter[at], &l->exporter[at + 1], (n - at - 1) * sizeof(e));
	*(at < l->n_exporters ? &l->n_exporters : &l->n_removed) -= 1;
	return e;
}

/* Puts it behind the configured ones; where there is no room, the last removed one is forgotten. */
static void put_in(struct ledger *l, const struct ledger_exporter *e)
{
	unsigned n = l->n_exporters + l->n_removed;
	assert(l->n_exporters < STORE_MAX_EXPORTERS);
	if (n == STORE_MAX_EXPORTERS) {
		l->n_removed--;
		n--;
	}
	struct ledger_exporter *at = &l->exporter[l->n_exporters];
	memmove(at + 1, at, (n - l->n_exporters) * sizeof(*e));
	*at = *e;
}

/* A cursor in the middle of a block goes back to its beginning: of one that comes back, who was
 * told that the rest is given up, a few spans twice rather than never. */
static uint64_t spans_behind(const struct store *s, struct cursor *c)
{
	const struct held *held = &s->held[STAGE_KEPT];
	uint64_t spans = 0;
	for (size_t i = 0; i < held_count(held); i++) {
		struct store_block b = held_at(held, i);
		bool is_past = b.id == c->block_id && c->offset >= b.bytes - BLOCK_HEADER;
		if (b.id < c->block_id || is_past)
			continue;
		if (b.id == c->block_id)
			*c = (struct cursor){.block_id = b.id};
		spans += b.spans;
	}
	return spans;
}

unsigned store_add_exporter(struct store *s, const char *name)
{
	struct ledger *l = &s->state.ledger;
	struct ledger_exporter e = {.entered = 0};
	int was = ledger_find(l, name);
	assert(s->under_way == NULL && store_exporter(s, name) < 0);
	snprintf(e.name, sizeof(e.name), "%s", name);
	if (was >= 0)
		e = take_out(l, (unsigned)was);
	e.held[PLACE_JOURNAL] = spans_behind(s, &e.cursor[PLACE_JOURNAL]);
	e.entered += e.held[PLACE_JOURNAL];
	ledger_keep_boxes(&e);
	put_in(l, &e);
	s->progressed = true;
	log_info("exporter begins", "exporter=%s spans=%" PRIu64, name, e.held[PLACE_JOURNAL]);
	return l->n_exporters++;
}

void store_remove_exporter(struct store *s, unsigned exporter)
{
	struct ledger *l = &s->state.ledger;
	uint64_t spans = 0;
	assert(s->under_way == NULL && exporter < l->n_exporters);
	struct ledger_exporter e = take_out(l, exporter);
	for (int k = 0; k < PLACES; k++)
		spans += e.held[k];
	e.dropped[DROP_EXPORTER_REMOVED] += spans;
	memset(e.held, 0, sizeof(e.held));
	put_in(l, &e);
	l->n_removed++;
	s->progressed = true;
	log_warn("exporter is configured no more", "exporter=%s dropped_spans=%" PRIu64, e.name,
		 spans);
}

void store_judge(struct store *s, bool judged)
{
	assert(s->under_way == NULL);
	s->judged = judged;
}

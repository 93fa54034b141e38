/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/ledger.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { STATE_WORDS = 6, EXPORTER_WORDS = 7 + DROP_REASONS };

static void record_name(char *out, const struct ledger_exporter *e)
{
	snprintf(out, LEDGER_NAME_CAP, LEDGER_PREFIX "%s", e->name);
}

static void exporter_put(const struct ledger_exporter *e, bool removed, struct journal_txn *t)
{
	char name[LEDGER_NAME_CAP];
	uint64_t w[EXPORTER_WORDS] = {
	    e->cursor.block_id, e->cursor.offset, e->cursor.span,     removed,
	    e->entered,         e->sent,          e->backend_rejected};
	memcpy(w + EXPORTER_WORDS - DROP_REASONS, e->dropped, sizeof(e->dropped));
	record_name(name, e);
	journal_put_words(t, name, w, EXPORTER_WORDS);
}

static void exporter_from(struct ledger_exporter *e, const uint64_t *w)
{
	e->cursor = (struct cursor){w[0], (uint32_t)w[1], (uint32_t)w[2]};
	e->entered = w[4];
	e->sent = w[5];
	e->backend_rejected = w[6];
	memcpy(e->dropped, w + EXPORTER_WORDS - DROP_REASONS, sizeof(e->dropped));
}

void state_put(const struct state *st, struct journal_txn *t)
{
	const struct ledger *l = &st->ledger;
	uint64_t w[STATE_WORDS] = {st->next_block, st->next_seq, st->clean,
				   l->received,    l->rejected,  l->accepted};
	journal_put_words(t, "state", w, STATE_WORDS);
	for (unsigned i = 0; i < l->n_exporters + l->n_removed; i++)
		exporter_put(&l->exporter[i], i >= l->n_exporters, t);
}

/* Two passes, for the exporters that are alive come first. */
static int load_exporters(struct ledger *l, struct journal_txn *t, bool removed)
{
	char name[LEDGER_NAME_CAP] = "";
	for (;;) {
		uint64_t w[EXPORTER_WORDS];
		int rc = journal_next_name(t, LEDGER_PREFIX, name, sizeof(name));
		if (rc != 0)
			return rc == JOURNAL_NONE ? 0 : rc;
		rc = journal_get_words(t, name, w, EXPORTER_WORDS);
		if (rc < 0)
			return rc;
		if (rc != 0 && !removed)
			log_error(
			    "record of an exporter is damaged, it begins at the oldest block held",
			    "exporter=%s", name + strlen(LEDGER_PREFIX));
		unsigned n = l->n_exporters + l->n_removed;
		if (rc != 0 || (w[3] != 0) != removed || n == STORE_MAX_EXPORTERS)
			continue;
		struct ledger_exporter *e = &l->exporter[n];
		memcpy(e->name, name + strlen(LEDGER_PREFIX), sizeof(e->name));
		exporter_from(e, w);
		*(removed ? &l->n_removed : &l->n_exporters) += 1;
	}
}

int state_load(struct state *st, struct journal_txn *t)
{
	uint64_t w[STATE_WORDS] = {1, 1, 1};
	memset(st, 0, sizeof(*st));
	int rc = journal_get_words(t, "state", w, STATE_WORDS);
	if (rc < 0)
		return rc;
	if (rc == JOURNAL_BAD)
		log_error("account of the journal is damaged, its totals begin at zero", "code=%d",
			  rc);
	st->next_block = w[0];
	st->next_seq = w[1];
	st->clean = w[2] != 0;
	st->ledger.received = w[3];
	st->ledger.rejected = w[4];
	st->ledger.accepted = w[5];
	rc = load_exporters(&st->ledger, t, false);
	return rc != 0 ? rc : load_exporters(&st->ledger, t, true);
}

void ledger_enter(struct ledger *l, uint64_t received, uint64_t rejected)
{
	uint64_t accepted = received - rejected;
	l->received += received;
	l->rejected += rejected;
	l->accepted += accepted;
	for (unsigned i = 0; i < l->n_exporters; i++) {
		l->exporter[i].entered += accepted;
		l->exporter[i].buffered += accepted;
	}
}

void ledger_apply(struct ledger_exporter *e, const struct progress *p)
{
	uint64_t spans = p->sent + p->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++) {
		spans += p->dropped[i];
		e->dropped[i] += p->dropped[i];
	}
	assert(cursor_compare(p->done, e->cursor) >= 0);
	assert(spans <= e->buffered);
	e->cursor = p->done;
	e->sent += p->sent;
	e->backend_rejected += p->backend_rejected;
	e->buffered -= spans;
}

uint64_t ledger_settled(const struct ledger_exporter *e)
{
	uint64_t n = e->sent + e->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++)
		n += e->dropped[i];
	return n;
}

int ledger_find(const struct ledger *l, const char *name)
{
	for (unsigned i = 0; i < l->n_exporters + l->n_removed; i++)
		if (strcmp(l->exporter[i].name, name) == 0)
			return (int)i;
	return -1;
}

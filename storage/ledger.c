/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/ledger.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* A record's words in their order: what all versions had first. A shorter record, of a version that
 * knew fewer, reads as if the rest were zero. */
enum {
	STATE_WORDS = 6,
	W_CURSOR = 0,
	W_REMOVED = 3,
	W_ENTERED,
	W_SENT,
	W_BACKEND_REJECTED,
	W_DROPPED,
	W_OUTBOX = W_DROPPED + 16, /* room for reasons to come */
	W_QUARANTINE = W_OUTBOX + 2,
	W_KEPT_OUTBOX = W_QUARANTINE + 2,
	W_KEPT_QUARANTINE,
	EXPORTER_WORDS
};
_Static_assert(DROP_REASONS <= W_OUTBOX - W_DROPPED, "the record has no room for more reasons");

static void record_name(char *out, const struct ledger_exporter *e)
{
	snprintf(out, LEDGER_NAME_CAP, LEDGER_PREFIX "%s", e->name);
}

static void exporter_put(const struct ledger_exporter *e, bool removed, struct journal_txn *t)
{
	char name[LEDGER_NAME_CAP];
	const struct cursor *c = &e->cursor[PLACE_JOURNAL];
	uint64_t w[EXPORTER_WORDS] = {
	    [W_CURSOR] = c->block_id,
	    [W_CURSOR + 1] = c->offset,
	    [W_CURSOR + 2] = c->span,
	    [W_REMOVED] = removed,
	    [W_ENTERED] = e->entered,
	    [W_SENT] = e->sent,
	    [W_BACKEND_REJECTED] = e->backend_rejected,
	    [W_OUTBOX] = e->cursor[PLACE_OUTBOX].block_id,
	    [W_OUTBOX + 1] = e->held[PLACE_OUTBOX],
	    [W_QUARANTINE] = e->cursor[PLACE_QUARANTINE].block_id,
	    [W_QUARANTINE + 1] = e->held[PLACE_QUARANTINE],
	    [W_KEPT_OUTBOX] = e->kept[PLACE_OUTBOX],
	    [W_KEPT_QUARANTINE] = e->kept[PLACE_QUARANTINE],
	};
	memcpy(w + W_DROPPED, e->dropped, sizeof(e->dropped));
	record_name(name, e);
	journal_put_words(t, name, w, EXPORTER_WORDS);
}

static void exporter_from(struct ledger_exporter *e, const uint64_t *w)
{
	const uint64_t *c = w + W_CURSOR;
	e->cursor[PLACE_JOURNAL] = (struct cursor){c[0], (uint32_t)c[1], (uint32_t)c[2]};
	e->cursor[PLACE_OUTBOX].block_id = w[W_OUTBOX];
	e->cursor[PLACE_QUARANTINE].block_id = w[W_QUARANTINE];
	e->held[PLACE_OUTBOX] = w[W_OUTBOX + 1];
	e->held[PLACE_QUARANTINE] = w[W_QUARANTINE + 1];
	e->kept[PLACE_OUTBOX] = w[W_KEPT_OUTBOX];
	e->kept[PLACE_QUARANTINE] = w[W_KEPT_QUARANTINE];
	e->entered = w[W_ENTERED];
	e->sent = w[W_SENT];
	e->backend_rejected = w[W_BACKEND_REJECTED];
	memcpy(e->dropped, w + W_DROPPED, sizeof(e->dropped));
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
		if (rc != 0 || (w[W_REMOVED] != 0) != removed || n == STORE_MAX_EXPORTERS)
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

bool record_is_ours(const char *name)
{
	return strcmp(name, "state") == 0 ||
	       (strncmp(name, LEDGER_PREFIX, strlen(LEDGER_PREFIX)) == 0 &&
		name[strlen(LEDGER_PREFIX)] != '\0');
}

unsigned record_words(const char *name)
{
	return strcmp(name, "state") == 0 ? STATE_WORDS : EXPORTER_WORDS;
}

void record_catch_up(const char *name, uint64_t *words, uint64_t newest_block)
{
	if (strcmp(name, "state") != 0)
		words[W_KEPT_OUTBOX] = words[W_KEPT_QUARANTINE] = LEDGER_KEEP_ALL;
	else if (words[0] <= newest_block)
		words[0] = newest_block + 1;
}

bool record_cursor(const char *name, const uint64_t *words, struct cursor *c)
{
	if (strcmp(name, "state") == 0 || words[W_REMOVED] != 0)
		return false;
	*c = (struct cursor){words[W_CURSOR], (uint32_t)words[W_CURSOR + 1],
			     (uint32_t)words[W_CURSOR + 2]};
	return true;
}

/* Nothing counted ever gets less: what entered, what was settled, and, when spans only move to a
 * box, the cursors. */
bool record_is_newer(const char *name, const uint64_t *words, const uint64_t *than)
{
	struct ledger_exporter a = {0}, b = {0};
	if (strcmp(name, "state") == 0) /* next block, next record, received */
		return words[0] != than[0]   ? words[0] > than[0]
		       : words[1] != than[1] ? words[1] > than[1]
					     : words[3] > than[3];
	exporter_from(&a, words);
	exporter_from(&b, than);
	uint64_t sum_a = a.entered + ledger_settled(&a), sum_b = b.entered + ledger_settled(&b);
	if (sum_a != sum_b)
		return sum_a > sum_b;
	int diff = 0;
	for (int i = 0; i < PLACES && diff == 0; i++)
		diff = cursor_compare(a.cursor[i], b.cursor[i]);
	return diff > 0;
}

void ledger_enter(struct ledger *l, uint64_t received, uint64_t rejected)
{
	uint64_t accepted = received - rejected;
	l->received += received;
	l->rejected += rejected;
	l->accepted += accepted;
	for (unsigned i = 0; i < l->n_exporters; i++) {
		l->exporter[i].entered += accepted;
		l->exporter[i].held[PLACE_JOURNAL] += accepted;
	}
}

void ledger_apply(struct ledger_exporter *e, const struct progress *p)
{
	uint64_t spans = p->sent + p->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++) {
		spans += p->dropped[i];
		e->dropped[i] += p->dropped[i];
	}
	for (int i = 0; i < PLACES; i++)
		spans += p->moved[i];
	assert(p->moved[PLACE_JOURNAL] == 0);
	assert(cursor_compare(p->done, e->cursor[p->from]) >= 0);
	assert(spans <= e->held[p->from]);
	e->cursor[p->from] = p->done;
	e->sent += p->sent;
	e->backend_rejected += p->backend_rejected;
	e->held[p->from] -= spans;
	for (int i = 0; i < PLACES; i++)
		e->held[i] += p->moved[i];
}

void ledger_keep_boxes(struct ledger_exporter *e)
{
	for (int box = PLACE_OUTBOX; box < PLACES; box++)
		e->kept[box] = LEDGER_KEEP_ALL;
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/ledger.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* As what is pending: it is not known. */
#define RECOUNT UINT64_MAX

/* A record's words in their order: what all versions had first. A shorter record, of a version that
 * knew fewer, reads as if the rest were zero. */
enum {
	W_NEXT_BLOCK,
	W_NEXT_SEQ,
	W_CLEAN,
	W_RECEIVED,
	W_REJECTED,
	W_ACCEPTED,
	W_NEXT_PENDING, /* never 0: then the record is of a version without judge */
	W_FIRST_PENDING,
	W_POSITION,
	W_NEXT_CHAPTER,
	W_FIRST_CHAPTER,
	W_RULINGS,
	W_PENDING,
	W_JUDGED,
	STATE_WORDS = W_JUDGED + 12 /* room for verdicts to come */
};
enum {
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
_Static_assert((int)STORE_VERDICTS <= (int)STATE_WORDS - (int)W_JUDGED,
	       "the record has no room for more verdicts");
_Static_assert((int)STATE_WORDS <= (int)JOURNAL_MAX_WORDS, "more words than a record has");
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
	uint64_t w[STATE_WORDS] = {
	    [W_NEXT_BLOCK] = st->next[TREE_KEPT],
	    [W_NEXT_SEQ] = st->next_seq,
	    [W_CLEAN] = st->clean,
	    [W_RECEIVED] = l->received,
	    [W_REJECTED] = l->rejected,
	    [W_ACCEPTED] = l->accepted,
	    [W_NEXT_PENDING] = st->next[TREE_PENDING],
	    [W_FIRST_PENDING] = st->first[TREE_PENDING],
	    [W_POSITION] = st->position,
	    [W_NEXT_CHAPTER] = st->next[TREE_CHAPTERS],
	    [W_FIRST_CHAPTER] = st->first[TREE_CHAPTERS],
	    [W_RULINGS] = st->rulings,
	    [W_PENDING] = l->pending,
	};
	memcpy(w + W_JUDGED, l->judged, sizeof(l->judged));
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

/* Where no judge was, all that was accepted was kept. */
static void state_from(struct state *st, const uint64_t *w)
{
	struct ledger *l = &st->ledger;
	bool judged = w[W_NEXT_PENDING] != 0;
	st->next[TREE_KEPT] = w[W_NEXT_BLOCK];
	st->next[TREE_PENDING] = judged ? w[W_NEXT_PENDING] : 1;
	st->next[TREE_CHAPTERS] = judged ? w[W_NEXT_CHAPTER] : 1;
	st->first[TREE_PENDING] = judged ? w[W_FIRST_PENDING] : 1;
	st->first[TREE_CHAPTERS] = judged ? w[W_FIRST_CHAPTER] : 1;
	st->next_seq = w[W_NEXT_SEQ];
	st->clean = w[W_CLEAN] != 0;
	st->rulings = w[W_RULINGS];
	st->recount = !judged || w[W_PENDING] == RECOUNT;
	st->position = st->recount ? 0 : w[W_POSITION];
	l->received = w[W_RECEIVED];
	l->rejected = w[W_REJECTED];
	l->accepted = w[W_ACCEPTED];
	l->pending = st->recount ? 0 : w[W_PENDING];
	memcpy(l->judged, w + W_JUDGED, sizeof(l->judged));
	if (!judged)
		l->judged[0] = l->accepted;
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
	state_from(st, w);
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

void record_catch_up(const char *name, uint64_t *words, const uint64_t newest_block[STAGES])
{
	if (strcmp(name, "state") != 0) {
		words[W_KEPT_OUTBOX] = words[W_KEPT_QUARANTINE] = LEDGER_KEEP_ALL;
		return;
	}
	if (words[W_NEXT_BLOCK] <= newest_block[STAGE_KEPT])
		words[W_NEXT_BLOCK] = newest_block[STAGE_KEPT] + 1;
	if (words[W_NEXT_PENDING] == 0) /* it is recounted anyway */
		return;
	if (words[W_NEXT_PENDING] <= newest_block[STAGE_PENDING])
		words[W_NEXT_PENDING] = newest_block[STAGE_PENDING] + 1;
	words[W_PENDING] = RECOUNT;
}

uint64_t record_first_pending(const char *name, const uint64_t *words)
{
	return strcmp(name, "state") == 0 ? words[W_FIRST_PENDING] : 0;
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
	if (strcmp(name, "state") == 0) {
		static const int COUNTERS[] = {W_NEXT_BLOCK, W_NEXT_SEQ, W_RECEIVED, W_RULINGS};
		for (int i = 0; i < 4; i++)
			if (words[COUNTERS[i]] != than[COUNTERS[i]])
				return words[COUNTERS[i]] > than[COUNTERS[i]];
		return false;
	}
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

/* Kept spans are what exporters are told of. */
static void keep(struct ledger *l, uint64_t spans)
{
	l->judged[0] += spans;
	for (unsigned i = 0; i < l->n_exporters; i++) {
		l->exporter[i].entered += spans;
		l->exporter[i].held[PLACE_JOURNAL] += spans;
	}
}

void ledger_receive(struct ledger *l, uint64_t received, uint64_t rejected, bool judged)
{
	uint64_t accepted = received - rejected;
	l->received += received;
	l->rejected += rejected;
	l->accepted += accepted;
	if (judged)
		l->pending += accepted;
	else
		keep(l, accepted);
}

static void accept_again(struct ledger *l, uint64_t spans)
{
	l->received += spans;
	l->accepted += spans;
	l->pending += spans;
}

void ledger_rule(struct ledger *l, const uint64_t *spans)
{
	uint64_t sum = 0;
	for (int i = 0; i < STORE_VERDICTS; i++)
		sum += spans[i];
	if (sum > l->pending) {
		log_limited(LOG_ERROR, "spans are judged that the account has no more as pending",
			    "spans=%llu", (unsigned long long)(sum - l->pending));
		accept_again(l, sum - l->pending);
	}
	l->pending -= sum;
	for (int i = 1; i < STORE_VERDICTS; i++)
		l->judged[i] += spans[i];
	keep(l, spans[0]);
}

void ledger_recount(struct ledger *l, uint64_t pending)
{
	uint64_t judged = 0;
	for (int i = 0; i < STORE_VERDICTS; i++)
		judged += l->judged[i];
	l->pending = l->accepted > judged ? l->accepted - judged : 0;
	if (l->pending != pending)
		log_error("account and pending blocks differ, the blocks are believed",
			  "account_spans=%llu block_spans=%llu", (unsigned long long)l->pending,
			  (unsigned long long)pending);
	if (l->pending < pending) {
		accept_again(l, pending - l->pending);
		return;
	}
	l->judged[STORE_VERDICTS - 1] += l->pending - pending;
	l->pending = pending;
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

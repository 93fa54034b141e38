/* SPDX-License-Identifier: Apache-2.0
 * The store room: groups batches, commits them with full sync, and only then answers. The only room
 * that may wait for a disk. */
#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/rooms.h"
#include "relay/ruling.h"

/* A group takes everything that waits, up to this: the byte setting is a trigger, never a limit, or
 * a slow disk would saturate on flushes (lmdb-storage 1.3). */
enum { GROUP_MAX_BYTES = 16 << 20 };

static const double TIDY_S = 0.5;
enum {
	FAILURES_MAX = 3,
	RETRY_MS = 1000,
	RULING_AGAIN_MS = 250,
	TELL_MS = 250,
	ROOM_AGAIN = 20 /* a full journal is so until a twentieth of it is free */
};

static struct batch *batch_of(struct mail *m)
{
	return container_of(m, struct batch, mail);
}

/* Refused ones leave their notices with the batch: its intake room frees them. */
static void answer(struct batch *b, enum answer a)
{
	b->answer = a;
	room_answer(&b->intake->room, &b->mail);
}

/* ---- a group ---- */

/* The block is safe on disk; without memory to say so, the next worker will find it there. */
static void publish(void *ctx, struct store_block block)
{
	struct archive *a = ctx;
	struct filed *f = malloc(sizeof(*f));
	if (f == NULL) {
		fail(-ENOMEM, "store: cannot tell of block %llu", (unsigned long long)block.id);
		_Exit(EX_OSERR);
	}
	f->mail.kind = MAIL_FILED;
	f->block = block;
	room_answer(&a->relay->export.room, &f->mail);
}

/* Of the batches of the group that lie in the block, in order; those without spans lie nowhere.
 * NULL where one has none, for its intake did not know yet that traces are judged now. */
static struct notices *take_notices(struct archive *a, uint64_t block_id, size_t n)
{
	struct notices *chain = NULL, **tail = &chain;
	uint32_t offset = 0;
	bool missing = false;
	while (n != 0) {
		struct batch *b = batch_of(a->unplaced);
		a->unplaced = b->mail.next;
		if (b->index.spans == 0)
			continue;
		struct notices *all = b->notices;
		n--;
		if (all == NULL) {
			missing = true;
			continue;
		}
		b->notices = NULL;
		all->block_id = block_id;
		all->offset = offset;
		offset += record_size((uint32_t)b->body.len);
		*tail = all;
		tail = &all->next;
	}
	while (missing && chain != NULL) {
		struct notices *all = chain;
		chain = all->next;
		notices_free(all);
	}
	return chain;
}

static void publish_pending(void *ctx, struct store_block block, size_t first_batch,
			    size_t n_batches)
{
	struct archive *a = ctx;
	(void)first_batch; /* they come in order */
	struct noticed *d = malloc(sizeof(*d));
	if (d == NULL) {
		fail(-ENOMEM, "store: cannot tell of block %llu", (unsigned long long)block.id);
		_Exit(EX_OSERR);
	}
	d->mail.kind = MAIL_NOTICED;
	d->block = block;
	d->notices = take_notices(a, block.id, n_batches);
	size_t weight = sizeof(*d);
	for (const struct notices *n = d->notices; n != NULL; n = n->next)
		weight += n->charge.bytes;
	room_tell(&a->relay->judge.room, &d->mail, weight);
}

/* Takes the oldest batches off the queue into the transaction; gives their chain. */
static struct mail *take_group(struct archive *a, struct store_txn *t)
{
	struct mail *group = NULL, **tail = &group;
	while (a->first != NULL && t->bytes < GROUP_MAX_BYTES) {
		struct batch *b = batch_of(a->first);
		a->first = b->mail.next;
		a->queued_bytes -= b->body.len;
		if (!store_has_room(a->store, t->bytes + b->body.len)) {
			a->relay->journal_state = JOURNAL_IS_FULL;
			answer(b, JOURNAL_FULL);
			continue;
		}
		store_append(t, buf_slice(&b->body), b->index.spans, b->index.rejected);
		b->mail.next = NULL;
		*tail = &b->mail;
		tail = &b->mail.next;
	}
	return group;
}

static void on_committed(struct archive *a, int rc)
{
	a->committed_ms = clock_mono_ms();
	if (rc < 0) {
		a->retry_ms = a->committed_ms + RETRY_MS;
		if (++a->failures >= FAILURES_MAX)
			a->relay->journal_state = JOURNAL_FAILS;
		return;
	}
	if (a->failures != 0)
		log_info("journal writes again", "failures=%u", a->failures);
	a->failures = 0;
	if (rc == 0 && store_has_room(a->store, a->limit_bytes / ROOM_AGAIN))
		a->relay->journal_state = JOURNAL_OK;
}

/* What is durable now may be unlinked. Not told after each commit: there are a hundred a second. */
static void tell_cursors(struct archive *a)
{
	struct ledger ledger;
	if (a->committed_ms - a->told_ms < TELL_MS)
		return;
	a->told_ms = a->committed_ms;
	store_ledger(a->store, &ledger);
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		for (int box = PLACE_OUTBOX; a->number[i] >= 0 && box < PLACES; box++) {
			struct cursor done = ledger.exporter[a->number[i]].cursor[box];
			struct box_note *note;
			if (done.block_id == a->told[i][box] ||
			    (note = calloc(1, sizeof(*note))) == NULL)
				continue;
			a->told[i][box] = done.block_id;
			*note = (struct box_note){.mail.kind = MAIL_TRIM,
						  .exporter = i,
						  .box = (enum span_place)box,
						  .done = done};
			room_answer(&a->relay->spillway.room, &note->mail);
		}
}

static void answer_ruling(struct archive *a)
{
	struct ruling_note *n = a->ruling;
	a->ruling = NULL;
	a->ruling_after_ms = 0;
	room_answer(&a->relay->judge.room, &n->mail);
}

/* A ruling that did not fit is tried again by itself, so that it takes no requests down with it. */
static bool ruling_goes(const struct archive *a)
{
	return a->ruling != NULL && clock_mono_ms() >= a->ruling_after_ms;
}

static void commit_group(struct archive *a)
{
	struct store_txn t;
	bool ruling = ruling_goes(a), alone = ruling && a->ruling_after_ms != 0;
	if (a->failures != 0)
		store_touch(a->store); /* else success may mean that there was nothing to do */
	store_begin(&t, a->store, clock_wall_ms());
	struct mail *group = a->unplaced = alone ? NULL : take_group(a, &t);
	if (ruling)
		store_rule(&t, &a->ruling->ruling);
	struct store_told told = {publish, publish_pending, a};
	int rc = store_commit(&t, &told);
	on_committed(a, rc);
	if (rc == 0 && ruling)
		answer_ruling(a);
	else if (ruling)
		a->ruling_after_ms = clock_mono_ms() + RULING_AGAIN_MS;
	if (rc == 0)
		tell_cursors(a);
	enum answer said = rc == 0 ? ACCEPTED : rc == STORE_FULL ? JOURNAL_FULL : JOURNAL_ERROR;
	while (group != NULL) {
		struct batch *b = batch_of(group);
		group = group->next;
		answer(b, said);
	}
}

static void refuse_all(struct archive *a)
{
	while (a->first != NULL) {
		struct batch *b = batch_of(a->first);
		a->first = b->mail.next;
		answer(b, JOURNAL_ERROR);
	}
	a->queued_bytes = 0;
}

/* ---- when ---- */

/* How long the oldest batch has still to wait for company: from when it was whole, so that what
 * waited for a slow commit already does not wait again. Rounded up, as timers are: a client that
 * sends once in every linger time would else always come a moment too late to share a sync. */
static uint64_t linger_left_ms(const struct archive *a)
{
	uint64_t waited_us = clock_ns(CLOCK_MONOTONIC) / 1000 - batch_of(a->first)->whole_us;
	uint64_t linger_us = a->linger_ms * 1000;
	return waited_us < linger_us ? (linger_us - waited_us + 999) / 1000 : 0;
}

/* After a quiet moment a batch goes at once; under load it waits for company (lmdb-storage 9.3). */
static bool is_due(const struct archive *a, uint64_t now_ms)
{
	return a->queued_bytes >= a->group_bytes || linger_left_ms(a) == 0 ||
	       now_ms - a->committed_ms > a->linger_ms;
}

static void start_linger(struct archive *a)
{
	ev_timer_stop(a->room.loop, &a->linger);
	ev_now_update(a->room.loop); /* it stood still while the disk worked */
	ev_timer_set(&a->linger, (double)linger_left_ms(a) / 1000, 0);
	ev_timer_start(a->room.loop, &a->linger);
	room_hush(&a->room, a->group_bytes - a->queued_bytes);
}

static void on_round(void *ctx)
{
	struct archive *a = ctx;
	while (a->first != NULL) {
		uint64_t now_ms = clock_mono_ms();
		if (now_ms < a->retry_ms) {
			refuse_all(a);
		} else if (is_due(a, now_ms)) {
			commit_group(a);
		} else {
			start_linger(a);
			return;
		}
	}
	if (ruling_goes(a) && clock_mono_ms() >= a->retry_ms)
		commit_group(a);
}

static void on_linger(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct archive *a = timer->data;
	room_read(&a->room);
}

static void on_tidy(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct archive *a = timer->data;
	if (a->first == NULL && clock_mono_ms() >= a->retry_ms)
		commit_group(a); /* with nothing to write it costs nothing, but after a failure */
}

/* ---- a reload ---- */

static void take_numbers(struct archive *a, const struct world *w)
{
	const struct conf *c = &w->conf;
	a->linger_ms = c->journal.linger_ms;
	a->group_bytes = c->journal.group_bytes;
	a->limit_bytes = c->journal.limit_bytes;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++) {
		const struct conf_exporter *e = world_exporter(w, i);
		a->number[i] = e != NULL ? store_exporter(a->store, e->name) : -1;
	}
}

/* What those that are new will be told once they are there. */
static void note_block(void *ctx, struct store_block block)
{
	struct reload_note *n = ctx;
	struct store_block *more = realloc(n->blocks, (n->n_blocks + 1) * sizeof(*more));
	if (more == NULL) {
		fail(-ENOMEM, "store: cannot tell of the blocks held");
		_Exit(EX_OSERR);
	}
	n->blocks = more;
	n->blocks[n->n_blocks++] = block;
}

static void add_exporter(struct archive *a, struct reload_note *n, unsigned slot)
{
	struct ledger ledger;
	unsigned number = store_add_exporter(a->store, world_exporter(n->world, slot)->name);
	for (int box = PLACE_OUTBOX; box < PLACES; box++)
		store_found(a->store, number, (enum span_place)box, n->box_first[slot][box],
			    n->box_end[slot][box]);
	store_ledger(a->store, &ledger);
	n->accounts[slot] = ledger.exporter[number];
	memset(a->told[slot], 0, sizeof(a->told[slot]));
	if (n->blocks == NULL)
		store_each_block(a->store, note_block, n);
}

static void look_at_account(struct archive *a, struct reload_note *n, unsigned slot)
{
	const char *name = world_exporter(n->world, slot)->name;
	struct ledger_exporter *e = &n->accounts[slot];
	if (!store_removed_exporter(a->store, name, e))
		*e = (struct ledger_exporter){.entered = 0};
	e->kept[PLACE_OUTBOX] = e->kept[PLACE_QUARANTINE] = LEDGER_KEEP_ALL;
}

/* Those that go are in the store until they have gone everywhere else. */
static void on_reload(struct archive *a, struct reload_note *n)
{
	int number[CONF_MAX_EXPORTERS];
	memcpy(number, a->number, sizeof(number));
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++) {
		bool is_new = n->moves[i] == EXPORTER_ADDED;
		if (n->stop == RELOAD_LOOK && is_new)
			look_at_account(a, n, i);
		else if (n->stop == RELOAD_STORE && is_new)
			add_exporter(a, n, i);
		else if (n->stop == RELOAD_REMOVE && n->moves[i] == EXPORTER_REMOVED)
			store_remove_exporter(
			    a->store,
			    (unsigned)store_exporter(a->store, world_exporter(n->was, i)->name));
	}
	if (n->stop != RELOAD_LOOK)
		take_numbers(a, n->world);
	for (unsigned i = 0; n->stop == RELOAD_STORE && i < CONF_MAX_EXPORTERS; i++)
		if (n->moves[i] == EXPORTER_REMOVED)
			a->number[i] = number[i];
	if (n->stop == RELOAD_STORE)
		store_judge(a->store, n->world->judges);
	reload_next(a->relay, n);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct archive *a = ctx;
	struct progress_note *note;
	struct ledger_request *request;
	switch (m->kind) {
	case MAIL_BATCH:
		m->next = NULL;
		*(a->first == NULL ? &a->first : &a->last->next) = m;
		a->last = m;
		a->queued_bytes += batch_of(m)->body.len;
		break;
	case MAIL_RULING:
		a->ruling = container_of(m, struct ruling_note, mail);
		break;
	case MAIL_PROGRESS:
		note = container_of(m, struct progress_note, mail);
		store_progress(a->store, (unsigned)a->number[note->exporter], &note->progress);
		free(note);
		break;
	case MAIL_RELOAD:
		on_reload(a, container_of(m, struct reload_note, mail));
		break;
	default:
		request = container_of(m, struct ledger_request, mail);
		store_ledger(a->store, &request->ledger);
		room_answer(&a->relay->judge.room, m);
	}
}

/* Of clients that were still sending at the deadline, who have no answer; and of a judge that did
 * not know yet. */
static void on_late(struct mail *m)
{
	if (m->kind == MAIL_RULING) {
		ruling_free(container_of(m, struct ruling_note, mail));
	} else if (m->kind == MAIL_BATCH) {
		notices_free(batch_of(m)->notices);
		batch_free(batch_of(m));
	}
}

static const struct room_rules RULES = {"store", 4096, on_mail, on_round, on_late};

int archive_open(struct archive *a, struct relay *relay)
{
	const struct conf *conf = &relay->world->conf;
	const char *names[CONF_MAX_EXPORTERS];
	a->relay = relay;
	for (size_t i = 0; i < conf->n_exporters; i++)
		names[i] = conf->exporters[i].name;
	struct store_options o = {.dir = conf->data_dir,
				  .limit_bytes = conf->journal.limit_bytes,
				  .exporters = names,
				  .n_exporters = (unsigned)conf->n_exporters,
				  .metrics = &relay->metrics,
				  .judged = relay->world->judges};
	int rc = store_open(&a->store, &o);
	if (rc == 0)
		rc = room_init(&a->room, &RULES, a);
	if (rc != 0)
		return rc;
	take_numbers(a, relay->world);
	ev_init(&a->linger, on_linger);
	ev_timer_init(&a->tidy, on_tidy, TIDY_S, TIDY_S);
	a->linger.data = a->tidy.data = a;
	ev_timer_start(a->room.loop, &a->tidy);
	return 0;
}

void archive_tell_held(struct archive *a)
{
	store_each_block(a->store, publish, a);
}

void archive_close(struct archive *a)
{
	room_stop(&a->room);
	ruling_free(a->ruling);
	store_close(a->store);
	room_finish(&a->room);
}

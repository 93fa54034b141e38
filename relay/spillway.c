/* SPDX-License-Identifier: Apache-2.0
 * The spillway room: outboxes and quarantines, written. It takes what came since it looked last,
 * commits once for each box, and only then answers; while it waits for the disk the next ones
 * gather. Segments that are done with are unlinked here too, where nobody waits for that. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/rooms.h"

static void *must_alloc(size_t bytes)
{
	void *p = calloc(1, bytes);
	if (p != NULL)
		return p;
	fail(-ENOMEM, "spillway: no memory"); /* the next worker finds everything on disk */
	_Exit(EX_OSERR);
}

static void show_bytes(struct box_writer *w)
{
	atomic_store_explicit(&w->bytes, box_bytes(w->box), memory_order_relaxed);
}

static void tell_sealed(struct spillway *s, struct box_writer *w, unsigned exporter,
			enum span_place box)
{
	struct box_segment g;
	while (!w->is_new && box_sealed(w->box, &g)) {
		struct box_note *note = must_alloc(sizeof(*note));
		note->mail.kind = MAIL_SEALED;
		note->exporter = exporter;
		note->box = box;
		note->segment = g;
		room_answer(&s->relay->export.room, &note->mail);
	}
	show_bytes(w);
}

/* Commits what was appended and answers it. Where the first append failed there is nothing to
 * answer, and yet a transaction to end. */
static void flush(struct spillway *s, struct box_writer *w)
{
	struct mail *m = w->first;
	w->first = NULL;
	int rc = box_commit(w->box);
	while (m != NULL) {
		struct spill *spill = container_of(m, struct spill, mail);
		m = m->next;
		spill->rc = rc;
		room_answer(&s->relay->export.room, &spill->mail);
	}
}

static void on_spill(struct spillway *s, struct spill *spill)
{
	struct box_writer *w = &s->boxes[spill->exporter][spill->box];
	int rc = box_append(w->box, &spill->parcel);
	if (rc == BOX_AGAIN) {
		flush(s, w);
		rc = box_append(w->box, &spill->parcel);
	}
	if (rc != 0) {
		spill->rc = rc;
		flush(s, w); /* those before it first: answers keep the order */
		room_answer(&s->relay->export.room, &spill->mail);
		return;
	}
	spill->mail.next = NULL;
	*(w->first == NULL ? &w->first : &w->last->next) = &spill->mail;
	w->last = &spill->mail;
}

static void on_seal(struct spillway *s, struct box_note *note)
{
	struct box_writer *w = &s->boxes[note->exporter][note->box];
	flush(s, w);
	box_seal(w->box);
	tell_sealed(s, w, note->exporter, note->box);
	free(note);
}

static void on_trim(struct spillway *s, struct box_note *note)
{
	struct box_writer *w = &s->boxes[note->exporter][note->box];
	if (w->box != NULL) { /* else its exporter went meanwhile */
		box_trim(w->box, note->done);
		show_bytes(w);
	}
	free(note);
}

int spillway_folder(char *out, size_t cap, const char *data_dir, enum span_place box,
		    const char *exporter)
{
	int len = snprintf(out, cap, "%s/%s/%s", data_dir, PLACE_NAMES[box], exporter);
	return len > 0 && (size_t)len < cap ? 0 : fail(-ENAMETOOLONG, "data_dir: name too long");
}

static uint64_t limit_of(const struct world *w, const struct conf_exporter *e, enum span_place box)
{
	return box == PLACE_OUTBOX ? e->outbox.limit_bytes : w->conf.quarantine_bytes;
}

static int open_box(struct spillway *s, const struct world *w, unsigned slot, enum span_place box,
		    const struct ledger_exporter *account)
{
	const struct conf_exporter *e = world_exporter(w, slot);
	char dir[4096];
	struct box_options o = {
	    .dir = dir,
	    .limit_bytes = limit_of(w, e, box),
	    .done = account->cursor[box],
	    .kept = account->kept[box],
	    .metrics = &s->relay->metrics,
	};
	memcpy(o.source, account->cursor, sizeof(o.source));
	o.segment_bytes = box_segment_bytes(o.limit_bytes);
	int rc = spillway_folder(dir, sizeof(dir), s->relay->data_dir, box, e->name);
	if (rc == 0)
		rc = box_open(&s->boxes[slot][box].box, &o);
	if (rc == 0)
		show_bytes(&s->boxes[slot][box]);
	return rc;
}

/* ---- a reload ---- */

static void close_boxes(struct spillway *s, unsigned slot)
{
	for (int box = PLACE_OUTBOX; box < PLACES; box++) {
		struct box_writer *w = &s->boxes[slot][box];
		box_close(w->box);
		w->box = NULL;
		w->is_new = false;
		atomic_store_explicit(&w->bytes, 0, memory_order_relaxed);
	}
}

static int open_new(struct spillway *s, struct reload_note *n, unsigned slot)
{
	int rc = 0;
	for (int box = PLACE_OUTBOX; rc == 0 && box < PLACES; box++) {
		struct box_writer *w = &s->boxes[slot][box];
		w->is_new = true;
		rc = open_box(s, n->world, slot, (enum span_place)box, &n->accounts[slot]);
		if (rc != 0)
			break;
		n->box_first[slot][box] = box_first(w->box);
		n->box_end[slot][box] = box_end(w->box);
	}
	return rc;
}

/* All of them, or none. */
static void open_added(struct spillway *s, struct reload_note *n)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < CONF_MAX_EXPORTERS; i++)
		if (n->moves[i] == EXPORTER_ADDED)
			rc = open_new(s, n, i);
	if (rc == 0)
		return;
	n->result = RELOAD_FAILED;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		if (n->moves[i] == EXPORTER_ADDED)
			close_boxes(s, i);
}

static void close_removed(struct spillway *s, struct reload_note *n)
{
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++) {
		const struct conf_exporter *e = world_exporter(n->world, i);
		if (n->moves[i] == EXPORTER_REMOVED)
			close_boxes(s, i);
		for (int box = PLACE_OUTBOX; e != NULL && box < PLACES; box++) {
			s->boxes[i][box].is_new = false;
			box_limit(s->boxes[i][box].box,
				  limit_of(n->world, e, (enum span_place)box));
		}
	}
}

static void on_reload(struct spillway *s, struct reload_note *n)
{
	if (n->stop == RELOAD_OPEN)
		open_added(s, n);
	else
		close_removed(s, n);
	reload_next(s->relay, n);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct spillway *s = ctx;
	switch (m->kind) {
	case MAIL_SPILL:
		on_spill(s, container_of(m, struct spill, mail));
		break;
	case MAIL_RECORD:
		recent_put(&s->recent, container_of(m, struct record_note, mail));
		room_answer(&s->relay->judge.room, m);
		break;
	case MAIL_RELOAD:
		on_reload(s, container_of(m, struct reload_note, mail));
		break;
	case MAIL_SEAL:
		on_seal(s, container_of(m, struct box_note, mail));
		break;
	default:
		on_trim(s, container_of(m, struct box_note, mail));
	}
}

static void on_round(void *ctx)
{
	struct spillway *s = ctx;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		for (int box = PLACE_OUTBOX; box < PLACES; box++) {
			struct box_writer *w = &s->boxes[i][box];
			if (w->box == NULL)
				continue;
			flush(s, w);
			tell_sealed(s, w, i, (enum span_place)box);
		}
}

/* The next worker trims what it finds done; the record of recent traffic has a gap. */
static void on_late(struct mail *m)
{
	if (m->kind == MAIL_TRIM)
		free(container_of(m, struct box_note, mail));
	else if (m->kind == MAIL_RECORD)
		record_note_free(container_of(m, struct record_note, mail));
}

static const struct room_rules RULES = {"spillway", 4096, on_mail, on_round, on_late};

/* What was found is known for good before anything is put into a box. */
static int settle(struct store *store)
{
	struct store_txn t;
	store_begin(&t, store, clock_wall_ms());
	int rc = store_commit(&t, NULL);
	return rc == STORE_FULL ? 0 : rc; /* it goes with the first commit that gets through */
}

static int open_found(struct spillway *s, unsigned i, enum span_place box,
		      const struct ledger_exporter *account)
{
	int rc = open_box(s, s->relay->world, i, box, account);
	if (rc == 0)
		store_found(s->relay->archive.store, i, box, box_first(s->boxes[i][box].box),
			    box_end(s->boxes[i][box].box));
	return rc;
}

int spillway_open(struct spillway *s, struct relay *relay)
{
	struct ledger ledger;
	s->relay = relay;
	int rc = room_init(&s->room, &RULES, s);
	store_ledger(relay->archive.store, &ledger);
	for (unsigned i = 0; rc == 0 && i < relay->world->conf.n_exporters; i++) {
		rc = open_found(s, i, PLACE_OUTBOX, &ledger.exporter[i]);
		if (rc == 0)
			rc = open_found(s, i, PLACE_QUARANTINE, &ledger.exporter[i]);
	}
	uint64_t recent_bytes = relay->world->conf.sampling.recent_bytes;
	if (rc == 0 && relay->world->judges && recent_bytes != 0)
		recent_open(&s->recent, relay->data_dir, recent_bytes, &relay->metrics);
	return rc == 0 ? settle(relay->archive.store) : rc;
}

void spillway_close(struct spillway *s)
{
	room_stop(&s->room);
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		for (int box = PLACE_OUTBOX; box < PLACES; box++)
			box_close(s->boxes[i][box].box);
	recent_close(&s->recent);
	room_finish(&s->room);
}

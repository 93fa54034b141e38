/* SPDX-License-Identifier: Apache-2.0
 * The export room: every exporter's sender, and their doors to the journal. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "exporters/credential.h"
#include "relay/path.h"
#include "relay/rooms.h"

static const double POLL_S = 0.02;
enum { SPILL_PART = 4 }; /* of the journal: what one exporter may leave waiting in it */

int path_read_begin(struct export *room)
{
	return store_reader_begin(room->reader);
}

int path_read_block(struct export *room, uint64_t block_id, struct slice *out)
{
	return store_reader_block(room->reader, block_id, out);
}

void path_read_end(struct export *room)
{
	store_reader_end(room->reader);
}

/* What is not told is sent again by the next worker: better twice than an account that is wrong. */
void path_progress(struct export *room, unsigned exporter, const struct progress *p)
{
	struct progress_note *note = malloc(sizeof(*note));
	if (note == NULL) {
		fail(-ENOMEM, "export: cannot tell of progress");
		_Exit(EX_OSERR);
	}
	note->mail.kind = MAIL_PROGRESS;
	note->exporter = exporter;
	note->progress = *p;
	room_answer(&room->relay->archive.room, &note->mail);
}

void path_spill(struct export *room, struct spill *s)
{
	s->mail.kind = MAIL_SPILL;
	room_answer(&room->relay->spillway.room, &s->mail);
}

void path_seal(struct export *room, unsigned exporter, int box)
{
	struct box_note *note = calloc(1, sizeof(*note));
	if (note == NULL) {
		fail(-ENOMEM, "export: cannot ask for a seal");
		_Exit(EX_OSERR);
	}
	note->mail.kind = MAIL_SEAL;
	note->exporter = exporter;
	note->box = (enum span_place)box;
	room_answer(&room->relay->spillway.room, &note->mail);
}

int path_parcel(struct export *room, unsigned exporter, int box, uint64_t id, struct parcel *p)
{
	return box_reader_next(room->boxes[exporter][box], id, p);
}

void path_parcel_done(struct export *room, unsigned exporter, int box, uint64_t id)
{
	box_reader_forget(room->boxes[exporter][box], id);
}

void path_refused(struct export *room, unsigned exporter)
{
	keys_refused(&room->relay->keys, exporter);
}

static void on_filed(struct export *e, struct filed *f)
{
	for (size_t i = 0; i < CONF_MAX_EXPORTERS; i++)
		if (e->senders[i] != NULL)
			sender_filed(e->senders[i], f->block.id, f->block.spans, f->block.bytes,
				     f->block.unix_ms);
	free(f);
}

/* Its boxes can be read. */
static int open_boxes(struct export *e, unsigned slot, const char *name)
{
	int rc = 0;
	for (int box = PLACE_OUTBOX; rc == 0 && box < PLACES; box++) {
		char dir[4096];
		rc = spillway_folder(dir, sizeof(dir), e->relay->data_dir, (enum span_place)box,
				     name);
		if (rc == 0)
			rc = box_reader_open(&e->boxes[slot][box], dir);
	}
	return rc;
}

static int open_sender(struct export *e, const struct world *w, unsigned slot, struct tls *tls,
		       const struct cursor *from, const uint64_t *box_end)
{
	const struct conf_exporter *conf = world_exporter(w, slot);
	struct sender_begin begin = {.spill_bytes = w->conf.journal.limit_bytes / SPILL_PART,
				     .segment_bytes = box_segment_bytes(conf->outbox.limit_bytes),
				     .tls = tls};
	memcpy(begin.from, from, sizeof(begin.from));
	memcpy(begin.box_end, box_end, sizeof(begin.box_end));
	int rc = open_boxes(e, slot, conf->name);
	if (rc != 0)
		return rc;
	e->senders[slot] = sender_create(conf, slot, &begin, e->room.loop, e);
	return e->senders[slot] != NULL ? 0
					: fail(-EINVAL, "exporter %s: cannot start", conf->name);
}

/* ---- a reload ---- */

static void close_exporter(struct export *e, unsigned slot)
{
	sender_destroy(e->senders[slot]);
	e->senders[slot] = NULL;
	for (int box = PLACE_OUTBOX; box < PLACES; box++) {
		box_reader_close(e->boxes[slot][box]);
		e->boxes[slot][box] = NULL;
	}
}

/* It was tried out before; without memory the next worker goes on. */
static void must(int rc)
{
	if (rc != 0)
		_Exit(EX_OSERR);
}

static void add_exporter(struct export *e, struct reload_note *n, unsigned slot)
{
	const struct cursor *from = n->accounts[slot].cursor;
	e->is_new[slot] = true;
	must(open_sender(e, n->world, slot, n->tls[slot], from, n->box_end[slot]));
	for (size_t i = 0; i < n->n_blocks; i++) {
		struct store_block b = n->blocks[i];
		sender_filed(e->senders[slot], b.id, b.spans, b.bytes, b.unix_ms);
	}
}

static uint64_t segment_of(const struct conf_exporter *conf)
{
	return box_segment_bytes(conf->outbox.limit_bytes);
}

/* One that goes, or goes another way, once what is in flight has ended. */
static bool settle(struct export *e, struct reload_note *n, unsigned slot)
{
	const struct conf_exporter *conf = world_exporter(n->world, slot);
	struct sender *s = e->senders[slot];
	if (s == NULL)
		return true;
	if (n->moves[slot] == EXPORTER_REMOVED && sender_is_idle(s)) {
		close_exporter(e, slot);
		return true;
	}
	if (n->moves[slot] != EXPORTER_REPLACED || !sender_is_quiet(s))
		return false;
	must(sender_replace(s, conf, n->tls[slot], segment_of(conf)));
	log_info("exporter goes another way", "exporter=%s endpoint=\"%s\"", conf->name,
		 conf->endpoint);
	n->moves[slot] = EXPORTER_STAYS;
	return true;
}

static void look_if_settled(struct export *e)
{
	struct reload_note *n = e->stopping ? NULL : e->reload;
	bool all = true;
	for (unsigned i = 0; n != NULL && i < CONF_MAX_EXPORTERS; i++)
		if (n->moves[i] == EXPORTER_REMOVED || n->moves[i] == EXPORTER_REPLACED)
			all = settle(e, n, i) && all;
	if (n == NULL || !all)
		return;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		n->stats[i] = e->senders[i] != NULL ? sender_stats(e->senders[i]) : NULL;
	e->reload = NULL;
	if (!e->stopping)
		ev_timer_stop(e->room.loop, &e->poll);
	reload_next(e->relay, n);
}

static void on_reload(struct export *e, struct reload_note *n)
{
	e->reload = n;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++) {
		const struct conf_exporter *conf = world_exporter(n->world, i);
		if (n->moves[i] == EXPORTER_ADDED)
			add_exporter(e, n, i);
		else if (n->moves[i] == EXPORTER_STAYS && conf != NULL)
			must(sender_take(e->senders[i], conf, segment_of(conf)));
		else if (n->moves[i] == EXPORTER_REMOVED || n->moves[i] == EXPORTER_REPLACED)
			sender_drain(e->senders[i]);
	}
	ev_timer_start(e->room.loop, &e->poll);
	look_if_settled(e);
}

static void look_if_idle(struct export *e)
{
	bool idle = true;
	for (size_t i = 0; i < CONF_MAX_EXPORTERS; i++)
		idle = idle && (e->senders[i] == NULL || sender_is_idle(e->senders[i]));
	e->idle = idle;
}

static void on_poll(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct export *e = timer->data;
	if (e->stopping)
		look_if_idle(e);
	look_if_settled(e);
}

static void on_step(struct export *e, struct step *s)
{
	free(s);
	for (size_t i = 0; i < CONF_MAX_EXPORTERS; i++)
		if (e->senders[i] != NULL)
			sender_drain(e->senders[i]);
	e->stopping = true;
	ev_timer_start(e->room.loop, &e->poll);
	look_if_idle(e);
}

static void on_spilled(struct export *e, struct spill *s)
{
	sender_on_spilled(e->senders[s->exporter], s);
}

static void add_segment(struct export *e, unsigned exporter, enum span_place box,
			struct box_segment g)
{
	if (box_reader_add(e->boxes[exporter][box], g) != 0)
		_Exit(EX_OSERR); /* no memory; the next worker finds it on disk */
	sender_on_sealed(e->senders[exporter], box, g);
}

static void on_note(struct export *e, struct box_note *note)
{
	struct sender *s = e->senders[note->exporter];
	if (s == NULL) /* it went meanwhile */
		;
	else if (note->mail.kind == MAIL_SEALED)
		add_segment(e, note->exporter, note->box, note->segment);
	else if (note->mail.kind == MAIL_RESEND)
		sender_resend_quarantine(s);
	else
		sender_clear_quarantine(s);
	free(note);
}

/* What the keys room knows is what was there at the start: not one that came by a reload. */
static bool is_original(const struct export *e, unsigned slot)
{
	return e->senders[slot] != NULL && !e->is_new[slot];
}

static void on_tls(struct export *e, struct tls_note *note)
{
	if (is_original(e, note->index))
		sender_renew(e->senders[note->index], note->tls);
	else
		tls_unref(note->tls);
	free(note);
}

static void on_key(struct export *e, struct key_note *note)
{
	struct sender *s = is_original(e, note->exporter) ? e->senders[note->exporter] : NULL;
	if (note->mail.kind == MAIL_KEY && s != NULL) {
		sender_on_key(s, note->first, note->second);
	} else if (note->mail.kind == MAIL_KEY) {
		key_release(note->first);
		key_release(note->second);
	} else if (s != NULL) {
		sender_drop_previous(s);
	}
	free(note);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct export *e = ctx;
	switch (m->kind) {
	case MAIL_FILED:
		on_filed(e, container_of(m, struct filed, mail));
		break;
	case MAIL_SPILL:
		on_spilled(e, container_of(m, struct spill, mail));
		break;
	case MAIL_STEP:
		on_step(e, container_of(m, struct step, mail));
		break;
	case MAIL_TLS:
		on_tls(e, container_of(m, struct tls_note, mail));
		break;
	case MAIL_KEY:
	case MAIL_DROP_KEY:
		on_key(e, container_of(m, struct key_note, mail));
		break;
	case MAIL_RELOAD:
		on_reload(e, container_of(m, struct reload_note, mail));
		break;
	default:
		on_note(e, container_of(m, struct box_note, mail));
	}
}

/* A block or a segment whose end came between the two stops: the next worker finds it on disk. */
static void on_late(struct mail *m)
{
	if (m->kind == MAIL_FILED)
		free(container_of(m, struct filed, mail));
	else if (m->kind == MAIL_SEALED)
		free(container_of(m, struct box_note, mail));
}

static const struct room_rules RULES = {"export", 4096, on_mail, NULL, on_late};

static int open_exporter(struct export *e, unsigned slot, const struct ledger_exporter *account)
{
	struct box_writer *boxes = e->relay->spillway.boxes[slot];
	uint64_t box_end_of[PLACES] = {0};
	struct box_segment g;
	for (int box = PLACE_OUTBOX; box < PLACES; box++)
		box_end_of[box] = box_end(boxes[box].box);
	int rc = open_sender(e, e->relay->world, slot, e->relay->certificates->exporters[slot].tls,
			     account->cursor, box_end_of);
	for (int box = PLACE_OUTBOX; rc == 0 && box < PLACES; box++)
		while (box_sealed(boxes[box].box, &g))
			add_segment(e, slot, (enum span_place)box, g);
	return rc;
}

int export_open(struct export *e, struct relay *relay)
{
	e->relay = relay;
	int rc = room_init(&e->room, &RULES, e);
	if (rc == 0)
		rc = store_reader_open(&e->reader, relay->archive.store);
	if (rc != 0)
		return rc;
	ev_timer_init(&e->poll, on_poll, POLL_S, POLL_S);
	e->poll.data = e;
	struct ledger ledger;
	store_ledger(relay->archive.store, &ledger);
	for (unsigned i = 0; rc == 0 && i < relay->world->conf.n_exporters; i++)
		rc = open_exporter(e, i, &ledger.exporter[i]);
	return rc;
}

void export_close(struct export *e)
{
	room_stop(&e->room);
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		close_exporter(e, i);
	store_reader_close(e->reader);
	room_finish(&e->room);
}

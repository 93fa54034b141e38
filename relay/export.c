/* SPDX-License-Identifier: Apache-2.0
 * The export room: every exporter's sender, and their doors to the journal. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
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
	for (size_t i = 0; i < e->relay->conf->n_exporters; i++)
		sender_filed(e->senders[i], f->block.id, f->block.spans, f->block.bytes,
			     f->block.unix_ms);
	free(f);
}

static void look_if_idle(struct export *e)
{
	bool idle = true;
	for (size_t i = 0; i < e->relay->conf->n_exporters; i++)
		idle = idle && sender_is_idle(e->senders[i]);
	e->idle = idle;
}

static void on_poll(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	look_if_idle(timer->data);
}

static void on_step(struct export *e, struct step *s)
{
	free(s);
	for (size_t i = 0; i < e->relay->conf->n_exporters; i++)
		sender_drain(e->senders[i]);
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
	if (note->mail.kind == MAIL_SEALED)
		add_segment(e, note->exporter, note->box, note->segment);
	else if (note->mail.kind == MAIL_RESEND)
		sender_resend_quarantine(s);
	else
		sender_clear_quarantine(s);
	free(note);
}

static void on_tls(struct export *e, struct tls_note *note)
{
	sender_renew(e->senders[note->index], note->tls);
	free(note);
}

static void on_key(struct export *e, struct key_note *note)
{
	struct sender *s = e->senders[note->exporter];
	if (note->mail.kind == MAIL_KEY)
		sender_on_key(s, note->first, note->second);
	else
		sender_drop_previous(s);
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
	default:
		on_note(e, container_of(m, struct box_note, mail));
	}
}

static const struct room_rules RULES = {"export", 4096, on_mail, NULL};

/* An exporter's boxes and its sender, who is shown what they hold. */
static int open_exporter(struct export *e, unsigned i, const struct ledger_exporter *account)
{
	const struct conf *conf = e->relay->conf;
	struct box_writer *boxes = e->relay->spillway.boxes[i];
	struct sender_begin begin = {
	    .spill_bytes = conf->journal.limit_bytes / SPILL_PART,
	    .segment_bytes = box_segment_bytes(conf->exporters[i].outbox.limit_bytes),
	    .tls = e->relay->certificates->exporters[i].tls,
	};
	int rc = 0;
	memcpy(begin.from, account->cursor, sizeof(begin.from));
	for (int box = PLACE_OUTBOX; rc == 0 && box < PLACES; box++) {
		char dir[4096];
		begin.box_end[box] = box_end(boxes[box].box);
		rc = spillway_folder(dir, sizeof(dir), conf->data_dir, (enum span_place)box,
				     conf->exporters[i].name);
		if (rc == 0)
			rc = box_reader_open(&e->boxes[i][box], dir);
	}
	if (rc != 0)
		return rc;
	e->senders[i] = sender_create(&conf->exporters[i], i, &begin, e->room.loop, e);
	if (e->senders[i] == NULL)
		return fail(-EINVAL, "exporter %s: cannot start", conf->exporters[i].name);
	struct box_segment g;
	for (int box = PLACE_OUTBOX; box < PLACES; box++)
		while (box_sealed(boxes[box].box, &g))
			add_segment(e, i, (enum span_place)box, g);
	return 0;
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
	for (unsigned i = 0; rc == 0 && i < relay->conf->n_exporters; i++)
		rc = open_exporter(e, i, &ledger.exporter[i]);
	return rc;
}

void export_close(struct export *e)
{
	room_stop(&e->room);
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++) {
		sender_destroy(e->senders[i]);
		for (int box = PLACE_OUTBOX; box < PLACES; box++)
			box_reader_close(e->boxes[i][box]);
	}
	store_reader_close(e->reader);
	room_finish(&e->room);
}

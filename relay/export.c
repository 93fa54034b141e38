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

static void on_mail(void *ctx, struct mail *m)
{
	struct export *e = ctx;
	if (m->kind == MAIL_FILED)
		on_filed(e, container_of(m, struct filed, mail));
	else
		on_step(e, container_of(m, struct step, mail));
}

static const struct room_rules RULES = {"export", 4096, on_mail, NULL};

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
	for (unsigned i = 0; i < relay->conf->n_exporters; i++) {
		struct sender_begin begin = {.spill_bytes = relay->conf->journal.limit_bytes / 4};
		memcpy(begin.from, ledger.exporter[i].cursor, sizeof(begin.from));
		e->senders[i] =
		    sender_create(&relay->conf->exporters[i], i, &begin, e->room.loop, e);
		if (e->senders[i] == NULL)
			return fail(-EINVAL, "exporter %s: cannot start",
				    relay->conf->exporters[i].name);
	}
	return 0;
}

void export_close(struct export *e)
{
	room_stop(&e->room);
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		sender_destroy(e->senders[i]);
	store_reader_close(e->reader);
	room_finish(&e->room);
}

/* SPDX-License-Identifier: Apache-2.0
 * What the admin page asks of the main room, and through it of others. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "relay/worker_internal.h"

static void ask_ledger(void *ctx)
{
	(void)worker_ask_ledger(ctx, false); /* without memory the page answers 503 by itself */
}

/* NULL: ready for spans. */
static const char *not_ready(void *ctx)
{
	struct worker *w = ctx;
	if (w->state != SERVING)
		return "shutting down";
	if (w->relay.journal_state == JOURNAL_IS_FULL)
		return "the journal is full";
	if (w->relay.journal_state == JOURNAL_FAILS)
		return "the journal cannot be written";
	if (account_above(&w->relay.account, 80))
		return "the memory limit is reached";
	return NULL;
}

static const struct sender_stats *stats_of(void *ctx, unsigned exporter)
{
	struct worker *w = ctx;
	return w->stats[w->relay.world->slot[exporter]];
}

static uint64_t bytes_of(void *ctx, unsigned exporter, enum span_place box)
{
	struct worker *w = ctx;
	unsigned slot = w->relay.world->slot[exporter];
	return atomic_load_explicit(&w->relay.spillway.boxes[slot][box].bytes,
				    memory_order_relaxed);
}

static void on_quarantine(void *ctx, unsigned exporter, bool send)
{
	struct worker *w = ctx;
	struct box_note *note = calloc(1, sizeof(*note));
	if (note == NULL)
		return;
	note->mail.kind = send ? MAIL_RESEND : MAIL_CLEAR;
	note->exporter = w->relay.world->slot[exporter];
	note->box = PLACE_QUARANTINE;
	room_answer(&w->relay.export.room, &note->mail);
}

static void on_drop_previous(void *ctx, unsigned exporter)
{
	struct worker *w = ctx;
	struct key_note *note = calloc(1, sizeof(*note));
	if (note == NULL)
		return;
	note->mail.kind = MAIL_DROP_KEY;
	note->exporter = w->relay.world->slot[exporter];
	note->since = w->relay.world->since.exporter[note->exporter];
	room_answer(&w->relay.export.room, &note->mail);
}

/* The keys room holds this world a little later: until then it knows nothing of this source, or of
 * another exporter. */
static const struct keyring *keyring_of(void *ctx, unsigned exporter, bool *is_old)
{
	struct worker *w = ctx;
	unsigned slot = w->relay.world->slot[exporter];
	const struct world_since *since = &w->relay.world->since;
	const struct keyring *r = &w->relay.keys.rings[slot];
	static const struct keyring NONE = {.last_result = -1};
	*is_old = atomic_load(&r->since) != since->credential[slot];
	return atomic_load(&r->came) == since->exporter[slot] ? r : &NONE;
}

static const struct certificate *certificate_of(void *ctx, unsigned exporter)
{
	struct worker *w = ctx;
	unsigned slot = w->relay.world->slot[exporter];
	const struct certificate *one = &w->relay.certificates->exporters[slot];
	return atomic_load(&one->since) == w->relay.world->since.tls[slot] ? one : NULL;
}

static bool ask_why(void *ctx, uint64_t ticket, const uint8_t *trace_id)
{
	struct worker *w = ctx;
	struct explain_request *e = w->relay.judge.has_work ? calloc(1, sizeof(*e)) : NULL;
	if (e == NULL)
		return false;
	e->mail.kind = MAIL_EXPLAIN;
	e->ticket = ticket;
	memcpy(e->explanation.trace_id, trace_id, sizeof(e->explanation.trace_id));
	room_answer(&w->relay.judge.room, &e->mail);
	return true;
}

static uint64_t ask_reload(void *ctx, bool dry_run)
{
	return worker_ask_reload(ctx, dry_run, (struct asked){.trigger = "admin"});
}

int worker_start_admin(struct worker *w, int fd)
{
	if (fd < 0)
		return 0;
	struct admin_options o = {
	    .loop = w->room.loop,
	    .fd = fd,
	    .conf = &w->relay.world->conf,
	    .metrics = &w->relay.metrics,
	    .account = &w->relay.account,
	    .ask_ledger = ask_ledger,
	    .not_ready = not_ready,
	    .stats = stats_of,
	    .box_bytes = bytes_of,
	    .quarantine = on_quarantine,
	    .drop_previous = on_drop_previous,
	    .keyring = keyring_of,
	    .certificate = certificate_of,
	    .explain = ask_why,
	    .rules = w->relay.world->rules,
	    .reload = ask_reload,
	    .certificates = w->relay.certificates,
	    .redacted = worker_redacted,
	    .checkpoint = &w->checkpoint,
	    .ctx = w,
	};
	w->admin = admin_start(&o);
	return w->admin != NULL ? 0 : fail(-ENOMEM, "admin: cannot start");
}

/* SPDX-License-Identifier: Apache-2.0
 * The reload room, and the way of a note through the others. */
#include "relay/reload.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/change.h"
#include "conf/header.h"
#include "pipeline/notice.h"
#include "relay/rooms.h"

const char *const RELOAD_RESULT_NAMES[RELOAD_RESULTS] = {"applied", "unchanged", "invalid",
							 "failed"};

/* What compiling takes from the loops they should not notice. */
enum { NICE = 10 };

/* ---- what rooms will need ---- */

static int make_judge(struct reload_note *n, const struct relay *relay)
{
	const struct policy *p = n->world->policy;
	struct sampler_now now = {clock_mono_ms(), clock_wall_ms()};
	struct budget_options b = {.nodes = p->nodes,
				   .n_nodes = p->n_nodes,
				   .largest = {(double)p->trace_spans, (double)p->trace_bytes},
				   .hash_key = relay->judge.key};
	const char *reason = NULL;
	unsigned node;
	int rc = 0;
	if (p->n_nodes != 0)
		rc = budget_create(&n->judge.budget, &b,
				   (struct budget_now){now.mono_ms, now.unix_ms}, &reason, &node);
	if (rc > 0)
		return fail(-EINVAL, "budget %s: %s", p->nodes[node].name, reason);
	struct sampler_options s = {
	    .policy = p, .budget = n->judge.budget, .hash_key = relay->judge.key};
	if (rc == 0)
		rc = sampler_create(&n->judge.sampler, &s);
	n->judge.scratch = notice_scratch(p, &relay->judge.key);
	return rc == 0 && n->judge.scratch == NULL ? fail(-ENOMEM, "reload: no memory") : rc;
}

static int make_intakes(struct reload_note *n, const struct relay *relay)
{
	bool short_of = false;
	for (unsigned i = 0; i < n->n_intakes; i++) {
		struct intake_parts *p = &n->intakes[i];
		if (n->news.redaction && n->world->rules != NULL)
			short_of |= (p->redactor = p->made = redactor_create()) == NULL;
		if (n->news.judging && n->world->judges)
			short_of |= (p->scratch = notice_scratch(n->world->policy,
								 &relay->judge.key)) == NULL;
	}
	return short_of ? fail(-ENOMEM, "reload: no memory") : 0;
}

/* ---- what becomes of exporters ---- */

/* What a sender takes over as it goes: nothing of it is in a connection. */
static bool is_taken_over(const char *key)
{
	static const char *const KEYS[] = {
	    "exporters[].headers",          "exporters[].timeout",
	    "exporters[].linger",           "exporters[].batch",
	    "exporters[].request",          "exporters[].concurrency",
	    "exporters[].retry.initial",    "exporters[].retry.max",
	    "exporters[].outbox.limit",     "exporters[].outbox.max_age",
	    "exporters[].outbox.when_full", "exporters[].preset"};
	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
		if (strcmp(key, KEYS[i]) == 0)
			return true;
	return false;
}

static enum exporter_move move_of(const struct reload_note *n, unsigned slot)
{
	const struct conf_exporter *was = world_exporter(n->was, slot);
	const struct conf_exporter *is = world_exporter(n->world, slot);
	if (was == NULL)
		return is == NULL ? EXPORTER_NONE : EXPORTER_ADDED;
	if (is == NULL)
		return EXPORTER_REMOVED;
	return change_of_exporter(was, is, is_taken_over) ? EXPORTER_REPLACED : EXPORTER_STAYS;
}

/* What the keys room reads and watches it was told of at the start. */
static bool is_credential(const char *key)
{
	return strncmp(key, "exporters[].tls.", 16) == 0 ||
	       strncmp(key, "exporters[].oauth2.", 19) == 0;
}

static bool is_no_credential(const char *key)
{
	return !is_credential(key);
}

static bool is_not_headers(const char *key)
{
	return strcmp(key, "exporters[].headers") != 0;
}

/* NULL, or what of it a reload cannot do. */
static const char *wants_restart(const struct reload_note *n, unsigned slot)
{
	const struct conf_exporter *was = world_exporter(n->was, slot);
	const struct conf_exporter *is = world_exporter(n->world, slot);
	if (is == NULL)
		return NULL;
	if (was == NULL && headers_secret(is) != 0)
		return "a new exporter with a credential";
	if (was == NULL && (*is->tls.cert_file != '\0' || *is->tls.ca_file != '\0'))
		return "a new exporter with certificates of its own";
	if (was != NULL && change_of_exporter(was, is, is_no_credential))
		return "another tls or oauth2";
	if (was != NULL && headers_secret(was) + headers_secret(is) != 0 &&
	    change_of_exporter(was, is, is_not_headers))
		return "other headers where one is a credential (its value may change in its file)";
	return NULL;
}

/* Certificates and addresses are read here, where a fault still stops the reload. */
static int make_tls(struct reload_note *n, unsigned slot, struct ev_loop *loop)
{
	const struct conf_exporter *e = world_exporter(n->world, slot);
	struct tls_notes notes;
	n->tls[slot] = certificates_client(e, &notes);
	if (*notes.fault == '\0')
		return sender_try(e, n->tls[slot], loop);
	return buf_printf(&n->news.findings, "%s\n", notes.fault) != 0 ? -ENOMEM : CONF_FAULTY;
}

static int plan_exporters(struct reload_note *n, struct ev_loop *loop)
{
	int rc = 0;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS && rc == 0; i++) {
		const char *wish = wants_restart(n, i);
		n->moves[i] = move_of(n, i);
		if (wish != NULL)
			rc = buf_printf(&n->news.findings,
					"exporters[%s]: %s needs a restart: nothing was changed\n",
					world_exporter(n->world, i)->name, wish) != 0
				 ? -ENOMEM
				 : CONF_FAULTY;
		else if (n->moves[i] == EXPORTER_ADDED || n->moves[i] == EXPORTER_REPLACED)
			rc = make_tls(n, i, loop);
	}
	return rc;
}

/* ---- the room ---- */

static void build(struct reloader *r, struct reload_note *n)
{
	int rc = world_reload(&n->world, r->file, n->was, &n->news);
	if (rc == 0)
		rc = plan_exporters(n, r->room.loop);
	if (rc == 0 && n->news.judging)
		rc = make_judge(n, r->relay);
	if (rc == 0)
		rc = make_intakes(n, r->relay);
	n->result = rc == 0                 ? RELOAD_APPLIED
		    : rc == WORLD_UNCHANGED ? RELOAD_UNCHANGED
		    : rc == CONF_FAULTY     ? RELOAD_INVALID
					    : RELOAD_FAILED;
	n->built_ms = clock_mono_ms();
	bool goes = rc == 0 && !n->dry_run;
	n->stop = goes ? RELOAD_LOOK : RELOAD_DONE;
	room_answer(goes ? &r->relay->archive.room : r->relay->main_room, &n->mail);
}

/* `was` is nobody's now, or what was made is, because nothing came of it. */
static void bury(struct reload_note *n)
{
	bool is_applied = n->result == RELOAD_APPLIED && !n->dry_run;
	struct world *was = (struct world *)(uintptr_t)n->was;
	struct world *dead = is_applied ? was : n->world;
	const struct world *living = is_applied ? n->world : was;
	bool was_large = n->news.redaction || n->news.judging;
	reload_free(n);
	if (dead != NULL && dead->number == 1)
		world_retire(dead, living);
	else
		world_destroy(dead, living);
	if (was_large)
		malloc_trim(0);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct reloader *r = ctx;
	struct reload_note *n = container_of(m, struct reload_note, mail);
	if (n->stop == RELOAD_BUILD)
		build(r, n);
	else
		bury(n);
}

static void on_round(void *ctx)
{
	(void)ctx;
	if (getpriority(PRIO_PROCESS, (id_t)gettid()) < NICE)
		setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static const struct room_rules RULES = {"reload", 64, on_mail, on_round, NULL};

int reloader_open(struct reloader *r, struct relay *relay, const char *file)
{
	r->relay = relay;
	r->file = file;
	return room_init(&r->room, &RULES, r);
}

void reloader_close(struct reloader *r)
{
	room_stop(&r->room);
	room_finish(&r->room);
}

/* ---- notes ---- */

struct reload_note *reload_begin(struct relay *relay, const struct world *was, uint64_t turn,
				 bool dry_run)
{
	struct reload_note *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->mail.kind = MAIL_RELOAD;
	n->turn = turn;
	n->dry_run = dry_run;
	n->was = was;
	n->n_intakes = relay->n_intakes;
	n->began_ms = clock_mono_ms();
	room_answer(&relay->reloader.room, &n->mail);
	return n;
}

static struct room *room_of(struct relay *relay, const struct reload_note *n)
{
	switch (n->stop) {
	case RELOAD_OPEN:
	case RELOAD_CLOSE:
		return &relay->spillway.room;
	case RELOAD_JUDGE:
		return &relay->judge.room;
	case RELOAD_INTAKE:
		return &relay->intakes[n->intake].room;
	case RELOAD_LOOK:
	case RELOAD_STORE:
	case RELOAD_REMOVE:
		return &relay->archive.room;
	case RELOAD_EXPORT:
		return &relay->export.room;
	case RELOAD_HIDE:
	case RELOAD_DONE:
		return relay->main_room;
	default:
		return &relay->reloader.room;
	}
}

void reload_next(struct relay *relay, struct reload_note *n)
{
	if (n->result != RELOAD_APPLIED && n->stop == RELOAD_OPEN)
		n->stop = RELOAD_DONE;
	else if (n->stop != RELOAD_INTAKE || ++n->intake == n->n_intakes)
		n->stop++;
	room_answer(room_of(relay, n), &n->mail);
}

void reload_free(struct reload_note *n)
{
	if (n == NULL)
		return;
	sampler_destroy(n->judge.sampler);
	budget_destroy(n->judge.budget);
	condition_scratch_destroy(n->judge.scratch);
	for (unsigned i = 0; i < n->n_intakes; i++) {
		redactor_destroy(n->intakes[i].redactor);
		condition_scratch_destroy(n->intakes[i].scratch);
	}
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		tls_unref(n->tls[i]);
	world_news_finish(&n->news);
	free(n->blocks);
	free(n);
}

/* SPDX-License-Identifier: Apache-2.0
 * The main room of a worker: accepts, the admin page, signals, start and stop. */
#include "relay/worker.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "receivers/listener.h"
#include "redaction/redact.h"
#include "relay/admin.h"
#include "relay/found.h"
#include "relay/interval.h"
#include "relay/rooms.h"
#include "relay/turns.h"

/* The steps of a stop, each with its own reason to go on; every one ends at the deadline too. */
enum stop_state { SERVING, NOTICED, DRAINING, SENDING, STOPPED };

enum {
	NOTICE_MS = 100,   /* a round trip between the two GOAWAYs (C14) */
	SENDING_MS = 2000, /* what is in flight to backends; the rest is on disk */
	SUCCESSOR_POLL_MS = 5,
	DEAD_MS = 1000,
	KEEP_HEAP = 8 << 20 /* bodies come and go: give memory back only above this */
};

static const double STEP_S = 0.01;

struct worker {
	struct relay relay;
	struct room room;
	struct listener listeners[PORTS];
	struct admin *admin;
	struct store_lock *lock;
	int signal_fd; /* as room.wake_fd: not libev's pipe */
	struct ev_io on_signal;
	struct ev_timer step;
	const char *file;    /* the configuration; NULL: defaults */
	int report;          /* to the keeper */
	struct world *first; /* whose options the keys room goes by */
	struct turns turns;
	struct reload_note *reload; /* under way; NULL: none is */
	/* Who asked last for one, and who for the one under way: "signal" or "admin". */
	struct asked {
		const char *trigger;
		struct caller who;
	} asked, asking;
	/* What the page shows of other rooms: they change it only by a note that comes here. */
	const struct sender_stats *stats[CONF_MAX_EXPORTERS]; /* by slot */
	struct redactor *redactors[MAX_INTAKES];
	struct found found;
	struct interval interval;
	struct ev_timer interval_timer;
	bool interval_asked;          /* for the ledger */
	struct audit_head checkpoint; /* of the audit log; seq 0: there is none */
	enum stop_state state;
	uint64_t state_ms, stop_ms; /* when this state began; when the stop did */
	unsigned intakes_open;
};

/* ---- connections ---- */

static struct intake *least_loaded(struct relay *relay)
{
	struct intake *best = &relay->intakes[0];
	for (unsigned i = 1; i < relay->n_intakes; i++)
		if (relay->intakes[i].load < best->load)
			best = &relay->intakes[i];
	return best;
}

static void refuse_connection(struct relay *relay, int fd)
{
	metric_add(&relay->metrics, METRIC_CLOSED_LIMIT, 1);
	log_limited(LOG_WARN, "connection refused", "reason=\"limits.connections\" limit=%llu",
		    (unsigned long long)relay->world->conf.limits.connections);
	close(fd);
}

static void on_accepted(void *ctx, int fd, enum port port)
{
	struct relay *relay = ctx;
	struct accepted *a = malloc(sizeof(*a));
	if (a == NULL || metric_get(&relay->metrics, METRIC_CONNECTIONS_OPEN) >=
			     relay->world->conf.limits.connections) {
		free(a);
		refuse_connection(relay, fd);
		return;
	}
	*a = (struct accepted){.mail.kind = MAIL_ACCEPTED, .fd = fd, .port = port};
	metric_add(&relay->metrics, METRIC_CONNECTIONS_OPENED, 1);
	metric_add(&relay->metrics, METRIC_CONNECTIONS_OPEN, 1);
	struct intake *in = least_loaded(relay);
	in->load++;
	room_answer(&in->room, &a->mail);
}

/* ---- reloads ---- */

static void begin_turn(struct worker *w)
{
	enum turn_kind kind;
	uint64_t turn = w->state == SERVING ? turns_begin(&w->turns, &kind) : 0;
	if (turn == 0)
		return;
	w->asking = w->asked;
	w->reload = reload_begin(&w->relay, w->relay.world, turn, kind == TURN_DRY_RUN);
	if (w->reload != NULL)
		return;
	fail(-ENOMEM, "reload: no memory");
	turns_end(&w->turns); /* whoever waits for it is told nothing, and gives up */
}

static uint64_t ask_for(struct worker *w, bool dry_run, struct asked by)
{
	if (!dry_run)
		w->asked = by;
	uint64_t turn = turns_ask(&w->turns, dry_run ? TURN_DRY_RUN : TURN_RELOAD);
	begin_turn(w);
	return turn;
}

static uint64_t ask_reload(void *ctx, bool dry_run)
{
	return ask_for(ctx, dry_run, (struct asked){.trigger = "admin"});
}

static void log_lines(enum log_level level, const char *message, const char *key,
		      const struct buf *lines)
{
	const char *at = (const char *)lines->data, *end = at + lines->len;
	while (lines->len != 0 && at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		int len = (int)((stop != NULL ? stop : end) - at);
		char text[1024]; /* whose quotes do not end the value */
		snprintf(text, sizeof(text), "%.*s", len, at);
		for (char *quote = text; (quote = strchr(quote, '"')) != NULL;)
			*quote = '\'';
		log_line(level, message, "%s=\"%s\"", key, text);
		at += len + 1;
	}
}

static void log_reload(const struct reload_note *n)
{
	bool faulty = n->result == RELOAD_INVALID;
	unsigned long long built = n->built_ms - n->began_ms, all = clock_mono_ms() - n->began_ms;
	log_lines(faulty ? LOG_ERROR : LOG_WARN, "configuration", "finding", &n->news.findings);
	if (n->dry_run)
		return;
	log_lines(LOG_WARN, "a change needs a restart", "change", &n->news.restart);
	if (n->result == RELOAD_APPLIED)
		log_lines(LOG_INFO, "configuration changed", "change", &n->news.changes);
	log_line(
	    n->result == RELOAD_APPLIED || n->result == RELOAD_UNCHANGED ? LOG_INFO : LOG_ERROR,
	    "reload", "result=%s generation=%llu build_ms=%llu ms=%llu",
	    RELOAD_RESULT_NAMES[n->result],
	    (unsigned long long)(n->result == RELOAD_APPLIED ? n->world->number : n->was->number),
	    built, all);
}

static void report(const struct worker *w, char what)
{
	if (write(w->report, &what, 1) != 1)
		log_warn("the keeper does not listen", "pid=%d", (int)getppid());
}

/* How long its patience with a stop has to last. */
static void report_deadline(const struct worker *w)
{
	char message[1 + sizeof(uint64_t)] = {REPORT_DEADLINE};
	memcpy(message + 1, &w->relay.world->conf.shutdown_ms, sizeof(uint64_t));
	if (write(w->report, message, sizeof(message)) != (ssize_t)sizeof(message))
		log_warn("the keeper does not listen", "pid=%d", (int)getppid());
}

static void show_world(struct worker *w)
{
	const struct world *world = w->relay.world;
	metric_set(&w->relay.metrics, METRIC_RELOAD_GENERATION, world->number);
	metric_set(&w->relay.metrics, METRIC_RELOAD_GOOD, world->unix_ms);
	metric_set(&w->relay.metrics, METRIC_MEMORY_LIMIT_BYTES, world->conf.limits.memory_bytes);
	w->relay.account.limit = world->conf.limits.memory_bytes;
	log_setup((enum log_level)world->conf.log.level, world->conf.log.json);
	report_deadline(w);
}

/* All rooms hold the new one. */
static void take_world(struct worker *w, struct reload_note *n)
{
	for (unsigned i = 0; i < n->n_intakes && n->news.redaction; i++) {
		found_add(&w->found, n->intakes[i].redactor, n->was->rules);
		w->redactors[i] = n->intakes[i].made;
	}
	memcpy(w->stats, n->stats, sizeof(w->stats));
	w->relay.world = n->world;
	if (w->admin != NULL)
		admin_use(w->admin, &n->world->conf, n->world->rules);
	show_world(w);
}

static void hide_removed(struct worker *w, struct reload_note *n)
{
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		if (n->moves[i] == EXPORTER_REMOVED)
			w->stats[i] = NULL;
}

static void on_reload(struct worker *w, struct reload_note *n)
{
	static const enum metric COUNTERS[RELOAD_RESULTS] = {
	    METRIC_RELOADS_APPLIED, METRIC_RELOADS_UNCHANGED, METRIC_RELOADS_INVALID,
	    METRIC_RELOADS_FAILED};
	if (n->stop == RELOAD_HIDE) {
		hide_removed(w, n);
		reload_next(&w->relay, n);
		return;
	}
	if (n->result == RELOAD_APPLIED && !n->dry_run)
		take_world(w, n);
	if (!n->dry_run)
		metric_add(&w->relay.metrics, COUNTERS[n->result], 1);
	log_reload(n);
	if (!n->dry_run)
		audit_reload(&w->relay.auditor, n, w->asking.trigger, w->asking.who);
	if (w->admin != NULL)
		admin_on_reloaded(w->admin, n);
	w->reload = NULL;
	reload_next(&w->relay, n); /* to be buried */
	turns_end(&w->turns);
	begin_turn(w);
}

/* ---- the admin page ---- */

static bool ask_for_ledger(struct worker *w, bool for_audit)
{
	struct ledger_request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		return false;
	request->mail.kind = MAIL_LEDGER;
	request->for_audit = for_audit;
	room_answer(&w->relay.archive.room, &request->mail);
	return true;
}

static void ask_ledger(void *ctx)
{
	(void)ask_for_ledger(ctx, false); /* without memory the page answers 503 by itself */
}

/* ---- the audit log ---- */

static uint64_t redacted(void *ctx, uint32_t number, unsigned position)
{
	struct worker *w = ctx;
	uint64_t n = 0;
	for (unsigned i = 0; i < w->relay.n_intakes; i++)
		n += redactor_count(w->redactors[i], number, (enum position)position);
	return n + found_of(&w->found, ruleset_id(w->relay.world->rules, number),
			    (enum position)position);
}

static void on_interval(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct worker *w = timer->data;
	if (!w->interval_asked)
		w->interval_asked = ask_for_ledger(w, true);
}

/* What has happened since the last time. */
static void end_interval(struct worker *w, const struct ledger *ledger, struct judge_view *judge)
{
	const struct interval_now now = {.ledger = ledger,
					 .judge = judge,
					 .rules = w->relay.world->rules,
					 .redacted = redacted,
					 .ctx = w,
					 .metrics = &w->relay.metrics};
	interval_end(&w->interval, &now);
	w->interval_asked = false;
}

static void start_interval(struct worker *w)
{
	struct ledger ledger;
	double s = (double)w->relay.world->conf.audit.interval_ms / 1000;
	ev_timer_init(&w->interval_timer, on_interval, s, s);
	w->interval_timer.data = w;
	if (!w->relay.auditor.on)
		return;
	store_ledger(w->relay.archive.store, &ledger);
	interval_begin(&w->interval, &w->relay.auditor, &ledger);
	ev_timer_start(w->room.loop, &w->interval_timer);
}

/* ---- mail ---- */

static void ledger_request_free(struct ledger_request *request)
{
	free(request->judge);
	free(request);
}

static void on_ledger(struct worker *w, struct ledger_request *request)
{
	if (request->for_audit)
		end_interval(w, &request->ledger, request->judge);
	else if (w->admin != NULL)
		admin_on_ledger(w->admin, &request->ledger, request->judge);
	ledger_request_free(request);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct worker *w = ctx;
	if (m->kind == MAIL_RELOAD) {
		on_reload(w, container_of(m, struct reload_note, mail));
		return;
	}
	if (m->kind == MAIL_EXPLAIN) {
		struct explain_request *e = container_of(m, struct explain_request, mail);
		if (w->admin != NULL)
			admin_on_explained(w->admin, e->ticket, &e->explanation);
		free(e);
		return;
	}
	if (m->kind == MAIL_CHECKPOINT) {
		struct checkpoint_note *n = container_of(m, struct checkpoint_note, mail);
		w->checkpoint = n->head;
		free(n);
		return;
	}
	on_ledger(w, container_of(m, struct ledger_request, mail));
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
	room_answer(&w->relay.export.room, &note->mail);
}

/* The one that the keys room knows in that slot: it was there when the worker began. */
static bool is_original(const struct worker *w, unsigned slot)
{
	const struct conf_exporter *was = world_exporter(w->first, slot);
	const struct conf_exporter *is = world_exporter(w->relay.world, slot);
	return was != NULL && is != NULL && strcmp(was->name, is->name) == 0;
}

static const struct keyring *keyring_of(void *ctx, unsigned exporter)
{
	struct worker *w = ctx;
	unsigned slot = w->relay.world->slot[exporter];
	static const struct keyring NONE = {.last_result = -1};
	return is_original(w, slot) ? &w->relay.keys.rings[slot] : &NONE;
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

/* Answers to a page that is closed, and the last checkpoint. */
static void on_late(struct mail *m)
{
	if (m->kind == MAIL_LEDGER)
		ledger_request_free(container_of(m, struct ledger_request, mail));
	else if (m->kind == MAIL_EXPLAIN)
		free(container_of(m, struct explain_request, mail));
	else if (m->kind == MAIL_CHECKPOINT)
		free(container_of(m, struct checkpoint_note, mail));
}

static const struct room_rules RULES = {"main", 4096, on_mail, NULL, on_late};

/* ---- stop ---- */

static void post_step(struct room *room, enum stop_step what)
{
	struct step *s = malloc(sizeof(*s));
	if (s == NULL)
		return; /* the deadline does it */
	*s = (struct step){.mail.kind = MAIL_STEP, .what = what};
	room_answer(room, &s->mail);
}

static void enter(struct worker *w, enum stop_state state)
{
	w->state = state;
	w->state_ms = clock_mono_ms();
}

static void tell_intakes(struct worker *w, enum stop_step what)
{
	for (unsigned i = 0; i < w->relay.n_intakes; i++)
		post_step(&w->relay.intakes[i].room, what);
}

static void stop_step(struct worker *w)
{
	uint64_t now_ms = clock_mono_ms(), in_state_ms = now_ms - w->state_ms;
	bool late = now_ms - w->stop_ms >= w->relay.world->conf.shutdown_ms;
	switch (w->state) {
	case NOTICED:
		if (in_state_ms < NOTICE_MS && !late)
			return;
		tell_intakes(w, STEP_DRAIN);
		enter(w, DRAINING);
		return;
	case DRAINING:
		if (metric_get(&w->relay.metrics, METRIC_CONNECTIONS_OPEN) != 0 && !late)
			return;
		post_step(&w->relay.export.room, STEP_DRAIN);
		enter(w, SENDING);
		return;
	case SENDING:
		if (!w->relay.export.idle && in_state_ms < SENDING_MS && !late)
			return;
		enter(w, STOPPED);
		ev_break(w->room.loop, EVBREAK_ALL);
		return;
	default:
		return;
	}
}

static void on_step(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	stop_step(timer->data);
}

static void stop(struct worker *w)
{
	if (w->state != SERVING)
		_exit(EX_OK); /* the second one: every start is a recovery, so this is safe */
	log_info("stopping", "connections=%llu deadline_ms=%llu",
		 (unsigned long long)metric_get(&w->relay.metrics, METRIC_CONNECTIONS_OPEN),
		 (unsigned long long)w->relay.world->conf.shutdown_ms);
	for (int i = 0; i < PORTS; i++)
		listener_stop(&w->listeners[i]);
	w->stop_ms = clock_mono_ms();
	tell_intakes(w, STEP_NOTICE);
	enter(w, NOTICED);
	ev_timer_start(w->room.loop, &w->step);
}

static void on_signal(struct ev_loop *loop, struct ev_io *watcher, int events)
{
	(void)loop;
	struct worker *w = watcher->data;
	struct signalfd_siginfo which = {.ssi_signo = SIGTERM};
	if (events & EV_ERROR) {
		fail(-errno, "the kernel does not watch for signals");
		_exit(EX_OSERR);
	}
	if (read(w->signal_fd, &which, sizeof(which)) < 0) /* a signal all the same */
		log_warn("a signal cannot be read", "code=%d", errno);
	if (which.ssi_signo == SIGHUP) {
		struct caller who = caller_of(&which);
		keys_reread(&w->relay.keys, who);
		ask_for(w, false, (struct asked){"signal", who});
	} else {
		stop(w);
	}
}

/* ---- start ---- */

/* The old worker of an upgrade holds the data until it has drained. One that was killed lets go
 * when the kernel has taken it apart, which may be after the next one began. Anybody else is a
 * mistake.
 */
static int take_lock(struct worker *w, bool wait)
{
	const char *dir = w->relay.data_dir;
	uint64_t patience_ms = wait ? w->relay.world->conf.shutdown_ms + 30000 : DEAD_MS;
	uint64_t give_up_ms = clock_mono_ms() + patience_ms;
	for (;;) {
		int rc = store_lock_open(&w->lock, dir);
		if (rc == 0)
			return 0;
		if (rc < 0)
			return EX_CANTCREAT;
		if (clock_mono_ms() > give_up_ms) {
			log_error("data folder in use",
				  "data_dir=\"%s\" reason=\"another process holds %s/LOCK\"", dir,
				  dir);
			return EX_TEMPFAIL;
		}
		poll(NULL, 0, SUCCESSOR_POLL_MS);
	}
}

static int open_rooms(struct worker *w, bool succeeds)
{
	struct relay *relay = &w->relay;
	int rc = auditor_open(&relay->auditor, relay, succeeds);
	if (rc == 0)
		rc = archive_open(&relay->archive, relay);
	if (rc == 0)
		rc = judge_open(&relay->judge, relay);
	if (rc == 0)
		rc = spillway_open(&relay->spillway, relay);
	if (rc == 0)
		judge_record(&relay->judge);
	if (rc == 0)
		rc = export_open(&relay->export, relay);
	if (rc == 0)
		rc = keys_open(&relay->keys, relay);
	if (rc == 0)
		rc = certificates_watch(relay->certificates, relay);
	if (rc == 0)
		rc = reloader_open(&relay->reloader, relay, w->file);
	relay->n_intakes = (unsigned)relay->world->conf.intake_threads;
	while (rc == 0 && w->intakes_open < relay->n_intakes)
		rc = intake_open(&relay->intakes[w->intakes_open++], relay);
	return rc;
}

static int start_rooms(struct relay *relay)
{
	int rc = auditor_start(&relay->auditor);
	if (rc == 0)
		rc = room_start(&relay->export.room);
	if (rc == 0)
		rc = keys_start(&relay->keys);
	if (rc == 0)
		rc = room_start(&relay->spillway.room);
	archive_tell_held(&relay->archive);
	if (rc == 0)
		rc = room_start(&relay->judge.room);
	if (rc == 0)
		rc = room_start(&relay->archive.room);
	for (unsigned i = 0; rc == 0 && i < relay->n_intakes; i++)
		rc = room_start(&relay->intakes[i].room);
	if (rc == 0)
		rc = room_start(&relay->reloader.room);
	return rc;
}

/* The account as it is left, when nobody changes it any more. */
static void end_account(struct worker *w)
{
	struct ledger ledger;
	if (!w->interval.begun)
		return;
	store_ledger(w->relay.archive.store, &ledger);
	end_interval(w, &ledger, NULL);
	interval_finish(&w->interval);
	ev_timer_stop(w->room.loop, &w->interval_timer);
}

/* In the order of the path: whoever is stopped gets no more mail, and what it sent is still read.
 * The intakes last of all free the batches that come back. False: a thread could not be ended. */
static bool close_rooms(struct worker *w, int code)
{
	struct relay *relay = &w->relay;
	bool whole = keys_stop(&relay->keys);
	relay->judge.stopping = true; /* what it would still decide, the next worker does */
	reloader_close(&relay->reloader);
	room_stop(&relay->export.room);
	room_stop(&relay->spillway.room); /* it holds what the senders own */
	room_stop(&relay->archive.room);
	room_stop(&relay->judge.room);
	end_account(w);
	for (unsigned i = 0; i < w->intakes_open; i++)
		intake_close(&relay->intakes[i]);
	export_close(&relay->export);
	spillway_close(&relay->spillway);
	judge_close(&relay->judge);
	archive_close(&relay->archive);
	if (whole)
		keys_close(&relay->keys);
	found_finish(&w->found);
	if (w->reload != NULL) { /* it went no further */
		world_destroy(w->reload->world, relay->world);
		reload_free(w->reload);
	}
	whole = auditor_stop(&relay->auditor, code) && whole;
	if (whole) /* else somebody may still tell it something */
		auditor_close(&relay->auditor);
	return whole;
}

static int start_admin(struct worker *w, int fd)
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
	    .explain = ask_why,
	    .rules = w->relay.world->rules,
	    .reload = ask_reload,
	    .certificates = w->relay.certificates,
	    .redacted = redacted,
	    .checkpoint = &w->checkpoint,
	    .ctx = w,
	};
	w->admin = admin_start(&o);
	return w->admin != NULL ? 0 : fail(-ENOMEM, "admin: cannot start");
}

static void start_listeners(struct worker *w, const int *sockets)
{
	static const int SOCKET_OF[PORTS] = {[PORT_GRPC] = SOCKET_GRPC, [PORT_HTTP] = SOCKET_HTTP};
	for (int i = 0; i < PORTS; i++) {
		struct listener *l = &w->listeners[i];
		*l = (struct listener){
		    .port = (enum port)i, .on_accepted = on_accepted, .ctx = &w->relay};
		if (sockets[SOCKET_OF[i]] >= 0)
			listener_start(l, w->room.loop, sockets[SOCKET_OF[i]]);
	}
}

/* Threads that are started later inherit the mask. */
static int catch_signals(struct worker *w)
{
	sigset_t caught;
	sigemptyset(&caught);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGINT);
	sigaddset(&caught, SIGHUP);
	sigprocmask(SIG_BLOCK, &caught, NULL);
	signal(SIGHUP, SIG_DFL); /* the keeper had it ignored for as long as nobody could read it */
	w->signal_fd = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->signal_fd < 0)
		return fail(-errno, "no signalfd");
	ev_io_init(&w->on_signal, on_signal, w->signal_fd, EV_READ);
	w->on_signal.data = w;
	ev_io_start(w->room.loop, &w->on_signal);
	ev_timer_init(&w->step, on_step, STEP_S, STEP_S);
	w->step.data = w;
	return 0;
}

/* A token in a core file is a leaked token. Leak checkers attach to the process, so not under them.
 */
static void harden(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* libev would abort. The relay ends in good order instead, as wherever it cannot go on: the keeper
 * starts the next one, who finds everything on disk. */
static void *alloc_for_libev(void *old, long bytes)
{
	if (bytes == 0) {
		free(old);
		return NULL;
	}
	void *p = realloc(old, (size_t)bytes);
	if (p != NULL)
		return p;
	fail(-ENOMEM, "libev: no memory for %ld bytes", bytes);
	_exit(EX_OSERR);
}

static void on_libev_error(const char *message)
{
	fail(-errno, "%s", message);
	_exit(EX_OSERR);
}

static void raise_file_limit(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void log_exporter(const struct conf_exporter *e)
{
	log_info("exporter", "name=%s endpoint=\"%s\" chosen_by=\"%s\"", e->name, e->endpoint,
		 e->chosen_by);
	if (e->tls.skip_verify)
		log_warn("any certificate is believed",
			 "exporter=%s reason=\"tls.skip_verify: whoever answers gets spans and "
			 "headers\"",
			 e->name);
	if (e->tls.insecure && strncmp(e->endpoint, "http://", 7) == 0)
		log_warn("headers go in plain text",
			 "exporter=%s reason=\"tls.insecure: everybody on the way can read them\"",
			 e->name);
}

static void log_start(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_exporters; i++)
		log_exporter(&conf->exporters[i]);
}

/* Before their rooms start. */
static void look_at_rooms(struct worker *w)
{
	for (unsigned i = 0; i < w->relay.n_intakes; i++)
		w->redactors[i] = w->relay.intakes[i].redactor;
	for (unsigned i = 0; i < w->relay.world->conf.n_exporters; i++)
		w->stats[i] = sender_stats(w->relay.export.senders[i]);
	show_world(w);
}

static int serve(struct worker *w, const struct worker_birth *birth)
{
	look_at_rooms(w);
	start_interval(w);
	int rc = start_rooms(&w->relay);
	if (rc == 0)
		rc = start_admin(w, birth->sockets[SOCKET_ADMIN]);
	if (rc != 0)
		return EX_OSERR;
	start_listeners(w, birth->sockets);
	report(w, REPORT_READY);
	log_start(&w->relay.world->conf);
	log_info("ready", "version=%s pid=%d data_dir=\"%s\"%s", SPANRELAY_VERSION, (int)getpid(),
		 w->relay.data_dir, w->relay.discard ? " discard=true" : "");
	ev_run(w->room.loop, 0);
	admin_stop(w->admin);
	w->admin = NULL;
	return EX_OK;
}

int worker_run(struct world *world, struct certificates *certificates, const char *file,
	       const struct worker_birth *birth, bool discard)
{
	struct worker *w = calloc(1, sizeof(*w));
	int code = EX_OSERR;
	if (w == NULL)
		return code;
	mallopt(M_MMAP_THRESHOLD, KEEP_HEAP);
	mallopt(M_TRIM_THRESHOLD, KEEP_HEAP);
	prctl(PR_SET_NAME, "spanrelay");
	ev_set_allocator(alloc_for_libev);
	ev_set_syserr_cb(on_libev_error);
	harden();
	raise_file_limit();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(), not of ours */
	w->file = file;
	w->report = birth->report;
	w->relay.world = world;
	w->relay.data_dir = world->conf.data_dir;
	w->first = world;
	w->relay.certificates = certificates;
	w->relay.discard = discard;
	w->relay.account.limit = world->conf.limits.memory_bytes;
	w->relay.main_room = &w->room;
	if (room_init(&w->room, &RULES, w) != 0)
		goto undo_worker;
	if (catch_signals(w) != 0)
		goto undo_room;
	report(w, REPORT_PREPARED);
	code = take_lock(w, birth->succeeds);
	if (code != 0)
		goto undo_signals;
	code = EX_IOERR;
	if (open_rooms(w, birth->succeeds) == 0)
		code = serve(w, birth);
	bool whole = close_rooms(w, code);
	store_lock_close(w->lock);
	log_info("stopped", "code=%d", code);
	if (!whole)
		_exit(code); /* a thread is left that still uses all of this */
undo_signals:
	ev_io_stop(w->room.loop, &w->on_signal);
	close(w->signal_fd);
undo_room:
	room_finish(&w->room);
undo_worker:
	if (w->relay.world != world)
		world_destroy(w->relay.world, NULL);
	free(w);
	return code;
}

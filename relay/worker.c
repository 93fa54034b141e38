/* SPDX-License-Identifier: Apache-2.0
 * The main room of a worker: accepts, signals, start and stop. */
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
#include "relay/worker_internal.h"

enum {
	NOTICE_MS = 100,   /* a round trip between the two GOAWAYs (C14) */
	SENDING_MS = 2000, /* what is in flight to backends; the rest is on disk */
	SUCCESSOR_POLL_MS = 5,
	DEAD_MS = 1000,
	KEEP_HEAP = 8 << 20 /* bodies come and go: give memory back only above this */
};

static const double STEP_S = 0.01;

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

/* ---- mail ---- */

static void ledger_request_free(struct ledger_request *request)
{
	free(request->judge);
	free(request);
}

static void on_ledger(struct worker *w, struct ledger_request *request)
{
	if (request->for_audit)
		worker_end_interval(w, &request->ledger, request->judge);
	else if (w->admin != NULL)
		admin_on_ledger(w->admin, &request->ledger, request->judge);
	ledger_request_free(request);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct worker *w = ctx;
	if (m->kind == MAIL_RELOAD) {
		worker_on_reload(w, container_of(m, struct reload_note, mail));
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
		worker_ask_reload(w, false, (struct asked){"signal", who});
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
	worker_end_account(w);
	for (unsigned i = 0; i < w->intakes_open; i++)
		intake_close(&relay->intakes[i]);
	export_close(&relay->export);
	spillway_close(&relay->spillway);
	judge_close(&relay->judge);
	archive_close(&relay->archive);
	if (whole)
		keys_close(&relay->keys);
	found_finish(&w->found);
	whole = auditor_stop(&relay->auditor, code) && whole;
	if (whole) /* else somebody may still tell it something */
		auditor_close(&relay->auditor);
	return whole;
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

/* Before their rooms start. */
static void look_at_rooms(struct worker *w)
{
	for (unsigned i = 0; i < w->relay.n_intakes; i++)
		w->redactors[i] = w->relay.intakes[i].redactor;
	for (unsigned i = 0; i < w->relay.world->conf.n_exporters; i++)
		w->stats[i] = sender_stats(w->relay.export.senders[i]);
	worker_show_world(w);
}

static int serve(struct worker *w, const struct worker_birth *birth)
{
	look_at_rooms(w);
	worker_start_account(w);
	int rc = start_rooms(&w->relay);
	if (rc == 0)
		rc = worker_start_admin(w, birth->sockets[SOCKET_ADMIN]);
	if (rc != 0)
		return EX_OSERR;
	start_listeners(w, birth->sockets);
	worker_report(w, REPORT_READY);
	worker_log_exporters(w->relay.world);
	log_info("ready", "version=%s pid=%d data_dir=\"%s\"%s", SPANRELAY_VERSION, (int)getpid(),
		 w->relay.data_dir, w->relay.discard ? " discard=true" : "");
	ev_run(w->room.loop, 0);
	admin_stop(w->admin);
	w->admin = NULL;
	return EX_OK;
}

/* One that went no further: after all rooms, for its mail may be in any of them. */
static void free_reload(struct worker *w)
{
	if (w->reload == NULL)
		return;
	world_destroy(w->reload->world, w->relay.world);
	reload_free(w->reload);
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
	w->relay.certificates = certificates;
	w->relay.discard = discard;
	w->relay.account.limit = world->conf.limits.memory_bytes;
	w->relay.main_room = &w->room;
	if (room_init(&w->room, &RULES, w) != 0)
		goto undo_worker;
	if (catch_signals(w) != 0)
		goto undo_room;
	worker_report(w, REPORT_PREPARED);
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
	free_reload(w);
undo_worker:
	if (w->relay.world != world)
		world_destroy(w->relay.world, NULL);
	free(w);
	return code;
}

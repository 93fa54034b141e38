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
#include "relay/rooms.h"

/* The steps of a stop, each with its own reason to go on; every one ends at the deadline too. */
enum stop_state { SERVING, NOTICED, DRAINING, SENDING, STOPPED };

enum {
	NOTICE_MS = 100,   /* a round trip between the two GOAWAYs (C14) */
	SENDING_MS = 2000, /* what is in flight to backends; the rest is on disk */
	SUCCESSOR_POLL_MS = 5,
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
		    (unsigned long long)relay->conf->limits.connections);
	close(fd);
}

static void on_accepted(void *ctx, int fd, enum port port)
{
	struct relay *relay = ctx;
	struct accepted *a = malloc(sizeof(*a));
	if (a == NULL || metric_get(&relay->metrics, METRIC_CONNECTIONS_OPEN) >=
			     relay->conf->limits.connections) {
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

/* ---- the admin page ---- */

static void ask_ledger(void *ctx)
{
	struct worker *w = ctx;
	struct ledger_request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		return; /* the page answers 503 by itself */
	request->mail.kind = MAIL_LEDGER;
	room_answer(&w->relay.archive.room, &request->mail);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct worker *w = ctx;
	if (m->kind == MAIL_EXPLAIN) {
		struct explain_request *e = container_of(m, struct explain_request, mail);
		if (w->admin != NULL)
			admin_on_explained(w->admin, e->ticket, &e->explanation);
		free(e);
		return;
	}
	struct ledger_request *request = container_of(m, struct ledger_request, mail);
	if (w->admin != NULL)
		admin_on_ledger(w->admin, &request->ledger, request->judge);
	free(request->judge);
	free(request);
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
	return sender_stats(w->relay.export.senders[exporter]);
}

static uint64_t bytes_of(void *ctx, unsigned exporter, enum span_place box)
{
	struct worker *w = ctx;
	return atomic_load_explicit(&w->relay.spillway.boxes[exporter][box].bytes,
				    memory_order_relaxed);
}

static void on_quarantine(void *ctx, unsigned exporter, bool send)
{
	struct worker *w = ctx;
	struct box_note *note = calloc(1, sizeof(*note));
	if (note == NULL)
		return;
	note->mail.kind = send ? MAIL_RESEND : MAIL_CLEAR;
	note->exporter = exporter;
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
	note->exporter = exporter;
	room_answer(&w->relay.export.room, &note->mail);
}

static const struct keyring *keyring_of(void *ctx, unsigned exporter)
{
	struct worker *w = ctx;
	return &w->relay.keys.rings[exporter];
}

static bool ask_why(void *ctx, uint64_t ticket, const uint8_t *trace_id)
{
	struct worker *w = ctx;
	struct explain_request *e = w->relay.judge.sampler != NULL ? calloc(1, sizeof(*e)) : NULL;
	if (e == NULL)
		return false;
	e->mail.kind = MAIL_EXPLAIN;
	e->ticket = ticket;
	memcpy(e->explanation.trace_id, trace_id, sizeof(e->explanation.trace_id));
	room_answer(&w->relay.judge.room, &e->mail);
	return true;
}

static uint64_t redacted(void *ctx, uint32_t number, unsigned position)
{
	struct worker *w = ctx;
	uint64_t n = 0;
	for (unsigned i = 0; i < w->relay.n_intakes; i++)
		n += redactor_count(w->relay.intakes[i].redactor, number, (enum position)position);
	return n;
}

static const struct room_rules RULES = {"main", 4096, on_mail, NULL};

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
	bool late = now_ms - w->stop_ms >= w->relay.conf->shutdown_ms;
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

static void on_stop_signal(struct worker *w)
{
	if (w->state != SERVING)
		_exit(EX_OK); /* the second one: every start is a recovery, so this is safe */
	log_info("stopping", "connections=%llu deadline_ms=%llu",
		 (unsigned long long)metric_get(&w->relay.metrics, METRIC_CONNECTIONS_OPEN),
		 (unsigned long long)w->relay.conf->shutdown_ms);
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
	if (which.ssi_signo == SIGHUP)
		keys_reread(&w->relay.keys);
	else
		on_stop_signal(w);
}

/* ---- start ---- */

/* The old worker of an upgrade holds the data until it has drained; anybody else is a mistake. */
static int take_lock(struct worker *w, bool wait)
{
	const char *dir = w->relay.conf->data_dir;
	uint64_t give_up_ms = clock_mono_ms() + w->relay.conf->shutdown_ms + 30000;
	for (;;) {
		int rc = store_lock_open(&w->lock, dir);
		if (rc == 0)
			return 0;
		if (rc < 0)
			return EX_CANTCREAT;
		if (!wait || clock_mono_ms() > give_up_ms) {
			log_error("data folder in use",
				  "data_dir=\"%s\" reason=\"another process holds %s/LOCK\"", dir,
				  dir);
			return EX_TEMPFAIL;
		}
		poll(NULL, 0, SUCCESSOR_POLL_MS);
	}
}

static int open_rooms(struct worker *w)
{
	struct relay *relay = &w->relay;
	int rc = archive_open(&relay->archive, relay);
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
	relay->n_intakes = (unsigned)relay->conf->intake_threads;
	while (rc == 0 && w->intakes_open < relay->n_intakes)
		rc = intake_open(&relay->intakes[w->intakes_open++], relay);
	return rc;
}

static int start_rooms(struct relay *relay)
{
	int rc = room_start(&relay->export.room);
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
	return rc;
}

/* In the order of the path: whoever is stopped gets no more mail, and what it sent is still read.
 * The intakes last of all free the batches that come back. False: a thread could not be ended. */
static bool close_rooms(struct worker *w)
{
	struct relay *relay = &w->relay;
	bool whole = keys_stop(&relay->keys);
	relay->judge.stopping = true; /* what it would still decide, the next worker does */
	room_stop(&relay->export.room);
	room_stop(&relay->spillway.room); /* it holds what the senders own */
	room_stop(&relay->archive.room);
	room_stop(&relay->judge.room);
	for (unsigned i = 0; i < w->intakes_open; i++)
		intake_close(&relay->intakes[i]);
	export_close(&relay->export);
	spillway_close(&relay->spillway);
	judge_close(&relay->judge);
	archive_close(&relay->archive);
	if (whole)
		keys_close(&relay->keys);
	return whole;
}

static int start_admin(struct worker *w, int fd)
{
	if (fd < 0)
		return 0;
	struct admin_options o = {
	    .loop = w->room.loop,
	    .fd = fd,
	    .conf = w->relay.conf,
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
	    .rules = w->relay.rules,
	    .certificates = w->relay.certificates,
	    .redacted = redacted,
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

static void report(const struct worker_birth *birth, char what)
{
	if (write(birth->report, &what, 1) != 1)
		log_warn("the keeper does not listen", "pid=%d", (int)getppid());
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

static int serve(struct worker *w, const struct worker_birth *birth)
{
	int rc = start_rooms(&w->relay);
	if (rc == 0)
		rc = start_admin(w, birth->sockets[SOCKET_ADMIN]);
	if (rc != 0)
		return EX_OSERR;
	start_listeners(w, birth->sockets);
	report(birth, REPORT_READY);
	log_start(w->relay.conf);
	log_info("ready", "version=%s pid=%d data_dir=\"%s\"%s", SPANRELAY_VERSION, (int)getpid(),
		 w->relay.conf->data_dir, w->relay.discard ? " discard=true" : "");
	ev_run(w->room.loop, 0);
	admin_stop(w->admin);
	w->admin = NULL;
	return EX_OK;
}

int worker_run(struct conf *conf, const struct policy *policy, struct ruleset *rules,
	       struct certificates *certificates, const struct worker_birth *birth, bool discard)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return EX_OSERR;
	mallopt(M_MMAP_THRESHOLD, KEEP_HEAP);
	mallopt(M_TRIM_THRESHOLD, KEEP_HEAP);
	prctl(PR_SET_NAME, "spanrelay");
	ev_set_allocator(alloc_for_libev);
	ev_set_syserr_cb(on_libev_error);
	harden();
	raise_file_limit();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(), not of ours */
	w->relay.conf = conf;
	w->relay.policy = policy;
	w->relay.rules = rules;
	w->relay.certificates = certificates;
	w->relay.judges = policy_judges(conf);
	w->relay.discard = discard;
	w->relay.account.limit = conf->limits.memory_bytes;
	w->relay.main_room = &w->room;
	metric_set(&w->relay.metrics, METRIC_MEMORY_LIMIT_BYTES, conf->limits.memory_bytes);

	int code = EX_OSERR;
	if (room_init(&w->room, &RULES, w) != 0)
		goto undo_worker;
	if (catch_signals(w) != 0)
		goto undo_room;
	report(birth, REPORT_PREPARED);
	code = take_lock(w, birth->succeeds);
	if (code != 0)
		goto undo_signals;
	code = EX_IOERR;
	if (open_rooms(w) == 0)
		code = serve(w, birth);
	bool whole = close_rooms(w);
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
	free(w);
	return code;
}

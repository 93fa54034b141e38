/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/environment.h"
#include "relay/caller.h"
#include "relay/sockets.h"

#define BIRTH_VARIABLE "SPANRELAY_WORKER"

enum {
	FIRST_FD = 3,    /* a worker's sockets follow standard error */
	LIVED_MS = 1000, /* who was ready and lived so long did not crash at start */
	SAME_STOP_MS = 300,
	QUICK_ENDS = 5, /* in a row, before we wait between them */
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 5000,
	SUCCESSOR_MS = 30000, /* for a new binary to read its configuration */
	DEAF_MS = 5000,       /* beyond the deadline of a stop; what is acknowledged is on disk */
	DEAF_AT_ONCE_MS = 1000,
	SECRETS_BYTES = 1 << 20
};

struct worker {
	pid_t pid;  /* 0: none */
	int report; /* -1: closed */
	uint64_t born_ms;
	bool prepared, ready;
	uint64_t shutdown_ms; /* 0: it did not say */
	bool reload_due;      /* a SIGHUP came since it began, and it was not told yet */
};

struct keeper {
	char **argv;
	int sockets[SOCKETS];
	int program;      /* the file that workers are made of */
	int next_program; /* during an upgrade */
	struct worker current, successor;
	uint64_t backoff_ms, restart_at_ms; /* 0: no restart is due */
	unsigned quick_ends;                /* in a row */
	uint64_t shutdown_ms;
	uint64_t stopped_ms, kill_at_ms; /* when the first SIGTERM came; when patience ends */
	unsigned stops;                  /* SIGTERMs so far */
	bool was_ready;
};

static volatile sig_atomic_t stop_signals, upgrade_signals, reload_signals;
/* Of the last SIGHUP. Signals come while we wait, and at no other time: see catch_signals(). */
static volatile sig_atomic_t reload_pid, reload_uid;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (number == SIGUSR2) {
		upgrade_signals++;
	} else if (number == SIGHUP) {
		reload_signals++;
		reload_pid = (int)info->si_pid;
		reload_uid = (int)info->si_uid;
	} else if (number != SIGCHLD) {
		stop_signals++;
	}
}

bool worker_birth_read(struct worker_birth *b)
{
	const char *text = getenv(BIRTH_VARIABLE);
	long numbers[SOCKETS + 3];
	if (text == NULL)
		return false;
	for (int i = 0; i < SOCKETS + 3; i++) {
		char *end;
		numbers[i] = strtol(text, &end, 10);
		if (end == text || numbers[i] < -1 || numbers[i] > INT_MAX)
			return false;
		text = *end == ',' ? end + 1 : end;
	}
	for (int i = 0; i < SOCKETS; i++)
		b->sockets[i] = (int)numbers[i];
	b->report = (int)numbers[SOCKETS];
	int secrets = (int)numbers[SOCKETS + 1];
	b->succeeds = numbers[SOCKETS + 2] != 0;
	unsetenv(BIRTH_VARIABLE);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* a worker without its keeper drains and ends */
	for (int fd = FIRST_FD; fd <= b->report; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (environment_take_over(secrets) != 0)
		_exit(EX_OSERR);
	close(secrets);
	return true;
}

/* ---- a worker's birth ---- */

/* In the child: descriptors go to known places, above which everything closes on exec. */
_Noreturn static void become_worker(const struct keeper *k, int program, int report, int secrets,
				    bool succeeds)
{
	enum { GIVEN = SOCKETS + 2 };
	int moved[GIVEN], next = FIRST_FD, numbers[GIVEN];
	for (int i = 0; i < GIVEN; i++) { /* first out of the way, then into place */
		int fd = i < SOCKETS ? k->sockets[i] : i == SOCKETS ? report : secrets;
		moved[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 64);
	}
	program = fcntl(program, F_DUPFD_CLOEXEC, 64);
	for (int i = 0; i < GIVEN; i++) {
		numbers[i] = moved[i] < 0 ? -1 : next++;
		if (moved[i] >= 0 && dup2(moved[i], numbers[i]) < 0)
			_exit(EX_OSERR);
	}
	char text[64];
	snprintf(text, sizeof(text), "%d,%d,%d,%d,%d,%d", numbers[0], numbers[1], numbers[2],
		 numbers[3], numbers[4], succeeds);
	signal(SIGHUP, SIG_IGN); /* until it reads its signals; it reads its files after that */
	setpgid(0, 0);           /* ^C at a terminal is for the keeper, which passes it on */
	sigset_t none;
	sigemptyset(&none);
	signal(SIGHUP, SIG_IGN); /* until it can tell what that means */
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv(BIRTH_VARIABLE, text, 1);
	fexecve(program, k->argv, environ);
	fail(-errno, "keeper: cannot start a worker");
	_exit(EX_OSERR);
}

/* A pipe with what was taken out of the environment: gives its end to be read, or negative. Nobody
 * but the worker reads it, and what was read is not there any more. */
static int open_secrets(void)
{
	int pipe[2];
	if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return fail(-errno, "keeper: no pipe");
	(void)fcntl(pipe[0], F_SETPIPE_SZ, SECRETS_BYTES); /* or 64 KiB, which will do as a rule */
	int rc = environment_hand_over(pipe[1]);
	close(pipe[1]);
	if (rc == 0)
		return pipe[0];
	close(pipe[0]);
	return rc;
}

static int spawn(struct keeper *k, struct worker *w, int program, bool succeeds)
{
	int report[2], secrets = open_secrets();
	if (secrets < 0)
		return secrets;
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0) {
		close(secrets);
		return fail(-errno, "keeper: no pipe");
	}
	pid_t pid = fork();
	if (pid == 0)
		become_worker(k, program, report[1], secrets, succeeds);
	close(report[1]);
	close(secrets);
	if (pid < 0) {
		close(report[0]);
		return fail(-errno, "keeper: cannot fork");
	}
	*w = (struct worker){.pid = pid, .report = report[0], .born_ms = clock_mono_ms()};
	return 0;
}

static void spawn_current(struct keeper *k)
{
	k->restart_at_ms = 0;
	if (spawn(k, &k->current, k->program, false) != 0)
		k->restart_at_ms = clock_mono_ms() + BACKOFF_MAX_MS;
}

static void take_secret(int report)
{
	uint8_t len;
	char name[UINT8_MAX + 1] = "";
	if (read(report, &len, 1) != 1 || read(report, name, len) != len)
		return;
	(void)environment_get_secret(name);
	(void)environment_wipe();
}

static void read_report(struct worker *w)
{
	char c;
	ssize_t n = w->report >= 0 ? read(w->report, &c, 1) : -1;
	if (n == 1 && c == REPORT_PREPARED)
		w->prepared = true;
	if (n == 1 && c == REPORT_READY)
		w->ready = true;
	if (n == 1 && c == REPORT_DEADLINE) {
		uint64_t ms;
		if (read(w->report, &ms, sizeof(ms)) == (ssize_t)sizeof(ms))
			w->shutdown_ms = ms;
	}
	if (n == 1 && c == REPORT_SECRET)
		take_secret(w->report);
	if (n == 0) {
		close(w->report);
		w->report = -1;
	}
}

static void forget(struct worker *w)
{
	if (w->report >= 0)
		close(w->report);
	*w = (struct worker){.report = -1};
}

/* ---- upgrade ---- */

static void begin_upgrade(struct keeper *k)
{
	if (k->successor.pid != 0 || k->stops != 0)
		return;
	k->next_program = program_open();
	if (k->next_program < 0 || spawn(k, &k->successor, k->next_program, true) != 0) {
		log_error("upgrade failed",
			  "reason=\"the program file cannot be started\" kept_pid=%d",
			  (int)k->current.pid);
		if (k->next_program >= 0)
			close(k->next_program);
		return;
	}
	log_info("upgrade begins", "pid=%d", (int)k->successor.pid);
}

static void adopt_successor(struct keeper *k)
{
	close(k->program);
	k->program = k->next_program;
	k->current = k->successor;
	k->successor = (struct worker){.report = -1};
	log_info("upgrade done", "pid=%d", (int)k->current.pid);
}

static void give_up_upgrade(struct keeper *k, const char *reason)
{
	log_error("upgrade failed", "reason=\"%s\" kept_pid=%d", reason, (int)k->current.pid);
	if (k->successor.pid != 0)
		kill(k->successor.pid, SIGKILL); /* it has touched nothing yet */
	forget(&k->successor);
	close(k->next_program);
}

/* The new worker has read its configuration and waits for the data: the old one may go. */
static void watch_successor(struct keeper *k)
{
	struct worker *s = &k->successor;
	bool was_prepared = s->prepared;
	read_report(s);
	if (!was_prepared && s->prepared && k->current.pid != 0)
		kill(k->current.pid, SIGTERM);
	if (!s->prepared && clock_mono_ms() - s->born_ms > SUCCESSOR_MS)
		give_up_upgrade(k, "the new worker did not get ready in time");
}

/* ---- ends ---- */

static int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A worker that never was ready and said why it ended: nothing to keep alive. */
static bool is_hopeless(const struct keeper *k, int status)
{
	return !k->was_ready && WIFEXITED(status);
}

/* At once, as a rule. Who keeps crashing is given time; SIGKILL is no crash but came from outside.
 */
static void schedule_restart(struct keeper *k, int status)
{
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	bool lived = k->current.ready && clock_mono_ms() - k->current.born_ms > LIVED_MS;
	k->quick_ends = killed || lived ? 0 : k->quick_ends + 1;
	if (k->quick_ends < QUICK_ENDS)
		k->backoff_ms = 0;
	else if (k->backoff_ms == 0)
		k->backoff_ms = BACKOFF_MIN_MS;
	else
		k->backoff_ms =
		    k->backoff_ms * 2 < BACKOFF_MAX_MS ? k->backoff_ms * 2 : BACKOFF_MAX_MS;
	log_error("worker ended", "pid=%d code=%d restart_in_ms=%llu", (int)k->current.pid,
		  exit_code(status), (unsigned long long)k->backoff_ms);
	k->restart_at_ms = clock_mono_ms() + k->backoff_ms;
}

/* Gives an exit code for the keeper, or -1 to go on. */
static int on_current_end(struct keeper *k, int status)
{
	if (k->stops != 0 && k->successor.pid == 0)
		return exit_code(status);
	if (k->successor.pid != 0 && k->successor.prepared) {
		forget(&k->current);
		adopt_successor(k);
		return -1;
	}
	if (is_hopeless(k, status))
		return exit_code(status);
	schedule_restart(k, status);
	forget(&k->current);
	return -1;
}

static int reap(struct keeper *k)
{
	int status, code = -1;
	pid_t pid;
	while (code < 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == k->current.pid) {
			code = on_current_end(k, status);
		} else if (pid == k->successor.pid) {
			k->successor.pid = 0;
			give_up_upgrade(k, "the new worker ended");
		} /* else an orphan, if we are the first process of a container */
	}
	return code;
}

/* ---- the loop ---- */

/* Some tools signal the process and then its group: what comes right behind the first is the same.
 */
static void on_stop_signal(struct keeper *k)
{
	uint64_t now_ms = clock_mono_ms();
	if (k->stops != 0 && now_ms - k->stopped_ms < SAME_STOP_MS)
		return;
	if (k->stops++ == 0)
		k->stopped_ms = now_ms;
	k->restart_at_ms = 0;
	uint64_t deadline_ms =
	    k->current.shutdown_ms != 0 ? k->current.shutdown_ms : k->shutdown_ms;
	k->kill_at_ms = now_ms + (k->stops == 1 ? deadline_ms + DEAF_MS : DEAF_AT_ONCE_MS);
	log_info(k->stops == 1 ? "stopping" : "stopping at once", "pid=%d", (int)k->current.pid);
	if (k->successor.pid != 0)
		kill(k->successor.pid, SIGTERM);
	if (k->current.pid != 0)
		kill(k->current.pid, SIGTERM);
}

static void kill_the_deaf(struct keeper *k)
{
	log_error("worker does not stop and is killed", "pid=%d", (int)k->current.pid);
	k->kill_at_ms = 0;
	if (k->successor.pid != 0)
		kill(k->successor.pid, SIGKILL);
	if (k->current.pid != 0)
		kill(k->current.pid, SIGKILL);
}

static int wait_ms(const struct keeper *k)
{
	uint64_t now_ms = clock_mono_ms();
	if (k->kill_at_ms != 0)
		return k->kill_at_ms > now_ms ? (int)(k->kill_at_ms - now_ms) : 0;
	if (k->restart_at_ms != 0)
		return k->restart_at_ms > now_ms ? (int)(k->restart_at_ms - now_ms) : 0;
	return k->successor.pid != 0 ? 1000 : -1;
}

static void sleep_until_something(struct keeper *k, const sigset_t *unblocked)
{
	struct pollfd fds[] = {{.fd = k->current.report, .events = POLLIN},
			       {.fd = k->successor.report, .events = POLLIN}};
	int ms = wait_ms(k);
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
	ppoll(fds, 2, ms < 0 ? NULL : &ts, unblocked);
}

/* Many that come at once are one. A worker that is not there yet will read the file as it then is;
 * one that is not ready may have read it before. */
static void pass_reload(struct worker *w)
{
	if (w->pid == 0)
		w->reload_due = false;
	if (!w->reload_due || !w->ready)
		return;
	w->reload_due = false;
	caller_pass(w->pid, (struct caller){(uint32_t)reload_pid, (uint32_t)reload_uid});
}

static int keep(struct keeper *k, const sigset_t *unblocked)
{
	int seen_stops = 0, seen_upgrades = 0, seen_reloads = 0;
	spawn_current(k);
	for (;;) {
		int code = reap(k);
		if (code >= 0)
			return code;
		if (k->stops != 0 && k->current.pid == 0 && k->successor.pid == 0)
			return EX_OK;
		for (; seen_stops != stop_signals; seen_stops++)
			on_stop_signal(k);
		if (seen_upgrades != upgrade_signals) {
			seen_upgrades = upgrade_signals;
			begin_upgrade(k);
		}
		if (seen_reloads != reload_signals) {
			seen_reloads = reload_signals;
			k->current.reload_due = k->successor.reload_due = true;
		}
		read_report(&k->current);
		pass_reload(&k->current);
		k->was_ready = k->was_ready || k->current.ready;
		if (k->successor.pid != 0)
			watch_successor(k);
		if (k->restart_at_ms != 0 && clock_mono_ms() >= k->restart_at_ms)
			spawn_current(k);
		if (k->kill_at_ms != 0 && clock_mono_ms() >= k->kill_at_ms)
			kill_the_deaf(k);
		sleep_until_something(k, unblocked);
	}
}

/* Signals are blocked but for the one moment in which we wait, so none is missed. */
static void catch_signals(sigset_t *unblocked)
{
	static const int CAUGHT[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD};
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	sigset_t blocked;
	sigemptyset(&blocked);
	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof(CAUGHT) / sizeof(CAUGHT[0]); i++) {
		sigaddset(&blocked, CAUGHT[i]);
		sigaction(CAUGHT[i], &act, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &blocked, unblocked);
	sigemptyset(unblocked);
}

int keeper_run(const struct conf *conf, char **argv)
{
	struct keeper k = {.argv = argv,
			   .shutdown_ms = conf->shutdown_ms,
			   .current.report = -1,
			   .successor.report = -1};
	int rc = sockets_open(conf, k.sockets);
	if (rc != 0)
		return rc > 0 ? rc : EX_OSERR;
	k.program = program_open();
	if (k.program < 0)
		return EX_OSERR;
	sigset_t unblocked;
	catch_signals(&unblocked);
	int code = keep(&k, &unblocked);
	for (int i = 0; i < SOCKETS; i++)
		if (k.sockets[i] >= 0)
			close(k.sockets[i]);
	close(k.program);
	return code;
}

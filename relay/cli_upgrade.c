/* SPDX-License-Identifier: Apache-2.0
 * spanrelay upgrade: tells the keeper, and waits until another worker answers. The sockets stay
 * open all the while; see relay/keeper.h. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sysexits.h>

#include "base/clock.h"
#include "relay/ask.h"
#include "relay/cli.h"

enum { DEADLINE_MS = 30000, POLL_MS = 100 };

static const char HELP[] =
    "Usage: spanrelay upgrade [-c FILE | --admin ADDRESS]\n"
    "\n"
    "Puts the program file as it is on disk now in the place of a running relay's worker. The new\n"
    "worker reads the configuration, the old one ends in good order, no connection is refused and\n"
    "nothing is lost. Then old and new version are shown. Has to run as the relay's user, on its\n"
    "host and in its process namespace; SIGUSR2 to the keeper does the same.\n"
    "\n" ASKING_HELP "\n"
    "Exit codes: 0 done, 64 usage, 69 no relay answers, 75 the old worker still serves, 77 no\n"
    "permission, 78 wrong FILE.\n";

struct worker_seen {
	char version[64];
	pid_t keeper, worker;
};

static bool look(const struct asking *a, struct worker_seen *seen, int *code, char why[ASK_WHY])
{
	json_t *status = ask_status(a, code, why);
	if (status == NULL)
		return false;
	const char *version = json_string_value(json_object_get(status, "version"));
	snprintf(seen->version, sizeof(seen->version), "%s", version != NULL ? version : "?");
	seen->keeper = (pid_t)json_integer_value(json_object_get(status, "keeper_pid"));
	seen->worker = (pid_t)json_integer_value(json_object_get(status, "worker_pid"));
	json_decref(status);
	return true;
}

/* The pids come from whatever answers at that address, perhaps out of a container: SIGUSR2 would
 * end a stranger that bears the keeper's number here. */
static bool is_child(pid_t worker, pid_t keeper)
{
	char path[64], line[256];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)worker);
	FILE *f = fopen(path, "re");
	bool child = false;
	while (f != NULL && !child && fgets(line, sizeof(line), f) != NULL)
		child = strncmp(line, "PPid:", 5) == 0 && strtol(line + 5, NULL, 10) == keeper;
	if (f != NULL)
		fclose(f);
	return child && keeper > 0;
}

/* Between two workers nobody answers for a moment: not worth a word. */
static int wait_for_other(const struct asking *a, const struct worker_seen *old)
{
	struct worker_seen now;
	char why[ASK_WHY] = "";
	int code;
	uint64_t give_up_ms = clock_mono_ms() + DEADLINE_MS;
	while (clock_mono_ms() < give_up_ms) {
		poll(NULL, 0, POLL_MS);
		if (!look(a, &now, &code, why) || now.worker == old->worker)
			continue;
		printf("%s (pid %d) -> %s (pid %d)\n", old->version, (int)old->worker, now.version,
		       (int)now.worker);
		return EX_OK;
	}
	fprintf(
	    stderr,
	    "spanrelay upgrade: after %d s %s (pid %d) still serves: the relay's log says why\n",
	    DEADLINE_MS / 1000, old->version, (int)old->worker);
	return EX_TEMPFAIL;
}

int cli_upgrade(int argc, char **argv)
{
	struct asking asking;
	struct worker_seen old;
	char why[ASK_WHY];
	int code;
	if (!asking_read(&asking, argc, argv, HELP, NULL, &code))
		return code;
	if (!look(&asking, &old, &code, why)) {
		fprintf(stderr, "spanrelay upgrade: %s\n", why);
		return code;
	}
	if (!is_child(old.worker, old.keeper)) {
		fprintf(stderr,
			"spanrelay upgrade: the relay that answers (keeper %d, worker %d) is not "
			"in this "
			"process namespace\n",
			(int)old.keeper, (int)old.worker);
		return EX_NOPERM;
	}
	if (kill(old.keeper, SIGUSR2) != 0) {
		fprintf(stderr, "spanrelay upgrade: cannot signal the keeper, pid %d: %s\n",
			(int)old.keeper, strerrordesc_np(errno));
		return EX_NOPERM;
	}
	return wait_for_other(&asking, &old);
}

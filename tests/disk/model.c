/* SPDX-License-Identifier: Apache-2.0
 * The store against a model of it: sequences of random operations, with restarts in good order and
 * without, exporters that come and go, and after each start everything compared exactly.
 *   model [sequences [first seed]]      WORKERS=n processes at once */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/audit.h"
#include "world.h"

enum { STEPS_MAX = 24, SESSIONS_MAX = 5 };

struct tally {
	uint64_t passed, failed, opened, orphans;
};

/* A child works on the store and ends in good order, or not. */
static int session(struct world *w, const char *dir)
{
	struct store *s;
	if (world_open(w, &s, dir) != 0) {
		snprintf(w->error, sizeof(w->error), "cannot be opened");
		return 1;
	}
	w->durable = w->now;
	bool good = world_check(w, &w->now, s);
	uint32_t steps = world_random(w, 16) == 0 ? 10 * STEPS_MAX : STEPS_MAX;
	for (uint32_t n = world_random(w, steps); n != 0 && good; n--)
		good = world_step(w, s, NULL, NULL);
	if (good)
		good = world_check(w, &w->now, s);
	if (good && world_random(w, 2) == 0)
		good = world_close(w, s, NULL, NULL);
	return good ? 0 : 1;
}

static bool sequence(struct world *w, const char *dir, struct tally *t)
{
	char path[512];
	struct audit a;
	snprintf(path, sizeof(path), "%s/journal.mdb", dir);
	for (uint32_t n = 1 + world_random(w, SESSIONS_MAX); n != 0; n--) {
		int status;
		world_configure(w, 1 + world_random(w, (1 << WORLD_NAMES) - 1));
		pid_t child = fork();
		if (child == 0)
			_exit(session(w, dir));
		waitpid(child, &status, 0);
		t->opened++;
		if (status != 0) {
			if (w->error[0] == '\0')
				snprintf(w->error, sizeof(w->error), "died, status %d", status);
			return false;
		}
		world_crash(w);
		if (audit_file(&a, path, true) != 0) {
			snprintf(w->error, sizeof(w->error), "audit finds damage");
			return false;
		}
		t->orphans += a.orphans;
	}
	return true;
}

static void work(struct tally *t, uint64_t from, uint64_t n)
{
	const char *dir = scratch_dir();
	struct world *w =
	    mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (uint64_t seed = from; seed < from + n; seed++) {
		world_init(w, seed);
		w->big = seed % 8 == 0;
		bool good = sequence(w, dir, t);
		t->passed += good;
		t->failed += !good;
		if (!good)
			printf("seed %llu: %s\n", (unsigned long long)seed, w->error);
		scratch_empty(dir);
	}
	rmdir(dir);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	const char *workers_text = getenv("WORKERS");
	uint64_t workers = workers_text != NULL ? strtoull(workers_text, NULL, 10) : 2;
	struct tally *t = mmap(NULL, sizeof(*t) * workers, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tally sum = {0};
	quiet();
	for (uint64_t i = 0; i < workers; i++)
		if (fork() == 0) {
			uint64_t share = n / workers + (i < n % workers);
			work(&t[i], first + i * (n / workers + 1), share);
			fflush(stdout);
			_exit(0);
		}
	for (uint64_t i = 0; i < workers; i++) {
		int status;
		wait(&status);
		sum.failed += status != 0;
	}
	for (uint64_t i = 0; i < workers; i++) {
		sum.passed += t[i].passed;
		sum.failed += t[i].failed;
		sum.opened += t[i].opened;
		sum.orphans += t[i].orphans;
	}
	printf("%llu starts, %llu pages lost by LMDB\n", (unsigned long long)sum.opened,
	       (unsigned long long)sum.orphans);
	printf("model: %llu passed, %llu failed\n", (unsigned long long)sum.passed,
	       (unsigned long long)sum.failed);
	return sum.failed != 0 || sum.passed == 0;
}

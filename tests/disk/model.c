/* SPDX-License-Identifier: Apache-2.0
 * The store and the boxes beside it against a model of them: sequences of random operations, with
 * restarts in good order and without, exporters that come and go, journals that are deleted, and
 * after each start everything compared exactly.
 *   model [sequences [first seed]]      WORKERS=n processes at once */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boxes.h"
#include "storage/audit.h"

enum { STEPS_MAX = 24, SESSIONS_MAX = 5 };

struct tally {
	uint64_t passed, failed, opened, orphans, parcels, given_back, full, lost;
};
struct shared {
	struct world w;
	struct boxes boxes;
};

static bool step(struct shared *sh, struct store *s)
{
	return world_random(&sh->w, 2) ? world_step(&sh->w, s, NULL, NULL)
				       : boxes_step(&sh->boxes, &sh->w, s);
}

/* A child works on the store and ends in good order, or not. */
static int session(struct shared *sh, const char *dir)
{
	struct store *s;
	struct world *w = &sh->w;
	if (world_open(w, &s, dir) != 0) {
		snprintf(w->error, sizeof(w->error), "cannot be opened");
		return 1;
	}
	w->durable = w->now;
	bool good = world_check(w, &w->now, s);
	if (good)
		good = boxes_open(&sh->boxes, w, s, dir, NULL, NULL);
	uint32_t steps = world_random(w, 16) == 0 ? 10 * STEPS_MAX : STEPS_MAX;
	for (uint32_t n = world_random(w, steps); n != 0 && good; n--)
		good = step(sh, s);
	if (good)
		good = world_check(w, &w->now, s);
	if (!good || world_random(w, 2) != 0)
		return good ? 0 : 1;
	good = boxes_check(&sh->boxes, w);
	boxes_close(&sh->boxes);
	return good && world_close(w, s, NULL, NULL) ? 0 : 1;
}

/* Somebody deletes the journal: what the boxes hold is all there is. */
static void lose_journal(struct shared *sh, const char *path)
{
	char lock[520];
	snprintf(lock, sizeof(lock), "%s-lock", path);
	unlink(path);
	unlink(lock);
	world_forget(&sh->w);
}

static bool sequence(struct shared *sh, const char *dir, struct tally *t)
{
	char path[512];
	struct audit a;
	struct world *w = &sh->w;
	snprintf(path, sizeof(path), "%s/journal.mdb", dir);
	for (uint32_t n = 1 + world_random(w, SESSIONS_MAX); n != 0; n--) {
		int status;
		if (world_random(w, 12) == 0) {
			lose_journal(sh, path);
			t->lost++;
		}
		world_configure(w, 1 + world_random(w, (1 << WORLD_NAMES) - 1));
		w->judged = world_random(w, 4) != 0; /* as the relay may be configured */
		pid_t child = fork();
		if (child == 0)
			_exit(session(sh, dir));
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
	struct shared *sh =
	    mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (uint64_t seed = from; seed < from + n; seed++) {
		world_init(&sh->w, seed);
		memset(&sh->boxes, 0, sizeof(sh->boxes));
		sh->boxes.mask = (unsigned)(seed / 8 % 8);
		sh->w.big = seed % 8 == 0;
		bool good = sequence(sh, dir, t);
		t->parcels += sh->boxes.compared;
		t->given_back += sh->boxes.given_back;
		t->full += sh->boxes.full;
		t->passed += good;
		t->failed += !good;
		if (!good)
			printf("seed %llu: %s\n", (unsigned long long)seed, sh->w.error);
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
		sum.parcels += t[i].parcels;
		sum.given_back += t[i].given_back;
		sum.full += t[i].full;
		sum.lost += t[i].lost;
	}
	printf("%llu starts, %llu of them without the journal, %llu pages lost by LMDB\n",
	       (unsigned long long)sum.opened, (unsigned long long)sum.lost,
	       (unsigned long long)sum.orphans);
	printf("%llu parcels were compared, %llu spans given back, %llu times a box was full\n",
	       (unsigned long long)sum.parcels, (unsigned long long)sum.given_back,
	       (unsigned long long)sum.full);
	printf("model: %llu passed, %llu failed\n", (unsigned long long)sum.passed,
	       (unsigned long long)sum.failed);
	return sum.failed != 0 || sum.passed == 0;
}

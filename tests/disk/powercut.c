/* SPDX-License-Identifier: Apache-2.0
 * Power cuts: a child works on a store and the boxes beside it while every write, sync and name it
 * makes is recorded; then the folder is made anew as a cut after some operation may have left it,
 * opened by the real code, and compared with what had been acknowledged. Often the work goes on
 * from there, and is cut again. powercut [images [first seed]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boxes.h"
#include "record.h"

enum { CUTS = 12, STEPS = 120, STATES = 160, GENERATIONS = 4 };

/* What is shared with the children. */
struct shared {
	struct world w;
	struct boxes boxes;
	struct world_state state[STATES]; /* as of each commit; 0: as it began */
	uint32_t n_states;
	struct record_log log;
};

/* Marks: 2k when commit k begins, 2k + 1 when it is acknowledged. */
static void on_commit(void *ctx, bool done)
{
	struct shared *sh = ctx;
	if (done)
		sh->state[sh->n_states++] = sh->w.now;
	record_mark(2 * (uint64_t)(sh->n_states - done) + done);
}

static int work(struct shared *sh, const char *dir)
{
	struct store *s;
	record_start(&sh->log, dir);
	if (world_open(&sh->w, &s, dir) != 0)
		return 1;
	/* What opening committed, is no more than what it found. */
	sh->w.durable = sh->w.now;
	sh->state[0] = sh->w.now;
	sh->n_states = 1;
	record_mark(1);
	if (!boxes_open(&sh->boxes, &sh->w, s, dir, on_commit, sh))
		return 1;
	for (uint32_t n = world_random(&sh->w, STEPS); n != 0; n--)
		if (sh->n_states + 2 < STATES && !sh->log.full &&
		    !(world_random(&sh->w, 2) ? world_step(&sh->w, s, on_commit, sh)
					      : boxes_step(&sh->boxes, &sh->w, s)))
			return 1;
	if (world_random(&sh->w, 2) == 0) {
		boxes_close(&sh->boxes);
		world_close(&sh->w, s, on_commit, sh);
	}
	return 0;
}

/* The commits that must be there, and may be. */
static void allowed(const struct record_log *l, uint32_t n, uint32_t *least, uint32_t *most)
{
	*least = *most = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (l->op[i].kind != OP_MARK)
			continue;
		uint32_t k = (uint32_t)(l->op[i].at / 2);
		*most = k;
		if (l->op[i].at % 2 != 0)
			*least = k;
	}
}

/* What the boxes hold follows from which commit of the journal is there. */
static bool same_boxes(struct shared *sh, const char *dir, struct store *s, uint32_t k)
{
	static struct boxes boxes;
	struct ledger l;
	boxes = sh->boxes; /* the next cut is one of the same work */
	sh->w.now = sh->state[k];
	if (!boxes_open(&boxes, &sh->w, s, dir, NULL, NULL))
		return false;
	sh->boxes.compared = boxes.compared;
	sh->boxes.given_back = boxes.given_back;
	store_ledger(s, &l);
	if (!world_check_account(&sh->w, &sh->w.now, &l))
		return false;
	if (k % 2 == 0)
		boxes_close(&boxes);
	return true;
}

static int look(struct shared *sh, const char *dir, uint32_t least, uint32_t most)
{
	struct store *s;
	if (world_open(&sh->w, &s, dir) != 0) {
		snprintf(sh->w.error, sizeof(sh->w.error), "cannot be opened");
		return 255;
	}
	for (uint32_t k = most + 1; k-- > least;) {
		sh->w.error[0] = '\0';
		if (world_check(&sh->w, &sh->state[k], s)) {
			if (!same_boxes(sh, dir, s, k))
				return 255;
			if (k % 2 == 0)
				store_close(s);
			return (int)k;
		}
	}
	return 255;
}

static uint32_t dice(void *ctx, uint32_t n)
{
	return world_random(ctx, n);
}

static int in_child(struct shared *sh, const char *dir, uint32_t least, uint32_t most)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(look(sh, dir, least, most));
	waitpid(child, &status, 0);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	snprintf(sh->w.error, sizeof(sh->w.error), "who opened it died of signal %d",
		 WTERMSIG(status));
	return 255;
}

struct counts {
	uint64_t passed, failed, ahead, on, parcels, given_back, pending, chapters;
};

/* One cut of the recorded work; leaves the image in `to`, and what it holds in sh->w. */
static bool cut(struct shared *sh, const char *from, const char *to, uint64_t seed,
		struct counts *c)
{
	struct world *w = &sh->w;
	uint32_t n = world_random(w, sh->log.n_ops + 1), least, most;
	enum tear tear = (enum tear)world_random(w, TEARS);
	allowed(&sh->log, n, &least, &most);
	scratch_empty(to);
	if (record_replay(&sh->log, n, tear, from, to, dice, w) != 0) {
		printf("no space for an image in %s\n", to);
		exit(1);
	}
	int got = in_child(sh, to, least, most);
	if (got == 255) {
		c->failed++;
		printf("seed %llu: cut after %u of %u operations, tear %d, commits %u to %u: %s\n",
		       (unsigned long long)seed, n, sh->log.n_ops, tear, least, most, w->error);
		w->error[0] = '\0';
		return false;
	}
	c->passed++;
	c->ahead += (uint32_t)got > least;
	c->pending += sh->state[got].n_pending - sh->state[got].first_pending;
	c->chapters += sh->state[got].n_chapters - sh->state[got].first_chapter;
	c->parcels += sh->boxes.compared;
	c->given_back += sh->boxes.given_back;
	sh->boxes.compared = sh->boxes.given_back = 0;
	w->now = w->durable; /* as looking at it left it */
	return true;
}

/* Work and cuts of it, and again from one of the images. */
static void lifetime(struct shared *sh, uint64_t seed, char dirs[4][256], struct counts *c)
{
	world_init(&sh->w, seed);
	memset(&sh->boxes, 0, sizeof(sh->boxes));
	sh->boxes.mask = (unsigned)(seed % 4); /* none in a quarter of them */
	sh->w.big = seed % 4 == 0;
	sh->w.judged = seed / 4 % 4 != 0;
	world_configure(&sh->w, 3);
	for (int i = 0; i < 4; i++)
		scratch_empty(dirs[i]);
	for (int g = 0; g < GENERATIONS; g++) {
		int status;
		char command[4096];
		/* dirs[0] stays as it is; the work is done on a copy */
		snprintf(command, sizeof(command), "rm -rf %s/*; cp -r %s/* %s 2>/dev/null",
			 dirs[1], dirs[0], dirs[1]);
		if (system(command) == -1)
			exit(1);
		pid_t child = fork();
		if (child == 0)
			_exit(work(sh, dirs[1]));
		waitpid(child, &status, 0);
		if (status != 0 || sh->log.full) {
			printf("seed %llu: the work failed, status %d: %s\n",
			       (unsigned long long)seed, status, sh->w.error);
			c->failed++;
			return;
		}
		for (int i = 0; i < CUTS; i++)
			if (!cut(sh, dirs[0], dirs[2], seed, c))
				return;
		scratch_empty(dirs[0]);
		snprintf(command, sizeof(command), "mv %s/* %s", dirs[2], dirs[0]);
		if (system(command) == -1)
			exit(1);
		c->on++;
	}
}

int main(int argc, char **argv)
{
	uint64_t images = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct counts *c =
	    mmap(NULL, 2 * sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	quiet();
	for (unsigned k = 0; k < 2; k++) {
		if (fork() != 0)
			continue;
		struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		char dirs[4][256];
		for (int i = 0; i < 4; i++)
			snprintf(dirs[i], sizeof(dirs[i]), "%s", scratch_dir());
		for (uint64_t seed = first + k; c[k].passed + c[k].failed < (images + 1 - k) / 2;
		     seed += 2)
			lifetime(sh, seed, dirs, &c[k]);
		for (int i = 0; i < 4; i++) {
			scratch_empty(dirs[i]);
			rmdir(dirs[i]);
		}
		fflush(stdout);
		_exit(0);
	}
	int status, died = 0;
	for (unsigned k = 0; k < 2; k++) {
		wait(&status);
		died += status != 0;
	}
	printf("%llu times the commit under way was there, %llu times the work went on\n",
	       (unsigned long long)(c[0].ahead + c[1].ahead),
	       (unsigned long long)(c[0].on + c[1].on));
	printf("%llu parcels were compared, %llu spans were in a box and, untold, in the journal\n",
	       (unsigned long long)(c[0].parcels + c[1].parcels),
	       (unsigned long long)(c[0].given_back + c[1].given_back));
	printf("%llu pending blocks and %llu chapters were compared\n",
	       (unsigned long long)(c[0].pending + c[1].pending),
	       (unsigned long long)(c[0].chapters + c[1].chapters));
	printf("powercut: %llu passed, %llu failed\n",
	       (unsigned long long)(c[0].passed + c[1].passed),
	       (unsigned long long)(c[0].failed + c[1].failed) + (unsigned)died);
	return c[0].failed + c[1].failed + (unsigned)died != 0 || c[0].passed == 0;
}

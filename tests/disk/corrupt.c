/* SPDX-License-Identifier: Apache-2.0
 * Damaged files: copies of a journal with flipped bits, zeroed, old or swapped pages, or cut short,
 * each opened by the real code in a child. Nobody may die of one; nothing may be sent that was not
 * accepted, or skipped that was not sent; what is missing must be in the account, exactly; and
 * a second start must find nothing new.
 *   corrupt [files [first seed]] */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "damage.h"

#define FILE_NAME "journal.mdb"

enum { STEPS = 60, COPIES = 60, WORKERS = 2 };
enum outcome { WHOLE, LESS, ACCOUNT_OLD, ACCOUNT_OLD_AND_LESS, OUTCOMES, WRONG = 255 };

struct shared {
	struct world w;
	struct file now, early; /* early: some commits before */
	char what[128];
	bool aside;
};
struct counts {
	uint64_t outcome[DAMAGES][OUTCOMES], aside[DAMAGES], passed, failed;
};

/* ---- making one ---- */

static uint32_t blocks(const struct world *w)
{
	return w->now.n_blocks + w->now.n_pending;
}

static int make(struct shared *sh, const char *dir)
{
	struct store *s;
	struct world *w = &sh->w;
	if (world_open(w, &s, dir) != 0)
		return 1;
	for (int i = 0; i < STEPS; i++)
		if (!world_step(w, s, NULL, NULL))
			return 1;
	damage_read(&sh->early, dir, FILE_NAME);
	/* Enough commits that a head page of then does not pass for that of an unlucky power cut.
	 */
	for (uint32_t k = blocks(w) + 8, i = 0; blocks(w) < k && i < 200; i++)
		if (!world_step(w, s, NULL, NULL))
			return 1;
	world_close(w, s, NULL, NULL);
	damage_read(&sh->now, dir, FILE_NAME);
	return 0;
}

/* ---- judging ---- */

static bool wrong(struct shared *sh, const char *what, uint64_t id)
{
	if (sh->w.error[0] == '\0')
		snprintf(sh->w.error, sizeof(sh->w.error), "%s, %llu", what,
			 (unsigned long long)id);
	return false;
}

struct held {
	bool block[WORLD_BLOCKS], pending[WORLD_BLOCKS];
	uint64_t unknown, pending_spans;
};

static void note_block(void *ctx, struct store_block b)
{
	struct held *h = ctx;
	if (b.id == 0 || b.id > WORLD_BLOCKS)
		h->unknown = b.id;
	else
		h->block[b.id - 1] = true; /* nothing crashed: ids have no gaps */
}

static void note_pending(void *ctx, struct store_block b)
{
	struct held *h = ctx;
	if (b.id == 0 || b.id > WORLD_BLOCKS)
		h->unknown = b.id;
	else
		h->pending[b.id - 1] = true;
	h->pending_spans += b.spans;
}

static bool is_true_block(struct shared *sh, struct store_reader *r, enum block_stage stage,
			  uint32_t i)
{
	struct slice bytes;
	bool kept = stage == STAGE_KEPT;
	if (i >= (kept ? sh->w.durable.n_blocks : sh->w.durable.n_pending))
		return wrong(sh, "a block of nobody's", i + 1);
	if ((kept ? store_reader_block : store_reader_pending)(r, i + 1, &bytes) != 0)
		return wrong(sh, "a block cannot be read", i + 1);
	return world_check_block(&sh->w, kept ? &sh->w.block[i] : &sh->w.pending[i], stage, bytes);
}

/* Everything that would be sent is what was accepted. */
static bool is_true(struct shared *sh, struct store *s, struct held *h)
{
	struct store_reader *r;
	memset(h, 0, sizeof(*h));
	store_each_block(s, note_block, h);
	store_each_pending(s, note_pending, h);
	if (h->unknown != 0 || store_reader_open(&r, s) != 0 || store_reader_begin(r) != 0)
		return wrong(sh, "a block of nobody's", h->unknown);
	bool good = true;
	for (uint32_t i = 0; i < WORLD_BLOCKS && good; i++) {
		if (h->block[i])
			good = is_true_block(sh, r, STAGE_KEPT, i);
		if (h->pending[i] && good)
			good = is_true_block(sh, r, STAGE_PENDING, i);
	}
	store_reader_end(r);
	store_reader_close(r);
	return good;
}

/* One exporter: what it has to send and what is missing. */
static bool is_exact(struct shared *sh, const struct held *h, const struct ledger_exporter *l,
		     const struct world_exporter *e, bool newest, bool *old, bool *less)
{
	const struct world *w = &sh->w;
	struct cursor c = l->cursor[PLACE_JOURNAL];
	uint64_t lost = 0, to_send = 0, settled = l->sent + l->backend_rejected;
	for (int k = 0; k < DROP_REASONS; k++)
		settled += l->dropped[k];
	if (l->entered != settled + l->held[PLACE_JOURNAL])
		return wrong(sh, "the account does not add up", l->entered);
	for (uint32_t i = 0; i < w->durable.n_blocks; i++) {
		const struct world_block *b = &w->block[i];
		uint32_t wanted =
		    i < w->durable.first_held ? 0 : world_spans_behind(w, b, e->cursor);
		uint32_t sends = h->block[i] ? world_spans_behind(w, b, c) : 0;
		to_send += sends;
		lost += h->block[i] ? 0 : wanted;
		if (h->block[i] && sends < wanted)
			return wrong(sh, "spans are skipped in block", b->id);
	}
	if (to_send != l->held[PLACE_JOURNAL])
		return wrong(sh, "held is not what will be sent", to_send);
	bool same = cursor_compare(c, e->cursor) == 0 && l->sent == e->sent &&
		    l->backend_rejected == e->backend_rejected && newest;
	*old |= !same;
	*less |= lost != 0;
	if (same && (l->entered != e->entered ||
		     l->dropped[DROP_DAMAGED] - e->dropped[DROP_DAMAGED] != lost))
		return wrong(sh, "lost spans are not in the account", lost);
	/* Deleted ones may be found in a bad file; at most the one that a cursor ends in is kept.
	 */
	for (uint32_t i = 0; same && i + 1 < w->durable.first_held; i++)
		if (h->block[i])
			return wrong(sh, "a block is back that was done with", i + 1);
	return true;
}

static int is_written_chapter(void *ctx, uint64_t number, struct slice bytes)
{
	const struct world *w = ctx;
	const struct world_chapter *c = &w->chapter[number - 1];
	return number <= w->durable.first_chapter || number > w->durable.n_chapters ||
	       !world_is_content(bytes, c->serial, c->bytes);
}

/* Nothing is told that was not written. An old page may hold an old state: that shows in nothing
 * but its number, and costs a budget a moment's memory. */
static bool is_told_true(struct shared *sh, struct store *s, bool anew, bool old_page)
{
	const struct world_state *d = &sh->w.durable;
	if (store_each_chapter(s, is_written_chapter, &sh->w) != 0)
		return wrong(sh, "a chapter that was not written", 0);
	for (int i = 0; i < WORLD_JUDGE_STATES; i++) {
		struct buf b = {0};
		int rc = store_state(s, WORLD_STATES[i], &b);
		bool newest = rc == 0 && world_is_content(buf_slice(&b), d->serial[i], d->bytes[i]);
		uint32_t serial = world_serial_of(buf_slice(&b));
		bool older = rc == 0 && old_page && serial < d->serial[i] &&
			     world_is_content(buf_slice(&b), serial, (uint32_t)b.len);
		buf_finish(&b);
		if (anew ? rc != STORE_GONE : rc != STORE_GONE && !newest && !older)
			return wrong(sh, "a state that was not written", (uint64_t)i);
	}
	return true;
}

static int is_any(void *ctx, uint64_t number, struct slice bytes)
{
	(void)ctx, (void)number, (void)bytes;
	return 1;
}

/* What is pending: as it was, for the store cannot tell more; or, where it is judged anew, what
 * there is of it. */
static bool is_exact_pending(struct shared *sh, struct store *s, const struct held *h,
			     bool old_page)
{
	const struct world_state *d = &sh->w.durable;
	struct store_judged j;
	struct ledger l;
	store_ledger(s, &l);
	store_judged(s, &j);
	bool anew = j.position == 0 && d->position != 0;
	uint64_t judged = l.pending;
	for (int i = 0; i < STORE_VERDICTS; i++)
		judged += l.judged[i];
	if (l.received != l.accepted + l.rejected || l.accepted != judged)
		return wrong(sh, "the account of what is pending does not add up", judged);
	if (anew && (l.pending != h->pending_spans || store_each_chapter(s, is_any, NULL) != 0))
		return wrong(sh, "what is judged anew is not pending", l.pending);
	if (!anew && d->position != 0 && (j.position != d->position || l.pending != d->pending))
		return wrong(sh, "what is pending has changed", l.pending);
	for (uint32_t i = 0; !anew && d->position != 0 && i < d->first_pending; i++)
		if (h->pending[i])
			return wrong(sh, "a pending block is back that was given up", i + 1);
	return is_told_true(sh, s, anew, old_page);
}

static unsigned count_aside(const char *dir)
{
	unsigned n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strncmp(e->d_name, "journal.mdb.bad-", 16) == 0;
	closedir(d);
	return n;
}

/* Whether the damaged file still has the whole block, on pages of its own or in one of the tree's;
 * what old pages left behind the end of another value is luck. */
static bool is_whole_in(const struct file *f, const struct world_block *b, enum block_stage stage)
{
	for (uint64_t at = 16; at + b->bytes <= f->len; at += 2) {
		struct block open;
		bool leaf = f->data[at / PAGE * PAGE + 10] == 2;
		if (f->data[at] == 'R' && (at % PAGE == 16 || leaf) &&
		    memcmp(f->data + at, "RLB1", 4) == 0 &&
		    block_open(&open, slice_of(f->data + at, b->bytes), b->id) == 0 &&
		    open.stage == stage)
			return true;
	}
	return false;
}

static bool is_all_saved(struct shared *sh, const struct file *f, const struct held *h)
{
	const struct world_state *d = &sh->w.durable;
	for (uint32_t i = d->first_held; i < d->n_blocks; i++)
		if (!h->block[i] && is_whole_in(f, &sh->w.block[i], STAGE_KEPT))
			return wrong(sh, "a whole block is not saved", i + 1);
	for (uint32_t i = d->first_pending; i < d->n_pending; i++)
		if (!h->pending[i] && is_whole_in(f, &sh->w.pending[i], STAGE_PENDING))
			return wrong(sh, "a whole pending block is not saved", i + 1);
	return true;
}

/* Whether the account is that of the last commit. Rulings change it without a span being received;
 * what is judged anew may have been received once more. */
static bool is_newest(const struct ledger *l, const struct world_state *d, bool anew)
{
	bool newest = l->rejected == d->rejected && (anew || l->received == d->received);
	for (int i = 0; i + 1 < STORE_VERDICTS; i++)
		newest &= l->judged[i] == d->judged[i];
	return newest;
}

static int open_and_judge(struct shared *sh, const struct file *f, const char *dir, bool old_page)
{
	struct store *s;
	const struct world_state *d = &sh->w.durable;
	struct store_judged j;
	struct ledger l, again;
	struct held held;
	bool old = false, less = false;
	sh->aside = false;
	if (world_open(&sh->w, &s, dir) != 0)
		return wrong(sh, "cannot be opened", 0) ? 0 : WRONG;
	store_ledger(s, &l);
	store_judged(s, &j);
	bool newest = is_newest(&l, d, j.position == 0 && d->position != 0);
	bool good = is_true(sh, s, &held) && (count_aside(dir) == 0 || is_all_saved(sh, f, &held));
	for (unsigned i = 0; i < 2 && good; i++)
		good = is_exact(sh, &held, &l.exporter[i], &d->exporter[i], newest, &old, &less);
	if (good)
		good = is_exact_pending(sh, s, &held, old_page);
	store_close(s);
	if (!good)
		return WRONG;
	if (world_open(&sh->w, &s, dir) != 0)
		return wrong(sh, "cannot be opened again", 0) ? 0 : WRONG;
	store_ledger(s, &again);
	if (again.pending != l.pending || again.accepted != l.accepted)
		return wrong(sh, "the second start finds more pending", again.pending) ? 0 : WRONG;
	for (unsigned i = 0; i < 2; i++)
		if (again.exporter[i].entered != l.exporter[i].entered ||
		    again.exporter[i].dropped[DROP_DAMAGED] != l.exporter[i].dropped[DROP_DAMAGED])
			return wrong(sh, "the second start finds more", i) ? 0 : WRONG;
	return (old ? ACCOUNT_OLD : WHOLE) + (less ? LESS : 0);
}

static void try_one(struct shared *sh, struct file *f, const char *dir, enum damage kind,
		    uint64_t seed, struct counts *c)
{
	int status;
	scratch_empty(dir);
	damage(&sh->w, f, &sh->now, &sh->early, kind, sh->what, sizeof(sh->what));
	damage_write(f, dir, FILE_NAME);
	pid_t child = fork();
	if (child == 0)
		_exit(open_and_judge(sh, f, dir, kind == OLD_PAGE));
	waitpid(child, &status, 0);
	unsigned aside = count_aside(dir);
	bool good = WIFEXITED(status) && WEXITSTATUS(status) < OUTCOMES && aside <= 1;
	/* One flipped bit costs one record of the account at most, in place. */
	if (good && aside == 0 && kind != FLIP && WEXITSTATUS(status) >= ACCOUNT_OLD)
		good = wrong(sh, "the account is old, and nobody noticed", 0);
	c->passed += good;
	c->failed += !good;
	if (good) {
		c->outcome[kind][WEXITSTATUS(status)]++;
		c->aside[kind] += aside;
		return;
	}
	printf("seed %llu: %s: %s, status %d\n", (unsigned long long)seed, sh->what, sh->w.error,
	       status);
	if (getenv("KEEP") != NULL) {
		damage_write(f, getenv("KEEP"), FILE_NAME);
		exit(1);
	}
	sh->w.error[0] = '\0';
}

static void work(unsigned k, uint64_t files, uint64_t first, struct counts *c)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct file *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const char *dir = scratch_dir();
	for (uint64_t seed = first + k; c->passed + c->failed < files; seed += WORKERS) {
		int status;
		scratch_empty(dir);
		world_init(&sh->w, seed);
		sh->w.big = seed % 4 == 0;
		sh->w.judged = seed / 4 % 4 != 0;
		world_configure(&sh->w, 3);
		pid_t child = fork();
		if (child == 0)
			_exit(make(sh, dir));
		waitpid(child, &status, 0);
		if (status != 0) {
			printf("seed %llu: no journal: %s\n", (unsigned long long)seed,
			       sh->w.error);
			exit(1);
		}
		for (int i = 0; i < COPIES; i++)
			try_one(sh, f, dir, (enum damage)(i % DAMAGES), seed, c);
	}
	scratch_empty(dir);
	rmdir(dir);
}

static void add(struct counts *sum, const struct counts *c)
{
	for (int k = 0; k < DAMAGES; k++) {
		for (int i = 0; i < OUTCOMES; i++)
			sum->outcome[k][i] += c->outcome[k][i];
		sum->aside[k] += c->aside[k];
	}
	sum->passed += c->passed;
	sum->failed += c->failed;
}

int main(int argc, char **argv)
{
	uint64_t files = argc > 1 ? strtoull(argv[1], NULL, 10) : 1200;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct counts *c = mmap(NULL, WORKERS * sizeof(*c), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct counts sum = {.passed = 0};
	quiet();
	for (unsigned k = 0; k < WORKERS; k++)
		if (fork() == 0) {
			work(k, (files + WORKERS - 1) / WORKERS, first, &c[k]);
			fflush(stdout);
			_exit(0);
		}
	for (unsigned k = 0; k < WORKERS; k++) {
		int status;
		wait(&status);
		sum.failed += status != 0;
	}
	for (unsigned k = 0; k < WORKERS; k++)
		add(&sum, &c[k]);
	for (int k = 0; k < DAMAGES; k++)
		printf("%s: %llu set aside; nothing lost %llu, lost and counted %llu; account not "
		       "the newest: %llu, and something lost: %llu\n",
		       DAMAGE_NAMES[k], (unsigned long long)sum.aside[k],
		       (unsigned long long)sum.outcome[k][WHOLE],
		       (unsigned long long)sum.outcome[k][LESS],
		       (unsigned long long)sum.outcome[k][ACCOUNT_OLD],
		       (unsigned long long)sum.outcome[k][ACCOUNT_OLD_AND_LESS]);
	printf("corrupt: %llu passed, %llu failed\n", (unsigned long long)sum.passed,
	       (unsigned long long)sum.failed);
	return sum.failed != 0 || sum.passed == 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Damaged outbox files: one of a box's segments is damaged, the box is opened and read by the real
 * code in a child. Nobody may die of it, every parcel that comes out is one that went in, what does
 * not come out was damaged, and is a gap of its size.
 *   corrupt_box [files [first seed]] */
#include <dirent.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "damage.h"
#include "storage/outbox.h"

enum { PARCELS = 240, COPIES = 60, BODY_MAX = 60000 };
enum outcome { WHOLE, WRONG, GAPS, SAVED, OUTCOMES };
static struct metrics metrics;

struct shared {
	struct world w; /* for its dice */
	struct file now, early, damaged;
	uint64_t end, first; /* of the box; of the segment that is damaged */
	uint32_t n;
	struct put {
		uint64_t id;
		uint32_t spans, bytes;
	} parcel[PARCELS];
	char name[64], what[128], error[200];
};

static void body(uint8_t *out, uint64_t id, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(id * 31 + i * 7ull + (i >> 8));
}

static int open_box(struct box **b, const char *dir)
{
	struct box_options o = {.dir = dir,
				.limit_bytes = 256 << 20,
				.segment_bytes = 1 << 20,
				.done = {1, 0, 0},
				.metrics = &metrics};
	o.source[PLACE_JOURNAL] = (struct cursor){1000000, 0, 0};
	return box_open(b, &o);
}

/* All of the head says which one it is. */
static struct parcel head(uint64_t id, uint32_t spans)
{
	return (struct parcel){.n_spans = spans,
			       .oldest_ms = id * 3,
			       .newest_ms = id * 5,
			       .plain_len = (uint32_t)id * 7,
			       .coding = (enum coding)(id % CODING_UNKNOWN),
			       .from = PLACE_JOURNAL,
			       .to = {id, (uint32_t)id * 11, spans},
			       .status = (int)(id % 600)};
}

static bool same_head(const struct parcel *p, const struct put *put)
{
	struct parcel want = head(put->id, put->spans);
	return p->n_spans == want.n_spans && p->oldest_ms == want.oldest_ms &&
	       p->newest_ms == want.newest_ms && p->plain_len == want.plain_len &&
	       p->coding == want.coding && p->from == want.from &&
	       cursor_compare(p->to, want.to) == 0 && p->status == want.status;
}

static int append(struct shared *sh, struct box *b)
{
	static uint8_t bytes[BODY_MAX];
	struct parcel p = head(sh->end, 1 + world_random(&sh->w, 50));
	uint32_t size = world_random(&sh->w, world_random(&sh->w, 2) ? BODY_MAX : 1500);
	/* The id is given by the box; it is the sum of what came before. */
	body(bytes, sh->end, size);
	p.body = slice_of(bytes, size);
	int rc = box_append(b, &p);
	if (rc == BOX_AGAIN && (rc = box_commit(b)) == 0)
		rc = box_append(b, &p);
	if (rc == 0 && p.id != sh->end)
		rc = -1;
	if (rc != 0)
		return rc;
	sh->parcel[sh->n].id = p.id;
	sh->parcel[sh->n].spans = p.n_spans;
	sh->parcel[sh->n++].bytes = size;
	sh->end = p.id + p.n_spans;
	return box_commit(b);
}

static void note_segment(void *ctx, struct box_segment g)
{
	struct shared *sh = ctx;
	if (world_random(&sh->w, 2) == 0 || sh->first == 0)
		sh->first = g.first;
}

/* `early` is the segment as it was some commits before it was full. */
static int make(struct shared *sh, const char *dir)
{
	struct box *b;
	char name[64];
	sh->end = 1;
	if (open_box(&b, dir) != 0)
		return 1;
	for (uint32_t i = 0; i < PARCELS / 2; i++)
		if (append(sh, b) != 0)
			return 1;
	snprintf(name, sizeof(name), "%016" PRIx64 ".mdb", (uint64_t)1);
	damage_read(&sh->early, dir, name); /* another time, or another file's pages */
	for (uint32_t i = PARCELS / 2; i < PARCELS; i++)
		if (append(sh, b) != 0)
			return 1;
	box_seal(b);
	box_each_sealed(b, note_segment, sh);
	box_close(b);
	snprintf(sh->name, sizeof(sh->name), "%016" PRIx64 ".mdb", sh->first);
	damage_read(&sh->now, dir, sh->name);
	if (sh->early.len > sh->now.len)
		sh->early.len = sh->now.len;
	return 0;
}

static int wrong(struct shared *sh, const char *what, uint64_t id)
{
	snprintf(sh->error, sizeof(sh->error), "%s, %" PRIu64, what, id);
	return 1;
}

/* Where its page says that it is that page, and of which kind: what stands elsewhere is not
 * believed. */
static bool is_whole_in(const struct file *f, uint64_t id, uint32_t bytes)
{
	for (uint64_t at = 16; at + PARCEL_HEADER + bytes <= f->len; at += 2) {
		struct parcel p;
		uint64_t page = at / PAGE, says;
		memcpy(&says, f->data + page * PAGE, sizeof(says));
		if (f->data[at] == 'R' && says == page && memcmp(f->data + at, "RLP1", 4) == 0 &&
		    (at % PAGE == 16 || memcmp(f->data + page * PAGE + 10, "\2", 2) == 0) &&
		    parcel_open(&p, slice_of(f->data + at, PARCEL_HEADER + bytes), id) == 0)
			return true;
	}
	return false;
}

static void add_segment(void *ctx, struct box_segment g)
{
	box_reader_add(ctx, g);
}

static bool is_aside(const char *dir)
{
	bool aside = false;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		aside |= strstr(e->d_name, ".bad-") != NULL;
	closedir(d);
	return aside;
}

struct reading {
	const char *dir;
	struct box *box;
	bool aside;
	uint32_t i, missing;  /* the next parcel that went in; those that did not come out */
	uint64_t spans, lost; /* of those that came out, and of those that did not ... */
	uint64_t lost_at_end; /* ... behind the box's end */
};

/* What did not come out before this id: of a file that was set aside all that is whole must be
 * saved. Where a file stays, a flipped bit may have cost a parcel's name alone. */
static int skip(struct shared *sh, struct reading *r, uint64_t id)
{
	for (; r->i < sh->n && sh->parcel[r->i].id < id; r->i++, r->missing++) {
		const struct put *put = &sh->parcel[r->i];
		if (r->aside && is_whole_in(&sh->damaged, put->id, put->bytes))
			return wrong(sh, "a whole parcel is lost", put->id);
		*(put->id < box_end(r->box) ? &r->lost : &r->lost_at_end) += put->spans;
	}
	return 0;
}

static int take(struct shared *sh, struct reading *r, const struct parcel *p)
{
	static uint8_t want[BODY_MAX];
	if (skip(sh, r, p->id) != 0)
		return 1;
	const struct put *put = &sh->parcel[r->i];
	if (r->i == sh->n || put->id != p->id || !same_head(p, put) || put->bytes != p->body.len)
		return wrong(sh, "a parcel of nobody's", p->id);
	body(want, p->id, put->bytes);
	if (memcmp(want, p->body.data, p->body.len) != 0)
		return wrong(sh, "an altered parcel", p->id);
	r->spans += p->n_spans;
	r->i++;
	return 0;
}

/* Reads all of it as a sender would, and counts as the account does: what the box says it holds is
 * what comes out and the gaps, the rest of what went in is lost at once. */
static int read_back(struct shared *sh, struct reading *r)
{
	struct box_reader *reader;
	struct parcel p;
	uint64_t at = 1;
	int rc, bad = 0;
	r->aside = is_aside(r->dir);
	if (box_reader_open(&reader, r->dir) != 0)
		return wrong(sh, "no reader", 0);
	box_each_sealed(r->box, add_segment, reader);
	while (bad == 0 && (rc = box_reader_next(reader, at, &p)) == 0) {
		bad = take(sh, r, &p);
		at = p.id + p.n_spans;
	}
	box_reader_close(reader);
	if (bad != 0 || skip(sh, r, UINT64_MAX) != 0)
		return 1;
	if (rc != BOX_NONE)
		return wrong(sh, "cannot be read", at);
	if (r->spans + r->lost != box_spans(r->box))
		return wrong(sh, "gaps are not as large as what is lost", r->lost);
	if (box_spans(r->box) + r->lost_at_end != sh->end - 1)
		return wrong(sh, "it does not end where it says", box_end(r->box));
	return 0;
}

static int open_and_judge(struct shared *sh, const char *dir)
{
	struct reading r = {.dir = dir}, again = r;
	if (open_box(&r.box, dir) != 0)
		return wrong(sh, "cannot be opened", 0);
	if (read_back(sh, &r) != 0)
		return 1;
	uint64_t end = box_end(r.box);
	if (end > sh->end)
		return wrong(sh, "it ends behind its end", end);
	box_close(r.box);
	if (open_box(&again.box, dir) != 0)
		return wrong(sh, "cannot be opened again", 0);
	if (read_back(sh, &again) != 0)
		return 1;
	if (box_end(again.box) != end || again.spans != r.spans || again.lost != r.lost)
		return wrong(sh, "the second start finds another box", end);
	box_close(again.box);
	return r.missing == 0 ? WHOLE : r.aside ? SAVED : GAPS;
}

/* All files of the box as they were made, but for the damaged one. */
static void lay_out(const struct shared *sh, const char *from, const char *dir)
{
	DIR *d = opendir(from);
	scratch_empty(dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char a[600], b[600];
		snprintf(a, sizeof(a), "%s/%s", from, e->d_name);
		snprintf(b, sizeof(b), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && strcmp(e->d_name, sh->name) != 0 && link(a, b) != 0)
			exit(1);
	}
	closedir(d);
	damage_write(&sh->damaged, dir, sh->name);
}

struct counts {
	uint64_t outcome[DAMAGES][OUTCOMES], passed, failed;
};

static void try_one(struct shared *sh, const char *from, const char *dir, enum damage kind,
		    uint64_t seed, struct counts *c)
{
	int status;
	damage(&sh->w, &sh->damaged, &sh->now, &sh->early, kind, sh->what, sizeof(sh->what));
	lay_out(sh, from, dir);
	pid_t child = fork();
	if (child == 0)
		_exit(open_and_judge(sh, dir));
	waitpid(child, &status, 0);
	bool good =
	    WIFEXITED(status) && WEXITSTATUS(status) != WRONG && WEXITSTATUS(status) < OUTCOMES;
	c->passed += good;
	c->failed += !good;
	if (good)
		c->outcome[kind][WEXITSTATUS(status)]++;
	else
		printf("seed %" PRIu64 ": %s: %s, status %d\n", seed, sh->what, sh->error, status);
	sh->error[0] = '\0';
}

static void work(uint64_t files, uint64_t first, struct counts *c)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char from[256], dir[256];
	snprintf(from, sizeof(from), "%s", scratch_dir());
	snprintf(dir, sizeof(dir), "%s", scratch_dir());
	for (uint64_t seed = first; c->passed + c->failed < files; seed++) {
		int status;
		scratch_empty(from);
		sh->n = 0;
		sh->first = 0;
		world_init(&sh->w, seed);
		pid_t child = fork();
		if (child == 0)
			_exit(make(sh, from));
		waitpid(child, &status, 0);
		if (status != 0) {
			printf("seed %" PRIu64 ": no box\n", seed);
			exit(1);
		}
		for (int i = 0; i < COPIES; i++)
			try_one(sh, from, dir, (enum damage)(i % DAMAGES), seed, c);
	}
	scratch_empty(from);
	scratch_empty(dir);
	rmdir(from);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	uint64_t files = argc > 1 ? strtoull(argv[1], NULL, 10) : 600;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct counts c = {.passed = 0};
	quiet();
	work(files, first, &c);
	for (int i = 0; i < DAMAGES; i++)
		printf("%s: nothing lost %" PRIu64 ", gaps %" PRIu64 ", set aside and gaps %" PRIu64
		       "\n",
		       DAMAGE_NAMES[i], c.outcome[i][WHOLE], c.outcome[i][GAPS],
		       c.outcome[i][SAVED]);
	printf("corrupt-box: %" PRIu64 " passed, %" PRIu64 " failed\n", c.passed, c.failed);
	return c.failed != 0 || c.passed == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/survey.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "storage/audit.h"
#include "storage/journal.h"
#include "storage/ledger.h"
#include "storage/segment.h"
#include "wire/otlp_walk.h"

struct survey {
	struct journal journal;
	struct store_lock *lock; /* NULL: a relay has it */
	struct state state;
	char dir[JOURNAL_PATH_MAX - 128];
	char folder[JOURNAL_PATH_MAX];
	struct buf
	    copy; /* of the block at hand: the transaction is short, for the file grows meanwhile */
};

/* 0, SURVEY_BAD or negative. */
static int load_state(struct survey *s)
{
	struct journal_txn t;
	journal_begin_read(&t, &s->journal);
	int rc = state_load(&s->state, &t);
	journal_abort(&t);
	return rc <= 0 ? rc : SURVEY_BAD;
}

/* Before a lock file is made: where no relay was, nothing is left behind. */
static int find_journal(struct survey *s)
{
	snprintf(s->journal.path, sizeof(s->journal.path), "%s/journal.mdb", s->dir);
	if (access(s->journal.path, F_OK) == 0)
		return 0;
	return errno == ENOENT || errno == ENOTDIR
		   ? SURVEY_NONE
		   : fail(-errno, "cannot read %s", s->journal.path);
}

/* A file that nobody writes to is looked at before it is mapped. One that a relay writes to was
 * looked at by the relay. */
static int open_journal(struct survey *s)
{
	struct audit a;
	if (s->lock != NULL && audit_file(&a, s->journal.path, true) != 0)
		return SURVEY_BAD;
	int rc = journal_open_beside(&s->journal);
	if (rc != 0)
		return rc < 0 ? rc : SURVEY_BAD;
	return load_state(s);
}

/* Where a relay has the lock, we do without. */
static int lock_folder(struct survey *s)
{
	int rc = store_lock_open_to_look(&s->lock, s->dir);
	return rc == STORE_LOCKED ? 0 : rc;
}

int survey_open(struct survey **out, const char *dir)
{
	struct survey *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail(-ENOMEM, "no memory");
	int rc = 0;
	if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= (int)sizeof(s->dir))
		rc = fail(-ENAMETOOLONG, "%s: name too long", dir);
	if (rc == 0)
		rc = find_journal(s);
	if (rc == 0)
		rc = lock_folder(s);
	if (rc == 0)
		rc = open_journal(s);
	if (rc != 0) {
		survey_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void survey_close(struct survey *s)
{
	if (s == NULL)
		return;
	journal_close(&s->journal);
	store_lock_close(s->lock);
	buf_finish(&s->copy);
	free(s);
}

bool survey_is_live(const struct survey *s)
{
	return s->lock == NULL;
}

const struct ledger *survey_ledger(const struct survey *s)
{
	return &s->state.ledger;
}

static const char *folder(struct survey *s, unsigned exporter, enum span_place box)
{
	snprintf(s->folder, sizeof(s->folder), "%s/%s/%s", s->dir, PLACE_NAMES[box],
		 s->state.ledger.exporter[exporter].name);
	return s->folder;
}

/* ---- the journal ---- */

/* Copies the first block with an id of at least *id. 0, JOURNAL_NONE, JOURNAL_BAD or negative. */
static int copy_block(struct survey *s, enum journal_tree in, uint64_t *id)
{
	struct journal_txn t;
	struct slice bytes;
	s->copy.len = 0;
	journal_begin_read(&t, &s->journal);
	int rc = journal_next(&t, in, id, &bytes);
	if (rc == 0)
		rc = buf_append(&s->copy, bytes.data, bytes.len) == 0 ? 0 : -ENOMEM;
	journal_abort(&t);
	return rc;
}

static uint32_t spans_after(const struct block *b, struct cursor c)
{
	struct record r;
	uint32_t at = 0, next, done = 0;
	if (c.block_id != b->id)
		return b->n_spans;
	while (at < c.offset && (next = block_record(b, at, &r)) != 0) {
		done += otlp_walk_spans(r.payload);
		at = next;
	}
	done += c.span;
	return done < b->n_spans ? b->n_spans - done : 0;
}

static int each_block(struct survey *s, enum block_stage stage, struct cursor from,
		      int (*on_item)(void *ctx, const struct survey_item *item), void *ctx)
{
	uint64_t id = from.block_id != 0 ? from.block_id : 1;
	int rc;
	for (; (rc = copy_block(s, (enum journal_tree)stage, &id)) == 0; id++) {
		struct block b;
		struct survey_item item = {.place = PLACE_JOURNAL, .id = id, .status = -1};
		item.bytes = s->copy.len;
		item.from = id == from.block_id ? from : (struct cursor){.block_id = id};
		item.damaged = block_open(&b, buf_slice(&s->copy), id) != 0 || b.stage != stage;
		if (!item.damaged) {
			item.block = &b;
			item.oldest_ms = b.unix_ms;
			item.spans = spans_after(&b, item.from);
			if (item.spans == 0)
				continue;
		}
		rc = on_item(ctx, &item);
		if (rc != 0)
			return rc;
	}
	return rc == JOURNAL_NONE ? 0 : rc < 0 ? rc : fail(-EIO, "the journal is damaged");
}

/* ---- boxes ---- */

struct files {
	uint64_t *first;
	size_t n, cap;
};

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Adds what is there now to what is listed already. */
static int list_files(const char *dir, struct files *f)
{
	DIR *d = opendir(dir);
	int rc = 0;
	if (d == NULL)
		return errno == ENOENT ? 0 : fail(-errno, "cannot read %s", dir);
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
		uint64_t first;
		if (!segment_read_name(e->d_name, &first))
			continue;
		if (f->n == f->cap) {
			size_t cap = f->cap == 0 ? 64 : f->cap * 2;
			uint64_t *all = realloc(f->first, cap * sizeof(*all));
			if (all == NULL) {
				rc = fail(-ENOMEM, "no memory");
				break;
			}
			f->first = all;
			f->cap = cap;
		}
		f->first[f->n++] = first;
	}
	closedir(d);
	if (f->n == 0)
		return rc;
	qsort(f->first, f->n, sizeof(*f->first), compare_ids);
	size_t n = 1;
	for (size_t i = 1; i < f->n; i++)
		if (f->first[i] != f->first[n - 1])
			f->first[n++] = f->first[i];
	f->n = n;
	return rc;
}

/* A segment in the making has a lock file, and whoever writes to it minds readers that use it too.
 */
static int open_segment(bool is_live, struct segment *g)
{
	struct audit a;
	if (is_live && segment_is_in_the_making(g))
		return segment_open_beside(g);
	if (access(g->path, F_OK) != 0)
		return -errno;
	int rc = audit_file(&a, g->path, false);
	if (rc != 0)
		return rc == -ENOENT ? rc : SEGMENT_BAD;
	return segment_open_sealed(g);
}

struct box_walk {
	enum span_place place;
	const struct cursor *source; /* as far as the account has come: see parcel.to */
	uint64_t kept;               /* before it that says nothing: see box_options */
	uint64_t at;                 /* the next span */
	uint64_t end;                /* where the account says that the box ends */
	bool drained;                /* a file went while we were on our way to it */
	int (*on_item)(void *ctx, const struct survey_item *item);
	void *ctx;
};

static int tell_gap(struct box_walk *w, uint64_t id, uint64_t spans)
{
	struct survey_item item = {
	    .place = w->place, .id = id, .spans = spans, .damaged = true, .status = -1};
	return w->on_item(w->ctx, &item);
}

/* A file that cannot be read, up to the next one. */
static int tell_bad(struct box_walk *w, uint64_t first, uint64_t next)
{
	uint64_t end = next != UINT64_MAX ? next : w->end, at = w->at;
	if (end <= at)
		return tell_gap(w, first, 0);
	w->at = end;
	return tell_gap(w, at, end - at);
}

static int tell_parcel(struct box_walk *w, const struct parcel *p)
{
	struct survey_item item = {.place = w->place,
				   .id = p->id,
				   .oldest_ms = p->oldest_ms,
				   .bytes = PARCEL_HEADER + p->body.len,
				   .status = p->status,
				   .parcel = p,
				   .first = w->at > p->id ? w->at - p->id : 0};
	if (p->id >= w->kept && cursor_compare(p->to, w->source[p->from]) > 0)
		return 0; /* its spans still are where they came from */
	int rc = p->id > w->at ? tell_gap(w, w->at, p->id - w->at) : 0;
	item.spans = p->n_spans - item.first;
	w->at = p->id + p->n_spans;
	return rc != 0 ? rc : w->on_item(w->ctx, &item);
}

/* The parcels of a segment that are not behind w->at and before `end`. */
static int each_parcel(struct box_walk *w, struct segment *g, uint64_t end)
{
	struct slice bytes;
	struct parcel p;
	uint64_t key = w->at + 1;
	int rc = 0, found = segment_below(g, &key, &bytes);
	if (found == 0 && parcel_open(&p, bytes, key) == 0 && key + p.n_spans > w->at)
		rc = tell_parcel(w, &p);
	key = w->at;
	while (rc == 0 && found >= 0 && (found = segment_at_least(g, &key, &bytes)) == 0 &&
	       key < end) {
		if (parcel_open(&p, bytes, key) == 0)
			rc = tell_parcel(w, &p);
		key++;
	}
	return rc != 0 || found > 0 ? rc : found;
}

static int each_segment(struct survey *s, const char *dir, const struct files *f,
			struct box_walk *w)
{
	for (size_t i = 0; i < f->n; i++) {
		uint64_t end = i + 1 < f->n ? f->first[i + 1] : UINT64_MAX;
		struct segment g = {.env = NULL};
		if (end <= w->at)
			continue;
		int rc = segment_name(&g, dir, f->first[i]);
		if (rc == 0)
			rc = open_segment(survey_is_live(s), &g);
		if (rc == -ENOENT) {
			w->drained = true;
			w->at = end != UINT64_MAX ? end : w->at;
			continue;
		}
		if (rc == SEGMENT_BAD)
			rc = tell_bad(w, f->first[i], end);
		else if (rc == 0)
			rc = each_parcel(w, &g, end);
		segment_close(&g);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* The files are listed before the account is read and after it: what a running relay removes
 * meanwhile is behind its cursor then, or missing when its turn comes; what it adds is there. */
static int each_in_box(struct survey *s, unsigned exporter, struct box_walk *w)
{
	struct files f = {.first = NULL};
	const struct ledger_exporter *e = &s->state.ledger.exporter[exporter];
	const char *dir = folder(s, exporter, w->place);
	int rc = list_files(dir, &f);
	if (rc == 0 && survey_is_live(s))
		rc = load_state(s);
	if (rc == 0 && survey_is_live(s))
		rc = list_files(dir, &f);
	w->source = e->cursor;
	w->kept = e->kept[w->place];
	w->at = e->cursor[w->place].block_id;
	if (w->at == 0)
		w->at = f.n != 0 ? f.first[0] : 1;
	w->end = w->at + e->held[w->place];
	if (rc == 0)
		rc = each_segment(s, dir, &f, w);
	if (rc == 0 && w->at < w->end && !w->drained)
		rc = tell_gap(w, w->at, w->end - w->at);
	free(f.first);
	return rc;
}

int survey_each(struct survey *s, unsigned exporter, enum span_place place,
		int (*on_item)(void *ctx, const struct survey_item *item), void *ctx)
{
	if (place == PLACE_JOURNAL)
		return each_block(s, STAGE_KEPT, s->state.ledger.exporter[exporter].cursor[place],
				  on_item, ctx);
	struct box_walk w = {.place = place, .on_item = on_item, .ctx = ctx};
	return each_in_box(s, exporter, &w);
}

int survey_each_pending(struct survey *s, int (*on_item)(void *ctx, const struct survey_item *item),
			void *ctx)
{
	struct cursor from = {.block_id = s->state.first[TREE_PENDING]};
	return each_block(s, STAGE_PENDING, from, on_item, ctx);
}

/* ---- a box without an exporter ---- */

struct lone_walk {
	int (*on_parcel)(void *ctx, const struct parcel *p);
	void *ctx;
	uint64_t *damaged;
};

/* What is at or behind `end` has its id anew in the next file: see box_commit(). */
static int each_whole(struct segment *g, uint64_t end, const struct lone_walk *w)
{
	struct slice bytes;
	struct parcel p;
	uint64_t key = 1;
	int rc = 0, found = 0;
	for (; rc == 0 && (found = segment_at_least(g, &key, &bytes)) == 0 && key < end; key++) {
		if (parcel_open(&p, bytes, key) == 0)
			rc = w->on_parcel(w->ctx, &p);
		else
			++*w->damaged;
	}
	if (found == SEGMENT_BAD)
		++*w->damaged;
	return rc != 0 || found >= 0 ? rc : found;
}

static int each_lone(const char *dir, bool is_live, const struct files *f, struct lone_walk *w)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < f->n; i++) {
		struct segment g = {.env = NULL};
		rc = segment_name(&g, dir, f->first[i]);
		if (rc == 0)
			rc = open_segment(is_live, &g);
		if (rc == 0)
			rc = each_whole(&g, i + 1 < f->n ? f->first[i + 1] : UINT64_MAX, w);
		else if (rc == SEGMENT_BAD || rc == -ENOENT) { /* the newest go on meanwhile */
			*w->damaged += rc == SEGMENT_BAD;
			rc = 0;
		}
		segment_close(&g);
	}
	return rc;
}

int survey_box(const char *data_dir, const char *dir,
	       int (*on_parcel)(void *ctx, const struct parcel *p), void *ctx, uint64_t *damaged)
{
	struct lone_walk w = {on_parcel, ctx, damaged};
	struct files f = {.first = NULL};
	struct store_lock *lock = NULL;
	*damaged = 0;
	int rc = list_files(dir, &f);
	if (rc == 0 && f.n == 0)
		rc = SURVEY_NONE;
	if (rc == 0 && data_dir != NULL)
		rc = store_lock_open_to_look(&lock, data_dir);
	if (rc == 0 || rc == STORE_LOCKED)
		rc = each_lone(dir, rc == STORE_LOCKED, &f, &w);
	store_lock_close(lock);
	free(f.first);
	return rc;
}

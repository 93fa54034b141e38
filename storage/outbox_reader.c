/* SPDX-License-Identifier: Apache-2.0
 * Reading the sealed segments of a box, a few open at a time: the one that is being read and those
 * whose slices are still in use behind it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/outbox.h"
#include "storage/segment.h"

struct shelf {
	struct box_segment ids;
	struct segment *file; /* NULL: not open */
	bool bad;             /* cannot be read: everything in it is a gap */
};

struct box_reader {
	struct shelf *shelves; /* by ascending ids; [first, n) */
	size_t first, n, cap;
	char dir[SEGMENT_PATH_MAX - 32];
};

int box_reader_open(struct box_reader **out, const char *dir)
{
	struct box_reader *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return fail(-ENOMEM, "outbox: no memory");
	if (snprintf(r->dir, sizeof(r->dir), "%s", dir) >= (int)sizeof(r->dir)) {
		free(r);
		return fail(-ENAMETOOLONG, "outbox: folder name too long");
	}
	*out = r;
	return 0;
}

static void close_shelf(struct shelf *s)
{
	if (s->file != NULL)
		segment_close(s->file);
	free(s->file);
	s->file = NULL;
}

void box_reader_close(struct box_reader *r)
{
	if (r == NULL)
		return;
	for (size_t i = r->first; i < r->n; i++)
		close_shelf(&r->shelves[i]);
	free(r->shelves);
	free(r);
}

int box_reader_add(struct box_reader *r, struct box_segment g)
{
	if (r->n == r->cap && r->first > 0) {
		memmove(r->shelves, r->shelves + r->first, (r->n - r->first) * sizeof(*r->shelves));
		r->n -= r->first;
		r->first = 0;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 64 : r->cap * 2;
		struct shelf *all = realloc(r->shelves, cap * sizeof(*all));
		if (all == NULL)
			return fail(-ENOMEM, "outbox: no memory for %zu segments", cap);
		r->shelves = all;
		r->cap = cap;
	}
	r->shelves[r->n++] = (struct shelf){.ids = g};
	return 0;
}

/* 0, or negative for what may pass; damage makes the shelf bad. */
static int open_shelf(const struct box_reader *r, struct shelf *s)
{
	struct segment *file = calloc(1, sizeof(*file));
	if (file == NULL)
		return fail(-ENOMEM, "outbox: no memory");
	int rc = segment_name(file, r->dir, s->ids.first);
	if (rc == 0)
		rc = segment_open_sealed(file);
	if (rc == 0) {
		s->file = file;
		return 0;
	}
	s->bad = rc == SEGMENT_BAD || rc == -ENOENT;
	if (s->bad)
		log_error("outbox file cannot be read, its spans are lost",
			  "path=%s spans=%" PRIu64, file->path, s->ids.end - s->ids.first);
	free(file);
	return s->bad ? 0 : rc;
}

/* The first whole parcel of the shelf that ends after `id`; damaged ones are passed over. 0,
 * BOX_NONE, or negative for what may pass. */
static int find_whole(struct shelf *s, uint64_t id, struct parcel *p)
{
	struct slice bytes;
	uint64_t key = id + 1;
	int rc = segment_below(s->file, &key, &bytes);
	if (rc == 0 && parcel_open(p, bytes, key) == 0 && key + p->n_spans > id)
		return 0;
	key = id + 1;
	while (rc >= 0 && (rc = segment_at_least(s->file, &key, &bytes)) == 0 && key < s->ids.end) {
		if (parcel_open(p, bytes, key) == 0)
			return 0;
		log_limited(LOG_ERROR, "parcel is damaged and skipped", "path=%s id=%" PRIu64,
			    s->file->path, key);
		key++;
	}
	return rc < 0 ? rc : BOX_NONE;
}

int box_reader_next(struct box_reader *r, uint64_t id, struct parcel *p)
{
	for (size_t i = r->first; i < r->n; i++) {
		struct shelf *s = &r->shelves[i];
		if (s->ids.end <= id)
			continue;
		int rc = s->file == NULL && !s->bad ? open_shelf(r, s) : 0;
		if (rc == 0 && !s->bad)
			rc = find_whole(s, id, p);
		if (rc < 0)
			return rc;
		if (rc == 0 && !s->bad && p->id + p->n_spans <= s->ids.end)
			return 0;
	}
	return BOX_NONE;
}

void box_reader_forget(struct box_reader *r, uint64_t done)
{
	while (r->first < r->n && r->shelves[r->first].ids.end <= done)
		close_shelf(&r->shelves[r->first++]);
}

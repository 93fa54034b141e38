/* SPDX-License-Identifier: Apache-2.0
 * What a box holds when a relay starts: every segment is looked at in a child process, damaged ones
 * are set aside and what is readable in them is saved, and what is still where it came from is
 * taken back. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/box.h"
#include "storage/inspect.h"
#include "storage/journal.h"
#include "storage/rescue.h"

static int make_folders(const char *dir)
{
	char path[SEGMENT_PATH_MAX];
	snprintf(path, sizeof(path), "%s", dir);
	for (char *slash = path + 1;; slash++) {
		if (*slash != '/' && *slash != '\0')
			continue;
		bool last = *slash == '\0';
		*slash = '\0';
		bool made = mkdir(path, 0700) == 0;
		if (!made && errno != EEXIST)
			return fail(-errno, "outbox: cannot make folder %s", path);
		int rc = made || last ? journal_sync_dir(path) : 0; /* of the one it is in */
		if (rc != 0 || last)
			return rc;
		*slash = '/';
	}
}

static int compare_segments(const void *a, const void *b)
{
	const struct box_segment *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

static int list_files(struct box *b)
{
	DIR *d = opendir(b->dir);
	int rc = 0;
	if (d == NULL)
		return fail(-errno, "outbox: cannot read folder %s", b->dir);
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
		struct box_segment g = {0};
		if (segment_read_name(e->d_name, &g.first))
			rc = box_add_sealed(b, g);
	}
	closedir(d);
	if (b->n_sealed != 0)
		qsort(b->sealed, b->n_sealed, sizeof(*b->sealed), compare_segments);
	return rc;
}

/* ---- what a damaged segment still has ---- */

struct rescued_parcel {
	uint64_t id;
	struct slice bytes; /* ours */
};
struct rescue {
	struct rescued_parcel *parcels;
	size_t n, cap;
};

static int on_rescued(void *ctx, const struct rescued *found)
{
	struct rescue *r = ctx;
	if (!found->placed)
		return 0;
	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 64 : r->cap * 2;
		struct rescued_parcel *all = realloc(r->parcels, cap * sizeof(*all));
		if (all == NULL)
			return -ENOMEM;
		r->parcels = all;
		r->cap = cap;
	}
	uint8_t *copy = malloc(found->bytes.len);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, found->bytes.data, found->bytes.len);
	r->parcels[r->n++] = (struct rescued_parcel){found->id, slice_of(copy, found->bytes.len)};
	return 0;
}

static int compare_rescued(const void *a, const void *b)
{
	const struct rescued_parcel *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* In the order of their ids, into a file of the bad one's name; *end is where they end. */
static int write_rescued(const struct box *b, const struct rescue *r, uint64_t first, uint64_t *end,
			 uint64_t *spans)
{
	struct segment g;
	int rc = segment_name(&g, b->dir, first);
	if (rc == 0)
		rc = segment_create(&g, b->segment_bytes);
	if (rc != 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		struct parcel p;
		if (r->parcels[i].id < *end ||
		    parcel_open(&p, r->parcels[i].bytes, r->parcels[i].id) != 0)
			continue;
		rc = segment_append(&g, &p);
		if (rc == 0)
			rc = segment_commit(&g);
		*end = p.id + p.n_spans;
		*spans += p.n_spans;
	}
	segment_seal(&g);
	return rc;
}

/* Out of the file that was set aside. What cannot be written now stays there. */
static void rescue(const struct box *b, const char *aside, struct box_segment *s)
{
	struct rescue r = {.parcels = NULL};
	uint64_t spans = 0;
	s->end = s->first;
	int rc = rescue_scan(aside, RESCUE_PARCELS, on_rescued, &r);
	if (r.n != 0)
		qsort(r.parcels, r.n, sizeof(*r.parcels), compare_rescued);
	if (rc == 0 && r.n != 0)
		rc = write_rescued(b, &r, s->first, &s->end, &spans);
	log_error("what is readable in a damaged outbox file is saved",
		  "kept_as=%s parcels=%zu spans=%" PRIu64 " code=%d", aside, r.n, spans, rc);
	for (size_t i = 0; i < r.n; i++)
		free((void *)(uintptr_t)r.parcels[i].bytes.data);
	free(r.parcels);
}

static void drop_sealed(struct box *b, size_t i)
{
	b->n_sealed--;
	memmove(b->sealed + i, b->sealed + i + 1, (b->n_sealed - i) * sizeof(*b->sealed));
}

/* Takes over what the look found, or what of a bad file can be saved. */
static int adopt(struct box *b, struct box_segment *s, const struct segment_look *look)
{
	char aside[SEGMENT_PATH_MAX];
	s->end = look->end;
	if (look->rc == 0 && look->end > look->first)
		return 0;
	if (look->rc == 0) { /* made, and nothing committed */
		if (unlink(look->path) != 0)
			return fail(-errno, "outbox: cannot remove %s", look->path);
		s->end = s->first;
		return 0;
	}
	int rc = inspect_set_aside(look->path, aside, sizeof(aside));
	if (rc == 0)
		rescue(b, aside, s);
	return rc;
}

static int adopt_all(struct box *b, const struct segment_look *looks)
{
	size_t n = b->n_sealed;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = adopt(b, &b->sealed[i], &looks[i]);
	for (size_t i = n; i-- > 0;)
		if (b->sealed[i].end <= b->sealed[i].first)
			drop_sealed(b, i);
	/* Ids that a segment shares with the next are of a commit that failed and yet got through.
	 */
	for (size_t i = 0; i + 1 < b->n_sealed; i++)
		if (b->sealed[i].end > b->sealed[i + 1].first)
			b->sealed[i].end = b->sealed[i + 1].first;
	return rc;
}

static int look_at_all(struct box *b)
{
	size_t n = b->n_sealed;
	if (n == 0)
		return 0;
	struct segment_look *looks = calloc(n, sizeof(*looks));
	struct segment *names = calloc(n, sizeof(*names));
	int rc = 0;
	if (looks == NULL || names == NULL) {
		free(looks);
		free(names);
		return fail(-ENOMEM, "outbox: no memory");
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = segment_name(&names[i], b->dir, b->sealed[i].first);
		looks[i].path = names[i].path;
	}
	if (rc == 0)
		rc = inspect_segments(looks, n);
	if (rc == 0)
		rc = adopt_all(b, looks);
	free(names);
	free(looks);
	return rc;
}

/* Whether the parcel's spans still stand where they came from. */
static bool is_stale(const struct parcel *p, const struct box_options *o)
{
	return cursor_compare(p->to, o->source[p->from]) > 0;
}

/* From which id on everything in the segment is stale. Below o->kept nothing is: what came out of a
 * journal that is gone says nothing about this one. */
static int first_stale(struct segment *g, const struct box_options *o, uint64_t end,
		       uint64_t *first)
{
	struct slice bytes;
	struct parcel p;
	uint64_t id = end;
	int rc;
	*first = end;
	while ((rc = segment_below(g, &id, &bytes)) == 0) {
		if (id < o->kept || (parcel_peek(&p, bytes, id) == 0 && !is_stale(&p, o)))
			return 0;
		*first = id;
	}
	return rc == BOX_NONE ? 0 : rc;
}

/* Parcels that the source's cursor has not passed are the last ones of the box: what they hold
 * comes again from there. */
static int take_back(struct box *b, const struct box_options *o)
{
	uint64_t spans = 0;
	while (b->n_sealed != 0) {
		struct box_segment *s = &b->sealed[b->n_sealed - 1];
		struct segment g;
		uint64_t first;
		int rc = segment_name(&g, b->dir, s->first);
		if (rc == 0)
			rc = segment_open_sealed(&g);
		if (rc != 0)
			return rc;
		rc = first_stale(&g, o, s->end, &first);
		segment_close(&g);
		if (rc == 0 && first < s->end && first > s->first) {
			rc = segment_open_again(&g);
			if (rc == 0)
				rc = segment_cut(&g, first);
			segment_seal(&g);
		}
		if (rc != 0)
			return rc;
		spans += s->end - first;
		s->end = first;
		if (first > s->first)
			break;
		b->n_sealed--;
		unlink(g.path);
	}
	if (spans != 0)
		log_info("outbox gives back what its source still has", "dir=%s spans=%" PRIu64,
			 b->dir, spans);
	return 0;
}

static void seal_all(struct box *b)
{
	b->sealed_bytes = 0;
	for (size_t i = 0; i < b->n_sealed; i++) {
		struct segment g = {.env = NULL};
		if (segment_name(&g, b->dir, b->sealed[i].first) == 0)
			b->sealed[i].bytes = segment_seal(&g);
		b->sealed_bytes += b->sealed[i].bytes;
	}
}

static int open_all(struct box *b, const struct box_options *o)
{
	int rc = make_folders(b->dir);
	if (rc == 0)
		rc = list_files(b);
	if (rc == 0)
		rc = look_at_all(b);
	if (rc == 0)
		rc = take_back(b, o);
	if (rc == BOX_FULL)
		rc = fail(-ENOSPC, "outbox: no space to take back what was half moved into %s",
			  b->dir);
	else if (rc > 0)
		rc = fail(-EIO, "outbox: damage in %s", b->dir);
	if (rc != 0)
		return rc;
	seal_all(b);
	if (b->done == 0)
		b->done = b->n_sealed != 0 ? b->sealed[0].first : 1;
	b->end = b->done;
	if (b->n_sealed != 0 && b->end < b->sealed[b->n_sealed - 1].end)
		b->end = b->sealed[b->n_sealed - 1].end;
	b->next_id = b->end;
	box_trim(b, o->done);
	return 0;
}

int box_open(struct box **out, const struct box_options *o)
{
	struct box *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return fail(-ENOMEM, "outbox: no memory");
	b->limit_bytes = o->limit_bytes;
	b->segment_bytes = o->segment_bytes;
	b->done = o->done.block_id;
	b->metrics = o->metrics;
	int len = snprintf(b->dir, sizeof(b->dir), "%s", o->dir);
	int rc = len < (int)sizeof(b->dir) ? open_all(b, o)
					   : fail(-ENAMETOOLONG, "outbox: folder name too long");
	if (rc == 0) {
		*out = b;
		return 0;
	}
	free(b->sealed);
	free(b);
	return rc;
}

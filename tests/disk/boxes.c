/* SPDX-License-Identifier: Apache-2.0 */
#include "boxes.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/otlp_sample.h"

enum { SPANS_MOST = 12 };
static const uint64_t LIMIT = 5 << 18, SEGMENT = 1 << 20; /* full once a quarter MiB is sealed */
static struct metrics metrics;

/* Of the process that works on them. */
static struct box *boxes[WORLD_NAMES][PLACES];
static char folders[WORLD_NAMES][PLACES][512];

/* ---- opening ---- */

/* The first id of the oldest file; 0 where there is none. */
static uint64_t oldest_file(const char *folder)
{
	uint64_t first = 0, id;
	char *end;
	DIR *d = opendir(folder);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		id = strtoull(e->d_name, &end, 16);
		if (end == e->d_name + 16 && strcmp(end, ".mdb") == 0 && (first == 0 || id < first))
			first = id;
	}
	if (d != NULL)
		closedir(d);
	return first;
}

/* Without the parcels that are not in the box, and those whose files are gone. */
static void tidy(struct boxes_box *k, uint64_t oldest, uint64_t end)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < k->n; i++)
		if (k->parcel[i].id < end && k->parcel[i].id + k->parcel[i].spans > oldest)
			k->parcel[n++] = k->parcel[i];
	k->n = n;
	k->end = k->committed = k->told = end;
}

/* What opening must find. A box that is new to the journal is kept as it is, of any other the
 * journal knows all that counts. */
static void expect(struct world_exporter *e, struct boxes_box *k, enum span_place box,
		   uint64_t oldest, uint64_t *given_back)
{
	uint64_t done = e->box_done[box], end = done + e->box_held[box];
	if (oldest == k->committed)
		oldest = 0; /* made, and nothing committed */
	if (done == 0)
		done = oldest != 0 ? oldest : 1;
	if (e->is_new)
		end = oldest != 0 ? k->committed : done;
	else if (k->committed > end)
		*given_back += k->committed - end;
	e->entered += end - done - e->box_held[box];
	e->box_done[box] = done;
	e->box_held[box] = end - done;
	tidy(k, oldest != 0 ? oldest : end, end);
}

static bool open_one(struct boxes *bs, struct world *w, struct store *s, unsigned i,
		     enum span_place box)
{
	unsigned at = world_index_in_store(w, i);
	struct ledger l;
	store_ledger(s, &l);
	const struct ledger_exporter *e = &l.exporter[at];
	struct box_options o = {.dir = folders[i][box],
				.limit_bytes = LIMIT,
				.segment_bytes = SEGMENT,
				.done = e->cursor[box],
				.kept = e->kept[box],
				.metrics = &metrics};
	memcpy(o.source, e->cursor, sizeof(o.source));
	expect(&w->now.exporter[i], &bs->box[i][box], box, oldest_file(o.dir), &bs->given_back);
	if (box_open(&boxes[i][box], &o) != 0)
		return world_wrong(w, "%s cannot be opened", PLACE_NAMES[box]);
	store_found(s, at, box, box_first(boxes[i][box]), box_end(boxes[i][box]));
	return true;
}

static bool has_boxes(const struct boxes *bs, const struct world *w, unsigned i)
{
	return (bs->mask & w->mask) >> i & 1;
}

bool boxes_open(struct boxes *bs, struct world *w, struct store *s, const char *dir,
		void (*on_commit)(void *ctx, bool done), void *ctx)
{
	struct store_txn t;
	memset(w->moving, 0, sizeof(w->moving));
	for (unsigned i = 0; i < WORLD_NAMES; i++) {
		bs->ahead[i] = w->now.exporter[i].cursor;
		for (int box = PLACE_OUTBOX; box < PLACES && has_boxes(bs, w, i); box++) {
			snprintf(folders[i][box], sizeof(folders[i][box]), "%s/%s/%s", dir,
				 PLACE_NAMES[box], WORLD_EXPORTERS[i]);
			if (!open_one(bs, w, s, i, (enum span_place)box))
				return false;
		}
		if (has_boxes(bs, w, i))
			w->now.exporter[i].is_new = false;
	}
	world_retire(w);
	store_begin(&t, s, 1000000);
	if (on_commit != NULL)
		on_commit(ctx, false);
	if (store_commit(&t, NULL) != 0)
		return world_wrong(w, "commit fails");
	w->durable = w->now;
	w->progressed = false;
	if (on_commit != NULL)
		on_commit(ctx, true);
	return boxes_check(bs, w);
}

void boxes_close(struct boxes *bs)
{
	for (unsigned i = 0; i < WORLD_NAMES; i++)
		for (int box = PLACE_OUTBOX; box < PLACES; box++) {
			box_close(boxes[i][box]);
			boxes[i][box] = NULL;
			bs->box[i][box].end = bs->box[i][box].committed;
		}
}

/* ---- comparing ---- */

static bool same_parcel(struct world *w, const struct boxes_parcel *k, const struct parcel *p)
{
	struct buf body = {0};
	pb_numbered_request(&body, k->first, k->spans, k->name_bytes);
	bool same =
	    p->id == k->id && p->n_spans == k->spans && slice_equal(p->body, buf_slice(&body));
	buf_finish(&body);
	return same || world_wrong(w, "parcel %" PRIu64 " is another", k->id);
}

static void add_segment(void *ctx, struct box_segment g)
{
	box_reader_add(ctx, g);
}

static bool check_one(struct boxes_box *k, struct world *w, const struct world_exporter *e,
		      enum span_place box, struct box *b, const char *folder)
{
	struct box_reader *r;
	struct parcel p;
	uint64_t at = e->box_done[box];
	if (box_first(b) > at || box_end(b) != k->committed)
		return world_wrong(
		    w, "%s holds %" PRIu64 " to %" PRIu64 ", wanted %" PRIu64 " to %" PRIu64,
		    PLACE_NAMES[box], box_first(b), box_end(b), at, k->committed);
	if (box_reader_open(&r, folder) != 0)
		return world_wrong(w, "no reader");
	box_each_sealed(b, add_segment, r);
	bool good = true;
	for (uint32_t i = 0; i < k->n && good && at < k->committed; i++) {
		if (k->parcel[i].id + k->parcel[i].spans <= at)
			continue;
		if (box_reader_next(r, at, &p) != 0)
			good = world_wrong(w, "parcel %" PRIu64 " is lost", k->parcel[i].id);
		else
			good = same_parcel(w, &k->parcel[i], &p);
		at = k->parcel[i].id + k->parcel[i].spans;
	}
	if (good && at != k->committed)
		good = world_wrong(w, "nobody knows parcel %" PRIu64, at);
	if (good && box_reader_next(r, at, &p) != BOX_NONE)
		good = world_wrong(w, "a parcel is behind the end");
	box_reader_close(r);
	return good;
}

static bool commit(struct boxes_box *k, struct world *w, struct box *b)
{
	int rc = box_commit(b);
	k->committed = k->end;
	return rc == 0 || world_wrong(w, "a box's commit gives %d", rc);
}

bool boxes_check(struct boxes *bs, struct world *w)
{
	for (unsigned i = 0; i < WORLD_NAMES; i++)
		for (int box = PLACE_OUTBOX; box < PLACES; box++) {
			struct boxes_box *k = &bs->box[i][box];
			struct box *b = boxes[i][box];
			if (b == NULL)
				continue;
			if (!commit(k, w, b))
				return world_wrong(w, "cannot be committed");
			box_seal(b);
			bs->compared += k->n;
			if (!check_one(k, w, &w->now.exporter[i], (enum span_place)box, b,
				       folders[i][box]))
				return false;
		}
	return true;
}

/* ---- work ---- */

/* 0, BOX_FULL, or -1. */
static int append(struct boxes_box *k, struct world *w, struct box *b, struct boxes_parcel p,
		  enum span_place from)
{
	struct buf body = {0};
	pb_numbered_request(&body, p.first, p.spans, p.name_bytes);
	struct parcel parcel = {.n_spans = p.spans,
				.oldest_ms = 1,
				.newest_ms = 2,
				.from = from,
				.to = p.to,
				.status = -1,
				.body = buf_slice(&body)};
	int rc = box_append(b, &parcel);
	if (rc == BOX_AGAIN && (rc = commit(k, w, b) ? 0 : -1) == 0)
		rc = box_append(b, &parcel);
	buf_finish(&body);
	bool good = true;
	if (box_bytes(b) > LIMIT || (rc == BOX_FULL && box_bytes(b) + SEGMENT <= LIMIT))
		good = world_wrong(w, "a box with %" PRIu64 " bytes: %d", box_bytes(b), rc);
	else if (rc == 0 && parcel.id != k->end)
		good = world_wrong(w, "id %" PRIu64 ", wanted %" PRIu64, parcel.id, k->end);
	else if (rc != 0 && rc != BOX_FULL)
		good = world_wrong(w, "append gives %d", rc);
	if (!good || rc != 0)
		return good ? rc : -1;
	p.id = k->end;
	k->parcel[k->n++] = p;
	k->end += p.spans;
	return 0;
}

static void tell(struct world *w, struct store *s, unsigned i, const struct progress *p)
{
	store_progress(s, world_index_in_store(w, i), p);
	world_count(&w->now.exporter[i], p);
	w->progressed = true;
}

static uint32_t name_bytes(struct world *w)
{
	static const uint32_t BYTES[] = {1, 10, 200, 1500};
	uint32_t bytes = world_random(w, BYTES[world_random(w, 4)]);
	return w->big && world_random(w, 3) == 0 ? world_random(w, 12000) : bytes;
}

/* From the journal to the outbox; nobody is told. */
static bool spill(struct boxes *bs, struct world *w, unsigned i)
{
	struct boxes_box *k = &bs->box[i][PLACE_OUTBOX];
	struct boxes_parcel p = {.name_bytes = name_bytes(w)};
	if (!w->moving[i])
		bs->ahead[i] = w->now.exporter[i].cursor;
	p.spans = world_run(w, bs->ahead[i], 1 + world_random(w, SPANS_MOST), &p.first);
	if (p.spans == 0)
		return true;
	p.to = world_advance(w, bs->ahead[i], p.spans);
	int rc = append(k, w, boxes[i][PLACE_OUTBOX], p, PLACE_JOURNAL);
	bs->full += rc == BOX_FULL;
	if (rc == 0) {
		bs->ahead[i] = p.to;
		w->moving[i] = true;
	}
	return rc >= 0;
}

/* Of what is durable in the outbox, all or the first so many. */
static void tell_spilled(struct boxes *bs, struct world *w, struct store *s, unsigned i)
{
	struct boxes_box *k = &bs->box[i][PLACE_OUTBOX];
	struct world_exporter *e = &w->now.exporter[i];
	struct progress p = {.from = PLACE_JOURNAL};
	for (uint32_t n = 0; n < k->n && world_random(w, 8) != 0; n++) {
		const struct boxes_parcel *at = &k->parcel[n];
		if (at->id < k->told || at->id >= k->committed)
			continue;
		p.done = at->to;
		p.moved[PLACE_OUTBOX] += at->spans;
		k->told = at->id + at->spans;
	}
	if (p.moved[PLACE_OUTBOX] == 0)
		return;
	e->cursor = p.done;
	e->held -= p.moved[PLACE_OUTBOX];
	tell(w, s, i, &p);
	w->moving[i] = k->told != k->end;
}

/* The parcel in which `done` stands. */
static const struct boxes_parcel *parcel_at(const struct boxes_box *k, uint64_t done)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (k->parcel[i].id <= done && done < k->parcel[i].id + k->parcel[i].spans)
			return &k->parcel[i];
	return NULL;
}

/* What is bad at the head of its line, to the quarantine; or, out of the outbox, to its end. */
static bool condemn(struct boxes *bs, struct world *w, struct store *s, unsigned i)
{
	struct world_exporter *e = &w->now.exporter[i];
	const struct boxes_box *out = &bs->box[i][PLACE_OUTBOX];
	enum span_place from = world_random(w, 2) ? PLACE_JOURNAL : PLACE_OUTBOX;
	enum span_place box =
	    from == PLACE_OUTBOX && world_random(w, 3) == 0 ? PLACE_OUTBOX : PLACE_QUARANTINE;
	struct boxes_parcel p = {.name_bytes = name_bytes(w), .spans = 1};
	const struct boxes_parcel *at = parcel_at(out, e->box_done[PLACE_OUTBOX]);
	if (from == PLACE_JOURNAL) {
		if (w->moving[i] || world_run(w, e->cursor, 1, &p.first) == 0)
			return true;
		p.to = world_advance(w, e->cursor, 1);
	} else {
		if (at == NULL || e->box_held[from] == 0 || (box == from && w->moving[i]))
			return true;
		p.first = at->first + (e->box_done[from] - at->id);
		p.to = (struct cursor){.block_id = e->box_done[from] + 1};
	}
	int rc = append(&bs->box[i][box], w, boxes[i][box], p, from);
	if (rc != 0)
		return rc > 0;
	if (!commit(&bs->box[i][box], w, boxes[i][box]))
		return false;
	bs->box[i][box].told = bs->box[i][box].end;
	struct progress done = {.from = from, .done = p.to};
	done.moved[box] = 1;
	if (from == PLACE_JOURNAL) {
		e->cursor = p.to;
		e->held--;
	} else {
		e->box_done[from]++;
		e->box_held[from]--;
	}
	tell(w, s, i, &done);
	return true;
}

static void first_segment(void *ctx, struct box_segment g)
{
	uint64_t *end = ctx;
	if (*end == 0)
		*end = g.end;
}

/* Sent, or given up with the whole file that it is in. */
static void drain(struct boxes *bs, struct world *w, struct store *s, unsigned i,
		  enum span_place box)
{
	struct world_exporter *e = &w->now.exporter[i];
	uint64_t held = e->box_held[box], segment = 0, spans;
	struct progress p = {.from = box};
	if (held == 0)
		return;
	spans = world_random(w, 3) == 0 ? held : 1 + world_random(w, (uint32_t)held);
	box_each_sealed(boxes[i][box], first_segment, &segment);
	bool drop = box == PLACE_OUTBOX && world_random(w, 4) == 0 && segment > e->box_done[box] &&
		    segment <= bs->box[i][box].told;
	if (drop)
		p.dropped[DROP_OUTBOX_FULL] = spans = segment - e->box_done[box];
	else
		world_split(w, spans, &p);
	p.done.block_id = e->box_done[box] += spans;
	e->box_held[box] -= spans;
	tell(w, s, i, &p);
}

/* The journal was told and has it on disk. */
static void trim(const struct world *w, unsigned i, enum span_place box)
{
	struct cursor done = {.block_id = w->durable.exporter[i].box_done[box]};
	box_trim(boxes[i][box], done);
}

/* An exporter that has boxes, 0 to WORLD_NAMES - 1; WORLD_NAMES: nobody has. */
static unsigned choose(const struct boxes *bs, struct world *w)
{
	unsigned i = world_random(w, WORLD_NAMES), n = 0;
	while (n++ < WORLD_NAMES && !has_boxes(bs, w, i))
		i = (i + 1) % WORLD_NAMES;
	return has_boxes(bs, w, i) ? i : WORLD_NAMES;
}

bool boxes_step(struct boxes *bs, struct world *w, struct store *s)
{
	unsigned i = choose(bs, w);
	enum span_place box = world_random(w, 3) ? PLACE_OUTBOX : PLACE_QUARANTINE;
	if (i == WORLD_NAMES || bs->box[i][PLACE_OUTBOX].n == BOXES_PARCELS ||
	    bs->box[i][PLACE_QUARANTINE].n == BOXES_PARCELS)
		return true;
	struct boxes_box *k = &bs->box[i][box];
	trim(w, i, box); /* as soon as it may be */
	switch (world_random(w, 14)) {
	case 0:
	case 1:
		return commit(k, w, boxes[i][box]);
	case 2:
		if (!commit(k, w, boxes[i][box]))
			return 0;
		box_seal(boxes[i][box]);
		return 1;
	case 3:
	case 4:
		drain(bs, w, s, i, box);
		trim(w, i, box);
		return true;
	case 5:
	case 6:
		return condemn(bs, w, s, i);
	case 7:
	case 8:
	case 9:
		tell_spilled(bs, w, s, i);
		return true;
	default:
		return spill(bs, w, i);
	}
}

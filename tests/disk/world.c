/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/otlp_sample.h"

const char *const WORLD_EXPORTERS[WORLD_NAMES] = {"a", "b", "c"};
const char *const WORLD_STATES[WORLD_JUDGE_STATES] = {"budget", "seeds", "x"};
static struct metrics metrics;
enum { RETIRE_AT_ONCE = 64 };

bool world_wrong(struct world *w, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (w->error[0] == '\0')
		vsnprintf(w->error, sizeof(w->error), fmt, ap);
	va_end(ap);
	return false;
}

void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed * 0x9e3779b97f4a7c15u + 1;
	w->next_span = 1;
	world_forget(w);
}

uint32_t world_random(struct world *w, uint32_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (uint32_t)((w->seed >> 32) * below >> 32);
}

static const struct world_request *request_at(const struct world *w, const struct world_block *b,
					      uint32_t offset)
{
	for (uint32_t i = 0; i < b->n_requests; i++)
		if (w->request[b->first_request + i].offset == offset)
			return &w->request[b->first_request + i];
	return NULL;
}

uint32_t world_spans_behind(const struct world *w, const struct world_block *b, struct cursor c)
{
	uint32_t behind = 0;
	if (c.block_id != b->id)
		return c.block_id < b->id ? b->spans : 0;
	for (uint32_t i = 0; i < b->n_requests; i++) {
		const struct world_request *r = &w->request[b->first_request + i];
		if (r->offset >= c.offset)
			behind += r->spans;
	}
	return behind - c.span;
}

static uint64_t held_behind(const struct world *w, const struct world_state *st, struct cursor c)
{
	uint64_t spans = 0;
	for (uint32_t i = st->first_held; i < st->n_blocks; i++)
		spans += world_spans_behind(w, &w->block[i], c);
	return spans;
}

/* Opening commits it. */
void world_configure(struct world *w, unsigned mask)
{
	for (unsigned i = 0; i < WORLD_NAMES; i++) {
		struct world_exporter *e = &w->now.exporter[i];
		bool wanted = mask >> i & 1;
		if (wanted && !e->configured) {
			e->held = held_behind(w, &w->now, e->cursor);
			e->entered += e->held;
			e->known = e->is_new = true;
		} else if (!wanted && e->configured) {
			e->dropped[DROP_EXPORTER_REMOVED] += e->held;
			e->held = 0;
			for (int box = PLACE_OUTBOX; box < PLACES; box++) {
				e->dropped[DROP_EXPORTER_REMOVED] += e->box_held[box];
				e->box_held[box] = 0;
			}
		}
		e->configured = wanted;
	}
	w->mask = mask;
}

int world_open(struct world *w, struct store **s, const char *dir)
{
	const char *names[WORLD_NAMES];
	struct store_options o = {.dir = dir,
				  .limit_bytes = w->big ? 64 << 20 : 16 << 20,
				  .exporters = names,
				  .judged = w->judged,
				  .metrics = &metrics};
	for (unsigned i = 0; i < WORLD_NAMES; i++)
		if (w->mask >> i & 1)
			names[o.n_exporters++] = WORLD_EXPORTERS[i];
	return store_open(s, &o);
}

/* ---- work ---- */

unsigned world_index_in_store(const struct world *w, unsigned exporter)
{
	unsigned n = 0;
	for (unsigned i = 0; i < exporter; i++)
		n += w->mask >> i & 1;
	return n;
}

uint32_t world_run(const struct world *w, struct cursor c, uint32_t most, uint64_t *first)
{
	uint32_t n = 0;
	*first = 0;
	for (uint32_t i = w->now.first_held; i < w->now.n_blocks; i++) {
		const struct world_block *b = &w->block[i];
		uint32_t skip = b->spans - world_spans_behind(w, b, c);
		for (uint32_t k = 0; k < b->n_requests && n < most; k++) {
			const struct world_request *r = &w->request[b->first_request + k];
			uint32_t over = skip < r->spans ? skip : r->spans;
			skip -= over;
			if (over == r->spans)
				continue;
			if (n != 0 && r->first + over != *first + n)
				return n;
			*first = n == 0 ? r->first + over : *first;
			n += r->spans - over;
		}
	}
	return n < most ? n : most;
}

/* The place `spans` behind the exporter's cursor, in one of the ways to say it. */
struct cursor world_advance(struct world *w, struct cursor c, uint64_t spans)
{
	for (uint32_t i = w->now.first_held; i < w->now.n_blocks; i++) {
		const struct world_block *b = &w->block[i];
		uint32_t behind = world_spans_behind(w, b, c);
		if (behind == 0)
			continue;
		if (c.block_id < b->id)
			c = (struct cursor){b->id, 0, 0};
		const struct world_request *r;
		while (spans != 0 && (r = request_at(w, b, c.offset)) != NULL) {
			uint32_t left = r->spans - c.span;
			if (spans < left || (spans == left && world_random(w, 4) == 0)) {
				c.span += (uint32_t)spans;
				return c;
			}
			spans -= left;
			c.offset += record_size(r->len);
			c.span = 0;
		}
		if (spans == 0)
			return c;
	}
	return c;
}

void world_split(struct world *w, uint64_t spans, struct progress *p)
{
	p->sent = spans;
	if (world_random(w, 3) == 0) {
		p->backend_rejected = world_random(w, (uint32_t)p->sent + 1);
		p->sent -= p->backend_rejected;
	}
	if (world_random(w, 5) == 0) {
		uint64_t *drop = &p->dropped[world_random(w, DROP_REASONS)];
		*drop = world_random(w, (uint32_t)p->sent + 1);
		p->sent -= *drop;
	}
}

void world_count(struct world_exporter *e, const struct progress *p)
{
	e->sent += p->sent;
	e->backend_rejected += p->backend_rejected;
	for (int k = 0; k < DROP_REASONS; k++)
		e->dropped[k] += p->dropped[k];
	for (int box = PLACE_OUTBOX; box < PLACES; box++)
		e->box_held[box] += p->moved[box];
}

static void progress(struct world *w, struct store *s)
{
	unsigned i = world_random(w, WORLD_NAMES);
	struct world_exporter *e = &w->now.exporter[i];
	struct progress p = {.from = PLACE_JOURNAL};
	if (!e->configured || e->held == 0 || w->moving[i])
		return;
	uint64_t spans = world_random(w, 3) == 0 ? e->held : 1 + world_random(w, (uint32_t)e->held);
	world_split(w, spans, &p);
	p.done = e->cursor = world_advance(w, e->cursor, spans);
	store_progress(s, world_index_in_store(w, i), &p);
	e->held -= spans;
	world_count(e, &p);
	w->progressed = true;
}

static bool is_past(const struct world *w, const struct world_block *b)
{
	for (unsigned i = 0; i < WORLD_NAMES; i++) {
		const struct world_exporter *e = &w->now.exporter[i];
		if (e->configured &&
		    (e->cursor.block_id < b->id ||
		     (e->cursor.block_id == b->id && e->cursor.offset < b->bytes - BLOCK_HEADER)))
			return false;
	}
	return true;
}

void world_retire(struct world *w)
{
	for (int n = 0; n < RETIRE_AT_ONCE && w->now.first_held < w->now.n_blocks &&
			is_past(w, &w->block[w->now.first_held]);
	     n++)
		w->now.first_held++;
}

static void make_request(struct world *w, struct world_request *r, struct buf *out)
{
	static const uint32_t BYTES[] = {0, 10, 200, 1500, 4000};
	r->first = w->next_span;
	r->spans = 1 + world_random(w, 5);
	r->name_bytes = world_random(w, 1 + BYTES[world_random(w, 5)]);
	if (w->big && world_random(w, 4) == 0)
		r->name_bytes = world_random(w, 70000);
	w->next_span += r->spans;
	pb_numbered_request(out, r->first, r->spans, r->name_bytes);
	r->len = (uint32_t)out->len;
}

/* Requests are packed as storage/commit.c does it; gives where the blocks of the stage end. */
static uint32_t pack(struct world *w, enum block_stage stage, uint32_t first, uint32_t n,
		     uint64_t now_ms)
{
	struct world_state *now = &w->now;
	struct world_block *blocks = stage == STAGE_KEPT ? w->block : w->pending;
	uint64_t *next = stage == STAGE_KEPT ? &now->next_block : &now->next_pending;
	uint32_t end = stage == STAGE_KEPT ? now->n_blocks : now->n_pending;
	for (uint32_t i = 0; i < n;) {
		struct world_block *b = &blocks[end++];
		*b = (struct world_block){(*next)++, now_ms, BLOCK_HEADER, 0, first + i, 0};
		do {
			struct world_request *r = &w->request[first + i];
			uint32_t size = record_size(r->len);
			if (b->n_requests != 0 && b->bytes + size > BLOCK_TARGET)
				break;
			r->offset = b->bytes - BLOCK_HEADER;
			b->bytes += size;
			b->spans += r->spans;
			b->n_requests++;
		} while (++i < n);
	}
	return end;
}

static void keep(struct world *w, uint64_t spans)
{
	w->now.judged[0] += spans;
	for (unsigned i = 0; i < WORLD_NAMES; i++)
		if (w->now.exporter[i].configured) {
			w->now.exporter[i].entered += spans;
			w->now.exporter[i].held += spans;
		}
}

/* What one commit is made of. */
struct work {
	struct store_txn t;
	struct buf body[8], chapter, state[WORLD_JUDGE_STATES];
	struct store_kept kept[4];
	uint32_t n;
	struct store_ruling ruling;
};

static struct buf *add_request(struct world *w, struct work *k, struct world_request **r)
{
	*r = &w->request[w->now.n_requests++];
	make_request(w, *r, &k->body[k->n]);
	w->now.next_seq++;
	return &k->body[k->n++];
}

static void append(struct world *w, struct work *k, uint32_t n, uint64_t now_ms)
{
	uint32_t first = w->now.n_requests;
	uint64_t spans = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct world_request *r;
		uint32_t refused = world_random(w, 4) == 0 ? world_random(w, 3) : 0;
		struct buf *body = add_request(w, k, &r);
		store_append(&k->t, buf_slice(body), r->spans, refused);
		spans += r->spans;
		w->now.received += r->spans + refused;
		w->now.rejected += refused;
	}
	w->now.accepted += spans;
	if (w->judged) {
		w->now.n_pending = pack(w, STAGE_PENDING, first, n, now_ms);
		w->now.pending += spans;
	} else {
		w->now.n_blocks = pack(w, STAGE_KEPT, first, n, now_ms);
		keep(w, spans);
	}
}

static void make_content(struct buf *out, uint32_t serial, uint32_t len)
{
	buf_printf(out, "%u ", serial);
	while (out->len < len) {
		uint8_t byte = (uint8_t)(serial * 31 + out->len * 7);
		buf_append(out, &byte, 1);
	}
}

bool world_is_content(struct slice bytes, uint32_t serial, uint32_t len)
{
	struct buf wanted = {0};
	make_content(&wanted, serial, len);
	bool same = slice_equal(bytes, buf_slice(&wanted));
	buf_finish(&wanted);
	return same;
}

uint32_t world_serial_of(struct slice bytes)
{
	uint32_t n = 0;
	for (size_t i = 0; i < bytes.len && bytes.data[i] >= '0' && bytes.data[i] <= '9'; i++)
		n = n * 10 + (uint32_t)(bytes.data[i] - '0');
	return n;
}

static uint32_t content_bytes(struct world *w)
{
	static const uint32_t BYTES[] = {20, 300, 2100, 9000, 40000};
	return 12 + world_random(w, BYTES[world_random(w, w->big ? 5 : 4)]);
}

/* Some of what is pending is kept, as new requests; the rest of what is decided is gone. */
static void decide(struct world *w, struct work *k, uint64_t now_ms)
{
	struct store_ruling *r = &k->ruling;
	uint32_t first = w->now.n_requests;
	uint64_t left = world_random(w, (uint32_t)w->now.pending + 1);
	for (uint32_t n = world_random(w, 4); n != 0 && left > 5; n--) {
		struct world_request *request;
		struct buf *body = add_request(w, k, &request);
		k->kept[r->n_kept++] = (struct store_kept){buf_slice(body), request->spans};
		r->spans[0] += request->spans;
		left -= request->spans;
	}
	r->kept = k->kept;
	w->now.n_blocks = pack(w, STAGE_KEPT, first, (uint32_t)r->n_kept, now_ms);
	w->now.pending -= r->spans[0];
	keep(w, r->spans[0]);
	for (int i = 1; i < STORE_VERDICTS; i++) {
		r->spans[i] = i + 1 < STORE_VERDICTS ? world_random(w, (uint32_t)left + 1) : left;
		left -= r->spans[i];
		w->now.judged[i] += r->spans[i];
		w->now.pending -= r->spans[i];
	}
}

/* It is a while that blocks and chapters are needed. */
static void give_up(struct world *w, struct store_ruling *r, uint64_t next_pending,
		    uint32_t n_chapters)
{
	struct world_state *now = &w->now;
	uint32_t pending = now->n_pending - now->first_pending;
	uint32_t chapters = n_chapters - now->first_chapter;
	now->position += world_random(w, (uint32_t)(next_pending - now->position));
	now->first_pending += world_random(w, pending + 1) / (1 + world_random(w, 4));
	now->first_chapter += world_random(w, chapters + 1) / (1 + world_random(w, 4));
	r->position = now->position;
	r->first_pending =
	    now->first_pending < now->n_pending ? w->pending[now->first_pending].id : next_pending;
	r->first_chapter = now->first_chapter + 1;
}

static void write_states(struct world *w, struct work *k)
{
	struct store_ruling *r = &k->ruling;
	for (int i = 0, at = 0; i < WORLD_JUDGE_STATES; i++) {
		if (world_random(w, 3) == 0)
			continue;
		w->now.serial[i] = ++w->last_serial;
		w->now.bytes[i] = content_bytes(w);
		make_content(&k->state[i], w->now.serial[i], w->now.bytes[i]);
		r->states[at++] = (struct store_state){WORLD_STATES[i], buf_slice(&k->state[i])};
	}
}

static void rule(struct world *w, struct work *k, uint64_t now_ms)
{
	uint32_t n_chapters = w->now.n_chapters;
	decide(w, k, now_ms);
	give_up(w, &k->ruling, w->now.next_pending, n_chapters);
	if (world_random(w, 4) != 0 && n_chapters < WORLD_CHAPTERS) {
		struct world_chapter *c = &w->chapter[w->now.n_chapters++];
		*c = (struct world_chapter){++w->last_serial, content_bytes(w)};
		make_content(&k->chapter, c->serial, c->bytes);
		k->ruling.chapter = buf_slice(&k->chapter);
	}
	write_states(w, k);
	store_rule(&k->t, &k->ruling);
}

static void work_finish(struct work *k)
{
	for (uint32_t i = 0; i < k->n; i++)
		buf_finish(&k->body[i]);
	for (int i = 0; i < WORLD_JUDGE_STATES; i++)
		buf_finish(&k->state[i]);
	buf_finish(&k->chapter);
}

static bool commit(struct world *w, struct store *s, uint32_t n, bool with_ruling,
		   void (*on_commit)(void *ctx, bool done), void *ctx)
{
	struct work k = {.n = 0};
	uint64_t now_ms = 1000000 + w->now.next_seq;
	store_begin(&k.t, s, now_ms);
	world_retire(w);
	if (with_ruling)
		rule(w, &k, now_ms);
	append(w, &k, n, now_ms);
	if (on_commit != NULL)
		on_commit(ctx, false);
	int rc = store_commit(&k.t, NULL);
	work_finish(&k);
	if (rc != 0)
		return world_wrong(w, "commit gives %d", rc);
	w->durable = w->now;
	w->progressed = false;
	if (on_commit != NULL)
		on_commit(ctx, true);
	return true;
}

bool world_step(struct world *w, struct store *s, void (*on_commit)(void *ctx, bool done),
		void *ctx)
{
	uint32_t what = world_random(w, 10);
	if (what < 4) {
		progress(w, s);
		return true;
	}
	uint32_t n = what < 9 ? 1 + world_random(w, 4) : 0;
	bool with_ruling = (w->judged || w->now.pending != 0) && world_random(w, 3) == 0;
	bool is_crowded = w->now.n_requests + 8 > WORLD_REQUESTS ||
			  w->now.n_blocks + 8 > WORLD_BLOCKS || w->now.n_pending + 4 > WORLD_BLOCKS;
	return commit(w, s, is_crowded ? 0 : n, with_ruling && !is_crowded, on_commit, ctx);
}

bool world_close(struct world *w, struct store *s, void (*on_commit)(void *ctx, bool done),
		 void *ctx)
{
	world_retire(w);
	if (on_commit != NULL)
		on_commit(ctx, false);
	store_close(s);
	w->durable = w->now;
	w->progressed = false;
	if (on_commit != NULL)
		on_commit(ctx, true);
	return true;
}

void world_crash(struct world *w)
{
	w->now = w->durable;
	w->progressed = false;
	memset(w->moving, 0, sizeof(w->moving));
}

void world_forget(struct world *w)
{
	memset(&w->now, 0, sizeof(w->now));
	w->now.next_block = w->now.next_seq = w->now.next_pending = 1;
	w->durable = w->now;
}

/* ---- comparing ---- */

bool world_check_block(struct world *w, const struct world_block *b, enum block_stage stage,
		       struct slice bytes)
{
	struct block open;
	struct record rec;
	uint32_t at = 0;
	if (block_open(&open, bytes, b->id) != 0)
		return world_wrong(w, "block %" PRIu64 " is damaged", b->id);
	if (open.n_spans != b->spans || open.n_records != b->n_requests ||
	    open.unix_ms != b->unix_ms || bytes.len != b->bytes || open.stage != stage)
		return world_wrong(w, "block %" PRIu64 " is another", b->id);
	for (uint32_t i = 0; i < b->n_requests; i++) {
		const struct world_request *r = &w->request[b->first_request + i];
		struct buf body = {0};
		pb_numbered_request(&body, r->first, r->spans, r->name_bytes);
		bool same = at == r->offset && (at = block_record(&open, at, &rec)) != 0 &&
			    slice_equal(rec.payload, buf_slice(&body));
		buf_finish(&body);
		if (!same)
			return world_wrong(w, "block %" PRIu64 ": request %u is another", b->id, i);
	}
	return true;
}

static bool same_exporter(struct world *w, const struct world_exporter *e,
			  const struct ledger_exporter *l)
{
	struct cursor c = l->cursor[PLACE_JOURNAL];
	if (cursor_compare(c, e->cursor) != 0)
		return world_wrong(w, "%s: cursor is %" PRIu64 "/%u/%u, wanted %" PRIu64 "/%u/%u",
				   l->name, c.block_id, c.offset, c.span, e->cursor.block_id,
				   e->cursor.offset, e->cursor.span);
	if (l->entered != e->entered || l->sent != e->sent ||
	    l->backend_rejected != e->backend_rejected || l->held[PLACE_JOURNAL] != e->held)
		return world_wrong(w,
				   "%s: entered %" PRIu64 " of %" PRIu64 ", sent %" PRIu64
				   " of %" PRIu64 ", held %" PRIu64 " of %" PRIu64,
				   l->name, l->entered, e->entered, l->sent, e->sent,
				   l->held[PLACE_JOURNAL], e->held);
	for (int box = PLACE_OUTBOX; box < PLACES; box++)
		if (l->cursor[box].block_id != e->box_done[box] || l->held[box] != e->box_held[box])
			return world_wrong(w,
					   "%s: %s is at %" PRIu64 " of %" PRIu64 ", held %" PRIu64
					   " of %" PRIu64,
					   l->name, PLACE_NAMES[box], l->cursor[box].block_id,
					   e->box_done[box], l->held[box], e->box_held[box]);
	for (int k = 0; k < DROP_REASONS; k++)
		if (l->dropped[k] != e->dropped[k])
			return world_wrong(w, "%s: %s is %" PRIu64 ", wanted %" PRIu64, l->name,
					   DROP_REASON_NAMES[k], l->dropped[k], e->dropped[k]);
	return true;
}

bool world_check_account(struct world *w, const struct world_state *want, const struct ledger *l)
{
	unsigned n = 0;
	if (l->received != want->received || l->rejected != want->rejected ||
	    l->accepted != want->accepted)
		return world_wrong(w, "received %" PRIu64 " of %" PRIu64, l->received,
				   want->received);
	if (l->pending != want->pending)
		return world_wrong(w, "pending %" PRIu64 " of %" PRIu64, l->pending, want->pending);
	for (int i = 0; i < STORE_VERDICTS; i++)
		if (l->judged[i] != want->judged[i])
			return world_wrong(w, "verdict %d: %" PRIu64 " of %" PRIu64, i,
					   l->judged[i], want->judged[i]);
	for (unsigned i = 0; i < WORLD_NAMES; i++) {
		const struct world_exporter *e = &want->exporter[i];
		unsigned k = 0;
		while (k < l->n_exporters + l->n_removed &&
		       strcmp(l->exporter[k].name, WORLD_EXPORTERS[i]) != 0)
			k++;
		n += e->known;
		if (!e->known)
			continue;
		if (k == l->n_exporters + l->n_removed || (k < l->n_exporters) != e->configured)
			return world_wrong(w, "%s is not where it must be", WORLD_EXPORTERS[i]);
		if (!same_exporter(w, e, &l->exporter[k]))
			return false;
	}
	return n == l->n_exporters + l->n_removed || world_wrong(w, "too many exporters");
}

struct held_list {
	struct store_block blocks[WORLD_BLOCKS];
	uint32_t n;
};

static void list_block(void *ctx, struct store_block b)
{
	struct held_list *l = ctx;
	if (l->n < WORLD_BLOCKS)
		l->blocks[l->n++] = b;
}

static bool check_blocks(struct world *w, const struct world_block *blocks, uint32_t n,
			 enum block_stage stage, struct store *s, struct store_reader *r)
{
	struct held_list held = {.n = 0};
	const char *what = stage == STAGE_KEPT ? "block" : "pending block";
	(stage == STAGE_KEPT ? store_each_block : store_each_pending)(s, list_block, &held);
	if (held.n != n)
		return world_wrong(w, "%u %ss are held, wanted %u", held.n, what, n);
	for (uint32_t i = 0; i < held.n; i++) {
		const struct world_block *b = &blocks[i];
		const struct store_block *h = &held.blocks[i];
		struct slice bytes;
		if (h->id != b->id || h->spans != b->spans || h->bytes != b->bytes ||
		    h->unix_ms != b->unix_ms)
			return world_wrong(w, "%s %" PRIu64 " is listed wrong", what, b->id);
		if ((stage == STAGE_KEPT ? store_reader_block : store_reader_pending)(r, b->id,
										      &bytes) != 0)
			return world_wrong(w, "%s %" PRIu64 " cannot be read", what, b->id);
		if (!world_check_block(w, b, stage, bytes))
			return false;
	}
	return true;
}

struct chapter_walk {
	struct world *w;
	uint32_t next, end; /* places of them */
};

static int next_chapter(void *ctx, uint64_t number, struct slice bytes)
{
	struct chapter_walk *walk = ctx;
	const struct world_chapter *c = &walk->w->chapter[walk->next];
	return walk->next == walk->end || number != ++walk->next ||
	       !world_is_content(bytes, c->serial, c->bytes);
}

static bool check_judge(struct world *w, const struct world_state *want, struct store *s)
{
	struct store_judged j;
	struct chapter_walk walk = {w, want->first_chapter, want->n_chapters};
	store_judged(s, &j);
	if (j.position != want->position || j.next_chapter != want->n_chapters + 1)
		return world_wrong(w, "the judge is at %" PRIu64 " of %" PRIu64, j.position,
				   want->position);
	if (store_each_chapter(s, next_chapter, &walk) != 0 || walk.next != walk.end)
		return world_wrong(w, "chapter %u is another", walk.next);
	for (int i = 0; i < WORLD_JUDGE_STATES; i++) {
		struct buf b = {0};
		int rc = store_state(s, WORLD_STATES[i], &b);
		bool same = want->serial[i] == 0
				? rc == STORE_GONE
				: rc == 0 && world_is_content(buf_slice(&b), want->serial[i],
							      want->bytes[i]);
		buf_finish(&b);
		if (!same)
			return world_wrong(w, "state %s is another, %d", WORLD_STATES[i], rc);
	}
	return true;
}

bool world_check(struct world *w, const struct world_state *want, struct store *s)
{
	struct ledger l;
	struct store_reader *r;
	store_ledger(s, &l);
	if (!world_check_account(w, want, &l) || !check_judge(w, want, s))
		return false;
	if (store_reader_open(&r, s) != 0 || store_reader_begin(r) != 0)
		return world_wrong(w, "no reader");
	bool good = check_blocks(w, &w->block[want->first_held], want->n_blocks - want->first_held,
				 STAGE_KEPT, s, r) &&
		    check_blocks(w, &w->pending[want->first_pending],
				 want->n_pending - want->first_pending, STAGE_PENDING, s, r);
	store_reader_end(r);
	store_reader_close(r);
	return good;
}

/* ---- folders ---- */

const char *scratch_dir(void)
{
	static char dir[256];
	const char *tmp = getenv("TMPDIR");
	const char *at = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : tmp != NULL ? tmp : "/tmp";
	snprintf(dir, sizeof(dir), "%s/spanrelay-disk-XXXXXX", at);
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		exit(1);
	}
	return dir;
}

void scratch_empty(const char *dir)
{
	DIR *d = opendir(dir);
	char path[768];
	if (d == NULL)
		return;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_type == DT_DIR) {
			scratch_empty(path);
			rmdir(path);
		} else {
			unlink(path);
		}
	}
	closedir(d);
}

void quiet(void)
{
	int fd = getenv("LOG") == NULL ? open("/dev/null", O_WRONLY) : -1;
	if (fd < 0)
		return;
	dup2(fd, 2);
	close(fd);
}

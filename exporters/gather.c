/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/gather.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "relay/path.h"
#include "wire/otlp_splice.h"
#include "wire/otlp_walk.h"

struct filed {
	uint64_t id, at_ms, unix_ms; /* unix_ms 0: not known yet, nor are spans and bytes */
	uint32_t spans, bytes;
};

static const struct cursor END = {UINT64_MAX, UINT32_MAX, UINT32_MAX};

int gather_init(struct gather *g, struct export *room, struct cursor from, enum coding coding)
{
	*g = (struct gather){.room = room, .coding = coding};
	g->next.at = from;
	g->next.before = from.span;
	g->next.counted = from.offset == 0;
	g->splice = splice_create(SIZE_MAX);
	g->codec = codec_create();
	if (g->splice != NULL && g->codec != NULL)
		return 0;
	gather_finish(g);
	return -ENOMEM;
}

void gather_finish(struct gather *g)
{
	splice_destroy(g->splice);
	codec_destroy(g->codec);
	free(g->blocks);
	buf_finish(&g->plain);
	*g = (struct gather){.room = NULL};
}

static int grow(struct gather *g)
{
	size_t cap = g->cap == 0 ? 64 : g->cap * 2;
	struct filed *blocks = calloc(cap, sizeof(*blocks));
	if (blocks == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_blocks; i++)
		blocks[i] = g->blocks[(g->first + i) % g->cap];
	free(g->blocks);
	g->blocks = blocks;
	g->first = 0;
	g->cap = cap;
	return 0;
}

static struct filed *filed_at(const struct gather *g, size_t i)
{
	return &g->blocks[(g->first + i) % g->cap];
}

static int add_filed(struct gather *g, struct filed f)
{
	if (g->n_blocks == g->cap && grow(g) != 0)
		return -ENOMEM;
	*filed_at(g, g->n_blocks++) = f;
	g->block_bytes += f.bytes;
	g->last_id = f.id;
	return 0;
}

void gather_filed(struct gather *g, uint64_t id, uint32_t spans, uint32_t bytes, uint64_t unix_ms,
		  uint64_t now_ms)
{
	if (id < g->next.at.block_id)
		return;
	while (g->forgot && g->last_id + 1 < id)
		if (add_filed(g, (struct filed){.id = g->last_id + 1, .at_ms = now_ms}) != 0)
			return;
	g->forgot = add_filed(g, (struct filed){id, now_ms, unix_ms, spans, bytes}) != 0;
}

static void take_blocks(struct gather *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g->block_bytes -= filed_at(g, i)->bytes;
	g->first = g->cap != 0 ? (g->first + n) % g->cap : 0;
	g->n_blocks -= n;
}

bool gather_is_empty(const struct gather *g)
{
	return g->n_blocks == 0;
}

uint64_t gather_waiting_bytes(const struct gather *g)
{
	bool within = g->n_blocks != 0 && filed_at(g, 0)->id == g->next.at.block_id;
	return g->block_bytes - (within ? g->next.at.offset : 0);
}

uint64_t gather_oldest_ms(const struct gather *g)
{
	return g->n_blocks != 0 ? filed_at(g, 0)->at_ms : 0;
}

uint64_t gather_oldest_unix(const struct gather *g)
{
	return g->n_blocks != 0 ? filed_at(g, 0)->unix_ms : 0;
}

static bool is_old(const struct filed *f, uint64_t too_old_ms)
{
	return f->unix_ms != 0 && f->unix_ms < too_old_ms;
}

bool gather_is_old(const struct gather *g, uint64_t too_old_ms)
{
	return g->n_blocks != 0 && is_old(filed_at(g, 0), too_old_ms);
}

static int open_block(struct gather *g, uint64_t id, struct block *b)
{
	struct slice bytes;
	int rc = path_read_block(g->room, id, &bytes);
	return rc != 0 ? rc : block_open(b, bytes, id);
}

/* Adds what `b` has from *at on and before `to`. 0, SPLICE_FULL or negative; *at is then the first
 * that is not in. */
static int add_records(struct gather *g, const struct block *b, struct cursor *at, struct cursor to)
{
	struct record r;
	uint32_t next;
	while (cursor_compare(*at, to) < 0 && (next = block_record(b, at->offset, &r)) != 0) {
		bool last = at->block_id == to.block_id && at->offset == to.offset;
		int rc = splice_add(g->splice, r.payload, &at->span, last ? to.span : UINT32_MAX);
		if (rc != 0 || last)
			return rc;
		at->offset = next;
		at->span = 0;
	}
	return 0;
}

static void count_before(struct start *p, const struct block *b)
{
	struct record r;
	uint32_t at = 0, next;
	p->before = p->at.span;
	while (at < p->at.offset && (next = block_record(b, at, &r)) != 0) {
		p->before += otlp_walk_spans(r.payload);
		at = next;
	}
	p->counted = true;
}

/* Adds one block's spans from *p on. 0 when the block is done with and *p is
 * after it, else why it is not. `lost` is what could not be read of it. */
static int add_block(struct gather *g, const struct filed *f, struct start *p, uint32_t *lost)
{
	struct block b;
	if (p->at.block_id != f->id)
		*p = (struct start){.at = {.block_id = f->id}, .counted = true};
	uint32_t spans = splice_spans(g->splice);
	if (open_block(g, f->id, &b) == 0) {
		if (!p->counted)
			count_before(p, &b);
		int rc = add_records(g, &b, &p->at, END);
		p->before += splice_spans(g->splice) - spans;
		if (rc != 0)
			return rc;
	}
	if (p->counted && p->before < f->spans)
		*lost = f->spans - p->before;
	*p = (struct start){.at = {.block_id = f->id + 1}, .counted = true};
	return 0;
}

/* What was not noted when the block was filed, out of its header. */
static struct filed *known_at(struct gather *g, size_t i)
{
	struct filed *f = filed_at(g, i);
	struct block b;
	if (f->unix_ms != 0 || open_block(g, f->id, &b) != 0)
		return f;
	f->unix_ms = b.unix_ms;
	if (f->spans == 0)
		f->spans = b.n_spans;
	return f;
}

/* The blocks that are too old, from the first that waits on. Only a place in the middle of one has
 * to be looked up. */
static void take_expired(struct gather *g, uint64_t too_old_ms, struct portion *p)
{
	struct start at = g->next;
	struct block b;
	size_t taken = 0;
	*p = (struct portion){.from = at.at, .expired = true};
	p->oldest_ms = known_at(g, 0)->unix_ms;
	for (; taken < g->n_blocks && p->spans < UINT32_MAX / 2; taken++) {
		const struct filed *f = known_at(g, taken);
		if (!is_old(f, too_old_ms))
			break;
		if (at.at.block_id != f->id)
			at = (struct start){.at = {.block_id = f->id}, .counted = true};
		if (!at.counted && open_block(g, f->id, &b) == 0)
			count_before(&at, &b);
		if (at.counted && at.before < f->spans)
			p->spans += f->spans - at.before;
		if (f->unix_ms > p->newest_ms)
			p->newest_ms = f->unix_ms;
		at = (struct start){.at = {.block_id = f->id + 1}, .counted = true};
	}
	p->to = at.at;
	take_blocks(g, taken);
	g->next = at;
}

/* Where the bytes before compression go. */
static struct buf *plain_of(struct gather *g, struct buf *body)
{
	return g->coding == CODING_IDENTITY ? body : &g->plain;
}

/* Writes down what the splice holds, after which what it borrows is needed no more. */
static int write_plain(struct gather *g, size_t *plain_bytes, struct buf *body)
{
	struct buf *plain = plain_of(g, body);
	plain->len = 0;
	int rc = splice_write(g->splice, plain);
	*plain_bytes = plain->len;
	return rc == 0 ? 0 : GATHER_LATER;
}

static int compress(struct gather *g, struct buf *body)
{
	struct buf *plain = plain_of(g, body);
	if (plain == body || plain->len == 0 ||
	    codec_compress(g->codec, g->coding, buf_slice(plain), body) == 0)
		return 0;
	body->len = 0;
	return GATHER_LATER;
}

static void note_age(struct portion *p, uint64_t unix_ms)
{
	if (unix_ms == 0)
		return;
	if (p->oldest_ms == 0 || unix_ms < p->oldest_ms)
		p->oldest_ms = unix_ms;
	if (unix_ms > p->newest_ms)
		p->newest_ms = unix_ms;
}

int gather_next(struct gather *g, const struct gather_limits *l, struct portion *p,
		struct buf *body)
{
	uint64_t waiting = gather_waiting_bytes(g);
	if (path_read_begin(g->room) != 0)
		return GATHER_LATER;
	if (is_old(known_at(g, 0), l->too_old_ms)) {
		take_expired(g, l->too_old_ms, p);
		path_read_end(g->room);
		return 0;
	}
	struct start at = g->next;
	size_t taken = 0;
	int rc = 0;
	*p = (struct portion){.from = at.at};
	splice_reset(g->splice, l->max_bytes);
	while (rc == 0 && p->lost == 0 && taken < g->n_blocks) {
		const struct filed *f = known_at(g, taken);
		if (is_old(f, l->too_old_ms))
			break;
		uint32_t before = splice_spans(g->splice);
		rc = add_block(g, f, &at, &p->lost);
		taken += rc == 0;
		if (rc == 0 || splice_spans(g->splice) != before)
			note_age(p, f->unix_ms);
	}
	p->to = at.at;
	p->spans = splice_spans(g->splice) + p->lost;
	int made = write_plain(g, &p->plain_bytes, body);
	path_read_end(g->room);
	if (made != 0 || compress(g, body) != 0 || (rc < 0 && p->spans == 0))
		return GATHER_LATER;
	take_blocks(g, taken);
	g->next = at;
	p->stored_bytes = waiting - gather_waiting_bytes(g);
	return 0;
}

int gather_again(struct gather *g, struct portion *p, struct buf *body)
{
	if (path_read_begin(g->room) != 0)
		return GATHER_LATER;
	struct cursor at = p->from;
	int rc = 0;
	splice_reset(g->splice, SIZE_MAX); /* the portion was measured when it was taken */
	while (rc == 0 && cursor_compare(at, p->to) < 0) {
		struct block b;
		if (open_block(g, at.block_id, &b) == 0)
			rc = add_records(g, &b, &at, p->to);
		at = (struct cursor){.block_id = at.block_id + 1};
	}
	p->lost = p->spans - splice_spans(g->splice);
	int made = write_plain(g, &p->plain_bytes, body);
	path_read_end(g->room);
	return made == 0 && rc == 0 ? compress(g, body) : GATHER_LATER;
}

/* Where the first `*wanted` spans between `at` and `to` end within `b`; lowers *wanted by those
 * that are before the end of the block. */
static struct cursor skip_spans(const struct block *b, struct cursor at, struct cursor to,
				uint32_t *wanted)
{
	struct record r;
	uint32_t next;
	while (*wanted > 0 && cursor_compare(at, to) < 0 &&
	       (next = block_record(b, at.offset, &r)) != 0) {
		uint32_t here = otlp_walk_spans(r.payload) - at.span;
		if (here >= *wanted) {
			at.span += *wanted;
			*wanted = 0;
			return at;
		}
		*wanted -= here;
		at = (struct cursor){.block_id = at.block_id, .offset = next};
	}
	return at;
}

void portion_halve(struct portion *p, struct portion *right, struct cursor at, uint32_t spans)
{
	*right = *p;
	right->from = at;
	right->spans = p->spans - spans;
	right->lost = p->lost = 0; /* the next attempt finds out which half it is in */
	right->stored_bytes = p->stored_bytes / 2;
	right->plain_bytes = p->plain_bytes / 2;
	p->to = at;
	p->spans = spans;
	p->stored_bytes -= right->stored_bytes;
	p->plain_bytes -= right->plain_bytes;
}

int gather_cut(struct gather *g, struct portion *p, struct portion *right)
{
	assert(p->spans - p->lost >= 2);
	if (path_read_begin(g->room) != 0)
		return GATHER_LATER;
	uint32_t half = (p->spans - p->lost) / 2, wanted = half;
	struct cursor at = p->from;
	while (wanted > 0 && cursor_compare(at, p->to) < 0) {
		struct block b;
		if (open_block(g, at.block_id, &b) == 0)
			at = skip_spans(&b, at, p->to, &wanted);
		if (wanted > 0)
			at = (struct cursor){.block_id = at.block_id + 1};
	}
	path_read_end(g->room);
	if (wanted > 0 || cursor_compare(at, p->to) >= 0)
		return GATHER_LATER; /* damage: there are no two halves to be had */
	portion_halve(p, right, at, half);
	return 0;
}

int gather_part(struct gather *g, struct slice request, uint32_t first, uint32_t end,
		size_t *plain_bytes, struct buf *body)
{
	uint32_t at = first;
	splice_reset(g->splice, SIZE_MAX);
	if (splice_add(g->splice, request, &at, end) != 0)
		return GATHER_LATER;
	if (splice_spans(g->splice) != end - first)
		return GATHER_DAMAGED;
	int rc = write_plain(g, plain_bytes, body);
	return rc == 0 ? compress(g, body) : rc;
}

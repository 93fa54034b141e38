/* SPDX-License-Identifier: Apache-2.0
 * What comes in: blocks, and the spans in them. All that can fail is done before anything changes,
 * and each step looks ahead in memory for the next: with a million traces a span is three misses of
 * the cache. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/sampler_state.h"

enum { AT_ONCE = 64, CHASE_EVERY = 8 };

/* ---- blocks ---- */

void sampler_close_block(struct sampler *s)
{
	if (!s->open)
		return;
	s->open = false;
	const struct held *b = block_at(s, s->first_seq + s->n_blocks - 1);
	/* Of older ones it was said before the start. */
	if (b->spans > b->noticed && b->id > s->restored)
		s->spans_done[VERDICT_DAMAGED] += b->spans - b->noticed;
}

static bool blocks_grow(struct sampler *s)
{
	if (s->n_blocks < s->room_blocks)
		return true;
	uint32_t room = 2 * s->room_blocks;
	struct held *ring = calloc(room, sizeof(*ring));
	if (ring == NULL)
		return false;
	for (uint32_t i = 0; i < s->n_blocks; i++)
		ring[(s->first_seq + i) & (room - 1)] = *block_at(s, s->first_seq + i);
	free(s->blocks);
	s->blocks = ring;
	s->room_blocks = room;
	return true;
}

int sampler_block(struct sampler *s, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms)
{
	assert(id > s->newest_id);
	if (!blocks_grow(s))
		return fail(-ENOMEM, "sampler: no memory for a block");
	sampler_close_block(s);
	*block_at(s, s->first_seq + s->n_blocks++) =
	    (struct held){.id = id, .unix_ms = unix_ms, .bytes = bytes, .spans = spans};
	s->pending_bytes += bytes;
	if (s->newest_id == 0)
		s->first_held = id; /* as the journal knows */
	s->newest_id = id;
	s->open = true;
	return 0;
}

/* ---- where notices belong ---- */

static bool reserve(struct sampler *s, size_t n)
{
	return sampler_room(&s->places, &s->room_places, n, sizeof(*s->places)) &&
	       sampler_room(&s->hashes, &s->room_hashes, n, sizeof(*s->hashes)) &&
	       sampler_room(&s->late, &s->room_late, s->n_late + n, sizeof(*s->late)) &&
	       pool_reserve(&s->traces, n) && pool_reserve(&s->spans, n);
}

/* Fetches what finding the places of notices [from, to) will touch: slots of the table, then what
 * they lead to, then the slots of records for those that lead nowhere. Short loops, one of them
 * after the other: a fetch whose page is not known holds up what comes after it, so there should be
 * many of them close together. */
static void look_ahead(struct sampler *s, const struct notices *all, uint32_t from, uint32_t to)
{
	uint32_t unseen[AT_ONCE], n = 0, number;
	for (uint32_t i = from; i < to; i++) {
		s->hashes[i] = sampler_hash(s, notice_at(all, i)->trace_id);
		table_prefetch(&s->table, s->hashes[i]);
	}
	for (uint32_t i = from; i < to; i++) {
		struct table_walk w = table_walk(&s->table, s->hashes[i]);
		struct place *p = &s->places[i];
		p->trace = NULL;
		if (table_next(&w, &p->number)) {
			p->trace = trace_at(s, p->number);
			trace_prefetch(p->trace);
		} else {
			unseen[n++] = i;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		table_prefetch(&s->records.kept_table, s->hashes[unseen[i]]);
		table_prefetch(&s->records.dropped_table, s->hashes[unseen[i]]);
		if (pool_soon(&s->traces, i, &number))
			trace_prefetch(trace_at(s, number));
	}
}

/* Where look_ahead() has seen nothing, or another trace of the same tag. */
static bool find_elsewhere(struct sampler *s, const struct notice *n, uint64_t hash,
			   struct place *p)
{
	bool is_done = s->newest_id <= s->restored;
	if (!trace_find(s, n->trace_id, hash, &p->number)) {
		if (records_find_kept(&s->records, n->trace_id, hash, &p->number)) {
			p->kind = is_done ? PLACE_DONE : PLACE_KEPT;
			return true;
		}
		if (records_find_dropped(&s->records, hash, &p->number)) {
			p->kind = is_done ? PLACE_DONE : PLACE_DROPPED;
			return true;
		}
		if (!trace_add(s, n->trace_id, hash, &p->number))
			return false;
	}
	p->trace = trace_at(s, p->number);
	return true;
}

static bool find_place(struct sampler *s, const struct notice *n, uint64_t hash, struct place *p)
{
	p->kind = PLACE_TRACE;
	return (p->trace != NULL && memcmp(p->trace->id, n->trace_id, 16) == 0) ||
	       find_elsewhere(s, n, hash, p);
}

/* Those of the first n places that were made for them. */
static void take_back(struct sampler *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct place *p = &s->places[i];
		if (p->kind != PLACE_TRACE || p->trace->spans != 0)
			continue;
		trace_remove(s, p->number);
		p->trace->spans = UINT32_MAX; /* it may be here twice */
	}
}

/* A span that the filter of its trace cannot tell from the others will be compared with each. */
static void chase_others(struct sampler *s, struct chase *c, const struct place *p,
			 const struct notice *n)
{
	if (p->kind == PLACE_TRACE && trace_may_have(p->trace, n->identity))
		chase_begin(s, c, p->trace->newest);
}

static bool find_places(struct sampler *s, const struct notices *all, struct chase *c)
{
	for (uint32_t from = 0; from < all->n; from += AT_ONCE) {
		uint32_t to = all->n - from < AT_ONCE ? all->n : from + AT_ONCE;
		look_ahead(s, all, from, to);
		for (uint32_t i = from; i < to; i++) {
			if (!find_place(s, notice_at(all, i), s->hashes[i], &s->places[i])) {
				take_back(s, i);
				return false;
			}
			chase_others(s, c, &s->places[i], notice_at(all, i));
			if (i % CHASE_EVERY == 0)
				chase_step(s, c);
		}
	}
	return true;
}

/* ---- spans of undecided traces ---- */

static void make_ready(struct sampler *s, uint32_t number, enum decision_trigger trigger)
{
	struct trace *t = trace_at(s, number);
	trace_unlist(s, number);
	t->rv_list = (t->rv_list & ~(uint64_t)0xf0) | (uint64_t)trigger << 4;
	trace_enlist(s, number, LIST_READY);
}

/* So long after the block came; not before clients had time to try again after a start. */
static uint32_t due_after(const struct sampler *s, const struct held *b, uint32_t wait_ms,
			  struct sampler_now now)
{
	uint64_t age = now.unix_ms > b->unix_ms ? now.unix_ms - b->unix_ms : 0;
	uint64_t due = now.mono_ms + wait_ms - (age < wait_ms ? age : wait_ms);
	return (uint32_t)(due > s->grace_ms ? due : s->grace_ms);
}

static void first_span(struct sampler *s, uint32_t number, const struct held *b,
		       struct sampler_now now)
{
	struct trace *t = trace_at(s, number);
	t->first_ms = (uint32_t)b->unix_ms;
	t->due_ms = due_after(s, b, s->wait_ms, now);
	trace_enlist(s, number, LIST_WAIT);
	if (s->stressed)
		make_ready(s, number, TRIGGER_STRESS);
}

static void first_root(struct sampler *s, uint32_t number, const struct held *b,
		       struct sampler_now now)
{
	struct trace *t = trace_at(s, number);
	uint32_t due_ms = due_after(s, b, s->root_wait_ms, now);
	trace_unlist(s, number);
	if ((int32_t)(due_ms - t->due_ms) < 0)
		t->due_ms = due_ms;
	trace_enlist(s, number, LIST_ROOT);
}

/* false: it was there already. */
static bool link_span(struct sampler *s, struct trace *t, const struct notice *n, uint32_t block,
		      uint32_t place)
{
	uint32_t span = pool_take(&s->spans);
	uint32_t bytes = n->bytes < MASK_24 ? n->bytes : MASK_24;
	uint64_t met = n->more[0], identity = n->identity & MASK_48;
	struct span_ref *ref = span_at(s, span);
	ref->next = t->newest;
	ref->block = block;
	ref->bytes_met = bytes << MET_LOW | (met & 0xff);
	ref->identity_met = identity << MET_HIGH | (met >> MET_LOW & 0xffff);
	bool is_new = trace_takes(s, t, span, identity);
	ref->at = is_new ? place : place | SPAN_DUPLICATE;
	t->newest = span + 1;
	return is_new;
}

static void add_span(struct sampler *s, const struct place *p, const struct notice *n,
		     uint32_t place, struct held *b, struct sampler_now now)
{
	struct trace *t = p->trace;
	uint32_t number = p->number;
	b->undecided++;
	if (!link_span(s, t, n, s->first_seq + s->n_blocks - 1, place))
		return;
	bool had_root = t->th_flags & TRACE_ROOT, is_first = t->spans == 0;
	bool is_news = trace_learn(s, t, n) || is_first || s->by_counts;
	if (is_first)
		first_span(s, number, b, now);
	bool is_root = !had_root && t->th_flags & TRACE_ROOT;
	if (trace_list(t) != LIST_WAIT && trace_list(t) != LIST_ROOT)
		return;
	if (t->spans > s->trace_spans)
		make_ready(s, number, TRIGGER_SPANS);
	else if (trace_bytes(t) > s->trace_bytes)
		make_ready(s, number, TRIGGER_BYTES);
	else if (s->may_be_certain && (is_news || is_root) && judge_is_certain(s, t))
		make_ready(s, number, TRIGGER_CERTAIN);
	else if (is_root)
		first_root(s, number, b, now);
}

static void add_late(struct sampler *s, uint32_t record, const struct notice *n, uint32_t place)
{
	records_hold(&s->records, kept_at(&s->records, record)->chapter, s->newest_id);
	s->late[s->n_late] = (struct late){
	    .block_id = s->newest_id, .at = place, .bytes = n->bytes, .record = record};
	s->n_late++;
}

/* Those that the next spans will be. */
static void fetch_free(const struct sampler *s)
{
	uint32_t number;
	for (uint32_t i = 0; i < AT_ONCE && pool_soon(&s->spans, i, &number); i++)
		fetch_all(span_at(s, number), sizeof(struct span_ref));
}

int sampler_notice(struct sampler *s, const struct notices *all, struct sampler_now now)
{
	assert(s->open && all->block_id == s->newest_id);
	s->now_ms = now.mono_ms;
	struct held *b = block_at(s, s->first_seq + s->n_blocks - 1);
	struct chase c;
	c.n = 0; /* the rest is set as it is used */
	if (!reserve(s, all->n) || !find_places(s, all, &c))
		return fail(-ENOMEM, "sampler: no memory for the spans of a request");
	for (uint32_t i = 0; i < all->n; i++) {
		const struct notice *n = notice_at(all, i);
		const struct place *p = &s->places[i];
		if (i % AT_ONCE == 0)
			fetch_free(s);
		if (i % CHASE_EVERY == 0)
			chase_step(s, &c);
		switch (p->kind) {
		case PLACE_TRACE:
			add_span(s, p, n, all->offset + n->offset, b, now);
			break;
		case PLACE_KEPT:
			add_late(s, p->number, n, all->offset + n->offset);
			break;
		case PLACE_DROPPED:
			records_hold(&s->records, dropped_at(&s->records, p->number)->chapter,
				     s->newest_id);
			s->spans_done[VERDICT_LATE]++;
			s->bytes_done[VERDICT_LATE] += n->bytes;
			break;
		case PLACE_DONE:
			break;
		}
	}
	b->noticed += all->n;
	return 0;
}

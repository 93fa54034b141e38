/* SPDX-License-Identifier: Apache-2.0
 * What a sender tells about itself. */
#include "exporters/internal.h"

static const double SMOOTH_MS = 10000.; /* rates look back about this far */

void measure_waiting(struct sender *s)
{
	set_stat(&s->stats.waiting_bytes,
		 gather_waiting_bytes(&s->gather) + s->lane[PLACE_JOURNAL].stored_bytes);
	atomic_store_explicit(&s->stats.spilling, s->spilling, memory_order_relaxed);
}

static double smooth(double rate, uint64_t spans, double ms)
{
	double now = (double)spans * 1000. / ms, share = ms / (SMOOTH_MS + ms);
	return rate + (now - rate) * share;
}

static uint64_t older(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

static uint64_t oldest_in(struct lane *l)
{
	uint64_t oldest = 0;
	list_for_each_safe(pos, tmp, &l->window)
	{
		struct request *r = lane_request(pos);
		if (r->state != DONE)
			oldest = older(oldest, r->portion.oldest_ms);
	}
	return oldest;
}

/* A box is in order of time but for what was put back; looking at its front is enough. */
static uint64_t oldest_of_all(struct sender *s)
{
	struct backlog *b = &s->lane[PLACE_OUTBOX].backlog;
	uint64_t oldest = older(gather_oldest_unix(&s->gather), oldest_in(&s->lane[PLACE_JOURNAL]));
	oldest = older(oldest, oldest_in(&s->lane[PLACE_OUTBOX]));
	if (backlog_look(b))
		oldest = older(oldest, b->front_oldest_ms);
	return older(oldest, b->making_oldest_ms);
}

void measure_tick(struct sender *s, uint64_t now_ms)
{
	double ms = now_ms > s->tick_ms ? (double)(now_ms - s->tick_ms) : 1.;
	s->fresh_rate = smooth(s->fresh_rate, s->fresh_spans, ms);
	s->drain_rate = smooth(s->drain_rate, s->drained_spans, ms);
	s->fresh_spans = s->drained_spans = 0;
	s->tick_ms = now_ms;
	set_stat(&s->stats.fresh_rate, (uint64_t)s->fresh_rate);
	set_stat(&s->stats.drain_rate, (uint64_t)s->drain_rate);
	set_stat(&s->stats.oldest_unix_ms, oldest_of_all(s));
}

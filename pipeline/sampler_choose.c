/* SPDX-License-Identifier: Apache-2.0
 * Which traces are decided now: those that are due, and when memory runs short those that can best
 * be decided early. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/sampler_state.h"

enum {
	VICTIMS = 64,       /* of so many of the oldest the larger half goes first */
	CALM_PERCENT = 75,  /* of memory, below which stress may end */
	NEED_GAP_MS = 1000, /* need that is back within that time was never gone */
	CHOSEN_MOST = DECISIONS_MOST / 2,
	RESERVE = 256, /* decisions at once */
	AHEAD = 4      /* traces that are fetched before one is looked at */
};

struct choosing {
	struct sampler *s;
	struct sampler_now now;
	struct choice *out;
	uint64_t bytes, max_bytes; /* of what is kept; what a budget decides on has as much again */
	uint64_t freed;
	size_t reserved; /* decisions there is room for */
	bool full, failed;
};

/* ---- memory ---- */

uint64_t sampler_used(const struct sampler *s)
{
	return (uint64_t)s->traces.used * s->trace_cost +
	       (uint64_t)s->spans.used * sizeof(struct span_ref) + s->set_bytes;
}

bool sampler_is_short(const struct sampler *s)
{
	return sampler_used(s) > s->memory_limit || s->pending_bytes > s->pending_limit;
}

/* Need that lasts is stress; calm that lasts ends it. */
static void feel_stress(struct sampler *s, uint64_t now_ms)
{
	bool calm = sampler_used(s) / CALM_PERCENT < s->memory_limit / 100 &&
		    s->pending_bytes / CALM_PERCENT < s->pending_limit / 100;
	if (sampler_is_short(s)) {
		if (s->need_ms == 0 || now_ms - s->need_ms > NEED_GAP_MS)
			s->need_since_ms = now_ms;
		s->need_ms = now_ms;
		if (now_ms - s->need_since_ms >= STRESS_MS && !s->stressed) {
			s->stressed = true;
			log_warn("memory for undecided traces is short",
				 "traces=%u bytes=%llu pending_bytes=%llu", s->traces.used,
				 (unsigned long long)sampler_used(s),
				 (unsigned long long)s->pending_bytes);
		}
	}
	if (!calm || s->calm_since_ms == 0)
		s->calm_since_ms = calm ? now_ms : 0;
	if (s->stressed && calm && now_ms - s->calm_since_ms >= STRESS_MS) {
		s->stressed = false;
		log_info("memory for undecided traces is enough again", "traces=%u",
			 s->traces.used);
	}
}

/* ---- one trace ---- */

static bool push(struct judgement **list, size_t *n, size_t *room, const struct judgement *j)
{
	if (!sampler_room(list, room, *n + 1, sizeof(*j)))
		return false;
	(*list)[(*n)++] = *j;
	return true;
}

/* Room for all that one more decision may need. */
static bool room_for(struct choosing *x, const struct trace *t)
{
	struct sampler *s = x->s;
	const struct choice *c = x->out;
	size_t n = s->n_chosen + c->brought + 1;
	if (n > x->reserved) {
		if (!sampler_room(&s->decisions, &s->room_decisions, n, sizeof(*s->decisions)) ||
		    !records_reserve(&s->records, n + RESERVE))
			return false;
		x->reserved = s->room_decisions < n + RESERVE ? s->room_decisions : n + RESERVE;
	}
	return picks_room(s, c->picks + t->spans) &&
	       records_promise(&s->records, sampler_hash(s, t->id));
}

static bool choose_plain(struct choosing *x, const struct judgement *j, const struct trace *t)
{
	struct sampler *s = x->s;
	bool is_kept = j->verdict == VERDICT_KEPT || s->policy->dry_run;
	x->full = is_kept && x->bytes != 0 && x->bytes + trace_bytes(t) > x->max_bytes;
	if (x->full)
		return false;
	x->failed = !room_for(x, t) || !push(&s->chosen, &s->n_chosen, &s->room_chosen, j);
	if (x->failed)
		return false;
	x->bytes += is_kept ? trace_bytes(t) : 0;
	x->out->picks += is_kept ? t->spans : 0;
	return true;
}

/* Soft control looks at a trace once, and what passes it waits until the buckets hold it. */
static bool choose_budgeted(struct choosing *x, struct judgement *j, const struct trace *t)
{
	struct sampler *s = x->s;
	struct budget_offer offer;
	x->full = s->policy->dry_run && x->bytes != 0 && x->bytes + trace_bytes(t) > x->max_bytes;
	x->failed =
	    !x->full &&
	    (!room_for(x, t) ||
	     !sampler_room(&s->chosen, &s->room_chosen, s->n_chosen + 1, sizeof(*s->chosen)) ||
	     !sampler_room(&s->waiting, &s->room_waiting, s->n_waiting + 1, sizeof(*s->waiting)));
	if (x->full || x->failed)
		return false;
	judge_offer(j, t, &offer);
	j->threshold = budget_offer(s->budget, &offer);
	if (j->verdict == VERDICT_KEPT && j->randomness >= j->threshold)
		return push(&s->waiting, &s->n_waiting, &s->room_waiting, j);
	if (j->verdict == VERDICT_KEPT)
		j->verdict = VERDICT_BUDGET;
	j->budgeted = false;
	return choose_plain(x, j, t);
}

static bool choose(struct choosing *x, uint32_t number, enum decision_trigger trigger)
{
	struct sampler *s = x->s;
	struct trace *t = trace_at(s, number);
	struct judgement j;
	x->full = s->n_chosen >= CHOSEN_MOST || s->n_waiting >= DECISIONS_MOST;
	if (x->full)
		return false;
	judge(s, number, &j);
	j.trigger = (uint8_t)trigger;
	if (!(j.budgeted ? choose_budgeted(x, &j, t) : choose_plain(x, &j, t)))
		return false;
	trace_unlist(s, number);
	x->freed += s->trace_cost + (uint64_t)t->spans * sizeof(struct span_ref);
	return true;
}

/* ---- those that are due ---- */

/* Gives 1 + the number of the one after `i`; 0 for 0. */
static uint32_t fetch_next(const struct sampler *s, uint32_t i)
{
	if (i == 0)
		return 0;
	uint32_t next = trace_at(s, i - 1)->next;
	if (next != 0)
		trace_prefetch(trace_at(s, next - 1));
	return next;
}

static void choose_due(struct choosing *x)
{
	struct sampler *s = x->s;
	static const enum decision_trigger trigger[LISTS] = {
	    [LIST_ROOT] = TRIGGER_ROOT, [LIST_WAIT] = TRIGGER_WAIT};
	for (int list = LIST_READY; list < LISTS; list++) {
		uint32_t ahead = s->lists[list].head;
		for (int i = 0; i < AHEAD; i++)
			ahead = fetch_next(s, ahead);
		while (s->lists[list].head != 0) {
			uint32_t number = s->lists[list].head - 1;
			const struct trace *t = trace_at(s, number);
			if (list != LIST_READY && !is_due(t->due_ms, x->now.mono_ms))
				break;
			ahead = fetch_next(s, ahead);
			uint8_t why =
			    list == LIST_READY ? trace_trigger(t) : (uint8_t)trigger[list];
			if (!choose(x, number, (enum decision_trigger)why))
				return;
		}
	}
}

/* ---- those that are not ---- */

static uint64_t less_a_bit(uint64_t limit)
{
	return limit - limit / 16;
}

struct victim {
	uint32_t number, age;
	uint64_t bytes;
};

static int by_size(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->age < y->age ? -1 : 1;
}

/* Of the oldest, the larger half. false: no more. */
static bool evict_large(struct choosing *x, uint64_t until)
{
	struct sampler *s = x->s;
	struct victim v[VICTIMS];
	uint32_t n = 0;
	for (uint32_t i = s->lists[LIST_WAIT].head; i != 0 && n < VICTIMS; n++) {
		const struct trace *t = trace_at(s, i - 1);
		v[n] = (struct victim){.number = i - 1, .age = n, .bytes = trace_bytes(t)};
		i = t->next;
	}
	qsort(v, n, sizeof(*v), by_size);
	for (uint32_t i = 0; i < (n + 1) / 2; i++)
		if (x->freed >= until || !choose(x, v[i].number, TRIGGER_EVICTION))
			return false;
	return n != 0;
}

static void evict_for_memory(struct choosing *x, uint64_t used)
{
	struct sampler *s = x->s;
	uint64_t until = used - less_a_bit(s->memory_limit);
	while (s->lists[LIST_ROOT].head != 0 && x->freed < until)
		if (!choose(x, s->lists[LIST_ROOT].head - 1, TRIGGER_EVICTION))
			return;
	while (x->freed < until && evict_large(x, until)) {
	}
}

/* Blocks are given back from the oldest on: so the oldest traces go, whatever their size. */
static void evict_for_journal(struct choosing *x)
{
	struct sampler *s = x->s;
	uint64_t left = s->pending_bytes, until = less_a_bit(s->pending_limit), last = 0;
	for (uint32_t i = 0; i < s->n_blocks && left > until; i++) {
		const struct held *b = block_at(s, s->first_seq + i);
		last = b->unix_ms > last ? b->unix_ms : last;
		left -= b->bytes;
	}
	for (int list = LIST_ROOT; list <= LIST_WAIT; list++)
		while (s->lists[list].head != 0) {
			uint32_t number = s->lists[list].head - 1;
			if (near(trace_at(s, number)->first_ms, x->now.unix_ms) > last)
				break;
			if (!choose(x, number, TRIGGER_EVICTION))
				return;
		}
}

/* ---- those that wait for the budget ---- */

static bool bring(struct choosing *x, uint64_t *bytes)
{
	struct sampler *s = x->s;
	const struct trace *t = trace_at(s, s->waiting[x->out->brought].trace);
	if (x->out->brought >= CHOSEN_MOST ||
	    (*bytes != 0 && *bytes + trace_bytes(t) > x->max_bytes))
		return false;
	x->failed = !room_for(x, t) || !sampler_room(&s->candidates, &s->room_candidates,
						     x->out->brought + 1, sizeof(*s->candidates));
	if (x->failed)
		return false;
	*bytes += trace_bytes(t);
	x->out->picks += t->spans;
	x->out->brought++;
	return true;
}

int sampler_choose(struct sampler *s, size_t max_bytes, struct sampler_now now, struct choice *out)
{
	struct choosing x = {.s = s, .now = now, .out = out, .max_bytes = max_bytes / 2};
	uint64_t used = sampler_used(s), bytes = 0;
	*out = (struct choice){.picks = s->n_late};
	s->n_chosen = 0;
	feel_stress(s, now.mono_ms);
	choose_due(&x);
	if (used > s->memory_limit && !x.full && !x.failed)
		evict_for_memory(&x, used);
	if (s->pending_bytes > s->pending_limit && !x.full && !x.failed)
		evict_for_journal(&x);
	while (out->brought < s->n_waiting && bring(&x, &bytes)) {
	}
	if (!x.failed || s->n_chosen + out->brought != 0)
		return 0;
	table_settle(&s->records.kept_table);
	table_settle(&s->records.dropped_table);
	return fail(-ENOMEM, "sampler: no memory to decide");
}

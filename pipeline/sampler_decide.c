/* SPDX-License-Identifier: Apache-2.0
 * A ruling: late spans first, then what the budget lets pass, then all that was chosen, and where
 * that leaves the journal. Once traces are chosen nothing can fail. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/sampler_state.h"

/* Traces: a chase takes a step for each. */
enum { SPANS_AHEAD = 20, TRACE_AHEAD = 32 };

/* ---- one trace ---- */

/* What came beyond its limits is charged as late spans are; if it cannot be, it goes. */
static uint32_t spans_over(struct sampler *s, const struct judgement *j)
{
	if (!j->budgeted || j->verdict != VERDICT_KEPT || j->over_spans == 0 || s->policy->dry_run)
		return 0;
	return budget_late(s->budget, &j->path, j->over_spans, (double)j->over_bytes) != 0
		   ? j->over_spans
		   : 0;
}

static void settle_spans(struct sampler *s, const struct judgement *j, enum verdict verdict)
{
	struct trace *t = trace_at(s, j->trace);
	uint32_t over = spans_over(s, j), place = (uint32_t)s->n_decisions, next;
	for (uint32_t i = t->newest; i != 0; i = next) {
		const struct span_ref *ref = span_at(s, i - 1);
		struct held *b = block_at(s, ref->block);
		enum verdict v = verdict;
		if (ref->at & SPAN_DUPLICATE) {
			v = VERDICT_DUPLICATE;
		} else if (over != 0) {
			v = VERDICT_LATE_OVER;
			over--;
		}
		b->undecided--;
		s->spans_done[v]++;
		s->bytes_done[v] += span_bytes(ref);
		if (v == VERDICT_KEPT)
			s->picks[s->n_picks++] =
			    (struct pick){.block_id = b->id, .at = ref->at, .decision = place};
		next = ref->next;
		pool_give(&s->spans, i - 1);
	}
	t->newest = 0;
}

static void count(struct sampler *s, const struct judgement *j, uint32_t spans)
{
	struct sampler_rule_report *r = &s->report.rules[j->rule];
	bool keeps = j->verdict == VERDICT_KEPT;
	s->report.triggers[j->trigger]++;
	r->matched++;
	*(keeps ? &r->kept : &r->dropped) += 1;
	*(keeps ? &r->kept_spans : &r->dropped_spans) += spans;
	if (j->would != 0)
		judge_count(s, j);
}

/* What settling the i-th of n will touch: first the trace, some time later its spans and its places
 * in the tables. */
static void look_ahead(const struct sampler *s, const struct judgement *list, size_t i, size_t n,
		       struct chase *c)
{
	if (i + TRACE_AHEAD < n)
		trace_prefetch(trace_at(s, list[i + TRACE_AHEAD].trace));
	chase_step(s, c);
	if (i + SPANS_AHEAD >= n)
		return;
	const struct judgement *j = &list[i + SPANS_AHEAD];
	const struct trace *t = trace_at(s, j->trace);
	uint64_t hash = sampler_hash(s, t->id);
	bool is_kept = j->verdict == VERDICT_KEPT || s->policy->dry_run;
	chase_begin(s, c, t->newest);
	table_prefetch(&s->table, hash);
	table_prefetch(is_kept ? &s->records.kept_table : &s->records.dropped_table, hash);
}

/* Before the first of n: what look_ahead() would have fetched before. */
static struct chase look_at_first(const struct sampler *s, const struct judgement *list, size_t n)
{
	struct chase c = {.n = 0};
	for (size_t i = 0; i < SPANS_AHEAD && i < n; i++)
		chase_begin(s, &c, trace_at(s, list[i].trace)->newest);
	for (int i = 0; i < SPANS_AHEAD; i++)
		chase_step(s, &c);
	return c;
}

static void settle(struct sampler *s, const struct judgement *j, struct sampler_now now)
{
	struct decision *d = &s->decisions[s->n_decisions];
	bool is_kept = j->verdict == VERDICT_KEPT || s->policy->dry_run;
	judge_write(s, j, now, d);
	sample_take(s, j->trace, (uint32_t)s->n_decisions);
	met_take(s, j, (uint32_t)s->n_decisions);
	settle_spans(s, j, is_kept ? VERDICT_KEPT : (enum verdict)j->verdict);
	count(s, j, d->spans);
	s->n_decisions++;
	records_add(&s->records, sampler_hash(s, d->trace_id), d, is_kept);
	trace_remove(s, j->trace);
}

/* ---- the budget ---- */

static void make_candidate(struct sampler *s, struct judgement *j, struct budget_candidate *c)
{
	const struct trace *t = trace_at(s, j->trace);
	judge_again(s, j);
	uint64_t bytes = trace_bytes(t) - j->over_bytes;
	*c = (struct budget_candidate){
	    .path = j->path,
	    .randomness = j->randomness,
	    .threshold = j->arrived > j->threshold ? j->arrived : j->threshold,
	    .spans = t->spans - j->over_spans,
	    .bytes = (double)(bytes < s->trace_bytes ? bytes : s->trace_bytes),
	    .protected = j->protected};
}

/* A span's own `th` stands on it anyway: what the others are to say is soft control's threshold,
 * unless the cut raised it. */
static void take_verdict(struct judgement *j, const struct budget_candidate *c)
{
	uint64_t was = j->arrived > j->threshold ? j->arrived : j->threshold;
	j->verdict = c->verdict == BUDGET_KEEP ? VERDICT_KEPT : VERDICT_BUDGET;
	if (c->threshold != was)
		j->threshold = c->threshold;
}

static void reverse(struct judgement *list, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct judgement j = list[i];
		list[i] = list[n - 1 - i];
		list[n - 1 - i] = j;
	}
}

static void run_budget(struct sampler *s, size_t brought, struct sampler_now now)
{
	size_t left = 0;
	if (s->budget == NULL)
		return;
	for (size_t i = 0; i < brought; i++)
		make_candidate(s, &s->waiting[i], &s->candidates[i]);
	budget_tick(s->budget, (struct budget_now){now.mono_ms, now.unix_ms}, s->candidates,
		    brought);
	struct chase c = look_at_first(s, s->waiting, brought);
	for (size_t i = 0; i < brought; i++) {
		struct judgement *j = &s->waiting[i];
		look_ahead(s, s->waiting, i, brought, &c);
		if (s->candidates[i].verdict == BUDGET_WAIT) {
			s->waiting[left++] = *j;
			continue;
		}
		take_verdict(j, &s->candidates[i]);
		settle(s, j, now);
	}
	size_t n = s->n_waiting - brought;
	if (n != 0) /* there may be no list yet */
		memmove(s->waiting + left, s->waiting + brought, n * sizeof(*s->waiting));
	s->n_waiting = left + n;
	if (left != 0 && n != 0) { /* those that were not here are first the next time */
		reverse(s->waiting, left);
		reverse(s->waiting + left, n);
		reverse(s->waiting, left + n);
	}
}

/* ---- the journal ---- */

static uint64_t release_blocks(struct sampler *s)
{
	while (s->n_blocks != 0 && block_at(s, s->first_seq)->undecided == 0) {
		s->pending_bytes -= block_at(s, s->first_seq)->bytes;
		s->first_seq++;
		s->n_blocks--;
	}
	if (s->n_blocks != 0)
		return block_at(s, s->first_seq)->id;
	return s->newest_id != 0 ? s->newest_id + 1 : 0;
}

static bool has_changed(const struct sampler *s, uint64_t first_held)
{
	bool spans = false;
	for (int v = 0; v < VERDICTS; v++)
		spans = spans || s->spans_done[v] != 0;
	return spans || s->n_decisions != 0 || first_held != s->first_held;
}

static void write_ruling(struct sampler *s, uint64_t number, uint64_t position, struct ruling *out)
{
	const struct records *r = &s->records;
	*out = (struct ruling){.picks = picks_sort(s->picks, s->n_picks),
			       .n_picks = s->n_picks,
			       .decisions = s->decisions,
			       .n_decisions = s->n_decisions,
			       .late = s->late_decisions,
			       .n_late = s->n_late_decisions,
			       .position = position,
			       .first_held = s->first_held,
			       .forget = r->n != 0 ? r->entries[r->first].number : number};
	sample_give(s, out);
	met_give(s, out);
	memcpy(out->spans, s->spans_done, sizeof(out->spans));
	memcpy(out->bytes, s->bytes_done, sizeof(out->bytes));
	memset(s->spans_done, 0, sizeof(s->spans_done));
	memset(s->bytes_done, 0, sizeof(s->bytes_done));
}

int sampler_decide(struct sampler *s, size_t max_bytes, uint64_t number, struct sampler_now now,
		   struct ruling *out)
{
	struct choice choice;
	s->now_ms = now.mono_ms;
	s->n_picks = s->n_decisions = s->n_late_decisions = s->n_met = s->n_witnesses = 0;
	sample_start(s);
	sampler_close_block(s);
	int rc = late_reserve(s);
	if (rc == 0)
		rc = sampler_choose(s, max_bytes, now, &choice);
	if (rc != 0)
		return rc;
	if (!records_reserve(&s->records, s->n_chosen + choice.brought))
		return fail(-ENOMEM, "sampler: no memory for decisions"); /* nothing is chosen */
	uint64_t position = s->newest_id > s->restored ? s->newest_id : s->restored;
	late_settle(s);
	records_begin(&s->records, number, position, (int64_t)now.mono_ms);
	run_budget(s, choice.brought, now);
	struct chase c = look_at_first(s, s->chosen, s->n_chosen);
	for (size_t i = 0; i < s->n_chosen; i++) {
		look_ahead(s, s->chosen, i, s->n_chosen, &c);
		settle(s, &s->chosen[i], now);
	}
	records_end(&s->records);
	uint64_t first_held = release_blocks(s);
	if (!has_changed(s, first_held))
		return SAMPLER_IDLE;
	s->first_held = first_held;
	records_expire(s, first_held, now.mono_ms);
	write_ruling(s, number, position, out);
	return 0;
}

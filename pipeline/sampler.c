/* SPDX-License-Identifier: Apache-2.0
 * A sampler's beginning and end, and what people are told of it. */
#include "pipeline/sampler.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/condition_set.h"
#include "pipeline/sampler_state.h"

enum {
	LEAST_BLOCKS = 64,
	SLOT_COST = 16, /* of a trace in the table, at most */
	LATE_URGENT = 4096,
	LONGEST_WAIT_MS = 1 << 30 /* twelve days: times are kept by their low half */
};

bool sampler_room(void *all, size_t *room, size_t n, size_t size)
{
	if (n <= *room)
		return true;
	size_t more = *room != 0 ? *room : 64;
	while (more < n)
		more *= 2;
	void *list;
	memcpy(&list, all, sizeof(list));
	list = realloc(list, more * size);
	if (list == NULL)
		return false;
	memcpy(all, &list, sizeof(list));
	*room = more;
	return true;
}

/* Whether there is a rule whose outcome can be known early. */
static bool may_be_certain(const struct policy *p)
{
	for (uint32_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		if (!r->dry_run && (r->share <= 0 || (r->share >= 1 && r->node == BUDGET_ROOT)))
			return true;
	}
	return false;
}

static bool by_counts(const struct condition_set *set)
{
	for (uint32_t i = 0; i < set->n_ops; i++) {
		enum fact f = set->ops[i].fact.fact;
		if (set->ops[i].kind == OP_FACT && f != FACT_HAS_ROOT && f != FACT_DURATION)
			return true;
	}
	return false;
}

static uint32_t short_wait(uint64_t ms)
{
	return ms < LONGEST_WAIT_MS ? (uint32_t)ms : LONGEST_WAIT_MS;
}

static void take_limits(struct sampler *s, const struct policy *p)
{
	s->wait_ms = short_wait(p->wait_ms);
	s->root_wait_ms = short_wait(p->root_wait_ms);
	s->trace_spans = p->trace_spans != 0 ? p->trace_spans : UINT32_MAX;
	s->trace_bytes = p->trace_bytes != 0 ? p->trace_bytes : UINT64_MAX;
	s->memory_limit = p->memory_bytes != 0 ? p->memory_bytes : UINT64_MAX;
	s->pending_limit = p->pending_bytes != 0 ? p->pending_bytes : UINT64_MAX;
	s->may_be_certain = may_be_certain(p);
	s->by_counts = p->set != NULL && by_counts(p->set);
}

int sampler_create(struct sampler **out, const struct sampler_options *o)
{
	const struct policy *p = o->policy;
	struct sampler *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail(-ENOMEM, "sampler: no memory");
	s->policy = p;
	s->budget = o->budget;
	s->key = o->hash_key;
	take_limits(s, p);
	s->more_words = p->n_words > TRACE_WORDS ? p->n_words - TRACE_WORDS : 0;
	s->key_at = s->more_words;
	size_t stride = sizeof(struct trace) + s->more_words * sizeof(uint64_t) +
			(size_t)p->n_fields * KEY_VALUES * sizeof(uint32_t);
	pool_init(&s->traces, stride);
	pool_init(&s->spans, sizeof(struct span_ref));
	assert(s->spans.bits == SPAN_BITS);
	s->trace_cost = (uint32_t)stride + SLOT_COST;
	s->room_blocks = LEAST_BLOCKS;
	s->blocks = calloc(s->room_blocks, sizeof(*s->blocks));
	s->report.rules = calloc(p->n_rules, sizeof(*s->report.rules));
	bool table = table_init(&s->table), records = records_init(&s->records);
	if (!table || !records || s->blocks == NULL || s->report.rules == NULL) {
		sampler_destroy(s);
		return fail(-ENOMEM, "sampler: no memory");
	}
	*out = s;
	return 0;
}

static void free_sets(struct sampler *s)
{
	for (uint32_t i = 0; i < TABLE_PARTS; i++)
		for (uint32_t j = 0; j < s->table.parts[i].cap; j++) {
			uint32_t item = s->table.parts[i].slots[j].item;
			if (item != 0 && trace_at(s, item - 1)->th_flags & TRACE_SET)
				free(trace_at(s, item - 1)->seen.set);
		}
}

void sampler_destroy(struct sampler *s)
{
	if (s == NULL)
		return;
	free_sets(s);
	table_finish(&s->table);
	pool_finish(&s->traces);
	pool_finish(&s->spans);
	records_finish(&s->records);
	free(s->blocks);
	free(s->places);
	free(s->hashes);
	free(s->late);
	free(s->groups);
	free(s->chosen);
	free(s->waiting);
	free(s->candidates);
	free(s->picks);
	free(s->decisions);
	free(s->late_decisions);
	free(s->sample);
	free(s->sampled);
	free(s->met);
	free(s->witnesses);
	free(s->report.rules);
	free(s);
}

/* ---- when ---- */

bool sampler_is_urgent(const struct sampler *s)
{
	bool is_any = false;
	for (int list = LIST_READY; list < LISTS; list++)
		is_any = is_any || s->lists[list].head != 0;
	return s->n_late >= LATE_URGENT || (is_any && sampler_is_short(s));
}

/* ---- for people ---- */

static uint64_t memory_of(const struct sampler *s)
{
	const struct records *r = &s->records;
	return sizeof(*s) + pool_bytes(&s->traces) + pool_bytes(&s->spans) +
	       table_bytes(&s->table) + s->set_bytes + pool_bytes(&r->kept) +
	       pool_bytes(&r->dropped) + table_bytes(&r->kept_table) +
	       table_bytes(&r->dropped_table) + r->room * sizeof(*r->entries) +
	       s->room_blocks * sizeof(*s->blocks) + s->room_places * sizeof(*s->places) +
	       s->room_hashes * sizeof(*s->hashes) + s->room_late * sizeof(*s->late) +
	       s->room_groups * sizeof(*s->groups) +
	       (s->room_chosen + s->room_waiting) * sizeof(*s->chosen) +
	       s->room_candidates * sizeof(*s->candidates) +
	       (s->room_picks + s->room_sample + s->room_witnesses) * sizeof(*s->picks) +
	       s->room_met * sizeof(*s->met) + s->room_sampled * sizeof(*s->sampled) +
	       (s->room_decisions + s->room_late_decisions) * sizeof(*s->decisions);
}

void sampler_report(const struct sampler *s, struct sampler_report *out)
{
	*out = s->report;
	out->traces = s->traces.used;
	out->spans = s->spans.used;
	out->bytes = s->bytes;
	out->memory_bytes = memory_of(s);
	out->used_bytes = sampler_used(s);
	out->kept_records = s->records.kept.used;
	out->dropped_records = s->records.dropped.used;
	out->stressed = s->stressed;
	for (uint32_t i = 0; i < s->n_blocks && out->oldest_unix_ms == 0; i++)
		if (block_at(s, s->first_seq + i)->undecided != 0)
			out->oldest_unix_ms = block_at(s, s->first_seq + i)->unix_ms;
}

static const struct judgement *find_waiting(const struct sampler *s, uint32_t number)
{
	for (size_t i = 0; i < s->n_waiting; i++)
		if (s->waiting[i].trace == number)
			return &s->waiting[i];
	return NULL;
}

static void look_at_trace(const struct sampler *s, uint32_t number, struct sampler_now now,
			  struct sampler_look *out)
{
	const struct trace *t = trace_at(s, number);
	const struct judgement *w = trace_list(t) == LIST_NONE ? find_waiting(s, number) : NULL;
	struct judgement j;
	judge(s, number, &j);
	if (w != NULL) {
		j = *w;
		judge_again(s, &j);
	} else if (j.budgeted) {
		struct budget_offer offer;
		judge_offer(&j, t, &offer);
		j.threshold = budget_threshold(s->budget, &offer);
		if (j.verdict == VERDICT_KEPT && j.randomness < j.threshold)
			j.verdict = VERDICT_BUDGET;
	}
	judge_write(s, &j, now, &out->decision);
	struct met met = met_find(s, &j);
	out->met = met.by;
	for (; out->n_witnesses < met.n; out->n_witnesses++)
		out->witnesses[out->n_witnesses] = met_place(s, met.span[out->n_witnesses], 0);
	uint64_t due_ms = near(t->due_ms, now.mono_ms);
	bool waits = trace_list(t) == LIST_ROOT || trace_list(t) == LIST_WAIT;
	out->state = SAMPLER_PENDING;
	out->due_unix_ms = now.unix_ms + (waits && due_ms > now.mono_ms ? due_ms - now.mono_ms : 0);
}

void sampler_look(const struct sampler *s, const uint8_t *trace_id, struct sampler_now now,
		  struct sampler_look *out)
{
	const struct records *r = &s->records;
	uint64_t hash = sampler_hash(s, trace_id);
	uint32_t number;
	*out = (struct sampler_look){.state = SAMPLER_UNKNOWN};
	memcpy(out->decision.trace_id, trace_id, 16);
	if (trace_find(s, trace_id, hash, &number)) {
		look_at_trace(s, number, now, out);
	} else if (records_find_kept(r, trace_id, hash, &number)) {
		out->state = SAMPLER_DECIDED;
		out->decision = kept_at(r, number)->decision;
		out->number = records_chapter(r, kept_at(r, number)->chapter);
	} else if (records_find_dropped(r, hash, &number)) {
		out->state = SAMPLER_DECIDED;
		out->decision.verdict = dropped_at(r, number)->verdict;
		out->number = records_chapter(r, dropped_at(r, number)->chapter);
	}
}

/* SPDX-License-Identifier: Apache-2.0
 * Another policy takes over. What is undecided begins anew, as after a start; what was decided, and
 * the sums of what happened, are the same memory in other hands. */
#include "pipeline/sampler_state.h"

void sampler_each_block(const struct sampler *s,
			void (*on_block)(void *ctx, uint64_t id, uint32_t spans, uint64_t bytes,
					 uint64_t unix_ms),
			void *ctx)
{
	for (uint32_t i = 0; i < s->n_blocks; i++) {
		const struct held *b = block_at(s, s->first_seq + i);
		on_block(ctx, b->id, b->spans, b->bytes, b->unix_ms);
	}
}

static void take_records(struct sampler *s, struct sampler *old, const uint16_t *rule_map,
			 uint32_t n_map)
{
	struct records *r = &s->records;
	records_finish(r);
	*r = old->records;
	old->records = (struct records){0};
	for (size_t i = 0; i < r->n; i++)
		for (uint32_t k = r->entries[r->first + i].kept; k != 0;
		     k = kept_at(r, k - 1)->next) {
			struct decision *d = &kept_at(r, k - 1)->decision;
			d->rule = d->rule < n_map ? rule_map[d->rule] : UINT16_MAX;
		}
}

static void add_rule(struct sampler_rule_report *to, const struct sampler_rule_report *from)
{
	to->matched += from->matched;
	to->kept += from->kept;
	to->dropped += from->dropped;
	to->kept_spans += from->kept_spans;
	to->dropped_spans += from->dropped_spans;
}

static void take_sums(struct sampler *s, const struct sampler *old, const uint16_t *rule_map,
		      uint32_t n_map)
{
	struct sampler_rule_report *rules = s->report.rules;
	s->report = old->report;
	s->report.rules = rules;
	for (uint32_t i = 0; i < n_map && i < old->policy->n_rules; i++)
		if (rule_map[i] < s->policy->n_rules)
			add_rule(&rules[rule_map[i]], &old->report.rules[i]);
}

void sampler_succeed(struct sampler *s, struct sampler *old, const uint16_t *rule_map,
		     uint32_t n_map, uint64_t position, uint64_t lost)
{
	take_records(s, old, rule_map, n_map);
	take_sums(s, old, rule_map, n_map);
	s->restored = position;
	s->spans_done[VERDICT_DAMAGED] = lost;
	s->now_ms = old->now_ms;
	s->sample_key = old->sample_key;
	s->sample_below = old->sample_below;
}

/* SPDX-License-Identifier: Apache-2.0
 * Which spans made a rule hold, for `spanrelay explain`. A span remembers the first MET_BITS
 * predicates of the policy that it meets: those of the first rules, for they are numbered in the
 * order of the rules. Rules that look at the trace alone, or at what no span does, are met by none.
 * Where memory ends it is this that ends, never a decision. */
#include <stdlib.h>

#include "pipeline/sampler_state.h"

/* The predicates that make the rule of a trace hold. */
static uint32_t needed(const struct sampler *s, const struct judgement *j)
{
	uint32_t condition = s->policy->rules[j->rule].condition;
	struct trace_facts f;
	if (condition == POLICY_ALWAYS)
		return 0;
	trace_facts(s, trace_at(s, j->trace), &f);
	return (uint32_t)condition_reasons(s->policy->set, condition, &f) & MASK_24;
}

static bool is_met_by(const struct span_ref *ref, uint32_t bits)
{
	return (span_met(ref) & bits) != 0 && !(ref->at & SPAN_DUPLICATE);
}

/* The first span of a trace that meets one of these. The chain goes from the newest to the oldest.
 */
static uint32_t first_of(const struct sampler *s, const struct trace *t, uint32_t bits)
{
	uint32_t first = 0;
	for (uint32_t i = t->newest; i != 0; i = span_at(s, i - 1)->next)
		if (is_met_by(span_at(s, i - 1), bits))
			first = i;
	return first;
}

/* The second one is the first that does what the first does not: of `any(A) and any(B)`, one of
 * each. Else it is the second of all. */
struct met met_find(const struct sampler *s, const struct judgement *j)
{
	const struct trace *t = trace_at(s, j->trace);
	struct met met = {.n = 0};
	uint32_t bits = needed(s, j), first = 0, second = 0;
	if (bits == 0)
		return met;
	for (uint32_t i = t->newest; i != 0; i = span_at(s, i - 1)->next) {
		if (!is_met_by(span_at(s, i - 1), bits))
			continue;
		met.by.spans++;
		second = first;
		first = i;
	}
	if (first == 0)
		return met;
	bits &= ~span_met(span_at(s, first - 1));
	if (met.by.spans > 2 && bits != 0)
		second = first_of(s, t, bits);
	met.span[met.n++] = first - 1;
	if (second != 0)
		met.span[met.n++] = second - 1;
	return met;
}

struct pick met_place(const struct sampler *s, uint32_t span, uint32_t decision)
{
	const struct span_ref *ref = span_at(s, span);
	return (struct pick){
	    .block_id = block_at(s, ref->block)->id, .at = ref->at, .decision = decision};
}

/* Witnesses have the same room again, for sorting them. */
static bool met_room(struct sampler *s, size_t witnesses)
{
	return sampler_room(&s->met, &s->room_met, s->n_met + 1, sizeof(*s->met)) &&
	       sampler_room(&s->witnesses, &s->room_witnesses, 2 * (s->n_witnesses + witnesses),
			    sizeof(*s->witnesses));
}

void met_take(struct sampler *s, const struct judgement *j, uint32_t decision)
{
	struct met met = met_find(s, j);
	if (met.n == 0 || !met_room(s, met.n))
		return;
	met.by.decision = decision;
	for (uint32_t i = 0; i < met.n; i++)
		s->witnesses[s->n_witnesses++] = met_place(s, met.span[i], (uint32_t)s->n_met);
	s->met[s->n_met++] = met.by;
}

void met_give(struct sampler *s, struct ruling *out)
{
	out->met = s->met;
	out->n_met = s->n_met;
	out->witnesses = picks_sort(s->witnesses, s->n_witnesses);
	out->n_witnesses = s->n_witnesses;
}

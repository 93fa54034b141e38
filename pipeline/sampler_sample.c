/* SPDX-License-Identifier: Apache-2.0
 * A consistent sample of all traces that are decided: for whoever records recent traffic. Where
 * memory ends it is the sample that ends, never a decision. */
#include <stdlib.h>

#include "pipeline/sampler_state.h"

void sampler_sample(struct sampler *s, double share)
{
	/* A key of its own: the table's hash must not be seen from outside. */
	s->sample_key = (struct siphash_key){s->key.k0 ^ 0x7265636f72643a31, ~s->key.k1};
	s->sample_below = sample_limit(share);
}

void sample_start(struct sampler *s)
{
	s->n_sample = s->n_sampled = 0;
	s->sample_failed = false;
}

static bool sample_room(struct sampler *s, uint32_t spans)
{
	return sampler_room(&s->sample, &s->room_sample, s->n_sample + spans, sizeof(*s->sample)) &&
	       sampler_room(&s->sampled, &s->room_sampled, s->n_sampled + 1, sizeof(*s->sampled));
}

void sample_take(struct sampler *s, uint32_t trace, uint32_t decision)
{
	const struct trace *t = trace_at(s, trace);
	if (s->sample_below == 0 || s->sample_failed)
		return;
	uint64_t hash = siphash(&s->sample_key, t->id, sizeof(t->id));
	if (hash >= s->sample_below && s->sample_below != UINT64_MAX)
		return;
	s->sample_failed = !sample_room(s, t->spans);
	if (s->sample_failed)
		return;
	s->sampled[s->n_sampled++] = (struct sampled){.hash = hash, .decision = decision};
	for (uint32_t i = t->newest; i != 0;) {
		const struct span_ref *ref = span_at(s, i - 1);
		i = ref->next;
		if (!(ref->at & SPAN_DUPLICATE))
			s->sample[s->n_sample++] =
			    (struct pick){.block_id = block_at(s, ref->block)->id,
					  .at = ref->at,
					  .decision = decision};
	}
}

static int by_place(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;
	if (x->block_id != y->block_id)
		return x->block_id < y->block_id ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

void sample_give(struct sampler *s, struct ruling *out)
{
	if (s->n_sample > 1)
		qsort(s->sample, s->n_sample, sizeof(*s->sample), by_place);
	out->sample = s->sample;
	out->n_sample = s->n_sample;
	out->sampled = s->sampled;
	out->n_sampled = s->n_sampled;
	out->sample_failed = s->sample_failed;
}

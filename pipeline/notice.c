/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/notice.h"

#include <stdlib.h>

#include "base/log.h"

/* Of one request, while it is walked. */
struct walk {
	struct notices *all;
	const struct policy *policy;
	uint32_t cap;
};

uint32_t notice_stride(const struct policy *p)
{
	size_t bytes =
	    sizeof(struct notice) + p->n_words * sizeof(uint64_t) + p->n_fields * sizeof(uint32_t);
	return (uint32_t)((bytes + 7) & ~(size_t)7);
}

struct condition_scratch *notice_scratch(const struct policy *p, const struct siphash_key *key)
{
	struct condition_scratch *s = condition_scratch_create(p->set);
	if (s != NULL)
		condition_scratch_set_key(s, key);
	return s;
}

/* Not a cryptographic one: whoever sends a span can send it twice with another time anyway. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15) * (b | 1);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t identity_of(const struct span_facts *f)
{
	uint64_t id;
	memcpy(&id, f->span_id, sizeof(id));
	return mix(mix(id, f->start_ns), f->end_ns + ((uint64_t)f->length << 40));
}

static uint32_t flags_of(const struct span_facts *f)
{
	return (f->is_root ? NOTICE_ROOT : 0) | (f->is_error ? NOTICE_ERROR : 0) |
	       (f->has_th ? NOTICE_TH : 0) | (f->has_rv ? NOTICE_RV : 0) |
	       (f->bad_tracestate ? NOTICE_BAD_TRACESTATE : 0);
}

static void on_span(void *user, const struct span_facts *f)
{
	struct walk *w = user;
	struct notices *all = w->all;
	if (all->n == w->cap)
		return;
	struct notice *n = (struct notice *)((uint8_t *)all->bytes + (size_t)all->n * all->stride);
	memcpy(n->trace_id, f->trace_id, sizeof(n->trace_id));
	n->identity = identity_of(f);
	n->start_ns = f->start_ns;
	n->end_ns = f->end_ns;
	n->th = f->th;
	n->rv = f->rv;
	n->bytes = f->length;
	n->offset = f->offset & 0xffffff;
	n->flags = flags_of(f) & 0xff;
	memcpy(n->more, f->bits, w->policy->n_words * sizeof(uint64_t));
	if (w->policy->n_fields != 0)
		memcpy(n->more + w->policy->n_words, f->keys,
		       w->policy->n_fields * sizeof(uint32_t));
	all->n++;
}

struct notices *notices_create(const struct policy *p, struct condition_scratch *scratch,
			       struct slice request, uint32_t n, struct account *account)
{
	uint32_t stride = notice_stride(p);
	size_t bytes = sizeof(struct notices) + (size_t)n * stride;
	struct charge charge = {.account = NULL};
	if (charge_set(&charge, account, bytes) != 0)
		return NULL;
	struct notices *all = malloc(bytes);
	if (all == NULL) {
		charge_give_back(&charge);
		return NULL;
	}
	*all = (struct notices){.generation = p->generation, .charge = charge, .stride = stride};
	struct walk w = {.all = all, .policy = p, .cap = n};
	all->tails = condition_evaluate(p->set, scratch, request, on_span, &w);
	return all;
}

void notices_free(struct notices *all)
{
	if (all == NULL)
		return;
	charge_give_back(&all->charge);
	free(all);
}

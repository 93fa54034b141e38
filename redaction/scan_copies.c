/* SPDX-License-Identifier: Apache-2.0
 * redaction/scan_copies.c - a secret that was found is often in the same value once more, where no
 * rule would know it: all copies of all secrets, in one pass. */
#include "redaction/scan_state.h"

enum {
	LEAST = 6,        /* bytes of a secret: what is shorter is elsewhere by chance */
	BUCKETS = 512,    /* twice the most secrets */
	COMPARED_PER = 4, /* sixteens of bytes that are compared, for each of the value's */
	COMPARED = 1 << 12
};

struct secret {
	uint32_t start, len;
	uint16_t rule, next; /* in its bucket: + 1 */
	uint32_t last_hit;   /* its newest copy: + 1 */
};

struct secrets {
	struct secret all[SCAN_MAX_HITS];
	uint32_t n;
	uint16_t buckets[BUCKETS]; /* + 1 */
	int64_t left;              /* sixteens of bytes */
};

static uint32_t bucket_of(const uint8_t *p)
{
	uint32_t four;
	uint16_t two;
	memcpy(&four, p, 4);
	memcpy(&two, p + 4, 2);
	uint64_t mixed = ((uint64_t)four << 16 | two) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(mixed >> 55);
}

static bool is_same(struct secrets *all, const struct secret *x, const uint8_t *value,
		    const uint8_t *at)
{
	if (memcmp(value + x->start, at, LEAST) != 0)
		return false;
	all->left -= 1 + (int64_t)x->len / 16;
	return memcmp(value + x->start, at, x->len) == 0;
}

static void add_secret(struct secrets *all, const struct look *l, const struct hit *h)
{
	uint32_t len = h->end - h->start;
	if (len < LEAST)
		return;
	uint16_t *bucket = &all->buckets[bucket_of(l->bytes.data + h->start)];
	for (uint16_t i = *bucket; i != 0; i = all->all[i - 1].next) {
		const struct secret *x = &all->all[i - 1];
		if (x->rule == h->number && x->len == len &&
		    is_same(all, x, l->bytes.data, l->bytes.data + h->start))
			return;
	}
	all->all[all->n++] =
	    (struct secret){.start = h->start, .len = len, .rule = h->number, .next = *bucket};
	*bucket = (uint16_t)all->n;
}

/* A copy, or more of the last one where they overlap. */
static void add_copy(struct scanner *s, struct look *l, struct secret *x, uint32_t at)
{
	if (at == x->start)
		return; /* itself */
	if (x->last_hit != 0 && s->hits[x->last_hit - 1].end >= at) {
		s->hits[x->last_hit - 1].end = at + x->len;
		return;
	}
	look_add_hit(s, l, x->rule, at, at + x->len);
	x->last_hit = s->n_hits;
}

void look_copies(struct scanner *s, struct look *l)
{
	struct secrets all;
	bool partial = false;
	for (uint32_t i = l->first; i < s->n_hits && !partial; i++)
		partial = s->hits[i].end - s->hits[i].start < l->bytes.len;
	if (!partial)
		return;
	all.n = 0;
	all.left = COMPARED + (int64_t)COMPARED_PER * (int64_t)l->bytes.len;
	memset(all.buckets, 0, sizeof(all.buckets));
	uint32_t last = s->n_hits, len = (uint32_t)l->bytes.len;
	for (uint32_t i = l->first; i < last; i++)
		if (s->hits[i].end - s->hits[i].start < len)
			add_secret(&all, l, &s->hits[i]);
	for (uint32_t at = 0; all.n != 0 && at + LEAST <= len && l->extra == 0; at++) {
		const uint8_t *p = l->bytes.data + at;
		for (uint16_t i = all.buckets[bucket_of(p)]; i != 0; i = all.all[i - 1].next) {
			struct secret *x = &all.all[i - 1];
			if (x->len <= len - at && is_same(&all, x, l->bytes.data, p))
				add_copy(s, l, x, at);
		}
		if (all.left < 0)
			l->extra = s->set->n + EXTRA_GAVE_UP;
	}
}

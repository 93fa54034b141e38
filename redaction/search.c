/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/search.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/decode.h"

int search_init(struct search *s)
{
	*s = (struct search){.list = NULL};
	return harvest_init(&s->again);
}

void search_finish(struct search *s)
{
	harvest_finish(&s->again);
	free(s->list);
	*s = (struct search){.list = NULL};
}

static int add(struct search *s, const struct found *f)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap == 0 ? 256 : s->cap * 2;
		struct found *list = reallocarray(s->list, cap, sizeof(*list));
		if (list == NULL)
			return fail(-ENOMEM, "redaction: no memory for %u findings", cap);
		s->list = list;
		s->cap = cap;
	}
	s->list[s->n++] = *f;
	return 0;
}

/* A text that was decoded may be cut by a rule where its source must not be. */
static void widen_to_characters(struct slice text, uint32_t *start, uint32_t *end)
{
	while (*start > 0 && *start < text.len && (text.data[*start] & 0xc0) == 0x80)
		--*start;
	while (*end < text.len && (text.data[*end] & 0xc0) == 0x80)
		++*end;
}

/* What was found in a copy is brought back to the value of the request that it was made of. */
static struct found found_of(const struct harvest *h, const struct hit *hit)
{
	uint32_t value = hit->value, start = hit->start, end = hit->end;
	bool is_copy = value >= h->n_spots;
	while (value >= h->n_spots) {
		const struct copy *c = &h->copies[value - h->n_spots];
		decode_back(h, c, &start, &end);
		value = c->of;
	}
	const struct scan_value *v = &h->values[value];
	if (is_copy && h->spots[value].kind != HARVESTED_BYTES)
		widen_to_characters(slice_of(h->text.data + v->at, v->len), &start, &end);
	return (struct found){value, {start, end, hit->number}};
}

/* `origin` is NULL, or tells whose values those of the harvest are. */
static int add_all(struct search *s, const struct harvest *h, const struct hit *hits, uint32_t n,
		   const struct spot *origin)
{
	int rc = 0;
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct found f = found_of(h, &hits[i]);
		if (origin != NULL)
			f.value = origin[f.value].at;
		if (f.range.end > f.range.start)
			rc = add(s, &f);
	}
	return rc;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = ((const struct found *)a)->value, y = ((const struct found *)b)->value;
	return x < y ? -1 : x > y;
}

static int scan_harvest(struct search *s, struct scanner *scanner, const struct harvest *h,
			const struct spot *origin)
{
	const struct hit *hits = NULL;
	uint32_t n = 0;
	int rc = scan(scanner, buf_slice(&h->text), h->values, h->n, &hits, &n);
	if (rc == 0)
		rc = add_all(s, h, hits, n, origin);
	return rc == 0 ? add_all(s, h, h->forced, h->n_forced, origin) : rc;
}

/* Puts stars where something was found, and takes the values it was found in for another look. */
static void take_remains(struct search *s, struct harvest *h, uint32_t first)
{
	uint32_t last = UINT32_MAX;
	for (uint32_t i = first; i < s->n; i++) {
		const struct found *f = &s->list[i];
		const struct scan_value *v = &h->values[f->value];
		if (v->len != 0)
			memset(h->text.data + v->at + f->range.start, '*',
			       f->range.end - f->range.start);
	}
	for (uint32_t i = first; i < s->n; i++) {
		uint32_t value = s->list[i].value;
		const struct scan_value *v = &h->values[value];
		struct spot spot = h->spots[value];
		spot.at = value;
		if (value != last && v->len != 0 && spot.kind != HARVESTED_NUMBER)
			harvest_add(&s->again, slice_of(h->text.data + v->at, v->len), v->key,
				    &spot);
		last = value;
	}
}

static int give_up(struct search *s, const struct harvest *h, uint32_t first)
{
	int rc = 0;
	for (uint32_t i = first, n = s->n; i < n && rc == 0; i++) {
		uint32_t value = s->list[i].value;
		struct found f = {value,
				  {0, h->values[value].len,
				   ruleset_rules(h->set) + (uint32_t)EXTRA_TOO_MANY}};
		rc = add(s, &f);
	}
	return rc;
}

int search_run(struct search *s, struct scanner *scanner, struct harvest *h)
{
	uint32_t first = 0;
	s->n = 0;
	if (h->n == 0)
		return 0;
	int rc = scan_harvest(s, scanner, h, NULL);
	for (unsigned round = 0; rc == 0 && s->n != first; round++) {
		qsort(s->list + first, s->n - first, sizeof(*s->list), by_value);
		if (round == SEARCH_ROUNDS) {
			rc = give_up(s, h, first);
			break;
		}
		harvest_begin(&s->again, h->set, scanner);
		take_remains(s, h, first);
		first = s->n;
		if (s->again.n == 0)
			break;
		rc = decode_copies(&s->again);
		if (rc == 0)
			rc = scan_harvest(s, scanner, &s->again, s->again.spots);
	}
	if (rc == 0 && s->n != 0)
		qsort(s->list, s->n, sizeof(*s->list), by_value);
	return rc;
}

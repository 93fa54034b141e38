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
	buf_finish(&s->text);
	free(s->list);
	free(s->remains);
	free(s->ranges);
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
	return (struct found){value, 0, {start, end, hit->number}};
}

/* A range of a text that was looked at again becomes one of the value: all of what a mark stands
 * for, where it reaches into one. */
static void take_back(const struct search *s, struct found *f)
{
	const struct spot *spot = &s->again.spots[f->value];
	size_t start = f->range.start, last = f->range.end - 1;
	bool has_start = false, has_end = false;
	size_t behind = 0, shift_to = 0; /* what is behind the last mark, there and in the value */
	for (uint32_t i = 0; i < spot->len && !has_end; i++) {
		const struct remain *r = &s->remains[spot->within + i];
		if (!has_start && start < r->end) {
			f->range.start = start < r->start ? start - behind + shift_to : r->of.start;
			has_start = true;
		}
		if (last < r->end) {
			f->range.end = last < r->start ? last + 1 - behind + shift_to : r->of.end;
			has_end = true;
		}
		behind = r->end;
		shift_to = r->of.end;
	}
	if (!has_start)
		f->range.start = start - behind + shift_to;
	if (!has_end)
		f->range.end = last + 1 - behind + shift_to;
	f->value = spot->at;
}

static int add_all(struct search *s, const struct harvest *h, const struct hit *hits, uint32_t n,
		   uint32_t round)
{
	int rc = 0;
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct found f = found_of(h, &hits[i]);
		if (f.range.end <= f.range.start)
			continue;
		if (round != 0)
			take_back(s, &f);
		f.round = round;
		rc = add(s, &f);
	}
	return rc;
}

static int scan_harvest(struct search *s, struct scanner *scanner, const struct harvest *h,
			uint32_t round)
{
	const struct hit *hits = NULL;
	uint32_t n = 0;
	int rc = scan(scanner, buf_slice(&h->text), h->values, h->n, &hits, &n);
	if (rc == 0)
		rc = add_all(s, h, hits, n, round);
	return rc == 0 ? add_all(s, h, h->forced, h->n_forced, round) : rc;
}

/* ---- what is left ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = ((const struct found *)a)->value, y = ((const struct found *)b)->value;
	return x < y ? -1 : x > y;
}

/* Mostly they are in order: values are scanned so, and only copies and second looks are not. */
static void sort_by_value(struct search *s)
{
	for (uint32_t i = 1; i < s->n; i++)
		if (s->list[i - 1].value > s->list[i].value) {
			qsort(s->list, s->n, sizeof(*s->list), by_value);
			return;
		}
}

static int no_memory(const struct search *s)
{
	return fail(-ENOMEM, "redaction: no memory for %u findings", s->n);
}

int search_ranges(struct search *s, const struct ruleset *set, uint32_t first, uint32_t *next,
		  uint32_t *n)
{
	uint32_t end = first;
	*next = s->n;
	*n = 0;
	while (end < s->n && s->list[end].value == s->list[first].value)
		end++;
	if (end - first > s->cap_ranges) {
		free(s->ranges);
		s->cap_ranges = 0;
		s->ranges = calloc(end - first, sizeof(*s->ranges));
		if (s->ranges == NULL)
			return no_memory(s);
		s->cap_ranges = end - first;
	}
	for (uint32_t i = first; i < end; i++)
		s->ranges[i - first] = s->list[i].range;
	*n = mask_merge(set, s->ranges, end - first);
	*next = end;
	return 0;
}

/* Appends a range of the value as it will be, and notes the mark. */
static int write_remain(struct search *s, const struct ruleset *set, const struct spot *spot,
			struct slice value, const struct redact_range *r)
{
	char mark[MASK_TEXT_MAX];
	uint32_t start = (uint32_t)s->text.len;
	size_t len = r->end - r->start;
	enum mask style = search_style(set, spot, r->number);
	int rc = 0;
	if (mask_keeps_length(style)) {
		rc = buf_append(&s->text, value.data + r->start, len);
		if (rc == 0)
			mask_in_place(style, s->text.data + start, len);
	} else {
		rc = buf_append(&s->text, mark, mask_text(set, r, value, mark));
	}
	if (s->n_remains == s->cap_remains && rc == 0) {
		uint32_t cap = s->cap_remains == 0 ? 64 : s->cap_remains * 2;
		struct remain *remains = reallocarray(s->remains, cap, sizeof(*remains));
		if (remains == NULL)
			return BUF_FULL;
		s->remains = remains;
		s->cap_remains = cap;
	}
	if (rc == 0)
		s->remains[s->n_remains++] = (struct remain){start, (uint32_t)s->text.len, *r};
	return rc;
}

/* Whether the value will be nothing but stars. */
static bool is_all_stars(const struct search *s, const struct harvest *h, uint32_t number)
{
	const struct redact_range *r = s->ranges;
	return r->start == 0 && r->end == h->values[number].len &&
	       search_style(h->set, &h->spots[number], r->number) == MASK_KEEP_LENGTH;
}

/* The value with n ranges masked, for another look. One that will be gone, or all stars, in which
 * no rule finds anything, needs none. */
static int take_remains(struct search *s, const struct harvest *h, uint32_t number, uint32_t n)
{
	const struct scan_value *v = &h->values[number];
	struct slice value = slice_of(h->text.data + v->at, v->len);
	struct spot spot = h->spots[number];
	if (v->len == 0 || spot.kind == HARVESTED_NUMBER || is_all_stars(s, h, number))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (search_style(h->set, &spot, s->ranges[i].number) == MASK_DROP)
			return 0;
	spot.at = number;
	spot.within = s->n_remains;
	spot.len = n;
	s->text.len = 0;
	size_t at = 0;
	int rc = 0;
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		rc = buf_append(&s->text, value.data + at, s->ranges[i].start - at);
		if (rc == 0)
			rc = write_remain(s, h->set, &spot, value, &s->ranges[i]);
		at = s->ranges[i].end;
	}
	if (rc == 0)
		rc = buf_append(&s->text, value.data + at, value.len - at);
	if (rc != 0)
		return no_memory(s);
	harvest_add(&s->again, buf_slice(&s->text), v->key, &spot);
	return harvest_outcome(&s->again);
}

/* Of all values in which this round has found something. */
static int take_all_remains(struct search *s, const struct harvest *h, uint32_t round)
{
	int rc = 0;
	s->n_remains = 0;
	for (uint32_t i = 0, next, n; i < s->n && rc == 0; i = next) {
		bool is_touched = false;
		rc = search_ranges(s, h->set, i, &next, &n);
		for (uint32_t k = i; rc == 0 && k < next; k++)
			is_touched = is_touched || s->list[k].round == round;
		if (is_touched)
			rc = take_remains(s, h, s->list[i].value, n);
	}
	return rc;
}

/* Marks upon marks: all of those values go. */
static int give_up(struct search *s, const struct harvest *h, uint32_t round)
{
	int rc = 0;
	for (uint32_t i = 0, n = s->n; i < n && rc == 0; i++) {
		uint32_t value = s->list[i].value;
		uint32_t number = ruleset_rules(h->set) + (uint32_t)EXTRA_TOO_MANY;
		struct found f = {value, round, {0, h->values[value].len, number}};
		if (s->list[i].round == round)
			rc = add(s, &f);
	}
	return rc;
}

int search_run(struct search *s, struct scanner *scanner, struct harvest *h)
{
	uint32_t before = 0, round = 0;
	s->n = 0;
	if (h->n == 0)
		return 0;
	int rc = scan_harvest(s, scanner, h, round);
	while (rc == 0 && s->n != before && round < SEARCH_ROUNDS) {
		before = s->n;
		sort_by_value(s);
		harvest_begin(&s->again, h->set, scanner);
		rc = take_all_remains(s, h, round++);
		if (rc == 0)
			rc = decode_copies(&s->again);
		if (rc == 0 && s->again.n != 0)
			rc = scan_harvest(s, scanner, &s->again, round);
	}
	if (rc == 0 && s->n != before)
		rc = give_up(s, h, round);
	if (rc == 0)
		sort_by_value(s);
	return rc;
}

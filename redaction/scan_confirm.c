/* SPDX-License-Identifier: Apache-2.0
 * redaction/scan_confirm.c - whether what the automaton or a class spoke of is a secret. */
#include <ctype.h>

#include "redaction/checksum.h"
#include "redaction/class.h"
#include "redaction/entropy.h"
#include "redaction/mark.h"
#include "redaction/regex.h"
#include "redaction/scan_state.h"

static void fail_value(struct scanner *s, struct look *l, enum ruleset_extra why)
{
	l->extra = s->set->n + why;
}

void look_add_hit(struct scanner *s, struct look *l, uint32_t rule, size_t start, size_t end)
{
	if (s->n_hits - l->first == SCAN_MAX_HITS) {
		fail_value(s, l, EXTRA_TOO_MANY);
		return;
	}
	if (scan_grow(s, &s->hits, s->n_hits, &s->room_hits, sizeof(*s->hits)))
		s->hits[s->n_hits++] =
		    (struct hit){l->number, (uint32_t)start, (uint32_t)end, (uint16_t)rule};
}

/* ---- what else a rule asks ---- */

static bool holds_word(struct slice text, const char *word)
{
	size_t len = strlen(word);
	int first = tolower((unsigned char)*word);
	for (size_t i = 0; i + len <= text.len; i++) {
		size_t k = 1;
		if (tolower(text.data[i]) != first)
			continue;
		while (k < len && tolower(text.data[i + k]) == tolower((unsigned char)word[k]))
			k++;
		if (k >= len)
			return true;
	}
	return false;
}

static bool holds_keyword(const struct texts *keywords, struct slice match)
{
	for (uint32_t i = 0; i < keywords->n; i++)
		if (holds_word(match, keywords->items[i]))
			return true;
	return keywords->n == 0;
}

static enum pattern_outcome is_allowed(struct scanner *s, uint32_t rule, struct slice secret)
{
	const struct exact *e = &s->set->exact[rule];
	for (uint32_t i = 0; i < e->n_allow; i++) {
		struct pattern_search all = {.until = secret.len};
		enum pattern_outcome o = pattern_find(e->allow[i], s->matcher, secret, &all);
		if (o == PATTERN_YES)
			return o;
	}
	return PATTERN_NO; /* one that gave up allows nothing */
}

/* A match, or a candidate of a class: a hit, if all else is as its rule wants it. */
static void consider(struct scanner *s, struct look *l, uint32_t rule,
		     const struct pattern_range *match, const struct pattern_range *part)
{
	const struct rule *r = &s->set->rules.list[rule];
	struct slice v = l->bytes;
	struct slice secret = slice_of(v.data + part->start, part->end - part->start);
	if (secret.len == 0 || mark_covers(v, part->start, part->end))
		return;
	if (!holds_keyword(&r->keywords,
			   slice_of(v.data + match->start, match->end - match->start)))
		return;
	if (r->entropy > 0 && entropy_bits(secret) < r->entropy)
		return;
	if (checksum_holds(r->checksum, secret) && is_allowed(s, rule, secret) == PATTERN_NO)
		look_add_hit(s, l, rule, part->start, part->end);
}

/* ---- expressions ---- */

/* All matches that begin in [from, until]. Gives where the next one may begin. */
static size_t find_all(struct scanner *s, struct look *l, uint32_t rule, size_t from, size_t until)
{
	const struct exact *e = &s->set->exact[rule];
	struct pattern_search search = {
	    .from = from, .until = until, .group = s->set->rules.list[rule].secret};
	while (search.from <= until && l->extra == 0) {
		enum pattern_outcome o = pattern_find(e->regex, s->matcher, l->bytes, &search);
		if (o == PATTERN_GAVE_UP)
			fail_value(s, l, EXTRA_GAVE_UP);
		if (o != PATTERN_YES) {
			size_t left = l->bytes.len - search.from;
			l->effort.calls--;
			l->effort.bytes -= (int64_t)(e->attempt < left ? e->attempt : left);
			break;
		}
		const struct pattern_range *m = &search.match;
		consider(s, l, rule, m, &search.part);
		search.from = m->end > m->start ? m->end : m->start + 1;
	}
	if (l->effort.calls < 0 || l->effort.bytes < 0)
		fail_value(s, l, EXTRA_GAVE_UP);
	return search.from > until ? search.from : until + 1;
}

/* Where matches were looked for already. */
static uint32_t *done_of(struct scanner *s, const struct look *l, uint32_t rule)
{
	struct rule_state *state = &s->rules[rule];
	if (state->value != l->number + 1) {
		state->value = l->number + 1;
		state->done = 0;
	}
	return &state->done;
}

static void look_regex(struct scanner *s, struct look *l, const struct job *j)
{
	const struct probe *p = &s->set->probes[j->probe];
	uint32_t begin = s->values[l->number].at;
	uint32_t first = j->first - begin, *done = done_of(s, l, p->rule);
	size_t from = first > p->reach ? first - p->reach : 0, until = j->last - begin - 1;
	if (from < *done)
		from = *done;
	if (from <= until)
		*done = (uint32_t)find_all(s, l, p->rule, from, until);
}

/* ---- secrets that were cut ---- */

static bool is_token(uint8_t c)
{
	return isalnum(c) != 0 || (c != 0 && strchr("_-.+/=~", c) != NULL);
}

static size_t tail_of(struct look *l)
{
	if (l->tail < 0) {
		size_t at = l->bytes.len;
		while (at > 0 && is_token(l->bytes.data[at - 1]))
			at--;
		l->tail = (int64_t)at;
	}
	return (size_t)l->tail;
}

/* The prefix ends CUT_LEAST before the report's end. The first one that goes on to the end of the
 * value has all others in it. */
static void look_cut(struct scanner *s, struct look *l, const struct job *j)
{
	const struct probe *p = &s->set->probes[j->probe];
	uint32_t begin = s->values[l->number].at, behind = j->first - begin - CUT_LEAST;
	if (j->first - begin < p->reach || behind < tail_of(l) ||
	    s->rules[p->rule].cut == l->number + 1)
		return;
	size_t start = behind - p->cut, len = l->bytes.len;
	if (!mark_covers(l->bytes, behind, len) && !mark_covers(l->bytes, start, len) &&
	    is_allowed(s, p->rule, slice_of(l->bytes.data + start, len - start)) == PATTERN_NO) {
		look_add_hit(s, l, p->rule, start, len);
		s->rules[p->rule].cut = l->number + 1;
	}
}

void look_job(struct scanner *s, struct look *l, const struct job *j)
{
	if (s->set->probes[j->probe].cut != 0)
		look_cut(s, l, j);
	else
		look_regex(s, l, j);
}

/* ---- classes and keys ---- */

void look_anchor(struct scanner *s, struct look *l, const struct anchor *a)
{
	const struct ruleset *set = s->set;
	struct class_range found;
	size_t at = a->at - s->values[l->number].at;
	if (!class_find((enum rule_class)a->class, l->bytes, at, &found))
		return;
	struct pattern_range range = {found.start, found.end};
	for (uint32_t i = 0; i < set->n_of_class[a->class]; i++)
		consider(s, l, set->of_class[a->class][i], &range, &range);
}

void look_keyed(struct scanner *s, struct look *l, uint32_t rule)
{
	struct pattern_range all = {0, l->bytes.len};
	if (s->set->exact[rule].regex == NULL)
		consider(s, l, rule, &all, &all);
	else
		find_all(s, l, rule, 0, l->bytes.len);
}

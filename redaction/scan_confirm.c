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

static struct rule_state *state_of(struct scanner *s, const struct look *l, uint32_t rule)
{
	struct rule_state *state = &s->rules[rule];
	if (state->value != l->number + 1)
		*state = (struct rule_state){.value = l->number + 1};
	return state;
}

/* Looked for once in a value: it may have many matches. */
static bool holds_keyword(struct scanner *s, const struct look *l, uint32_t rule)
{
	const struct texts *keywords = &s->set->rules.list[rule].keywords;
	struct rule_state *state = state_of(s, l, rule);
	for (uint32_t i = 0; i < keywords->n && !state->worded; i++)
		state->worded = holds_word(l->bytes, keywords->items[i]);
	return state->worded || keywords->n == 0;
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

/* A match, or what a class found: whether it is a hit, all else being as its rule wants it. */
static bool consider(struct scanner *s, struct look *l, uint32_t rule,
		     const struct pattern_range *part)
{
	const struct rule *r = &s->set->rules.list[rule];
	struct slice secret = slice_of(l->bytes.data + part->start, part->end - part->start);
	if (secret.len == 0 || mark_covers(l->bytes, part->start, part->end) ||
	    !holds_keyword(s, l, rule))
		return false;
	if (r->entropy > 0 && entropy_bits(secret) < r->entropy)
		return false;
	if (!checksum_holds(r->checksum, secret) || is_allowed(s, rule, secret) != PATTERN_NO)
		return false;
	look_add_hit(s, l, rule, part->start, part->end);
	return true;
}

/* ---- expressions ---- */

/* Behind a secret there may be another one at once, whatever else its match took. What only looked
 * like one may have swallowed the begin of a real one. */
static size_t next_from(const struct pattern_search *found, bool is_hit)
{
	const struct pattern_range *match = &found->match, *part = &found->part;
	size_t next = match->end;
	if (is_hit)
		next = part->end;
	else if (part->start > match->start && part->start < match->end)
		next = part->start;
	return next > found->from ? next : found->from + 1;
}

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
		search.from = next_from(&search, consider(s, l, rule, &search.part));
	}
	if (l->effort.calls < 0 || l->effort.bytes < 0)
		fail_value(s, l, EXTRA_GAVE_UP);
	return search.from > until ? search.from : until + 1;
}

static void look_regex(struct scanner *s, struct look *l, const struct job *j)
{
	const struct probe *p = &s->set->probes[j->probe];
	uint32_t begin = s->values[l->number].at;
	uint32_t first = j->first - begin, *done = &state_of(s, l, p->rule)->done;
	size_t from = first > p->reach ? first - p->reach : 0, until = j->last - begin - 1;
	if (p->reach == REGEX_FAR)
		until = l->bytes.len;
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
	if (j->first - begin < p->reach || behind < tail_of(l) || s->cut[j->probe] == l->number + 1)
		return;
	s->cut[j->probe] = l->number + 1;
	size_t start = behind - p->cut, len = l->bytes.len;
	if (!mark_covers(l->bytes, behind, len) && !mark_covers(l->bytes, start, len) &&
	    is_allowed(s, p->rule, slice_of(l->bytes.data + start, len - start)) == PATTERN_NO)
		look_add_hit(s, l, p->rule, start, len);
}

void look_job(struct scanner *s, struct look *l, const struct job *j)
{
	if (j->probe == JOB_GAVE_UP)
		fail_value(s, l, EXTRA_GAVE_UP);
	else if (s->set->probes[j->probe].cut != 0)
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
		consider(s, l, set->of_class[a->class][i], &range);
}

void look_keyed(struct scanner *s, struct look *l, uint32_t rule)
{
	struct pattern_range all = {0, l->bytes.len};
	if (s->set->exact[rule].regex == NULL)
		consider(s, l, rule, &all);
	else
		find_all(s, l, rule, 0, l->bytes.len);
}

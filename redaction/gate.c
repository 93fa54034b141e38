/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/gate.h"

#include <ctype.h>

enum {
	GATE_SPAN = 1200, /* bytes that a gate looks ahead: a user and a password of 512 each */
	SELECTIVE = 32    /* of a gate's bytes: operators and `@`, no letter, blank or quote */
};

static void add_set(struct byte_set *to, const struct byte_set *more)
{
	for (int i = 0; i < 4; i++)
		to->bits[i] |= more->bits[i];
}

static void add_all(struct byte_set *to, const struct regex *r)
{
	if (r->kind == REGEX_SET)
		add_set(to, &r->set);
	for (const struct regex *c = r->first; c != NULL; c = c->next)
		add_all(to, c);
}

/* The bytes with which a node may begin. */
static void add_first(struct byte_set *to, const struct regex *r)
{
	if (r->kind == REGEX_SET)
		add_set(to, &r->set);
	for (const struct regex *c = r->first; c != NULL; c = c->next) {
		add_first(to, c);
		if (r->kind == REGEX_CAT && c->narrow != 0)
			return;
	}
}

/* How often ordinary text has bytes of a set: an estimate, for which of two tells more. */
static uint32_t commonness(const struct byte_set *s)
{
	uint32_t n = 0;
	for (unsigned c = 0; c < 256; c++) {
		if (!set_has(s, c))
			continue;
		if (isalnum((int)c) != 0 || (c != 0 && strchr(" \t\n\r-._/", (int)c) != NULL))
			n += 2 * SELECTIVE;
		else if (c != 0 && strchr("\"'`,()", (int)c) != NULL)
			n += SELECTIVE / 2;
		else
			n += c == ':' || c == '=' ? SELECTIVE / 8 : 1;
	}
	return n;
}

/* Bytes of which a node has one for certain, the rarest it has: `=` of `[?:]{1,2}=`. */
static void add_stop(struct byte_set *to, const struct regex *r)
{
	struct byte_set best = {{0}};
	uint32_t least = UINT32_MAX;
	if (r->kind == REGEX_ALT)
		for (const struct regex *c = r->first; c != NULL; c = c->next)
			add_stop(to, c);
	else if (r->kind == REGEX_REPEAT)
		add_stop(to, r->first);
	else if (r->kind == REGEX_SET)
		add_set(to, &r->set);
	if (r->kind != REGEX_CAT)
		return;
	for (const struct regex *c = r->first; c != NULL; c = c->next) {
		struct byte_set one = {{0}};
		if (c->narrow == 0)
			continue;
		add_stop(&one, c);
		if (commonness(&one) < least) {
			least = commonness(&one);
			best = one;
		}
	}
	add_set(to, &best);
}

/* Adds what follows from `r` on as parts, up to what has to be there and tells most: `@` of
 * `[a-z]+:[a-z]+@`. The first one shares its part with what is left of the literal's run, so that a
 * word is in one part to its end. False: nothing has to. */
static bool add_following(struct gate *g, const struct regex *r, uint32_t *span)
{
	struct gate before = *g, upto = *g;
	struct byte_set stop = {{0}};
	uint32_t wide = *span, least = UINT32_MAX, part = 0;
	for (; r != NULL; r = r->next) {
		struct byte_set one = {{0}};
		if (r->wide == 0)
			continue;
		add_all(&before.parts[part], r);
		part += part < GATE_PARTS - 1;
		wide = width_add(wide, r->wide);
		if (wide > GATE_SPAN && least != UINT32_MAX)
			break;
		if (r->narrow == 0)
			continue;
		if (r->kind == REGEX_SET || r->kind == REGEX_REPEAT)
			add_first(&one, r);
		else
			add_stop(&one, r);
		if (commonness(&one) >= least)
			continue;
		least = commonness(&one);
		stop = one;
		upto = before;
		*span = wide;
	}
	*g = upto;
	add_set(&g->stop, &stop);
	return least != UINT32_MAX;
}

/* What is left of a run behind one of its literals. */
static uint32_t add_run(struct gate *g, const struct literal *run)
{
	uint32_t span = 0;
	for (const struct regex *r = run->first; r != run->last->next; r = r->next) {
		add_all(&g->parts[0], r);
		span = width_add(span, r->wide);
	}
	return span;
}

/* The gate of a run: of alternatives, each one's own where it has one, else what follows them all.
 */
void gate_add(struct gate *g, const struct literal *run, const struct regex *behind)
{
	uint32_t span = 0;
	bool is_alt = run->first == run->last && run->first->kind == REGEX_ALT, goes_on = !is_alt;
	if (!is_alt)
		span = add_run(g, run);
	for (const struct regex *c = is_alt ? run->first->first : NULL; c != NULL; c = c->next) {
		struct literal inner = literal_find(c->first, NULL);
		uint32_t within = inner.last != NULL ? add_run(g, &inner) : 0;
		struct gate own = *g;
		own.stop = (struct byte_set){{0}};
		if (inner.last != NULL && add_following(&own, inner.last->next, &within) &&
		    commonness(&own.stop) <= SELECTIVE) {
			add_set(&own.stop, &g->stop);
			*g = own;
		} else {
			add_all(&g->parts[0], c);
			within = c->wide;
			goes_on = true;
		}
		span = within > span ? within : span;
	}
	if (goes_on && !add_following(g, behind, &span))
		span = REGEX_FAR; /* nothing has to: the gate is open */
	g->span = span > g->span ? span : g->span;
}

bool gate_is_selective(const struct gate *g)
{
	return g->span != REGEX_FAR && commonness(&g->stop) <= SELECTIVE;
}

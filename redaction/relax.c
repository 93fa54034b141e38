/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/relax.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>

#include "base/log.h"

enum {
	WIDE_SET = 160,  /* of more bytes, a set says nothing */
	WORD_SET = 26,   /* of more, it goes on through words */
	MAX_SPREAD = 64, /* how far an inner repeat may stretch before it is opened or ends it */
	MAX_TAIL = LITERAL_REPEATS, /* times a repeat at the end is asked for */
	ENOUGH = 16,         /* bytes behind a literal that ordinary text does not have by chance */
	MAX_POSITIONS = 600, /* of the automaton: what is more is cut off at the end */
	TREE_BYTES = 1 << 20
};

/* ---- what an automaton can bear ---- */

/* Positions that it takes, repeats written out. */
static uint32_t positions_of(const struct regex *r)
{
	uint32_t n = 0, times;
	if (r->kind == REGEX_SET)
		return 1;
	for (const struct regex *c = r->first; c != NULL; c = c->next)
		n = width_add(n, positions_of(c));
	if (r->kind != REGEX_REPEAT)
		return n;
	times = r->most == REGEX_FAR ? r->least + 1 : r->most;
	return width_times(n, times);
}

/* Opens repeats that stretch far: `[a-z]{0,200}` becomes `[a-z]*`. */
static void open_repeats(struct regex *r)
{
	if (r->kind == REGEX_REPEAT) {
		if (r->most != REGEX_FAR && r->most - r->least > MAX_SPREAD)
			r->most = REGEX_FAR;
		if (r->least > MAX_TAIL) {
			r->least = MAX_TAIL;
			r->most = REGEX_FAR;
		}
	}
	for (struct regex *c = r->first; c != NULL; c = c->next)
		open_repeats(c);
}

/* Whether what comes behind such a node would be looked for in all the text that follows, in the
 * values that come later too. */
static bool is_barrier(const struct regex *r)
{
	if (r->kind == REGEX_REPEAT && r->most == REGEX_FAR && r->first->kind == REGEX_SET &&
	    set_count(&r->first->set) > WIDE_SET && set_has(&r->first->set, '\n'))
		return true;
	for (const struct regex *c = r->first; c != NULL; c = c->next)
		if (is_barrier(c))
			return true;
	return false;
}

/* ---- what is kept ---- */

/* A sequence without groups around it: (?:ab)c as a, b, c. */
static void flatten(struct regex *cat)
{
	for (struct regex **at = &cat->first; *at != NULL;) {
		struct regex *r = *at, *last = r->first;
		if (r->kind != REGEX_CAT) {
			at = &r->next;
		} else if (last == NULL) {
			*at = r->next;
		} else {
			while (last->next != NULL)
				last = last->next;
			last->next = r->next;
			*at = r->first;
		}
	}
}

static void drop(struct regex *r)
{
	r->kind = REGEX_EMPTY; /* its width still counts for where a match begins */
	r->narrow = 0;
	r->first = NULL;
}

/* Of a node at the begin of all, what comes before the best literal of each branch:
 * `(?:(?:api|app)[_-]?key|token)` becomes `(?:key|token)`. */
static void cut_head(struct regex *r)
{
	if (r->kind == REGEX_ALT)
		for (struct regex *c = r->first; c != NULL; c = c->next)
			cut_head(c);
	if (r->kind != REGEX_CAT)
		return;
	flatten(r);
	struct literal run = literal_find(r->first, NULL);
	if (run.bytes < RELAX_LEAST)
		return;
	struct regex *c = r->first;
	for (; c != run.first; c = c->next)
		drop(c);
	cut_head(c);
}

/* Cuts a node at the end of all to the least it needs. Gives how far behind its begin an exact
 * match's relaxed one may end. */
static uint32_t cut_tail(struct regex *r)
{
	uint32_t reach = 0, before = 0;
	struct regex *last = NULL;
	switch (r->kind) {
	case REGEX_SET:
		return 1;
	case REGEX_REPEAT:
		if (r->least == 0) {
			r->kind = REGEX_EMPTY;
			return 0;
		}
		r->most = r->least = r->least < MAX_TAIL ? r->least : MAX_TAIL;
		return r->least == 1 ? cut_tail(r->first) : width_times(r->first->wide, r->least);
	case REGEX_ALT:
		for (struct regex *c = r->first; c != NULL; c = c->next) {
			uint32_t one = cut_tail(c);
			reach = one > reach ? one : reach;
		}
		return reach;
	case REGEX_CAT:
		for (struct regex *c = r->first; c != NULL; c = c->next)
			last = c->narrow != 0 ? c : last;
		if (last == NULL) {
			r->kind = REGEX_EMPTY;
			return 0;
		}
		for (struct regex *c = r->first; c != last; c = c->next)
			before = width_add(before, c->wide);
		last->next = NULL;
		return width_add(before, cut_tail(last));
	default:
		return 0;
	}
}

/* Keeps of each branch its best literal and no more. */
static void cut_to_literal(struct regex *r)
{
	for (struct regex *c = r->first; c != NULL; c = c->next)
		cut_to_literal(c);
	if (r->kind != REGEX_CAT)
		return;
	flatten(r);
	struct literal run = literal_find(r->first, NULL);
	for (struct regex *c = run.last != NULL ? run.last->next : NULL; c != NULL; c = c->next)
		drop(c);
}

/* The end of what may be kept from `first` on: the node behind it. A barrier is kept as an end,
 * which cut_tail() makes harmless. */
static struct regex *kept_until(struct regex *first, const struct regex *last)
{
	uint32_t positions = 0, certain = 0;
	bool past = false;
	struct regex *r = first;
	for (; r != NULL; r = r->next) {
		if (past) {
			positions = width_add(positions, positions_of(r));
			certain = width_add(certain, r->narrow);
		}
		if (positions > MAX_POSITIONS)
			return r;
		if (certain >= ENOUGH)
			return r->next;
		past = past || r == last;
		if (past && is_barrier(r))
			return r->kind == REGEX_REPEAT ? r->next : r;
	}
	return NULL;
}

/* Whether what is behind a literal begins with a word of any length. */
static bool lingers(const struct regex *behind)
{
	while (behind != NULL && behind->wide == 0) /* what looks around */
		behind = behind->next;
	return behind != NULL && behind->kind == REGEX_REPEAT && behind->most == REGEX_FAR &&
	       behind->first->kind == REGEX_SET && set_count(&behind->first->set) > WORD_SET;
}

static bool relax_tree(struct regex *r, enum relax_degree degree, struct relaxed *out);

/* A node with a literal and a barrier in it, which has to be the end: of a repeat, its first time.
 */
static bool relax_inside(struct regex *r, enum relax_degree degree, struct relaxed *out)
{
	struct relaxed inside = {.literal = REGEX_FAR};
	while (r->kind == REGEX_REPEAT)
		*r = *r->first;
	r->next = NULL;
	if (!relax_tree(r, degree, &inside))
		return false;
	out->reach = inside.reach;
	out->literal = inside.literal;
	return true;
}

/* Keeps of a sequence what begins with its best literal. False: there is none. */
static bool relax_sequence(struct regex *cat, enum relax_degree degree, struct relaxed *out)
{
	flatten(cat);
	struct literal run = literal_find(cat->first, NULL);
	uint32_t before = 0;
	struct regex **at = &cat->first, *r;
	if (run.bytes < RELAX_LEAST)
		return false;
	assert(run.first != NULL && run.last != NULL);
	for (; *at != run.first; at = &(*at)->next) {
		assert(*at != NULL);
		before = width_add(before, (*at)->wide);
	}
	cat->first = *at;
	if (degree == RELAX_LITERAL)
		gate_add(&out->gate, &run, run.last->next);
	else if (run.first == run.last && is_barrier(run.first)) {
		struct relaxed inside = {.literal = REGEX_FAR};
		if (!relax_inside(cat->first, degree, &inside))
			return false;
		uint32_t far = width_add(before, inside.reach);
		out->reach = far > out->reach ? far : out->reach;
		out->literal = inside.literal < out->literal ? inside.literal : out->literal;
		return true;
	}
	out->lingers = out->lingers || lingers(run.last->next);
	struct regex *behind = kept_until(cat->first, run.last);
	if (degree == RELAX_LITERAL)
		behind = run.last->next;
	for (r = cat->first; r->next != behind; r = r->next)
		assert(r->next != NULL);
	r->next = NULL;
	if (degree == RELAX_LITERAL)
		cut_to_literal(cat);
	cut_head(cat->first);
	uint32_t reach = width_add(before, cut_tail(cat));
	out->reach = reach > out->reach ? reach : out->reach;
	out->literal = run.bytes < out->literal ? run.bytes : out->literal;
	return true;
}

static bool relax_tree(struct regex *r, enum relax_degree degree, struct relaxed *out)
{
	open_repeats(r);
	if (r->kind == REGEX_CAT) {
		flatten(r);
		bool is_group =
		    r->first != NULL && r->first->next == NULL && r->first->kind == REGEX_ALT;
		return is_group ? relax_tree(r->first, degree, out)
				: relax_sequence(r, degree, out);
	}
	for (struct regex *c = r->first; c != NULL; c = c->next)
		if (!relax_tree(c, degree, out))
			return false;
	return r->kind == REGEX_ALT;
}

/* ---- writing ---- */

static void write_byte(struct buf *out, unsigned c)
{
	buf_printf(out, isalnum((int)c) != 0 ? "%c" : "\\x%02x", c);
}

static void write_set(struct buf *out, const struct byte_set *s)
{
	if (set_count(s) == 1) {
		for (unsigned c = 0; c < 256; c++)
			if (set_has(s, c))
				write_byte(out, c);
		return;
	}
	buf_printf(out, "[");
	for (unsigned c = 0; c < 256; c++) {
		unsigned end = c;
		if (!set_has(s, c))
			continue;
		while (end < 255 && set_has(s, end + 1))
			end++;
		write_byte(out, c);
		if (end > c + 1)
			buf_printf(out, "-");
		if (end > c)
			write_byte(out, end);
		c = end;
	}
	buf_printf(out, "]");
}

static void write_times(struct buf *out, uint32_t least, uint32_t most)
{
	if (most == REGEX_FAR)
		buf_printf(out, "{%u,}", least);
	else if (least == most)
		buf_printf(out, "{%u}", least);
	else
		buf_printf(out, "{%u,%u}", least, most);
}

static void write_tree(struct buf *out, const struct regex *r)
{
	if (r->kind == REGEX_EMPTY)
		return;
	if (r->kind == REGEX_SET) {
		write_set(out, &r->set);
		return;
	}
	bool grouped =
	    r->kind == REGEX_ALT || (r->kind == REGEX_REPEAT && r->first->kind != REGEX_SET);
	if (grouped)
		buf_printf(out, "(?:");
	for (const struct regex *c = r->first; c != NULL; c = c->next) {
		write_tree(out, c);
		if (r->kind == REGEX_ALT && c->next != NULL)
			buf_printf(out, "|");
	}
	if (grouped)
		buf_printf(out, ")");
	if (r->kind == REGEX_REPEAT)
		write_times(out, r->least, r->most);
}

/* As cut_tail() gives, without cutting. */
static uint32_t attempt_of(const struct regex *r)
{
	uint32_t most = 0, before = 0;
	switch (r->kind) {
	case REGEX_SET:
		return 1;
	case REGEX_REPEAT:
		return r->least == 0 ? 0
				     : width_add(width_times(r->first->wide, r->least - 1),
						 attempt_of(r->first));
	case REGEX_ALT:
		for (const struct regex *c = r->first; c != NULL; c = c->next) {
			uint32_t one = attempt_of(c);
			most = one > most ? one : most;
		}
		return most;
	case REGEX_CAT:
		for (const struct regex *c = r->first; c != NULL; c = c->next) {
			if (c->narrow != 0)
				most = width_add(before, attempt_of(c));
			before = width_add(before, c->wide);
		}
		return most;
	default:
		return 0;
	}
}

int relax(struct relaxed *out, struct slice regex, enum relax_degree degree, size_t *offset,
	  char words[REGEX_WORDS])
{
	struct arena arena;
	struct regex *tree;
	*out = (struct relaxed){.literal = REGEX_FAR};
	arena_init(&arena, TREE_BYTES);
	int rc = regex_parse(&tree, regex, &arena, offset, words);
	if (rc == 0) {
		out->narrow = tree->narrow;
		out->wide = tree->wide;
		out->attempt = attempt_of(tree);
		if (!relax_tree(tree, degree, out))
			rc = RELAX_NO_LITERAL;
	}
	if (rc == 0) {
		out->positions = positions_of(tree);
		write_tree(&out->text, tree);
		if (buf_append(&out->text, "", 1) != 0)
			rc = fail(-ENOMEM, "expression: no memory");
	}
	if (rc != 0)
		out->reach = out->wide; /* a keyword may stand at its end */
	arena_finish(&arena);
	return rc == REGEX_BAD ? RELAX_BAD : rc;
}

int relax_keyword(struct buf *out, struct slice keyword)
{
	for (size_t i = 0; i < keyword.len; i++) {
		int c = keyword.data[i];
		if (isalpha(c) != 0)
			buf_printf(out, "[%c%c]", toupper(c), tolower(c));
		else
			write_byte(out, (unsigned)c);
	}
	return buf_append(out, "", 1);
}

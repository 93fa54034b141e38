/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/literal.h"

enum {
	SMALL_SET = 8,    /* of so few bytes, a set is as good as a literal's byte ... */
	MAX_VARIANTS = 64 /* ... while a literal has no more forms than this */
};

/* Bytes that are certain in all that a node matches, one after the other: of a branch, the worst.
 */
static uint32_t literal_of(const struct regex *r);

/* Bytes that ordinary text has so seldom that one of them tells as much as two letters. */
static bool is_rare(const struct byte_set *s)
{
	static const char RARE[] = "$|<^~`{}!#*@";
	unsigned n = 0;
	for (const char *c = RARE; *c != '\0'; c++)
		n += set_has(s, (unsigned char)*c);
	return n != 0 && n == set_count(s);
}

/* How many texts a node is all of, and how long the shortest is: a set, or words beside each other.
 * 0: too many, or no end of them. */
static uint32_t variants_of(const struct regex *r, uint32_t *bytes)
{
	uint32_t all = r->kind != REGEX_ALT, least = r->kind == REGEX_ALT ? REGEX_FAR : 0, one;
	if (r->kind == REGEX_SET) {
		*bytes = is_rare(&r->set) ? 2 : 1;
		all = set_is_literal(&r->set) ? 1 : set_count(&r->set);
		return all <= SMALL_SET ? all : 0;
	}
	if (r->kind == REGEX_EMPTY || r->kind == REGEX_REPEAT)
		return 0;
	for (const struct regex *c = r->first; c != NULL && all <= MAX_VARIANTS; c = c->next) {
		uint32_t v = variants_of(c, &one);
		if (v == 0)
			return 0;
		all = r->kind == REGEX_ALT ? all + v : all * v;
		least = r->kind == REGEX_CAT ? least + one : one < least ? one : least;
	}
	*bytes = least;
	return all <= MAX_VARIANTS ? all : 0;
}

/* Of runs as long as each other the one that has fewest forms: `key` in `(?:api|app)[_-]?key`. */
static void run_best(struct literal *best, const struct literal *other)
{
	if (other->bytes > best->bytes ||
	    (other->bytes == best->bytes && other->variants < best->variants))
		*best = *other;
}

struct literal literal_find(const struct regex *list, const struct regex *behind)
{
	struct literal best = {.variants = REGEX_FAR}, now = {.first = NULL};
	for (const struct regex *r = list; r != behind; r = r->next) {
		uint32_t bytes = 0, v = variants_of(r, &bytes);
		if (r->kind == REGEX_EMPTY)
			continue;
		if (v == 0) {
			struct literal alone = {r, r, literal_of(r), REGEX_FAR};
			run_best(&best, &alone);
			now.first = NULL;
			continue;
		}
		if (now.first == NULL || now.variants * v > MAX_VARIANTS)
			now = (struct literal){r, r, 0, 1};
		now.last = r;
		now.bytes += bytes;
		now.variants *= v;
		run_best(&best, &now);
	}
	return best;
}

/* `0{8}`, `[xy]{2}` */
static uint32_t repeated_literal(const struct regex *r)
{
	uint32_t n = 0, bytes, v = variants_of(r->first, &bytes);
	if (v == 0)
		return 0;
	for (uint32_t variants = v; n < r->least && n < LITERAL_REPEATS && variants <= MAX_VARIANTS;
	     n++)
		variants *= v;
	return n;
}

static uint32_t literal_of(const struct regex *r)
{
	uint32_t worst = REGEX_FAR, one;
	switch (r->kind) {
	case REGEX_SET:
		return variants_of(r, &worst) != 0;
	case REGEX_CAT:
		return literal_find(r->first, NULL).bytes;
	case REGEX_REPEAT:
		if (r->least == 0)
			return 0;
		return r->first->kind == REGEX_SET ? repeated_literal(r) : literal_of(r->first);
	case REGEX_ALT:
		for (const struct regex *c = r->first; c != NULL; c = c->next) {
			one = literal_of(c);
			worst = one < worst ? one : worst;
		}
		return worst;
	default:
		return 0;
	}
}

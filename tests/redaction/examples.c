/* SPDX-License-Identifier: Apache-2.0
 * Each rule of the packs finds what its examples say, by the oracle: exactly what is marked, and
 * nothing in what must not match. Each match holds one of the rule's keywords. Ends with
 * `rules: N passed, N failed`, a pack's rules counted before. */
#include "redaction/oracle.h"
#include "redaction/packs.h"

static uint32_t passed, failed;

static void complain(const struct rule *r, const struct example *e, const char *what)
{
	printf("%s:%u:%u: %s: %s: %s\n", r->file, e->at.line, e->at.column, r->id, what, e->value);
}

static struct slice key_of(const struct example *e)
{
	return slice_str(e->key != NULL ? e->key : "");
}

static bool holds_keyword(const struct rule *r, const char *text)
{
	for (uint32_t i = 0; i < r->keywords.n; i++)
		if (strcasestr(text, r->keywords.items[i]) != NULL)
			return true;
	return r->keywords.n == 0;
}

static bool match_holds(struct oracle *o, uint32_t number, const struct rule *r,
			const struct example *e)
{
	const struct oracle_hit *hits;
	uint32_t n = oracle_find_one(o, number, key_of(e), slice_str(e->value), &hits);
	if (n == 0 || hits[0].number != number) {
		complain(r, e, "does not match");
		return false;
	}
	if (!holds_keyword(r, e->value)) {
		complain(r, e, "has no keyword");
		return false;
	}
	for (uint32_t i = 0; e->marked && i < n; i++)
		if (hits[i].start != e->start || hits[i].end != e->end) {
			complain(r, e, "other bytes than the marked ones");
			printf("  found: %.*s\n", (int)(hits[i].end - hits[i].start),
			       e->value + hits[i].start);
			return false;
		}
	return true;
}

static bool no_match_holds(struct oracle *o, uint32_t number, const struct rule *r,
			   const struct example *e)
{
	const struct oracle_hit *hits;
	uint32_t n = oracle_find_one(o, number, key_of(e), slice_str(e->value), &hits);
	if (n == 0)
		return true;
	complain(r, e, "matches");
	printf("  found: %.*s\n", (int)(hits[0].end - hits[0].start), e->value + hits[0].start);
	return false;
}

static void check_rule(struct oracle *o, uint32_t number, const struct rule *r)
{
	if (r->class != CLASS_NONE)
		return;
	for (uint32_t i = 0; i < r->n_match; i++)
		if (match_holds(o, number, r, &r->match[i]))
			passed++;
		else
			failed++;
	for (uint32_t i = 0; i < r->n_no_match; i++)
		if (no_match_holds(o, number, r, &r->no_match[i]))
			passed++;
		else
			failed++;
}

int main(void)
{
	struct rules all = {.n = 0};
	packs_read(&all, false);
	struct oracle *o = oracle_create(&all);
	if (o == NULL)
		return 1;
	for (uint32_t i = 0; i < all.n; i++)
		check_rule(o, i, &all.list[i]);
	for (uint32_t i = 0; i < N_PACKS; i++) {
		uint32_t n = 0;
		for (uint32_t k = 0; k < all.n; k++)
			n += strcmp(all.list[k].pack, PACKS[i].name) == 0;
		printf("%s: %u rules\n", PACKS[i].name, n);
	}
	printf("rules: %u passed, %u failed\n", passed, failed);
	oracle_destroy(o);
	rules_finish(&all);
	return failed != 0 || passed == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/rulebook.h"

#include <string.h>

enum { HEADER = 16 };

struct entry {
	uint64_t generation;
	uint32_t n;
	struct slice whole, names; /* names: n of them, each with its zero */
};

static bool are_names(struct slice names, uint32_t n)
{
	uint32_t ends = 0;
	for (size_t i = 0; i < names.len; i++)
		ends += names.data[i] == '\0';
	return ends == n && (names.len == 0 || names.data[names.len - 1] == '\0');
}

/* Takes the first entry off the book; false at its end, and where it is damaged. */
static bool next_entry(struct slice *book, struct entry *e)
{
	uint32_t bytes;
	if (book->len < HEADER)
		return false;
	memcpy(&e->generation, book->data, 8);
	memcpy(&e->n, book->data + 8, 4);
	memcpy(&bytes, book->data + 12, 4);
	if (bytes > book->len - HEADER || e->n > POLICY_RULES)
		return false;
	e->names = slice_of(book->data + HEADER, bytes);
	e->whole = slice_of(book->data, HEADER + bytes);
	*book = slice_of(book->data + e->whole.len, book->len - e->whole.len);
	return are_names(e->names, e->n);
}

static bool find_entry(struct slice book, uint64_t generation, struct entry *e)
{
	while (next_entry(&book, e))
		if (e->generation == generation)
			return true;
	return false;
}

int rulebook_write(struct buf *out, struct slice before, const struct policy *p)
{
	uint32_t bytes = 0;
	for (uint32_t i = 0; i < p->n_rules; i++)
		bytes += (uint32_t)strlen(p->rules[i].name) + 1;
	int rc = buf_append(out, &p->generation, 8) | buf_append(out, &p->n_rules, 4) |
		 buf_append(out, &bytes, 4);
	for (uint32_t i = 0; i < p->n_rules; i++)
		rc |= buf_append(out, p->rules[i].name, strlen(p->rules[i].name) + 1);
	struct entry e;
	for (int n = 1; n < RULEBOOK_GENERATIONS && next_entry(&before, &e);)
		if (e.generation != p->generation) {
			rc |= buf_append(out, e.whole.data, e.whole.len);
			n++;
		}
	return rc;
}

static const char *name_in(const struct entry *e, uint32_t rule)
{
	const char *name = (const char *)e->names.data;
	if (rule >= e->n)
		return NULL;
	for (; rule != 0; rule--)
		name += strlen(name) + 1;
	return name;
}

const char *rulebook_name(struct slice book, uint64_t generation, uint32_t rule)
{
	struct entry e;
	return find_entry(book, generation, &e) ? name_in(&e, rule) : NULL;
}

static uint16_t find_rule(const struct policy *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_rules; i++)
		if (strcmp(p->rules[i].name, name) == 0)
			return (uint16_t)i;
	return RULEBOOK_GONE;
}

uint32_t rulebook_map(struct slice book, uint64_t generation, const struct policy *p, uint16_t *map)
{
	struct entry e;
	if (!find_entry(book, generation, &e))
		return 0;
	const char *name = (const char *)e.names.data;
	for (uint32_t i = 0; i < e.n; i++) {
		map[i] = find_rule(p, name);
		name += strlen(name) + 1;
	}
	return e.n;
}

/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset_vet.c - a rule set before it is used: each rule finds what its examples say and
 * nothing else, and no text keeps it busy for long. */
#include <errno.h>
#include <stdlib.h>

#include "redaction/regex.h"
#include "redaction/ruleset_build.h"
#include "redaction/scan.h"

enum { PUMPED = 600, PUMPS = 8, TREE_BYTES = 1 << 20 };

/* ---- examples ---- */

/* The key under which an example stands: of a rule with keys, one that is no glob. */
static const char *key_of(const struct rule *r, const struct example *e)
{
	if (e->key != NULL)
		return e->key;
	for (uint32_t i = 0; i < r->keys.n; i++)
		if (strpbrk(r->keys.items[i], "*?") == NULL)
			return r->keys.items[i];
	return NULL;
}

struct outcome {
	bool found, exactly;
};

/* What this rule, and no other, finds in an example. Negative: no memory. */
static int try_example(struct scanner *s, const struct ruleset *set, uint32_t number,
		       const struct example *e, struct outcome *o)
{
	const char *key = key_of(&set->rules.list[number], e);
	struct slice text = slice_str(e->value);
	struct scan_value value = {.at = 0, .len = (uint32_t)text.len};
	const struct hit *hits;
	uint32_t n;
	*o = (struct outcome){.found = false};
	int rc = scanner_begin(s, set);
	if (rc != 0)
		return rc;
	struct key_verdict verdict = {.n = 0};
	if (key != NULL) { /* without what the configuration has to say of it */
		const struct key_verdict *full = scanner_key(s, slice_str(key));
		verdict.n = full->n;
		verdict.rules = full->rules;
		value.key = &verdict;
	}
	rc = scan(s, text, &value, 1, &hits, &n);
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		if (hits[i].number != number)
			continue;
		o->found = true;
		o->exactly = o->exactly || (hits[i].start == e->start && hits[i].end == e->end);
	}
	return rc;
}

static void vet_examples(struct builder *b, struct scanner *s, uint32_t number)
{
	const struct rule *r = &b->set->rules.list[number];
	struct outcome o;
	for (uint32_t i = 0; i < r->n_match + r->n_no_match && !b->no_memory; i++) {
		bool wanted = i < r->n_match;
		const struct example *e = wanted ? &r->match[i] : &r->no_match[i - r->n_match];
		if (try_example(s, b->set, number, e, &o) != 0)
			b->no_memory = true;
		else if (wanted && !o.found)
			build_fault(b, r->file, e->at, "%s: examples: the rule finds nothing here",
				    r->id);
		else if (wanted && e->marked && !o.exactly)
			build_fault(b, r->file, e->at,
				    "%s: examples: the rule finds something else than what stands "
				    "between << and >>",
				    r->id);
		else if (!wanted && o.found)
			build_fault(b, r->file, e->at,
				    "%s: examples: the rule finds something here, and must not",
				    r->id);
	}
}

/* ---- texts that make an expression go back and forth ---- */

struct pump {
	struct buf *text;
	const struct regex *target; /* the repeat that is pumped up */
	bool reached;
	bool no_memory;
};

static bool is_within(const struct regex *r, const struct regex *target)
{
	if (r == target)
		return true;
	for (const struct regex *c = r->first; c != NULL; c = c->next)
		if (is_within(c, target))
			return true;
	return false;
}

static uint8_t byte_of(const struct byte_set *set)
{
	static const char LIKELY[] = "a0A_ -./=";
	for (const char *c = LIKELY; *c != '\0'; c++)
		if (set_has(set, (unsigned char)*c))
			return (uint8_t)*c;
	for (unsigned c = 0; c < 256; c++)
		if (set_has(set, c))
			return (uint8_t)c;
	return 0;
}

/* A text that the expression matches up to the target, and the target many times. */
static void write_pumped(struct pump *p, const struct regex *r)
{
	uint32_t times = r->least;
	uint8_t byte;
	if (p->reached || p->text->len > (size_t)2 * PUMPED)
		return;
	switch (r->kind) {
	case REGEX_SET:
		byte = byte_of(&r->set);
		p->no_memory = buf_append(p->text, &byte, 1) != 0 || p->no_memory;
		break;
	case REGEX_CAT:
		for (const struct regex *c = r->first; c != NULL; c = c->next)
			write_pumped(p, c);
		break;
	case REGEX_ALT:
		for (const struct regex *c = r->first; c != NULL; c = c->next)
			if (c->next == NULL || is_within(c, p->target)) {
				write_pumped(p, c);
				break;
			}
		break;
	case REGEX_REPEAT:
		if (r == p->target)
			times = PUMPED / (r->first->narrow != 0 ? r->first->narrow : 1);
		else if (times == 0 && is_within(r, p->target))
			times = 1;
		for (uint32_t i = 0; i < times; i++)
			write_pumped(p, r->first);
		p->reached = p->reached || r == p->target;
		break;
	default:
		break;
	}
}

/* Repeats that stretch, in the order of the expression. */
static uint32_t find_targets(const struct regex *r, const struct regex **targets, uint32_t n)
{
	if (r->kind == REGEX_REPEAT && r->most - r->least > PUMPS && n < PUMPS)
		targets[n++] = r;
	for (const struct regex *c = r->first; c != NULL; c = c->next)
		n = find_targets(c, targets, n);
	return n;
}

static bool gives_up(const struct pattern *p, struct matcher *m, struct slice text)
{
	struct pattern_search s = {.until = text.len};
	return pattern_find(p, m, text, &s) == PATTERN_GAVE_UP;
}

static void vet_expression(struct builder *b, struct matcher *m, uint32_t number)
{
	const struct rule *r = &b->set->rules.list[number];
	const struct regex *targets[PUMPS];
	struct arena arena;
	struct regex *tree;
	struct buf text = {.data = NULL};
	char words[REGEX_WORDS];
	size_t offset;
	bool slow = false;
	arena_init(&arena, TREE_BYTES);
	if (regex_parse(&tree, slice_str(r->regex), &arena, &offset, words) == 0) {
		uint32_t n = find_targets(tree, targets, 0);
		for (uint32_t i = 0; i < n && !slow; i++) {
			struct pump p = {.text = &text, .target = targets[i]};
			text.len = 0;
			write_pumped(&p, tree);
			b->no_memory =
			    b->no_memory || p.no_memory || buf_append(&text, "\n\x01", 2);
			slow = gives_up(b->set->exact[number].regex, m, buf_slice(&text));
		}
	}
	if (slow)
		build_fault(b, r->file, r->regex_at,
			    "%s: regex: it goes back and forth without bound on a text made for "
			    "that; repeats within repeats are the usual cause",
			    r->id);
	buf_finish(&text);
	arena_finish(&arena);
}

void build_vet(struct builder *b)
{
	struct scanner *s = scanner_create();
	struct matcher *m = matcher_create();
	b->no_memory = b->no_memory || s == NULL || m == NULL;
	for (uint32_t i = 0; i < b->set->n && !b->no_memory; i++) {
		if (b->set->exact[i].regex != NULL)
			vet_expression(b, m, i);
		vet_examples(b, s, i);
	}
	matcher_destroy(m);
	scanner_destroy(s);
}

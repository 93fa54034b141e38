/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset_automaton.c - the two automata of a rule set: over text and over keys. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/glob.h"
#include "redaction/relax.h"
#include "redaction/ruleset_build.h"

static const char CUT_BYTES[] = "[A-Za-z0-9_\\-.+/=~]{4}";

hs_database_t *build_database(struct builder *b, const char *const *texts, uint32_t n,
			      unsigned flags, uint32_t *bad)
{
	hs_database_t *db = NULL;
	hs_compile_error_t *why = NULL;
	unsigned *numbers = calloc(n, sizeof(*numbers)), *all_flags = calloc(n, sizeof(*all_flags));
	*bad = n;
	for (uint32_t i = 0; numbers != NULL && all_flags != NULL && i < n; i++) {
		numbers[i] = i;
		all_flags[i] = flags;
	}
	hs_error_t rc = HS_NOMEM;
	if (numbers != NULL && all_flags != NULL)
		rc = hs_compile_multi(texts, all_flags, numbers, n, HS_MODE_BLOCK, NULL, &db, &why);
	if (rc == HS_COMPILER_ERROR && why->expression >= 0)
		*bad = (uint32_t)why->expression;
	else if (rc != HS_SUCCESS)
		b->no_memory = true;
	if (rc == HS_COMPILER_ERROR && why->expression < 0)
		log_error("rules: the automaton cannot be made", "why=\"%s\"", why->message);
	hs_free_compile_error(why);
	free(numbers);
	free(all_flags);
	return rc == HS_SUCCESS ? db : NULL;
}

/* ---- text ---- */

static uint32_t count_probes(const struct ruleset *set)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < set->n; i++)
		n += (set->exact[i].prefilter != NULL) + set->rules.list[i].cut.n;
	return n;
}

static char *cut_text(struct builder *b, const char *prefix)
{
	struct buf text = {.data = NULL};
	for (const char *c = prefix; *c != '\0'; c++)
		buf_printf(&text, "\\x%02x", (unsigned char)*c);
	char *kept = NULL;
	if (buf_append(&text, CUT_BYTES, sizeof(CUT_BYTES)) == 0)
		kept = build_alloc(b, text.len);
	if (kept != NULL)
		memcpy(kept, text.data, text.len);
	else
		b->no_memory = true;
	buf_finish(&text);
	return kept;
}

static void add_probes(struct builder *b, const char **texts)
{
	struct ruleset *set = b->set;
	for (uint32_t i = 0; i < set->n && !b->no_memory; i++) {
		const struct texts *cut = &set->rules.list[i].cut;
		const struct exact *e = &set->exact[i];
		if (e->prefilter != NULL) {
			texts[set->n_probes] = e->prefilter;
			set->probes[set->n_probes++] =
			    (struct probe){.rule = (uint16_t)i, .reach = e->reach, .gate = e->gate};
		}
		for (uint32_t k = 0; k < cut->n && !b->no_memory; k++) {
			uint16_t len = (uint16_t)strlen(cut->items[k]);
			texts[set->n_probes] = cut_text(b, cut->items[k]);
			set->probes[set->n_probes++] = (struct probe){
			    .rule = (uint16_t)i, .cut = len, .reach = len + CUT_LEAST};
		}
	}
}

/* Less of an expression that is too large for the automaton; false: there is no less. */
static bool shorten(struct builder *b, uint32_t probe, const char **texts)
{
	struct probe *p = &b->set->probes[probe];
	const struct rule *r = &b->set->rules.list[p->rule];
	struct exact *e = &b->set->exact[p->rule];
	struct relaxed less;
	char words[REGEX_WORDS];
	size_t offset;
	if (p->cut != 0 || relax(&less, slice_str(r->regex), RELAX_LITERAL, &offset, words) != 0)
		return false;
	bool shorter = strcmp((const char *)less.text.data, e->prefilter) != 0;
	char *kept = shorter ? build_alloc(b, less.text.len) : NULL;
	if (kept != NULL) {
		memcpy(kept, less.text.data, less.text.len);
		texts[probe] = e->prefilter = kept;
		p->reach = e->reach = less.reach;
	}
	buf_finish(&less.text);
	return kept != NULL;
}

/* Expressions that are alike become one, which is reported once: names of passwords and of keys
 * are in several rules. The order of first ones stays. */
static uint32_t join_same(struct ruleset *set, const char **texts, const char **joined)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < set->n_probes; i++) {
		uint32_t k = 0;
		assert(texts[i] != NULL); /* each probe has one, or there were no rule set */
		set->probes[i].same = 0;
		while (k < n && strcmp(joined[k], texts[i]) != 0)
			k++;
		if (k == n) {
			joined[n] = texts[i];
			set->expressions[n++] = (struct expression){.probe = (uint16_t)i};
			continue;
		}
		struct probe *last = &set->probes[set->expressions[k].probe];
		while (last->same != 0)
			last = &set->probes[last->same - 1];
		last->same = (uint16_t)(i + 1);
	}
	return n;
}

/* One gate for all probes of an expression: what it refuses, each of them does. */
static void join_gates(struct builder *b, struct expression *x)
{
	const struct probe *all = b->set->probes, *p = &all[x->probe];
	if (p->same == 0)
		return;
	struct passage *gate = build_alloc(b, sizeof(*gate));
	for (; gate != NULL; p = &all[p->same - 1]) {
		if (p->gate == NULL)
			return;
		gate->span = p->gate->span > gate->span ? p->gate->span : gate->span;
		for (int c = 0; c < 256; c++)
			gate->bytes[c] |= p->gate->bytes[c];
		if (p->same == 0)
			break;
	}
	x->gate = gate;
}

void build_automaton(struct builder *b)
{
	struct ruleset *set = b->set;
	uint32_t n = count_probes(set), bad;
	if (n == 0)
		return;
	const char **texts = calloc(2 * (size_t)n, sizeof(*texts));
	set->probes = build_alloc(b, n * sizeof(*set->probes));
	set->expressions = build_alloc(b, n * sizeof(*set->expressions));
	if (texts == NULL || set->probes == NULL || set->expressions == NULL) {
		b->no_memory = true;
		free(texts);
		return;
	}
	const char **joined = texts + n;
	add_probes(b, texts);
	while (!b->no_memory && set->text == NULL) {
		n = join_same(set, texts, joined);
		set->text = build_database(b, joined, n, 0, &bad);
		if (set->text != NULL || b->no_memory ||
		    shorten(b, set->expressions[bad].probe, texts))
			continue;
		const struct rule *r =
		    &set->rules.list[set->probes[set->expressions[bad].probe].rule];
		build_fault(b, r->file, r->regex_at,
			    "%s: the automaton refuses what it would look for: %s", r->id,
			    joined[bad]);
		break;
	}
	for (uint32_t i = 0; i < n && !b->no_memory && set->text != NULL; i++)
		join_gates(b, &set->expressions[i]);
	free(texts);
}

/* ---- keys ---- */

static void add_glob(struct builder *b, const char *glob, enum key_use use, uint32_t rule)
{
	b->set->globs[b->set->n_globs++] =
	    (struct key_glob){.glob = glob, .use = use, .rule = (uint16_t)rule};
}

static void add_names(struct builder *b, const struct conf_names *names, enum key_use use)
{
	for (size_t i = 0; i < names->n && !b->no_memory; i++) {
		size_t size = strlen(names->names[i]) + 1;
		char *copy = build_alloc(b, size); /* the configuration may go before the set */
		if (copy == NULL)
			return;
		memcpy(copy, names->names[i], size);
		add_glob(b, copy, use, 0);
	}
}

static void add_globs(struct builder *b)
{
	struct ruleset *set = b->set;
	const struct conf_redaction *c = b->conf;
	size_t n = c->keys.block.n + c->keys.allow_only.n + c->keys.ignore.n;
	for (uint32_t i = 0; i < set->n; i++)
		n += set->rules.list[i].keys.n;
	set->globs = build_alloc(b, (n + 1) * sizeof(*set->globs));
	set->loose = build_alloc(b, (n + 1) * sizeof(*set->loose));
	if (set->globs == NULL || set->loose == NULL)
		return;
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->rules.list[i].keys.n; k++)
			add_glob(b, set->rules.list[i].keys.items[k], KEY_RULE, i);
	add_names(b, &c->keys.block, KEY_BLOCK);
	add_names(b, &c->keys.allow_only, KEY_ALLOW);
	add_names(b, &c->keys.ignore, KEY_IGNORE);
	set->lists_keys = c->keys.allow_only.n != 0;
}

/* Globs with a literal are looked for by it; the automaton's numbers are theirs, so those come
 * first. */
static uint32_t sort_globs(struct ruleset *set)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < set->n_globs; i++) {
		struct key_glob g = set->globs[i];
		if (glob_literal(g.glob).len == 0)
			continue;
		set->globs[i] = set->globs[n];
		set->globs[n++] = g;
	}
	for (uint32_t i = n; i < set->n_globs; i++)
		set->loose[set->n_loose++] = i;
	return n;
}

void build_keys(struct builder *b)
{
	struct ruleset *set = b->set;
	uint32_t bad;
	add_globs(b);
	uint32_t n = b->no_memory ? 0 : sort_globs(set);
	if (n == 0)
		return;
	const char **texts = calloc(n, sizeof(*texts));
	b->no_memory = b->no_memory || texts == NULL;
	for (uint32_t i = 0; i < n && !b->no_memory; i++) {
		struct buf text = {.data = NULL};
		if (relax_keyword(&text, glob_literal(set->globs[i].glob)) != 0)
			b->no_memory = true;
		char *kept = b->no_memory ? NULL : build_alloc(b, text.len);
		if (kept != NULL)
			memcpy(kept, text.data, text.len);
		texts[i] = kept;
		buf_finish(&text);
	}
	if (!b->no_memory)
		set->keys = build_database(b, texts, n, HS_FLAG_SINGLEMATCH, &bad);
	if (set->keys == NULL && !b->no_memory)
		b->no_memory = true; /* literals are never refused */
	free(texts);
}

/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset_compile.c - from rules as data to rules that run. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/distance.h"
#include "base/log.h"
#include "redaction/relax.h"
#include "redaction/ruleset_build.h"

enum { ARENA_BYTES = 64 << 20, SMALL_AUTOMATON = 600 };

void build_fault(struct builder *b, const char *file, struct place at, const char *fmt, ...)
{
	char words[REPORT_TEXT];
	va_list ap;
	if (b->faults++ >= BUILD_MAX_FAULTS)
		return;
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	if (buf_printf(b->findings, "%s:%u:%u: %s\n", file != NULL ? file : "configuration",
		       at.line, at.column, words) != 0)
		b->no_memory = true;
}

void *build_alloc(struct builder *b, size_t size)
{
	void *p = arena_alloc(&b->set->arena, size);
	if (p == NULL)
		b->no_memory = true;
	else
		memset(p, 0, size);
	return p;
}

static void rule_fault(struct builder *b, const struct rule *r, struct place at, const char *words)
{
	build_fault(b, r->file, at, "%s: %s", r->id, words);
}

/* ---- exact expressions ---- */

static struct pattern *compile_pattern(struct builder *b, const struct rule *r, struct place at,
				       const char *what, const char *text)
{
	struct pattern *p = NULL;
	char words[PATTERN_WORDS];
	size_t offset;
	int rc = pattern_create_bytes(&p, slice_str(text), &offset, words);
	if (rc == PATTERN_BAD)
		build_fault(b, r->file, at, "%s: %s: %s, at byte %zu of it", r->id, what, words,
			    offset);
	b->no_memory = b->no_memory || rc < 0;
	return rc == 0 ? p : NULL;
}

static void compile_allow(struct builder *b, uint32_t number, uint32_t more)
{
	const struct rule *r = &b->set->rules.list[number];
	struct exact *e = &b->set->exact[number];
	uint32_t n = r->allow.n + more;
	if (n == 0)
		return;
	e->allow = build_alloc(b, n * sizeof(struct pattern *));
	for (uint32_t i = 0; e->allow != NULL && i < r->allow.n; i++) {
		struct pattern *p = compile_pattern(b, r, r->at, "allow", r->allow.items[i]);
		if (p != NULL)
			e->allow[e->n_allow++] = p;
	}
}

static bool keywords_are_good(struct builder *b, const struct rule *r)
{
	for (uint32_t i = 0; i < r->keywords.n; i++)
		if (strlen(r->keywords.items[i]) < RELAX_LEAST) {
			rule_fault(b, r, r->at,
				   "keywords: one of a single byte would be found all over");
			return false;
		}
	return r->keywords.n != 0;
}

/* What the automaton looks for: (?:one|other) for keywords, which may stand anywhere in a value. */
static char *keep_prefilter(struct builder *b, const struct rule *r, struct relaxed *relaxed)
{
	struct buf text = {.data = NULL};
	if (relaxed->text.len == 0 || (relaxed->literal <= RELAX_LEAST && r->keywords.n != 0)) {
		b->set->exact[r - b->set->rules.list].reach = REGEX_FAR;
		for (uint32_t i = 0; i < r->keywords.n; i++) {
			text.len -= text.len != 0; /* the NUL */
			buf_printf(&text, i == 0 ? "(?:" : "|");
			if (relax_keyword(&text, slice_str(r->keywords.items[i])) != 0)
				b->no_memory = true;
		}
		text.len -= text.len != 0;
		if (buf_append(&text, ")", 2) != 0)
			b->no_memory = true;
	} else {
		text = relaxed->text;
		relaxed->text = (struct buf){.data = NULL};
	}
	char *kept = b->no_memory ? NULL : build_alloc(b, text.len);
	if (kept != NULL)
		memcpy(kept, text.data, text.len);
	buf_finish(&text);
	return kept;
}

static void keep_gate(struct builder *b, struct exact *e, const struct gate *gate)
{
	if (gate->span == REGEX_FAR)
		return;
	e->gate = build_alloc(b, sizeof(*e->gate));
	if (e->gate == NULL)
		return;
	e->gate->span = gate->span;
	for (unsigned c = 0; c < 256; c++) {
		unsigned parts = set_has(&gate->stop, c) ? PASSAGE_STOP : 0;
		for (unsigned i = 0; i < GATE_PARTS; i++)
			parts |= set_has(&gate->parts[i], c) ? 1u << i : 0;
		e->gate->bytes[c] = (uint16_t)parts;
	}
}

/* As close as it is cheap. */
static int relax_rule(struct builder *b, const struct rule *r, struct exact *e,
		      struct relaxed *relaxed, size_t *offset, char words[REGEX_WORDS])
{
	struct relaxed less;
	int rc = relax(relaxed, slice_str(r->regex), RELAX_CLOSE, offset, words);
	bool large = relaxed->positions > SMALL_AUTOMATON;
	if (rc == 0 && (large || relaxed->lingers) && relaxed->literal > RELAX_LEAST) {
		rc = relax(&less, slice_str(r->regex), RELAX_LITERAL, offset, words);
		bool better = rc == 0 && (large || gate_is_selective(&less.gate));
		if (better)
			keep_gate(b, e, &less.gate);
		buf_finish(better ? &relaxed->text : &less.text);
		if (better)
			*relaxed = less;
	}
	b->no_memory = b->no_memory || rc < 0;
	return rc;
}

static void compile_regex(struct builder *b, uint32_t number)
{
	const struct rule *r = &b->set->rules.list[number];
	struct exact *e = &b->set->exact[number];
	struct relaxed relaxed;
	char words[REGEX_WORDS];
	size_t offset;
	if (r->secret > PATTERN_MAX_GROUP)
		rule_fault(b, r, r->at, "secret: groups up to 15 only; make others (?:...)");
	e->regex = compile_pattern(b, r, r->regex_at, "regex", r->regex);
	if (e->regex == NULL)
		return;
	int rc = relax_rule(b, r, e, &relaxed, &offset, words);
	e->reach = relaxed.reach;
	e->wide = relaxed.wide;
	e->attempt = relaxed.attempt;
	if (rc == RELAX_BAD)
		build_fault(b, r->file, r->regex_at, "%s: regex: %s, at byte %zu of it", r->id,
			    words, offset);
	else if (relaxed.narrow == 0)
		rule_fault(b, r, r->regex_at, "regex: it matches nothing at all, everywhere");
	else if (!e->keyed && rc == RELAX_NO_LITERAL && !keywords_are_good(b, r))
		rule_fault(b, r, r->regex_at,
			   "regex: it would be tried on every byte; name keywords that each "
			   "match holds, or begin it with a text that does not vary");
	else if (!e->keyed && rc >= 0)
		e->prefilter = keep_prefilter(b, r, &relaxed);
	buf_finish(&relaxed.text);
}

/* The configuration's words for masks stand in another order. */
static enum mask mask_of(enum conf_mask m)
{
	static const enum mask MASK_OF[] = {
	    [CONF_MASK_KEEP_LENGTH] = MASK_KEEP_LENGTH,
	    [CONF_MASK_REPLACE] = MASK_REPLACE,
	    [CONF_MASK_TYPED] = MASK_TYPED,
	    [CONF_MASK_HMAC] = MASK_HMAC,
	    [CONF_MASK_KEEP_LAST_4] = MASK_KEEP_LAST_4,
	    [CONF_MASK_DROP] = MASK_DROP,
	};
	return MASK_OF[m];
}

static uint32_t count_allows(const struct conf_redaction *c, const char *id)
{
	uint32_t n = 0;
	for (size_t i = 0; i < c->n_allow; i++)
		n += strcmp(c->allow[i].rule, id) == 0;
	return n;
}

static void compile_rules(struct builder *b)
{
	struct ruleset *set = b->set;
	for (uint32_t i = 0; i < set->n && !b->no_memory; i++) {
		const struct rule *r = &set->rules.list[i];
		struct exact *e = &set->exact[i];
		e->mask = r->mask == MASK_INHERIT ? mask_of(b->conf->mask) : r->mask;
		e->keyed = r->keys.n != 0;
		e->wide = REGEX_FAR;
		compile_allow(b, i, count_allows(b->conf, r->id));
		if (r->class != CLASS_NONE)
			set->classes |= 1u << r->class;
		else if (r->regex != NULL)
			compile_regex(b, i);
	}
}

/* ---- the configuration's `allow` ---- */

static void report_unknown_rule(struct builder *b, const struct conf_allow *a)
{
	const struct ruleset *set = b->set;
	struct place at = {a->at.line, a->at.column};
	const char *nearest = NULL;
	unsigned best = DISTANCE_WORD_MAX;
	for (uint32_t i = 0; i < set->n; i++) {
		unsigned d = word_distance(a->rule, set->rules.list[i].id);
		if (d < best) {
			best = d;
			nearest = set->rules.list[i].id;
		}
	}
	if (nearest != NULL && distance_is_near(best, a->rule))
		build_fault(b, b->conf->file, at,
			    "allow: no rule is called \"%s\"; did you mean \"%s\"?", a->rule,
			    nearest);
	else
		build_fault(b, b->conf->file, at,
			    "allow: no rule is called \"%s\"; `spanrelay rules list` shows them",
			    a->rule);
}

static void add_allow(struct builder *b, const struct conf_allow *a)
{
	struct ruleset *set = b->set;
	char words[PATTERN_WORDS];
	size_t offset;
	uint32_t i = 0;
	while (i < set->n && strcmp(set->rules.list[i].id, a->rule) != 0)
		i++;
	if (i == set->n) {
		report_unknown_rule(b, a);
		return;
	}
	struct pattern *p = NULL;
	const char *text = a->match.text != NULL ? a->match.text : "";
	int rc = pattern_create_bytes(&p, slice_str(text), &offset, words);
	if (rc == PATTERN_BAD) {
		struct conf_place at = conf_text_place(&a->match, offset);
		build_fault(b, b->conf->file, (struct place){at.line, at.column},
			    "allow: match: %s", words);
	}
	b->no_memory = b->no_memory || rc < 0;
	if (rc == 0)
		set->exact[i].allow[set->exact[i].n_allow++] = p;
}

static void compile_classes(struct builder *b)
{
	struct ruleset *set = b->set;
	for (uint32_t i = 0; i < set->n; i++)
		set->n_of_class[set->rules.list[i].class]++;
	for (int c = CLASS_NONE + 1; c < CLASSES; c++) {
		set->of_class[c] = build_alloc(b, (set->n_of_class[c] + 1) * sizeof(uint16_t));
		set->n_of_class[c] = 0;
	}
	for (uint32_t i = 0; i < set->n && !b->no_memory; i++) {
		enum rule_class c = set->rules.list[i].class;
		if (c != CLASS_NONE)
			set->of_class[c][set->n_of_class[c]++] = (uint16_t)i;
	}
}

static void keep_masking(struct builder *b)
{
	struct ruleset_masking *m = &b->set->masking;
	size_t len = b->conf->hmac_key_len, id = sizeof(b->conf->hmac_key_id);
	uint8_t *bytes = build_alloc(b, len + id);
	m->counts = b->conf->marks == MARKS_COUNT;
	m->hmac_key_id = "";
	if (bytes == NULL || len == 0)
		return;
	memcpy(bytes, b->conf->hmac_key, len);
	memcpy(bytes + len, b->conf->hmac_key_id, id);
	b->set->hmac_key = bytes;
	m->hmac_key = slice_of(bytes, len);
	m->hmac_key_id = (const char *)bytes + len;
}

static int compile(struct builder *b)
{
	struct ruleset *set = b->set;
	int rc = siphash_key_init(&set->identity);
	set->exact = build_alloc(b, (set->n + 1) * sizeof(*set->exact));
	if (rc != 0 || set->exact == NULL)
		return rc;
	/* What is left of a value that nobody looked at must not be its end. */
	set->mask = mask_of(b->conf->mask);
	if (set->mask == MASK_KEEP_LAST_4)
		set->mask = MASK_KEEP_LENGTH;
	keep_masking(b);
	compile_rules(b);
	compile_classes(b);
	for (size_t i = 0; i < b->conf->n_allow && !b->no_memory; i++)
		add_allow(b, &b->conf->allow[i]);
	if (!b->no_memory)
		build_keys(b);
	if (!b->no_memory && b->faults == 0)
		build_automaton(b);
	if (!b->no_memory && b->faults == 0)
		build_vet(b);
	return b->no_memory ? -ENOMEM : b->faults != 0 ? RULESET_FAULTY : 0;
}

int ruleset_compile(struct ruleset **out, struct rules *rules, const struct conf_redaction *c,
		    struct buf *findings)
{
	struct ruleset *set = calloc(1, sizeof(*set));
	if (set == NULL) {
		rules_finish(rules);
		return fail(-ENOMEM, "rules: no memory");
	}
	set->references = 1;
	set->rules = *rules;
	set->n = rules->n;
	*rules = (struct rules){.list = NULL};
	arena_init(&set->arena, ARENA_BYTES);
	struct builder b = {.set = set, .conf = c, .findings = findings};
	int rc = compile(&b);
	if (rc != 0) {
		ruleset_release(set);
		return rc < 0 ? fail(rc, "rules: cannot be compiled") : rc;
	}
	*out = set;
	return 0;
}

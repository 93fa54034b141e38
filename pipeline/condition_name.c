/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_name.c - the names of fields and facts, and what a person may have meant. */
#include <stdio.h>
#include <strings.h>

#include "base/distance.h"
#include "pipeline/condition_text.h"

struct prefix {
	const char *name;
	enum level level;
};
static const struct prefix PREFIXES[] = {
    {"span.", LEVEL_SPAN},   {"resource.", LEVEL_RESOURCE}, {"scope.", LEVEL_SCOPE},
    {"event.", LEVEL_EVENT}, {"link.", LEVEL_LINK},
};
enum { N_PREFIXES = sizeof(PREFIXES) / sizeof(PREFIXES[0]), ROOT_LEN = 5 };

struct builtin {
	enum level level;
	const char *name;
	enum what what;
	bool in_ms;
};
static const struct builtin BUILTINS[] = {
    {LEVEL_SPAN, "name", WHAT_NAME, false},
    {LEVEL_SPAN, "kind", WHAT_KIND, false},
    {LEVEL_SPAN, "status", WHAT_STATUS, false},
    {LEVEL_SPAN, "duration", WHAT_DURATION, false},
    {LEVEL_SPAN, "duration_ms", WHAT_DURATION, true},
    {LEVEL_SPAN, "error", WHAT_ERROR, false},
    {LEVEL_SCOPE, "name", WHAT_NAME, false},
    {LEVEL_SCOPE, "version", WHAT_VERSION, false},
    {LEVEL_EVENT, "name", WHAT_NAME, false},
};
enum { N_BUILTINS = sizeof(BUILTINS) / sizeof(BUILTINS[0]) };

static const char *const FACTS[] = {
    "trace.duration",
    "trace.duration_ms",
    "trace.span_count",
    "trace.bytes",
    "trace.error_count",
    "trace.has_root",
    NULL,
};
static const enum fact FACT_OF[] = {FACT_DURATION, FACT_DURATION, FACT_SPANS,
				    FACT_BYTES,    FACT_ERRORS,   FACT_HAS_ROOT};
enum { DURATION_MS = 1 };

/* For words that are nothing at all. */
static const char *const BEGINNINGS[] = {
    "any",
    "all",
    "none",
    "not",
    "span.error",
    "span.name",
    "span.kind",
    "span.status",
    "span.duration",
    "root.error",
    "root.name",
    "root.kind",
    "root.status",
    "root.duration",
    "trace.duration",
    "trace.bytes",
    "trace.span_count",
    "trace.error_count",
    "trace.has_root",
    NULL,
};

const char *const STATUS_NAMES[] = {"unset", "ok", "error", NULL};
const char *const KIND_NAMES[] = {"unspecified", "internal", "server", "client",
				  "producer",    "consumer", NULL};

/* Of one or more words, and so many that the message says the nearest only. */
static const char *nearest(const char *word, const char *const *words, unsigned *distance)
{
	const char *best = NULL;
	*distance = DISTANCE_WORD_MAX;
	for (; *words != NULL; words++) {
		unsigned d = word_distance(word, *words);
		if (d < *distance) {
			*distance = d;
			best = *words;
		}
	}
	return best;
}

/* As much of it as a message has room for. */
static void copy_word(char out[DISTANCE_WORD_MAX + 1], struct slice word)
{
	size_t len = word.len < DISTANCE_WORD_MAX ? word.len : DISTANCE_WORD_MAX;
	memcpy(out, word.data, len);
	out[len] = '\0';
}

bool name_unknown(struct parser *p, size_t at, const char *sort, struct slice name,
		  const char *const *words)
{
	char word[DISTANCE_WORD_MAX + 1], list[CONDITION_WORDS / 2] = "";
	unsigned distance;
	copy_word(word, name);
	const char *meant = nearest(word, words, &distance);
	if (meant != NULL && distance_is_near(distance, word))
		return parser_fail(p, at, "unknown %s `%s`, did you mean `%s`?", sort, word, meant);
	for (; *words != NULL && strlen(list) + strlen(*words) + 3 < sizeof(list); words++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 *list != '\0' ? ", " : "", *words);
	return parser_fail(p, at, "unknown %s `%s`: there are %s", sort, word, list);
}

static bool begins_with(struct slice s, const char *text)
{
	size_t len = strlen(text);
	return s.len >= len && memcmp(s.data, text, len) == 0;
}

static struct slice behind(struct slice s, size_t n)
{
	return slice_of(s.data + n, s.len - n);
}

/* resuorce.service.name: everything but the first word may be right. */
static bool unknown_beginning(struct parser *p)
{
	static const char *const FIRST[] = {"span", "resource", "scope", "event",
					    "link", "root",     "trace", NULL};
	struct slice word = p->token.text;
	char whole[DISTANCE_WORD_MAX + 1], first[DISTANCE_WORD_MAX + 1];
	const uint8_t *dot = memchr(word.data, '.', word.len);
	unsigned distance;
	copy_word(whole, word);
	if (slice_is(word, "source") || slice_is(word, "tenant"))
		return parser_fail(p, p->token.at,
				   "`%s` comes with identity, which this relay has not yet", whole);
	const char *meant = nearest(whole, BEGINNINGS, &distance);
	if (meant != NULL && distance_is_near(distance, whole))
		return parser_fail(p, p->token.at, "unknown field `%s`, did you mean `%s`?", whole,
				   meant);
	if (dot != NULL) {
		copy_word(first, slice_of(word.data, (size_t)(dot - word.data)));
		meant = nearest(first, FIRST, &distance);
		if (meant != NULL && distance == 1)
			return parser_fail(p, p->token.at,
					   "unknown field `%s`, did you mean `%s%s`?", whole, meant,
					   whole + strlen(first));
	}
	return parser_fail(p, p->token.at,
			   "unknown field `%s`: fields begin with span., root., resource., scope., "
			   "event., link. or trace.",
			   whole);
}

/* Every spelling of what R is made from (reference: probability sampling). A root's span id is the
 * end of the trace id in some tracers. */
static bool is_id(struct slice key)
{
	static const char *const IDS[] = {"traceid",    "spanid",      "parentspanid",
					  "tracestate", "traceparent", "parenttraceid",
					  "rootspanid"};
	char plain[32];
	size_t len = 0;
	for (size_t i = 0; i < key.len && len + 1 < sizeof(plain); i++) {
		uint8_t c = key.data[i];
		if (c != '.' && c != '_' && c != '-')
			plain[len++] = (char)(c | 0x20);
	}
	plain[len] = '\0';
	for (size_t i = 0; i < sizeof(IDS) / sizeof(IDS[0]); i++)
		if (strcmp(plain, IDS[i]) == 0)
			return true;
	return false;
}

static bool refuse_id(struct parser *p, size_t at)
{
	return parser_fail(p, at,
			   "rules cannot read ids or tracestate: what they keep would not have the "
			   "probability that is written on it");
}

/* A key without a dot that is nearly a name of ours: somebody means that name. */
static bool is_slip(struct parser *p, size_t at, struct slice whole, const struct field_name *f)
{
	char key[DISTANCE_WORD_MAX + 1], word[DISTANCE_WORD_MAX + 1];
	copy_word(key, f->key);
	copy_word(word, whole);
	if (f->key.len >= DISTANCE_WORD_MAX || strchr(key, '.') != NULL)
		return false;
	for (size_t i = 0; i < N_BUILTINS; i++) {
		unsigned distance = word_distance(key, BUILTINS[i].name);
		if (BUILTINS[i].level != f->level || distance > 1 + (f->key.len > 5))
			continue;
		int prefix = (int)(whole.len - f->key.len);
		parser_fail(p, at,
			    "unknown field `%s`, did you mean `%.*s%s`? (an attribute of that name "
			    "is written %.*s\"%s\")",
			    word, prefix, word, BUILTINS[i].name, prefix, word, key);
		return true;
	}
	return false;
}

/* What is behind `span.`: a name of ours, or the key of an attribute. */
static bool name_or_key(struct parser *p, size_t at, struct slice whole, struct field_name *f)
{
	for (size_t i = 0; i < N_BUILTINS; i++) {
		if (BUILTINS[i].level != f->level || !slice_is(f->key, BUILTINS[i].name))
			continue;
		f->what = BUILTINS[i].what;
		f->in_ms = BUILTINS[i].in_ms;
		return true;
	}
	return !is_slip(p, at, whole, f);
}

bool field_parse(struct parser *p, struct field_name *f)
{
	struct token word = p->token;
	struct slice rest = word.text;
	*f = (struct field_name){.level = LEVELS};
	if (word.kind != TOKEN_WORD)
		return parser_fail(p, word.at, "expected a field, such as span.http.route");
	f->of_root = begins_with(rest, "root.");
	if (f->of_root) {
		f->level = LEVEL_SPAN;
		rest = behind(rest, ROOT_LEN);
	}
	for (size_t i = 0; i < N_PREFIXES; i++) {
		if (!begins_with(rest, PREFIXES[i].name))
			continue;
		f->level = PREFIXES[i].level;
		rest = behind(rest, strlen(PREFIXES[i].name));
		break;
	}
	if (f->level == LEVELS)
		return unknown_beginning(p);
	f->key = rest;
	size_t key_at = word.at + (word.text.len - rest.len);
	bool quoted = rest.len == 0 && p->at < p->text.len &&
		      (p->text.data[p->at] == '"' || p->text.data[p->at] == '\'');
	if (!token_next(p))
		return false;
	if (quoted) {
		f->key = p->token.text;
		if (!token_next(p))
			return false;
	}
	if (f->key.len == 0)
		return parser_fail(p, key_at,
				   "expected the name of a field or the key of an "
				   "attribute");
	if (is_id(f->key))
		return refuse_id(p, word.at);
	return quoted || name_or_key(p, word.at, word.text, f);
}

static bool has_prefix(struct slice word)
{
	bool has = begins_with(word, "root.") || begins_with(word, "trace.");
	for (size_t i = 0; i < N_PREFIXES; i++)
		has = has || begins_with(word, PREFIXES[i].name);
	return has;
}

/* name, or resuorce.team: somebody means a field with its prefix. */
static bool is_bare_slip(struct parser *p, struct slice word)
{
	char whole[DISTANCE_WORD_MAX + 1];
	copy_word(whole, word);
	for (size_t i = 0; i < N_PREFIXES; i++) {
		const char *prefix = PREFIXES[i].name;
		size_t len = strcspn(whole, ".");
		char first[DISTANCE_WORD_MAX + 1];
		copy_word(first, slice_of(word.data, len));
		snprintf(first + len, sizeof(first) - len, ".");
		if (whole[len] != '.' || word_distance(first, prefix) != 1)
			continue;
		parser_fail(
		    p, p->token.at,
		    "unknown field `%s`, did you mean `%s%s`? (an attribute of that name is "
		    "written \"%s\")",
		    whole, prefix, whole + len + 1, whole);
		return true;
	}
	for (size_t i = 0; i < N_BUILTINS; i++) {
		if (BUILTINS[i].level != LEVEL_SPAN || !slice_is(word, BUILTINS[i].name))
			continue;
		parser_fail(
		    p, p->token.at,
		    "unknown field `%s`, did you mean `span.%s`? (an attribute of that name "
		    "is written \"%s\")",
		    whole, whole, whole);
		return true;
	}
	return false;
}

bool key_field_parse(struct parser *p, struct field_name *f, bool *bare)
{
	struct token word = p->token;
	*bare = word.kind == TOKEN_STRING || (word.kind == TOKEN_WORD && !has_prefix(word.text));
	if (word.kind == TOKEN_WORD && begins_with(word.text, "trace.") && !is_id(word.text))
		return parser_fail(p, word.at, "what is counted of a trace is no key");
	if (word.kind == TOKEN_WORD && !*bare && !is_id(word.text))
		return field_parse(p, f);
	if (word.kind != TOKEN_STRING && word.kind != TOKEN_WORD)
		return parser_fail(p, word.at,
				   "expected a field, such as resource.team or http.route");
	*f = (struct field_name){.level = LEVEL_SPAN, .what = WHAT_ATTRIBUTE, .key = word.text};
	if (word.text.len == 0)
		return parser_fail(p, word.at, "expected the key of an attribute");
	if (slice_is(word.text, "source") || slice_is(word.text, "tenant"))
		return unknown_beginning(p);
	if (is_id(word.text))
		return refuse_id(p, word.at);
	if (word.kind == TOKEN_WORD && is_bare_slip(p, word.text))
		return false;
	return token_next(p);
}

bool field_is_text(const struct field_name *f)
{
	return f->what == WHAT_ATTRIBUTE || f->what == WHAT_NAME || f->what == WHAT_VERSION;
}

bool fact_parse(struct parser *p, enum fact *fact, bool *in_ms)
{
	if (is_id(p->token.text))
		return refuse_id(p, p->token.at);
	for (size_t i = 0; FACTS[i] != NULL; i++) {
		if (!slice_is(p->token.text, FACTS[i]))
			continue;
		*fact = FACT_OF[i];
		*in_ms = i == DURATION_MS;
		return token_next(p);
	}
	return name_unknown(p, p->token.at, "field", p->token.text, FACTS);
}

bool kind_parse(struct slice name, enum what what, int64_t *number)
{
	const char *prefix = what == WHAT_KIND ? "SPAN_KIND_" : "STATUS_CODE_";
	const char *const *names = what == WHAT_KIND ? KIND_NAMES : STATUS_NAMES;
	if (begins_with(name, prefix)) /* as the protocol has them */
		name = behind(name, strlen(prefix));
	for (int64_t i = 0; names[i] != NULL; i++) {
		if (!slice_is_nocase(name, names[i]))
			continue;
		*number = i;
		return true;
	}
	return false;
}

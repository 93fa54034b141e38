/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_key.c - the fields that traces are told apart by: their text, and the hash of
 * what a span says in them. The walk finds their values like those of any rule. */
#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "pipeline/condition_set.h"

enum { PARSE_BYTES = 1 << 20 };

/* ---- text ---- */

static bool fits_key(struct parser *p, size_t at, const struct field_name *f)
{
	if (f->level == LEVEL_EVENT || f->level == LEVEL_LINK)
		return parser_fail(p, at,
				   "a span has many events and links: keys are made of what it has "
				   "once");
	if (f->what == WHAT_DURATION)
		return parser_fail(p, at, "durations are all different: they are no key");
	return true;
}

static bool add_field(struct parser *p, struct field_name *all, uint32_t *n, bool *alone)
{
	size_t at = p->token.at;
	struct field_name *f = &all[*n];
	bool bare;
	if (!key_field_parse(p, f, &bare) || !fits_key(p, at, f))
		return false;
	if (*n != 0 && f->of_root != all[0].of_root)
		return parser_fail(p, at, "fields of the root and of spans are no alternatives");
	if ((*n != 0 || token_is(p, "|")) && !field_is_text(f))
		return parser_fail(p, at, "this field is never missing, so it has no alternatives");
	++*n;
	if (bare) {
		all[*n] = *f;
		all[(*n)++].level = LEVEL_RESOURCE;
	}
	*alone = !token_is(p, "|");
	return *alone || token_next(p);
}

/* FIELD | FIELD ...; gives how many there are then, 0 for a fault. */
static uint32_t parse_field(struct parser *p, struct field_name all[2 * MAX_KEY_FIELDS])
{
	uint32_t n = 0;
	bool last = false;
	if (p->text.len > CONDITION_MAX_BYTES) {
		parser_fail(p, CONDITION_MAX_BYTES, "longer than %d bytes", CONDITION_MAX_BYTES);
		return 0;
	}
	if (!token_next(p))
		return 0;
	for (int i = 0; !last; i++) {
		if (i == MAX_KEY_FIELDS) {
			parser_fail(p, p->token.at, "more than %d alternatives", MAX_KEY_FIELDS);
			return 0;
		}
		if (!add_field(p, all, &n, &last))
			return 0;
	}
	if (p->token.kind == TOKEN_END)
		return n;
	parser_fail(p, p->token.at, "expected `|` or the end of the field");
	return 0;
}

int condition_add_field(struct condition_set *set, struct slice text, uint32_t *number,
			struct condition_error *why)
{
	struct field_name all[2 * MAX_KEY_FIELDS] = {{0}};
	struct arena arena;
	assert(!set->compiled);
	*why = (struct condition_error){0};
	arena_init(&arena, PARSE_BYTES);
	struct parser p = {.text = text, .arena = &arena, .why = why};
	uint32_t n = parse_field(&p, all);
	int rc = CONDITION_BAD;
	if (p.no_memory)
		rc = fail(-ENOMEM, "conditions: no memory to read a field");
	else if (n != 0)
		rc = condition_lower_field(set, all, n, number, why);
	arena_finish(&arena);
	return rc;
}

uint32_t condition_set_fields(const struct condition_set *set)
{
	return set->n_key_fields;
}

/* ---- hashes ---- */

void condition_scratch_set_key(struct condition_scratch *s, const struct siphash_key *key)
{
	s->hash_key = *key;
	memset(s->hashed, 0, sizeof(s->hashed));
}

static uint64_t hash_text(const struct condition_scratch *s, struct slice text)
{
	return siphash(&s->hash_key, text.data, text.len);
}

static uint64_t hash_scalar(const struct condition_scratch *s, const struct value *v)
{
	static const uint8_t NO_TEXT = 0xff; /* no UTF-8 */
	char room[NUMBER_TEXT_MAX];
	struct slice text = slice_of(&NO_TEXT, 1);
	value_text(v, room, &text);
	return hash_text(s, text);
}

/* Each element takes what was before it in. */
static uint64_t hash_value(const struct condition_scratch *s, const struct value *v)
{
	static const uint8_t ARRAY = 0xfe;
	if (v->type != VALUE_ARRAY)
		return hash_scalar(s, v);
	struct slice rest = v->text;
	struct value element;
	uint64_t chain[2] = {hash_text(s, slice_of(&ARRAY, 1)), 0};
	while (value_next(&rest, &element)) {
		chain[1] = hash_scalar(s, &element);
		chain[0] = siphash(&s->hash_key, chain, sizeof(chain));
	}
	return chain[0];
}

/* 0 is for what is missing. */
static uint32_t short_hash(uint64_t hash)
{
	return (uint32_t)hash != 0 ? (uint32_t)hash : 1;
}

static uint32_t hash_name(const struct condition_scratch *s, struct slice name)
{
	return name.len != 0 ? short_hash(hash_text(s, name)) : 0;
}

static uint32_t hash_number(const struct condition_scratch *s, const char *const *names, int n,
			    int32_t number)
{
	struct value v = {.type = VALUE_NUMBER, .number = number_of_int(number)};
	if (number >= 0 && number < n)
		return short_hash(hash_text(s, slice_str(names[number])));
	return short_hash(hash_scalar(s, &v));
}

enum { KINDS = 6, STATUSES = 3 };

static uint32_t hash_source(const struct condition_scratch *s, const struct key_source *from,
			    const struct key_span *span)
{
	switch ((enum what)from->what) {
	case WHAT_ATTRIBUTE:
		break;
	case WHAT_NAME:
		return hash_name(s, from->level == LEVEL_SCOPE ? s->scope_name : span->name);
	case WHAT_VERSION:
		return hash_name(s, s->scope_version);
	case WHAT_KIND:
		return hash_number(s, KIND_NAMES, KINDS, span->kind);
	case WHAT_STATUS:
		return hash_number(s, STATUS_NAMES, STATUSES, span->status);
	default:
		return short_hash(hash_text(s, slice_str(span->is_error ? "true" : "false")));
	}
	if (s->slot_seen[from->slot] != s->epoch[from->level])
		return 0;
	struct value v = value_read(s->slot_value[from->slot]);
	return short_hash(hash_value(s, &v));
}

static uint32_t hash_field(struct condition_scratch *s, uint32_t number,
			   const struct key_span *span)
{
	const struct key_field *f = &s->set->key_fields[number];
	uint32_t hash = 0;
	for (uint32_t i = 0; i < f->n_sources && hash == 0; i++) {
		const struct key_source *from = &f->sources[i];
		uint32_t epoch = s->epoch[from->level];
		if (s->hashed[number][i].epoch == epoch) {
			hash = s->hashed[number][i].hash;
			continue;
		}
		hash = hash_source(s, from, span);
		s->hashed[number][i].epoch = epoch;
		s->hashed[number][i].hash = hash;
	}
	return hash;
}

void condition_hash_fields(struct condition_scratch *s, const struct key_span *span)
{
	for (uint32_t i = 0; i < s->set->n_key_fields; i++)
		s->keys[i] =
		    s->set->key_fields[i].of_root && !span->is_root ? 0 : hash_field(s, i, span);
}

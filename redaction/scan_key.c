/* SPDX-License-Identifier: Apache-2.0
 * redaction/scan_key.c - what keys say of their values. There are few different ones, and each is
 * worked out once; what a client makes up is worked out every time, and remembered nowhere. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/glob.h"
#include "redaction/hint.h"
#include "redaction/scan_state.h"

enum {
	SLOTS = 4 * SCAN_MAX_KEYS,
	PROBES = 16,   /* a key that finds no place in so many slots is not remembered */
	LONGEST = 256, /* bytes of a key that is remembered */
	FAMILIAR = 2,  /* times a key is seen before it is looked through for itself */
	KEYS_BYTES = 4 << 20,
	PASSING_BYTES = 16 << 20
};

struct key_entry {
	uint64_t hash;
	const uint8_t *key;
	uint32_t len, seen;
	struct key_verdict verdict;
};

static const struct key_verdict PLAIN, BLOCKED = {.blocked = true};

int key_cache_begin(struct scanner *s)
{
	if (s->passing.limit != 0)
		arena_finish(&s->passing);
	arena_init(&s->passing, PASSING_BYTES);
	if (s->keys_full)
		key_cache_finish(s);
	if (s->entries != NULL)
		return 0;
	arena_init(&s->keys, KEYS_BYTES);
	familiar_clear(&s->familiar);
	s->entries = malloc(SCAN_MAX_KEYS * sizeof(*s->entries));
	s->slots = calloc(SLOTS, sizeof(*s->slots));
	return s->entries == NULL || s->slots == NULL ? fail(-ENOMEM, "scanner: no memory") : 0;
}

void key_cache_finish(struct scanner *s)
{
	if (s->passing.limit != 0)
		arena_finish(&s->passing);
	if (s->keys.limit != 0)
		arena_finish(&s->keys);
	free(s->entries);
	free(s->slots);
	familiar_clear(&s->familiar);
	s->entries = NULL;
	s->slots = NULL;
	s->n_entries = 0;
	s->keys_full = false;
}

/* ---- a verdict ---- */

static int on_literal(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		      void *user)
{
	struct scanner *s = user;
	(void)from;
	(void)to;
	(void)flags;
	s->globs_hit[id] = 1;
	return 0;
}

struct ruling {
	struct key_verdict verdict;
	uint16_t rules[RULE_MAX_RULES];
	bool listed;
};

static void apply_glob(const struct ruleset *set, uint32_t i, struct slice key, struct ruling *r)
{
	const struct key_glob *g = &set->globs[i];
	if (!glob_match(g->glob, key))
		return;
	switch (g->use) {
	case KEY_BLOCK:
		r->verdict.blocked = true;
		break;
	case KEY_ALLOW:
		r->listed = true;
		break;
	case KEY_IGNORE:
		r->verdict.ignored = true;
		break;
	default:
		for (uint16_t k = 0; k < r->verdict.n; k++)
			if (r->rules[k] == g->rule)
				return;
		r->rules[r->verdict.n++] = g->rule;
	}
}

/* What redactors write, ours and the Collector's, goes through whatever is listed. */
static bool is_of_redaction(struct slice key)
{
	static const char PREFIX[] = "redaction.";
	return key.len >= sizeof(PREFIX) - 1 && memcmp(key.data, PREFIX, sizeof(PREFIX) - 1) == 0;
}

/* False: the engine failed. */
static bool rule_on(struct scanner *s, struct slice key, struct ruling *r)
{
	const struct ruleset *set = s->set;
	r->verdict = PLAIN;
	r->listed = !set->lists_keys || is_of_redaction(key);
	if (set->n_globs == 0)
		return true;
	memset(s->globs_hit, 0, set->n_globs);
	if (set->keys != NULL && key.len != 0 &&
	    hs_scan(set->keys, (const char *)key.data, (unsigned)key.len, 0, s->scratch, on_literal,
		    s) != HS_SUCCESS)
		return false;
	for (uint32_t i = 0; i < set->n_globs; i++)
		if (s->globs_hit[i] != 0)
			apply_glob(set, i, key, r);
	for (uint32_t i = 0; i < set->n_loose; i++)
		apply_glob(set, set->loose[i], key, r);
	r->verdict.unlisted = !r->listed;
	return true;
}

/* A verdict with its rules in `arena`. False: no memory. */
static bool keep_ruling(struct arena *arena, const struct ruling *r, struct key_verdict *into)
{
	uint16_t *rules = NULL;
	size_t size = r->verdict.n * sizeof(*rules);
	if (size != 0) {
		rules = arena_alloc(arena, size);
		if (rules == NULL)
			return false;
		memcpy(rules, r->rules, size);
	}
	*into = r->verdict;
	into->rules = rules;
	return true;
}

/* Good for this request. */
static const struct key_verdict *passing_verdict(struct scanner *s, const struct ruling *r)
{
	const struct key_verdict *v = &r->verdict;
	if (v->n == 0 && !v->ignored && !v->blocked && !v->unlisted)
		return &PLAIN;
	struct key_verdict *kept = arena_alloc(&s->passing, sizeof(*kept));
	return kept != NULL && keep_ruling(&s->passing, r, kept) ? kept : &BLOCKED;
}

/* ---- the table ---- */

static uint64_t read_up_to_8(const uint8_t *p, size_t len)
{
	uint64_t word = 0;
	memcpy(&word, p, len < 8 ? len : 8);
	return word;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Fast, and keyed: SipHash would cost more than all else here. Who fills one place all the same
 * has his keys worked out each time, and no more than that. */
static uint64_t hash_of(const struct siphash_key *k, struct slice key)
{
	uint64_t h = k->k0 ^ key.len;
	size_t at = 0;
	for (; key.len - at > 16; at += 16)
		h = mix(read_up_to_8(key.data + at, 8) ^ k->k1,
			read_up_to_8(key.data + at + 8, 8) ^ h);
	if (key.len > 16)
		at = key.len - 16; /* some of it again: nothing behind it is read */
	if (key.len >= 8)
		return mix(read_up_to_8(key.data + key.len - 8, 8) ^ k->k1,
			   read_up_to_8(key.data + at, 8) ^ h);
	return mix(read_up_to_8(key.data, key.len) ^ k->k1, h);
}

static struct key_entry *find_entry(struct scanner *s, struct slice key, uint64_t hash,
				    uint16_t **slot)
{
	for (unsigned i = 0; i < PROBES; i++) {
		*slot = &s->slots[(hash + i) % SLOTS];
		if (**slot == 0)
			return NULL;
		struct key_entry *e = &s->entries[**slot - 1];
		if (e->hash == hash && e->len == key.len && memcmp(e->key, key.data, key.len) == 0)
			return e;
	}
	*slot = NULL;
	return NULL;
}

/* Whether no rule finds anything in a key that comes again and again, nor could in what is encoded
 * in it. */
static bool is_clean(struct scanner *s, struct slice key)
{
	struct scan_value value = {0, (uint32_t)key.len, NULL};
	const struct hit *hits;
	uint32_t n;
	if (key.len == 0)
		return true;
	return !hint_any(key) && scan(s, key, &value, 1, &hits, &n) == 0 && n == 0;
}

static const struct key_verdict *add_entry(struct scanner *s, struct slice key, uint64_t hash,
					   uint16_t *slot, const struct ruling *r)
{
	uint8_t *copy = NULL;
	if (slot == NULL || s->n_entries == SCAN_MAX_KEYS || key.len > LONGEST) {
		s->keys_full = s->keys_full || key.len <= LONGEST;
		return passing_verdict(s, r);
	}
	struct key_entry *e = &s->entries[s->n_entries];
	copy = arena_alloc(&s->keys, key.len + 1);
	if (copy == NULL || !keep_ruling(&s->keys, r, &e->verdict)) {
		s->keys_full = true;
		return passing_verdict(s, r);
	}
	if (key.len != 0)
		memcpy(copy, key.data, key.len);
	e->hash = hash;
	e->key = copy;
	e->len = (uint32_t)key.len;
	e->seen = 1;
	*slot = (uint16_t)++s->n_entries;
	return &e->verdict;
}

const struct key_verdict *scanner_key(struct scanner *s, struct slice key)
{
	struct ruling r;
	uint16_t *slot;
	uint64_t hash = hash_of(&s->hash_key, key);
	struct key_entry *e = find_entry(s, key, hash, &slot);
	if (e != NULL && e->seen < FAMILIAR && ++e->seen == FAMILIAR)
		e->verdict.clean = is_clean(s, key);
	if (e != NULL) {
		familiar_add(&s->familiar, e->key, e->len, &e->verdict);
		return &e->verdict;
	}
	if (!rule_on(s, key, &r))
		return &BLOCKED;
	return add_entry(s, key, hash, slot, &r);
}

struct familiar_keys *scanner_familiar(struct scanner *s)
{
	return &s->familiar;
}

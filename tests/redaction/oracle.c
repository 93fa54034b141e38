/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "redaction/oracle.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdlib.h>

#include "redaction/checksum.h"
#include "redaction/entropy.h"
#include "redaction/scan.h"

enum { MAX_RAW = 65536 };

struct compiled {
	pcre2_code *regex; /* NULL: none */
	pcre2_code **allow;
};

struct oracle {
	const struct rules *rules;
	struct compiled *compiled;
	pcre2_code *marks;
	pcre2_match_data *data;
	struct oracle_hit hits[MAX_RAW];
	uint32_t n;
	bool full, gave_up;
};

static const char MARKS[] = "^(?:\\*+|\\*{4,}[^*]{1,4}|\\[?REDACTED(?::[a-z0-9-]+)?\\]?"
			    "|(?:REDACTED:)?REDACTED|hmac:[0-9a-f]{8}:[0-9a-f]{16})$";

static pcre2_code *compile(const char *text)
{
	int error;
	PCRE2_SIZE at;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
					 PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &error, &at, NULL);
	if (code != NULL)
		(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	return code;
}

static bool compile_rule(struct compiled *c, const struct rule *r)
{
	c->allow = calloc(r->allow.n + 1, sizeof(*c->allow));
	if (c->allow == NULL)
		return false;
	c->regex = r->regex != NULL ? compile(r->regex) : NULL;
	if (r->regex != NULL && c->regex == NULL)
		return false;
	for (uint32_t i = 0; i < r->allow.n; i++)
		if ((c->allow[i] = compile(r->allow.items[i])) == NULL)
			return false;
	return true;
}

struct oracle *oracle_create(const struct rules *rules)
{
	struct oracle *o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	o->rules = rules;
	o->compiled = calloc(rules->n + 1, sizeof(*o->compiled));
	o->data = pcre2_match_data_create(100, NULL);
	o->marks = compile(MARKS);
	bool whole = o->compiled != NULL && o->data != NULL && o->marks != NULL;
	for (uint32_t i = 0; whole && i < rules->n; i++)
		whole = compile_rule(&o->compiled[i], &rules->list[i]);
	if (whole)
		return o;
	oracle_destroy(o);
	return NULL;
}

void oracle_destroy(struct oracle *o)
{
	if (o == NULL)
		return;
	for (uint32_t i = 0; o->compiled != NULL && i < o->rules->n; i++) {
		struct compiled *c = &o->compiled[i];
		for (uint32_t k = 0; c->allow != NULL && k < o->rules->list[i].allow.n; k++)
			pcre2_code_free(c->allow[k]);
		free(c->allow);
		pcre2_code_free(c->regex);
	}
	free(o->compiled);
	pcre2_code_free(o->marks);
	pcre2_match_data_free(o->data);
	free(o);
}

/* ---- one match ---- */

/* The pairs of offsets in o->data. */
static bool find_at(struct oracle *o, const pcre2_code *code, struct slice text, size_t from)
{
	const uint8_t *data = text.data != NULL ? text.data : (const uint8_t *)"";
	int rc = pcre2_match(code, data, text.len, from, 0, o->data, NULL);
	if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
		o->gave_up = true;
	return rc >= 0;
}

static bool is_allowed(struct oracle *o, uint32_t number, struct slice secret)
{
	if (find_at(o, o->marks, secret, 0))
		return true;
	for (uint32_t i = 0; i < o->rules->list[number].allow.n; i++)
		if (find_at(o, o->compiled[number].allow[i], secret, 0))
			return true;
	return false;
}

static bool is_secret(struct oracle *o, uint32_t number, struct slice secret)
{
	const struct rule *r = &o->rules->list[number];
	return secret.len != 0 && (r->entropy <= 0 || entropy_bits(secret) >= r->entropy) &&
	       checksum_holds(r->checksum, secret) && !is_allowed(o, number, secret);
}

static void add(struct oracle *o, size_t start, size_t end, uint32_t number)
{
	if (o->n == MAX_RAW)
		o->full = true;
	else
		o->hits[o->n++] = (struct oracle_hit){start, end, number};
}

static struct slice part(struct slice value, size_t start, size_t end)
{
	return slice_of(value.data + start, end - start);
}

static void find_matches(struct oracle *o, uint32_t number, struct slice value)
{
	const struct rule *r = &o->rules->list[number];
	const PCRE2_SIZE *pairs = pcre2_get_ovector_pointer(o->data);
	for (size_t from = 0; from <= value.len;) {
		if (!find_at(o, o->compiled[number].regex, value, from))
			return;
		size_t match = pairs[0], match_end = pairs[1];
		size_t start = pairs[2 * r->secret], end = pairs[2 * r->secret + 1];
		bool taken = start != PCRE2_UNSET && end > start &&
			     is_secret(o, number, part(value, start, end));
		size_t next = match_end;
		if (taken) {
			add(o, start, end, number);
			next = end;
		} else if (start != PCRE2_UNSET && start > match && start < match_end) {
			next = start;
		}
		from = next > from ? next : from + 1;
	}
}

/* ---- cut secrets ---- */

static bool is_token_byte(uint8_t c)
{
	return isalnum(c) != 0 || (c != 0 && strchr("_-.+/=~", c) != NULL);
}

static void find_cut(struct oracle *o, uint32_t number, struct slice value)
{
	const struct texts *cut = &o->rules->list[number].cut;
	size_t tail = value.len;
	while (tail > 0 && is_token_byte(value.data[tail - 1]))
		tail--;
	for (uint32_t i = 0; i < cut->n; i++) {
		size_t len = strlen(cut->items[i]);
		for (size_t at = 0; at + len + 4 <= value.len; at++)
			if (memcmp(value.data + at, cut->items[i], len) == 0 && at + len >= tail) {
				if (!is_allowed(o, number, part(value, at, value.len)))
					add(o, at, value.len, number);
				break;
			}
	}
}

/* ---- keys ---- */

static bool glob_matches(const char *glob, struct slice text)
{
	if (*glob == '\0')
		return text.len == 0;
	if (*glob == '*')
		return glob_matches(glob + 1, text) ||
		       (text.len != 0 && glob_matches(glob, slice_of(text.data + 1, text.len - 1)));
	return text.len != 0 && (*glob == '?' || tolower(*glob) == tolower(text.data[0])) &&
	       glob_matches(glob + 1, slice_of(text.data + 1, text.len - 1));
}

static bool is_for_key(const struct rule *r, struct slice key)
{
	for (uint32_t i = 0; i < r->keys.n; i++)
		if (glob_matches(r->keys.items[i], key))
			return true;
	return r->keys.n == 0;
}

static bool holds_keyword(const struct rule *r, struct slice value)
{
	for (uint32_t i = 0; i < r->keywords.n; i++) {
		size_t len = strlen(r->keywords.items[i]);
		for (size_t at = 0; at + len <= value.len; at++)
			if (strncasecmp((const char *)value.data + at, r->keywords.items[i], len) ==
			    0)
				return true;
	}
	return r->keywords.n == 0;
}

/* ---- a value ---- */

static void find_rule(struct oracle *o, uint32_t number, struct slice key, struct slice value)
{
	const struct rule *r = &o->rules->list[number];
	if (r->class != CLASS_NONE || !is_for_key(r, key))
		return;
	if (r->regex == NULL) {
		if (is_secret(o, number, value))
			add(o, 0, value.len, number);
		return;
	}
	if (holds_keyword(r, value)) /* else none of its matches can */
		find_matches(o, number, value);
	find_cut(o, number, value);
}

static void find_copies(struct oracle *o, struct slice value)
{
	uint32_t found = o->n;
	for (uint32_t i = 0; i < found && !o->full; i++) {
		struct slice s = part(value, o->hits[i].start, o->hits[i].end);
		for (size_t at = 0; s.len >= ORACLE_COPY && at + s.len <= value.len; at++)
			if (memcmp(value.data + at, s.data, s.len) == 0)
				add(o, at, at + s.len, o->hits[i].number);
	}
}

static bool is_utf8(struct slice s)
{
	for (size_t i = 0; i < s.len;) {
		uint8_t c = s.data[i++];
		unsigned more = c < 0x80 ? 0 : c < 0xc2 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		if (c > 0xf4 || more > 3 || more > s.len - i)
			return false;
		uint8_t least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
		uint8_t most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
		for (unsigned k = 0; k < more; k++, i++)
			if (s.data[i] < (k == 0 ? least : 0x80) ||
			    s.data[i] > (k == 0 ? most : 0xbf))
				return false;
	}
	return true;
}

static void widen(struct oracle *o, struct slice value)
{
	if (!is_utf8(value))
		return;
	for (uint32_t i = 0; i < o->n; i++) {
		struct oracle_hit *h = &o->hits[i];
		while (h->start > 0 && (value.data[h->start] & 0xc0) == 0x80)
			h->start--;
		while (h->end < value.len && (value.data[h->end] & 0xc0) == 0x80)
			h->end++;
	}
}

static int compare(const void *left, const void *right)
{
	const struct oracle_hit *a = left, *b = right;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

static void sort(struct oracle *o)
{
	uint32_t kept = 0;
	qsort(o->hits, o->n, sizeof(o->hits[0]), compare);
	for (uint32_t i = 0; i < o->n; i++)
		if (kept == 0 || compare(&o->hits[kept - 1], &o->hits[i]) != 0)
			o->hits[kept++] = o->hits[i];
	o->n = kept;
}

static uint32_t fail_closed(struct oracle *o, struct slice value, enum ruleset_extra why)
{
	o->hits[0] = (struct oracle_hit){0, value.len, o->rules->n + why};
	return o->n = 1;
}

static uint32_t finish(struct oracle *o, struct slice value, const struct oracle_hit **hits)
{
	widen(o, value);
	sort(o);
	*hits = o->hits;
	if (o->gave_up)
		return fail_closed(o, value, EXTRA_GAVE_UP);
	return o->full || o->n > SCAN_MAX_HITS ? fail_closed(o, value, EXTRA_TOO_MANY) : o->n;
}

uint32_t oracle_find_one(struct oracle *o, uint32_t number, struct slice key, struct slice value,
			 const struct oracle_hit **hits)
{
	o->n = 0;
	o->full = o->gave_up = false;
	find_rule(o, number, key, value);
	return finish(o, value, hits);
}

uint32_t oracle_find(struct oracle *o, struct slice key, struct slice value,
		     const struct oracle_hit **hits)
{
	o->n = 0;
	o->full = o->gave_up = false;
	*hits = o->hits;
	if (value.len > SCAN_MAX_VALUE)
		return fail_closed(o, value, EXTRA_TOO_LONG);
	for (uint32_t i = 0; i < o->rules->n; i++)
		find_rule(o, i, key, value);
	find_copies(o, value);
	return finish(o, value, hits);
}

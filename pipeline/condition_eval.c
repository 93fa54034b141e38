/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_eval.c - looks at the spans of a request, once, and says which predicates each
 * of them meets. What is found makes leaves true and their predicates dirty; those are looked at
 * when the span is at its end, and all others are as they are for a span with nothing in it. */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "pipeline/condition_set.h"
#include "wire/otlp_walk.h"
#include "wire/tracestate.h"

enum { ATTRIBUTE_TAG = SPAN_ATTRIBUTES << 3 | WIRE_BYTES };
enum { KEY_TAG = 1 << 3 | WIRE_BYTES, VALUE_TAG = 2 << 3 | WIRE_BYTES };
enum { KIND_SERVER = 2, STATUS_ERROR = 2, HTTP_SERVER_ERROR = 500 };

/* Stamps have 31 bits; a request of 4 GiB takes fewer than this. */
#define CLOCK_MAX ((uint32_t)1 << 30)

/* One request. */
struct run {
	const struct condition_set *set;
	struct condition_scratch *s;
	const uint8_t *base;
	condition_on_span on_span;
	void *user;
	uint32_t ordinal;
	bool tails;
	struct mask resource_dirty;
	struct mask fixed, base_bits; /* of the scope at hand */
};

/* What the walk over a span leaves for its end. */
struct span_seen {
	struct slice name, trace_state, parent;
	int32_t kind, status;
	struct span_facts facts;
};

struct condition_scratch *condition_scratch_create(const struct condition_set *set)
{
	struct condition_scratch *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->set = set;
	s->known = calloc(set->n_nodes + 1, sizeof(*s->known));
	s->slot_seen = calloc(set->n_slots + 1, sizeof(*s->slot_seen));
	s->slot_value = calloc(set->n_slots + 1, sizeof(*s->slot_value));
	s->subject_seen = calloc(set->n_subjects + 1, sizeof(*s->subject_seen));
	s->subject_value = calloc(set->n_subjects + 1, sizeof(*s->subject_value));
	s->candidate = calloc(set->n_leaves + 1, sizeof(*s->candidate));
	s->given_up = calloc(set->n_leaves + 1, sizeof(*s->given_up));
	s->touched = calloc(set->n_subjects + 1, sizeof(*s->touched));
	s->matcher = matcher_create();
	if (s->known == NULL || s->slot_seen == NULL || s->slot_value == NULL ||
	    s->subject_seen == NULL || s->subject_value == NULL || s->candidate == NULL ||
	    s->given_up == NULL || s->touched == NULL || s->matcher == NULL) {
		condition_scratch_destroy(s);
		return NULL;
	}
	for (int i = 0; i < NODE_LEVELS; i++)
		s->epoch[i] = ++s->clock;
	return s;
}

void condition_scratch_destroy(struct condition_scratch *s)
{
	if (s == NULL)
		return;
	free(s->known);
	free(s->slot_seen);
	free(s->slot_value);
	free(s->subject_seen);
	free(s->subject_value);
	free(s->candidate);
	free(s->given_up);
	free(s->touched);
	matcher_destroy(s->matcher);
	free(s);
}

uint64_t condition_scratch_gave_up(const struct condition_scratch *s)
{
	return s->gave_up;
}

/* ---- leaves and nodes ---- */

static void set_leaf(struct condition_scratch *s, uint32_t index)
{
	const struct leaf *leaf = &s->set->leaves[index];
	s->known[leaf->node] = s->epoch[s->set->nodes[leaf->node].level] << 1 | 1;
	mask_add(&s->dirty, &leaf->deps);
}

static bool text_holds(struct condition_scratch *s, uint32_t index, struct slice text)
{
	const struct leaf *leaf = &s->set->leaves[index];
	if (leaf->op == TEST_CONTAINS)
		return slice_contains(text, leaf->values[0].text);
	if (s->given_up[index] == s->request_epoch)
		return false; /* a value made to cost much costs it once a request */
	enum pattern_outcome outcome = pattern_match(leaf->pattern, s->matcher, text);
	if (outcome == PATTERN_GAVE_UP) {
		s->given_up[index] = s->request_epoch;
		s->gave_up++;
	}
	return outcome == PATTERN_YES;
}

static bool lazy_holds(struct condition_scratch *s, uint32_t index, const struct value *v)
{
	char room[NUMBER_TEXT_MAX];
	struct slice text;
	if (v->type != VALUE_ARRAY)
		return value_text(v, room, &text) && text_holds(s, index, text);
	struct slice rest = v->text;
	struct value element;
	while (value_next(&rest, &element))
		if (value_text(&element, room, &text) && text_holds(s, index, text))
			return true;
	return false;
}

static bool leaf_value(struct condition_scratch *s, uint32_t index, uint32_t epoch)
{
	const struct leaf *leaf = &s->set->leaves[index];
	if (!leaf->lazy || s->subject_seen[leaf->subject] != epoch ||
	    (leaf->guarded && s->candidate[index] != epoch))
		return false;
	return lazy_holds(s, index, &s->subject_value[leaf->subject]);
}

static bool ref_value(struct condition_scratch *s, uint32_t ref)
{
	const struct node *node = &s->set->nodes[ref >> 1];
	uint32_t *known = &s->known[ref >> 1], epoch = s->epoch[node->level];
	bool value = true;
	if (*known >> 1 == epoch)
		return (*known ^ ref) & 1;
	if (node->kind == NODE_LEAF)
		value = leaf_value(s, node->first, epoch);
	for (uint32_t i = 0; node->kind == NODE_AND && value && i < node->n; i++)
		value = ref_value(s, s->set->refs[node->first + i]);
	*known = epoch << 1 | value;
	return value ^ (ref & 1);
}

/* With resource and scope known and no span yet: the value if nothing is found in the span, and
 * whether it is that whatever is found. */
static bool outlook(struct condition_scratch *s, uint32_t ref, bool *fixed)
{
	const struct node *node = &s->set->nodes[ref >> 1];
	bool value = true, some_open = false, some_no = false;
	if (node->level < LEVEL_SPAN) {
		*fixed = true;
		return ref_value(s, ref);
	}
	if (node->kind == NODE_LEAF) {
		*fixed = false;
		return ref & 1;
	}
	for (uint32_t i = 0; i < node->n; i++) {
		bool child_fixed;
		bool child = outlook(s, s->set->refs[node->first + i], &child_fixed);
		value = value && child;
		some_open = some_open || !child_fixed;
		some_no = some_no || (child_fixed && !child);
	}
	*fixed = some_no || !some_open;
	return value ^ (ref & 1);
}

void condition_fix(struct condition_scratch *s, const struct mask *which, struct mask *fixed,
		   struct mask *base)
{
	for (uint32_t w = 0; w < CONDITION_BIT_WORDS; w++) {
		for (uint64_t rest = which->words[w]; rest != 0; rest &= rest - 1) {
			uint32_t bit = w * 64 + (uint32_t)__builtin_ctzll(rest);
			bool is_fixed;
			mask_set(base, bit, outlook(s, s->set->predicates[bit], &is_fixed));
			mask_set(fixed, bit, is_fixed);
		}
	}
}

/* ---- values that were found ---- */

static void look_up(struct condition_scratch *s, uint16_t subject, enum value_kind kind,
		    struct slice text, struct number n)
{
	const struct value_table *t = &s->set->values;
	uint64_t hash = value_hash(subject, kind, text, n);
	for (uint32_t at = (uint32_t)hash & t->mask; t->entries[at].leaf != UINT32_MAX;
	     at = (at + 1) & t->mask) {
		const struct value_entry *e = &t->entries[at];
		if (e->hash != hash || e->subject != subject || e->kind != kind)
			continue;
		bool equal =
		    kind == BY_TEXT || kind == BY_PREFIX
			? e->text.len == text.len && text_equal(e->text.data, text.data, text.len)
			: number_compare(e->number, n) == 0;
		if (!equal)
			continue;
		const struct leaf *leaf = &s->set->leaves[e->leaf];
		if (!leaf->guarded) {
			set_leaf(s, e->leaf);
			continue;
		}
		s->candidate[e->leaf] = s->epoch[s->set->nodes[leaf->node].level];
		mask_add(&s->dirty, &leaf->deps);
	}
}

static void number_found(struct condition_scratch *s, uint16_t index, struct number n)
{
	const struct subject *subject = &s->set->subjects[index];
	for (uint32_t i = 0; i < subject->n_lower; i++) {
		const struct bound *b = &subject->lower[i];
		if (number_compare(n, b->limit) < b->strict)
			break;
		set_leaf(s, b->leaf);
	}
	for (uint32_t i = 0; i < subject->n_upper; i++) {
		const struct bound *b = &subject->upper[i];
		if (number_compare(b->limit, n) < b->strict)
			break;
		set_leaf(s, b->leaf);
	}
}

static void text_found(struct condition_scratch *s, uint16_t index, struct slice text)
{
	const struct subject *subject = &s->set->subjects[index];
	bool has_bounds = subject->n_lower + subject->n_upper != 0;
	struct number n;
	if (subject->by_text && text.len <= subject->max_text)
		look_up(s, index, BY_TEXT, text, number_of_int(0));
	if ((subject->by_numeric_text || has_bounds) && number_parse(text, &n) == 0) {
		if (subject->by_numeric_text)
			look_up(s, index, BY_NUMERIC_TEXT, slice_of("", 0), n);
		number_found(s, index, n);
	}
}

static void prefixes_found(struct condition_scratch *s, uint16_t index, const struct value *v)
{
	const struct subject *subject = &s->set->subjects[index];
	char room[NUMBER_TEXT_MAX];
	struct slice text;
	if (!value_text(v, room, &text))
		return;
	for (uint32_t i = 0; i < subject->n_prefix_lens && subject->prefix_lens[i] <= text.len; i++)
		look_up(s, index, BY_PREFIX, slice_of(text.data, subject->prefix_lens[i]),
			number_of_int(0));
}

static void one_found(struct condition_scratch *s, uint16_t index, const struct value *v)
{
	const struct subject *subject = &s->set->subjects[index];
	switch (v->type) {
	case VALUE_TEXT:
		text_found(s, index, v->text);
		break;
	case VALUE_NUMBER:
		if (subject->by_number)
			look_up(s, index, BY_NUMBER, slice_of("", 0), v->number);
		number_found(s, index, v->number);
		break;
	case VALUE_BOOL:
		if (subject->by_bool)
			look_up(s, index, BY_BOOL, slice_of("", 0), number_of_int(v->yes));
		break;
	default:
		return;
	}
	if (subject->needs_text)
		prefixes_found(s, index, v);
}

static void value_found(struct condition_scratch *s, uint16_t index, const struct value *v)
{
	const struct subject *subject = &s->set->subjects[index];
	if (subject->exists != UINT32_MAX)
		set_leaf(s, subject->exists);
	if (v->type == VALUE_ARRAY) {
		struct slice rest = v->text;
		struct value element;
		while (value_next(&rest, &element))
			one_found(s, index, &element);
	} else {
		one_found(s, index, v);
	}
	if (subject->n_lazy == 0)
		return;
	if (subject->level <= LEVEL_SPAN) {
		s->subject_value[index] = *v;
		mask_add(&s->dirty, &subject->lazy_deps);
		return;
	}
	for (uint32_t i = 0; i < subject->n_lazy; i++) /* the next event has another value */
		if (lazy_holds(s, subject->lazy[i], v))
			set_leaf(s, subject->lazy[i]);
}

static void text_field_found(struct condition_scratch *s, enum level level, enum what what,
			     struct slice text, uint32_t epoch)
{
	uint16_t index = s->set->builtin[level][what];
	struct value v = {.type = VALUE_TEXT, .text = text};
	if (index == NO_INDEX || text.len == 0)
		return;
	s->subject_seen[index] = epoch;
	value_found(s, index, &v);
}

static void number_field_found(struct condition_scratch *s, enum what what, int64_t n)
{
	uint16_t index = s->set->builtin[LEVEL_SPAN][what];
	struct value v = {.type = VALUE_NUMBER, .number = number_of_int(n)};
	if (index == NO_INDEX)
		return;
	s->subject_seen[index] = s->epoch[LEVEL_SPAN];
	value_found(s, index, &v);
}

static void flag_found(struct condition_scratch *s, enum what what)
{
	uint16_t index = s->set->builtin[LEVEL_SPAN][what];
	if (index != NO_INDEX)
		set_leaf(s, s->set->subjects[index].exists);
}

/* ---- attributes ---- */

static void slot_found(struct condition_scratch *s, uint16_t index, struct slice value,
		       uint32_t epoch)
{
	const struct slot *slot = &s->set->slots[index];
	if (s->slot_seen[index] == epoch)
		return; /* the first counts */
	s->slot_seen[index] = epoch;
	s->slot_value[index] = value;
	for (uint32_t i = 0; i < slot->n_subjects; i++) {
		uint16_t subject = slot->subjects[i];
		if (s->subject_seen[subject] == epoch)
			continue;
		s->subject_seen[subject] = epoch;
		s->touched[s->n_touched++] = subject;
	}
}

/* The shape of most KeyValues: key first, both lengths one byte. */
static inline bool is_plain(const uint8_t *a, size_t n)
{
	return n >= 4 && a[0] == KEY_TAG && a[1] < 0x80 && a[1] <= n - 4 &&
	       a[2 + a[1]] == VALUE_TAG && a[3 + a[1]] < 0x80 && a[3 + a[1]] == n - 4 - a[1];
}

/* At least KEY_PAD bytes of the request stand before any key: tags and lengths of ResourceSpans,
 * Resource, KeyValue and key. */
static void attribute_found(struct condition_scratch *s, enum level level, const uint8_t *a,
			    size_t n, uint32_t epoch)
{
	const struct key_table *t = &s->set->keys[level];
	struct slice key, value;
	if (is_plain(a, n)) {
		key = slice_of(a + 2, a[1]);
		value = slice_of(a + 4 + a[1], a[3 + a[1]]);
	} else if (!attribute_read(slice_of(a, n), &key, &value)) {
		return;
	}
	uint64_t tail = key_tail(key.data, key.len);
	for (uint32_t at = key_hash(tail, key.len) & t->mask;; at = (at + 1) & t->mask) {
		const struct key_entry *e = &t->entries[at];
		if (e->slot == NO_INDEX)
			return;
		if (e->tail == tail && e->len == key.len &&
		    (key.len <= 8 ||
		     text_equal(s->set->slots[e->slot].key.data, key.data, key.len))) {
			slot_found(s, e->slot, value, epoch);
			return;
		}
	}
}

/* At the end of what has attributes: its subjects, those from `first` on, each by the first of its
 * alternatives. */
static void attributes_end(struct condition_scratch *s, uint32_t first, uint32_t epoch)
{
	for (uint32_t i = first; i < s->n_touched; i++) {
		const struct subject *subject = &s->set->subjects[s->touched[i]];
		uint32_t k = 0;
		while (s->slot_seen[subject->slots[k]] != epoch)
			k++;
		struct value v = value_read(s->slot_value[subject->slots[k]]);
		value_found(s, s->touched[i], &v);
	}
	s->n_touched = first;
}

/* An event stands amidst its span, whose attributes are not at their end. */
static void attributes_of(struct condition_scratch *s, enum level level, struct slice message,
			  uint32_t number, uint32_t epoch)
{
	uint32_t first = s->n_touched;
	struct field f;
	while (field_next(&message, &f))
		if (field_is(&f, number))
			attribute_found(s, level, f.value.data, f.value.len, epoch);
	attributes_end(s, first, epoch);
}

static void event_found(struct condition_scratch *s, struct slice event)
{
	uint32_t epoch = ++s->clock;
	struct slice rest = event, name = {NULL, 0};
	struct field f;
	if (s->set->builtin[LEVEL_EVENT][WHAT_NAME] != NO_INDEX) {
		while (field_next(&rest, &f))
			if (field_is(&f, EVENT_NAME))
				name = f.value;
		text_field_found(s, LEVEL_EVENT, WHAT_NAME, name, epoch);
	}
	attributes_of(s, LEVEL_EVENT, event, EVENT_ATTRIBUTES, epoch);
}

/* ---- spans ---- */

static int32_t enum_of(uint64_t varint)
{
	return (int32_t)(uint32_t)varint;
}

/* The byte behind the varint, or NULL. */
static inline const uint8_t *varint_at(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
	uint64_t v = 0;
	if (p < end && *p < 0x80) {
		*out = *p;
		return p + 1;
	}
	for (unsigned shift = 0; p < end && shift < 70; shift += 7) {
		uint8_t byte = *p++;
		v |= (uint64_t)(byte & 0x7f) << (shift & 63);
		if (byte < 0x80) {
			*out = v;
			return p;
		}
	}
	return NULL;
}

static int32_t status_of(struct slice status)
{
	const uint8_t *p = status.data, *end = p + status.len;
	uint64_t tag, v;
	int32_t code = 0;
	while (p != NULL && p < end) {
		p = varint_at(p, end, &tag);
		if (p == NULL)
			break;
		if ((tag & 7) == WIRE_VARINT) {
			p = varint_at(p, end, &v);
			if (p != NULL && tag >> 3 == STATUS_CODE)
				code = enum_of(v);
			continue;
		}
		if ((tag & 7) == WIRE_BYTES)
			p = varint_at(p, end, &v);
		else
			v = (tag & 7) == WIRE_FIXED64 ? 8 : 4;
		if (p == NULL || v > (uint64_t)(end - p))
			break;
		p += v;
	}
	return code;
}

static void bytes_found(struct condition_scratch *s, struct span_seen *seen, uint64_t number,
			struct slice v)
{
	switch (number) {
	case SPAN_TRACE_ID:
		seen->facts.trace_id = v.data;
		break;
	case SPAN_SPAN_ID:
		seen->facts.span_id = v.data;
		break;
	case SPAN_TRACE_STATE:
		seen->trace_state = v;
		break;
	case SPAN_PARENT_ID:
		seen->parent = v;
		break;
	case SPAN_NAME:
		seen->name = v;
		break;
	case SPAN_EVENTS:
		if (s->set->wants_events)
			event_found(s, v);
		break;
	case SPAN_LINKS:
		if (s->set->wants_links)
			attributes_of(s, LEVEL_LINK, v, LINK_ATTRIBUTES, ++s->clock);
		break;
	case SPAN_STATUS:
		seen->status = status_of(v);
		break;
	default:
		break;
	}
}

static uint64_t fixed64_at(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint32_t load16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

/* Steps over a row of attributes that are plain, as most of a span is, and calls for those that may
 * be in a rule. Tags and lengths stand in pairs: 4a n 0a key-length key 12 value-length value. */
static inline const uint8_t *walk_attributes(struct condition_scratch *s, const uint8_t *p,
					     const uint8_t *end)
{
	static const uint32_t HEAD = ATTRIBUTE_TAG | KEY_TAG << 16, HEAD_BITS = 0x80ff80ff;
	const struct key_table *keys = &s->set->keys[LEVEL_SPAN];
	while (end - p >= 6) {
		uint32_t head = load32(p), n = head >> 8 & 0x7f, key = head >> 24;
		if ((head & HEAD_BITS) != HEAD || n + 2 > (size_t)(end - p) || key + 4 > n ||
		    load16(p + 4 + key) != (VALUE_TAG | (n - 4 - key) << 8))
			break;
		if (key_passes(keys, p + 4, key))
			attribute_found(s, LEVEL_SPAN, p + 2, n, s->epoch[LEVEL_SPAN]);
		p += 2 + n;
	}
	return p;
}

static void walk_span(struct condition_scratch *s, struct slice span, struct span_seen *seen)
{
	const uint8_t *p = span.data, *end = p + span.len;
	uint64_t tag, v;
	while ((p = walk_attributes(s, p, end)) < end) {
		p = varint_at(p, end, &tag);
		if (p == NULL)
			return;
		switch (tag & 7) {
		case WIRE_BYTES:
			p = varint_at(p, end, &v);
			if (p == NULL || v > (uint64_t)(end - p))
				return;
			if (tag == ATTRIBUTE_TAG)
				attribute_found(s, LEVEL_SPAN, p, v, s->epoch[LEVEL_SPAN]);
			else
				bytes_found(s, seen, tag >> 3, slice_of(p, v));
			p += v;
			break;
		case WIRE_VARINT:
			p = varint_at(p, end, &v);
			if (p == NULL)
				return;
			if (tag >> 3 == SPAN_KIND)
				seen->kind = enum_of(v);
			break;
		case WIRE_FIXED64:
			if (end - p < 8)
				return;
			if (tag >> 3 == SPAN_START)
				seen->facts.start_ns = fixed64_at(p);
			else if (tag >> 3 == SPAN_END)
				seen->facts.end_ns = fixed64_at(p);
			p += 8;
			break;
		case WIRE_FIXED32:
			if (end - p < 4)
				return;
			p += 4;
			break;
		default:
			return;
		}
	}
}

static bool http_failed(struct condition_scratch *s, uint32_t epoch)
{
	for (int slot = SLOT_STATUS_NEW; slot <= SLOT_STATUS_OLD; slot++) {
		if (s->slot_seen[slot] != epoch)
			continue;
		struct value v = value_read(s->slot_value[slot]);
		struct number n;
		if (v.type == VALUE_NUMBER)
			n = v.number;
		else if (v.type != VALUE_TEXT || number_parse(v.text, &n) != 0)
			return false;
		return number_compare(n, number_of_int(HTTP_SERVER_ERROR)) >= 0;
	}
	return false;
}

static bool is_error(struct condition_scratch *s, const struct span_seen *seen)
{
	uint32_t epoch = s->epoch[LEVEL_SPAN];
	if (seen->status == STATUS_ERROR)
		return true;
	if (s->slot_seen[SLOT_ERROR] == epoch) {
		struct value v = value_read(s->slot_value[SLOT_ERROR]);
		if (v.type == VALUE_BOOL ? v.yes : v.type == VALUE_TEXT && slice_is(v.text, "true"))
			return true;
	}
	return seen->kind == KIND_SERVER && http_failed(s, epoch);
}

static bool is_root(struct slice parent)
{
	uint64_t id = 0;
	if (parent.len == sizeof(id)) /* or 0: the index lets no others pass */
		memcpy(&id, parent.data, sizeof(id));
	return id == 0; /* some write eight zeros for no parent */
}

static void tell_facts(struct condition_scratch *s, struct span_seen *seen)
{
	struct span_facts *f = &seen->facts;
	f->is_root = is_root(seen->parent);
	f->is_error = is_error(s, seen);
	if (seen->trace_state.len != 0) {
		struct tracestate t;
		f->bad_tracestate = tracestate_read(&t, seen->trace_state) != 0;
		f->has_th = t.has_th;
		f->has_rv = t.has_rv;
		f->th = t.th;
		f->rv = t.rv;
	}
	text_field_found(s, LEVEL_SPAN, WHAT_NAME, seen->name, s->epoch[LEVEL_SPAN]);
	number_field_found(s, WHAT_KIND, seen->kind);
	number_field_found(s, WHAT_STATUS, seen->status);
	uint64_t ns = span_duration_ns(f);
	number_field_found(s, WHAT_DURATION, ns < INT64_MAX ? (int64_t)ns : INT64_MAX);
	if (f->is_root)
		flag_found(s, WHAT_ROOT);
	if (f->is_error)
		flag_found(s, WHAT_ERROR);
}

static void span_found(struct run *r, const struct field *span)
{
	struct condition_scratch *s = r->s;
	struct span_seen seen = {.facts = {.ordinal = r->ordinal++,
					   .offset = (uint32_t)(span->whole.data - r->base),
					   .length = (uint32_t)span->whole.len,
					   .keys = s->keys}};
	s->epoch[LEVEL_SPAN] = ++s->clock;
	s->dirty = (struct mask){{0}};
	walk_span(s, span->value, &seen);
	attributes_end(s, 0, s->epoch[LEVEL_SPAN]);
	tell_facts(s, &seen);
	if (r->set->n_key_fields != 0)
		condition_hash_fields(s,
				      &(struct key_span){seen.name, seen.kind, seen.status,
							 seen.facts.is_root, seen.facts.is_error});
	struct mask bits = r->base_bits;
	for (uint32_t w = 0; w < CONDITION_BIT_WORDS; w++) {
		uint64_t rest = s->dirty.words[w] & ~r->fixed.words[w];
		for (; rest != 0; rest &= rest - 1) {
			uint32_t bit = w * 64 + (uint32_t)__builtin_ctzll(rest);
			mask_set(&bits, bit, ref_value(s, r->set->predicates[bit]));
		}
		seen.facts.bits[w] = bits.words[w];
	}
	r->on_span(r->user, &seen.facts);
}

/* ---- envelopes ---- */

/* The one message with this number; as SDKs write it, it is the first field. */
static struct slice header_of(struct slice envelope, uint32_t number)
{
	struct field f;
	while (field_next(&envelope, &f))
		if (field_is(&f, number))
			return f.value;
	return slice_of(NULL, 0);
}

static void walk_scope(struct run *r, struct slice scope_spans)
{
	struct condition_scratch *s = r->s;
	struct slice scope = header_of(scope_spans, SCOPE_SPANS_SCOPE), rest = scope;
	struct slice name = {NULL, 0}, version = {NULL, 0};
	struct field f;
	uint32_t epoch = s->epoch[LEVEL_SCOPE] = ++s->clock;
	s->dirty = r->resource_dirty;
	while (field_next(&rest, &f)) {
		if (field_is(&f, SCOPE_NAME))
			name = f.value;
		else if (field_is(&f, SCOPE_VERSION))
			version = f.value;
		else if (field_is(&f, SCOPE_ATTRIBUTES))
			attribute_found(s, LEVEL_SCOPE, f.value.data, f.value.len, epoch);
	}
	attributes_end(s, 0, epoch);
	s->scope_name = name;
	s->scope_version = version;
	text_field_found(s, LEVEL_SCOPE, WHAT_NAME, name, epoch);
	text_field_found(s, LEVEL_SCOPE, WHAT_VERSION, version, epoch);
	r->fixed = r->set->fixed;
	r->base_bits = r->set->base;
	condition_fix(s, &s->dirty, &r->fixed, &r->base_bits);
	uint32_t before = r->ordinal;
	while (field_next(&scope_spans, &f))
		if (field_is(&f, SCOPE_SPANS_SPANS))
			span_found(r, &f);
		else if (r->ordinal != before)
			r->tails = true;
}

static void walk_resource(struct run *r, struct slice resource_spans)
{
	struct condition_scratch *s = r->s;
	struct slice resource = header_of(resource_spans, RESOURCE_SPANS_RESOURCE);
	struct field f;
	s->epoch[LEVEL_RESOURCE] = ++s->clock;
	s->dirty = (struct mask){{0}};
	attributes_of(s, LEVEL_RESOURCE, resource, RESOURCE_ATTRIBUTES, s->epoch[LEVEL_RESOURCE]);
	r->resource_dirty = s->dirty;
	while (field_next(&resource_spans, &f))
		if (field_is(&f, RESOURCE_SPANS_SCOPE_SPANS))
			walk_scope(r, f.value);
}

/* The clock starts again before it is at its end: nothing was seen then. */
static void wind_clock(struct condition_scratch *s)
{
	const struct condition_set *set = s->set;
	if (s->clock < CLOCK_MAX)
		return;
	s->clock = 0;
	memset(s->known, 0, set->n_nodes * sizeof(*s->known));
	memset(s->slot_seen, 0, set->n_slots * sizeof(*s->slot_seen));
	memset(s->subject_seen, 0, set->n_subjects * sizeof(*s->subject_seen));
	memset(s->candidate, 0, set->n_leaves * sizeof(*s->candidate));
	memset(s->given_up, 0, set->n_leaves * sizeof(*s->given_up));
	memset(s->hashed, 0, sizeof(s->hashed));
}

bool condition_evaluate(const struct condition_set *set, struct condition_scratch *scratch,
			struct slice request, condition_on_span on_span, void *user)
{
	struct run r = {
	    .set = set, .s = scratch, .base = request.data, .on_span = on_span, .user = user};
	struct field f;
	assert(set->compiled && scratch->set == set);
	wind_clock(scratch);
	scratch->request_epoch = ++scratch->clock;
	while (field_next(&request, &f))
		if (field_is(&f, REQUEST_RESOURCE_SPANS))
			walk_resource(&r, f.value);
	return r.tails;
}

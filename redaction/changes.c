/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/changes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/search.h"
#include "wire/otlp_walk.h"

enum { TEXT_TAG = 1 << 3 | WIRE_BYTES /* of AnyValue.string_value */ };

/* What a change is for tells what may be left undone where the request must not grow. */
enum purpose {
	REMOVES,  /* never makes it longer */
	RAISES,   /* dropped_attributes_count */
	HIDES,    /* a part of a text; stars do as well */
	REPLACES, /* a number, by a text; stars do as well */
	MARKS     /* redaction.*.count */
};

struct change {
	struct otlp_change c;
	uint8_t purpose;
};

void changes_finish(struct changes *c)
{
	if (c->set != NULL)
		arena_finish(&c->arena);
	free(c->notes);
	free(c->list);
	free(c->chosen);
	otlp_rewrite_finish(&c->rewrite);
	*c = (struct changes){0};
}

void changes_begin(struct changes *c, const struct ruleset *set, const struct harvest *h,
		   struct buf *body)
{
	if (c->set == NULL)
		arena_init(&c->arena, SIZE_MAX);
	c->set = set;
	c->h = h;
	c->body = body;
	c->n = c->last_dropped = 0;
	c->failed = false;
	if (h->n_owners > c->cap_notes) {
		free(c->notes);
		c->cap_notes = 0;
		c->notes = calloc(h->n_owners, sizeof(*c->notes));
		c->failed = c->notes == NULL;
		c->cap_notes = c->failed ? 0 : h->n_owners;
	} else {
		memset(c->notes, 0, h->n_owners * sizeof(*c->notes));
	}
}

static void note(struct changes *c, enum purpose purpose, struct otlp_change change)
{
	if (c->n == c->cap) {
		uint32_t cap = c->cap == 0 ? 64 : c->cap * 2;
		struct change *list = reallocarray(c->list, cap, sizeof(*list));
		if (list == NULL) {
			c->failed = true;
			return;
		}
		c->list = list;
		c->cap = cap;
	}
	c->list[c->n++] = (struct change){change, (uint8_t)purpose};
}

/* Bytes that stay until the rewriting. */
static struct slice kept(struct changes *c, const void *bytes, size_t len)
{
	uint8_t *copy = arena_alloc(&c->arena, len + 1);
	if (copy == NULL) {
		c->failed = true;
		return slice_of("", 0);
	}
	memcpy(copy, bytes, len);
	return slice_of(copy, len);
}

static struct owner_note *span_note(struct changes *c, uint32_t owner)
{
	uint32_t span = c->h->owners[owner].span;
	return &c->notes[span != NO_SPAN ? span : 0];
}

/* ---- attributes that go ---- */

static void drop(struct changes *c, uint32_t owner, uint32_t at, uint32_t len)
{
	c->notes[owner].dropped++;
	span_note(c, owner)->redacted++;
	note(c, REMOVES, (struct otlp_change){c->h->owners[owner].start, at, len, slice_of("", 0)});
}

static void drop_attribute_of(struct changes *c, const struct spot *p)
{
	struct slice rest =
	    slice_of(c->body->data + p->attribute, c->h->owners[p->owner].end - p->attribute);
	struct field f;
	if (p->attribute == c->last_dropped || !field_next(&rest, &f))
		return;
	c->last_dropped = p->attribute;
	drop(c, p->owner, p->attribute, (uint32_t)f.whole.len);
}

void changes_cut(struct changes *c, const struct cut *cut)
{
	span_note(c, cut->owner)->changed = true;
	if (cut->is_attribute)
		drop(c, cut->owner, cut->at, cut->len);
	else
		note(c, REMOVES,
		     (struct otlp_change){cut->within, cut->at, cut->len, slice_of("", 0)});
}

/* ---- masks ---- */

/* The field of a number becomes one of a text of as many bytes. */
static void number_in_place(uint8_t *field, size_t len)
{
	field[0] = TEXT_TAG;
	field[1] = (uint8_t)(len - 2);
	memset(field + 2, '*', len - 2);
}

static void mask_number(struct changes *c, const struct spot *p, const struct redact_range *r)
{
	char text[2 + MASK_TEXT_MAX] = {TEXT_TAG};
	uint8_t *field = c->body->data + p->at;
	enum mask style = ruleset_mask(c->set, r->number);
	if (mask_keeps_length(style)) {
		number_in_place(field, p->len);
		return;
	}
	struct slice value = slice_of(field, p->len);
	struct redact_range whole = {0, p->len, r->number};
	size_t len = mask_text(c->set, &whole, value, text + 2);
	text[1] = (char)len; /* below 128, for a mark is */
	note(c, REPLACES, (struct otlp_change){p->within, p->at, p->len, kept(c, text, len + 2)});
}

static void mask_range(struct changes *c, const struct spot *p, const struct redact_range *r)
{
	char text[MASK_TEXT_MAX];
	uint8_t *value = c->body->data + p->at;
	enum mask style = search_style(c->set, p, r->number);
	uint32_t len = (uint32_t)(r->end - r->start);
	if (mask_keeps_length(style)) {
		mask_in_place(style, value + r->start, len);
		return;
	}
	size_t n = mask_text(c->set, r, slice_of(value, p->len), text);
	note(c, HIDES,
	     (struct otlp_change){p->within, p->at + (uint32_t)r->start, len, kept(c, text, n)});
}

static bool is_dropped(const struct changes *c, const struct spot *p,
		       const struct redact_range *ranges, uint32_t n)
{
	for (uint32_t i = 0; i < n && p->kind != HARVESTED_KEY; i++)
		if (ruleset_mask(c->set, ranges[i].number) == MASK_DROP)
			return true;
	return false;
}

void changes_mask(struct changes *c, const struct spot *p, const struct redact_range *ranges,
		  uint32_t n)
{
	struct owner_note *span = span_note(c, p->owner);
	span->changed = true;
	if (is_dropped(c, p, ranges, n)) {
		if (p->attribute != 0)
			drop_attribute_of(c, p);
		else
			note(c, REMOVES,
			     (struct otlp_change){p->within, p->at, p->len, slice_of("", 0)});
		return;
	}
	span->masked++;
	if (p->kind == HARVESTED_NUMBER) {
		mask_number(c, p, ranges);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		mask_range(c, p, &ranges[i]);
}

/* ---- counts and marks ---- */

static size_t put_varint(uint8_t *out, uint64_t v)
{
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

/* Of a varint field. */
static uint64_t varint_of(const struct field *f)
{
	const uint8_t *p = f->whole.data, *end = p + f->whole.len;
	uint64_t v = 0;
	while (p < end && *p++ >= 0x80) /* the tag */
		;
	for (unsigned shift = 0; p < end && shift < 64; shift += 7)
		v |= (uint64_t)(*p++ & 0x7f) << shift;
	return v;
}

static struct slice payload_of(const struct changes *c, const struct owner *o)
{
	return slice_of(c->body->data + o->start, o->end - o->start);
}

static uint32_t offset_in(const struct changes *c, struct slice s)
{
	return (uint32_t)(s.data - c->body->data);
}

/* Raises dropped_attributes_count where it stands, or adds it at the end. */
static void raise_count(struct changes *c, const struct owner *o, uint32_t dropped)
{
	struct otlp_change change = {o->start, o->end, 0, {NULL, 0}};
	struct slice rest = payload_of(c, o);
	uint64_t count = dropped;
	uint8_t bytes[11];
	struct field f;
	while (field_next(&rest, &f)) {
		if (f.number != o->count_field || f.type != WIRE_VARINT)
			continue;
		count = dropped + varint_of(&f); /* the last one counts */
		change.at = offset_in(c, f.whole);
		change.drop = (uint32_t)f.whole.len;
	}
	if (count > UINT32_MAX)
		count = UINT32_MAX;
	bytes[0] = (uint8_t)(o->count_field << 3 | WIRE_VARINT);
	change.with = kept(c, bytes, 1 + put_varint(bytes + 1, count));
	note(c, RAISES, change);
}

struct mark {
	struct slice whole; /* of its field in the span; empty: there is none */
	uint64_t count;
};

static struct mark look_for_mark(struct slice span, struct slice name)
{
	struct mark mark = {.whole = {NULL, 0}};
	struct field attribute, f, v;
	while (field_next(&span, &attribute)) {
		if (!field_is(&attribute, SPAN_ATTRIBUTES))
			continue;
		struct slice rest = attribute.value, value = slice_of("", 0);
		bool is_it = false;
		while (field_next(&rest, &f)) {
			is_it = is_it || (field_is(&f, 1) && slice_equal(f.value, name));
			if (field_is(&f, 2))
				value = f.value;
		}
		if (!is_it)
			continue;
		mark.whole = attribute.whole;
		while (field_next(&value, &v))
			if (v.number == 3 && v.type == WIRE_VARINT)
				mark.count = varint_of(&v);
	}
	return mark;
}

/* The attribute with the count of this redactor and of those before it. */
static void write_mark(struct changes *c, const struct owner *span, struct slice name,
		       uint32_t more)
{
	uint8_t bytes[64], number[11];
	struct mark mark = look_for_mark(payload_of(c, span), name);
	size_t key = name.len, value = 1 + put_varint(number + 1, mark.count + more);
	number[0] = 3 << 3 | WIRE_VARINT;
	bytes[0] = SPAN_ATTRIBUTES << 3 | WIRE_BYTES;
	bytes[1] = (uint8_t)(4 + key + value);
	bytes[2] = 1 << 3 | WIRE_BYTES;
	bytes[3] = (uint8_t)key;
	memcpy(bytes + 4, name.data, key);
	bytes[4 + key] = 2 << 3 | WIRE_BYTES;
	bytes[5 + key] = (uint8_t)value;
	memcpy(bytes + 6 + key, number, value);
	struct slice with = kept(c, bytes, 6 + key + value);
	uint32_t at = mark.whole.len != 0 ? offset_in(c, mark.whole) : span->end;
	note(c, MARKS, (struct otlp_change){span->start, at, (uint32_t)mark.whole.len, with});
}

/* ---- entity refs ---- */

static struct slice first_text(struct slice message, uint32_t number)
{
	struct field f;
	while (field_next(&message, &f))
		if (field_is(&f, number))
			return f.value;
	return slice_of("", 0);
}

/* Whether an attribute of the resource with this key was dropped. */
static bool is_gone(const struct changes *c, const struct owner *o, struct slice key,
		    uint32_t *patience)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const struct otlp_change *change = &c->list[i].c;
		struct slice rest = slice_of(c->body->data + change->at, change->drop);
		struct field f;
		if (change->within != o->start || !field_next(&rest, &f) ||
		    !field_is(&f, RESOURCE_ATTRIBUTES))
			continue;
		if (*patience == 0 || slice_equal(first_text(f.value, 1), key))
			return true;
		--*patience;
	}
	return false;
}

/* An entity is nothing without the attributes that it names: its ref goes with them. Where there
 * are very many to compare, it goes in any case. */
static void drop_refs(struct changes *c, const struct owner *o)
{
	enum { ENTITY_REFS = 3, ID_KEYS = 3, DESCRIPTION_KEYS = 4, PATIENCE = 1 << 16 };
	uint32_t patience = PATIENCE;
	struct slice rest = payload_of(c, o);
	struct field ref, key;
	while (field_next(&rest, &ref)) {
		bool is_broken = false;
		if (!field_is(&ref, ENTITY_REFS))
			continue;
		for (struct slice keys = ref.value; !is_broken && field_next(&keys, &key);)
			if (field_is(&key, ID_KEYS) || field_is(&key, DESCRIPTION_KEYS))
				is_broken = is_gone(c, o, key.value, &patience);
		if (is_broken)
			note(c, REMOVES,
			     (struct otlp_change){o->start, offset_in(c, ref.whole),
						  (uint32_t)ref.whole.len, slice_of("", 0)});
	}
}

static uint64_t settle_owners(struct changes *c)
{
	bool marks = ruleset_masking(c->set)->counts;
	uint64_t spans = 0;
	for (uint32_t i = 1; i < c->h->n_owners && !c->failed; i++) {
		const struct owner *o = &c->h->owners[i];
		const struct owner_note *n = &c->notes[i];
		if (n->dropped != 0 && o->has_refs)
			drop_refs(c, o);
		if (n->dropped != 0)
			raise_count(c, o, n->dropped);
		spans += n->changed;
		if (marks && n->masked != 0)
			write_mark(c, o, slice_str("redaction.masked.count"), n->masked);
		if (marks && n->redacted != 0)
			write_mark(c, o, slice_str("redaction.redacted.count"), n->redacted);
	}
	return spans;
}

/* ---- the rewriting ---- */

/* Chooses the changes up to a purpose; what is to be masked beyond that becomes stars. */
static uint32_t choose(struct changes *c, enum purpose most)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct change *change = &c->list[i];
		uint8_t *bytes = c->body->data + change->c.at;
		if (change->purpose <= most)
			c->chosen[n++] = change->c;
		else if (change->purpose == HIDES)
			memset(bytes, '*', change->c.drop);
		else if (change->purpose == REPLACES)
			number_in_place(bytes, change->c.drop);
	}
	otlp_changes_sort(c->chosen, n);
	return n;
}

static int write_body(struct changes *c)
{
	uint8_t *bytes = malloc(c->rewrite.size + 1);
	if (bytes == NULL)
		return fail(-ENOMEM, "redaction: no memory for %zu bytes", c->rewrite.size);
	otlp_rewrite_write(&c->rewrite, buf_slice(c->body), bytes);
	free(c->body->data);
	c->body->data = bytes;
	c->body->len = c->rewrite.size;
	c->body->cap = c->rewrite.size + 1;
	return 0;
}

static int rewrite(struct changes *c, size_t max_bytes)
{
	static const enum purpose TRIES[] = {MARKS, REPLACES, RAISES, REMOVES};
	if (c->n > c->cap_chosen) {
		free(c->chosen);
		c->cap_chosen = 0;
		c->chosen = calloc(c->n, sizeof(*c->chosen));
		if (c->chosen == NULL)
			return fail(-ENOMEM, "redaction: no memory for %u changes", c->n);
		c->cap_chosen = c->n;
	}
	for (size_t i = 0; i < sizeof(TRIES) / sizeof(TRIES[0]); i++) {
		uint32_t n = choose(c, TRIES[i]);
		int rc = otlp_rewrite_plan(&c->rewrite, buf_slice(c->body), c->chosen, n);
		if (rc < 0)
			return rc;
		if (rc == REWRITE_LOST) /* the harvest and the rewriting disagree: our mistake */
			return fail(-EINVAL, "redaction: a change has no place");
		if (c->rewrite.size <= max_bytes || TRIES[i] == REMOVES)
			break;
	}
	return write_body(c);
}

int changes_apply(struct changes *c, size_t max_bytes, uint64_t *spans)
{
	int rc = 0;
	if (!c->failed)
		*spans = settle_owners(c);
	if (c->failed)
		rc = fail(-ENOMEM, "redaction: no memory for changes");
	else if (c->n != 0)
		rc = rewrite(c, max_bytes);
	arena_finish(&c->arena);
	return rc;
}

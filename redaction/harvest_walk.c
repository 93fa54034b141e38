/* SPDX-License-Identifier: Apache-2.0
 * A table says what is in each message; a stack of frames replaces recursion, as in
 * wire/otlp_index.c. Most of a span are attributes of one shape, and those never get a frame. */
#include "redaction/harvest_walk.h"

#include <assert.h>

#include "wire/otlp_walk.h"

enum message {
	REQUEST,
	RESOURCE_SPANS,
	RESOURCE,
	SCOPE_SPANS,
	SCOPE,
	SPAN,
	EVENT,
	LINK,
	STATUS,
	ATTRIBUTE, /* of a message with a count of dropped ones */
	KEY_VALUE, /* of a kvlist */
	VALUE,
	ARRAY,
	KVLIST,
	ENTITY,
	MESSAGES
};

enum kind { UNKNOWN, KEEP, TEXT, NAME /* a text that keeps its length */, BYTES, NUMBER, WITHIN };

struct known {
	uint8_t kind, what; /* TEXT: enum position; WITHIN: enum message */
};

enum { MAX_FIELD = 16, KEY_TAG = 1 << 3 | WIRE_BYTES, VALUE_TAG = 2 << 3 | WIRE_BYTES };
enum { STRING_TAG = 1 << 3 | WIRE_BYTES, INT_TAG = 3 << 3 | WIRE_VARINT };

/* Without KeyValue.key_strindex and AnyValue.string_value_strindex: those are of profiles, and a
 * trace's receiver is to take them for absent. */
static const struct known KNOWN[MESSAGES][MAX_FIELD + 1] = {
    [REQUEST] = {[1] = {WITHIN, RESOURCE_SPANS}},
    [RESOURCE_SPANS] = {[1] = {WITHIN, RESOURCE},
			[2] = {WITHIN, SCOPE_SPANS},
			[3] = {TEXT, POSITION_RESOURCE_SCHEMA_URL}},
    [RESOURCE] = {[1] = {WITHIN, ATTRIBUTE}, [2] = {KEEP, 0}, [3] = {WITHIN, ENTITY}},
    [SCOPE_SPANS] =
	{[1] = {WITHIN, SCOPE}, [2] = {WITHIN, SPAN}, [3] = {TEXT, POSITION_SCOPE_SCHEMA_URL}},
    [SCOPE] = {[1] = {TEXT, POSITION_SCOPE_NAME},
	       [2] = {TEXT, POSITION_SCOPE_VERSION},
	       [3] = {WITHIN, ATTRIBUTE},
	       [4] = {KEEP, 0}},
    [SPAN] = {[1] = {KEEP, 0},
	      [2] = {KEEP, 0},
	      [3] = {TEXT, POSITION_TRACE_STATE},
	      [4] = {KEEP, 0},
	      [5] = {TEXT, POSITION_SPAN_NAME},
	      [6] = {KEEP, 0},
	      [7] = {KEEP, 0},
	      [8] = {KEEP, 0},
	      [9] = {WITHIN, ATTRIBUTE},
	      [10] = {KEEP, 0},
	      [11] = {WITHIN, EVENT},
	      [12] = {KEEP, 0},
	      [13] = {WITHIN, LINK},
	      [14] = {KEEP, 0},
	      [15] = {WITHIN, STATUS},
	      [16] = {KEEP, 0}},
    [EVENT] = {[1] = {KEEP, 0},
	       [2] = {TEXT, POSITION_EVENT_NAME},
	       [3] = {WITHIN, ATTRIBUTE},
	       [4] = {KEEP, 0}},
    [LINK] = {[1] = {KEEP, 0},
	      [2] = {KEEP, 0},
	      [3] = {TEXT, POSITION_LINK_TRACE_STATE},
	      [4] = {WITHIN, ATTRIBUTE},
	      [5] = {KEEP, 0},
	      [6] = {KEEP, 0}},
    [STATUS] = {[2] = {TEXT, POSITION_STATUS_MESSAGE}, [3] = {KEEP, 0}},
    [ATTRIBUTE] = {[1] = {NAME, POSITION_KEY}, [2] = {WITHIN, VALUE}},
    [KEY_VALUE] = {[1] = {NAME, POSITION_KEY}, [2] = {WITHIN, VALUE}},
    [VALUE] = {[1] = {TEXT, 0},
	       [2] = {NUMBER, 0},
	       [3] = {NUMBER, 0},
	       [4] = {NUMBER, 0},
	       [5] = {WITHIN, ARRAY},
	       [6] = {WITHIN, KVLIST},
	       [7] = {BYTES, 0}},
    [ARRAY] = {[1] = {WITHIN, VALUE}},
    [KVLIST] = {[1] = {WITHIN, KEY_VALUE}},
    [ENTITY] = {[1] = {TEXT, POSITION_ENTITY_REF},
		[2] = {TEXT, POSITION_ENTITY_REF},
		[3] = {NAME, POSITION_ENTITY_REF},
		[4] = {NAME, POSITION_ENTITY_REF}},
};

/* Messages that have attributes: their tag there, where they stand, and the field that counts those
 * that are gone. */
static const struct {
	uint8_t tag, position, count_field;
} OWNERS[MESSAGES] = {
    [RESOURCE] = {1 << 3 | WIRE_BYTES, POSITION_RESOURCE_ATTRIBUTE, 2},
    [SCOPE] = {SCOPE_ATTRIBUTES << 3 | WIRE_BYTES, POSITION_SCOPE_ATTRIBUTE, 4},
    [SPAN] = {SPAN_ATTRIBUTES << 3 | WIRE_BYTES, POSITION_SPAN_ATTRIBUTE, 10},
    [EVENT] = {EVENT_ATTRIBUTES << 3 | WIRE_BYTES, POSITION_EVENT_ATTRIBUTE, 4},
    [LINK] = {LINK_ATTRIBUTES << 3 | WIRE_BYTES, POSITION_LINK_ATTRIBUTE, 5},
};

static uint32_t offset_of(const struct harvest *h, const uint8_t *p)
{
	return (uint32_t)(p - h->base);
}

static enum harvest_mode mode_under(enum harvest_mode outer, const struct key_verdict *key)
{
	if (outer != HARVEST_LOOK)
		return outer;
	if (key->ignored)
		return HARVEST_SKIP;
	return key->blocked ? HARVEST_BLOCK : HARVEST_LOOK;
}

/* ---- attributes ---- */

/* Not in keys.allow_only. */
static void cut_attribute(struct harvest *h, const struct harvest_frame *owner,
			  const uint8_t *start, const uint8_t *end)
{
	harvest_cut(h, &(struct cut){.within = owner->start,
				     .at = offset_of(h, start),
				     .len = (uint32_t)(end - start),
				     .owner = owner->owner,
				     .position = owner->position,
				     .is_attribute = true});
}

/* An attribute of the shape that nearly all have: its value, `v` to `end`, may be anything whose
 * length takes a byte. False: it needs a frame. */
static inline bool plain_value(struct harvest *h, struct harvest_frame *f, const uint8_t *v,
			       const uint8_t *end)
{
	size_t len = (size_t)(end - v);
	if (len < 2)
		return len == 0;
	switch (v[0]) {
	case STRING_TAG:
		if (v[1] != len - 2)
			return false;
		harvest_string(h, f, slice_of(v + 2, len - 2), HARVESTED_TEXT, f->position);
		return true;
	case INT_TAG:
		for (size_t i = 1; i + 1 < len; i++)
			if (v[i] < 0x80)
				return false;
		if (v[len - 1] >= 0x80)
			return false;
		harvest_number(h, f, slice_of(v, len));
		return true;
	default:
		return false;
	}
}

/* Steps over a row of plain attributes: tag n 0a key-length key 12 value-length value. */
static inline void plain_attributes(struct harvest *h, struct harvest_frame *owner)
{
	const uint8_t tag = OWNERS[owner->message].tag;
	struct harvest_frame f = *owner;
	const uint8_t *p = owner->p, *end = owner->end;
	while (end - p >= 6 && p[0] == tag && p[1] < 0x80 && p[2] == KEY_TAG) {
		size_t n = p[1], key = p[3];
		if (n + 2 > (size_t)(end - p) || key + 4 > n || p[4 + key] != VALUE_TAG ||
		    p[5 + key] != n - 4 - key)
			break;
		const uint8_t *next = p + 2 + n;
		f.key = scanner_key(h->scanner, slice_of(p + 4, key));
		f.mode = (uint8_t)mode_under(HARVEST_LOOK, f.key);
		f.attribute = offset_of(h, p);
		f.start = offset_of(h, p + 6 + key);
		bool is_taken = f.key->unlisted || plain_value(h, &f, p + 6 + key, next);
		if (!is_taken)
			break;
		if (f.key->unlisted)
			cut_attribute(h, owner, p, next);
		else if (!f.key->clean)
			harvest_string(h, &f, slice_of(p + 4, key), HARVESTED_KEY, POSITION_KEY);
		p = next;
	}
	owner->p = p;
}

/* ---- frames ---- */

/* The last one counts, as for protobuf. */
static struct slice key_of(struct slice attribute)
{
	struct slice key = slice_of("", 0);
	struct field f;
	while (field_next(&attribute, &f))
		if (field_is(&f, 1))
			key = f.value;
	return key;
}

static bool enter_owner(struct harvest *h, struct harvest_frame *f)
{
	struct owner owner = {.start = f->start,
			      .end = offset_of(h, f->end),
			      .count_field = OWNERS[f->message].count_field};
	f->owner = h->n_owners;
	f->position = OWNERS[f->message].position;
	if (f->message == SPAN)
		f->span = f->owner;
	owner.span = f->span;
	return harvest_owner(h, owner);
}

/* Whether the field's content is to be walked over: `f` is its frame then. */
static bool enter(struct harvest *h, const struct harvest_frame *parent, enum message message,
		  const struct field *field, struct harvest_frame *f)
{
	const uint8_t *end = field->value.data + field->value.len;
	*f = *parent;
	f->p = field->value.data;
	f->end = end;
	f->start = offset_of(h, f->p);
	f->message = (uint8_t)message;
	if (OWNERS[message].tag != 0)
		return enter_owner(h, f);
	if (message == ENTITY)
		h->owners[f->owner].has_refs = true;
	if (message != ATTRIBUTE && message != KEY_VALUE)
		return true;
	f->key = scanner_key(h->scanner, key_of(field->value));
	f->mode = (uint8_t)mode_under((enum harvest_mode)parent->mode, f->key);
	if (message == KEY_VALUE)
		return true;
	f->attribute = offset_of(h, field->whole.data);
	if (f->key->unlisted)
		cut_attribute(h, parent, field->whole.data, end);
	return !f->key->unlisted;
}

static void cut_field(struct harvest *h, const struct harvest_frame *f, struct slice whole)
{
	h->unknown_fields++;
	harvest_cut(h, &(struct cut){.within = f->start,
				     .at = offset_of(h, whole.data),
				     .len = (uint32_t)whole.len,
				     .owner = f->owner});
}

/* Envelopes have fields of their own besides those with attributes, but no owner. */
static void text_field(struct harvest *h, const struct harvest_frame *f, struct known known,
		       struct slice text)
{
	struct harvest_frame plain = *f;
	if (f->message == VALUE) {
		harvest_string(h, f, text, known.kind == BYTES ? HARVESTED_BYTES : HARVESTED_TEXT,
			       f->position);
		return;
	}
	if (known.kind == NAME) {
		if (f->message == ENTITY || !f->key->clean)
			harvest_string(h, f, text, HARVESTED_KEY, (enum position)known.what);
		return;
	}
	plain.key = NULL;
	plain.mode = HARVEST_LOOK;
	harvest_string(h, &plain, text, HARVESTED_TEXT, (enum position)known.what);
}

/* One field of the top frame; *top rises where it is walked into. */
static void one_field(struct harvest *h, uint32_t *top)
{
	struct harvest_frame *f = &h->frames[*top];
	struct slice rest = slice_of(f->p, (size_t)(f->end - f->p));
	struct known known = {UNKNOWN, 0};
	struct field field;
	if (!field_next(&rest, &field)) {
		f->p = f->end; /* the index lets nothing pass that ends here */
		return;
	}
	f->p = rest.data;
	if (field.number <= MAX_FIELD)
		known = KNOWN[f->message][field.number];
	switch ((enum kind)known.kind) {
	case KEEP:
		break;
	case TEXT:
	case NAME:
	case BYTES:
		text_field(h, f, known, field.value);
		break;
	case NUMBER:
		harvest_number(h, f, field.whole);
		break;
	case WITHIN:
		assert(*top + 1 < HARVEST_FRAMES);
		if (enter(h, f, (enum message)known.what, &field, f + 1))
			++*top;
		break;
	default:
		cut_field(h, f, field.whole);
		break;
	}
}

void harvest_walk(struct harvest *h, struct slice request)
{
	uint32_t top = 0;
	h->base = request.data;
	h->frames[0] = (struct harvest_frame){.p = request.data,
					      .end = request.data + request.len,
					      .span = NO_SPAN,
					      .message = REQUEST};
	while (!h->failed) {
		struct harvest_frame *f = &h->frames[top];
		if (f->p != f->end && *f->p == OWNERS[f->message].tag)
			plain_attributes(h, f);
		if (f->p != f->end)
			one_field(h, &top);
		else if (top-- == 0)
			break;
	}
}

/* SPDX-License-Identifier: Apache-2.0
 * A table says what is in each message; a stack of frames replaces recursion, as in
 * wire/otlp_index.c. Most of a span are attributes of one shape, which never get a frame
 * (redaction/harvest_row.c). */
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

enum { MAX_FIELD = 16 };

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

/* ---- what is kept ---- */

/* Steps over a row of ids, times and numbers that no text can be taken from. */
static inline void kept_fields(struct harvest_frame *f)
{
	enum { LONGEST_VARINT = 10, FLAGS_TAG = 0x0185 /* of a span: a tag of two bytes */ };
	const struct known *known = KNOWN[f->message];
	const uint8_t *p = f->p;
	while (f->end - p > LONGEST_VARINT) {
		size_t i = 1;
		if (f->message == SPAN && p[0] == (FLAGS_TAG & 0xff) && p[1] == FLAGS_TAG >> 8) {
			p += 6;
			continue;
		}
		if (p[0] >= 0x80 || known[p[0] >> 3].kind != KEEP)
			break;
		switch (p[0] & 7) {
		case WIRE_VARINT:
			while (i <= LONGEST_VARINT && p[i] >= 0x80)
				i++;
			i++;
			break;
		case WIRE_FIXED64:
			i += 8;
			break;
		case WIRE_BYTES:
			i += 1u + p[1];
			break;
		default:
			i += 4;
			break;
		}
		if ((p[0] & 7) == WIRE_BYTES && (p[1] >= 0x80 || i > (size_t)(f->end - p)))
			break;
		p += i;
	}
	f->p = p;
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
	struct owner *owner = harvest_owner(h);
	if (owner == NULL)
		return false;
	f->owner = h->n_owners - 1;
	f->position = OWNERS[f->message].position;
	if (f->message == SPAN)
		f->span = f->owner;
	owner->start = f->start;
	owner->end = harvest_offset(h, f->end);
	owner->span = f->span;
	owner->count_field = OWNERS[f->message].count_field;
	owner->has_refs = false;
	return true;
}

/* Whether the field's content is to be walked over: `f` is its frame then. */
static bool enter(struct harvest *h, const struct harvest_frame *parent, enum message message,
		  const struct field *field, struct harvest_frame *f)
{
	const uint8_t *end = field->value.data + field->value.len;
	f->p = field->value.data;
	f->end = end;
	f->key = parent->key;
	f->start = harvest_offset(h, f->p);
	f->attribute = parent->attribute;
	f->owner = parent->owner;
	f->span = parent->span;
	f->position = parent->position;
	f->mode = parent->mode;
	f->message = (uint8_t)message;
	if (OWNERS[message].tag != 0)
		return enter_owner(h, f);
	if (message == ENTITY)
		h->owners[f->owner].has_refs = true;
	if (message != ATTRIBUTE && message != KEY_VALUE)
		return true;
	f->key = scanner_key(h->scanner, key_of(field->value));
	f->mode = (uint8_t)harvest_mode_under((enum harvest_mode)parent->mode, f->key);
	if (message == KEY_VALUE)
		return true;
	f->attribute = harvest_offset(h, field->whole.data);
	if (f->key->unlisted)
		harvest_cut_attribute(h, parent, field->whole.data, end);
	return !f->key->unlisted;
}

static void cut_field(struct harvest *h, const struct harvest_frame *f, struct slice whole)
{
	h->unknown_fields++;
	harvest_cut(h, &(struct cut){.within = f->start,
				     .at = harvest_offset(h, whole.data),
				     .len = (uint32_t)whole.len,
				     .owner = f->owner});
}

/* Envelopes have fields of their own besides those with attributes, but no owner. */
static void text_field(struct harvest *h, const struct harvest_frame *f, struct known known,
		       struct slice text)
{
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
	harvest_keyless(h, f, text, (enum position)known.what);
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
	h->end = request.data + request.len;
	h->frames[0] = (struct harvest_frame){.p = request.data,
					      .end = request.data + request.len,
					      .span = NO_SPAN,
					      .message = REQUEST};
	while (!h->failed) {
		struct harvest_frame *f = &h->frames[top];
		kept_fields(f);
		if (f->p != f->end && *f->p == OWNERS[f->message].tag)
			harvest_row(h, f, OWNERS[f->message].tag);
		if (f->p != f->end)
			one_field(h, &top);
		else if (top-- == 0)
			break;
	}
}

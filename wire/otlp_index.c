/* SPDX-License-Identifier: Apache-2.0
 * A table says what each message holds; a stack of frames replaces recursion. An edit changes the
 * length of every message around it: each open frame then gets an edit of its own length, in its
 * place in the list, whose bytes are filled in when the frame ends. */
#include "wire/otlp_index.h"

#include <assert.h>

#include "wire/utf8.h"

const char *const INDEX_REASONS[] = {
    [INDEX_OK] = "ok",
    [INDEX_MALFORMED] = "not a valid OTLP protobuf message",
    [INDEX_ID] = "trace_id must be 16 bytes, span_id 8 bytes, and neither all zero",
    [INDEX_DEPTH] = "attribute values are nested too deep",
    [INDEX_COUNT] = "too many spans, attributes, events or links",
    [INDEX_LENGTH] = "an attribute key or value is too long",
    [INDEX_DUPLICATE] = "a field that may stand once stands twice",
    [INDEX_COST] = "the request would take far more memory than it has bytes",
    [INDEX_NO_MEMORY] = "the request needs too many repairs",
};

const struct index_limits INDEX_LIMITS = {
    .spans = 65536,
    .attributes = 1024, /* eight times the SDKs' default */
    .events = 1024,
    .links = 1024,
    .depth = 30, /* protobuf libraries stop at 100 messages: 47 values; some before (A14) */
    .key_bytes = 1024,
    .value_bytes = 1 << 20, /* SDKs do not cut values by default: stack traces and statements */
};

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
	ATTRIBUTE,
	VALUE,
	ARRAY,
	KVLIST,
	ENTITY,
	MESSAGES
};

enum kind {
	UNKNOWN,
	VARINT,
	FIXED64,
	FIXED32,
	BYTES,
	STRING,
	KEY,
	TRACE_ID,
	SPAN_ID,
	PARENT_ID,
	LINK_TRACE_ID,
	LINK_SPAN_ID,
	SINGLE,
	REPEATED
};

struct field {
	uint8_t kind;    /* enum kind */
	uint8_t message; /* enum message, of SINGLE and REPEATED */
};

enum { MAX_FIELD = 16, OLD_SCOPE_SPANS = 1000, SHORT_VARINT = 5 };

static const struct field FIELDS[MESSAGES][MAX_FIELD + 1] = {
    [REQUEST] = {[1] = {REPEATED, RESOURCE_SPANS}},
    [RESOURCE_SPANS] = {[1] = {SINGLE, RESOURCE}, [2] = {REPEATED, SCOPE_SPANS}, [3] = {STRING, 0}},
    [RESOURCE] = {[1] = {REPEATED, ATTRIBUTE}, [2] = {VARINT, 0}, [3] = {REPEATED, ENTITY}},
    [SCOPE_SPANS] = {[1] = {SINGLE, SCOPE}, [2] = {REPEATED, SPAN}, [3] = {STRING, 0}},
    [SCOPE] =
	{[1] = {STRING, 0}, [2] = {STRING, 0}, [3] = {REPEATED, ATTRIBUTE}, [4] = {VARINT, 0}},
    [SPAN] = {[1] = {TRACE_ID, 0},
	      [2] = {SPAN_ID, 0},
	      [3] = {STRING, 0},
	      [4] = {PARENT_ID, 0},
	      [5] = {STRING, 0},
	      [6] = {VARINT, 0},
	      [7] = {FIXED64, 0},
	      [8] = {FIXED64, 0},
	      [9] = {REPEATED, ATTRIBUTE},
	      [10] = {VARINT, 0},
	      [11] = {REPEATED, EVENT},
	      [12] = {VARINT, 0},
	      [13] = {REPEATED, LINK},
	      [14] = {VARINT, 0},
	      [15] = {SINGLE, STATUS},
	      [16] = {FIXED32, 0}},
    [EVENT] =
	{[1] = {FIXED64, 0}, [2] = {STRING, 0}, [3] = {REPEATED, ATTRIBUTE}, [4] = {VARINT, 0}},
    [LINK] = {[1] = {LINK_TRACE_ID, 0},
	      [2] = {LINK_SPAN_ID, 0},
	      [3] = {STRING, 0},
	      [4] = {REPEATED, ATTRIBUTE},
	      [5] = {VARINT, 0},
	      [6] = {FIXED32, 0}},
    [STATUS] = {[2] = {STRING, 0}, [3] = {VARINT, 0}},
    [ATTRIBUTE] = {[1] = {KEY, 0}, [2] = {SINGLE, VALUE}, [3] = {VARINT, 0}},
    [VALUE] = {[1] = {STRING, 0},
	       [2] = {VARINT, 0},
	       [3] = {VARINT, 0},
	       [4] = {FIXED64, 0},
	       [5] = {SINGLE, ARRAY},
	       [6] = {SINGLE, KVLIST},
	       [7] = {BYTES, 0},
	       [8] = {VARINT, 0}},
    [ARRAY] = {[1] = {REPEATED, VALUE}},
    [KVLIST] = {[1] = {REPEATED, ATTRIBUTE}},
    [ENTITY] = {[1] = {STRING, 0}, [2] = {STRING, 0}, [3] = {STRING, 0}, [4] = {STRING, 0}},
};

/* Heap bytes that a message-tree decoder takes for one of each, measured with protobuf-c. */
static const uint16_t COST[MESSAGES] = {
    [RESOURCE_SPANS] = 106, [RESOURCE] = 80, [SCOPE_SPANS] = 106, [SCOPE] = 100,     [SPAN] = 250,
    [EVENT] = 122,          [LINK] = 138,    [STATUS] = 64,       [ATTRIBUTE] = 106, [VALUE] = 80,
    [ARRAY] = 64,           [KVLIST] = 64,   [ENTITY] = 120,
};
enum { COST_UNKNOWN = 60, COST_STRING = 16, COST_PER_BYTE = 8, COST_FREE = 1 << 20 };

struct frame {
	const uint8_t *end;
	uint32_t tag_at, length_at, start; /* offsets of its tag, its length, its first byte */
	uint8_t message;
	uint8_t seen;    /* SINGLE fields so far: bit n is field n, of 1 to 6; 7 is Status */
	bool renumbered; /* SCOPE_SPANS: it was field 1000 */
	bool has_trace_id, has_span_id; /* SPAN */
	uint8_t why;                    /* SPAN: enum index_verdict, why it is to be rejected */
	uint32_t attributes, events, links;
	uint32_t spans;           /* envelopes: good spans within */
	uint32_t repaired;        /* SPAN: the walk's count when it began */
	int64_t delta;            /* what the edits within add to its length */
	struct edit *length_edit; /* NULL: nothing within was edited */
	struct edit *before;      /* the last edit when it began, NULL: none */
};

/* Request, envelopes, span, event, attribute, value; then three frames a nested kvlist. */
enum {
	FIXED_FRAMES = 8,
	FRAMES_PER_DEPTH = 3,
	MAX_DEPTH = 32,
	MAX_FRAMES = FIXED_FRAMES + FRAMES_PER_DEPTH * MAX_DEPTH
};

struct walk {
	struct otlp_index *ix;
	const struct index_limits *limits;
	struct arena *arena;
	const uint8_t *base, *p;
	struct edit *last_edit;
	uint64_t cost, cost_limit;
	uint32_t all_spans, depth, top;
	struct frame stack[MAX_FRAMES];
};

static uint32_t offset_of(const struct walk *w, const uint8_t *p)
{
	return (uint32_t)(p - w->base);
}

static struct frame *top(struct walk *w)
{
	return &w->stack[w->top];
}

static unsigned varint_write(uint8_t *out, uint64_t v)
{
	unsigned n = 0;
	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

/* At most ten bytes, all before `end`. Tags and lengths are 32 bits: SHORT_VARINT bytes, as strict
 * decoders see it. */
static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
	const uint8_t *p = *at;
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (p == end)
			return false;
		uint8_t c = *p++;
		v |= (uint64_t)(c & 0x7f) << (shift < 64 ? shift : 63);
		if (c < 0x80) {
			*at = p;
			*out = v;
			return true;
		}
	}
	return false;
}

/* ---- edits ---- */

static struct edit *append_edit(struct walk *w, uint32_t offset, uint32_t drop, struct slice with)
{
	struct edit *e = arena_alloc(w->arena, sizeof(*e));
	if (e == NULL)
		return NULL;
	*e = (struct edit){NULL, offset, drop, with};
	if (w->last_edit != NULL)
		w->last_edit->next = e;
	else
		w->ix->edits = e;
	w->last_edit = e;
	return e;
}

/* Every frame around an edit changes its length: the root has none to change. */
static bool open_length_edits(struct walk *w)
{
	for (uint32_t i = 1; i <= w->top; i++) {
		struct frame *f = &w->stack[i];
		if (f->length_edit != NULL)
			continue;
		f->length_edit =
		    append_edit(w, f->length_at, f->start - f->length_at, slice_of("", 0));
		if (f->length_edit == NULL)
			return false;
	}
	return true;
}

static enum index_verdict add_edit(struct walk *w, uint32_t offset, uint32_t drop,
				   struct slice with)
{
	if (!open_length_edits(w) || append_edit(w, offset, drop, with) == NULL)
		return INDEX_NO_MEMORY;
	top(w)->delta += (int64_t)with.len - (int64_t)drop;
	return INDEX_OK;
}

static enum index_verdict close_length_edit(struct walk *w, struct frame *f)
{
	uint64_t len = (uint64_t)((int64_t)(f->end - w->base) - f->start + f->delta);
	uint8_t *bytes = arena_alloc(w->arena, 10);
	if (bytes == NULL)
		return INDEX_NO_MEMORY;
	unsigned n = varint_write(bytes, len);
	f->length_edit->with = slice_of(bytes, n);
	top(w)->delta += f->delta + (int64_t)n - (int64_t)f->length_edit->drop;
	return INDEX_OK;
}

/* Takes the whole field of the frame just popped out of the request, and with it what was edited in
 * it. Edits of the frames around it that were opened by those stay. */
static enum index_verdict remove_frame(struct walk *w, struct frame *f)
{
	struct edit *e = f->before;
	struct edit *next = e != NULL ? e->next : w->ix->edits;
	while (next != NULL && next->offset < f->tag_at) {
		e = next;
		next = e->next;
	}
	if (e != NULL)
		e->next = NULL;
	else
		w->ix->edits = NULL;
	w->last_edit = e;
	uint32_t len = offset_of(w, f->end) - f->tag_at;
	if (e == NULL || e->with.data != NULL || e->offset + e->drop != f->tag_at)
		return add_edit(w, f->tag_at, len, slice_of(NULL, 0));
	e->drop += len; /* the neighbour went as well: a flood of them needs no flood of edits */
	top(w)->delta -= len;
	return INDEX_OK;
}

/* A string with its length varint at length_at, not UTF-8: both are written anew. */
static enum index_verdict repair(struct walk *w, uint32_t length_at, struct slice s)
{
	size_t len = utf8_repaired_len(s);
	uint8_t *bytes = arena_alloc(w->arena, len + 10);
	if (bytes == NULL)
		return INDEX_NO_MEMORY;
	unsigned n = varint_write(bytes, len);
	utf8_repair(s, bytes + n);
	w->ix->repaired++;
	uint32_t drop = offset_of(w, s.data) + (uint32_t)s.len - length_at;
	return add_edit(w, length_at, drop, slice_of(bytes, n + len));
}

/* ---- faults ---- */

/* What fault() gives when it has dealt with the fault; otlp_index() goes on. */
static const enum index_verdict SPAN_SKIPPED = (enum index_verdict) - 1;

/* A fault within a span costs that span: the walk goes on behind it. Anywhere else, the request. */
static enum index_verdict fault(struct walk *w, enum index_verdict why)
{
	for (uint32_t i = w->top; i > 0; i--) {
		if (w->stack[i].message != SPAN)
			continue;
		w->top = i;
		w->depth = 0;
		w->stack[i].why = (uint8_t)why;
		w->p = w->stack[i].end;
		return SPAN_SKIPPED;
	}
	return why;
}

static bool is_zero(struct slice s)
{
	uint8_t any = 0;
	for (size_t i = 0; i < s.len; i++)
		any |= s.data[i];
	return any == 0;
}

/* ---- frames ---- */

static enum index_verdict count_child(struct walk *w, struct frame *parent, enum message child)
{
	bool over = false;
	switch (child) {
	case SPAN:
		return ++w->all_spans > w->limits->spans ? INDEX_COUNT : INDEX_OK;
	case EVENT:
		over = ++parent->events > w->limits->events;
		break;
	case LINK:
		over = ++parent->links > w->limits->links;
		break;
	case ATTRIBUTE:
	case VALUE: /* of an array; an attribute's own value is counted by `seen` */
	case ENTITY:
		over = ++parent->attributes > w->limits->attributes;
		break;
	default:
		break;
	}
	return over ? fault(w, INDEX_COUNT) : INDEX_OK;
}

/* Begins the message at w->p, whose length ends at `end`. */
static enum index_verdict push(struct walk *w, enum message message, uint32_t tag_at,
			       uint32_t length_at, const uint8_t *end)
{
	if (message == VALUE && ++w->depth > w->limits->depth)
		return fault(w, INDEX_DEPTH);
	w->cost += COST[message];
	if (w->cost > w->cost_limit)
		return INDEX_COST;
	assert(w->top + 1 < MAX_FRAMES);
	struct frame *f = &w->stack[++w->top];
	*f = (struct frame){.end = end,
			    .tag_at = tag_at,
			    .length_at = length_at,
			    .start = offset_of(w, w->p),
			    .message = (uint8_t)message,
			    .repaired = w->ix->repaired,
			    .before = w->last_edit};
	return INDEX_OK;
}

static enum index_verdict pop_span(struct walk *w, struct frame *f)
{
	if (f->why == INDEX_OK && !(f->has_trace_id && f->has_span_id))
		f->why = INDEX_ID;
	if (f->why == INDEX_OK) {
		w->ix->spans++;
		top(w)->spans++;
		return f->length_edit != NULL ? close_length_edit(w, f) : INDEX_OK;
	}
	if (w->ix->rejected++ == 0)
		w->ix->why = (enum index_verdict)f->why;
	w->ix->repaired = f->repaired;
	return remove_frame(w, f);
}

static enum index_verdict pop(struct walk *w)
{
	struct frame *f = &w->stack[w->top--];
	if (f->message == SPAN)
		return pop_span(w, f);
	if (f->message == VALUE)
		w->depth--;
	if (f->message == RESOURCE_SPANS || f->message == SCOPE_SPANS) {
		top(w)->spans += f->spans;
		if (f->spans == 0 && !f->renumbered)
			return remove_frame(w, f);
	}
	return f->length_edit != NULL ? close_length_edit(w, f) : INDEX_OK;
}

/* ---- fields ---- */

/* The shape that nearly every attribute has: all lengths below 128, ASCII, one scalar value. Then
 * all bytes but those of a number are ASCII too, and one look at them does for key and string. */
static bool is_plain_attribute(const uint8_t *p, size_t len)
{
	if (len < 4 || p[0] != 0x0a || p[1] > len - 4)
		return false;
	size_t key = p[1];
	const uint8_t *v = p + 2 + key;
	size_t value_len = len - 4 - key;
	if (key >= 0x80 || v[0] != 0x12 || v[1] != value_len || value_len >= 0x80 || value_len < 2)
		return false;
	switch (v[2]) {
	case 0x0a: /* string */
		return v[3] == value_len - 2 && utf8_is_ascii(slice_of(p, len));
	case 0x10: /* bool */
		return value_len == 2 && v[3] < 0x80 && utf8_is_ascii(slice_of(p, key + 2));
	case 0x21: /* double */
		return value_len == 9 && utf8_is_ascii(slice_of(p, key + 2));
	case 0x18: { /* int */
		const uint8_t *at = v + 3;
		uint64_t n;
		return read_varint(&at, p + len, &n) && at == p + len &&
		       utf8_is_ascii(slice_of(p, key + 2));
	}
	default:
		return false;
	}
}

/* Keys that only the relay writes: whoever does looks for them again. */
static bool is_reserved(const uint8_t *key, size_t len)
{
	static const char OURS[] = "spanrelay.";
	return len >= sizeof(OURS) - 1 && *key == 's' && memcmp(key, OURS, sizeof(OURS) - 1) == 0;
}

static enum index_verdict string(struct walk *w, enum kind kind, uint32_t length_at, struct slice s)
{
	uint32_t limit = kind == KEY ? w->limits->key_bytes : w->limits->value_bytes;
	w->cost += COST_STRING + s.len;
	w->ix->reserved += kind == KEY && is_reserved(s.data, s.len);
	if (s.len > limit)
		return fault(w, INDEX_LENGTH);
	if (kind == BYTES || utf8_is_valid(s))
		return INDEX_OK;
	return repair(w, length_at, s);
}

static enum index_verdict id(struct walk *w, enum kind kind, struct slice s)
{
	struct frame *f = top(w);
	bool good = false;
	switch (kind) {
	case TRACE_ID:
		good = f->has_trace_id = s.len == 16 && !is_zero(s);
		break;
	case SPAN_ID:
		good = f->has_span_id = s.len == 8 && !is_zero(s);
		break;
	case LINK_TRACE_ID: /* some backends refuse the whole batch for a link's odd id */
		good = s.len == 16 || s.len == 0;
		break;
	default:
		good = s.len == 8 || s.len == 0;
		break;
	}
	return good ? INDEX_OK : fault(w, INDEX_ID);
}

/* Attributes come in runs, nearly all of them plain: those at w->p that are, with this tag before
 * each. The first of another shape, or over a limit, is left to the fields' own way. */
static void skip_plain_attributes(struct walk *w, struct frame *f, uint8_t tag)
{
	const uint8_t *p = w->p, *end = f->end;
	uint32_t n = 0, most = w->limits->attributes - f->attributes;
	while (n < most && end - p > 2 && p[0] == tag && p[1] < 0x80 && p[1] <= end - p - 2 &&
	       is_plain_attribute(p + 2, p[1]) && p[3] <= w->limits->key_bytes) {
		n++;
		w->cost += p[1];
		w->ix->reserved += is_reserved(p + 4, p[3]);
		p += 2 + p[1];
	}
	w->cost += n * (uint64_t)(COST[ATTRIBUTE] + COST[VALUE]);
	f->attributes += n;
	w->p = p;
}

static enum index_verdict submessage(struct walk *w, struct field field, uint32_t number,
				     uint32_t tag_at, uint32_t length_at, const uint8_t *end)
{
	struct frame *f = top(w);
	if (field.kind == SINGLE) {
		uint8_t bit = (uint8_t)(1u << (number & 7));
		if (f->seen & bit)
			return fault(w, INDEX_DUPLICATE);
		f->seen |= bit;
	} else {
		enum index_verdict v = count_child(w, f, (enum message)field.message);
		if (v != INDEX_OK)
			return v;
	}
	if (field.message == ATTRIBUTE && is_plain_attribute(w->p, (size_t)(end - w->p)) &&
	    w->p[1] <= w->limits->key_bytes) {
		w->cost += COST[ATTRIBUTE] + COST[VALUE] + (size_t)(end - w->p);
		w->ix->reserved += is_reserved(w->p + 2, w->p[1]);
		w->p = end;
		if (length_at - tag_at == 1)
			skip_plain_attributes(w, f, w->base[tag_at]);
		return INDEX_OK;
	}
	return push(w, (enum message)field.message, tag_at, length_at, end);
}

static bool has_field(struct slice message, uint32_t number)
{
	const uint8_t *p = message.data, *end = p + message.len;
	uint64_t tag, v;
	while (p < end && read_varint(&p, end, &tag)) {
		if (tag >> 3 == number)
			return true;
		switch (tag & 7) {
		case 0:
			if (!read_varint(&p, end, &v))
				return false;
			continue;
		case 1:
			v = 8;
			break;
		case 2:
			if (!read_varint(&p, end, &v))
				return false;
			break;
		case 5:
			v = 4;
			break;
		default:
			return false;
		}
		if (v > (uint64_t)(end - p))
			return false;
		p += v;
	}
	return false;
}

/* instrumentation_library_spans of OTLP 0.15 to 0.18, alike but for its number (A8). A producer
 * that sends both means the same spans twice. */
static enum index_verdict old_scope_spans(struct walk *w, uint32_t tag_at, uint32_t length_at,
					  const uint8_t *end)
{
	static const uint8_t TAG_2 = 2 << 3 | 2;
	struct frame *f = top(w);
	struct slice whole = slice_of(w->base + f->start, (size_t)(f->end - w->base) - f->start);
	if (has_field(whole, 2)) {
		w->p = end;
		return add_edit(w, tag_at, offset_of(w, end) - tag_at, slice_of("", 0));
	}
	enum index_verdict v = add_edit(w, tag_at, length_at - tag_at, slice_of(&TAG_2, 1));
	if (v == INDEX_OK)
		v = push(w, SCOPE_SPANS, tag_at, length_at, end);
	if (v == INDEX_OK)
		top(w)->renumbered = true;
	return v;
}

static enum index_verdict length_delimited(struct walk *w, struct field field, uint32_t number,
					   uint32_t tag_at)
{
	uint32_t length_at = offset_of(w, w->p);
	uint64_t len;
	if (!read_varint(&w->p, top(w)->end, &len) || len > (uint64_t)(top(w)->end - w->p) ||
	    offset_of(w, w->p) - length_at > SHORT_VARINT)
		return INDEX_MALFORMED;
	const uint8_t *end = w->p + len;
	struct slice s = slice_of(w->p, len);
	if (field.kind >= SINGLE)
		return submessage(w, field, number, tag_at, length_at, end);
	if (number == OLD_SCOPE_SPANS && top(w)->message == RESOURCE_SPANS)
		return old_scope_spans(w, tag_at, length_at, end);
	w->p = end;
	switch ((enum kind)field.kind) {
	case UNKNOWN:
		w->cost += COST_UNKNOWN;
		return INDEX_OK;
	case BYTES:
	case STRING:
	case KEY:
		return string(w, (enum kind)field.kind, length_at, s);
	case TRACE_ID:
	case SPAN_ID:
	case PARENT_ID:
	case LINK_TRACE_ID:
	case LINK_SPAN_ID:
		return id(w, (enum kind)field.kind, s);
	default:
		return INDEX_MALFORMED;
	}
}

static enum index_verdict fixed(struct walk *w, struct field field, enum kind kind, uint32_t size)
{
	if (field.kind == UNKNOWN)
		w->cost += COST_UNKNOWN;
	else if (field.kind != kind)
		return INDEX_MALFORMED;
	if (top(w)->end - w->p < size)
		return INDEX_MALFORMED;
	w->p += size;
	return INDEX_OK;
}

static enum index_verdict one_field(struct walk *w)
{
	struct frame *f = top(w);
	uint32_t tag_at = offset_of(w, w->p);
	uint64_t tag = *w->p, v;
	if (tag < 0x80)
		w->p++;
	else if (!read_varint(&w->p, f->end, &tag))
		return INDEX_MALFORMED;
	uint64_t number = tag >> 3;
	if (number == 0 || number >= 1u << 29 || offset_of(w, w->p) - tag_at > SHORT_VARINT)
		return INDEX_MALFORMED;
	struct field field = {UNKNOWN, 0};
	if (number <= MAX_FIELD)
		field = FIELDS[f->message][number];
	switch (tag & 7) {
	case 0:
		if (field.kind == UNKNOWN)
			w->cost += COST_UNKNOWN;
		else if (field.kind != VARINT)
			return INDEX_MALFORMED;
		return read_varint(&w->p, f->end, &v) ? INDEX_OK : INDEX_MALFORMED;
	case 1:
		return fixed(w, field, FIXED64, 8);
	case 2:
		return length_delimited(w, field, (uint32_t)number, tag_at);
	case 5:
		return fixed(w, field, FIXED32, 4);
	default: /* groups: gone from protobuf before OTLP was made */
		return INDEX_MALFORMED;
	}
}

enum index_verdict otlp_index(struct otlp_index *ix, struct slice request,
			      const struct index_limits *limits, struct arena *arena)
{
	assert(request.len <= UINT32_MAX && limits->depth <= MAX_DEPTH);
	*ix = (struct otlp_index){0};
	if (request.len == 0)
		return INDEX_OK; /* its data may be NULL, on which C allows no arithmetic */
	struct walk w;
	w.ix = ix;
	w.limits = limits;
	w.arena = arena;
	w.base = w.p = request.data;
	w.last_edit = NULL;
	w.cost = 0;
	w.cost_limit = COST_FREE + COST_PER_BYTE * (uint64_t)request.len;
	w.all_spans = w.depth = w.top = 0;
	w.stack[0] = (struct frame){.end = request.data + request.len, .message = REQUEST};

	enum index_verdict v = INDEX_OK;
	while (v == INDEX_OK && (w.top != 0 || w.p != w.stack[0].end)) {
		v = w.p == top(&w)->end ? pop(&w) : one_field(&w);
		if (v == SPAN_SKIPPED)
			v = INDEX_OK;
	}
	if (v == INDEX_OK && w.cost > w.cost_limit)
		v = INDEX_COST;
	ix->edited_size = (size_t)((int64_t)request.len + w.stack[0].delta);
	return v;
}

void otlp_edit(const struct otlp_index *ix, struct slice request, uint8_t *out)
{
	size_t at = 0;
	if (ix->edited_size == 0)
		return; /* out may be NULL */
	for (const struct edit *e = ix->edits; e != NULL; e = e->next) {
		memcpy(out, request.data + at, e->offset - at);
		out += e->offset - at;
		if (e->with.len != 0)
			memcpy(out, e->with.data, e->with.len);
		out += e->with.len;
		at = (size_t)e->offset + e->drop;
	}
	if (at < request.len)
		memcpy(out, request.data + at, request.len - at);
}

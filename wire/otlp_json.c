/* SPDX-License-Identifier: Apache-2.0
 * A table says what each key of each message is; a stack of frames, one for each open bracket,
 * replaces recursion. The length of a message stands before its bytes and is known behind them: a
 * gap as wide as it is likely to be is left for it, and what was written is moved if it is not. */
#include "wire/otlp_json.h"

#include <assert.h>

#include "base/base64.h"
#include "base/hex.h"
#include "wire/json.h"

static const char NOT_JSON[] = "not valid JSON";
static const char NOT_OTLP[] = "not OTLP/JSON: a value has the wrong type";
static const char TOO_DEEP[] = "JSON is nested too deep";

/* ---- what the keys mean ---- */

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
	NOTHING, /* in what an unknown key holds, all keys are unknown */
	MESSAGES
};

enum kind {
	UNKNOWN,
	SINGLE,
	REPEATED,
	STRING,
	STRINGS,
	ID,
	BYTES,
	BOOL,
	INT64,
	INT32,
	UINT32,
	FIXED32,
	FIXED64,
	DOUBLE,
	SPAN_KIND,
	STATUS_CODE
};

struct row {
	const char *key; /* NULL: the row behind a message's last */
	uint8_t len;
	uint8_t kind;    /* enum kind */
	uint8_t message; /* enum message, of SINGLE and REPEATED */
	uint16_t number;
};

enum { MAX_ROWS = 17, OLD_SCOPE_SPANS = 1000 };
enum { KEY_SPACE = 192 }; /* the longest key that we know, every letter an escape */

/* A row whose key's length is counted by the compiler. */
#define ROW(key, number, kind)                                                                     \
	{                                                                                          \
		key, sizeof(key) - 1, kind, NOTHING, number                                        \
	}
#define OF(key, number, kind, message)                                                             \
	{                                                                                          \
		key, sizeof(key) - 1, kind, message, number                                        \
	}

/* Field numbers: OTLP 1.11.0, trace/v1/trace.proto and common/v1/common.proto. */
static const struct row ROWS[MESSAGES][MAX_ROWS] = {
    [REQUEST] = {OF("resourceSpans", 1, REPEATED, RESOURCE_SPANS)},
    [RESOURCE_SPANS] = {OF("resource", 1, SINGLE, RESOURCE),
			OF("scopeSpans", 2, REPEATED, SCOPE_SPANS), ROW("schemaUrl", 3, STRING),
			OF("instrumentationLibrarySpans", OLD_SCOPE_SPANS, REPEATED, SCOPE_SPANS)},
    [RESOURCE] = {OF("attributes", 1, REPEATED, ATTRIBUTE),
		  ROW("droppedAttributesCount", 2, UINT32), OF("entityRefs", 3, REPEATED, ENTITY)},
    [SCOPE_SPANS] = {OF("scope", 1, SINGLE, SCOPE), OF("spans", 2, REPEATED, SPAN),
		     ROW("schemaUrl", 3, STRING), OF("instrumentationLibrary", 1, SINGLE, SCOPE)},
    [SCOPE] = {ROW("name", 1, STRING), ROW("version", 2, STRING),
	       OF("attributes", 3, REPEATED, ATTRIBUTE), ROW("droppedAttributesCount", 4, UINT32)},
    [SPAN] = {ROW("traceId", 1, ID), ROW("spanId", 2, ID), ROW("traceState", 3, STRING),
	      ROW("parentSpanId", 4, ID), ROW("flags", 16, FIXED32), ROW("name", 5, STRING),
	      ROW("kind", 6, SPAN_KIND), ROW("startTimeUnixNano", 7, FIXED64),
	      ROW("endTimeUnixNano", 8, FIXED64), OF("attributes", 9, REPEATED, ATTRIBUTE),
	      ROW("droppedAttributesCount", 10, UINT32), OF("events", 11, REPEATED, EVENT),
	      ROW("droppedEventsCount", 12, UINT32), OF("links", 13, REPEATED, LINK),
	      ROW("droppedLinksCount", 14, UINT32), OF("status", 15, SINGLE, STATUS)},
    [EVENT] = {ROW("timeUnixNano", 1, FIXED64), ROW("name", 2, STRING),
	       OF("attributes", 3, REPEATED, ATTRIBUTE), ROW("droppedAttributesCount", 4, UINT32)},
    [LINK] = {ROW("traceId", 1, ID), ROW("spanId", 2, ID), ROW("traceState", 3, STRING),
	      OF("attributes", 4, REPEATED, ATTRIBUTE), ROW("droppedAttributesCount", 5, UINT32),
	      ROW("flags", 6, FIXED32)},
    [STATUS] = {ROW("message", 2, STRING), ROW("code", 3, STATUS_CODE)},
    [ATTRIBUTE] = {ROW("key", 1, STRING), OF("value", 2, SINGLE, VALUE),
		   ROW("keyStrindex", 3, INT32)},
    [VALUE] = {ROW("stringValue", 1, STRING), ROW("boolValue", 2, BOOL), ROW("intValue", 3, INT64),
	       ROW("doubleValue", 4, DOUBLE), OF("arrayValue", 5, SINGLE, ARRAY),
	       OF("kvlistValue", 6, SINGLE, KVLIST), ROW("bytesValue", 7, BYTES),
	       ROW("stringValueStrindex", 8, INT32)},
    [ARRAY] = {OF("values", 1, REPEATED, VALUE)},
    [KVLIST] = {OF("values", 1, REPEATED, ATTRIBUTE)},
    [ENTITY] = {ROW("schemaUrl", 1, STRING), ROW("type", 2, STRING), ROW("idKeys", 3, STRINGS),
		ROW("descriptionKeys", 4, STRINGS)},
};

static const struct row UNKNOWN_KEY = {.kind = UNKNOWN, .message = NOTHING};

static const char *const SPAN_KINDS[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
					 "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
					 "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER"};
static const char *const STATUS_CODES[] = {"STATUS_CODE_UNSET", "STATUS_CODE_OK",
					   "STATUS_CODE_ERROR"};

/* Bytes left for the length of each, as most of them need. */
static const uint8_t WIDTH[MESSAGES] = {
    [RESOURCE_SPANS] = 3, [RESOURCE] = 2, [SCOPE_SPANS] = 3, [SCOPE] = 1,     [SPAN] = 2,
    [EVENT] = 2,          [LINK] = 1,     [STATUS] = 1,      [ATTRIBUTE] = 1, [VALUE] = 1,
    [ARRAY] = 1,          [KVLIST] = 1,   [ENTITY] = 1,
};

/* ---- the walk ---- */

/* Where the bytes of a member stand, so that an equal key can take them out again. */
struct range {
	uint32_t begin, end;
};

enum { SLOTS = 18, NO_SLOT = 17 }; /* by field number; 0 is OLD_SCOPE_SPANS */

/* A map within maps costs four brackets for a value: room for 37 values within values, where the
 * index has its limit at 30 or, at most, 32. Deeper ones are not worth a look. */
enum { MAX_FRAMES = 160 };

struct frame {
	const struct row *row; /* of the member this is, or of whose list it is an element */
	uint8_t message;       /* what its keys mean; of a list: what its elements are */
	bool is_list, is_begun;
	uint8_t hint;     /* the row behind the last key's: producers keep an order */
	uint8_t slot;     /* the member under way */
	uint32_t content; /* where the message's bytes begin */
	uint32_t seen;    /* bit n: slots[n] is in use */
	struct range slots[SLOTS];
};

struct walk {
	struct json text;
	struct buf *out;
	const char *why;
	uint32_t top;
	struct frame stack[MAX_FRAMES]; /* [1] is the request; [0] is around it */
};

static struct frame *top(struct walk *w)
{
	return &w->stack[w->top];
}

static enum index_verdict refuse(struct walk *w, enum index_verdict v, const char *why)
{
	w->why = why;
	return v;
}

static enum index_verdict not_json(struct walk *w)
{
	return refuse(w, INDEX_MALFORMED, NOT_JSON);
}

static enum index_verdict not_otlp(struct walk *w)
{
	return refuse(w, INDEX_MALFORMED, NOT_OTLP);
}

/* ---- writing protobuf ---- */

enum wire { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };
enum { TAG_MAX = 2, LENGTH_MAX = 5, HEAD_MAX = TAG_MAX + LENGTH_MAX, VARINT_MAX = 10 };

static unsigned varint_len(uint64_t v)
{
	unsigned n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static unsigned varint_write(uint8_t *out, uint64_t v)
{
	unsigned n = 0;
	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

/* Room for so many bytes at the end, or NULL. */
static uint8_t *room(struct walk *w, size_t bytes)
{
	return buf_reserve(w->out, bytes) == 0 ? w->out->data + w->out->len : NULL;
}

static unsigned tag_write(uint8_t *out, unsigned number, enum wire wire)
{
	return varint_write(out, number << 3 | (unsigned)wire);
}

/* Members that protobuf leaves out when they are zero or empty: not those of a oneof, nor of a
 * list. */
static bool keeps_zero(struct walk *w)
{
	return top(w)->is_list || top(w)->message == VALUE;
}

static enum index_verdict put_number(struct walk *w, const struct row *row, enum wire wire,
				     uint64_t v)
{
	if (v == 0 && !keeps_zero(w))
		return INDEX_OK;
	uint8_t *p = room(w, TAG_MAX + VARINT_MAX);
	if (p == NULL)
		return INDEX_NO_MEMORY;
	unsigned n = tag_write(p, row->number, wire);
	if (wire == WIRE_VARINT) {
		n += varint_write(p + n, v);
	} else {
		unsigned size = wire == WIRE_FIXED64 ? 8 : 4;
		for (unsigned i = 0; i < size; i++, v >>= 8)
			p[n++] = (uint8_t)v;
	}
	w->out->len += n;
	return INDEX_OK;
}

/* Closes the field whose bytes were written behind a gap for tag and length, at p. */
static void close_bytes(struct walk *w, const struct row *row, uint8_t *p, size_t len)
{
	unsigned n = tag_write(p, row->number, WIRE_BYTES);
	n += varint_write(p + n, len);
	memmove(p + n, p + HEAD_MAX, len);
	w->out->len += n + len;
}

static enum index_verdict put_string(struct walk *w, const struct row *row, struct json_text s)
{
	if (s.raw.len == 0 && !keeps_zero(w))
		return INDEX_OK;
	uint8_t *p = room(w, HEAD_MAX + s.raw.len);
	if (p == NULL)
		return INDEX_NO_MEMORY;
	if (s.escaped) {
		close_bytes(w, row, p, json_unescape(s, p + HEAD_MAX));
		return INDEX_OK;
	}
	unsigned n = tag_write(p, row->number, WIRE_BYTES);
	n += varint_write(p + n, s.raw.len);
	memcpy(p + n, s.raw.data, s.raw.len);
	w->out->len += n + s.raw.len;
	return INDEX_OK;
}

static enum index_verdict put_base64(struct walk *w, const struct row *row, struct json_text s)
{
	uint8_t *p = room(w, HEAD_MAX + s.raw.len + 3);
	if (p == NULL)
		return INDEX_NO_MEMORY;
	size_t len = json_unescape(s, p + HEAD_MAX);
	for (uint8_t *c = p + HEAD_MAX; c < p + HEAD_MAX + len; c++) /* RFC 4648 section 5 */
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	struct buf bytes = {.data = p + HEAD_MAX, .cap = s.raw.len + 3};
	if (base64_decode(slice_of(bytes.data, len), &bytes) != 0)
		return not_otlp(w);
	close_bytes(w, row, p, bytes.len);
	return INDEX_OK;
}

/* An id that is none becomes one of a single byte: there is no such id, and the index says so. */
static enum index_verdict put_id(struct walk *w, const struct row *row, struct slice hex)
{
	uint8_t id[16];
	size_t len = hex.len / 2;
	bool good = hex.len % 2 == 0 && len <= sizeof(id);
	for (size_t i = 0; good && i < len; i++) {
		int high = hex_digit(hex.data[2 * i]), low = hex_digit(hex.data[2 * i + 1]);
		good = high >= 0 && low >= 0;
		id[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
	}
	if (!good)
		len = 1;
	return put_string(w, row, (struct json_text){.raw = slice_of(good ? id : hex.data, len)});
}

/* ---- values ---- */

static enum index_verdict put_double(struct walk *w, const struct row *row, struct slice number)
{
	double d;
	uint64_t bits;
	if (slice_is(number, "NaN"))
		bits = 0x7ff8000000000000u;
	else if (slice_is(number, "Infinity"))
		bits = 0x7ff0000000000000u;
	else if (slice_is(number, "-Infinity"))
		bits = 0xfff0000000000000u;
	else if (json_to_double(number, &d) == 0)
		memcpy(&bits, &d, sizeof(bits));
	else
		return not_otlp(w);
	return put_number(w, row, WIRE_FIXED64, bits);
}

/* A number, or the inside of a string that should be one. */
static enum index_verdict put_numeral(struct walk *w, const struct row *row, struct slice number)
{
	static const struct row AS_DOUBLE = ROW("doubleValue", 4, DOUBLE);
	bool negative = false;
	uint64_t v = 0;
	if (row->kind == DOUBLE)
		return put_double(w, row, number);
	int rc = json_to_integer(number, &negative, &v);
	if (row->kind == INT64 &&
	    (rc == JSON_NOT_INTEGER || (rc == 0 && v > (uint64_t)INT64_MAX + negative)))
		return put_double(w, &AS_DOUBLE, number);
	if (rc != 0)
		return not_otlp(w);
	switch ((enum kind)row->kind) {
	case INT64:
		return put_number(w, row, WIRE_VARINT, negative ? 0 - v : v);
	case INT32:
	case SPAN_KIND:
	case STATUS_CODE:
		if (v > (uint64_t)INT32_MAX + negative)
			return not_otlp(w);
		return put_number(w, row, WIRE_VARINT, negative ? 0 - v : v);
	case UINT32:
	case FIXED32:
		if (v > UINT32_MAX || negative)
			return not_otlp(w);
		return put_number(w, row, row->kind == UINT32 ? WIRE_VARINT : WIRE_FIXED32, v);
	case FIXED64:
		return negative ? not_otlp(w) : put_number(w, row, WIRE_FIXED64, v);
	default:
		return not_otlp(w);
	}
}

/* The text of a string that can be no longer than an id, an enum or a number. */
static struct slice short_text(struct json_text s, uint8_t *space, size_t size)
{
	if (!s.escaped || s.raw.len > size)
		return s.raw;
	return slice_of(space, json_unescape(s, space));
}

static enum index_verdict put_enum(struct walk *w, const struct row *row, struct slice name)
{
	bool kind = row->kind == SPAN_KIND;
	const char *const *names = kind ? SPAN_KINDS : STATUS_CODES;
	size_t n =
	    kind ? sizeof(SPAN_KINDS) / sizeof(*names) : sizeof(STATUS_CODES) / sizeof(*names);
	for (size_t i = 0; i < n; i++)
		if (slice_is(name, names[i]))
			return put_number(w, row, WIRE_VARINT, i);
	bool is_word =
	    name.len != 0 && (name.data[0] | 0x20) >= 'a' && (name.data[0] | 0x20) <= 'z';
	return is_word ? INDEX_OK : put_numeral(w, row, name);
}

static enum index_verdict string(struct walk *w, const struct row *row)
{
	struct json_text s;
	uint8_t space[256];
	if (!json_read_string(&w->text, &s))
		return not_json(w);
	switch ((enum kind)row->kind) {
	case UNKNOWN:
		return INDEX_OK;
	case STRING:
	case STRINGS:
		return put_string(w, row, s);
	case BYTES:
		return put_base64(w, row, s);
	case ID:
		return put_id(w, row, short_text(s, space, sizeof(space)));
	case SPAN_KIND:
	case STATUS_CODE:
		return put_enum(w, row, short_text(s, space, sizeof(space)));
	case SINGLE:
	case REPEATED:
	case BOOL:
		return not_otlp(w);
	default:
		return put_numeral(w, row, short_text(s, space, sizeof(space)));
	}
}

static enum index_verdict number(struct walk *w, const struct row *row)
{
	struct slice number;
	if (!json_read_number(&w->text, &number))
		return not_json(w);
	switch ((enum kind)row->kind) {
	case UNKNOWN:
		return INDEX_OK;
	case SINGLE:
	case REPEATED:
	case STRING:
	case STRINGS:
	case ID:
	case BYTES:
	case BOOL:
		return not_otlp(w);
	default:
		return put_numeral(w, row, number);
	}
}

static enum index_verdict boolean(struct walk *w, const struct row *row, bool value)
{
	if (!json_read_word(&w->text, value ? "true" : "false"))
		return not_json(w);
	if (row->kind == UNKNOWN)
		return INDEX_OK;
	return row->kind == BOOL ? put_number(w, row, WIRE_VARINT, value) : not_otlp(w);
}

/* ---- frames ---- */

static enum index_verdict push(struct walk *w, const struct row *row, bool is_list)
{
	if (w->top + 1 == MAX_FRAMES)
		return refuse(w, INDEX_DEPTH, TOO_DEEP);
	w->text.p++;
	struct frame *f = &w->stack[++w->top];
	f->row = row;
	f->message = row->message;
	f->is_list = is_list;
	f->is_begun = false;
	f->hint = 0;
	f->slot = NO_SLOT;
	f->seen = 0;
	return INDEX_OK;
}

static enum index_verdict begin_message(struct walk *w, const struct row *row)
{
	uint8_t *p = room(w, HEAD_MAX);
	if (p == NULL)
		return INDEX_NO_MEMORY;
	w->out->len += tag_write(p, row->number, WIRE_BYTES) + WIDTH[row->message];
	top(w)->content = (uint32_t)w->out->len;
	return INDEX_OK;
}

/* Writes the length of the message whose bytes end here. */
static enum index_verdict end_message(struct walk *w, const struct frame *f)
{
	struct buf *out = w->out;
	size_t len = out->len - f->content;
	unsigned width = WIDTH[f->message], need = varint_len(len);
	if (need != width && room(w, LENGTH_MAX) == NULL)
		return INDEX_NO_MEMORY;
	uint8_t *length = out->data + f->content - width;
	if (need != width)
		memmove(length + need, length + width, len);
	varint_write(length, len);
	out->len = out->len - width + need;
	return INDEX_OK;
}

static enum index_verdict object(struct walk *w, const struct row *row)
{
	bool is_element = top(w)->is_list;
	if (row->kind != UNKNOWN && row->kind != (is_element ? REPEATED : SINGLE))
		return not_otlp(w);
	enum index_verdict v = push(w, row, false);
	return v != INDEX_OK || row->kind == UNKNOWN ? v : begin_message(w, row);
}

static enum index_verdict list(struct walk *w, const struct row *row)
{
	bool is_element = top(w)->is_list;
	if (row->kind != UNKNOWN && (is_element || (row->kind != REPEATED && row->kind != STRINGS)))
		return not_otlp(w);
	return push(w, row, true);
}

static enum index_verdict nothing(struct walk *w, const struct row *row)
{
	if (!json_read_word(&w->text, "null"))
		return not_json(w);
	if (!top(w)->is_list || row->kind == UNKNOWN)
		return INDEX_OK;
	/* An empty message has the bytes of an empty string. */
	return put_string(w, row, (struct json_text){.raw = slice_of("", 0)});
}

static enum index_verdict value(struct walk *w, const struct row *row)
{
	bool scalar_list = row->kind == STRINGS && !top(w)->is_list;
	switch (json_next(&w->text)) {
	case '{':
		return object(w, row);
	case '[':
		return list(w, row);
	case '"':
		return scalar_list ? not_otlp(w) : string(w, row);
	case 't':
		return boolean(w, row, true);
	case 'f':
		return boolean(w, row, false);
	case 'n':
		return nothing(w, row);
	default:
		return number(w, row);
	}
}

/* ---- members ---- */

/* The key without escapes and in camelCase, in `space` if it was not so already. */
static struct slice plain_key(struct json_text s, uint8_t space[KEY_SPACE])
{
	struct slice key = short_text(s, space, KEY_SPACE);
	if (key.len > KEY_SPACE || key.len == 0 || memchr(key.data, '_', key.len) == NULL)
		return key;
	size_t n = 0;
	for (size_t i = 0; i < key.len; i++) {
		uint8_t c = key.data[i];
		if (c == '_' && i + 1 < key.len && key.data[i + 1] >= 'a' && key.data[i + 1] <= 'z')
			space[n++] = (uint8_t)(key.data[++i] - 0x20);
		else
			space[n++] = c;
	}
	return slice_of(space, n);
}

static const struct row *find(struct frame *f, struct slice key)
{
	const struct row *rows = ROWS[f->message];
	unsigned i = f->hint;
	for (unsigned looked = 0; looked < MAX_ROWS; looked++, i++) {
		if (i == MAX_ROWS || rows[i].key == NULL)
			i = 0;
		if (rows[i].len == key.len && memcmp(rows[i].key, key.data, key.len) == 0) {
			f->hint = (uint8_t)(i + 1);
			return &rows[i];
		}
	}
	return &UNKNOWN_KEY;
}

/* Takes the bytes of an earlier member out. Each byte moves at most once for every key that stood
 * before it in its object, of which there are at most 17: all in all that stays linear. */
static void forget(struct walk *w, struct frame *f, unsigned slot)
{
	struct range gone = f->slots[slot];
	uint32_t len = gone.end - gone.begin;
	uint8_t *data = w->out->data;
	if (len == 0)
		return;
	memmove(data + gone.begin, data + gone.end, w->out->len - gone.end);
	w->out->len -= len;
	for (unsigned i = 0; i < SLOTS - 1; i++) {
		if ((f->seen & 1u << i) == 0 || f->slots[i].begin < gone.end)
			continue;
		f->slots[i].begin -= len;
		f->slots[i].end -= len;
	}
}

static void begin_member(struct walk *w, struct frame *f, const struct row *row)
{
	f->slots[f->slot].end = (uint32_t)w->out->len; /* of the one before */
	f->slot = NO_SLOT;
	if (row->kind == UNKNOWN)
		return;
	f->slot = (uint8_t)(row->number < NO_SLOT ? row->number : 0);
	uint32_t bit = 1u << f->slot;
	if (f->seen & bit)
		forget(w, f, f->slot);
	f->seen |= bit;
	f->slots[f->slot].begin = f->slots[f->slot].end = (uint32_t)w->out->len;
}

static enum index_verdict member(struct walk *w, struct frame *f)
{
	uint8_t space[KEY_SPACE];
	struct json_text s;
	if (json_next(&w->text) != '"' || !json_read_string(&w->text, &s) ||
	    json_next(&w->text) != ':')
		return not_json(w);
	w->text.p++;
	const struct row *row = &UNKNOWN_KEY;
	if (f->message != NOTHING)
		row = find(f, plain_key(s, space));
	begin_member(w, f, row);
	return value(w, row);
}

static enum index_verdict pop(struct walk *w)
{
	struct frame *f = &w->stack[w->top--];
	w->text.p++;
	bool has_length = !f->is_list && f->message != NOTHING && f->message != REQUEST;
	return has_length ? end_message(w, f) : INDEX_OK;
}

/* One member or element of the innermost bracket, or its end. */
static enum index_verdict step(struct walk *w)
{
	struct frame *f = top(w);
	uint8_t c = json_next(&w->text);
	if (c == (f->is_list ? ']' : '}'))
		return pop(w);
	if (f->is_begun) {
		if (c != ',')
			return not_json(w);
		w->text.p++;
	}
	f->is_begun = true;
	return f->is_list ? value(w, f->row) : member(w, f);
}

size_t otlp_json_bound(size_t text_bytes)
{
	/* Keys are longer than tags, so protobuf is shorter but for one case, {"code":-1}: 12 bytes
	 * of JSON with its comma, 13 of protobuf. And all open messages have their gaps. */
	return text_bytes + text_bytes / 8 + (size_t)MAX_FRAMES * HEAD_MAX;
}

enum index_verdict otlp_json(struct slice text, struct buf *out, const char **why)
{
	static const struct row ROOT = {.kind = SINGLE, .message = REQUEST};
	assert(text.len < 1u << 31 && out->len == 0);
	struct walk w;
	w.text = (struct json){text.data, text.data + text.len};
	w.out = out;
	w.why = NULL;
	w.top = 0;
	out->limit = otlp_json_bound(text.len);
	enum index_verdict v = json_next(&w.text) == '{' ? push(&w, &ROOT, false) : not_json(&w);
	while (v == INDEX_OK && w.top != 0)
		v = step(&w);
	if (v == INDEX_OK && (json_next(&w.text) != 0 || w.text.p != w.text.end))
		v = not_json(&w);
	*why = w.why;
	return v;
}

/* SPDX-License-Identifier: Apache-2.0
 * Rows of attributes, most of what a request is. Nearly all are of one shape, tag n 0a key-length
 * key 12 value-length value, with a key that the scanner knows and a short text or a number; those
 * take no call and no frame. */
#include "redaction/familiar.h"
#include "redaction/harvest_walk.h"
#include "wire/otlp_walk.h"

enum { KEY_TAG = 1 << 3 | WIRE_BYTES, VALUE_TAG = 2 << 3 | WIRE_BYTES };
enum {
	STRING_TAG = 1 << 3 | WIRE_BYTES,
	BOOL_TAG = 2 << 3 | WIRE_VARINT,
	INT_TAG = 3 << 3 | WIRE_VARINT
};
enum {
	CHUNK = 16,         /* texts are copied in so many bytes: most take one or two */
	HEADS = 6,          /* bytes of an attribute's and its value's tags and lengths */
	FAR = 2 + 127 + 32, /* of an attribute's begin to what may be read behind it in chunks */
	ROW = 4096,         /* bytes of a row, to know in advance the room that it takes */
	SMALL_INT_MAX = 4   /* bytes of a tag and a number below HARVEST_LEAST_NUMBER */
};

void harvest_cut_attribute(struct harvest *h, const struct harvest_frame *owner,
			   const uint8_t *start, const uint8_t *end)
{
	harvest_cut(h, &(struct cut){.within = owner->start,
				     .at = harvest_offset(h, start),
				     .len = (uint32_t)(end - start),
				     .owner = owner->owner,
				     .position = owner->position,
				     .is_attribute = true});
}

/* ---- those that are known ---- */

/* What is written while a row is walked, in registers. */
struct row {
	struct scan_value *value;
	struct spot *spot;
	uint8_t *text;
};

/* Room for all of a row of `len` bytes. */
static inline bool row_begin(struct harvest *h, size_t len, struct row *r)
{
	uint32_t most = (uint32_t)(len / HEADS + 1);
	if ((h->cap - h->n < most || h->cap_spots - h->n_spots < most) &&
	    !harvest_room_row(h, most))
		return false;
	if (h->text.cap - h->text.len <= len + FAR && !harvest_room(h, len + FAR))
		return false;
	r->value = h->values + h->n;
	r->spot = h->spots + h->n_spots;
	r->text = h->text.data + h->text.len;
	return true;
}

static inline void row_end(struct harvest *h, const struct row *r)
{
	h->n = (uint32_t)(r->value - h->values);
	h->n_spots = (uint32_t)(r->spot - h->spots);
	h->text.len = (size_t)(r->text - h->text.data);
}

static inline void row_put(struct row *r, const struct harvest *h,
			   const struct harvest_frame *owner, const uint8_t *attribute,
			   struct slice text, const struct key_verdict *key)
{
	uint32_t at = harvest_offset(h, text.data), len = (uint32_t)text.len;
	*r->value++ = (struct scan_value){(uint32_t)(r->text - h->text.data), len, key};
	*r->spot++ = (struct spot){.within = at,
				   .at = at,
				   .len = len,
				   .attribute = harvest_offset(h, attribute),
				   .owner = owner->owner,
				   .position = owner->position,
				   .kind = HARVESTED_TEXT};
	/* nearly all take two chunks at most: without a jump that would be guessed wrong */
	memcpy(r->text, text.data, CHUNK);
	memcpy(r->text + CHUNK, text.data + CHUNK, CHUNK);
	for (size_t i = (size_t)2 * CHUNK; i < len; i += CHUNK)
		memcpy(r->text + i, text.data + i, CHUNK);
	r->text[len] = '\n';
	r->text += len + 1;
}

/* A bool, or an int that is not asked for: whether the value is just that. */
static inline bool is_passed_over(const uint8_t *value, size_t left)
{
	const uint8_t *v = value + 2;
	size_t len = value[1];
	if (value[0] != VALUE_TAG || len + 2 != left || len > SMALL_INT_MAX ||
	    (v[0] != INT_TAG && v[0] != BOOL_TAG))
		return false;
	for (size_t i = 1; i + 1 < len; i++)
		if (v[i] < 0x80)
			return false;
	return v[len - 1] < 0x80;
}

/* Gives the first attribute that is another, or too near to the end of the request to be copied in
 * chunks. Heads are looked at as one number each: tag n 0a key-length, and 12 n 0a text-length. */
static const uint8_t *walk_row(struct harvest *h, const struct harvest_frame *owner, uint8_t tag)
{
	static const uint32_t HEAD_BITS = 0x80ff80ff, BOTH = 1 << 8 | 1 << 24;
	const uint32_t want = tag | (uint32_t)KEY_TAG << 16;
	const uint32_t text = VALUE_TAG | (uint32_t)STRING_TAG << 16;
	struct familiar_keys *keys = scanner_familiar(h->scanner);
	const uint8_t *p = owner->p, *end = owner->end, *stop = end - p > ROW ? p + ROW : end;
	struct familiar *last = keys->last;
	struct row r;
	if (h->end - p <= FAR || !row_begin(h, (size_t)(stop - p), &r))
		return p;
	stop = stop > h->end - FAR ? h->end - FAR : stop;
	while (p < stop) {
		uint32_t head = get32(p), n = head >> 8 & 0x7f, key = head >> 24;
		if ((head & HEAD_BITS) != want || n < key + HEADS || n + 2 > (size_t)(end - p) ||
		    key < FAMILIAR_LEAST)
			break;
		const struct key_verdict *verdict = familiar_find(keys, &last, p + 4, key);
		const uint8_t *value = p + 4 + key;
		uint32_t len = n - key - HEADS; /* of its text, if it is one */
		if (verdict == NULL)
			break;
		if (get32(value) == text + len * BOTH + (2 << 8)) {
			if (len >= HARVEST_LEAST || (verdict->n != 0 && len != 0))
				row_put(&r, h, owner, p, slice_of(value + 4, len), verdict);
		} else if (verdict->n != 0 || !is_passed_over(value, n - 2 - key)) {
			break;
		}
		p += 2 + n;
	}
	keys->last = last;
	row_end(h, &r);
	return p;
}

/* ---- the others ---- */

/* A length of one or two bytes at *p, which moves behind it; larger than any: there is none. */
static inline size_t short_length(const uint8_t **p, const uint8_t *end)
{
	const uint8_t *q = *p;
	if (end - q >= 1 && q[0] < 0x80) {
		*p = q + 1;
		return q[0];
	}
	if (end - q >= 2 && q[1] < 0x80) {
		*p = q + 2;
		return (size_t)(q[0] & 0x7f) | (size_t)q[1] << 7;
	}
	return SIZE_MAX;
}

/* The field with this tag at *p, if it is there and not long; *p moves behind it. */
static inline bool short_field(const uint8_t **p, const uint8_t *end, uint8_t tag,
			       struct slice *value)
{
	const uint8_t *q = *p;
	if (q == end || *q++ != tag)
		return false;
	size_t len = short_length(&q, end);
	if (len > (size_t)(end - q))
		return false;
	*value = slice_of(q, len);
	*p = q + len;
	return true;
}

/* A text or an int, and nothing else. False: it needs a frame. */
static inline bool plain_value(struct harvest *h, const struct harvest_frame *f, struct slice v)
{
	const uint8_t *p = v.data, *end = p + v.len;
	struct slice text;
	if (v.len == 0)
		return true;
	if (p[0] == STRING_TAG) {
		if (!short_field(&p, end, STRING_TAG, &text) || p != end)
			return false;
		harvest_string(h, f, text, HARVESTED_TEXT, f->position);
		return true;
	}
	if (v.len < 2 || p[0] != INT_TAG || end[-1] >= 0x80)
		return false;
	for (size_t i = 1; i + 1 < v.len; i++)
		if (p[i] < 0x80)
			return false;
	harvest_number(h, f, v);
	return true;
}

/* One attribute at owner->p, which moves behind it. False: it needs a frame. */
__attribute__((noinline)) static bool one_attribute(struct harvest *h, struct harvest_frame *owner,
						    uint8_t tag)
{
	const uint8_t *start = owner->p, *next = start;
	struct slice attribute, key, value;
	if (!short_field(&next, owner->end, tag, &attribute))
		return false;
	const uint8_t *p = attribute.data, *end = next;
	if (!short_field(&p, end, KEY_TAG, &key) || !short_field(&p, end, VALUE_TAG, &value) ||
	    p != end)
		return false;
	struct harvest_frame f = {.end = owner->end,
				  .key = scanner_key(h->scanner, key),
				  .start = harvest_offset(h, value.data),
				  .attribute = harvest_offset(h, start),
				  .owner = owner->owner,
				  .position = owner->position};
	f.mode = (uint8_t)harvest_mode_under(HARVEST_LOOK, f.key);
	if (f.key->unlisted) {
		harvest_cut_attribute(h, owner, start, next);
	} else {
		if (!plain_value(h, &f, value))
			return false;
		if (!f.key->clean)
			harvest_string(h, &f, key, HARVESTED_KEY, POSITION_KEY);
	}
	owner->p = next;
	return true;
}

void harvest_row(struct harvest *h, struct harvest_frame *owner, uint8_t tag)
{
	do {
		owner->p = walk_row(h, owner, tag);
	} while (owner->p != owner->end && *owner->p == tag && one_attribute(h, owner, tag));
}

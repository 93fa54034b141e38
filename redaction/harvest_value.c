/* SPDX-License-Identifier: Apache-2.0
 * One value: whether it is worth a look, its place, and its text behind the others. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/endian.h"
#include "redaction/harvest_walk.h"
#include "redaction/mark.h"
#include "wire/otlp_walk.h"

enum { VALUE_BOOL_TAG = 0x10, VALUE_INT_TAG = 0x18, VALUE_DOUBLE_TAG = 0x21, CHUNK = 16 };

/* Most texts are short: chunks cost less than a call, where both sides have room for whole ones. */
static inline void copy_text(struct harvest *h, struct slice text, const uint8_t *readable)
{
	uint8_t *out = h->text.data + h->text.len;
	size_t whole = (text.len + CHUNK - 1) & ~(size_t)(CHUNK - 1);
	if (text.len <= 64 && (size_t)(readable - text.data) >= whole &&
	    h->text.cap - h->text.len > whole) {
		for (size_t i = 0; i < whole; i += CHUNK)
			memcpy(out + i, text.data + i, CHUNK);
	} else {
		memcpy(out, text.data, text.len);
	}
	out[text.len] = '\n';
	h->text.len += text.len + 1;
}

/* The text of a value and its place; an empty one for a value that no scan has to look at. */
static inline bool put(struct harvest *h, struct slice text, const struct key_verdict *key,
		       const struct spot *spot)
{
	bool has_room = h->n < h->cap && h->n_spots < h->cap_spots &&
			h->text.cap - h->text.len > text.len + CHUNK;
	if (!has_room && (!harvest_room(h, text.len + CHUNK) || !harvest_room_spot(h)))
		return false;
	h->values[h->n++] = (struct scan_value){(uint32_t)h->text.len, (uint32_t)text.len, key};
	h->spots[h->n_spots++] = *spot;
	return true;
}

void harvest_add(struct harvest *h, struct slice text, const struct key_verdict *key,
		 const struct spot *spot)
{
	if (put(h, text, key, spot))
		copy_text(h, text, text.data + text.len);
}

static inline struct spot spot_of(const struct harvest *h, const struct harvest_frame *f,
				  struct slice payload, enum harvested_kind kind,
				  enum position position)
{
	uint32_t at = (uint32_t)(payload.data - h->base);
	return (struct spot){.within = kind == HARVESTED_NUMBER ? f->start : at,
			     .at = at,
			     .len = (uint32_t)payload.len,
			     .attribute = f->attribute,
			     .owner = f->owner,
			     .position = (uint8_t)position,
			     .kind = (uint8_t)kind};
}

/* Masked as a whole by `why`, without a look. The spot is passed as it is: were its address taken,
 * the others would be written to the stack and read again from there, for 5 ns each. */
__attribute__((noinline)) static void put_forced(struct harvest *h, struct spot spot,
						 enum ruleset_extra why)
{
	if (put(h, slice_of("", 0), NULL, &spot)) {
		h->text.data[h->text.len++] = '\n';
		harvest_force(h, h->n - 1, spot.len, why);
	}
}

/* Nothing is left in it to be masked. */
static bool is_mark(struct slice text)
{
	return text.len == 0 || mark_covers(text, 0, text.len);
}

/* A text that is neither left alone nor blocked. */
static inline void look_at(struct harvest *h, const struct harvest_frame *f, struct slice text,
			   const struct key_verdict *key, const struct spot *spot)
{
	if (text.len < HARVEST_LEAST && (key == NULL || key->n == 0 || text.len == 0))
		return;
	if (text.len > SCAN_MAX_VALUE) {
		if (!is_mark(text))
			put_forced(h, *spot, EXTRA_TOO_LONG);
		return;
	}
	if (put(h, text, key, spot))
		copy_text(h, text, f->end);
}

void harvest_string(struct harvest *h, const struct harvest_frame *f, struct slice text,
		    enum harvested_kind kind, enum position position)
{
	struct spot spot = spot_of(h, f, text, kind, position);
	if (f->mode == HARVEST_LOOK || kind == HARVESTED_KEY)
		look_at(h, f, text, kind == HARVESTED_KEY ? NULL : f->key, &spot);
	else if (f->mode == HARVEST_BLOCK && !is_mark(text))
		put_forced(h, spot, EXTRA_KEY_BLOCKED);
}

void harvest_keyless(struct harvest *h, const struct harvest_frame *f, struct slice text,
		     enum position position)
{
	struct spot spot = spot_of(h, f, text, HARVESTED_TEXT, position);
	look_at(h, f, text, NULL, &spot);
}

static uint64_t varint_of(const uint8_t *p, const uint8_t *end)
{
	uint64_t v = 0;
	for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (*p++ < 0x80)
			break;
	}
	return v;
}

/* A number as somebody would write it; 0: nothing in it is worth a look. */
static size_t number_text(struct slice whole, bool keyed, char out[32])
{
	const uint8_t *p = whole.data;
	double d = 0;
	int64_t n = 0;
	size_t tag = 0;
	while (p[tag++] >= 0x80) /* a tag may have been written with more bytes than it needs */
		;
	bool is_double = (p[0] & 7) == WIRE_FIXED64;
	if (is_double) {
		uint64_t bits = get64(p + tag);
		memcpy(&d, &bits, sizeof(d));
		if (fabs(d) < 9e18 && d == trunc(d))
			n = (int64_t)d;
		else if (!keyed)
			return 0; /* a fraction is no card */
	} else {
		n = (int64_t)varint_of(p + tag, p + whole.len);
	}
	if (!keyed && n < HARVEST_LEAST_NUMBER && n > -HARVEST_LEAST_NUMBER)
		return 0;
	int len =
	    is_double && n == 0 ? snprintf(out, 32, "%.17g", d) : snprintf(out, 32, "%" PRId64, n);
	return len > 0 ? (size_t)len : 0;
}

void harvest_number(struct harvest *h, const struct harvest_frame *f, struct slice whole)
{
	struct spot spot = spot_of(h, f, whole, HARVESTED_NUMBER, f->position);
	if (f->mode == HARVEST_BLOCK)
		put_forced(h, spot, EXTRA_KEY_BLOCKED);
	bool keyed = f->key != NULL && f->key->n != 0;
	if (f->mode != HARVEST_LOOK || (!keyed && !h->numbers) || (whole.data[0] >> 3) == 2)
		return; /* a bool is no secret, whatever its key's rules find in texts */
	char text[32];
	size_t len = number_text(whole, keyed, text);
	if (len != 0 && put(h, slice_of(text, len), f->key, &spot))
		copy_text(h, slice_of(text, len), (const uint8_t *)text + sizeof(text));
}

void harvest_one(struct harvest *h, struct slice text, const struct key_verdict *key)
{
	struct harvest_frame f = {.end = text.data + text.len, .key = key};
	if (key != NULL && key->ignored)
		f.mode = HARVEST_SKIP;
	else if (key != NULL && key->blocked)
		f.mode = HARVEST_BLOCK;
	h->base = text.data;
	struct spot spot = spot_of(h, &f, text, HARVESTED_TEXT, POSITION_TEXT);
	if (key != NULL && key->unlisted)
		put_forced(h, spot, EXTRA_KEY_UNLISTED);
	else
		harvest_string(h, &f, text, HARVESTED_TEXT, POSITION_TEXT);
}

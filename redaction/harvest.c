/* SPDX-License-Identifier: Apache-2.0
 * What is harvested, apart from how the request is walked (redaction/harvest_walk.c). */
#include "redaction/harvest.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/harvest_walk.h"

/* Room for number n: the list, or NULL for no memory; *cap follows. */
static void *room_for(void *list, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return list;
	uint32_t more = *cap == 0 ? 256 : *cap * 2;
	while (more <= n && more > *cap && more < UINT32_MAX / 2)
		more *= 2;
	void *bigger = more > *cap ? reallocarray(list, more, size) : NULL;
	if (bigger != NULL)
		*cap = more;
	return bigger;
}

#define ROOM(h, list, n, cap)                                                                      \
	do {                                                                                       \
		void *room_ = room_for((h)->list, n, &(h)->cap, sizeof(*(h)->list));               \
		if (room_ == NULL) {                                                               \
			(h)->failed = true;                                                        \
			return false;                                                              \
		}                                                                                  \
		(h)->list = room_;                                                                 \
	} while (0)

int harvest_init(struct harvest *h)
{
	*h = (struct harvest){0};
	h->frames = calloc(HARVEST_FRAMES, sizeof(*h->frames));
	return h->frames != NULL ? 0 : -ENOMEM;
}

void harvest_finish(struct harvest *h)
{
	buf_finish(&h->text);
	free(h->values);
	free(h->spots);
	free(h->copies);
	free(h->marks);
	free(h->owners);
	free(h->cuts);
	free(h->forced);
	free(h->frames);
	*h = (struct harvest){0};
}

void harvest_trim(struct harvest *h)
{
	struct harvest_frame *frames = h->frames;
	bool numbers = h->numbers;
	h->frames = NULL;
	harvest_finish(h);
	h->frames = frames;
	h->numbers = numbers;
}

bool harvest_wants_numbers(const struct ruleset *set)
{
	for (uint32_t i = 0; i < ruleset_rules(set); i++) {
		const struct rule *r = ruleset_rule(set, i);
		if (r != NULL && r->keys.n == 0 && (r->class != CLASS_NONE || r->keywords.n == 0))
			return true;
	}
	return false;
}

bool harvest_room(struct harvest *h, size_t len)
{
	ROOM(h, values, h->n, cap);
	if (h->text.cap - h->text.len <= len && buf_reserve(&h->text, len + 1) != 0)
		h->failed = true;
	return !h->failed;
}

bool harvest_room_spot(struct harvest *h)
{
	ROOM(h, spots, h->n_spots, cap_spots);
	return true;
}

bool harvest_room_row(struct harvest *h, uint32_t n)
{
	ROOM(h, values, h->n + n, cap);
	ROOM(h, spots, h->n_spots + n, cap_spots);
	return true;
}

bool harvest_mark(struct harvest *h, struct decode_mark m)
{
	ROOM(h, marks, h->n_marks, cap_marks);
	h->marks[h->n_marks++] = m;
	return true;
}

bool harvest_copy(struct harvest *h, uint32_t len, const struct copy *c)
{
	ROOM(h, copies, h->n_copies, cap_copies);
	ROOM(h, values, h->n, cap);
	h->copies[h->n_copies++] = *c;
	h->values[h->n++] = (struct scan_value){(uint32_t)h->text.len, len, h->values[c->of].key};
	h->text.len += len;
	h->text.data[h->text.len++] = '\n';
	return true;
}

static bool room_owner(struct harvest *h)
{
	ROOM(h, owners, h->n_owners, cap_owners);
	return true;
}

struct owner *harvest_owner(struct harvest *h)
{
	if (h->n_owners == h->cap_owners && !room_owner(h))
		return NULL;
	return &h->owners[h->n_owners++];
}

/* A field of exactly so many bytes, 4 at least, that no message knows. */
static void write_filler(uint8_t *out, uint32_t len)
{
	enum { TAG = 31 << 3 | 2, TAG_BYTES = 2, SHORT = TAG_BYTES + 1, LONG = TAG_BYTES + 5 };
	uint32_t left = len - SHORT;
	*out++ = (TAG & 0x7f) | 0x80;
	*out++ = TAG >> 7;
	if (left >= 0x80) { /* then a length has five bytes, needed or not */
		left = len - LONG;
		for (int i = 0; i < 4; i++, left >>= 7)
			*out++ = (uint8_t)(left | 0x80);
	}
	*out = (uint8_t)left;
}

/* Unknown fields of one payload go together, so that a flood of them needs no flood of changes.
 * What is between them, if nothing in there was harvested, is moved before them. */
static bool join_cut(struct harvest *h, const struct cut *c)
{
	struct cut *last = h->n_cuts != 0 ? &h->cuts[h->n_cuts - 1] : NULL;
	if (last == NULL || c->is_attribute || last->is_attribute || last->within != c->within ||
	    h->cut_spots != h->n_spots || h->cut_owners != h->n_owners)
		return false;
	uint32_t between = c->at - (last->at + last->len);
	if (between != 0) {
		memmove(h->bytes + last->at, h->bytes + last->at + last->len, between);
		last->at += between;
		write_filler(h->bytes + last->at, last->len + c->len);
	}
	last->len += c->len;
	return true;
}

bool harvest_cut(struct harvest *h, const struct cut *c)
{
	if (join_cut(h, c))
		return true;
	ROOM(h, cuts, h->n_cuts, cap_cuts);
	h->cuts[h->n_cuts++] = *c;
	h->cut_spots = h->n_spots;
	h->cut_owners = h->n_owners;
	return true;
}

static bool add_forced(struct harvest *h, const struct hit *hit)
{
	ROOM(h, forced, h->n_forced, cap_forced);
	h->forced[h->n_forced++] = *hit;
	return true;
}

void harvest_force(struct harvest *h, uint32_t value, uint32_t len, enum ruleset_extra why)
{
	struct hit hit = {.value = value,
			  .end = len,
			  .number = (uint16_t)(ruleset_rules(h->set) + (uint32_t)why)};
	add_forced(h, &hit);
}

void harvest_begin(struct harvest *h, const struct ruleset *set, struct scanner *s)
{
	h->text.len = 0;
	h->n = h->n_spots = h->n_copies = h->n_marks = h->n_owners = h->n_cuts = h->n_forced = 0;
	h->unknown_fields = 0;
	h->failed = false;
	h->set = set;
	h->scanner = s;
	struct owner *none = harvest_owner(h); /* 0: what has no attributes */
	if (none != NULL)
		*none = (struct owner){.span = NO_SPAN};
}

int harvest_outcome(const struct harvest *h)
{
	return h->failed ? fail(-ENOMEM, "redaction: no memory for %u texts", h->n) : 0;
}

int harvest_request(struct harvest *h, struct buf *request, const struct ruleset *set,
		    struct scanner *s)
{
	harvest_begin(h, set, s);
	h->bytes = request->data;
	if (!h->failed && request->len != 0)
		harvest_walk(h, buf_slice(request));
	return harvest_outcome(h);
}

int harvest_text(struct harvest *h, struct slice key, struct slice text, const struct ruleset *set,
		 struct scanner *s)
{
	harvest_begin(h, set, s);
	if (!h->failed && text.len != 0)
		harvest_one(h, text, key.len != 0 ? scanner_key(s, key) : NULL);
	return harvest_outcome(h);
}

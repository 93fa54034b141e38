/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/decode.h"

#include "redaction/escape.h"
#include "redaction/hint.h"
#include "redaction/hint_block.h"
#include "redaction/text64.h"

enum {
	MARK_EVERY = 256, /* bytes of a copy: a range is found in so many steps */
	CHUNK = 16        /* bytes that are copied at once, more of them than there may be */
};

struct decoder {
	struct harvest *h;
	size_t budget; /* the text's length that copies may bring it to */
	uint32_t of;   /* the value at hand */
	uint8_t depth; /* of its copies */
};

/* The value of the request that a copy goes back to. */
static uint32_t root_of(const struct harvest *h, uint32_t value)
{
	while (value >= h->n_spots)
		value = h->copies[value - h->n_spots].of;
	return value;
}

static void give_up(struct decoder *d, enum ruleset_extra why)
{
	uint32_t root = root_of(d->h, d->of);
	harvest_force(d->h, root, d->h->values[root].len, why);
}

/* Room for a copy of at most `len` bytes; false: the value was given up, or there is no memory. */
static bool may_copy(struct decoder *d, size_t len)
{
	if (d->h->text.len + len + 1 > d->budget) {
		give_up(d, EXTRA_TOO_MANY);
		return false;
	}
	return harvest_room(d->h, len + TEXT64_SLACK);
}

static struct slice text_of(const struct harvest *h, uint32_t value)
{
	const struct scan_value *v = &h->values[value];
	return slice_of(h->text.data + v->at, v->len);
}

/* ---- escapes ---- */

/* Where one may be, from byte i on. */
static inline size_t next_escape(struct slice s, size_t i)
{
#ifdef __SSE2__
	for (; s.len - i >= CHUNK; i += CHUNK) {
		__m128i c = _mm_loadu_si128((const __m128i *)(const void *)(s.data + i));
		__m128i found = _mm_or_si128(hint_equal(c, '%'), hint_equal(c, '\\'));
		found = _mm_or_si128(found, hint_equal(c, '&'));
		int bits = _mm_movemask_epi8(found);
		if (bits != 0)
			return i + (unsigned)__builtin_ctz((unsigned)bits);
	}
#endif
	while (i < s.len && !escape_begins(s.data[i]))
		i++;
	return i;
}

/* Whether there are any; `strong`: of the kind that no plain text has by chance. */
static bool has_escapes(struct slice s, bool strong)
{
	struct escape e;
	for (size_t i = 0, used; i < s.len; i += used) {
		if (!escape_begins(s.data[i]) && (i = next_escape(s, i)) == s.len)
			return false;
		int byte = escape_byte(s.data + i, s.len - i, &used);
		if (byte >= 0 && (!strong || (s.data[i] == '%' && byte > 0x20 && byte < 0x7f)))
			return true;
		if (byte >= 0)
			continue;
		used = 1;
		if (!escape_is_long(s.data + i, s.len - i) ||
		    !escape_read(s.data + i, s.len - i, &e))
			continue;
		if (!strong || e.strong)
			return true;
		used = e.used;
	}
	return false;
}

/* Plain text up to the next escape. Gives how many bytes it takes, and may write CHUNK more. */
static inline size_t copy_plain(struct slice s, size_t i, uint8_t *out)
{
	size_t end = s.len - i > MARK_EVERY ? i + MARK_EVERY : s.len;
	size_t len = next_escape(slice_of(s.data, end), i) - i;
	for (size_t at = 0; at < len; at += CHUNK)
		memmove(out + at, s.data + i + at, CHUNK); /* what is too much may overlap */
	return len;
}

/* As many of %XX as there are one after the other, in URLs mostly one, in hostile texts all. */
static inline size_t copy_percent(struct slice s, size_t i, uint8_t **out, const uint8_t *until)
{
	uint8_t *to = *out;
	for (; s.len - i >= 3 && s.data[i] == '%' && to < until; i += 3) {
		int high = ESCAPE_HEX[s.data[i + 1]] - 1, low = ESCAPE_HEX[s.data[i + 2]] - 1;
		if ((high | low) < 0)
			break;
		*to++ = (uint8_t)(high << 4 | low);
	}
	*out = to;
	return i;
}

/* What is from byte `i` on, a piece at a time, until that many bytes are written or some more. The
 * copy is in the same buffer, behind what it is made of, so CHUNK bytes of that may be read. */
static size_t copy_pieces(struct slice s, size_t i, uint8_t **out, const uint8_t *until)
{
	while (i < s.len && *out < until) {
		struct escape e;
		size_t used;
		i = copy_percent(s, i, out, until);
		if (i == s.len || *out >= until)
			break;
		if (!escape_begins(s.data[i])) {
			used = copy_plain(s, i, *out);
			i += used;
			*out += used;
			continue;
		}
		int byte = escape_byte(s.data + i, s.len - i, &used);
		if (byte < 0 && escape_is_long(s.data + i, s.len - i) &&
		    escape_read(s.data + i, s.len - i, &e)) {
			memcpy(*out, e.bytes, sizeof(e.bytes));
			*out += e.len;
			i += e.used;
			continue;
		}
		*(*out)++ = byte >= 0 ? (uint8_t)byte : s.data[i];
		i += byte >= 0 ? used : 1;
	}
	return i;
}

static void copy_escaped(struct decoder *d)
{
	struct harvest *h = d->h;
	if (!may_copy(d, h->values[d->of].len))
		return;
	struct slice s = text_of(h, d->of);
	struct copy c = {.of = d->of, .mark = h->n_marks, .depth = d->depth};
	uint8_t *start = h->text.data + h->text.len, *out = start;
	for (size_t i = 0; i < s.len; i = copy_pieces(s, i, &out, out + MARK_EVERY))
		if (!harvest_mark(h, (struct decode_mark){(uint32_t)(out - start), (uint32_t)i}))
			return;
	c.n_marks = h->n_marks - c.mark;
	harvest_copy(h, (uint32_t)(out - start), &c);
}

/* ---- base64 ---- */

/* Texts in the run at `at` of the value. They are decoded to the end of the harvested text, and
 * then moved together. */
static bool copy_texts(struct decoder *d, size_t at, size_t len)
{
	struct harvest *h = d->h;
	if (!may_copy(d, len / 4 * 3 + 3))
		return false;
	struct slice run = slice_of(text_of(h, d->of).data + at, len);
	uint8_t *bytes = h->text.data + h->text.len;
	struct slice all = slice_of(bytes, text64_decode(run, bytes));
	for (size_t i, end = 0;; end++) {
		struct slice text = text64_next(all, end);
		i = (size_t)(text.data - bytes);
		end = i + text.len;
		if (text.len == 0)
			return true;
		if (d->depth > REDACT_DEPTH) {
			give_up(d, EXTRA_TOO_DEEP);
			return false;
		}
		struct copy c = {.of = d->of,
				 .base = (uint32_t)(at + i / 3 * 4),
				 .end = (uint32_t)(at + len),
				 .skip = (uint8_t)(i % 3),
				 .depth = d->depth,
				 .is_base64 = true};
		memmove(h->text.data + h->text.len, bytes + i, end - i);
		if (!harvest_copy(h, (uint32_t)(end - i), &c))
			return false;
	}
}

/* Bytes that so many characters give. */
static size_t decoded_len(size_t characters)
{
	return characters * 3 / 4;
}

static bool copy_run(struct decoder *d, size_t at, size_t len)
{
	unsigned starts = text64_starts(slice_of(text_of(d->h, d->of).data + at, len));
	for (size_t skip = 0; skip < 4 && decoded_len(len - skip) >= TEXT64_LEAST; skip++)
		if ((starts >> skip & 1) != 0 && !copy_texts(d, at + skip, len - skip))
			return false;
	return true;
}

static void copy_base64(struct decoder *d)
{
	for (size_t i = 0;;) {
		struct slice s = text_of(d->h, d->of), run = text64_run(s, i); /* it may move */
		size_t at = (size_t)(run.data - s.data);
		if (run.len == 0 || !copy_run(d, at, run.len))
			return;
		i = at + run.len;
	}
}

static void decode_value(struct decoder *d, uint32_t value)
{
	struct harvest *h = d->h;
	d->of = value;
	d->depth = 1;
	if (value >= h->n_spots)
		d->depth = (uint8_t)(h->copies[value - h->n_spots].depth + 1);
	bool is_last = d->depth > REDACT_DEPTH;
	if (has_escapes(text_of(h, value), is_last)) {
		if (is_last) {
			give_up(d, EXTRA_TOO_DEEP);
			return;
		}
		copy_escaped(d);
	}
	if (h->values[value].len >= TEXT64_RUN)
		copy_base64(d);
}

/* ---- the way back ---- */

/* What begins at an escape's first byte, which may be no escape. */
static void read_unit(const uint8_t *p, size_t left, struct escape *e)
{
	size_t used;
	e->len = 1;
	if (escape_byte(p, left, &used) >= 0)
		e->used = (uint8_t)used;
	else if (!escape_is_long(p, left) || !escape_read(p, left, e))
		e->used = e->len = 1;
}

/* The byte of its source at which the unit that gives byte `at` of the copy begins, or, for `end`,
 * ends. */
static uint32_t escaped_source(const struct harvest *h, const struct copy *c, uint32_t at, bool end)
{
	const struct decode_mark *m = &h->marks[c->mark];
	struct slice s = text_of(h, c->of);
	uint32_t low = 0, high = c->n_marks;
	if (end && at + 1 == h->values[h->n_spots + (uint32_t)(c - h->copies)].len)
		return (uint32_t)s.len; /* mostly all of a copy is meant */
	while (high - low > 1) {        /* the last mark that is not behind it */
		uint32_t mid = low + (high - low) / 2;
		if (m[mid].at <= at)
			low = mid;
		else
			high = mid;
	}
	size_t i = m[low].from, copied = m[low].at;
	struct escape e;
	while (i < s.len) {
		e.used = e.len = 1;
		if (escape_begins(s.data[i]))
			read_unit(s.data + i, s.len - i, &e);
		if (copied + e.len > at)
			return (uint32_t)(end ? i + e.used : i);
		i += e.used;
		copied += e.len;
	}
	return (uint32_t)s.len;
}

/* Outward to whole groups of four characters. */
static void base64_back(const struct copy *c, uint32_t *start, uint32_t *end)
{
	*start = c->base + (*start + c->skip) / 3 * 4;
	*end = c->base + ((*end - 1 + c->skip) / 3 + 1) * 4;
	if (*end > c->end)
		*end = c->end;
}

void decode_back(const struct harvest *h, const struct copy *c, uint32_t *start, uint32_t *end)
{
	if (*end <= *start)
		return;
	if (c->is_base64) {
		base64_back(c, start, end);
		return;
	}
	uint32_t last = *end - 1;
	*start = escaped_source(h, c, *start, false);
	*end = escaped_source(h, c, last, true);
}

/* ---- all ---- */

/* Of the values of the request only those that the hints point at are looked into. */
static void decode_hinted(struct decoder *d)
{
	struct harvest *h = d->h;
	struct hint hint;
	size_t len = h->text.len;
	hint_begin(&hint, slice_of(h->text.data, len));
	for (uint32_t value = 0; !h->failed; value++) {
		size_t at = hint_next(&hint);
		while (at != SIZE_MAX && h->values[value].at + h->values[value].len <= at)
			value++;
		if (at == SIZE_MAX)
			return;
		decode_value(d, value);
		hint.text = slice_of(h->text.data, len); /* it may have moved */
		hint_skip(&hint, (size_t)h->values[value].at + h->values[value].len);
	}
}

int decode_copies(struct harvest *h)
{
	struct decoder d = {.h = h, .budget = 3 * h->text.len + DECODE_SPARE};
	if (h->text.len != 0)
		decode_hinted(&d);
	for (uint32_t value = h->n_spots; value < h->n && !h->failed; value++)
		decode_value(&d, value);
	return harvest_outcome(h);
}

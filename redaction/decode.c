/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/decode.h"

#include "base/endian.h"
#include "redaction/escape.h"
#include "redaction/hint.h"
#include "wire/utf8.h"

enum { NO_DIGIT = 0, MARK_EVERY = 256 /* bytes of a copy: a range is found in so many steps */ };

struct decoder {
	struct harvest *h;
	size_t budget; /* the text's length that copies may bring it to */
	uint32_t of;   /* the value at hand */
	uint8_t depth; /* of its copies */
};

/* Both alphabets of RFC 4648; what is in neither is 0, which is taken for NO_DIGIT: A is 64 here,
 * of which the six low bits count. */
static const uint8_t DIGITS[256] = {
    ['A'] = 64, ['B'] = 1,  ['C'] = 2,  ['D'] = 3,  ['E'] = 4,  ['F'] = 5,  ['G'] = 6,  ['H'] = 7,
    ['I'] = 8,  ['J'] = 9,  ['K'] = 10, ['L'] = 11, ['M'] = 12, ['N'] = 13, ['O'] = 14, ['P'] = 15,
    ['Q'] = 16, ['R'] = 17, ['S'] = 18, ['T'] = 19, ['U'] = 20, ['V'] = 21, ['W'] = 22, ['X'] = 23,
    ['Y'] = 24, ['Z'] = 25, ['a'] = 26, ['b'] = 27, ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31,
    ['g'] = 32, ['h'] = 33, ['i'] = 34, ['j'] = 35, ['k'] = 36, ['l'] = 37, ['m'] = 38, ['n'] = 39,
    ['o'] = 40, ['p'] = 41, ['q'] = 42, ['r'] = 43, ['s'] = 44, ['t'] = 45, ['u'] = 46, ['v'] = 47,
    ['w'] = 48, ['x'] = 49, ['y'] = 50, ['z'] = 51, ['0'] = 52, ['1'] = 53, ['2'] = 54, ['3'] = 55,
    ['4'] = 56, ['5'] = 57, ['6'] = 58, ['7'] = 59, ['8'] = 60, ['9'] = 61, ['+'] = 62, ['/'] = 63,
    ['-'] = 62, ['_'] = 63,
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
	return harvest_room(d->h, len + 4);
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
	while (i < s.len && !escape_begins(s.data[i]))
		i++;
	return i;
}

/* Whether there are any; `strong`: of the kind that no plain text has by chance. */
static bool has_escapes(struct slice s, bool strong)
{
	struct escape e;
	for (size_t i = 0, used; (i = next_escape(s, i)) < s.len; i += used) {
		int byte = escape_byte(s.data + i, s.len - i, &used);
		if (byte >= 0 && (!strong || (s.data[i] == '%' && byte > 0x20 && byte < 0x7f)))
			return true;
		if (byte >= 0)
			continue;
		used = 1;
		if (!escape_read(s.data + i, s.len - i, &e))
			continue;
		if (!strong || e.strong)
			return true;
		used = e.used;
	}
	return false;
}

/* What is at byte `i`: an escape, or plain text up to the next. Gives how many bytes it takes. */
static inline size_t copy_piece(struct slice s, size_t i, uint8_t **out)
{
	struct escape e;
	size_t used, end;
	if (!escape_begins(s.data[i])) {
		end = s.len - i > MARK_EVERY ? i + MARK_EVERY : s.len;
		end = next_escape(slice_of(s.data, end), i);
		memcpy(*out, s.data + i, end - i);
		*out += end - i;
		return end - i;
	}
	int byte = escape_byte(s.data + i, s.len - i, &used);
	if (byte < 0 && escape_read(s.data + i, s.len - i, &e)) {
		memcpy(*out, e.bytes, e.len);
		*out += e.len;
		return e.used;
	}
	*(*out)++ = byte >= 0 ? (uint8_t)byte : s.data[i];
	return byte >= 0 ? used : 1;
}

static void copy_escaped(struct decoder *d)
{
	struct harvest *h = d->h;
	if (!may_copy(d, h->values[d->of].len))
		return;
	struct slice s = text_of(h, d->of);
	struct copy c = {.of = d->of, .mark = h->n_marks, .depth = d->depth};
	uint8_t *start = h->text.data + h->text.len, *out = start;
	uint32_t next_mark = 0;
	for (size_t i = 0; i < s.len;) {
		uint32_t at = (uint32_t)(out - start);
		if (at >= next_mark) {
			if (!harvest_mark(h, (struct decode_mark){at, (uint32_t)i}))
				return;
			next_mark = at + MARK_EVERY;
		}
		i += copy_piece(s, i, &out);
	}
	c.n_marks = h->n_marks - c.mark;
	harvest_copy(h, (uint32_t)(out - start), &c);
}

/* ---- base64 ---- */

/* Whether eight bytes are 0x20 to 0x7e each. Carries only make it say no. */
static inline bool is_ascii_text(uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101;
	return ((bytes | (bytes - 0x20 * ones) | (bytes + ones)) & 0x80 * ones) == 0;
}

/* The first byte of `s` from `at` on that is no text. */
static size_t text_end(struct slice s, size_t at)
{
	while (at < s.len) {
		if (s.len - at >= 8 && is_ascii_text(get64(s.data + at))) {
			at += 8;
			continue;
		}
		uint8_t c = s.data[at];
		bool is_control = c < 0x20 && c != '\t' && c != '\n' && c != '\r';
		int n = is_control || c == 0x7f ? -1 : utf8_sequence(s.data + at, s.len - at);
		if (n < 0)
			break;
		at += (size_t)n;
	}
	return at;
}

static size_t decode_run(struct slice run, uint8_t *out)
{
	const uint8_t *p = run.data;
	uint32_t bits = 0;
	size_t n = 0, i = 0;
	for (; i + 4 <= run.len; i += 4) {
		bits = (uint32_t)(DIGITS[p[i]] & 63) << 18 |
		       (uint32_t)(DIGITS[p[i + 1]] & 63) << 12 |
		       (uint32_t)(DIGITS[p[i + 2]] & 63) << 6 | (DIGITS[p[i + 3]] & 63);
		out[n++] = (uint8_t)(bits >> 16);
		out[n++] = (uint8_t)(bits >> 8);
		out[n++] = (uint8_t)bits;
	}
	for (; i < run.len; i++) {
		bits = bits << 6 | (DIGITS[p[i]] & 63);
		if (i % 4 != 0)
			out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return n;
}

/* Texts in the run at `at` of the value. They are decoded to the end of the harvested text, and
 * then moved together. */
static bool copy_texts(struct decoder *d, size_t at, size_t len)
{
	struct harvest *h = d->h;
	if (!may_copy(d, len / 4 * 3 + 3))
		return false;
	struct slice run = slice_of(text_of(h, d->of).data + at, len);
	uint8_t *bytes = h->text.data + h->text.len;
	struct slice all = slice_of(bytes, decode_run(run, bytes));
	for (size_t i = 0, end; i < all.len; i = end + 1) {
		end = text_end(all, i);
		if (end - i < DECODE_LEAST_TEXT)
			continue;
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
	return true;
}

/* Which of the first four characters a text may begin at, as bits: what is before base64, of a path
 * say, may be of the same alphabet. A text of DECODE_LEAST_TEXT has three groups of four that are
 * of ASCII, whatever the byte it begins at; of a hundred paths two have such by chance. */
static unsigned text_starts(const uint8_t *run, size_t len)
{
	uint32_t bits = 0, texts = 0; /* of the last groups, a bit each: whether it is text */
	unsigned starts = 0;
	for (size_t i = 0; i < len; i++) {
		bits = (bits << 6 | (DIGITS[run[i]] & 63)) & 0xffffff;
		/* all three bytes are below 0x80, and \t or above */
		bool is_text = (bits & 0x808080) == 0 && ((bits + 0x777777) & 0x808080) == 0x808080;
		texts = texts << 1 | (is_text && i >= 3);
		starts |= (texts & texts >> 4 & texts >> 8 & 1) << ((i + 1) & 3);
	}
	return starts;
}

static bool copy_run(struct decoder *d, size_t at, size_t len)
{
	unsigned starts = text_starts(text_of(d->h, d->of).data + at, len);
	for (size_t skip = 0; skip < 4; skip++)
		if ((starts >> skip & 1) != 0 && !copy_texts(d, at + skip, len - skip))
			return false;
	return true;
}

static void copy_base64(struct decoder *d)
{
	size_t len = d->h->values[d->of].len;
	for (size_t i = 0, start; i < len; i++) {
		const uint8_t *p = text_of(d->h, d->of).data; /* which may have moved */
		while (i < len && DIGITS[p[i]] == NO_DIGIT)
			i++;
		for (start = i; i < len && DIGITS[p[i]] != NO_DIGIT;)
			i++;
		if (i - start >= HINT_RUN && !copy_run(d, start, i - start))
			return;
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
	copy_base64(d);
}

/* ---- the way back ---- */

/* The byte of its source at which the unit that gives byte `at` of the copy begins, or, for `end`,
 * ends. */
static uint32_t escaped_source(const struct harvest *h, const struct copy *c, uint32_t at, bool end)
{
	const struct decode_mark *m = &h->marks[c->mark];
	struct slice s = text_of(h, c->of);
	uint32_t low = 0, high = c->n_marks;
	while (high - low > 1) { /* the last mark that is not behind it */
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
		if (escape_begins(s.data[i]) && !escape_read(s.data + i, s.len - i, &e))
			e.used = e.len = 1;
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

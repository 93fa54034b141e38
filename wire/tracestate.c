/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/tracestate.h"

#include <math.h>

enum { KEY_MAX = 256, VALUE_MAX = 256, TH_DIGITS = 14, KEPT_DIGITS = 4 };

/* ---- reading ---- */

static bool is_lower(uint8_t c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_one_of(uint8_t c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Level 2: a key may begin with a digit; @ parts tenant and system. */
static bool is_key(struct slice s)
{
	if (s.len == 0 || s.len > KEY_MAX || !(is_lower(s.data[0]) || is_digit(s.data[0])))
		return false;
	for (size_t i = 1; i < s.len; i++) {
		uint8_t c = s.data[i];
		if (!is_lower(c) && !is_digit(c) && !is_one_of(c, "_-*/@"))
			return false;
	}
	return true;
}

static bool is_value(struct slice s)
{
	if (s.len > VALUE_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < 0x20 || s.data[i] > 0x7e || s.data[i] == '=')
			return false;
	return true;
}

/* Takes what stands before the next `mark` off *rest; false at the end. */
static bool next_part(struct slice *rest, char mark, struct slice *part)
{
	if (rest->data == NULL)
		return false;
	const uint8_t *end = rest->len != 0 ? memchr(rest->data, mark, rest->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
	*part = slice_of(rest->data, len);
	*rest = end != NULL ? slice_of(end + 1, rest->len - len - 1) : slice_of(NULL, 0);
	return true;
}

static struct slice trim(struct slice s)
{
	while (s.len != 0 && is_space(s.data[0]))
		s = slice_of(s.data + 1, s.len - 1);
	while (s.len != 0 && is_space(s.data[s.len - 1]))
		s.len--;
	return s;
}

/* Parts `name mark value`. */
static bool split(struct slice s, char mark, struct slice *name, struct slice *value)
{
	struct slice rest = s;
	if (!next_part(&rest, mark, name) || rest.data == NULL)
		return false;
	*value = rest;
	return true;
}

static bool read_hex(struct slice s, uint64_t *out)
{
	uint64_t n = 0;
	if (s.len == 0 || s.len > TH_DIGITS)
		return false;
	for (size_t i = 0; i < TH_DIGITS; i++) {
		uint8_t c = i < s.len ? s.data[i] : '0';
		if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
			return false;
		n = n << 4 | (uint64_t)(is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	*out = n;
	return true;
}

static bool is_sub_value(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i], lower = c | 0x20;
		if (!is_lower(lower) && !is_digit(c) && !is_one_of(c, "._-"))
			return false;
	}
	return true;
}

/* The sub-keys `th` and `rv`; others must only look like some. */
static bool read_ot(struct tracestate *t)
{
	struct slice rest = t->ot, part, key, value;
	while (next_part(&rest, ';', &part)) {
		if (!split(part, ':', &key, &value) || !is_key(key) || !is_sub_value(value))
			return false;
		if (slice_is(key, "th")) {
			if (t->has_th || !read_hex(value, &t->th))
				return false;
			t->has_th = true;
		} else if (slice_is(key, "rv")) {
			if (t->has_rv || value.len != TH_DIGITS || !read_hex(value, &t->rv))
				return false;
			t->has_rv = true;
		}
	}
	return true;
}

static int read_members(struct tracestate *t)
{
	struct slice rest = t->text.len != 0 ? t->text : slice_of(NULL, 0), member, key, value;
	while (next_part(&rest, ',', &member)) {
		member = trim(member);
		if (member.len == 0)
			continue;
		if (!split(member, '=', &key, &value) || !is_key(key) || !is_value(value))
			return TRACESTATE_BAD;
		if (!slice_is(key, "ot"))
			continue;
		if (t->ot.data != NULL || value.len > TRACESTATE_MAX_OT)
			return TRACESTATE_BAD;
		t->ot = value;
		if (!read_ot(t))
			return TRACESTATE_BAD;
	}
	return 0;
}

int tracestate_read(struct tracestate *t, struct slice text)
{
	*t = (struct tracestate){.text = text};
	int rc = read_members(t);
	if (rc != 0)
		*t = (struct tracestate){.text = text}; /* half of it is not to be believed */
	return rc;
}

/* ---- writing ---- */

/* Without the zeros at the end, but at least one digit. */
static int append_th(struct buf *out, uint64_t th)
{
	char digits[TH_DIGITS + 1];
	snprintf(digits, sizeof(digits), "%014llx", (unsigned long long)th);
	size_t len = TH_DIGITS;
	while (len > 1 && digits[len - 1] == '0')
		len--;
	return buf_printf(out, "th:%.*s", (int)len, digits);
}

static int append_ot(const struct tracestate *t, struct buf *out)
{
	size_t begin = out->len;
	struct slice rest = t->ot, part, key, value;
	int rc = t->has_th ? append_th(out, t->th) : 0;
	if (rc == 0 && t->has_rv)
		rc = buf_printf(out, "%srv:%014llx", out->len != begin ? ";" : "",
				(unsigned long long)t->rv);
	while (rc == 0 && next_part(&rest, ';', &part))
		if (split(part, ':', &key, &value) && !slice_is(key, "th") && !slice_is(key, "rv"))
			rc = buf_printf(out, "%s%.*s", out->len != begin ? ";" : "", (int)part.len,
					(const char *)part.data);
	return rc == 0 && out->len - begin > TRACESTATE_MAX_OT ? TRACESTATE_BAD : rc;
}

static int append_others(const struct tracestate *t, struct buf *out, size_t begin)
{
	struct slice rest = t->text.len != 0 ? t->text : slice_of(NULL, 0), member, key, value;
	int rc = 0, n = out->len != begin;
	while (rc == 0 && next_part(&rest, ',', &member)) {
		member = trim(member);
		if (!split(member, '=', &key, &value) || slice_is(key, "ot"))
			continue;
		if (++n <= TRACESTATE_MAX_MEMBERS)
			rc = buf_printf(out, "%s%.*s", out->len != begin ? "," : "",
					(int)member.len, (const char *)member.data);
	}
	return rc;
}

static bool says_the_same(const struct tracestate *a, const struct tracestate *b)
{
	return a->has_th == b->has_th && a->has_rv == b->has_rv && (!a->has_th || a->th == b->th) &&
	       (!a->has_rv || a->rv == b->rv);
}

int tracestate_write(const struct tracestate *t, struct buf *out)
{
	struct tracestate was;
	size_t begin = out->len;
	int rc = tracestate_read(&was, t->text);
	if (says_the_same(t, &was))
		return t->text.len != 0 ? buf_append(out, t->text.data, t->text.len) : 0;
	if ((t->has_th && t->th >= THRESHOLD_NEVER) || (t->has_rv && t->rv >= THRESHOLD_NEVER))
		rc = TRACESTATE_BAD;
	if (rc == 0)
		rc = buf_append(out, "ot=", 3);
	if (rc == 0)
		rc = append_ot(t, out);
	if (rc == 0 && out->len == begin + 3)
		out->len = begin;
	if (rc == 0)
		rc = append_others(t, out, begin);
	if (rc != 0)
		out->len = begin;
	return rc;
}

/* ---- probabilities ---- */

uint64_t threshold_of(double share)
{
	if (!(share > 0))
		return THRESHOLD_NEVER;
	if (share >= 1)
		return 0;
	/* Digits that are f at the beginning: 1 - share > 1 - 16^-n. */
	int f = (int)floor(-log2(share) / 4);
	int bits = 56 - 4 * (f + KEPT_DIGITS);
	bits = bits > 0 ? bits : 0;
	double kept = ldexp(share, 56 - bits); /* exact: 2^56 - T, in units of the last digit */
	uint64_t t = THRESHOLD_NEVER - ((uint64_t)llround(kept) << bits);
	return t < THRESHOLD_NEVER ? t : THRESHOLD_NEVER - 1;
}

double threshold_share(uint64_t threshold)
{
	return threshold >= THRESHOLD_NEVER ? 0 : ldexp((double)(THRESHOLD_NEVER - threshold), -56);
}

uint64_t threshold_product(uint64_t first, uint64_t second)
{
	unsigned __int128 kept =
	    (unsigned __int128)(THRESHOLD_NEVER - first) * (THRESHOLD_NEVER - second);
	return THRESHOLD_NEVER - (uint64_t)(kept >> 56);
}

uint64_t randomness_of(const uint8_t *trace_id)
{
	uint64_t r = 0;
	for (int i = 9; i < 16; i++)
		r = r << 8 | trace_id[i];
	return r;
}

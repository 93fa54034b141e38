/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/mask.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAST = 4, LEAST_STARS = 8 /* before the last four: fewer would tell too much */ };
enum { HMAC_HEX = 16, HMAC_BYTES = HMAC_HEX / 2, SHA256_BYTES = 32 };

/* Who tells less stands before who tells more. */
static const uint8_t TELLS[MASKS] = {
    [MASK_DROP] = 0,        [MASK_REPLACE] = 1, [MASK_TYPED] = 2,       [MASK_URL] = 3,
    [MASK_KEEP_LENGTH] = 4, [MASK_HMAC] = 5,    [MASK_KEEP_LAST_4] = 6, [MASK_INHERIT] = 4,
};

/* ---- ranges ---- */

static int by_start(const void *a, const void *b)
{
	const struct redact_range *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end > y->end ? -1 : x->end < y->end;
}

static bool decides(const struct ruleset *set, const struct redact_range *a,
		    const struct redact_range *b)
{
	uint8_t x = TELLS[ruleset_mask(set, a->number)], y = TELLS[ruleset_mask(set, b->number)];
	size_t a_len = a->end - a->start, b_len = b->end - b->start;
	if (x != y)
		return x < y;
	return a_len != b_len ? a_len > b_len : a->number < b->number;
}

uint32_t mask_merge(const struct ruleset *set, struct redact_range *ranges, uint32_t n)
{
	if (n < 2)
		return n;
	qsort(ranges, n, sizeof(*ranges), by_start);
	uint32_t out = 0;
	struct redact_range best = ranges[0]; /* of the one in the making: the range that decides */
	for (uint32_t i = 1; i < n; i++) {
		struct redact_range r = ranges[i];
		if (r.start > ranges[out].end) {
			ranges[++out] = best = r;
			continue;
		}
		if (r.end > ranges[out].end)
			ranges[out].end = r.end;
		if (decides(set, &r, &best))
			best = r;
		ranges[out].number = best.number;
	}
	return out + 1;
}

/* ---- styles ---- */

bool mask_keeps_length(enum mask mask)
{
	return mask == MASK_KEEP_LENGTH || mask == MASK_KEEP_LAST_4 || mask == MASK_INHERIT;
}

/* The last four bytes; none where they begin within a character. */
static size_t last_bytes(const uint8_t *bytes, size_t len)
{
	bool may = len >= LEAST_STARS + LAST && (bytes[len - LAST] & 0xc0) != 0x80;
	return may ? LAST : 0;
}

void mask_in_place(enum mask mask, uint8_t *bytes, size_t len)
{
	size_t last = mask == MASK_KEEP_LAST_4 ? last_bytes(bytes, len) : 0;
	memset(bytes, '*', len - last);
}

/* Without a key the set would not be there; if it is, stars are what tells nothing. */
static size_t hmac_text(const struct ruleset_masking *m, struct slice secret,
			char out[MASK_TEXT_MAX])
{
	uint8_t digest[SHA256_BYTES];
	unsigned digest_len = sizeof(digest);
	if (m->hmac_key.len == 0 || HMAC(EVP_sha256(), m->hmac_key.data, (int)m->hmac_key.len,
					 secret.data, secret.len, digest, &digest_len) == NULL) {
		size_t len = secret.len < MASK_TEXT_MAX ? secret.len : MASK_TEXT_MAX;
		memset(out, '*', len);
		return len;
	}
	int len = snprintf(out, MASK_TEXT_MAX, "hmac:%s:", m->hmac_key_id);
	for (int i = 0; i < HMAC_BYTES; i++)
		len += snprintf(out + len, MASK_TEXT_MAX - (size_t)len, "%02x", digest[i]);
	return (size_t)len;
}

/* The conventions want both parts of a URL's userinfo to be seen as what they were. */
static bool is_userinfo(struct slice secret, struct slice value)
{
	const uint8_t *behind = secret.data + secret.len;
	return behind < value.data + value.len && *behind == '@' &&
	       memchr(secret.data, ':', secret.len) != NULL;
}

size_t mask_text(const struct ruleset *set, const struct redact_range *r, struct slice value,
		 char out[MASK_TEXT_MAX])
{
	struct slice secret = slice_of(value.data + r->start, r->end - r->start);
	int len = 0;
	switch (ruleset_mask(set, r->number)) {
	case MASK_DROP:
		break;
	case MASK_TYPED:
		len = snprintf(out, MASK_TEXT_MAX, "[REDACTED:%.120s]", ruleset_id(set, r->number));
		break;
	case MASK_HMAC:
		return hmac_text(ruleset_masking(set), secret, out);
	case MASK_URL:
		len = snprintf(out, MASK_TEXT_MAX, "%s",
			       is_userinfo(secret, value) ? "REDACTED:REDACTED" : "REDACTED");
		break;
	default:
		len = snprintf(out, MASK_TEXT_MAX, "[REDACTED]");
		break;
	}
	return (size_t)len;
}

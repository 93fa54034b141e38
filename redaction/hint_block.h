/* SPDX-License-Identifier: Apache-2.0
 * redaction/hint_block.h - classes of 64 bytes, a bit each. */
#ifndef REDACTION_HINT_BLOCK_H
#define REDACTION_HINT_BLOCK_H

#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { HINT_BLOCK = 64 };

struct hint_bits {
	uint64_t escapes; /* % \ & */
	uint64_t base64;  /* letters, digits, + / - _ */
	uint64_t capitals;
};

#ifdef __SSE2__

/* Bytes in `first` to `first + span`, all ones each. */
static inline __m128i hint_range(__m128i bytes, char first, char span)
{
	__m128i from = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
	return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8(span)), from);
}

static inline __m128i hint_equal(__m128i bytes, char c)
{
	return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

static inline struct hint_bits hint_block(const uint8_t *p)
{
	struct hint_bits bits = {0, 0, 0};
	for (unsigned i = 0; i < HINT_BLOCK; i += 16) {
		__m128i c = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i letters = hint_range(_mm_or_si128(c, _mm_set1_epi8(0x20)), 'a', 25);
		__m128i digits = hint_range(c, '/', 10); /* '/' stands before '0' */
		__m128i signs = _mm_or_si128(hint_equal(c, '-'), hint_equal(c, '_'));
		signs = _mm_or_si128(signs, hint_equal(c, '+'));
		__m128i all = _mm_or_si128(_mm_or_si128(letters, digits), signs);
		__m128i escapes = _mm_or_si128(hint_equal(c, '%'), hint_equal(c, '\\'));
		escapes = _mm_or_si128(escapes, hint_equal(c, '&'));
		__m128i capitals = hint_range(c, 'A', 25);
		bits.capitals |= (uint64_t)(uint32_t)_mm_movemask_epi8(capitals) << i;
		bits.base64 |= (uint64_t)(uint32_t)_mm_movemask_epi8(all) << i;
		bits.escapes |= (uint64_t)(uint32_t)_mm_movemask_epi8(escapes) << i;
	}
	return bits;
}

#else

static inline struct hint_bits hint_block(const uint8_t *p)
{
	struct hint_bits bits = {0, 0, 0};
	for (unsigned i = 0; i < HINT_BLOCK; i++) {
		uint8_t c = p[i], letter = (uint8_t)((c | 0x20) - 'a'), digit = (uint8_t)(c - '/');
		uint64_t base64 = letter < 26 || digit < 11 || c == '-' || c == '_' || c == '+';
		uint64_t escape = c == '%' || c == '\\' || c == '&';
		bits.base64 |= base64 << i;
		bits.capitals |= (uint64_t)((uint8_t)(c - 'A') < 26) << i;
		bits.escapes |= escape << i;
	}
	return bits;
}

#endif
#endif

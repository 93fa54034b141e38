/* SPDX-License-Identifier: Apache-2.0
 * redaction/hint_block.h - classes of 64 bytes, a bit each. */
#ifndef REDACTION_HINT_BLOCK_H
#define REDACTION_HINT_BLOCK_H

#include <stdint.h>

#ifdef __SSE2__
#include <immintrin.h>
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

/* The same in half the steps: two tables, by the low and the high half of a byte, have a bit in
 * common for each class. Bytes from 0x80 on find nothing in the first. */
__attribute__((target("avx2"))) static inline struct hint_bits hint_block_avx2(const uint8_t *p)
{
	enum { A_O = 1, P_Z = 2, DIGIT = 4, SIGN = 8, LINE = 16, ESCAPE2 = 32, ESCAPE5 = 64 };
	enum { ALL = A_O | P_Z | DIGIT };
	const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(
	    P_Z | DIGIT, ALL, ALL, ALL, ALL, ALL | ESCAPE2, ALL | ESCAPE2, ALL, ALL, ALL, A_O | P_Z,
	    A_O | SIGN, A_O | ESCAPE5, A_O | SIGN, A_O, A_O | SIGN | LINE));
	const __m256i high = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(0, 0, SIGN | ESCAPE2, DIGIT, A_O, P_Z | LINE | ESCAPE5, A_O, P_Z, 0, 0, 0,
			  0, 0, 0, 0, 0));
	struct hint_bits bits = {0, 0, 0};
	for (unsigned i = 0; i < HINT_BLOCK; i += 32) {
		__m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		__m256i half = _mm256_and_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi8(15));
		__m256i class =
		    _mm256_and_si256(_mm256_shuffle_epi8(low, c), _mm256_shuffle_epi8(high, half));
		__m256i none = _mm256_cmpeq_epi8(class, _mm256_setzero_si256());
		__m256i escapes = _mm256_cmpgt_epi8(class, _mm256_set1_epi8(ESCAPE2 - 1));
		/* of letters and the line, those without the bit that makes letters small */
		__m256i small =
		    _mm256_or_si256(_mm256_slli_epi16(c, 2), _mm256_slli_epi16(class, 3));
		uint64_t other = (uint32_t)_mm256_movemask_epi8(none);
		uint64_t escape = (uint32_t)_mm256_movemask_epi8(escapes);
		uint64_t not_capital = (uint32_t)_mm256_movemask_epi8(small);
		uint64_t base64 = (other | escape) ^ UINT32_MAX;
		bits.base64 |= base64 << i;
		bits.escapes |= escape << i;
		bits.capitals |= (base64 & ~not_capital) << i;
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

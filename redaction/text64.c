/* SPDX-License-Identifier: Apache-2.0
 * What is done for each byte is there for any machine, and again for 32 of them at a time. */
#include "redaction/text64.h"

#include "base/endian.h"
#include "redaction/hint_block.h"
#include "wire/utf8.h"

/* What a digit is worth. What is in neither alphabet is 0, as A is: runs have none of it. */
static const uint8_t WORTH[256] = {
    ['B'] = 1,  ['C'] = 2,  ['D'] = 3,  ['E'] = 4,  ['F'] = 5,  ['G'] = 6,  ['H'] = 7,  ['I'] = 8,
    ['J'] = 9,  ['K'] = 10, ['L'] = 11, ['M'] = 12, ['N'] = 13, ['O'] = 14, ['P'] = 15, ['Q'] = 16,
    ['R'] = 17, ['S'] = 18, ['T'] = 19, ['U'] = 20, ['V'] = 21, ['W'] = 22, ['X'] = 23, ['Y'] = 24,
    ['Z'] = 25, ['a'] = 26, ['b'] = 27, ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31, ['g'] = 32,
    ['h'] = 33, ['i'] = 34, ['j'] = 35, ['k'] = 36, ['l'] = 37, ['m'] = 38, ['n'] = 39, ['o'] = 40,
    ['p'] = 41, ['q'] = 42, ['r'] = 43, ['s'] = 44, ['t'] = 45, ['u'] = 46, ['v'] = 47, ['w'] = 48,
    ['x'] = 49, ['y'] = 50, ['z'] = 51, ['0'] = 52, ['1'] = 53, ['2'] = 54, ['3'] = 55, ['4'] = 56,
    ['5'] = 57, ['6'] = 58, ['7'] = 59, ['8'] = 60, ['9'] = 61, ['+'] = 62, ['/'] = 63, ['-'] = 62,
    ['_'] = 63,
};

/* No text has these: control characters, and bytes that UTF-8 never has. */
static const bool IS_NO_TEXT[256] = {
    [0] = 1,    [1] = 1,    [2] = 1,    [3] = 1,    [4] = 1,    [5] = 1,    [6] = 1,    [7] = 1,
    [8] = 1,    [0x0b] = 1, [0x0c] = 1, [0x0e] = 1, [0x0f] = 1, [0x10] = 1, [0x11] = 1, [0x12] = 1,
    [0x13] = 1, [0x14] = 1, [0x15] = 1, [0x16] = 1, [0x17] = 1, [0x18] = 1, [0x19] = 1, [0x1a] = 1,
    [0x1b] = 1, [0x1c] = 1, [0x1d] = 1, [0x1e] = 1, [0x1f] = 1, [0x7f] = 1, [0xc0] = 1, [0xc1] = 1,
    [0xf5] = 1, [0xf6] = 1, [0xf7] = 1, [0xf8] = 1, [0xf9] = 1, [0xfa] = 1, [0xfb] = 1, [0xfc] = 1,
    [0xfd] = 1, [0xfe] = 1, [0xff] = 1,
};

/* A bit for each of 64 bytes. */
typedef uint64_t block_bits(const uint8_t *p);

#define INLINE static inline __attribute__((always_inline))

/* ---- runs of 64 bits ---- */

INLINE size_t first_bit(uint64_t bits)
{
	return bits != 0 ? (size_t)__builtin_ctzll(bits) : HINT_BLOCK;
}

/* The bits from which on `least` or more are set, 8 to 16: each step doubles what is known. */
INLINE uint64_t runs_of(uint64_t bits, unsigned least)
{
	bits &= bits >> 1;
	bits &= bits >> 2;
	bits &= bits >> 4;
	return bits & bits >> (least - 8);
}

/* Of the bytes at `at`; behind the end none is set. */
INLINE uint64_t bits_at(struct slice s, size_t at, block_bits *bits)
{
	uint8_t padded[HINT_BLOCK];
	size_t left = s.len - at;
	if (left >= HINT_BLOCK)
		return bits(s.data + at);
	memset(padded, 0, sizeof(padded)); /* which is of no class */
	memcpy(padded, s.data + at, left);
	return bits(padded);
}

/* Where the next `least` bytes begin that are all set; or s.len. */
INLINE size_t find_run(struct slice s, size_t at, unsigned least, block_bits *bits)
{
	for (; at + least <= s.len; at += HINT_BLOCK + 1 - least) {
		uint64_t runs = runs_of(bits_at(s, at, bits), least);
		if (runs != 0)
			return at + first_bit(runs);
	}
	return s.len;
}

INLINE size_t run_end(struct slice s, size_t at, block_bits *bits)
{
	while (at < s.len) {
		size_t n = first_bit(~bits_at(s, at, bits));
		at += n;
		if (n < HINT_BLOCK)
			break;
	}
	return at;
}

/* ---- a byte at a time ---- */

static uint64_t base64_bits(const uint8_t *p)
{
	return hint_block(p).base64;
}

static uint64_t text_bits(const uint8_t *p)
{
	uint64_t bits = 0;
	for (unsigned i = 0; i < HINT_BLOCK; i++)
		bits |= (uint64_t)!IS_NO_TEXT[p[i]] << i;
	return bits;
}

static unsigned starts_any(struct slice run)
{
	uint32_t bits = 0, texts = 0; /* of the last groups, a bit each: whether it is text */
	unsigned starts = 0;
	for (size_t i = 0; i < run.len; i++) {
		bits = (bits << 6 | WORTH[run.data[i]]) & 0xffffff;
		/* all three bytes are below 0x80, and \t or above */
		bool is_text = (bits & 0x808080) == 0 && ((bits + 0x777777) & 0x808080) == 0x808080;
		texts = texts << 1 | (is_text && i >= 3);
		starts |= (texts & texts >> 4 & texts >> 8 & 1) << ((i + 1) & 3);
	}
	return starts;
}

static size_t decode_any(struct slice run, uint8_t *out)
{
	const uint8_t *p = run.data;
	uint32_t bits = 0;
	size_t n = 0, i = 0;
	for (; i + 4 <= run.len; i += 4) {
		bits = (uint32_t)WORTH[p[i]] << 18 | (uint32_t)WORTH[p[i + 1]] << 12 |
		       (uint32_t)WORTH[p[i + 2]] << 6 | WORTH[p[i + 3]];
		out[n++] = (uint8_t)(bits >> 16);
		out[n++] = (uint8_t)(bits >> 8);
		out[n++] = (uint8_t)bits;
	}
	for (; i < run.len; i++) {
		bits = bits << 6 | WORTH[p[i]];
		if (i % 4 != 0)
			out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return n;
}

/* ---- 32 bytes at a time ---- */

#ifdef __SSE2__

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline uint64_t base64_bits_avx2(const uint8_t *p)
{
	return hint_block_avx2(p).base64;
}

/* IS_NO_TEXT by the low and the high half of a byte: a bit for each row with some. */
AVX2 static inline uint64_t text_bits_avx2(const uint8_t *p)
{
	enum { X0 = 1, X1 = 2, X7 = 4, XC = 8, XF = 16 };
	enum { LOW = X0 | X1, BOTH = X0 | X1 | XF };
	const __m256i low = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(LOW | XC, LOW | XC, LOW, LOW, LOW, BOTH, BOTH, BOTH, BOTH, X1 | XF,
			  X1 | XF, BOTH, BOTH, X1 | XF, BOTH, BOTH | X7));
	const __m256i high = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(X0, X1, 0, 0, 0, 0, 0, X7, 0, 0, 0, 0, XC, 0, 0, XF));
	const __m256i half = _mm256_set1_epi8(15);
	uint64_t bits = 0;
	for (unsigned i = 0; i < HINT_BLOCK; i += 32) {
		__m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		__m256i l = _mm256_shuffle_epi8(low, _mm256_and_si256(c, half));
		__m256i h =
		    _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(c, 4), half));
		__m256i text = _mm256_cmpeq_epi8(_mm256_and_si256(l, h), _mm256_setzero_si256());
		bits |= (uint64_t)(uint32_t)_mm256_movemask_epi8(text) << i;
	}
	return bits;
}

/* What 32 digits are worth: of each row of ASCII something is added, and to three signs more. */
AVX2 static inline __m256i worth_avx2(const uint8_t *p)
{
	const __m256i rows = _mm256_broadcastsi128_si256(_mm_setr_epi8(
	    0, 0, 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0));
	__m256i c = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i row = _mm256_and_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi8(15));
	__m256i minus = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('-'));
	__m256i slash = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('/'));
	__m256i line = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('_'));
	__m256i more = _mm256_or_si256(
	    _mm256_and_si256(minus, _mm256_set1_epi8('+' - '-')),
	    _mm256_or_si256(_mm256_and_si256(slash, _mm256_set1_epi8('+' + 1 - '/')),
			    _mm256_and_si256(line, _mm256_set1_epi8('A' + 63 - '_'))));
	return _mm256_add_epi8(_mm256_add_epi8(c, more), _mm256_shuffle_epi8(rows, row));
}

/* A bit for each of 32 characters: whether it and the three behind it are three bytes below 0x80,
 * and \t or above. Reads 35. */
AVX2 static inline uint32_t groups_avx2(const uint8_t *p)
{
	__m256i a = worth_avx2(p), b = worth_avx2(p + 1), c = worth_avx2(p + 2),
		d = worth_avx2(p + 3);
	/* there are no shifts of bytes: what comes in from the neighbour is masked */
	__m256i first =
	    _mm256_or_si256(_mm256_slli_epi16(a, 2),
			    _mm256_and_si256(_mm256_srli_epi16(b, 4), _mm256_set1_epi8(0x03)));
	__m256i second =
	    _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(b, 4), _mm256_set1_epi8((char)0xf0)),
			    _mm256_and_si256(_mm256_srli_epi16(c, 2), _mm256_set1_epi8(0x0f)));
	__m256i third = _mm256_or_si256(
	    _mm256_and_si256(_mm256_slli_epi16(c, 6), _mm256_set1_epi8((char)0xc0)), d);
	__m256i all = _mm256_or_si256(_mm256_or_si256(first, second), third);
	__m256i least = _mm256_min_epu8(_mm256_min_epu8(first, second), third);
	__m256i printed = _mm256_cmpeq_epi8(_mm256_max_epu8(least, _mm256_set1_epi8('\t')), least);
	return (uint32_t)_mm256_movemask_epi8(_mm256_andnot_si256(all, printed));
}

AVX2 static unsigned starts_avx2(struct slice run)
{
	enum { READ = 35, THREE = 12, EACH = 24 /* of 32 groups, those with two more behind */ };
	uint32_t starts = 0;
	for (size_t at = 0; at + THREE <= run.len && (starts & 15) != 15; at += EACH) {
		uint8_t padded[READ];
		const uint8_t *p = run.data + at;
		size_t left = run.len - at;
		if (left < READ) {
			memset(padded, 'A', sizeof(padded));
			p = memcpy(padded, p, left);
		}
		uint32_t groups = groups_avx2(p);
		groups &= groups >> 4 & groups >> 8;
		groups &= (1u << (left - THREE + 1 < EACH ? left - THREE + 1 : EACH)) - 1;
		groups |= groups >> 16;
		groups |= groups >> 8;
		starts |= groups | groups >> 4;
	}
	return starts & 15;
}

AVX2 static size_t decode_avx2(struct slice run, uint8_t *out)
{
	const __m256i turned = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
	const __m256i together = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
	size_t i = 0, n = 0;
	for (; i + 32 <= run.len; i += 32, n += 24) {
		__m256i bits = worth_avx2(run.data + i);
		bits = _mm256_maddubs_epi16(bits, _mm256_set1_epi32(0x01400140)); /* 2 * 6 bits */
		bits = _mm256_madd_epi16(bits, _mm256_set1_epi32(0x00011000));    /* 4 * 6 bits */
		bits = _mm256_shuffle_epi8(bits, turned);
		bits = _mm256_permutevar8x32_epi32(bits, together);
		_mm256_storeu_si256((__m256i *)(void *)(out + n), bits);
	}
	_mm256_zeroupper(); /* gcc 12 leaves it out before this call, and SSE is slow from then on
			     */
	return n + decode_any(slice_of(run.data + i, run.len - i), out + n);
}

AVX2 static size_t find_base64_avx2(struct slice s, size_t at)
{
	return find_run(s, at, TEXT64_RUN, base64_bits_avx2);
}

AVX2 static size_t base64_end_avx2(struct slice s, size_t at)
{
	return run_end(s, at, base64_bits_avx2);
}

AVX2 static size_t find_text_avx2(struct slice s, size_t at)
{
	return find_run(s, at, TEXT64_LEAST, text_bits_avx2);
}

#define CHOOSE(avx2, any) (__builtin_cpu_supports("avx2") ? (avx2) : (any))
#else
#define CHOOSE(avx2, any) (any)
#endif

/* ---- which of them ---- */

struct slice text64_run(struct slice s, size_t from)
{
	size_t at = CHOOSE(find_base64_avx2(s, from), find_run(s, from, TEXT64_RUN, base64_bits));
	if (at == s.len)
		return slice_of(s.data + at, 0);
	from = at + TEXT64_RUN;
	size_t end = CHOOSE(base64_end_avx2(s, from), run_end(s, from, base64_bits));
	return slice_of(s.data + at, end - at);
}

unsigned text64_starts(struct slice run)
{
	return CHOOSE(starts_avx2(run), starts_any(run));
}

size_t text64_decode(struct slice run, uint8_t *out)
{
	return CHOOSE(decode_avx2(run, out), decode_any(run, out));
}

/* ---- text ---- */

/* Whether eight bytes are 0x20 to 0x7e each. Carries only make it say no. */
static inline bool is_ascii_text(uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101;
	return ((bytes | (bytes - 0x20 * ones) | (bytes + ones)) & 0x80 * ones) == 0;
}

/* The bytes of the character at `p`; 0: it is no text. */
static inline size_t character(const uint8_t *p, size_t left)
{
	if (IS_NO_TEXT[*p])
		return 0;
	if (*p < 0x80)
		return 1;
	if (*p < 0xc0 || left < 2 || (p[1] & 0xc0) != 0x80)
		return 0;
	int n = utf8_sequence(p, left);
	return n < 0 ? 0 : (size_t)n;
}

static size_t text_end(struct slice s, size_t at)
{
	while (at < s.len) {
		size_t left = s.len - at;
		size_t n = left >= 8 && is_ascii_text(get64(s.data + at))
			       ? 8
			       : character(s.data + at, left);
		if (n == 0)
			break;
		at += n;
	}
	return at;
}

struct slice text64_next(struct slice s, size_t from)
{
	while (from < s.len) {
		size_t end = text_end(s, from);
		if (end - from >= TEXT64_LEAST)
			return slice_of(s.data + from, end - from);
		from = end + 1;
		if (end < s.len && IS_NO_TEXT[s.data[end]])
			from = CHOOSE(find_text_avx2(s, from),
				      find_run(s, from, TEXT64_LEAST, text_bits));
	}
	return slice_of(s.data + s.len, 0);
}

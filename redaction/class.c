/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/class.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { BLOCK = 64 };

/* Each into both ways of scanning. */
#define INLINE static inline __attribute__((always_inline))

/* A bit for each byte of a block, the first byte lowest, in two words: the first begins where the
 * block does, the second HALF a block further. Of each the lower half is told; what may begin there
 * is no longer than HALF, so one word is enough to know it. */
enum { HALF = BLOCK / 2 };
typedef uint64_t bits __attribute__((vector_size(16)));

/* Which bytes are what, of the block that is looked at and half of the one behind it. */
struct marks {
	bits digit, upper, dot, hyphen, space;
	bits behind_digit;
	uint64_t at;
};

struct block {
	uint64_t digit, upper, at, dot, hyphen, space;
};

#ifdef __SSE2__
static inline uint64_t mask_of(__m128i v)
{
	return (uint64_t)(uint32_t)_mm_movemask_epi8(v);
}

/* Bytes from `low` on, `n` of them. */
static inline uint64_t in_range(__m128i v, char low, int n)
{
	__m128i moved = _mm_add_epi8(v, _mm_set1_epi8((char)(-128 - low)));
	return mask_of(_mm_cmplt_epi8(moved, _mm_set1_epi8((char)(-128 + n))));
}

static inline uint64_t equal_to(__m128i v, char c)
{
	return mask_of(_mm_cmpeq_epi8(v, _mm_set1_epi8(c)));
}

static void block_read(struct block *b, const uint8_t *p)
{
	*b = (struct block){0};
	for (int i = 0; i < BLOCK; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		b->digit |= in_range(v, '0', 10) << i;
		b->upper |= in_range(v, 'A', 26) << i;
		b->at |= equal_to(v, '@') << i;
		b->dot |= equal_to(v, '.') << i;
		b->hyphen |= equal_to(v, '-') << i;
		b->space |= equal_to(v, ' ') << i;
	}
}

/* Of 32 bytes. */
__attribute__((target("avx2"))) static inline uint64_t top_bits(__m256i v)
{
	return (uint32_t)_mm256_movemask_epi8(v);
}

/* The same in less than half the steps: two tables, by the low and the high half of a byte, have a
 * bit in common for each class. */
__attribute__((target("avx2"))) static void block_read_avx2(struct block *b, const uint8_t *p)
{
	enum { DIGIT = 1, A_O = 2, P_Z = 4, AT = 8, DOT = 16, HYPHEN = 32, SPACE = 64 };
	enum { ALL = DIGIT | A_O | P_Z };
	const __m256i low = _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(DIGIT | P_Z | AT | SPACE, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
			  A_O | P_Z, A_O, A_O, A_O | HYPHEN, A_O | DOT, A_O));
	const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(
	    0, 0, DOT | HYPHEN | SPACE, DIGIT, A_O | AT, P_Z, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	*b = (struct block){0};
#pragma GCC unroll 2
	for (int i = 0; i < BLOCK; i += 32) {
		__m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		__m256i half = _mm256_and_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi8(15));
		__m256i class =
		    _mm256_and_si256(_mm256_shuffle_epi8(low, c), _mm256_shuffle_epi8(high, half));
		__m256i upper =
		    _mm256_or_si256(_mm256_slli_epi16(class, 6), _mm256_slli_epi16(class, 5));
		b->digit |= top_bits(_mm256_slli_epi16(class, 7)) << i;
		b->upper |= top_bits(upper) << i;
		b->at |= top_bits(_mm256_slli_epi16(class, 4)) << i;
		b->dot |= top_bits(_mm256_slli_epi16(class, 3)) << i;
		b->hyphen |= top_bits(_mm256_slli_epi16(class, 2)) << i;
		b->space |= top_bits(_mm256_slli_epi16(class, 1)) << i;
	}
}
#else
/* Eight bytes at a time. */
#define EACH(byte) (0x0101010101010101u * (byte))

/* The top bits of eight bytes, the first byte lowest. */
static inline uint64_t mask_of(uint64_t tops)
{
	return ((tops & EACH(0x80)) >> 7) * 0x0102040810204080u >> 56;
}

static inline uint64_t in_range(uint64_t v, unsigned low, unsigned n)
{
	uint64_t seven = v & EACH(0x7f);
	uint64_t at_least = seven + EACH(0x80 - low), above = seven + EACH(0x80 - low - n);
	return mask_of(at_least & ~above & ~v);
}

static inline uint64_t equal_to(uint64_t v, unsigned c)
{
	return in_range(v, c, 1);
}

static void block_read(struct block *b, const uint8_t *p)
{
	*b = (struct block){0};
	for (int i = 0; i < BLOCK; i += 8) {
		uint64_t v = 0;
		for (int k = 0; k < 8; k++)
			v |= (uint64_t)p[i + k] << (8 * k);
		b->digit |= in_range(v, '0', 10) << i;
		b->upper |= in_range(v, 'A', 26) << i;
		b->at |= equal_to(v, '@') << i;
		b->dot |= equal_to(v, '.') << i;
		b->hyphen |= equal_to(v, '-') << i;
		b->space |= equal_to(v, ' ') << i;
	}
}
#endif

INLINE bits both(uint64_t now, uint64_t next)
{
	return (bits){now, now >> HALF | next << HALF};
}

INLINE uint64_t told(bits b)
{
	return (b[0] & UINT32_MAX) | b[1] << HALF;
}

INLINE struct marks marks_of(const struct block *now, const struct block *next,
			     uint64_t digit_before)
{
	uint64_t behind = now->digit << 1 | digit_before;
	return (struct marks){
	    .digit = both(now->digit, next->digit),
	    .upper = both(now->upper, next->upper),
	    .dot = both(now->dot, next->dot),
	    .hyphen = both(now->hyphen, next->hyphen),
	    .space = both(now->space, next->space),
	    .behind_digit = both(behind, next->digit << 1 | now->digit >> (BLOCK - 1)),
	    .at = now->at,
	};
}

/* ---- where one may begin: a bit for each byte of the block ---- */

INLINE uint64_t card_anchors(const struct marks *m)
{
	bits in = m->digit | m->hyphen | m->space;
	bits two = in & in >> 1, four = two & two >> 2, eight = four & four >> 4;
	bits digits = m->digit & m->digit >> 1;
	return told(digits & digits >> 2 & ~m->behind_digit & eight & eight >> 5);
}

INLINE uint64_t iban_anchors(const struct marks *m)
{
	bits of_word = m->upper | m->digit;
	return told(m->upper & m->upper >> 1 & m->digit >> 2 & m->digit >> 3 &
		    (of_word | m->space) >> 4 & of_word >> 5 & of_word >> 6);
}

/* The first of three dots that stand between digits. */
INLINE uint64_t ipv4_anchors(const struct marks *m)
{
	bits dot = m->dot & m->behind_digit & m->digit >> 1;
	bits near = dot >> 2 | dot >> 3 | dot >> 4, second = dot & near;
	return told(second & (second >> 2 | second >> 3 | second >> 4));
}

INLINE uint64_t ssn_anchors(const struct marks *m)
{
	bits d = m->digit, between = m->hyphen | m->space;
	bits two = d & d >> 1;
	return told(two & d >> 2 & between >> 3 & two >> 4 & between >> 6 & two >> 7 & two >> 9 &
		    ~m->behind_digit);
}

struct scan {
	size_t at; /* of the block */
	class_anchor *on_anchor;
	void *user;
};

/* In the order of their places, whatever the class: so are those who hear of them. */
static void report_anchors(const struct scan *s, const uint64_t anchors[CLASSES], uint64_t all)
{
	for (; all != 0; all &= all - 1) {
		unsigned i = (unsigned)__builtin_ctzll(all);
		for (int class = 0; class < CLASSES; class ++)
			if ((anchors[class] >> i & 1) != 0)
				s->on_anchor(s->user, (enum rule_class) class, s->at + i);
	}
}

INLINE void block_scan(const struct scan *s, uint32_t classes, const struct marks *m)
{
	uint64_t anchors[CLASSES] = {
	    [CLASS_CARD] = card_anchors(m), [CLASS_IBAN] = iban_anchors(m), [CLASS_EMAIL] = m->at,
	    [CLASS_IPV4] = ipv4_anchors(m), [CLASS_SSN] = ssn_anchors(m),
	};
	uint64_t all = 0;
	for (int class = 0; class < CLASSES; class ++) {
		anchors[class] = (classes >> class & 1) != 0 ? anchors[class] : 0;
		all |= anchors[class];
	}
	if (all != 0)
		report_anchors(s, anchors, all);
}

INLINE void scan_blocks(struct slice text, uint32_t classes, struct scan *s,
			void (*read)(struct block *b, const uint8_t *p))
{
	struct block now = {0}, next;
	uint64_t digit_before = 0;
	uint8_t rest[BLOCK];
	/* One block further than the text is long, so that each is once the first of two. */
	for (size_t at = 0; at < text.len + BLOCK; at += BLOCK) {
		const uint8_t *p = text.data + at;
		if (at + BLOCK > text.len) {
			memset(rest, 0, sizeof(rest));
			if (at < text.len)
				memcpy(rest, p, text.len - at);
			p = rest;
		}
		read(&next, p);
		if (at != 0) {
			struct marks m = marks_of(&now, &next, digit_before);
			s->at = at - BLOCK;
			block_scan(s, classes, &m);
			digit_before = now.digit >> (BLOCK - 1);
		}
		now = next;
	}
}

#ifdef __SSE2__
__attribute__((target("avx2"))) static void scan_avx2(struct slice text, uint32_t classes,
						      struct scan *s)
{
	scan_blocks(text, classes, s, block_read_avx2);
}
#endif

void class_scan(struct slice text, uint32_t classes, class_anchor *on_anchor, void *user)
{
	struct scan s = {.on_anchor = on_anchor, .user = user};
	if (classes == 0)
		return;
#ifdef __SSE2__
	if (__builtin_cpu_supports("avx2")) {
		scan_avx2(text, classes, &s);
		return;
	}
#endif
	scan_blocks(text, classes, &s, block_read);
}

/* ---- what is there ---- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_letter(uint8_t c)
{
	return is_upper(c & 0xdf);
}

static bool is_word(uint8_t c)
{
	return is_digit(c) || is_letter(c);
}

static bool ends_word(struct slice v, size_t at)
{
	return at >= v.len || !is_word(v.data[at]);
}

static bool begins_word(struct slice v, size_t at)
{
	return at == 0 || !is_word(v.data[at - 1]);
}

/* ISO/IEC 7812 issuers and how long their numbers are. */
static bool card_known(const uint8_t *d, size_t n)
{
	unsigned two = d[0] * 10u + d[1], four = two * 100 + d[2] * 10u + d[3];
	if (d[0] == 4)
		return n == 13 || n == 16 || n == 19;
	if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720))
		return n == 16;
	if (two == 34 || two == 37)
		return n == 15;
	if (two == 36 || two == 38 || two == 39 || (four >= 3000 && four <= 3059))
		return n >= 14 && n <= 19;
	if (four >= 3528 && four <= 3589)
		return n >= 16 && n <= 19;
	return (d[0] == 6 || two == 50 || (two >= 56 && two <= 58)) && n >= (d[0] == 6 ? 16 : 13) &&
	       n <= 19;
}

static bool luhn_holds(const uint8_t *d, size_t n)
{
	unsigned sum = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned v = d[n - 1 - i];
		if (i % 2 == 1)
			v = v < 5 ? 2 * v : 2 * v - 9;
		sum += v;
	}
	return sum % 10 == 0;
}

/* The longest one that begins here and ends with a group. */
static bool find_card(struct slice v, size_t at, struct class_range *found)
{
	enum { MOST = 19, GROUP = 4 };
	uint8_t digits[MOST], between = 0;
	size_t n = 0, group = 0;
	bool yes = false;
	if (!begins_word(v, at))
		return false;
	for (size_t i = at; i < v.len; i++) {
		uint8_t c = v.data[i];
		if (is_digit(c)) {
			if (n == MOST)
				break;
			digits[n++] = (uint8_t)(c - '0');
			group++;
			if (n >= 13 && ends_word(v, i + 1) && card_known(digits, n) &&
			    luhn_holds(digits, n)) {
				*found = (struct class_range){at, i + 1};
				yes = true;
			}
		} else {
			if ((c != ' ' && c != '-') || group < GROUP ||
			    (between != 0 && c != between))
				break;
			between = c;
			group = 0;
		}
	}
	return yes;
}

/* The longest one whose check digits are right. */
static bool find_iban(struct slice v, size_t at, struct class_range *found)
{
	enum { LEAST = 15, MOST = 34 };
	unsigned rest = 0, n = 0, head = 0;
	bool yes = false;
	if (!begins_word(v, at) || v.len - at < LEAST)
		return false;
	for (size_t i = at; i < v.len && n < MOST; i++) {
		uint8_t c = v.data[i];
		if (c == ' ' && n % 4 == 0 && n != 0 && v.data[i - 1] != ' ')
			continue;
		if (!is_digit(c) && !is_upper(c))
			break;
		unsigned worth = (unsigned)(is_digit(c) ? c - '0' : c - 'A' + 10);
		unsigned *into = n < 4 ? &head : &rest; /* AA99 counts as if it stood at the end */
		*into = (*into * (is_digit(c) ? 10 : 100) + worth) % (n < 4 ? 1000000 : 97);
		if (++n >= LEAST && ends_word(v, i + 1) && (rest * 1000000 % 97 + head) % 97 == 1) {
			*found = (struct class_range){at, i + 1};
			yes = true;
		}
	}
	return yes;
}

static bool is_local(uint8_t c)
{
	return is_word(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
}

/* Labels from `at` on: where the last one that may be the last ends, or `at`. */
static size_t domain_end(struct slice v, size_t at)
{
	size_t end = at, label = at;
	bool letters = true, first = true;
	for (size_t i = at; i <= v.len; i++) {
		uint8_t c = i < v.len ? v.data[i] : 0;
		if (is_word(c) || (c == '-' && i != label)) {
			letters = letters && is_letter(c);
			continue;
		}
		if (!first && letters && i - label >= 2)
			end = i;
		if (c != '.' || i == label)
			break;
		label = i + 1;
		letters = true;
		first = false;
	}
	return end;
}

static bool find_email(struct slice v, size_t at, struct class_range *found)
{
	size_t start = at;
	while (start > 0 && is_local(v.data[start - 1]))
		start--;
	*found = (struct class_range){start, domain_end(v, at + 1)};
	return start != at && found->end != at + 1;
}

static bool find_ipv4(struct slice v, size_t at, struct class_range *found)
{
	size_t start = at, i;
	while (start > 0 && at - start < 4 && is_digit(v.data[start - 1]))
		start--;
	bool follows = start >= 2 && v.data[start - 1] == '.' && is_digit(v.data[start - 2]);
	if (!begins_word(v, start) || follows)
		return false;
	i = start;
	for (int part = 0; part < 4; part++) {
		unsigned value = 0;
		size_t first = i;
		while (i < v.len && i - first < 4 && is_digit(v.data[i]))
			value = value * 10 + v.data[i++] - '0';
		if (i == first || value > 255 || i - first > 3)
			return false;
		if (part < 3 && (i >= v.len || v.data[i++] != '.'))
			return false;
	}
	*found = (struct class_range){start, i};
	bool more = i + 1 < v.len && v.data[i] == '.' && is_digit(v.data[i + 1]);
	return ends_word(v, i) && !more;
}

static bool find_ssn(struct slice v, size_t at, struct class_range *found)
{
	static const char SHAPE[] = "999-99-9999";
	enum { LEN = sizeof(SHAPE) - 1 };
	if (v.len - at < LEN || !begins_word(v, at) || !ends_word(v, at + LEN))
		return false;
	for (size_t i = 0; i < LEN; i++) {
		uint8_t c = v.data[at + i];
		if (SHAPE[i] == '9' ? !is_digit(c) : c != v.data[at + 3] || (c != '-' && c != ' '))
			return false;
	}
	bool before = at >= 2 && v.data[at - 1] == '-' && is_digit(v.data[at - 2]);
	bool behind =
	    at + LEN + 1 < v.len && v.data[at + LEN] == '-' && is_digit(v.data[at + LEN + 1]);
	*found = (struct class_range){at, at + LEN};
	return !before && !behind;
}

bool class_find(enum rule_class class, struct slice value, size_t anchor, struct class_range *found)
{
	switch (class) {
	case CLASS_CARD:
		return find_card(value, anchor, found);
	case CLASS_IBAN:
		return find_iban(value, anchor, found);
	case CLASS_EMAIL:
		return find_email(value, anchor, found);
	case CLASS_IPV4:
		return find_ipv4(value, anchor, found);
	case CLASS_SSN:
		return find_ssn(value, anchor, found);
	default:
		return false;
	}
}

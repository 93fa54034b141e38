/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/hint.h"

#include "redaction/escape.h"
#include "redaction/hint_block.h"

void hint_begin(struct hint *h, struct slice text)
{
	*h = (struct hint){.text = text, .at = (size_t)0 - HINT_BLOCK};
}

typedef uint64_t two_words __attribute__((vector_size(16)));

/* Of each of two words the bits from which on a run goes on for HINT_RUN and has a capital: each
 * step doubles what is known. Written out, for a loop would not have constant shifts. */
static inline two_words runs_of(two_words run, two_words capital)
{
	run &= run >> 1;
	run &= run >> 2;
	run &= run >> 4;
	run &= run >> HINT_RUN / 2;
	capital |= capital >> 1;
	capital |= capital >> 2;
	capital |= capital >> 4;
	capital |= capital >> HINT_RUN / 2;
	return run & capital;
}

/* What is of interest in the next block. A run that began in the block before is told at its first
 * byte. No jumps: text is such that each would be guessed wrong every second time. */
static inline uint64_t spots_of(struct hint *h, const struct hint_bits *bits)
{
	enum { HALF = HINT_BLOCK / 2, OVER = HALF - HINT_RUN + 1 };
	two_words run = {bits->base64, h->base64 >> HALF | bits->base64 << HALF};
	two_words capital = {bits->capitals, h->capitals >> HALF | bits->capitals << HALF};
	two_words found = runs_of(run, capital);
	uint64_t begun = found[1] << HALF >> (HALF + OVER);
	h->base64 = bits->base64;
	h->capitals = bits->capitals;
	return found[0] | (uint64_t)(begun != 0) | bits->escapes;
}

/* Goes on to the next block in which something is; false: there is none. */
static inline __attribute__((always_inline)) bool
find_block(struct hint *h, struct hint_bits (*classes)(const uint8_t *))
{
	struct hint now = *h;
	while (now.spots == 0 && now.at + HINT_BLOCK < now.text.len) {
		uint8_t padded[HINT_BLOCK];
		now.at += HINT_BLOCK;
		const uint8_t *p = now.text.data + now.at;
		size_t left = now.text.len - now.at;
		if (left < HINT_BLOCK) {
			memset(padded, 0, sizeof(padded));
			p = memcpy(padded, p, left);
		}
		struct hint_bits bits = classes(p);
		now.spots = spots_of(&now, &bits);
	}
	*h = now;
	return now.spots != 0;
}

static bool find_any(struct hint *h)
{
	return find_block(h, hint_block);
}

#ifdef __SSE2__
__attribute__((target("avx2"))) static bool find_avx2(struct hint *h)
{
	return find_block(h, hint_block_avx2);
}

static bool find(struct hint *h)
{
	return __builtin_cpu_supports("avx2") ? find_avx2(h) : find_any(h);
}
#else
static bool find(struct hint *h)
{
	return find_any(h);
}
#endif

size_t hint_next(struct hint *h)
{
	struct escape e;
	size_t used;
	for (;;) {
		if (h->spots == 0 && !find(h))
			return SIZE_MAX;
		size_t at = h->at + (size_t)__builtin_ctzll(h->spots);
		h->spots &= h->spots - 1;
		const uint8_t *p = h->text.data + at;
		size_t left = h->text.len - at;
		if (!escape_begins(*p) || escape_byte(p, left, &used) >= 0 ||
		    (escape_is_long(p, left) && escape_read(p, left, &e)))
			return at;
	}
}

bool hint_any(struct slice text)
{
	struct hint h;
	hint_begin(&h, text);
	return hint_next(&h) != SIZE_MAX;
}

void hint_skip(struct hint *h, size_t at)
{
	if (at <= h->at)
		return;
	if (at - h->at < HINT_BLOCK) {
		h->spots &= UINT64_MAX << (at - h->at);
		return;
	}
	h->spots = 0;
	h->base64 = h->capitals = 0; /* a value ends before `at` */
	h->at = (at & ~(size_t)(HINT_BLOCK - 1)) - HINT_BLOCK;
	if (find(h) && h->at < at)
		h->spots &= at - h->at < HINT_BLOCK ? UINT64_MAX << (at - h->at) : 0;
}

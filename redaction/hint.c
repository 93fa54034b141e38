/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/hint.h"

#include "redaction/escape.h"
#include "redaction/hint_block.h"

void hint_begin(struct hint *h, struct slice text)
{
	*h = (struct hint){.text = text, .at = (size_t)0 - HINT_BLOCK};
}

/* The bits from which on a run goes on for HINT_RUN and has a capital: each step doubles what is
 * known. */
static uint64_t runs_of(const struct hint_bits *bits)
{
	uint64_t run = bits->base64, capital = bits->capitals;
	for (unsigned step = 1; step < HINT_RUN; step *= 2) {
		run &= run >> step;
		capital |= capital >> step;
	}
	return run & capital;
}

/* A run that goes on over blocks is told at the start of each that it goes on in. */
static inline uint64_t run_from_before(struct hint *h, const struct hint_bits *bits)
{
	bool is_all = bits->base64 == UINT64_MAX;
	unsigned first = is_all ? HINT_BLOCK : (unsigned)__builtin_ctzll(~bits->base64);
	unsigned last = is_all ? HINT_BLOCK : (unsigned)__builtin_clzll(~bits->base64);
	uint64_t head = is_all ? UINT64_MAX : ((uint64_t)1 << first) - 1;
	uint64_t tail = last == 0 ? 0 : UINT64_MAX << (HINT_BLOCK - last);
	bool capital = h->capital || (bits->capitals & head) != 0;
	bool goes_on = first != 0 && h->before != 0 && h->before + first >= HINT_RUN && capital;
	h->before = is_all ? h->before + HINT_BLOCK : last;
	h->capital = is_all ? capital : (bits->capitals & tail) != 0;
	return goes_on;
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
		now.spots = runs_of(&bits) | run_from_before(&now, &bits) | bits.escapes;
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
	for (;;) {
		if (h->spots == 0 && !find(h))
			return SIZE_MAX;
		size_t at = h->at + (size_t)__builtin_ctzll(h->spots);
		h->spots &= h->spots - 1;
		const uint8_t *p = h->text.data + at;
		if (!escape_begins(*p) || escape_read(p, h->text.len - at, &e))
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
	h->before = 0; /* a value ends before `at` */
	h->capital = false;
	h->at = (at & ~(size_t)(HINT_BLOCK - 1)) - HINT_BLOCK;
	if (find(h) && h->at < at)
		h->spots &= at - h->at < HINT_BLOCK ? UINT64_MAX << (at - h->at) : 0;
}

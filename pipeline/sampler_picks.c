/* SPDX-License-Identifier: Apache-2.0
 * Picks in the order of the journal. They come trace by trace, thousands in a ruling, of blocks
 * that are near each other: their places differ in three or four bytes, so sorting by those, one
 * after the other, takes a fifth of what qsort() does. */
#include "pipeline/sampler_state.h"

enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

bool picks_room(struct sampler *s, size_t n)
{
	return sampler_room(&s->picks, &s->room_picks, 2 * n, sizeof(*s->picks));
}

static uint32_t digit_of(uint64_t value, unsigned shift)
{
	return value >> shift & (DIGITS - 1);
}

/* What sorts them: first the offset, then the block. */
static uint64_t part_of(const struct pick *p, bool block)
{
	return block ? p->block_id : p->at;
}

/* Those that are equal there stay in order. */
static void sort_by_digit(const struct pick *from, struct pick *to, size_t n, bool block,
			  unsigned shift)
{
	size_t at[DIGITS] = {0}, sum = 0;
	for (size_t i = 0; i < n; i++)
		at[digit_of(part_of(&from[i], block), shift)]++;
	for (unsigned d = 0; d < DIGITS; d++) {
		size_t here = at[d];
		at[d] = sum;
		sum += here;
	}
	for (size_t i = 0; i < n; i++)
		to[at[digit_of(part_of(&from[i], block), shift)]++] = from[i];
}

/* The bits in which they are not all the same. */
static uint64_t differing(const struct pick *picks, size_t n, bool block)
{
	uint64_t bits = 0;
	for (size_t i = 1; i < n; i++)
		bits |= part_of(&picks[i], block) ^ part_of(&picks[0], block);
	return bits;
}

struct pick *picks_sort(struct pick *all, size_t n)
{
	if (n == 0)
		return all; /* there may be none at all */
	struct pick *from = all, *to = all + n;
	for (int block = 0; block <= 1; block++) {
		uint64_t bits = differing(from, n, block);
		for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
			if (digit_of(bits, shift) == 0)
				continue;
			sort_by_digit(from, to, n, block, shift);
			struct pick *sorted = to;
			to = from;
			from = sorted;
		}
	}
	return from;
}

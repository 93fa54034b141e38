/* SPDX-License-Identifier: Apache-2.0
 * redaction/search.h - what is to be masked in the values of a harvest, all told as ranges of the
 * values of the request. What masking leaves of a value is looked at again, marks and all, for a
 * rule that did not match for the bytes beside it may do so when those are others: else a second
 * redactor would find what the first has left. */
#ifndef REDACTION_SEARCH_H
#define REDACTION_SEARCH_H

#include "redaction/harvest.h"
#include "redaction/mask.h"

enum { SEARCH_ROUNDS = 4 /* then the whole value is masked */ };

struct found {
	uint32_t value; /* of the request, no copy */
	uint32_t round;
	struct redact_range range;
};

/* A mark in a text that is looked at again, and what it stands for. */
struct remain {
	uint32_t start, end;    /* there */
	struct redact_range of; /* in the value */
};

struct search {
	struct found *list; /* in the order of values; ranges of one value may overlap */
	uint32_t n, cap;
	struct harvest
	    again; /* its spots: `at` is the value, `within` the first of `len` remains */
	struct remain *remains;
	struct redact_range *ranges; /* of one value, merged */
	struct buf text;
	uint32_t n_remains, cap_remains, cap_ranges;
};

int search_init(struct search *s); /* 0, or negative: no memory */
void search_finish(struct search *s);

/* Copies are in the harvest, and the scanner has begun. 0, or negative: no memory. */
int search_run(struct search *s, struct scanner *scanner, struct harvest *h);

/* The ranges of the value at list[first], merged, in s->ranges; *next is behind them. */
int search_ranges(struct search *s, const struct ruleset *set, uint32_t first, uint32_t *next,
		  uint32_t *n);

/* How bytes of a value are masked: others than texts only in the style that keeps their number. */
static inline enum mask search_style(const struct ruleset *set, const struct spot *spot,
				     uint32_t number)
{
	return spot->kind == HARVESTED_TEXT ? ruleset_mask(set, number) : MASK_KEEP_LENGTH;
}

#endif

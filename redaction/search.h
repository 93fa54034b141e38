/* SPDX-License-Identifier: Apache-2.0
 * redaction/search.h - what is to be masked in the values of a harvest, all told as ranges of the
 * values of the request. What masking leaves of a value is looked at again, for a rule that did not
 * match for the bytes beside it may do so when those are stars: else a second redactor would find
 * what the first has left. */
#ifndef REDACTION_SEARCH_H
#define REDACTION_SEARCH_H

#include "redaction/harvest.h"

enum { SEARCH_ROUNDS = 4 /* then the whole value is masked */ };

struct found {
	uint32_t value; /* of the request, no copy */
	struct redact_range range;
};

struct search {
	struct found *list; /* in the order of values; ranges of one value may overlap */
	uint32_t n, cap;
	struct harvest again;
};

int search_init(struct search *s); /* 0, or negative: no memory */
void search_finish(struct search *s);

/* Copies are in the harvest, and the scanner has begun. Found secrets become stars in the harvest's
 * text. 0, or negative: no memory. */
int search_run(struct search *s, struct scanner *scanner, struct harvest *h);

#endif

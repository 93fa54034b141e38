/* SPDX-License-Identifier: Apache-2.0
 * wire/otlp_rewrite.h - some bytes of a vetted request give way to others, and every length around
 * them is made right. Knows no field numbers: who changes something says in which payload it
 * stands, and the way there goes through the fields that hold it. All else is copied as it is. */
#ifndef WIRE_OTLP_REWRITE_H
#define WIRE_OTLP_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { REWRITE_LOST = 1 };

/* `drop` bytes at `at` give way to `with`, which is borrowed. `within` is where the payload around
 * them begins, and that must be the innermost they stand in: 0 is the request. */
struct otlp_change {
	uint32_t within, at, drop;
	struct slice with;
};

/* A zeroed one is ready; used again, it keeps its memory. */
struct otlp_rewrite {
	size_t size; /* of the request as planned */
	struct otlp_patch *patches;
	uint32_t n, cap;
};

/* Puts changes in the order that planning wants: what stands further in first where they meet. */
void otlp_changes_sort(struct otlp_change *list, uint32_t n);

/* Changes that lie in bytes dropped by an earlier one are left out. 0, REWRITE_LOST (one of them
 * stands in no such payload) or negative: no memory. */
int otlp_rewrite_plan(struct otlp_rewrite *w, struct slice request, const struct otlp_change *list,
		      uint32_t n);
void otlp_rewrite_write(const struct otlp_rewrite *w, struct slice request,
			uint8_t *out); /* size bytes */
/* The same in the request's own memory, which has room for w->size bytes, and seldom touches more
 * than what stands behind the first change. False: something would have to move forward, and
 * nothing was done. */
bool otlp_rewrite_in_place(const struct otlp_rewrite *w, struct slice request, uint8_t *same);
void otlp_rewrite_finish(struct otlp_rewrite *w);

#endif

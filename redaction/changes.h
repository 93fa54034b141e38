/* SPDX-License-Identifier: Apache-2.0
 * redaction/changes.h - what is to happen to a request: secrets whose length stays are masked in it
 * at once; all else is noted, and done in one rewriting at the end. */
#ifndef REDACTION_CHANGES_H
#define REDACTION_CHANGES_H

#include "base/arena.h"
#include "redaction/harvest.h"
#include "redaction/mask.h"
#include "wire/otlp_rewrite.h"

/* Of an owner, by its number in the harvest. */
struct owner_note {
	uint32_t dropped; /* attributes */
	uint32_t masked,
	    redacted; /* of a span: values and attributes in it, its events and links */
	bool changed;
};

struct changes {
	const struct ruleset *set;
	const struct harvest *h;
	struct buf *body;
	struct arena arena; /* of bytes to be written */
	struct owner_note *notes;
	struct change *list;        /* noted */
	struct otlp_change *chosen; /* of those, for the rewriting at hand */
	uint32_t n, cap, cap_chosen, cap_notes;
	uint32_t last_dropped; /* where the last attribute begins that a hit has dropped */
	struct otlp_rewrite rewrite;
	bool failed; /* no memory */
};

void changes_finish(struct changes *c); /* a zeroed one is fine, and ready */

/* Begins with a request: its harvest and body are borrowed until changes_apply(). */
void changes_begin(struct changes *c, const struct ruleset *set, const struct harvest *h,
		   struct buf *body);

/* Masks merged ranges of a value of the request. */
void changes_mask(struct changes *c, const struct spot *p, const struct redact_range *ranges,
		  uint32_t n);
void changes_cut(struct changes *c, const struct cut *cut);

/* Rewrites the body where that has to be; never beyond max_bytes, or the length it had. *spans is
 * how many of them were changed. 0, or negative: no memory, and the body is not to be used. */
int changes_apply(struct changes *c, size_t max_bytes, uint64_t *spans);

#endif

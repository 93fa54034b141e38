/* SPDX-License-Identifier: Apache-2.0
 * redaction/hint.h - where in a long text something encoded may stand, found 64 bytes at a time:
 * nearly all values hold nothing of the kind, and this is all that they cost. */
#ifndef REDACTION_HINT_H
#define REDACTION_HINT_H

#include "redaction/text64.h"

enum { HINT_RUN = TEXT64_RUN /* characters of base64 one after the other */ };

struct hint {
	struct slice text;
	size_t at;                 /* of the block of 64 bytes at hand */
	uint64_t spots;            /* of it, not yet given */
	uint64_t base64, capitals; /* of that block */
};

void hint_begin(struct hint *h, struct slice text);

/* The next byte at which an escape begins, or which is in a long run of base64 with a capital
 * letter; SIZE_MAX: none. Base64 of sixteen letters has none once in ten thousand; paths and ids
 * of the same alphabet are everywhere, and mostly have none. */
size_t hint_next(struct hint *h);

/* Whether there is one. */
bool hint_any(struct slice text);

/* Nothing before `at` is of interest any more. */
void hint_skip(struct hint *h, size_t at);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * redaction/mask.h - what becomes of bytes that are a secret.
 *
 * Ranges of one value that overlap or touch are one: what one rule leaves of a secret another has
 * found must not stand. Of their rules the one whose mask tells least decides: drop, replace,
 * typed, url, keep_length (tells the length), hmac (tells which are the same), keep_last_4; among
 * those the widest range's, then the first in the set. */
#ifndef REDACTION_MASK_H
#define REDACTION_MASK_H

#include "base/buf.h"
#include "redaction/redact.h"

enum { MASK_TEXT_MAX = 160 /* bytes of a mark: a rule's id, a key's */ };

/* Merges ranges of one value, in place; gives how many are left. */
uint32_t mask_merge(const struct ruleset *set, struct redact_range *ranges, uint32_t n);

/* Whether bytes masked in this style stay as many. */
bool mask_keeps_length(enum mask mask);

/* Masks bytes where they stand, in a style that keeps their number. */
void mask_in_place(enum mask mask, uint8_t *bytes, size_t len);

/* Writes what stands for a range of `value` in a style that does not: gives its length, 0 for
 * MASK_DROP. */
size_t mask_text(const struct ruleset *set, const struct redact_range *r, struct slice value,
		 char out[MASK_TEXT_MAX]);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * redaction/mark.h - what masking leaves behind, ours and others', so that a second pass finds
 * nothing: stars, stars and the last four bytes, REDACTED (URLs), REDACTED:REDACTED, [REDACTED],
 * [REDACTED:rule-id], hmac:<key id>:<16 hex>. */
#ifndef REDACTION_MARK_H
#define REDACTION_MARK_H

#include "base/slice.h"

/* Whether bytes [start, end) of a value are a mark, or within one. */
bool mark_covers(struct slice value, size_t start, size_t end);

#endif

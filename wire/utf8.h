/* SPDX-License-Identifier: Apache-2.0
 * wire/utf8.h - strings as protobuf wants them: RFC 3629, no surrogates, nothing overlong. One bad
 * byte makes a strict backend refuse a whole batch, so we mend it where it comes in. */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include "base/slice.h"

bool utf8_is_ascii(struct slice s);
bool utf8_is_valid(struct slice s);

/* The length of the well-formed sequence at p, or minus the length of the maximal ill-formed part.
 */
int utf8_sequence(const uint8_t *p, size_t left);

/* The length of `s` with each ill-formed part (Unicode 3.9, maximal subpart) replaced by U+FFFD;
 * and writing that to `out`. */
size_t utf8_repaired_len(struct slice s);
void utf8_repair(struct slice s, uint8_t *out);

#endif

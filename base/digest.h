/* SPDX-License-Identifier: Apache-2.0
 * base/digest.h - a name for bytes that are not to be kept, such as a client's token: HMAC-SHA256,
 * cut to 16 bytes, with a key that this process drew and nobody else knows. Equal bytes have equal
 * digests; a digest tells nothing of the bytes, so how long a comparison takes tells nothing
 * either. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { DIGEST_BYTES = 16 };

struct digest {
	uint8_t bytes[DIGEST_BYTES];
};

int digest_of(struct slice bytes, struct digest *out);             /* any room; 0 or negative */
bool digest_equal(const struct digest *a, const struct digest *b); /* in constant time */

#endif

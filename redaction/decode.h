/* SPDX-License-Identifier: Apache-2.0
 * redaction/decode.h - what is written in another way is looked at as what it says: a value that
 * holds escapes (%41, \n, \x41, \u0041, &quot;, &#65;) or base64 of text gets a decoded copy behind
 * the values of the request, and that one may get one again, REDACT_DEPTH deep. What is found in a
 * copy stands for the bytes it was decoded from.
 *
 * Not a `+` for a space: far more of them are in base64, and rules can say [\s+]. Not base64 of
 * what is no text: nothing would be found in it. */
#ifndef REDACTION_DECODE_H
#define REDACTION_DECODE_H

#include "redaction/harvest.h"
#include "redaction/hint.h"

/* Bytes of copies that a request may have beside twice its text's. */
enum { DECODE_SPARE = 64 << 10 };

/* Adds the copies. Values of which not all could be decoded are forced: they hold encodings deeper
 * than that (EXTRA_TOO_DEEP), or there are more copies than fit (EXTRA_TOO_MANY). 0, or negative:
 * no memory. */
int decode_copies(struct harvest *h);

/* Bytes [*start, *end) of a copy become those of the value that it was decoded from. */
void decode_back(const struct harvest *h, const struct copy *c, uint32_t *start, uint32_t *end);

#endif

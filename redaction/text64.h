/* SPDX-License-Identifier: Apache-2.0
 * redaction/text64.h - base64 of text, in either alphabet of RFC 4648: where a long run of it
 * stands, where in the run it may begin, and which of the decoded bytes are text. Input is hostile:
 * each step takes about a quarter of a nanosecond a byte, whatever it finds. */
#ifndef REDACTION_TEXT64_H
#define REDACTION_TEXT64_H

#include "base/slice.h"

enum {
	TEXT64_SLACK = 32, /* bytes behind what is decoded that may be written too */
	TEXT64_LEAST = 12, /* bytes that a run has to give, all text */
	TEXT64_RUN = 16    /* characters that this many bytes take */
};

/* The next run of at least TEXT64_RUN characters from byte `from` on; empty: there is none. */
struct slice text64_run(struct slice s, size_t from);

/* Which of the first four characters of a run a text may begin at, as bits: what is before base64,
 * of a path say, may be of the same alphabet. A text of TEXT64_LEAST has three groups of four
 * that are of ASCII, whatever the byte it begins at; of a hundred paths two have such by chance. */
unsigned text64_starts(struct slice run);

/* Decodes a run; gives how many bytes it has written. There is room for TEXT64_SLACK more. */
size_t text64_decode(struct slice run, uint8_t *out);

/* The next text (UTF-8 without control characters but \t \n \r) of at least TEXT64_LEAST bytes
 * from byte `from` on, as long as it goes; empty: there is none. */
struct slice text64_next(struct slice s, size_t from);

#endif

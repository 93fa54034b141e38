/* SPDX-License-Identifier: Apache-2.0
 * redaction/escape.h - characters written as others: in URLs, JSON, source code, HTML. */
#ifndef REDACTION_ESCAPE_H
#define REDACTION_ESCAPE_H

#include "base/slice.h"

struct escape {
	uint8_t used, len; /* bytes it takes, bytes it means: never more than it takes */
	uint8_t bytes[4];
	bool strong; /* no plain text has it by chance: a number that means a printable character */
};

static inline bool escape_begins(uint8_t c)
{
	return c == '%' || c == '\\' || c == '&';
}

extern const uint8_t ESCAPE_HEX[256];   /* a hexadecimal digit + 1; 0: none */
extern const uint8_t ESCAPE_NAMED[256]; /* what it means behind a backslash; 0: nothing */
extern const uint8_t ESCAPE_LONG[256]; /* what is no escape of one or two bytes behind % (1), \ (2),
					* & (4) goes on with it */

/* The byte that %XX or a \n at `p` means, and the bytes it takes; negative: escape_read() says. */
static inline int escape_byte(const uint8_t *p, size_t left, size_t *used)
{
	*used = p[0] == '%' ? 3 : 2;
	if (left < *used)
		return -1;
	if (p[0] == '%') {
		int high = ESCAPE_HEX[p[1]] - 1, low = ESCAPE_HEX[p[2]] - 1;
		return (high | low) < 0 ? -1 : high << 4 | low;
	}
	return p[0] == '\\' && ESCAPE_NAMED[p[1]] != 0 ? ESCAPE_NAMED[p[1]] : -1;
}

/* Whether one may be at `p` where escape_byte() finds none: escape_read() says. */
static inline bool escape_is_long(const uint8_t *p, size_t left)
{
	uint8_t kind = p[0] == '%' ? 1 : p[0] == '&' ? 4 : 2;
	return left >= 4 && (ESCAPE_LONG[p[1]] & kind) != 0;
}

/* The escape at `p`; false: there is none. */
bool escape_read(const uint8_t *p, size_t left, struct escape *e);

#endif

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

/* The escape at `p`; false: there is none. */
bool escape_read(const uint8_t *p, size_t left, struct escape *e);

#endif

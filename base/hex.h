/* SPDX-License-Identifier: Apache-2.0
 * base/hex.h - what a hexadecimal digit is worth; -1 for what is none. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdint.h>

static inline int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * base/crc32c.h - CRC-32C (Castagnoli), as in RFC 3720 B.4; by ISA-L, which folds 64 bytes at a
 * time where the processor can. Start with 0; feed the result back in to go on. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif

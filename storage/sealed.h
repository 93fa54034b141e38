/* SPDX-License-Identifier: Apache-2.0
 * storage/sealed.h - bytes of somebody else's with a number and a checksum before them, so that
 * damage is recognised: the values of `dec` and `sta`. Little endian:
 *   u64 number | u32 crc32c | u32 0 | bytes
 * The checksum is over the name that they go by, the number and the bytes. Private to storage/. */
#ifndef STORAGE_SEALED_H
#define STORAGE_SEALED_H

#include <stdint.h>

#include "base/slice.h"

enum { SEALED_HEADER = 16, SEALED_BAD = 1 };
#define SEALED_CHAPTER "chapter" /* the name of all chapters; their number tells them apart */

/* At `at` is room for the header and the bytes. */
void sealed_write(uint8_t *at, const char *name, uint64_t number, struct slice bytes);

/* 0 or SEALED_BAD. `bytes` is within `value`. */
int sealed_read(struct slice value, const char *name, uint64_t *number, struct slice *bytes);

#endif

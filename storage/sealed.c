/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sealed.h"

#include <endian.h>
#include <string.h>

#include "base/crc32c.h"

static uint32_t seal_crc(const char *name, const uint8_t *number, struct slice bytes)
{
	uint32_t crc = crc32c(crc32c(0, name, strlen(name)), number, 8);
	return crc32c(crc, bytes.data, bytes.len);
}

void sealed_write(uint8_t *at, const char *name, uint64_t number, struct slice bytes)
{
	uint32_t crc;
	number = htole64(number);
	memcpy(at, &number, 8);
	crc = htole32(seal_crc(name, at, bytes));
	memcpy(at + 8, &crc, 4);
	memset(at + 12, 0, 4);
	if (bytes.len != 0)
		memcpy(at + SEALED_HEADER, bytes.data, bytes.len);
}

int sealed_read(struct slice value, const char *name, uint64_t *number, struct slice *bytes)
{
	uint32_t crc, zero;
	if (value.len < SEALED_HEADER)
		return SEALED_BAD;
	memcpy(number, value.data, 8);
	memcpy(&crc, value.data + 8, 4);
	memcpy(&zero, value.data + 12, 4);
	*number = le64toh(*number);
	*bytes = slice_of(value.data + SEALED_HEADER, value.len - SEALED_HEADER);
	return zero == 0 && le32toh(crc) == seal_crc(name, value.data, *bytes) ? 0 : SEALED_BAD;
}

/* SPDX-License-Identifier: Apache-2.0
 * The coin of the Lightstep satellite sampler. */
#include "pipeline/policy.h"

/* CRC-32 of IEEE 802.3, reflected, four bits at a time: sixteen bytes a trace are not worth more.
 */
static uint32_t crc32_of(const uint8_t *p, size_t len)
{
	static const uint32_t nibble[16] = {
	    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
	    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = ~(uint32_t)0;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

bool satellite_keeps(const uint8_t *trace_id, double share)
{
	static const char digit[] = "0123456789abcdef";
	uint8_t text[16];
	if (!(share > 0))
		return false;
	if (share >= 1)
		return true;
	for (size_t i = 0; i < 8; i++) {
		text[2 * i] = (uint8_t)digit[trace_id[8 + i] >> 4];
		text[2 * i + 1] = (uint8_t)digit[trace_id[8 + i] & 15];
	}
	return crc32_of(text, sizeof(text)) <= (uint32_t)(share * UINT32_MAX);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* bits reversed */

static uint32_t table[256];
static uint32_t (*chosen)(uint32_t crc, const uint8_t *p, size_t len);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t crc_table(uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len != 0; len--)
		crc = table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return crc;
}

#if defined(__x86_64__)
/* The instruction gives a result every 3 cycles and takes input every one: three lanes at a time
 * keep it busy: 23 GB/s where one made 9. */
static const size_t LANE = 1024;
static uint64_t lane_1, lane_2; /* what moves a crc over so many lanes of zeros */

/* x^(8n - 33) modulo the polynomial, bits reversed: the product of clmul stands one bit off, and
 * the crc instruction that reduces it multiplies by x^32. */
static uint64_t power_for(unsigned n)
{
	uint32_t v = 1u << 31;
	for (unsigned i = 0; i < 8 * n - 33; i++)
		v = (v & 1) ? POLYNOMIAL ^ (v >> 1) : v >> 1;
	return v;
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t shift(uint64_t crc, uint64_t power)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
					       _mm_cvtsi64_si128((long long)power), 0);
	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static uint64_t load(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_sse(uint32_t crc, const uint8_t *p,
								 size_t len)
{
	uint64_t a = crc;
	for (; len >= 3 * LANE; p += 3 * LANE, len -= 3 * LANE) {
		uint64_t b = 0, c = 0;
		for (size_t i = 0; i < LANE; i += 8) {
			a = _mm_crc32_u64(a, load(p + i));
			b = _mm_crc32_u64(b, load(p + i + LANE));
			c = _mm_crc32_u64(c, load(p + i + 2 * LANE));
		}
		a = shift(a, lane_2) ^ shift(b, lane_1) ^ c;
	}
	for (; len >= 8; p += 8, len -= 8)
		a = _mm_crc32_u64(a, load(p));
	for (; len != 0; len--)
		a = _mm_crc32_u8((uint32_t)a, *p++);
	return (uint32_t)a;
}
#endif

static void choose(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = (c & 1) ? POLYNOMIAL ^ (c >> 1) : c >> 1;
		table[i] = c;
	}
	chosen = crc_table;
#if defined(__x86_64__)
	lane_1 = power_for(LANE);
	lane_2 = power_for(2 * LANE);
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		chosen = crc_sse;
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	pthread_once(&once, choose);
	return ~chosen(~crc, data, len);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <isa-l/crc.h>

enum { AT_ONCE = 1 << 30 }; /* ISA-L takes an int */

#if defined(__x86_64__)
/* ISA-L leaves the upper halves of the vector registers in use, and all that is no AVX after it
 * runs slower, until somebody cleans up. */
__attribute__((target("avx"))) static void clean_registers(void)
{
	__builtin_ia32_vzeroupper();
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	crc = ~crc;
	while (len != 0) {
		size_t n = len < AT_ONCE ? len : AT_ONCE;
		crc = crc32_iscsi((uint8_t *)(uintptr_t)p, (int)n, crc); /* it only reads */
		p += n;
		len -= n;
	}
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx"))
		clean_registers();
#endif
	return ~crc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include "check.h"

/* CPython 3.11 hashes bytes with SipHash-1-3, with a key of zeros when PYTHONHASHSEED is 0; the
 * last one, with a key, is from the test vectors of Rust's core library. */
static void test_hashes_match_other_programs(void)
{
	struct siphash_key zero = {0, 0}, key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
	uint8_t bytes[64];
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	CHECK(siphash(&zero, bytes, 1) == 0x68a914128e01e473u);
	CHECK(siphash(&zero, bytes, 7) == 0x2f098ab0c751325au);
	CHECK(siphash(&zero, bytes, 8) == 0xead411e67ebe2eeau);
	CHECK(siphash(&zero, bytes, 9) == 0x75927f9d95124362u);
	CHECK(siphash(&zero, bytes, 63) == 0x385d3e39e5f37359u);
	CHECK(siphash(&key, bytes, 0) == 0xabac0158050fc4dcu);
}

static void test_keys_differ(void)
{
	struct siphash_key a, b;
	CHECK_EQ(siphash_key_init(&a), 0);
	CHECK_EQ(siphash_key_init(&b), 0);
	CHECK(siphash(&a, "x", 1) != siphash(&b, "x", 1));
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_hashes_match_other_programs), TEST(test_keys_differ));
}

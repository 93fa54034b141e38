/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

#include "check.h"

static void test_a_part_is_found_where_memmem_finds_it(void)
{
	unsigned seed = 11;
	for (int round = 0; round < 200000; round++) {
		char text[64], part[8];
		size_t n = (seed >> 8) % sizeof(text), m = (seed >> 16) % sizeof(part);
		unsigned letters = 1 + (seed >> 24) % 3;
		for (size_t i = 0; i < n; i++)
			text[i] =
			    (char)('a' + ((seed = seed * 1664525 + 1013904223) >> 20) % letters);
		for (size_t i = 0; i < m; i++)
			part[i] =
			    (char)('a' + ((seed = seed * 1664525 + 1013904223) >> 20) % letters);
		CHECK_EQ(slice_contains(slice_of(text, n), slice_of(part, m)),
			 memmem(text, n, part, m) != NULL);
		seed = seed * 1664525 + 1013904223;
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_part_is_found_where_memmem_finds_it));
}

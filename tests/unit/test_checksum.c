/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "check.h"
#include "redaction/checksum.h"
#include "redaction/entropy.h"

static const struct {
	enum checksum checksum;
	bool holds;
	const char *secret;
} CASES[] = {
    {CHECKSUM_NONE, true, ""},
    {CHECKSUM_LUHN, true, "4111111111111111"}, /* what card networks give out for tests */
    {CHECKSUM_LUHN, true, "4111-1111-1111-1111"},
    {CHECKSUM_LUHN, true, "3782 822463 10005"},
    {CHECKSUM_LUHN, false, "4111111111111112"},
    {CHECKSUM_LUHN, false, "41111111111"},
    {CHECKSUM_LUHN, false, "41111111111111111111"},
    {CHECKSUM_LUHN, false, "4111x111111111111"},
    {CHECKSUM_LUHN, false, ""},
    {CHECKSUM_MOD97, true, "GB82 WEST 1234 5698 7654 32"}, /* ISO 13616's own */
    {CHECKSUM_MOD97, true, "DE89370400440532013000"},
    {CHECKSUM_MOD97, true, "de89370400440532013000"},
    {CHECKSUM_MOD97, false, "GB82 WEST 1234 5698 7654 33"},
    {CHECKSUM_MOD97, false, "GB82"},
    {CHECKSUM_MOD97, false, "DE8937040044053201300012345678901234"},
    {CHECKSUM_MOD97, false, "DE89/70400440532013000"},
    {CHECKSUM_GITHUB, true, "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"},
    {CHECKSUM_GITHUB, false, "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18"},
    {CHECKSUM_GITHUB, false, "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkI0mLq17"},
    {CHECKSUM_GITHUB, false, "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq-7"},
    {CHECKSUM_GITHUB, false, "ghp_0mLq17"},
    {CHECKSUM_GITHUB, false, "0mLq170mLq17"},
    {CHECKSUM_GITHUB, false, ""},
    {CHECKSUM_JWT, true, "eyJhbGciOiJIUzI1NiJ9.e30.x"},
    {CHECKSUM_JWT, true, "e30"},
    {CHECKSUM_JWT, true, "e30=.e30"},
    {CHECKSUM_JWT, false, "eyJhbGciOiJIUzI1NiJ8.e30.x"},
    {CHECKSUM_JWT, false, "eyJhb"},
    {CHECKSUM_JWT, false, "fQ"},
    {CHECKSUM_JWT, false, "ewB9"}, /* a zero byte */
    {CHECKSUM_JWT, false, "e3/9"},
    {CHECKSUM_JWT, false, ""},
    {CHECKSUM_SSN, true, "123-45-6789"},
    {CHECKSUM_SSN, true, "899 99 9999"},
    {CHECKSUM_SSN, false, "000-45-6789"},
    {CHECKSUM_SSN, false, "666-45-6789"},
    {CHECKSUM_SSN, false, "900-45-6789"},
    {CHECKSUM_SSN, false, "123-00-6789"},
    {CHECKSUM_SSN, false, "123-45-0000"},
    {CHECKSUM_SSN, false, "123-45-678"},
    {CHECKSUM_SSN, false, "123-45-67890"},
    {CHECKSUM_SSN, false, "12a-45-6789"},
};

static void test_a_checksum_holds_or_not(void)
{
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		bool holds = checksum_holds(CASES[i].checksum, slice_str(CASES[i].secret));
		if (holds != CASES[i].holds)
			printf("%s\n", CASES[i].secret);
		CHECK_EQ(holds, CASES[i].holds);
	}
	CHECK(!checksum_holds(CHECKSUM_GITHUB, slice_of(NULL, 0)));
}

static bool about(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

static void test_entropy_is_bits_a_byte(void)
{
	uint8_t all[256];
	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	CHECK(about(entropy_bits(slice_of(NULL, 0)), 0));
	CHECK(about(entropy_bits(slice_str("aaaa")), 0));
	CHECK(about(entropy_bits(slice_str("abab")), 1));
	CHECK(about(entropy_bits(slice_str("aab")), 0.918295834054490));
	CHECK(about(entropy_bits(slice_of(all, 256)), 8));
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_checksum_holds_or_not), TEST(test_entropy_is_bits_a_byte));
}

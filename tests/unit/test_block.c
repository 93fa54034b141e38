/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "check.h"
#include "wire/block.h"

static size_t make_block(uint8_t *out, uint64_t id)
{
	struct slice a = slice_str("first"), b = slice_str("second request"),
		     none = slice_of("", 0);
	uint32_t at = BLOCK_HEADER;
	at += record_write(out + at, 7, a);
	at += record_write(out + at, 8, none);
	at += record_write(out + at, 9, b);
	struct block h = {.id = id, .unix_ms = 99, .first_seq = 7, .n_records = 3, .n_spans = 5};
	h.head = 1ull << 40;
	h.stage = STAGE_PENDING;
	h.records = slice_of(out + BLOCK_HEADER, at - BLOCK_HEADER);
	block_seal(out, &h);
	return at;
}

static void test_crc_matches_the_published_vector(void)
{
	CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283u); /* RFC 3720 B.4's check value */
	CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

/* Byte by byte, as the standard defines it. */
static uint32_t slow_crc(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = (crc & 1) ? 0x82f63b78u ^ (crc >> 1) : crc >> 1;
	}
	return ~crc;
}

static void test_crc_of_any_length_and_cut_is_the_same(void)
{
	static uint8_t bytes[10000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 11);
	for (size_t len = 0; len < sizeof(bytes); len += len < 100 ? 1 : 97) {
		uint32_t crc = slow_crc(bytes, len);
		CHECK_EQ(crc32c(0, bytes, len), crc);
		size_t cut = len * 2 / 3;
		CHECK_EQ(crc32c(crc32c(0, bytes, cut), bytes + cut, len - cut), crc);
	}
}

static void test_records_come_back_in_order(void)
{
	uint8_t bytes[512];
	size_t len = make_block(bytes, 42);
	struct block b;
	CHECK_EQ(block_open(&b, slice_of(bytes, len), 42), 0);
	CHECK_EQ(b.n_spans, 5);
	CHECK_EQ(b.first_seq, 7);
	CHECK(b.head == 1ull << 40 && b.stage == STAGE_PENDING);
	struct record r;
	uint32_t next = block_record(&b, 0, &r);
	CHECK(next != 0 && r.seq == 7 && slice_is(r.payload, "first"));
	next = block_record(&b, next, &r);
	CHECK(next != 0 && r.seq == 8 && r.payload.len == 0);
	next = block_record(&b, next, &r);
	CHECK(next == b.records.len && r.seq == 9 && slice_is(r.payload, "second request"));
	CHECK_EQ(block_record(&b, next, &r), 0);
}

static void test_every_flipped_bit_is_seen(void)
{
	uint8_t bytes[512];
	size_t len = make_block(bytes, 42);
	struct block b;
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK_EQ(block_open(&b, slice_of(bytes, len), 42), BLOCK_BAD);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		CHECK_EQ(block_open(&b, slice_of(bytes, cut), 42), BLOCK_BAD);
	CHECK_EQ(block_open(&b, slice_of(bytes, len), 43), BLOCK_BAD);
}

/* Byte by byte as a version wrote it that knew no stages: it reads as kept. */
static void test_block_of_the_version_before_is_kept(void)
{
	uint8_t bytes[512];
	struct block b, h = {.id = 3, .unix_ms = 99, .first_seq = 7, .n_records = 1, .n_spans = 5};
	uint32_t len = record_write(bytes + BLOCK_HEADER, 7, slice_str("request"));
	h.records = slice_of(bytes + BLOCK_HEADER, len);
	block_seal(bytes, &h);
	CHECK(bytes[60] == 0 && bytes[61] == 0 && bytes[62] == 0 && bytes[63] == 0);
	CHECK_EQ(block_open(&b, slice_of(bytes, BLOCK_HEADER + len), 3), 0);
	CHECK_EQ(b.stage, STAGE_KEPT);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_crc_matches_the_published_vector),
		   TEST(test_crc_of_any_length_and_cut_is_the_same),
		   TEST(test_records_come_back_in_order), TEST(test_every_flipped_bit_is_seen),
		   TEST(test_block_of_the_version_before_is_kept));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "wire/parcel.h"

enum { BODY = 1000 };
static uint8_t bytes[PARCEL_HEADER + BODY];

static struct parcel sample(void)
{
	static uint8_t body[BODY];
	for (int i = 0; i < BODY; i++)
		body[i] = (uint8_t)i;
	return (struct parcel){.id = 0x0123456789abcdef,
			       .oldest_ms = 1700000000001,
			       .newest_ms = 1700000000777,
			       .n_spans = 4711,
			       .plain_len = 99999,
			       .coding = CODING_ZSTD,
			       .from = PLACE_QUARANTINE,
			       .to = {77, 88, 99},
			       .status = -1,
			       .body = slice_of(body, BODY)};
}

static int open_bytes(struct parcel *p, size_t len)
{
	return parcel_open(p, slice_of(bytes, len), 0x0123456789abcdef);
}

static void test_a_parcel_comes_back_as_it_was_written(void)
{
	struct parcel in = sample(), p;
	parcel_write(bytes, &in);
	CHECK_EQ(open_bytes(&p, sizeof(bytes)), 0);
	CHECK_EQ(p.id, in.id);
	CHECK_EQ(p.oldest_ms, in.oldest_ms);
	CHECK_EQ(p.newest_ms, in.newest_ms);
	CHECK_EQ(p.n_spans, in.n_spans);
	CHECK_EQ(p.plain_len, in.plain_len);
	CHECK_EQ(p.coding, in.coding);
	CHECK_EQ(p.from, in.from);
	CHECK_EQ(cursor_compare(p.to, in.to), 0);
	CHECK_EQ(p.status, -1);
	CHECK_EQ(p.body.len, BODY);
	CHECK_EQ(memcmp(p.body.data, in.body.data, BODY), 0);
}

static void test_every_changed_bit_is_seen(void)
{
	struct parcel in = sample(), p;
	parcel_write(bytes, &in);
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK_EQ(open_bytes(&p, sizeof(bytes)), PARCEL_BAD);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK_EQ(open_bytes(&p, sizeof(bytes)), 0);
}

static void test_a_parcel_cut_short_or_under_another_id_is_none(void)
{
	struct parcel in = sample(), p;
	parcel_write(bytes, &in);
	for (size_t len = 0; len < sizeof(bytes); len++)
		CHECK_EQ(open_bytes(&p, len), PARCEL_BAD);
	CHECK_EQ(parcel_open(&p, slice_of(bytes, sizeof(bytes)), 1), PARCEL_BAD);
}

/* What a peek lets through is used for counting before any checksum is read. */
static void test_a_right_checksum_does_not_excuse_nonsense(void)
{
	struct parcel p, in = sample();
	in.n_spans = 0;
	parcel_write(bytes, &in);
	CHECK_EQ(parcel_peek(&p, slice_of(bytes, sizeof(bytes)), in.id), PARCEL_BAD);
	in = sample();
	in.from = PLACES;
	parcel_write(bytes, &in);
	CHECK_EQ(parcel_peek(&p, slice_of(bytes, sizeof(bytes)), in.id), PARCEL_BAD);
	in = sample();
	in.id = UINT64_MAX - 2; /* the next id would wrap */
	parcel_write(bytes, &in);
	CHECK_EQ(parcel_peek(&p, slice_of(bytes, sizeof(bytes)), in.id), PARCEL_BAD);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_parcel_comes_back_as_it_was_written),
		   TEST(test_every_changed_bit_is_seen),
		   TEST(test_a_parcel_cut_short_or_under_another_id_is_none),
		   TEST(test_a_right_checksum_does_not_excuse_nonsense));
}

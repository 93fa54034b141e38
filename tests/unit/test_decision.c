/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/decision.h"

#include "check.h"
#include "pipeline/policy.h"

static struct decision sample(uint8_t mark)
{
	struct decision d = {.trace_id = {mark},
			     .first_unix_ms = 1767225600000,
			     .randomness = 0xfedcba98765432,
			     .threshold = (uint64_t)1 << 56,
			     .keys = {1, 2, 3, 4},
			     .spans = 7,
			     .bytes = 700,
			     .rule = 3,
			     .trigger = TRIGGER_STRESS,
			     .verdict = VERDICT_BUDGET};
	return d;
}

static struct buf chapter(uint32_t n)
{
	struct buf b = {0};
	CHECK_EQ(chapter_begin(&b, 42, 1767225600001), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct decision d = sample((uint8_t)i);
		CHECK_EQ(chapter_add(&b, &d), 0);
	}
	return b;
}

static void test_chapter_gives_what_was_added(void)
{
	struct buf b = chapter(3);
	struct chapter c;
	CHECK_EQ(b.len, CHAPTER_HEADER + 3 * 120);
	CHECK_EQ(chapter_read(&c, buf_slice(&b)), 0);
	CHECK(c.n == 3 && c.generation == 42 && c.unix_ms == 1767225600001);
	for (uint32_t i = 0; i < 3; i++) {
		struct decision d, want = sample((uint8_t)i);
		chapter_at(&c, i, &d);
		CHECK(memcmp(&d, &want, sizeof(d)) == 0);
	}
	buf_finish(&b);
}

static void test_chapter_of_no_decisions_is_one(void)
{
	struct buf b = chapter(0);
	struct chapter c;
	CHECK_EQ(chapter_read(&c, buf_slice(&b)), 0);
	CHECK_EQ(c.n, 0);
	buf_finish(&b);
}

static void test_chapter_with_a_byte_more_or_less_is_bad(void)
{
	struct buf b = chapter(2);
	struct chapter c;
	CHECK_EQ(buf_append(&b, "", 1), 0);
	for (size_t len = 0; len <= b.len; len++)
		CHECK_EQ(chapter_read(&c, slice_of(b.data, len)),
			 len == b.len - 1 ? 0 : DECISION_BAD);
	buf_finish(&b);
}

static void add_met(struct buf *b, uint32_t decision, uint32_t spans)
{
	struct met_by m = {
	    .decision = decision, .spans = spans, .span_ids = {{1, 2, 3}, {(uint8_t)decision}}};
	CHECK_EQ(chapter_add_met(b, &m), 0);
}

static void test_chapter_knows_who_met_its_rules(void)
{
	struct buf b = chapter(4);
	struct chapter c;
	add_met(&b, 1, 7);
	add_met(&b, 3, 1);
	CHECK_EQ(chapter_read(&c, buf_slice(&b)), 0);
	CHECK(c.n == 4 && c.n_met == 2);
	CHECK_EQ(chapter_met_by(&c, 0).spans, 0);
	CHECK_EQ(chapter_met_by(&c, 1).spans, 7);
	CHECK_EQ(chapter_met_by(&c, 2).spans, 0);
	struct met_by m = chapter_met_by(&c, 3);
	CHECK(m.decision == 3 && m.spans == 1);
	CHECK(m.span_ids[0][2] == 3 && m.span_ids[1][0] == 3);
	buf_finish(&b);
}

/* As they were written before: with the magic of the first version. */
static void test_chapter_of_the_first_version_is_read_without(void)
{
	struct buf b = chapter(2);
	struct chapter c;
	CHECK(memcmp(b.data, "RLD1", 4) == 0);
	CHECK_EQ(chapter_read(&c, buf_slice(&b)), 0);
	CHECK(c.n == 2 && c.n_met == 0);
	CHECK_EQ(chapter_met_by(&c, 1).spans, 0);
	add_met(&b, 1, 1);
	memcpy(b.data, "RLD1", 4);
	CHECK_EQ(chapter_read(&c, buf_slice(&b)), DECISION_BAD);
	buf_finish(&b);
}

static void test_chapter_with_impossible_witnesses_is_bad(void)
{
	static const struct {
		uint32_t decision[2], spans;
	} wrong[] = {{{0, 2}, 1}, {{1, 1}, 1}, {{1, 0}, 1}, {{0, 1}, 0}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct buf b = chapter(2);
		struct chapter c;
		add_met(&b, wrong[i].decision[0], 1);
		CHECK_EQ(chapter_read(&c, buf_slice(&b)), 0);
		add_met(&b, wrong[i].decision[1], wrong[i].spans);
		CHECK_EQ(chapter_read(&c, buf_slice(&b)), DECISION_BAD);
		b.len -= 1;
		CHECK_EQ(chapter_read(&c, buf_slice(&b)), DECISION_BAD);
		buf_finish(&b);
	}
}

/* A later reader indexes by them. */
static void test_chapter_with_impossible_numbers_is_bad(void)
{
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {{3, '2'},
		     {CHAPTER_HEADER + offsetof(struct decision, trigger), TRIGGERS},
		     {CHAPTER_HEADER + offsetof(struct decision, verdict), VERDICTS},
		     {CHAPTER_HEADER + offsetof(struct decision, randomness) + 7, 1},
		     {CHAPTER_HEADER + offsetof(struct decision, threshold) + 7, 2},
		     {CHAPTER_HEADER + offsetof(struct decision, arrived) + 7, 1}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct buf b = chapter(1);
		struct chapter c;
		b.data[wrong[i].at] = wrong[i].value;
		CHECK_EQ(chapter_read(&c, buf_slice(&b)), DECISION_BAD);
		buf_finish(&b);
	}
}

static void test_every_trigger_and_verdict_has_a_name(void)
{
	for (int i = 0; i < TRIGGERS; i++)
		CHECK(TRIGGER_NAMES[i] != NULL);
	for (int i = 0; i < VERDICTS; i++)
		CHECK(VERDICT_NAMES[i] != NULL);
}

/* CRC-32 (zlib's) of "0000000000000000", "0123456789abcdef" and "ffffffffffffffff". */
static void test_satellite_sampler_tosses_the_coin_of_its_model(void)
{
	static const struct {
		uint8_t low[8];
		uint32_t crc;
	} known[] = {{{0}, 0xa2006b64},
		     {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, 0x68c4f033},
		     {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0x43744ff9}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint8_t id[16] = {9, 9, 9};
		memcpy(id + 8, known[i].low, 8);
		/* The share at which the truncated product is the checksum, or one less. */
		double at = ((double)known[i].crc + 0.5) / UINT32_MAX;
		double below = ((double)known[i].crc - 0.5) / UINT32_MAX;
		CHECK(satellite_keeps(id, at) && !satellite_keeps(id, below));
		CHECK(satellite_keeps(id, 1) && !satellite_keeps(id, 0));
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_chapter_gives_what_was_added),
		   TEST(test_chapter_of_no_decisions_is_one),
		   TEST(test_chapter_with_a_byte_more_or_less_is_bad),
		   TEST(test_chapter_knows_who_met_its_rules),
		   TEST(test_chapter_of_the_first_version_is_read_without),
		   TEST(test_chapter_with_impossible_witnesses_is_bad),
		   TEST(test_chapter_with_impossible_numbers_is_bad),
		   TEST(test_every_trigger_and_verdict_has_a_name),
		   TEST(test_satellite_sampler_tosses_the_coin_of_its_model));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/pending.h"

#include "check.h"

/* Block b has requests of 1000 bytes each, b of them. */
static void add_block(struct pending *p, uint64_t b)
{
	for (uint32_t i = 0; i < b; i++)
		CHECK_EQ(pending_add(p, (struct pending_request){.block_id = b,
								 .offset = i * 1000,
								 .tails = i % 3 == 0}),
			 0);
}

static void test_a_span_is_found_in_its_request(void)
{
	struct pending p = {.requests = NULL};
	struct pending_request r;
	uint32_t end;
	for (uint64_t b = 1; b <= 60; b++)
		add_block(&p, b);
	for (uint64_t b = 1; b <= 60; b++)
		for (uint32_t at = 0; at < b * 1000; at += 37) {
			CHECK_EQ(pending_find(&p, b, at, &r, &end), 0);
			CHECK_EQ(r.block_id, b);
			CHECK_EQ(r.offset, at / 1000 * 1000);
			CHECK_EQ(r.tails, at / 1000 % 3 == 0);
			CHECK_EQ(end, at / 1000 + 1 == b ? UINT32_MAX : r.offset + 1000);
		}
	CHECK_EQ(pending_find(&p, 61, 0, &r, &end), PENDING_NONE);
	CHECK_EQ(pending_find(&p, 0, 0, &r, &end), PENDING_NONE);
	pending_finish(&p);
}

static void test_what_was_dropped_is_gone_and_its_room_used_again(void)
{
	struct pending p = {.requests = NULL};
	struct pending_request r;
	uint32_t end;
	for (uint64_t b = 1; b <= 4000; b++) {
		CHECK_EQ(pending_add(&p, (struct pending_request){.block_id = b}), 0);
		pending_drop(&p, b < 100 ? 0 : b - 100);
		if (b > 101)
			CHECK_EQ(pending_find(&p, b - 101, 0, &r, &end), PENDING_NONE);
		CHECK_EQ(pending_find(&p, b < 100 ? 1 : b - 100, 0, &r, &end), b == 100);
		CHECK_EQ(pending_find(&p, b, 5, &r, &end), 0);
	}
	CHECK(p.cap <= 1024);
	pending_finish(&p);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_span_is_found_in_its_request),
		   TEST(test_what_was_dropped_is_gone_and_its_room_used_again));
}

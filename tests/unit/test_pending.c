/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/pending.h"

#include "check.h"

/* Block b has requests of 10 spans each, b of them, at offsets of 1000 each. */
static void add_block(struct pending *p, uint64_t b)
{
	for (uint32_t i = 0; i < b; i++)
		CHECK_EQ(pending_add(p, (struct pending_request){.block_id = b,
								 .first = i * 10,
								 .offset = i * 1000 & 0xfffff}),
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
		for (uint32_t number = 0; number < b * 10; number++) {
			CHECK_EQ(pending_find(&p, b, number, &r, &end), 0);
			CHECK_EQ(r.block_id, b);
			CHECK_EQ(r.first, number / 10 * 10);
			CHECK_EQ(r.offset, number / 10 * 1000);
			CHECK_EQ(end, number / 10 + 1 == b ? UINT32_MAX : r.first + 10);
		}
	CHECK_EQ(pending_find(&p, 61, 0, &r, &end), PENDING_NONE);
	CHECK_EQ(pending_find(&p, 0, 0, &r, &end), PENDING_NONE);
	CHECK(pending_first(&p, 61) == NULL && pending_first(&p, 0) == NULL);
	CHECK_EQ(pending_first(&p, 60)->offset, 0);
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

/* SPDX-License-Identifier: Apache-2.0
 * A sender whose configuration changes: in place, or by going another way. */
#include "sender_fixture.h"

static void test_numbers_change_in_place(void)
{
	start_with(1000);
	struct conf_exporter next = conf;
	next.concurrency = 4;
	for (int i = 0; i < 5; i++)
		add_block(1, 2, 400);
	for (uint64_t id = 1; id <= 5; id++)
		file(id);
	CHECK_EQ(n_calls, 2);
	takes = 0;
	CHECK_EQ(sender_take(sender, &next, segment_bytes), 0);
	CHECK_EQ(takes, 1);
	CHECK_EQ(n_calls, 4); /* at once */
	while (n_calls != 0)
		answer(0, SENT);
	check_all_arrived_once();
	stop();
}

static void test_what_may_be_mended_is_tried_at_once(void)
{
	start();
	conf.retry_max_ms = 60000;
	file_spans(3, 2);
	CHECK(wait_for_call());
	answer(0, HOLD_AUTH);
	CHECK_EQ(state(), SENDER_HELD_AUTH);
	CHECK_EQ(sender_take(sender, &conf, segment_bytes), 0);
	CHECK(wait_for_call());
	answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	check_all_arrived_once();
	stop();
}

static void test_another_way_begins_when_the_old_one_is_quiet(void)
{
	start_with(1000);
	struct conf_exporter next = conf;
	for (int i = 0; i < 5; i++)
		add_block(1, 2, 400);
	file(1);
	file(2);
	CHECK_EQ(n_calls, 2);
	sender_drain(sender);
	for (uint64_t id = 3; id <= 5; id++)
		file(id);
	CHECK(!sender_is_quiet(sender));
	answer(1, SENT);
	answer(0, RETRY); /* it goes again, the new way */
	CHECK_EQ(n_calls, 0);
	CHECK(sender_is_quiet(sender));
	unsigned before[MAX_SPANS]; /* a backend that begins counts anew */
	memcpy(before, arrived, sizeof(before));
	CHECK_EQ(sender_replace(sender, &next, NULL, segment_bytes), 0);
	CHECK(wait_for_call());
	while (n_calls != 0 || wait_for_call())
		answer(0, SENT);
	for (size_t i = 0; i < MAX_SPANS; i++)
		arrived[i] += before[i];
	check_all_arrived_once();
	stop();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_numbers_change_in_place),
		   TEST(test_what_may_be_mended_is_tried_at_once),
		   TEST(test_another_way_begins_when_the_old_one_is_quiet));
}

/* SPDX-License-Identifier: Apache-2.0
 * Reloads one at a time, and none asked for in vain. */
#include "check.h"
#include "relay/turns.h"

static uint64_t begin(struct turns *t, enum turn_kind wanted)
{
	enum turn_kind kind = TURN_KINDS;
	uint64_t turn = turns_begin(t, &kind);
	if (turn != 0)
		CHECK_EQ(kind, wanted);
	return turn;
}

static void test_one_that_is_asked_for_begins_at_once(void)
{
	struct turns t = {0};
	CHECK_EQ(begin(&t, TURN_RELOAD), 0);
	uint64_t turn = turns_ask(&t, TURN_RELOAD);
	CHECK_EQ(begin(&t, TURN_RELOAD), turn);
	turns_end(&t);
	CHECK_EQ(begin(&t, TURN_RELOAD), 0);
}

static void test_a_thousand_in_the_middle_of_one_are_one_more(void)
{
	struct turns t = {0};
	uint64_t first = turns_ask(&t, TURN_RELOAD);
	CHECK_EQ(begin(&t, TURN_RELOAD), first);
	uint64_t second = turns_ask(&t, TURN_RELOAD);
	CHECK(second != first);
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ(turns_ask(&t, TURN_RELOAD), second);
		CHECK_EQ(begin(&t, TURN_RELOAD), 0);
	}
	turns_end(&t);
	CHECK_EQ(begin(&t, TURN_RELOAD), second);
	turns_end(&t);
	CHECK_EQ(begin(&t, TURN_RELOAD), 0);
}

static void test_who_only_looks_has_a_turn_of_its_own(void)
{
	struct turns t = {0};
	uint64_t a = turns_ask(&t, TURN_RELOAD);
	CHECK_EQ(begin(&t, TURN_RELOAD), a);
	uint64_t look = turns_ask(&t, TURN_DRY_RUN), b = turns_ask(&t, TURN_RELOAD);
	turns_end(&t);
	CHECK_EQ(begin(&t, TURN_DRY_RUN), look);
	turns_end(&t);
	CHECK_EQ(begin(&t, TURN_RELOAD), b);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_one_that_is_asked_for_begins_at_once),
		   TEST(test_a_thousand_in_the_middle_of_one_are_one_more),
		   TEST(test_who_only_looks_has_a_turn_of_its_own));
}

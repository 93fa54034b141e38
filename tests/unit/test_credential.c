/* SPDX-License-Identifier: Apache-2.0
 * Two slots, the canary, the promotion, the fall-back, the hold: in no time at all. */
#include "exporters/credential.h"

#include "check.h"
#include "key_fixture.h"

static struct conf_credentials times;
static struct credential c;
static uint64_t now_ms;

static bool offer(const char *first, const char *second)
{
	return credential_offer(&c, key_of(first), second != NULL ? key_of(second) : NULL, now_ms);
}

/* The token that a request would go with. */
static struct key *pick(const char *token)
{
	CHECK(credential_ready(&c));
	struct key *k = credential_pick(&c, now_ms);
	CHECK_STR((const char *)secret_reveal(k->values[0]).data, token);
	return k;
}

static void taken(struct key *k)
{
	credential_taken(&c, k);
	key_release(k);
}

static enum credential_advice refused(struct key *k)
{
	enum credential_advice a = credential_refused(&c, k, now_ms);
	key_release(k);
	return a;
}

static bool pass(uint64_t ms)
{
	now_ms += ms;
	return credential_tick(&c, now_ms);
}

static void begin(void)
{
	credential_finish(&c);
	times = (struct conf_credentials){
	    .overlap_ms = 900000, .retry_ms = 30000, .give_up_ms = 600000};
	now_ms = 1000000;
	credential_init(&c, true, &times);
}

/* With a token that has proved itself. */
static void begin_with(const char *token)
{
	begin();
	CHECK(offer(token, NULL));
	taken(pick(token));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

static void test_nothing_goes_before_there_is_a_token(void)
{
	begin();
	CHECK_EQ(c.state, CREDENTIAL_NONE);
	CHECK(!credential_ready(&c));
	CHECK(offer("a", NULL));
	struct key *one = pick("a"), *two = pick("a"); /* and then all at once */
	taken(one);
	taken(two);
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

static void test_exporter_without_secrets_needs_none(void)
{
	credential_finish(&c);
	credential_init(&c, false, &times);
	CHECK(credential_ready(&c) && credential_pick(&c, 0) == NULL);
	credential_taken(&c, NULL);
	CHECK_EQ(credential_refused(&c, NULL, 0), CREDENTIAL_HOLD);
	CHECK(credential_renew(&c, NULL, 0) == NULL);
}

static void test_one_request_tries_a_new_token_and_others_go_on(void)
{
	begin_with("a");
	CHECK(offer("b", NULL));
	CHECK_EQ(c.state, CREDENTIAL_CANARY);
	struct key *canary = pick("b"), *other = pick("a"), *third = pick("a");
	taken(other);
	CHECK_EQ(c.state, CREDENTIAL_CANARY);
	taken(canary);
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
	taken(pick("b"));
	taken(third); /* of the old one: it tells nothing new */
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
	CHECK_STR(c.previous->fingerprint, third->fingerprint);
}

static void test_canary_that_nobody_looked_at_is_sent_again(void)
{
	begin_with("a");
	offer("b", NULL);
	struct key *canary = pick("b");
	credential_unclear(&c, canary);
	key_release(canary);
	CHECK_EQ(c.state, CREDENTIAL_CANARY);
	taken(pick("b"));
}

static void test_previous_ends_with_the_overlap_after_promotion(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK(!pass(times.overlap_ms)); /* nothing was sent yet: it may be the only one */
	CHECK(c.previous != NULL);
	taken(pick("b"));
	CHECK(pass(0));
	CHECK(c.previous == NULL);
	begin_with("a");
	offer("b", NULL);
	taken(pick("b"));
	CHECK(!pass(times.overlap_ms - 1) && pass(1));
	CHECK(c.previous == NULL);
}

/* Lightstep takes up to five minutes to learn of a new token. */
static void test_refused_new_token_is_tried_until_it_is_known(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	CHECK_EQ(c.state, CREDENTIAL_PENDING);
	taken(pick("a")); /* the same spans, at once */
	for (int i = 0; i < 10; i++) {
		pass(times.retry_ms - 1);
		taken(pick("a"));
		pass(1);
		struct key *canary = pick("b");
		taken(pick("a"));
		CHECK_EQ(refused(canary), CREDENTIAL_AGAIN);
	}
	pass(times.retry_ms);
	taken(pick("b"));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
	taken(pick("b"));
}

static void test_new_token_is_rejected_and_the_old_one_stays(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	CHECK(!pass(times.give_up_ms - 1));
	CHECK(pass(1));
	CHECK_EQ(c.state, CREDENTIAL_REJECTED);
	CHECK(!pass(times.overlap_ms * 2)); /* the clock of the overlap stands still */
	taken(pick("a"));
	CHECK(!offer("b", NULL)); /* the same once more is no news */
	CHECK_EQ(c.state, CREDENTIAL_REJECTED);
	CHECK(offer("c", NULL));
	taken(pick("c"));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

static void test_old_token_that_dies_first_waits_for_the_canary(void)
{
	begin_with("a");
	offer("b", NULL);
	struct key *canary = pick("b");
	CHECK_EQ(refused(pick("a")), CREDENTIAL_AGAIN);
	CHECK(!credential_ready(&c)); /* all depends on the canary */
	taken(canary);
	taken(pick("b"));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

static void test_all_in_flight_on_a_token_that_dies_fall_back(void)
{
	struct key *flight[50];
	begin_with("a");
	offer("b", NULL);
	taken(pick("b"));
	for (size_t i = 0; i < 50; i++)
		flight[i] = pick("b");
	for (size_t i = 0; i < 50; i++)
		CHECK_EQ(refused(flight[i]), CREDENTIAL_AGAIN);
	CHECK_EQ(c.state, CREDENTIAL_PENDING);
	taken(pick("a"));
}

static void test_where_both_fail_probes_take_turns(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	CHECK_EQ(refused(pick("a")), CREDENTIAL_HOLD);
	CHECK_EQ(c.state, CREDENTIAL_BLOCKED);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(refused(pick("b")), CREDENTIAL_HOLD);
		CHECK_EQ(refused(pick("a")), CREDENTIAL_HOLD);
	}
	taken(pick("b"));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

static void test_old_token_that_comes_back_to_life_is_used(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	CHECK_EQ(refused(pick("a")), CREDENTIAL_HOLD);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_HOLD);
	taken(pick("a"));
	CHECK_EQ(c.state, CREDENTIAL_PENDING);
	taken(pick("a"));
}

static void test_single_token_that_is_refused_holds(void)
{
	begin_with("a");
	CHECK_EQ(refused(pick("a")), CREDENTIAL_HOLD);
	CHECK_EQ(c.state, CREDENTIAL_BLOCKED);
	CHECK_EQ(refused(pick("a")), CREDENTIAL_HOLD);
	CHECK(offer("b", NULL));
	CHECK_EQ(c.state, CREDENTIAL_CANARY);
	struct key *canary = pick("b");
	CHECK(!credential_ready(&c)); /* the old one is known to be dead */
	CHECK_EQ(refused(canary), CREDENTIAL_HOLD);
	taken(pick("a")); /* or so it seemed */
}

static void test_second_change_keeps_the_last_one_that_worked(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	CHECK(offer("c", NULL));
	CHECK_EQ(c.state, CREDENTIAL_CANARY);
	struct key *canary = pick("c");
	taken(pick("a"));
	taken(canary);
	CHECK_STR((const char *)secret_reveal(c.previous->values[0]).data, "a");
}

/* The new one had been promoted, then died; the old one carries on; a third one comes. */
static void test_change_in_a_fall_back_keeps_what_carries_on(void)
{
	begin_with("a");
	offer("b", NULL);
	taken(pick("b"));
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	taken(pick("a"));
	CHECK(offer("c", NULL));
	struct key *canary = pick("c");
	taken(pick("a"));
	CHECK_EQ(refused(canary), CREDENTIAL_AGAIN);
	taken(pick("a"));
}

static void test_change_back_is_a_change(void)
{
	begin_with("a");
	offer("b", NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_AGAIN);
	CHECK(offer("a", NULL));
	CHECK(c.previous == NULL);
	taken(pick("a"));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

static void test_second_line_lives_as_long_as_the_file_says(void)
{
	begin();
	CHECK(offer("b", "a"));
	CHECK_EQ(c.state, CREDENTIAL_CANARY);
	taken(pick("b"));
	CHECK(!pass(times.overlap_ms * 10));
	CHECK(c.previous != NULL);
	CHECK(!offer("b", "a"));
	CHECK(!offer("b", NULL)); /* it goes as any previous one does */
	CHECK(!pass(times.overlap_ms - 1) && pass(1));
	CHECK(c.previous == NULL);
}

static void test_new_second_line_wakes_a_hold(void)
{
	begin_with("a");
	CHECK_EQ(refused(pick("a")), CREDENTIAL_HOLD);
	CHECK(offer("a", "b"));
	CHECK_EQ(refused(pick("a")), CREDENTIAL_AGAIN);
	taken(pick("b"));
	CHECK_EQ(c.state, CREDENTIAL_PENDING);
}

static void test_dropped_token_does_not_come_back(void)
{
	begin_with("a");
	CHECK(!credential_drop_previous(&c));
	offer("b", NULL);
	CHECK(credential_drop_previous(&c));
	CHECK(c.previous == NULL);
	CHECK_EQ(refused(pick("b")), CREDENTIAL_HOLD);
	CHECK(!offer("b", "a")); /* a second line that still has it */
	CHECK(c.previous == NULL);
}

static void test_request_that_waited_is_not_sent_with_a_dropped_token(void)
{
	begin_with("a");
	offer("b", NULL);
	struct key *canary = pick("b"), *waits = pick("a"), *stays = pick("a");
	stays = credential_renew(&c, stays, now_ms);
	CHECK_STR((const char *)secret_reveal(stays->values[0]).data, "a");
	CHECK(credential_drop_previous(&c));
	waits = credential_renew(&c, waits, now_ms);
	CHECK_STR((const char *)secret_reveal(waits->values[0]).data, "b");
	taken(canary);
	taken(waits);
	CHECK_EQ(refused(stays), CREDENTIAL_AGAIN); /* it was on its way: that says nothing */
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
}

/* What waits takes none of the old ones along, and what is under way tells nothing of the new one.
 */
static void test_after_a_reset_nothing_old_is_used(void)
{
	begin_with("a");
	offer("b", NULL);
	struct key *canary = pick("b"), *under_way = pick("a"), *waits = pick("a");
	credential_reset(&c, true);
	CHECK_EQ(c.state, CREDENTIAL_NONE);
	CHECK(!credential_ready(&c) && c.previous == NULL);
	CHECK(credential_renew(&c, waits, now_ms) == NULL);
	CHECK_EQ(refused(under_way), CREDENTIAL_AGAIN);
	taken(canary);
	CHECK_EQ(c.state, CREDENTIAL_NONE);
	CHECK(offer("x", NULL));
	CHECK_EQ(c.state, CREDENTIAL_PROMOTED);
	struct key *late = credential_renew(&c, NULL, now_ms); /* it waited without one */
	CHECK_STR((const char *)secret_reveal(late->values[0]).data, "x");
	credential_reset(&c, false);
	CHECK(credential_renew(&c, late, now_ms) == NULL);
	CHECK(credential_ready(&c) && credential_pick(&c, now_ms) == NULL);
}

/* Whatever happens, a working token that is in a slot is found: what a request goes with is refused
 * at most a few times in a row. */
static void test_random_changes_always_find_a_token_that_works(void)
{
	static const char *const TOKENS[] = {"a", "b", "c", "d"};
	uint32_t seed = 12345;
	begin();
	times.retry_ms = 3;
	times.give_up_ms = 50;
	times.overlap_ms = 20;
	unsigned sends = 0;
	const char *file = "a";
	offer(file, NULL);
	for (int round = 0; round < 20000; round++) {
		seed = seed * 1664525u + 1013904223u;
		if (seed >> 28 == 0) {
			file = TOKENS[seed >> 20 & 3];
			offer(file, seed & 0x8000 ? TOKENS[seed >> 16 & 3] : NULL);
		} else if (seed >> 28 == 1) {
			credential_drop_previous(&c);
		}
		pass(seed >> 24 & 3);
		bool sent = false; /* only what the file says is good */
		for (int tries = 0; tries < 4 && !sent; tries++) {
			CHECK(credential_ready(&c));
			struct key *k = credential_pick(&c, now_ms);
			sent = slice_is(secret_reveal(k->values[0]), file);
			if (sent)
				taken(k);
			else
				(void)refused(k);
		}
		CHECK(sent || c.state == CREDENTIAL_PENDING || c.state == CREDENTIAL_REJECTED);
		sends += sent;
	}
	CHECK(sends > 19000);
	credential_finish(&c);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_nothing_goes_before_there_is_a_token),
		   TEST(test_exporter_without_secrets_needs_none),
		   TEST(test_one_request_tries_a_new_token_and_others_go_on),
		   TEST(test_canary_that_nobody_looked_at_is_sent_again),
		   TEST(test_previous_ends_with_the_overlap_after_promotion),
		   TEST(test_refused_new_token_is_tried_until_it_is_known),
		   TEST(test_new_token_is_rejected_and_the_old_one_stays),
		   TEST(test_old_token_that_dies_first_waits_for_the_canary),
		   TEST(test_all_in_flight_on_a_token_that_dies_fall_back),
		   TEST(test_where_both_fail_probes_take_turns),
		   TEST(test_old_token_that_comes_back_to_life_is_used),
		   TEST(test_single_token_that_is_refused_holds),
		   TEST(test_second_change_keeps_the_last_one_that_worked),
		   TEST(test_change_in_a_fall_back_keeps_what_carries_on),
		   TEST(test_change_back_is_a_change),
		   TEST(test_second_line_lives_as_long_as_the_file_says),
		   TEST(test_new_second_line_wakes_a_hold),
		   TEST(test_dropped_token_does_not_come_back),
		   TEST(test_request_that_waited_is_not_sent_with_a_dropped_token),
		   TEST(test_after_a_reset_nothing_old_is_used),
		   TEST(test_random_changes_always_find_a_token_that_works));
}

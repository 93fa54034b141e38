/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/room.h"

#include <poll.h>
#include <stdatomic.h>

#include "tests/check.h"

enum { LIMIT = 8, HUSH = 100, QUIET_MS = 50, LONG_MS = 5000 };

/* A room that goes into a hush after each round, as the store does while it lingers. */
struct desk {
	struct room room;
	bool hushes;
	_Atomic int read;
	struct mail mail[2 * LIMIT];
};

static void on_mail(void *ctx, struct mail *m)
{
	(void)m;
	((struct desk *)ctx)->read++;
}

static void on_round(void *ctx)
{
	struct desk *d = ctx;
	if (d->hushes)
		room_hush(&d->room, HUSH);
}

static int late;

static void on_late(struct mail *m)
{
	(void)m;
	late++;
}

static const struct room_rules RULES = {"desk", LIMIT, on_mail, on_round, on_late};

static void open_desk(struct desk *d, bool hushes)
{
	*d = (struct desk){.hushes = hushes};
	CHECK(room_init(&d->room, &RULES, d) == 0);
	CHECK(room_start(&d->room) == 0);
}

static void close_desk(struct desk *d)
{
	room_stop(&d->room);
	room_finish(&d->room);
}

static void check_read(struct desk *d, int n)
{
	for (int ms = 0; ms < LONG_MS && d->read < n; ms++)
		poll(NULL, 0, 1);
	CHECK_EQ(d->read, n);
}

static void check_still_read(struct desk *d, int n)
{
	poll(NULL, 0, QUIET_MS);
	CHECK_EQ(d->read, n);
}

static void test_post_is_read(void)
{
	struct desk d;
	open_desk(&d, false);
	for (int i = 0; i < LIMIT; i++) {
		CHECK(room_post(&d.room, &d.mail[i], 1) == 0);
		check_read(&d, i + 1);
	}
	close_desk(&d);
}

static void test_stop_reads_what_waits(void)
{
	struct desk d;
	open_desk(&d, true);
	check_still_read(&d, 0); /* the first round is over: it is hushed */
	CHECK(room_post(&d.room, &d.mail[0], 1) == 0);
	close_desk(&d);
	CHECK_EQ(d.read, 1);
}

static void test_what_comes_after_the_stop_is_freed_and_not_read(void)
{
	struct desk d;
	open_desk(&d, false);
	room_stop(&d.room);
	room_answer(&d.room, &d.mail[0]);
	room_tell(&d.room, &d.mail[1], 1);
	room_finish(&d.room);
	CHECK_EQ(d.read, 0);
	CHECK_EQ(late, 2);
}

static void test_full_room_refuses_posts_but_no_answers(void)
{
	struct desk d = {.read = 0};
	CHECK(room_init(&d.room, &RULES, &d) == 0); /* nobody reads yet */
	for (int i = 0; i < LIMIT; i++)
		CHECK(room_post(&d.room, &d.mail[i], 1) == 0);
	CHECK_EQ(room_post(&d.room, &d.mail[LIMIT], 1), ROOM_FULL);
	room_answer(&d.room, &d.mail[LIMIT]);
	CHECK(room_start(&d.room) == 0);
	check_read(&d, LIMIT + 1);
	close_desk(&d);
}

static void test_what_is_told_waits_in_a_hush_and_an_answer_does_not(void)
{
	struct desk d;
	open_desk(&d, true);
	check_still_read(&d, 0);
	room_tell(&d.room, &d.mail[0], HUSH - 1);
	check_still_read(&d, 0);
	room_answer(&d.room, &d.mail[1]);
	check_read(&d, 2);
	close_desk(&d);
}

static void test_hush_ends_by_weight(void)
{
	struct desk d;
	open_desk(&d, true);
	check_still_read(&d, 0);
	CHECK(room_post(&d.room, &d.mail[0], HUSH - 1) == 0);
	check_still_read(&d, 0);
	CHECK(room_post(&d.room, &d.mail[1], 1) == 0);
	check_read(&d, 2);
	close_desk(&d);
}

static void test_hush_ends_by_an_answer(void)
{
	struct desk d;
	open_desk(&d, true);
	check_still_read(&d, 0);
	CHECK(room_post(&d.room, &d.mail[0], 1) == 0);
	room_answer(&d.room, &d.mail[1]);
	check_read(&d, 2);
	close_desk(&d);
}

static void test_hush_ends_before_the_room_is_full(void)
{
	struct desk d;
	open_desk(&d, true);
	check_still_read(&d, 0);
	for (int i = 0; i < LIMIT / 2; i++)
		CHECK(room_post(&d.room, &d.mail[i], 1) == 0);
	check_read(&d, LIMIT / 2);
	close_desk(&d);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_post_is_read), TEST(test_stop_reads_what_waits),
		   TEST(test_what_comes_after_the_stop_is_freed_and_not_read),
		   TEST(test_full_room_refuses_posts_but_no_answers),
		   TEST(test_what_is_told_waits_in_a_hush_and_an_answer_does_not),
		   TEST(test_hush_ends_by_weight), TEST(test_hush_ends_by_an_answer),
		   TEST(test_hush_ends_before_the_room_is_full));
}

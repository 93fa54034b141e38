/* SPDX-License-Identifier: Apache-2.0
 * Exporters come and go while the store is open, as if it had been opened anew. */
#include "fixture.h"

static struct cursor end_of(struct store_block b)
{
	return (struct cursor){b.id, b.bytes - BLOCK_HEADER, 0};
}

static void test_a_new_one_begins_at_the_oldest_block_held(void)
{
	new_dir();
	struct store *s = open_store(ONE, 1);
	put(s, 1, 10, 100);
	put(s, 11, 5, 100);
	CHECK_EQ(store_add_exporter(s, "b"), 1);
	CHECK_EQ(store_exporter(s, "b"), 1);
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[1].held[PLACE_JOURNAL], 15);
	struct store_block b = put(s, 16, 1, 100);
	CHECK_EQ(balanced(s).exporter[1].entered, 16);
	sent(s, 0, end_of(b), 16);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 3); /* for b */
	sent(s, 1, end_of(b), 16);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 0);
	store_close(s);
	s = open_store(TWO, 2);
	CHECK_EQ(balanced(s).exporter[1].sent, 16);
	store_close(s);
	drop_dir();
}

static void test_one_that_goes_gives_up_what_it_has_and_holds_up_nothing(void)
{
	new_dir();
	struct store *s = open_store(TWO, 2);
	struct store_block b = put(s, 1, 10, 100);
	sent(s, 1, end_of(b), 10);
	store_remove_exporter(s, 0);
	CHECK_EQ(store_exporter(s, "a"), -1);
	CHECK_EQ(store_exporter(s, "b"), 0);
	struct ledger l = balanced(s);
	CHECK_EQ(l.n_exporters, 1);
	CHECK_EQ(l.exporter[1].dropped[DROP_EXPORTER_REMOVED], 10);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 0);
	put(s, 11, 3, 100);
	CHECK_EQ(balanced(s).exporter[0].held[PLACE_JOURNAL], 3);
	store_close(s);
	s = open_store((const char *const[]){"b"}, 1);
	CHECK_EQ(balanced(s).exporter[1].dropped[DROP_EXPORTER_REMOVED], 10);
	store_close(s);
	drop_dir();
}

static void test_one_that_comes_back_goes_on_with_its_account(void)
{
	struct ledger_exporter e;
	new_dir();
	struct store *s = open_store(TWO, 2);
	struct store_block first = put(s, 1, 10, 100);
	sent(s, 1, end_of(first), 10);
	store_remove_exporter(s, 1);
	put(s, 11, 5, 100); /* a still holds both */
	CHECK(store_removed_exporter(s, "b", &e));
	CHECK_EQ(e.sent, 10);
	CHECK_EQ(store_add_exporter(s, "b"), 1);
	CHECK(!store_removed_exporter(s, "b", &e));
	struct ledger l = balanced(s);
	CHECK_EQ(l.exporter[1].sent, 10);
	CHECK_EQ(l.exporter[1].held[PLACE_JOURNAL], 5);
	CHECK_EQ(l.exporter[1].kept[PLACE_OUTBOX], LEDGER_KEEP_ALL);
	store_close(s);
	drop_dir();
}

static void test_the_oldest_names_are_forgotten_where_there_is_no_room(void)
{
	char name[16];
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		CHECK_EQ(store_add_exporter(s, name), 1);
		put(s, 10 * i + 1, 1, 100);
		store_remove_exporter(s, 1);
		CHECK_EQ(commit_nothing(s), 0);
	}
	struct ledger l = balanced(s);
	CHECK_EQ(l.n_exporters + l.n_removed, STORE_MAX_EXPORTERS);
	CHECK_EQ(l.exporter[0].held[PLACE_JOURNAL], 40);
	store_close(s);
	drop_dir();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_new_one_begins_at_the_oldest_block_held),
		   TEST(test_one_that_goes_gives_up_what_it_has_and_holds_up_nothing),
		   TEST(test_one_that_comes_back_goes_on_with_its_account),
		   TEST(test_the_oldest_names_are_forgotten_where_there_is_no_room));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/rulebook.h"

#include "check.h"

static struct policy policy_of(uint64_t generation, struct policy_rule *rules, uint32_t n)
{
	return (struct policy){.generation = generation, .rules = rules, .n_rules = n};
}

/* `book` becomes one more generation newer. */
static void turn(struct buf *book, const struct policy *p)
{
	struct buf next = {.data = NULL};
	CHECK_EQ(rulebook_write(&next, slice_of(book->data, book->len), p), 0);
	buf_finish(book);
	*book = next;
}

static void test_a_rule_is_found_under_its_old_number(void)
{
	struct policy_rule then[] = {{.name = "errors"}, {.name = "slow"}, {.name = "rest"}};
	struct policy_rule now[] = {{.name = "rest"}, {.name = "errors"}};
	struct policy old = policy_of(7, then, 3), new = policy_of(8, now, 2);
	struct buf book = {.data = NULL};
	uint16_t map[POLICY_RULES];
	turn(&book, &old);
	turn(&book, &new);
	CHECK_EQ(rulebook_map(buf_slice(&book), 7, &new, map), 3);
	CHECK_EQ(map[0], 1);
	CHECK_EQ(map[1], RULEBOOK_GONE);
	CHECK_EQ(map[2], 0);
	CHECK_EQ(rulebook_map(buf_slice(&book), 8, &new, map), 2);
	CHECK_EQ(map[1], 1);
	CHECK_EQ(rulebook_map(buf_slice(&book), 9, &new, map), 0);
	CHECK_STR(rulebook_name(buf_slice(&book), 7, 1), "slow");
	CHECK_STR(rulebook_name(buf_slice(&book), 8, 0), "rest");
	CHECK(rulebook_name(buf_slice(&book), 7, 3) == NULL);
	CHECK(rulebook_name(buf_slice(&book), 6, 0) == NULL);
	buf_finish(&book);
}

static void test_the_newest_generations_are_kept_once_each(void)
{
	struct policy_rule rule[] = {{.name = "all"}};
	struct buf book = {.data = NULL};
	uint16_t map[POLICY_RULES];
	struct policy p = policy_of(1, rule, 1);
	for (uint64_t g = 1; g <= 40; g++) {
		p.generation = g;
		turn(&book, &p);
		turn(&book, &p);
	}
	CHECK_EQ(book.len, RULEBOOK_GENERATIONS * (16 + 4));
	for (uint64_t g = 1; g <= 40; g++)
		CHECK_EQ(rulebook_map(buf_slice(&book), g, &p, map), g > 40 - RULEBOOK_GENERATIONS);
	buf_finish(&book);
}

static void test_a_damaged_book_ends_where_it_is_damaged(void)
{
	struct policy_rule rules[] = {{.name = "a"}, {.name = "b"}};
	struct buf book = {.data = NULL};
	struct policy p = policy_of(1, rules, 2);
	turn(&book, &p);
	p.generation = 2;
	turn(&book, &p);
	for (size_t len = 0; len < book.len; len++) {
		CHECK_EQ(rulebook_name(slice_of(book.data, len), 1, 0) != NULL, 0);
		CHECK_EQ(rulebook_name(slice_of(book.data, len), 2, 1) != NULL,
			 len >= book.len / 2);
	}
	for (size_t i = 0; i < book.len; i++) { /* any byte may be anything: nothing worse */
		uint8_t was = book.data[i];
		book.data[i] ^= 0xff;
		struct buf next = {.data = NULL};
		CHECK_EQ(rulebook_write(&next, buf_slice(&book), &p), 0);
		const char *name = rulebook_name(buf_slice(&book), 1, 1);
		CHECK(name == NULL || strlen(name) <= 2);
		buf_finish(&next);
		book.data[i] = was;
	}
	buf_finish(&book);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_rule_is_found_under_its_old_number),
		   TEST(test_the_newest_generations_are_kept_once_each),
		   TEST(test_a_damaged_book_ends_where_it_is_damaged));
}

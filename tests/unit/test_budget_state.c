/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/crc32c.h"
#include "budget_fixture.h"

enum { NODES = 3 };

static void options(struct budget_node_options n[NODES])
{
	n[0] = (struct budget_node_options){.name = "total",
					    .parent = BUDGET_ROOT,
					    .reserve = 0.2,
					    .limit = {{.per_second = 300, .per_month = 1e9}}};
	n[1] = (struct budget_node_options){
	    .name = "per-team", .parent = 0, .key_fields = 7, .limit = {{.per_second_each = 150}}};
	n[2] = (struct budget_node_options){.name = "rest",
					    .parent = 1,
					    .key_fields = 8,
					    .max_keys = 4,
					    .limit = {{.per_second = 250}, {.per_second = 24000}}};
}

static void traffic(struct stream s[8])
{
	for (unsigned i = 0; i < 8; i++)
		s[i] = (struct stream){.node = 2,
				       .key = (i + 1) * 0x9e3779b97f4a7c15,
				       .n = 20 + 40 * i,
				       .arrived = i == 3 ? 0.1 : 1,
				       .protected = i == 5};
}

static struct budget *busy(struct stream s[8])
{
	struct budget_node_options n[NODES];
	begin();
	options(n);
	struct budget *b = make_of(n, NODES, 10);
	traffic(s);
	seconds(b, s, 8, 40);
	/* In the middle of a second, with something counted and something owed. */
	struct budget_offer o = {
	    .path = {.node = 2, .keys = {3, 3}}, .spans = 2, .own = 1, .arrived = 1};
	budget_offer(b, &o);
	pass(0.3);
	budget_tick(b, now, NULL, 0);
	CHECK_EQ(budget_late(b, &(struct budget_path){.node = 2, .keys = {3, 3}}, 250, 0), 0);
	return b;
}

static void test_what_is_loaded_goes_on_as_what_was_saved(void)
{
	struct stream s[8], other[8];
	struct budget_node_options n[NODES];
	struct budget *b = busy(s);
	struct buf saved = {0}, again = {0};
	CHECK_EQ(budget_save(b, &saved), 0);
	options(n);
	struct budget *c = make_of(n, NODES, 10);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	CHECK_EQ(budget_save(c, &again), 0);
	CHECK(slice_equal(buf_slice(&saved), buf_slice(&again)));
	uint64_t from = seed;
	struct budget_now at = now;
	traffic(other);
	seconds(b, s, 8, 30);
	seed = from;
	now = at;
	seconds(c, other, 8, 30);
	for (unsigned i = 0; i < 8; i++)
		CHECK(s[i].kept == other[i].kept && s[i].estimate == other[i].estimate);
	saved.len = again.len = 0;
	CHECK_EQ(budget_save(b, &saved), 0);
	CHECK_EQ(budget_save(c, &again), 0);
	CHECK(slice_equal(buf_slice(&saved), buf_slice(&again)));
	buf_finish(&saved);
	buf_finish(&again);
	budget_destroy(b);
	budget_destroy(c);
}

/* A kill: what was saved a while ago, and the levels of the last tick. */
static void test_levels_go_over_what_was_saved_before(void)
{
	struct stream s[8];
	struct budget_node_options n[NODES];
	struct budget *b = busy(s);
	struct buf saved = {0}, levels = {0};
	CHECK_EQ(budget_save(b, &saved), 0);
	seconds(b, s, 8, 1);
	CHECK_EQ(budget_save_levels(b, &levels), 0);
	CHECK(levels.len < 1200);
	options(n);
	struct budget *c = make_of(n, NODES, 10);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	CHECK_EQ(budget_load(c, buf_slice(&levels), now), 0);
	for (unsigned i = 0; i < NODES; i++) {
		struct budget_report x, y;
		budget_report(b, i, &x);
		budget_report(c, i, &y);
		for (int u = 0; u < BUDGET_UNITS; u++) {
			CHECK(x.unit[u].level == y.unit[u].level);
			CHECK(x.unit[u].kept == y.unit[u].kept && x.unit[u].over == y.unit[u].over);
			CHECK(x.unit[u].month_used == y.unit[u].month_used);
		}
	}
	/* Both ways of a key's bucket come to the same levels. */
	levels.len = saved.len = 0;
	CHECK_EQ(budget_save_levels(b, &levels), 0);
	CHECK_EQ(budget_save_levels(c, &saved), 0);
	CHECK(slice_equal(buf_slice(&saved), buf_slice(&levels)));
	buf_finish(&saved);
	buf_finish(&levels);
	budget_destroy(b);
	budget_destroy(c);
}

static void test_a_reload_with_other_goals_keeps_the_tables(void)
{
	struct stream s[8];
	struct budget_node_options n[NODES + 1];
	struct budget *b = busy(s);
	struct buf saved = {0};
	CHECK_EQ(budget_save(b, &saved), 0);
	options(n);
	n[3] = n[2];
	n[3].limit[BUDGET_SPANS].per_second = 100; /* another goal, another place, more keys */
	n[3].max_keys = 100;
	n[2] = (struct budget_node_options){.name = "new", .parent = 1};
	struct budget *c = make_of(n, NODES + 1, 10);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	struct budget_report x, y;
	for (unsigned i = 0; i < 3; i++) {
		budget_report(b, i, &x);
		budget_report(c, i == 2 ? 3 : i, &y);
		CHECK_STR(x.name, y.name);
		CHECK(fabs(x.unit[0].offered - y.unit[0].offered) < 1e-6);
		CHECK(x.unit[0].month_used == y.unit[0].month_used);
		CHECK_EQ(x.keys, y.keys);
	}
	CHECK(y.unit[0].goal == 100);
	/* The level is not above what the bucket holds now. */
	CHECK(y.unit[0].level <= y.unit[0].capacity);
	CHECK(share_of(b, 2, s[7].key, false) == share_of(c, 3, s[7].key, false));
	/* A smaller table: what has no place goes to classes, and nothing of it is lost. */
	options(n);
	n[1].max_keys = 2;
	struct budget *d = make_of(n, NODES, 10);
	CHECK_EQ(budget_load(d, buf_slice(&saved), now), 0);
	budget_report(b, 1, &x);
	budget_report(d, 1, &y);
	CHECK_EQ(y.keys, 2);
	CHECK(fabs(x.unit[0].offered - y.unit[0].offered) < 1e-6);
	buf_finish(&saved);
	budget_destroy(b);
	budget_destroy(c);
	budget_destroy(d);
}

static void test_only_changed_key_fields_start_afresh(void)
{
	struct stream s[8];
	struct budget_node_options n[NODES];
	struct budget *b = busy(s);
	struct buf saved = {0};
	CHECK_EQ(budget_save(b, &saved), 0);
	options(n);
	n[2].key_fields = 9;
	struct budget *c = make_of(n, NODES, 10);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	struct budget_report x, y;
	budget_report(b, 2, &x);
	budget_report(c, 2, &y);
	CHECK(y.keys == 0 && y.unit[0].offered == 0);
	CHECK(y.unit[0].kept == x.unit[0].kept && y.unit[0].level == x.unit[0].level);
	budget_report(b, 1, &x);
	budget_report(c, 1, &y);
	CHECK(y.keys == x.keys && y.unit[0].offered == x.unit[0].offered);
	budget_destroy(c);
	/* Another hash key: no key means what it meant. */
	struct budget_options o = {
	    .nodes = n, .n_nodes = NODES, .largest = {10, 10000}, .hash_key = {5, 7}};
	const char *reason;
	unsigned node;
	options(n);
	CHECK_EQ(budget_create(&c, &o, now, &reason, &node), 0);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	for (unsigned i = 0; i < NODES; i++) {
		budget_report(b, i, &x);
		budget_report(c, i, &y);
		CHECK(y.unit[0].offered == 0 && y.unit[0].kept == x.unit[0].kept);
	}
	buf_finish(&saved);
	budget_destroy(b);
	budget_destroy(c);
}

static void check_unchanged(struct budget *c, struct slice bad, struct slice was)
{
	struct buf after = {0};
	CHECK_EQ(budget_load(c, bad, now), BUDGET_BAD);
	CHECK_EQ(budget_save(c, &after), 0);
	CHECK(slice_equal(buf_slice(&after), was));
	buf_finish(&after);
}

static void seal(struct buf *b)
{
	uint32_t crc = crc32c(0, b->data, b->len - 4);
	for (unsigned i = 0; i < 4; i++)
		b->data[b->len - 4 + i] = (uint8_t)(crc >> (8 * i));
}

static void test_damaged_state_is_refused_and_changes_nothing(void)
{
	struct stream s[8];
	struct budget_node_options n[NODES];
	struct budget *b = busy(s);
	struct buf saved = {0}, was = {0}, bad = {0};
	CHECK_EQ(budget_save(b, &saved), 0);
	options(n);
	struct budget *c = make_of(n, NODES, 10);
	CHECK_EQ(budget_save(c, &was), 0);
	for (size_t len = 0; len < saved.len; len += len < 64 ? 1 : 37)
		check_unchanged(c, slice_of(saved.data, len), buf_slice(&was));
	CHECK_EQ(buf_append(&bad, saved.data, saved.len), 0);
	for (size_t i = 0; i < saved.len; i += i < 64 ? 1 : 41) {
		bad.data[i] ^= 0x10;
		check_unchanged(c, buf_slice(&bad), buf_slice(&was));
		bad.data[i] ^= 0x10;
	}
	/* With a right checksum it is still looked at: a version to come, and a cut. */
	bad.data[4]++;
	seal(&bad);
	check_unchanged(c, buf_slice(&bad), buf_slice(&was));
	bad.data[4]--;
	for (size_t len = 32; len < saved.len; len += 29) {
		bad.len = len;
		memcpy(bad.data, saved.data, len);
		seal(&bad);
		check_unchanged(c, buf_slice(&bad), buf_slice(&was));
	}
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	buf_finish(&saved);
	buf_finish(&was);
	buf_finish(&bad);
	budget_destroy(b);
	budget_destroy(c);
}

/* Any bytes under a right checksum: refused, or taken and then still a budget that holds. */
static void test_forged_state_does_no_harm(void)
{
	struct stream s[8];
	struct budget_node_options n[NODES];
	struct budget *b = busy(s);
	struct buf saved = {0}, bad = {0};
	CHECK_EQ(budget_save(b, &saved), 0);
	CHECK_EQ(buf_append(&bad, saved.data, saved.len), 0);
	options(n);
	for (unsigned round = 0; round < 3000; round++) {
		memcpy(bad.data, saved.data, saved.len);
		for (unsigned k = 0; k <= round % 3; k++)
			bad.data[8 + random_next() % (saved.len - 12)] = (uint8_t)random_next();
		seal(&bad);
		struct budget *c = make_of(n, NODES, 10);
		if (budget_load(c, buf_slice(&bad), now) == 0) {
			budget_tick(c, now, NULL, 0);
			double p = share_of(c, 2, s[0].key, false);
			CHECK(p >= 0 && p <= 1);
		}
		budget_destroy(c);
	}
	buf_finish(&saved);
	buf_finish(&bad);
	budget_destroy(b);
}

/* As version 1 saved it: tests/fuzz/corpus/budget. Shares and levels stay; volumes, which it did
 * not know by key and kind, are measured anew. */
static void test_state_of_version_1_is_still_read(void)
{
	struct budget_node_options n[NODES];
	struct stream s[8];
	struct budget_report r;
	begin();
	options(n);
	struct budget *b = make_of(n, NODES, 10);
	static const char *const files[] = {"whole", "levels"};
	for (unsigned i = 0; i < 2; i++) {
		struct buf state = {0};
		char name[64], bytes[8192];
		snprintf(name, sizeof(name), "tests/fuzz/corpus/budget/version-1-%s", files[i]);
		FILE *f = fopen(name, "rb");
		CHECK(f != NULL);
		CHECK_EQ(buf_append(&state, bytes, fread(bytes, 1, sizeof(bytes), f)), 0);
		fclose(f);
		CHECK_EQ(budget_load(b, buf_slice(&state), now), 0);
		buf_finish(&state);
	}
	budget_report(b, 2, &r);
	CHECK(r.keys == 4 && r.unit[0].kept == 9584 && r.unit[0].level == 96);
	traffic(s);
	CHECK(fabs(share_of(b, 2, s[0].key, false) - 0.881851) < 1e-5);
	CHECK(fabs(share_of(b, 2, s[3].key, false) - 0.012598) < 1e-5);
	CHECK(fabs(share_of(b, 2, s[5].key, true) - 0.465883) < 1e-5);
	seconds(b, s, 8, 20);
	double kept = 0;
	for (unsigned i = 0; i < 8; i++)
		kept += s[i].kept;
	CHECK(kept <= 250 * 20 + 500 && kept >= 250 * 20 * 0.9);
	budget_destroy(b);
}

/* Debt of years and months without end would leave nothing of a budget. */
static void test_a_level_is_never_below_the_debt_there_may_be(void)
{
	struct stream s[8];
	struct budget_node_options n[NODES];
	struct budget_report r;
	struct budget *b = busy(s);
	struct buf saved = {0};
	while (budget_late(b, &(struct budget_path){.node = 2}, 10, 0) == 0)
		;
	CHECK_EQ(budget_save(b, &saved), 0);
	options(n);
	for (unsigned i = 0; i < NODES; i++)
		n[i].limit[BUDGET_SPANS].per_second /= 100;
	n[1].limit[BUDGET_SPANS].per_second_each /= 100;
	struct budget *c = make_of(n, NODES, 10);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	budget_report(b, 2, &r);
	CHECK(r.unit[BUDGET_SPANS].level < -100);
	budget_report(c, 2, &r);
	CHECK(r.unit[BUDGET_SPANS].level == -5);
	buf_finish(&saved);
	budget_destroy(b);
	budget_destroy(c);
}

/* th:ffffffffffffff says that each span stands for 2^56. */
static void test_what_is_saved_can_be_loaded_whatever_th_came(void)
{
	struct budget_node_options n[NODES];
	struct buf saved = {0};
	begin();
	options(n);
	struct budget *b = make_of(n, NODES, 10), *c = make_of(n, NODES, 10);
	struct budget_offer o = {
	    .path.node = 2, .spans = 10, .bytes = 1e7, .own = 1, .arrived = 0x1p-56};
	for (int i = 0; i < 100; i++)
		budget_offer(b, &o);
	pass(1);
	budget_tick(b, now, NULL, 0);
	CHECK_EQ(budget_save(b, &saved), 0);
	CHECK_EQ(budget_load(c, buf_slice(&saved), now), 0);
	buf_finish(&saved);
	budget_destroy(b);
	budget_destroy(c);
}

static void test_no_room_to_save_appends_nothing(void)
{
	struct stream s[8];
	struct budget *b = busy(s);
	struct buf small = {.limit = 600};
	CHECK_EQ(buf_append(&small, "x", 1), 0);
	CHECK_EQ(budget_save(b, &small), BUF_FULL);
	CHECK_EQ(small.len, 1);
	buf_finish(&small);
	budget_destroy(b);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_is_loaded_goes_on_as_what_was_saved),
		   TEST(test_levels_go_over_what_was_saved_before),
		   TEST(test_a_reload_with_other_goals_keeps_the_tables),
		   TEST(test_only_changed_key_fields_start_afresh),
		   TEST(test_damaged_state_is_refused_and_changes_nothing),
		   TEST(test_forged_state_does_no_harm),
		   TEST(test_state_of_version_1_is_still_read),
		   TEST(test_a_level_is_never_below_the_debt_there_may_be),
		   TEST(test_what_is_saved_can_be_loaded_whatever_th_came),
		   TEST(test_no_room_to_save_appends_nothing));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "relay/recent.h"
#include "storage/survey.h"

enum { LIMIT = 8 << 20 };

/* Bytes that do not compress. */
static struct record_note *note_of(uint32_t number, size_t bytes)
{
	struct record_note *n = calloc(1, sizeof(*n));
	uint64_t x = number + 1;
	for (size_t i = 0; i < bytes / 8; i++) {
		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 + i;
		x ^= x >> 27;
		CHECK_EQ(buf_append(&n->bytes, &x, 8), 0);
	}
	n->begin_ms = 1000 + number;
	n->end_ms = n->begin_ms + 1;
	n->spans = 10;
	return n;
}

static int put_part(struct recent *r, uint32_t number, size_t bytes, uint64_t *oldest_ms)
{
	struct record_note *n = note_of(number, bytes);
	recent_put(r, n);
	int rc = n->rc;
	*oldest_ms = n->oldest_ms;
	buf_finish(&n->bytes);
	free(n);
	return rc;
}

struct found {
	uint64_t n, first_ms, last_ms;
};

static int on_parcel(void *ctx, const struct parcel *p)
{
	struct found *f = ctx;
	if (f->n++ == 0)
		f->first_ms = p->oldest_ms;
	CHECK(p->oldest_ms >= f->last_ms);
	f->last_ms = p->oldest_ms;
	return 0;
}

static struct found look(void)
{
	struct found f = {0};
	uint64_t damaged;
	int rc = survey_box(NULL, in_dir("recent"), on_parcel, &f, &damaged);
	CHECK(rc == 0 || rc == SURVEY_NONE);
	CHECK_EQ(damaged, 0);
	return f;
}

static void drop_ring(void)
{
	char command[600];
	snprintf(command, sizeof(command), "rm -r %s", test_dir);
	CHECK_EQ(system(command), 0);
}

static void test_a_full_ring_gives_up_its_oldest_file(void)
{
	struct recent r;
	uint64_t oldest_ms = 0, before_ms = 0;
	new_dir();
	recent_open(&r, test_dir, LIMIT, &test_metrics);
	CHECK(r.box != NULL);
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(put_part(&r, i, 300000, &oldest_ms), 0);
		CHECK(box_bytes(r.box) <= LIMIT);
		CHECK(oldest_ms >= before_ms && oldest_ms <= 1000 + i);
		before_ms = oldest_ms;
	}
	recent_close(&r);
	struct found f = look();
	CHECK(f.last_ms == 1099 && f.first_ms == oldest_ms && f.first_ms > 1060);
	CHECK_EQ(f.n, 1100 - f.first_ms);
	recent_open(&r, test_dir, LIMIT, &test_metrics); /* and goes on where it was */
	CHECK_EQ(r.oldest_ms, oldest_ms);
	CHECK_EQ(put_part(&r, 100, 300000, &oldest_ms), 0);
	recent_close(&r);
	CHECK_EQ(look().last_ms, 1100);
	drop_ring();
}

static void test_a_smaller_limit_shrinks_the_ring(void)
{
	struct recent r;
	uint64_t oldest_ms;
	new_dir();
	recent_open(&r, test_dir, 4 * LIMIT, &test_metrics);
	for (uint32_t i = 0; i < 100; i++)
		CHECK_EQ(put_part(&r, i, 300000, &oldest_ms), 0);
	recent_close(&r);
	recent_open(&r, test_dir, LIMIT, &test_metrics);
	CHECK_EQ(put_part(&r, 100, 1000, &oldest_ms), 0);
	CHECK(box_bytes(r.box) <= LIMIT);
	recent_close(&r);
	drop_ring();
}

static void test_a_part_that_is_larger_than_the_ring_is_lost_alone(void)
{
	struct recent r;
	uint64_t oldest_ms;
	new_dir();
	recent_open(&r, test_dir, LIMIT, &test_metrics);
	CHECK_EQ(put_part(&r, 0, LIMIT + 100000, &oldest_ms), BOX_FULL);
	CHECK_EQ(put_part(&r, 1, 1000, &oldest_ms), 0);
	recent_close(&r);
	CHECK_EQ(look().n, 1);
	drop_ring();
}

static void test_a_folder_that_cannot_be_made_only_turns_it_off(void)
{
	struct recent r;
	uint64_t oldest_ms;
	new_dir();
	int fd = open(in_dir("recent"), O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0 && close(fd) == 0);
	recent_open(&r, test_dir, LIMIT, &test_metrics);
	CHECK(r.box == NULL);
	CHECK(put_part(&r, 0, 1000, &oldest_ms) < 0);
	recent_close(&r);
	drop_dir();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_full_ring_gives_up_its_oldest_file),
		   TEST(test_a_smaller_limit_shrinks_the_ring),
		   TEST(test_a_part_that_is_larger_than_the_ring_is_lost_alone),
		   TEST(test_a_folder_that_cannot_be_made_only_turns_it_off));
	return 0;
}

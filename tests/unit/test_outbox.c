/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/outbox.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "fixture.h"
#include "storage/segment.h"

static struct box_options options;
static struct box *box;
static struct box_reader *reader;
static char *body_bytes;
enum { BODY = 40000 };

static void open_box(void)
{
	options.metrics = &test_metrics;
	CHECK_EQ(box_open(&box, &options), 0);
}

static void begin(uint64_t limit)
{
	new_dir();
	static char dir[128];
	snprintf(dir, sizeof(dir), "%s/box", test_dir);
	options = (struct box_options){
	    .dir = dir, .limit_bytes = limit, .segment_bytes = box_segment_bytes(limit)};
	for (int i = 0; i < PLACES; i++)
		options.source[i].block_id = UINT64_MAX; /* nothing is stale */
	body_bytes = calloc(1, BODY);
	open_box();
	CHECK_EQ(box_reader_open(&reader, dir), 0);
}

static int files(void)
{
	int n = 0;
	DIR *d = opendir(options.dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void end(void)
{
	box_reader_close(reader);
	box_close(box);
	free(body_bytes);
	char command[256];
	snprintf(command, sizeof(command), "rm -r %s", test_dir);
	CHECK_EQ(system(command), 0);
}

/* A parcel that says its own number in each byte. */
static struct parcel parcel(uint8_t number, uint32_t spans, uint64_t to_block)
{
	memset(body_bytes, number, BODY);
	return (struct parcel){.oldest_ms = 1,
			       .newest_ms = 2,
			       .n_spans = spans,
			       .plain_len = BODY,
			       .to.block_id = to_block,
			       .status = -1,
			       .body = slice_of(body_bytes, BODY)};
}

static int append(uint8_t number, uint32_t spans, uint64_t to_block)
{
	struct parcel p = parcel(number, spans, to_block);
	int rc = box_append(box, &p);
	if (rc == BOX_AGAIN) {
		CHECK_EQ(box_commit(box), 0);
		rc = box_append(box, &p);
	}
	return rc;
}

static void put_parcel(uint8_t number, uint32_t spans, uint64_t to_block)
{
	CHECK_EQ(append(number, spans, to_block), 0);
	CHECK_EQ(box_commit(box), 0);
}

static void take_sealed(void)
{
	struct box_segment g;
	while (box_sealed(box, &g))
		CHECK_EQ(box_reader_add(reader, g), 0);
}

static void check_next(uint64_t id, uint64_t want, uint8_t number)
{
	struct parcel p;
	CHECK_EQ(box_reader_next(reader, id, &p), 0);
	CHECK_EQ(p.id, want);
	CHECK_EQ(p.body.len, BODY);
	CHECK_EQ(p.body.data[0], number);
	CHECK_EQ(p.body.data[BODY - 1], number);
}

static void test_parcels_come_back_in_order_by_the_spans_before_them(void)
{
	struct parcel p;
	begin(64 << 20);
	put_parcel(1, 10, 1);
	put_parcel(2, 5, 2);
	CHECK_EQ(box_reader_next(reader, 1, &p), BOX_NONE); /* not sealed yet */
	box_seal(box);
	take_sealed();
	check_next(0, 1, 1);
	check_next(1, 1, 1);
	check_next(10, 1, 1);
	check_next(11, 11, 2);
	check_next(15, 11, 2);
	CHECK_EQ(box_reader_next(reader, 16, &p), BOX_NONE);
	CHECK_EQ(box_end(box), 16);
	CHECK_EQ(box_spans(box), 15);
	end();
}

static void test_segments_rotate_and_are_unlinked_when_done(void)
{
	begin(16 << 20); /* segments of 2 MiB */
	uint64_t most = 0;
	for (int i = 0; i < 200; i++) {
		put_parcel((uint8_t)i, 1, 1);
		take_sealed();
		most = box_bytes(box) > most ? box_bytes(box) : most;
	}
	CHECK(files() >= 4);
	CHECK(most <= 16 << 20);
	for (uint64_t id = 1; id <= 150; id++)
		check_next(id, id, (uint8_t)(id - 1));
	uint64_t before = box_bytes(box);
	box_reader_forget(reader, 151);
	box_trim(box, (struct cursor){.block_id = 151});
	CHECK(box_bytes(box) < before / 2);
	CHECK_EQ(box_spans(box), 50);
	check_next(160, 160, 159);
	box_seal(box);
	take_sealed();
	check_next(200, 200, 199);
	box_reader_forget(reader, 201);
	box_trim(box, (struct cursor){.block_id = 201});
	CHECK_EQ(files(), 0);
	CHECK_EQ(box_bytes(box), 0);
	end();
}

static void test_a_box_at_its_limit_says_full_and_goes_on_when_there_is_room(void)
{
	begin(8 << 20);
	int rc = 0, n = 0;
	while ((rc = append((uint8_t)n, 1, 1)) == 0 && n < 1000) {
		CHECK_EQ(box_commit(box), 0);
		n++;
	}
	CHECK_EQ(rc, BOX_FULL);
	CHECK(n > 100 && n < 210);
	CHECK(box_bytes(box) <= 8 << 20);
	CHECK_EQ(box_commit(box), 0);
	take_sealed();
	box_trim(box, (struct cursor){.block_id = 60});
	put_parcel(7, 1, 1);
	CHECK_EQ(box_end(box), (uint64_t)n + 2);
	end();
}

static void test_a_restart_finds_all_and_goes_on_behind_it(void)
{
	begin(64 << 20);
	put_parcel(1, 10, 1);
	put_parcel(2, 5, 2);
	box_close(box);
	options.done.block_id = 11;
	open_box();
	CHECK_EQ(box_end(box), 16);
	CHECK_EQ(box_spans(box), 5);
	put_parcel(3, 2, 3);
	box_seal(box);
	take_sealed();
	check_next(11, 11, 2);
	check_next(16, 16, 3);
	end();
}

/* As a kill leaves it: the lock file is there and nothing was sealed. */
static void test_a_kill_loses_what_was_not_committed_and_nothing_else(void)
{
	begin(64 << 20);
	pid_t child = fork();
	if (child == 0) {
		box_close(box); /* an environment is not for two processes */
		open_box();
		put_parcel(1, 10, 1);
		if (append(2, 5, 2) != 0)
			_exit(2);
		_exit(0);
	}
	CHECK(child > 0);
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	box_close(box);
	open_box();
	CHECK_EQ(box_end(box), 11);
	CHECK_EQ(box_spans(box), 10);
	take_sealed();
	check_next(1, 1, 1);
	end();
}

static void test_what_the_source_still_has_is_taken_back(void)
{
	begin(16 << 20);
	for (int i = 0; i < 100; i++) /* more than one segment */
		put_parcel((uint8_t)i, 2, (uint64_t)i + 1);
	box_close(box);
	options.source[PLACE_JOURNAL].block_id = 30;
	open_box();
	CHECK_EQ(box_end(box), 61);
	CHECK_EQ(box_spans(box), 60);
	put_parcel(200, 2, 30); /* the ids are given anew */
	box_seal(box);
	take_sealed();
	check_next(59, 59, 29);
	check_next(61, 61, 200);
	box_close(box);
	open_box();
	CHECK_EQ(box_spans(box), 62);
	end();
}

static void test_an_empty_box_goes_on_at_the_cursor(void)
{
	begin(16 << 20);
	put_parcel(1, 10, 1);
	box_close(box);
	options.done.block_id = 11;
	open_box();
	CHECK_EQ(box_spans(box), 0);
	CHECK_EQ(files(), 0);
	CHECK_EQ(box_end(box), 11);
	end();
}

static const char *segment_path(uint64_t first)
{
	static struct segment g;
	CHECK_EQ(segment_name(&g, options.dir, first), 0);
	return g.path;
}

/* Writes over the body of the parcel whose bytes are `number`. */
static void damage(uint64_t first, uint8_t number)
{
	int fd = open(segment_path(first), O_RDWR);
	uint8_t page[4096];
	CHECK(fd >= 0);
	for (off_t at = 0; pread(fd, page, sizeof(page), at) == sizeof(page); at += 4096)
		if (page[2000] == number && page[2001] == number && page[4000] == number) {
			page[2000] ^= 1;
			CHECK_EQ(pwrite(fd, page, sizeof(page), at), sizeof(page));
			close(fd);
			return;
		}
	CHECK(false);
}

static void test_damage_shows_as_a_gap_of_its_size(void)
{
	struct parcel p;
	begin(64 << 20);
	put_parcel(11, 10, 1);
	put_parcel(22, 5, 2);
	put_parcel(33, 3, 3);
	box_seal(box);
	take_sealed();
	damage(1, 22);
	check_next(1, 1, 11);
	CHECK_EQ(box_reader_next(reader, 11, &p), 0);
	CHECK_EQ(p.id, 16); /* 11 to 15 are lost */
	damage(1, 33);
	CHECK_EQ(box_reader_next(reader, 11, &p), BOX_NONE);
	end();
}

static void test_a_segment_cut_short_is_set_aside_and_what_is_whole_is_saved(void)
{
	struct parcel p;
	begin(16 << 20);
	for (int i = 0; i < 100; i++)
		put_parcel((uint8_t)i, 1, 1);
	box_close(box);
	CHECK_EQ(truncate(segment_path(1), 200000), 0); /* three whole ones of some forty */
	int before = files();
	open_box();
	CHECK_EQ(files(), before + 1);
	CHECK_EQ(box_end(box), 101);
	take_sealed();
	for (uint64_t id = 1; id <= 3; id++)
		check_next(id, id, (uint8_t)(id - 1));
	CHECK_EQ(box_reader_next(reader, 4, &p), 0);
	CHECK(p.id > 30 && p.id < 60);
	CHECK_EQ(box_spans(box), 100); /* the gap is counted where it is read */
	end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_parcels_come_back_in_order_by_the_spans_before_them),
		   TEST(test_segments_rotate_and_are_unlinked_when_done),
		   TEST(test_a_box_at_its_limit_says_full_and_goes_on_when_there_is_room),
		   TEST(test_a_restart_finds_all_and_goes_on_behind_it),
		   TEST(test_a_kill_loses_what_was_not_committed_and_nothing_else),
		   TEST(test_what_the_source_still_has_is_taken_back),
		   TEST(test_an_empty_box_goes_on_at_the_cursor),
		   TEST(test_damage_shows_as_a_gap_of_its_size),
		   TEST(test_a_segment_cut_short_is_set_aside_and_what_is_whole_is_saved));
}

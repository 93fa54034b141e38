/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fixture.h"

static void test_requests_come_back_byte_for_byte(void)
{
	new_dir();
	struct store *s = open_store(ONE, 1);
	struct store_txn t;
	struct buf small = {0}, large = {0};
	uint64_t blocks[2] = {0, 0};
	pb_numbered_request(&small, 1, 2, 100);
	pb_numbered_request(&large, 3, 1, 600000); /* more than a block's target: one of its own */
	store_begin(&t, s, 77);
	store_append(&t, buf_slice(&small), 2, 5);
	store_append(&t, buf_slice(&large), 1, 0);
	store_append(&t, buf_slice(&small), 2, 0);
	store_append(&t, slice_of(NULL, 0), 0, 4);
	CHECK_EQ(store_commit(&t, &(struct store_told){.on_block = count_block, .ctx = blocks}), 0);
	CHECK_EQ(blocks[0], 3);
	CHECK_EQ(blocks[1], 5);
	struct ledger l = balanced(s);
	CHECK(l.received == 14 && l.rejected == 9 && l.accepted == 5);

	struct store_reader *r;
	struct slice bytes;
	struct block b;
	struct record rec;
	CHECK_EQ(store_reader_open(&r, s), 0);
	CHECK_EQ(store_reader_begin(r), 0);
	for (uint64_t id = 1; id <= 3; id++) {
		CHECK_EQ(store_reader_block(r, id, &bytes), 0);
		CHECK_EQ(block_open(&b, bytes, id), 0);
		CHECK(block_record(&b, 0, &rec) != 0 && b.unix_ms == 77 && b.n_records == 1);
		CHECK_EQ(rec.seq, id);
		CHECK(slice_equal(rec.payload, buf_slice(id == 2 ? &large : &small)));
	}
	CHECK_EQ(store_reader_block(r, 4, &bytes), STORE_GONE);
	store_reader_end(r);
	store_reader_close(r);
	store_close(s);
	buf_finish(&small);
	buf_finish(&large);
	drop_dir();
}

static void test_small_requests_share_a_block(void)
{
	new_dir();
	struct store *s = open_store(ONE, 1);
	struct store_txn t;
	struct buf request = {0};
	uint64_t blocks[2] = {0, 0};
	pb_numbered_request(&request, 1, 10, 800);
	store_begin(&t, s, 1);
	for (int i = 0; i < 100; i++)
		store_append(&t, buf_slice(&request), 10, 0);
	CHECK_EQ(store_commit(&t, &(struct store_told){.on_block = count_block, .ctx = blocks}), 0);
	CHECK_EQ(blocks[0], (100 * (request.len + 24)) / BLOCK_TARGET + 1);
	CHECK_EQ(blocks[1], 1000);
	store_close(s);
	buf_finish(&request);
	drop_dir();
}

static void test_second_process_is_locked_out(void)
{
	new_dir();
	struct store_lock *l, *second;
	CHECK_EQ(store_lock_open(&l, test_dir), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(store_lock_open(&second, test_dir) == STORE_LOCKED ? 0 : 1);
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	store_lock_close(l);
	CHECK_EQ(store_lock_open(&l, test_dir), 0);
	store_lock_close(l);
	drop_dir();
}

/* A child commits as fast as it can and tells each acknowledged request's first span id through a
 * pipe. Exporter a is told to be somewhere in the newest block, also in the middle of a record; b
 * never moves, so nothing is retired and every request can be looked for. */
struct ack {
	uint64_t first_id;
	uint32_t spans;
};

static void commit_for_ever(int pipe_fd, uint64_t next_id, unsigned seed)
{
	struct store *s = open_store(TWO, 2);
	struct ledger l;
	srandom(seed);
	for (;;) {
		struct store_txn t;
		struct buf request[3] = {0};
		struct store_block b;
		struct ack acks[3];
		long n = 1 + random() % 3;
		uint32_t part = (uint32_t)random() % 2;
		store_begin(&t, s, 1);
		for (long i = 0; i < n; i++) {
			acks[i] = (struct ack){next_id, 1 + (uint32_t)random() % 4};
			next_id += acks[i].spans;
			pb_numbered_request(&request[i], acks[i].first_id, acks[i].spans,
					    (size_t)random() % 700);
			store_append(&t, buf_slice(&request[i]), acks[i].spans, 1);
		}
		store_ledger(s, &l);
		uint64_t left = l.exporter[0].held[PLACE_JOURNAL];
		if (store_commit(&t, &(struct store_told){.on_block = remember_block, .ctx = &b}) !=
		    0)
			_exit(2);
		if (write(pipe_fd, acks, (size_t)n * sizeof(acks[0])) < 0)
			_exit(3);
		uint32_t spans = part;
		uint32_t offset = 0;
		if (n > 1) {
			offset = record_size((uint32_t)request[0].len);
			spans += acks[0].spans;
		}
		sent(s, 0, (struct cursor){b.id, offset, part}, left + spans);
		for (long i = 0; i < n; i++)
			buf_finish(&request[i]);
	}
}

static bool is_held(struct store_reader *r, uint64_t last_block, struct ack ack)
{
	char needle[40];
	int len =
	    snprintf(needle, sizeof(needle), "span-%" PRIu64 "-", ack.first_id + ack.spans - 1);
	for (uint64_t id = last_block; id != 0; id--) {
		struct slice bytes;
		if (store_reader_block(r, id, &bytes) == 0 &&
		    memmem(bytes.data, bytes.len, needle, (size_t)len) != NULL)
			return true;
	}
	return false;
}

static void test_acked_request_survives_kill(void)
{
	uint64_t next_id = 1, acked = 0;
	new_dir();
	for (unsigned round = 0; round < 20; round++) {
		int fds[2], status;
		struct ack ack, first = {0}, last = {0};
		CHECK_EQ(pipe(fds), 0);
		pid_t child = fork();
		if (child == 0)
			commit_for_ever(fds[1], next_id, round);
		close(fds[1]);
		CHECK_EQ(read(fds[0], &first, sizeof(first)), sizeof(first)); /* it is under way */
		usleep(1000 * (round * 7 % 40));
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status));

		struct store *s = open_store(TWO, 2);
		struct store_reader *r;
		struct store_block newest = {0};
		store_each_block(s, remember_block, &newest);
		CHECK_EQ(store_reader_open(&r, s), 0);
		CHECK_EQ(store_reader_begin(r), 0);
		CHECK(is_held(r, newest.id, first));
		last = first;
		acked += first.spans;
		while (read(fds[0], &ack, sizeof(ack)) == sizeof(ack)) {
			CHECK_EQ(ack.first_id, last.first_id + last.spans);
			last = ack;
			acked += ack.spans;
		}
		CHECK(is_held(r, newest.id, last));
		store_reader_end(r);
		store_reader_close(r);

		struct ledger l = balanced(s);
		uint64_t held[2] = {0, 0};
		store_each_block(s, count_block, held);
		CHECK(l.accepted >= acked); /* the last group may be there without its answer */
		CHECK(l.accepted <= acked + 12 * (round + 1));
		CHECK_EQ(l.accepted, held[1]);
		CHECK_EQ(l.exporter[1].held[PLACE_JOURNAL], held[1]);
		CHECK_EQ(l.exporter[0].dropped[DROP_DAMAGED], 0);
		CHECK_EQ(l.exporter[0].entered, l.accepted);
		store_close(s);
		close(fds[0]);
		next_id = last.first_id + 1000;
	}
	drop_dir();
}

static void test_head_leaves_when_all_exporters_are_past(void)
{
	new_dir();
	struct store *s = open_store(TWO, 2);
	struct store_block first = put(s, 1, 3, 5000), second = put(s, 4, 2, 5000);
	CHECK(!store_is_dirty(s));
	sent(s, 0, (struct cursor){second.id + 1, 0, 0}, 5);
	CHECK(store_is_dirty(s));
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 2);
	sent(s, 1, (struct cursor){first.id, first.bytes - BLOCK_HEADER, 0},
	     3); /* the end of the first */
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 1);
	sent(s, 1, (struct cursor){second.id, 0, 1}, 1); /* within the second */
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 1);
	store_close(s);
	s = open_store(TWO, 2);
	CHECK_EQ(balanced(s).exporter[1].held[PLACE_JOURNAL], 1);
	sent(s, 1, (struct cursor){second.id + 1, 0, 0}, 1);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 0);
	CHECK_EQ(put(s, 9, 1, 10).id, 3); /* ids are never used again */
	store_close(s);
	drop_dir();
}

static void test_block_stays_while_its_last_record_is_open(void)
{
	struct store_txn t;
	struct store_block b;
	struct buf request = {0};
	new_dir();
	struct store *s = open_store(ONE, 1);
	pb_numbered_request(&request, 1, 2, 3000);
	store_begin(&t, s, 1);
	store_append(&t, buf_slice(&request), 2, 0);
	store_append(&t, buf_slice(&request), 2, 0);
	CHECK_EQ(store_commit(&t, &(struct store_told){.on_block = remember_block, .ctx = &b}), 0);
	sent(s, 0, (struct cursor){b.id, record_size((uint32_t)request.len), 1}, 3);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 1);
	sent(s, 0, (struct cursor){b.id, 2 * record_size((uint32_t)request.len), 0}, 1);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 0);
	store_close(s);
	buf_finish(&request);
	drop_dir();
}

static uint64_t file_bytes(void)
{
	struct stat st;
	CHECK_EQ(stat(in_dir("journal.mdb"), &st), 0);
	return (uint64_t)st.st_size;
}

/* Full sync on a real disk would take a minute for 10^4 cycles of 256 KiB; the structure of the
 * file shows as well with less in it. */
static void test_fifo_keeps_the_file_small(void)
{
	enum { CYCLES = 10000, LIVE = 60 };
	struct store_block blocks[LIVE];
	struct buf request = {0};
	uint64_t live_bytes = 0, half_way = 0;
	new_dir();
	struct store *s = open_store(ONE, 1);
	pb_numbered_request(&request, 1, 1, 60000);
	for (unsigned i = 0; i < CYCLES; i++) {
		struct store_txn t;
		struct store_block *b = &blocks[i % LIVE];
		if (i >= LIVE) {
			sent(s, 0, (struct cursor){b->id + 1, 0, 0}, 1);
			live_bytes -= b->bytes;
		}
		store_begin(&t, s, 1);
		store_append(&t, slice_of(request.data, request.len), 1, 0);
		CHECK_EQ(
		    store_commit(&t, &(struct store_told){.on_block = remember_block, .ctx = b}),
		    0);
		live_bytes += b->bytes;
		if (i == CYCLES / 2)
			half_way = file_bytes();
	}
	CHECK_EQ(held_blocks(s), LIVE);
	CHECK(file_bytes() <= live_bytes + live_bytes / 10 + (256 << 10));
	CHECK(file_bytes() <= half_way + (256 << 10));
	balanced(s);
	store_close(s);
	buf_finish(&request);
	drop_dir();
}

/* Another room reads while this one writes and retires: a block is there whole, or gone. */
struct reading {
	struct store *store;
	_Atomic uint64_t newest; /* 0: stop */
	uint64_t read, gone;
};

static void *read_for_ever(void *arg)
{
	struct reading *r = arg;
	struct store_reader *reader;
	CHECK_EQ(store_reader_open(&reader, r->store), 0);
	for (uint64_t newest; (newest = atomic_load(&r->newest)) != 0;) {
		CHECK_EQ(store_reader_begin(reader), 0);
		for (uint64_t id = newest > 8 ? newest - 8 : 1; id <= newest; id++) {
			struct slice bytes;
			struct block b;
			int rc = store_reader_block(reader, id, &bytes);
			CHECK(rc == 0 || rc == STORE_GONE);
			CHECK(rc != 0 || block_open(&b, bytes, id) == 0);
			*(rc == 0 ? &r->read : &r->gone) += 1;
		}
		store_reader_end(reader);
	}
	store_reader_close(reader);
	return NULL;
}

static void test_reader_beside_the_writer_sees_whole_blocks(void)
{
	new_dir();
	struct reading r = {.store = open_store(ONE, 1)};
	pthread_t thread;
	struct store_block b = put(r.store, 1, 1, 30000);
	atomic_store(&r.newest, b.id);
	CHECK_EQ(pthread_create(&thread, NULL, read_for_ever, &r), 0);
	for (uint64_t id = 2; id < 1500; id++) {
		b = put(r.store, id, 1, 30000);
		atomic_store(&r.newest, b.id);
		if (b.id > 4)
			sent(r.store, 0, (struct cursor){b.id - 3, 0, 0}, 1);
	}
	atomic_store(&r.newest, 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(r.read > 0);
	store_close(r.store);
	drop_dir();
}

static void test_full_journal_refuses_and_still_deletes(void)
{
	struct store_block b, first = {0};
	uint64_t id = 1;
	new_dir();
	struct store *s = open_store(ONE, 1);
	for (; store_has_room(s, 200000); id++) {
		b = put(s, id, 1, 200000);
		if (first.id == 0)
			first = b;
	}
	CHECK(held_blocks(s) > 60);
	int rc;
	while ((rc = try_put(s, id, 1, 200000, &b)) == 0) /* into the reserve, as nobody should */
		id++;
	CHECK_EQ(rc, STORE_FULL);
	CHECK_EQ(balanced(s).accepted, id - 1);
	CHECK_EQ(held_blocks(s), id - 1);

	sent(s, 0, (struct cursor){first.id + 20, 0, 0}, 20);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), id - 21);
	CHECK(store_has_room(s, 200000));
	put(s, id, 1, 200000);
	store_close(s);
	s = open_store(ONE, 1);
	CHECK_EQ(balanced(s).exporter[0].dropped[DROP_DAMAGED], 0);
	store_close(s);
	drop_dir();
}

static void test_failed_commit_acks_nothing_and_loses_nothing(void)
{
	struct store_block b;
	new_dir();
	struct store *s = open_store(ONE, 1);
	put(s, 1, 2, 100000);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit was, tight;
	CHECK_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = file_bytes() + 4096;
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
	uint64_t errors = metric_get(&test_metrics, METRIC_COMMIT_ERRORS);
	CHECK(try_put(s, 3, 1, 400000, &b) < 0);
	CHECK(try_put(s, 3, 1, 400000, &b) < 0);
	CHECK_EQ(metric_get(&test_metrics, METRIC_COMMIT_ERRORS), errors + 2);
	CHECK_EQ(balanced(s).accepted, 2);
	CHECK_EQ(held_blocks(s), 1);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
	CHECK_EQ(put(s, 3, 1, 400000).id, 2);
	store_close(s);
	s = open_store(ONE, 1);
	CHECK_EQ(balanced(s).accepted, 3);
	CHECK_EQ(balanced(s).exporter[0].held[PLACE_JOURNAL], 3);
	store_close(s);
	drop_dir();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_requests_come_back_byte_for_byte),
		   TEST(test_small_requests_share_a_block), TEST(test_second_process_is_locked_out),
		   TEST(test_acked_request_survives_kill),
		   TEST(test_head_leaves_when_all_exporters_are_past),
		   TEST(test_block_stays_while_its_last_record_is_open),
		   TEST(test_fifo_keeps_the_file_small),
		   TEST(test_reader_beside_the_writer_sees_whole_blocks),
		   TEST(test_full_journal_refuses_and_still_deletes),
		   TEST(test_failed_commit_acks_nothing_and_loses_nothing));
}

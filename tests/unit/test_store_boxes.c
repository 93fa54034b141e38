/* SPDX-License-Identifier: Apache-2.0
 * A journal and a box that meet: at a start in good order, and when one of them is not the one the
 * other knew. */
#include <stdlib.h>

#include "fixture.h"
#include "storage/outbox.h"

static struct store *store;
static struct box *box;
static char box_dir[128];
static uint64_t first_span;

/* As relay/spillway.c does it. */
static void meet(void)
{
	struct ledger l;
	store = open_store(ONE, 1);
	store_ledger(store, &l);
	struct box_options o = {.dir = box_dir,
				.limit_bytes = 64 << 20,
				.segment_bytes = BOX_SEGMENT_MIN,
				.done = l.exporter[0].cursor[PLACE_OUTBOX],
				.kept = l.exporter[0].kept[PLACE_OUTBOX],
				.metrics = &test_metrics};
	memcpy(o.source, l.exporter[0].cursor, sizeof(o.source));
	CHECK_EQ(box_open(&box, &o), 0);
	store_found(store, 0, PLACE_OUTBOX, box_first(box), box_end(box));
	CHECK_EQ(commit_nothing(store), 0);
}

static void part(void)
{
	box_close(box);
	store_close(store);
}

static struct ledger_exporter account(void)
{
	return balanced(store).exporter[0];
}

/* A block of ten spans; all of it goes to the box, and if told, the journal knows. */
static void spill(bool told)
{
	static uint8_t body[100000];
	struct store_block b = put(store, first_span += 10, 10, 100);
	struct parcel p = {.n_spans = 10, .to = {b.id, b.bytes - BLOCK_HEADER, 0}, .status = -1};
	p.body = slice_of(body, sizeof(body));
	int rc = box_append(box, &p);
	if (rc == BOX_AGAIN) {
		CHECK_EQ(box_commit(box), 0);
		rc = box_append(box, &p);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(box_commit(box), 0);
	struct progress done = {.from = PLACE_JOURNAL, .done = p.to, .moved[PLACE_OUTBOX] = 10};
	if (told)
		store_progress(store, 0, &done);
	CHECK_EQ(commit_nothing(store), 0);
}

static void drained(uint64_t id)
{
	struct progress p = {.from = PLACE_OUTBOX, .done.block_id = id};
	p.sent = id - account().cursor[PLACE_OUTBOX].block_id;
	store_progress(store, 0, &p);
	CHECK_EQ(commit_nothing(store), 0);
	box_trim(box, p.done);
}

static void begin(void)
{
	new_dir();
	snprintf(box_dir, sizeof(box_dir), "%s/box", test_dir);
	first_span = 1;
	meet();
	for (int i = 0; i < 40; i++)
		spill(true);
	drained(165);
	spill(false);
	CHECK_EQ(account().held[PLACE_OUTBOX], 236);
	CHECK_EQ(account().held[PLACE_JOURNAL], 10);
	CHECK_EQ(box_end(box), 411);
}

static void end(void)
{
	char command[256];
	part();
	snprintf(command, sizeof(command), "rm -r %s", test_dir);
	CHECK_EQ(system(command), 0);
}

static void test_a_restart_takes_back_what_the_journal_still_has(void)
{
	begin();
	part();
	meet();
	CHECK_EQ(account().held[PLACE_OUTBOX], 236);
	CHECK_EQ(account().held[PLACE_JOURNAL], 10);
	CHECK_EQ(box_first(box), 165);
	CHECK_EQ(box_end(box), 401);
	CHECK_EQ(account().entered, 410);
	end();
}

/* Blocks of a new journal have the numbers that those of the old one had. */
static void test_a_box_outlives_its_journal(void)
{
	begin();
	part();
	count_files("journal.mdb", true);
	meet();
	uint64_t first = box_first(box), spans = 411 - first;
	CHECK(first > 1 && first <= 165); /* files are what is unlinked */
	CHECK_EQ(box_spans(box), spans);
	CHECK_EQ(account().entered, spans);
	CHECK_EQ(account().held[PLACE_OUTBOX], spans);
	CHECK_EQ(account().cursor[PLACE_OUTBOX].block_id, first);
	part();
	meet(); /* and that was no accident */
	CHECK_EQ(account().entered, spans);
	spill(true);
	spill(false);
	part();
	meet();
	CHECK_EQ(box_end(box), 421);
	CHECK_EQ(account().held[PLACE_OUTBOX], spans + 10);
	CHECK_EQ(account().held[PLACE_JOURNAL], 10);
	CHECK_EQ(account().entered, spans + 20);
	drained(421);
	CHECK_EQ(account().held[PLACE_OUTBOX], 0);
	end();
}

/* The relay died before it could write down what it met. */
static void test_a_box_outlives_its_journal_and_a_crash(void)
{
	begin();
	part();
	count_files("journal.mdb", true);
	store_close(open_store(ONE, 1));
	meet();
	CHECK_EQ(account().held[PLACE_OUTBOX], box_spans(box));
	CHECK_EQ(box_end(box), 411);
	end();
}

/* Whatever can be found of the journal's account may be older than the box. */
static void test_a_salvaged_journal_takes_nothing_out_of_a_box(void)
{
	struct stat st;
	begin();
	part();
	CHECK_EQ(stat(in_dir("journal.mdb"), &st), 0);
	CHECK_EQ(truncate(in_dir("journal.mdb"), st.st_size - 4096), 0);
	meet();
	CHECK_EQ(count_files("journal.mdb.bad-", false), 1);
	CHECK_EQ(box_end(box), 411);
	CHECK_EQ(account().held[PLACE_OUTBOX], box_spans(box));
	part();
	meet();
	CHECK_EQ(box_end(box), 411);
	CHECK_EQ(account().held[PLACE_OUTBOX], box_spans(box));
	end();
}

/* While it is not configured its blocks leave the journal, for nobody else wants them. */
static void test_an_exporter_that_comes_back_finds_its_box(void)
{
	static const char *const OTHER[] = {"b"};
	begin();
	part();
	struct store *s = open_store(OTHER, 1);
	sent(s, 0, (struct cursor){balanced(s).exporter[0].held[0] + 41, 0, 0},
	     balanced(s).exporter[0].held[0]);
	CHECK_EQ(commit_nothing(s), 0);
	CHECK_EQ(held_blocks(s), 0);
	store_close(s);
	meet();
	CHECK_EQ(account().held[PLACE_JOURNAL], 0);
	CHECK_EQ(account().held[PLACE_OUTBOX], 246);
	CHECK_EQ(account().dropped[DROP_EXPORTER_REMOVED], 246);
	end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_restart_takes_back_what_the_journal_still_has),
		   TEST(test_a_box_outlives_its_journal),
		   TEST(test_a_box_outlives_its_journal_and_a_crash),
		   TEST(test_a_salvaged_journal_takes_nothing_out_of_a_box),
		   TEST(test_an_exporter_that_comes_back_finds_its_box));
}

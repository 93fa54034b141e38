/* SPDX-License-Identifier: Apache-2.0
 * Records of the audit log, the chain they make, and what is told of one that was damaged. */
#include "audit_fixture.h"

static const struct slice NONE = {.data = NULL};

static void test_a_record_is_always_the_same_bytes(void)
{
	struct audit_record r;
	struct buf b = {.data = NULL};
	struct audit_head head = {.seq = 0};
	audit_record_init(&r, AUDIT_CREDENTIAL, "ma\"in", "changed", "sig\\nal");
	audit_detail(&r, "path", "/etc/\xc3\xa4\n");
	audit_detail(&r, "why", NULL);
	audit_count(&r, "pid", -7);
	CHECK_EQ(audit_append(&head, NONE, &r, EARLY + 7, BOOT, &b), 0);
	static const char WANTED[] =
	    "{\"seq\":1,\"ts\":\"2026-01-01T00:00:00.007Z\",\"boot_id\":\"" BOOT
	    "\",\"kind\":\"credential\",\"subject\":\"ma\\\"in\",\"decision\":\"changed\","
	    "\"reason\":\"sig\\\\nal\",\"detail\":{\"path\":\"/etc/???\"},\"counts\":{\"pid\":-7},"
	    "\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"";
	CHECK(b.len == sizeof(WANTED) - 1 + 8 + 64 + 3);
	CHECK(memcmp(b.data, WANTED, sizeof(WANTED) - 1) == 0);
	CHECK_EQ(b.data[b.len - 1], '\n');
	buf_finish(&b);
}

static void test_a_line_is_read_as_it_was_written(void)
{
	struct audit_head head;
	struct audit_line l;
	struct slice text;
	struct buf b = chain_of(3, the_key(), &head);
	struct slice rest = buf_slice(&b);
	uint8_t before[AUDIT_MAC] = {0};
	for (uint64_t seq = 1; seq <= 3; seq++) {
		CHECK(audit_next_line(&rest, &text) && audit_line_read(&l, text));
		CHECK_EQ(l.seq, seq);
		CHECK_EQ(l.unix_ms, EARLY + (seq - 1) * 1000);
		CHECK(audit_line_is(&l, seq == 1 ? AUDIT_START : AUDIT_CREDENTIAL));
		CHECK(memcmp(l.prev, before, AUDIT_MAC) == 0);
		CHECK(audit_line_holds(&l, the_key()) && !audit_line_holds(&l, NONE));
		uint64_t pid;
		CHECK(audit_line_count(&l, "pid", &pid) && pid == seq - 1);
		CHECK(!audit_line_count(&l, "uid", &pid));
		memcpy(before, l.mac, AUDIT_MAC);
	}
	CHECK(memcmp(head.mac, before, AUDIT_MAC) == 0 && !audit_next_line(&rest, &text));
	buf_finish(&b);
}

static void test_what_is_no_line_is_not_read(void)
{
	struct audit_head head;
	struct audit_line l;
	struct buf b = chain_of(1, NONE, &head);
	struct slice line = slice_of(b.data, b.len - 1);
	CHECK(audit_line_read(&l, line));
	for (size_t cut = 0; cut < line.len; cut++)
		CHECK(!audit_line_read(&l, slice_of(line.data, cut)));
	buf_finish(&b);
}

static void test_times_are_read_as_they_are_written(void)
{
	static const uint64_t TIMES[] = {0, 1, EARLY + 999, 253402300799999};
	char text[AUDIT_TIME];
	uint64_t ms;
	for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
		audit_print_time(TIMES[i], text);
		CHECK(audit_read_time(slice_str(text), &ms));
		CHECK_EQ(ms, TIMES[i]);
	}
	audit_print_time(UINT64_MAX, text);
	CHECK_STR(text, "9999-12-31T23:59:59.999Z");
	CHECK(!audit_read_time(slice_str("2026-01-01T00:00:00Z"), &ms));
	CHECK(!audit_read_time(slice_str("2026-01-01 00:00:00.000Z"), &ms));
	CHECK(!audit_read_time(slice_str("2x26-01-01T00:00:00.000Z"), &ms));
}

static void test_what_is_too_long_is_cut_and_what_is_too_much_left_out(void)
{
	struct audit_record r;
	char text[2 * AUDIT_VALUE];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	audit_record_init(&r, AUDIT_DROP, text, text, text);
	for (int i = 0; i < 2 * AUDIT_COUNTS; i++) {
		audit_detail(&r, "path", text);
		audit_count(&r, "n", i);
	}
	CHECK_EQ(strlen(r.subject), AUDIT_NAME - 1);
	CHECK_EQ(strlen(r.details[AUDIT_DETAILS - 1].value), AUDIT_VALUE - 1);
	CHECK_EQ(r.n_details, AUDIT_DETAILS);
	CHECK_EQ(r.n_counts, AUDIT_COUNTS);
	audit_detail(NULL, "path", "x"); /* there was no memory for the record */
	audit_count(NULL, "n", 1);
}

static void test_a_whole_chain_is_whole(void)
{
	for (int keyed = 0; keyed <= 1; keyed++) {
		struct audit_head head;
		struct slice key = keyed ? the_key() : NONE;
		struct buf b = chain_of(10, key, &head);
		struct audit_verifier v = verdict_on(buf_slice(&b), key, NULL);
		CHECK_EQ(v.damage, AUDIT_WHOLE);
		CHECK(v.first == 1 && v.head.seq == 10);
		CHECK(memcmp(v.head.mac, head.mac, AUDIT_MAC) == 0);
		buf_finish(&b);
	}
}

static void want(struct slice file, struct slice key, const struct audit_checkpoint *c,
		 enum audit_damage damage, uint64_t seq)
{
	struct audit_verifier v = verdict_on(file, key, c);
	CHECK_STR(AUDIT_DAMAGE_NAMES[v.damage], AUDIT_DAMAGE_NAMES[damage]);
	CHECK_EQ(v.seq, seq);
}

static void test_an_edited_record_is_found(void)
{
	struct audit_head head;
	struct buf b = chain_of(5, the_key(), &head);
	uint8_t *main = memmem(line_of(buf_slice(&b), 2).data, 300, "main", 4);
	memcpy(main, "evil", 4);
	want(buf_slice(&b), the_key(), NULL, AUDIT_EDITED, 3);
	buf_finish(&b);
}

static void test_a_deleted_record_is_found(void)
{
	struct audit_head head;
	struct buf b = chain_of(5, the_key(), &head);
	struct slice third = line_of(buf_slice(&b), 2), first = line_of(buf_slice(&b), 0);
	struct buf middle = spliced(buf_slice(&b), third.data, third.data + third.len, NONE);
	struct buf front = spliced(buf_slice(&b), first.data, first.data + first.len, NONE);
	want(buf_slice(&middle), the_key(), NULL, AUDIT_DELETED, 3);
	want(buf_slice(&front), the_key(), NULL, AUDIT_DELETED, 1);
	buf_finish(&b);
	buf_finish(&middle);
	buf_finish(&front);
}

static void test_an_inserted_record_is_found(void)
{
	struct audit_head head, forged = {.seq = 2};
	struct buf b = chain_of(5, the_key(), &head), made = {.data = NULL};
	struct slice third = line_of(buf_slice(&b), 2), first = line_of(buf_slice(&b), 0);
	struct buf copied = spliced(buf_slice(&b), third.data, third.data, first);
	want(buf_slice(&copied), the_key(), NULL, AUDIT_INSERTED, 1);
	add_record(&made, &forged, slice_str("another key"), AUDIT_STOP, "relay");
	struct buf forgery = spliced(buf_slice(&b), third.data, third.data, buf_slice(&made));
	want(buf_slice(&forgery), the_key(), NULL, AUDIT_INSERTED, 3);
	buf_finish(&b);
	buf_finish(&made);
	buf_finish(&copied);
	buf_finish(&forgery);
}

static void test_records_that_changed_places_are_found(void)
{
	struct audit_head head;
	struct buf b = chain_of(5, the_key(), &head);
	struct slice second = line_of(buf_slice(&b), 1), third = line_of(buf_slice(&b), 2);
	struct buf swapped = spliced(buf_slice(&b), second.data, second.data, third);
	struct slice again = line_of(buf_slice(&swapped), 3);
	struct buf both = spliced(buf_slice(&swapped), again.data, again.data + again.len, NONE);
	want(buf_slice(&both), the_key(), NULL, AUDIT_DELETED, 2);
	buf_finish(&b);
	buf_finish(&swapped);
	buf_finish(&both);
}

/* Somebody edits the third record and makes all that follow anew. */
static struct buf rechain(struct slice file, struct slice key)
{
	struct audit_head head;
	struct audit_line l;
	struct slice second = line_of(file, 1);
	CHECK(audit_line_read(&l, slice_of(second.data, second.len - 1)));
	head.seq = 2;
	memcpy(head.mac, l.mac, AUDIT_MAC);
	struct buf made = {.data = NULL};
	CHECK_EQ(buf_append(&made, file.data, (size_t)(second.data + second.len - file.data)), 0);
	for (int i = 0; i < 3; i++)
		add_record(&made, &head, key, AUDIT_DROP, "evil");
	return made;
}

static void test_a_chain_made_anew_is_found_by_the_key_or_a_checkpoint(void)
{
	struct audit_head head;
	struct buf signed_ = chain_of(5, the_key(), &head);
	struct buf forged = rechain(buf_slice(&signed_), slice_str("another key"));
	want(buf_slice(&forged), the_key(), NULL, AUDIT_RECHAINED, 3);
	struct buf plain = chain_of(5, NONE, &head), again = rechain(buf_slice(&plain), NONE);
	struct audit_checkpoint c = {.seq = 5, .len = 8};
	memcpy(c.mac, head.mac, AUDIT_MAC);
	want(buf_slice(&again), NONE, NULL, AUDIT_WHOLE, 0); /* as docs/audit.md says */
	want(buf_slice(&again), NONE, &c, AUDIT_RECHAINED, 5);
	want(buf_slice(&plain), NONE, &c, AUDIT_WHOLE, 0);
	buf_finish(&signed_);
	buf_finish(&forged);
	buf_finish(&plain);
	buf_finish(&again);
}

/* Without a key: one record is edited and its own mac made anew. */
static void test_one_record_made_anew_is_found_by_the_next(void)
{
	struct audit_head head;
	struct buf b = chain_of(5, NONE, &head), made = rechain(buf_slice(&b), NONE);
	struct slice third = line_of(buf_slice(&b), 2);
	struct buf one = spliced(buf_slice(&b), third.data, third.data + third.len,
				 line_of(buf_slice(&made), 2));
	want(buf_slice(&one), NONE, NULL, AUDIT_RECHAINED, 3);
	buf_finish(&b);
	buf_finish(&made);
	buf_finish(&one);
}

static void test_truncation_is_found_against_a_checkpoint(void)
{
	struct audit_head head;
	struct buf b = chain_of(5, the_key(), &head);
	struct audit_checkpoint c = {.seq = 5, .len = AUDIT_MAC};
	struct slice fourth = line_of(buf_slice(&b), 3);
	struct slice cut = slice_of(b.data, (size_t)(fourth.data - b.data));
	memcpy(c.mac, head.mac, AUDIT_MAC);
	want(cut, the_key(), NULL, AUDIT_WHOLE, 0); /* nobody can know */
	want(cut, the_key(), &c, AUDIT_TRUNCATED, 4);
	want(slice_of(b.data, 0), the_key(), &c, AUDIT_TRUNCATED, 1);
	buf_finish(&b);
}

static void test_a_torn_tail_is_told_from_damage(void)
{
	struct audit_head head;
	struct buf b = chain_of(3, the_key(), &head);
	struct slice third = line_of(buf_slice(&b), 2);
	for (size_t len = 1; len < third.len; len++)
		want(slice_of(b.data, (size_t)(third.data - b.data) + len), the_key(), NULL,
		     AUDIT_TORN, 3);
	buf_finish(&b);
}

static void test_another_key_may_begin_with_a_file_and_nowhere_else(void)
{
	struct audit_head head;
	struct slice second = slice_str("fedcba9876543210fedcba9876543210");
	struct buf b = chain_of(3, the_key(), &head), next = {.data = NULL};
	add_record(&next, &head, second, AUDIT_START, "relay");
	struct audit_verifier v = {.keys = {second, the_key()}, .n_keys = 2};
	audit_verify_chain(&v, buf_slice(&b), false);
	audit_verify_chain(&v, buf_slice(&next), true);
	CHECK(v.damage == AUDIT_WHOLE && v.head.seq == 4);
	v = (struct audit_verifier){.keys = {second, the_key()}, .n_keys = 2};
	CHECK_EQ(buf_append(&b, next.data, next.len), 0);
	audit_verify_chain(&v, buf_slice(&b), true);
	CHECK(v.damage != AUDIT_WHOLE && v.seq == 4);
	buf_finish(&b);
	buf_finish(&next);
}

static void test_checkpoints_are_read(void)
{
	struct audit_checkpoint c;
	CHECK(audit_checkpoint_read("17:00112233445566FF", &c));
	CHECK(c.seq == 17 && c.len == 8 && c.mac[7] == 0xff);
	CHECK(!audit_checkpoint_read("0:0011223344556677", &c));
	CHECK(!audit_checkpoint_read("17:001122334455667", &c));
	CHECK(!audit_checkpoint_read("17:00112233445566gg", &c));
	CHECK(!audit_checkpoint_read("17", &c));
	CHECK(!audit_checkpoint_read("", &c));
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_record_is_always_the_same_bytes),
		   TEST(test_a_line_is_read_as_it_was_written),
		   TEST(test_what_is_no_line_is_not_read),
		   TEST(test_times_are_read_as_they_are_written),
		   TEST(test_what_is_too_long_is_cut_and_what_is_too_much_left_out),
		   TEST(test_a_whole_chain_is_whole), TEST(test_an_edited_record_is_found),
		   TEST(test_a_deleted_record_is_found), TEST(test_an_inserted_record_is_found),
		   TEST(test_records_that_changed_places_are_found),
		   TEST(test_a_chain_made_anew_is_found_by_the_key_or_a_checkpoint),
		   TEST(test_one_record_made_anew_is_found_by_the_next),
		   TEST(test_truncation_is_found_against_a_checkpoint),
		   TEST(test_a_torn_tail_is_told_from_damage),
		   TEST(test_another_key_may_begin_with_a_file_and_nowhere_else),
		   TEST(test_checkpoints_are_read));
}

/* SPDX-License-Identifier: Apache-2.0
 * Two accounts, and whether what came in is what went out, waits or was dropped; and who sent a
 * signal, on its way from the keeper to the worker. */
#include "relay/interval.h"

#include "check.h"
#include "relay/caller.h"

static const struct ledger WAS = {
    .received = 1000, .rejected = 10, .pending = 50, .judged = {930, 10}};

static int64_t count_of(const struct audit_record *r, const char *key)
{
	for (unsigned i = 0; i < r->n_counts; i++)
		if (strcmp(r->counts[i].key, key) == 0)
			return r->counts[i].value;
	return 0;
}

static void test_what_waits_was_kept_or_was_dropped_balances(void)
{
	struct ledger is = WAS;
	struct audit_record r;
	CHECK(interval_of_relay(&WAS, &is, &r));
	CHECK(r.n_counts == 1 && count_of(&r, "received") == 0);
	is.received += 100;
	is.rejected += 1;
	is.pending -= 20; /* more was decided than came */
	is.judged[0] += 60;
	is.judged[1] += 50;
	is.judged[3] += 9;
	CHECK(interval_of_relay(&WAS, &is, &r));
	CHECK_STR(r.decision, "balanced");
	CHECK_EQ(count_of(&r, "received"), 100);
	CHECK_EQ(count_of(&r, "queued"), -20);
	CHECK_EQ(count_of(&r, "kept"), 60);
	CHECK_EQ(count_of(&r, "rule"), 50);
	CHECK_EQ(count_of(&r, "late"), 9);
	is.judged[3]--;
	CHECK(!interval_of_relay(&WAS, &is, &r));
	CHECK_STR(r.decision, "unbalanced");
}

static void test_every_span_of_an_exporter_is_somewhere(void)
{
	struct ledger_exporter was = {.name = "main", .entered = 100, .held = {100}}, is = was;
	struct audit_record r;
	is.entered += 50;
	is.sent += 70;
	is.backend_rejected += 5;
	is.dropped[2] += 4;
	is.held[PLACE_JOURNAL] = 20;
	is.held[PLACE_OUTBOX] = 50;
	is.held[PLACE_QUARANTINE] = 1;
	CHECK(interval_of_exporter(&was, &is, &r));
	CHECK_STR(r.subject, "main");
	CHECK_EQ(count_of(&r, "forwarded"), 70);
	CHECK_EQ(count_of(&r, "queued"), -30);
	CHECK_EQ(count_of(&r, "quarantined"), 1);
	CHECK_EQ(count_of(&r, DROP_REASON_NAMES[2]), 4);
	is.held[PLACE_OUTBOX]--; /* one is nowhere */
	CHECK(!interval_of_exporter(&was, &is, &r));
}

static void test_all_reasons_have_room_in_a_record(void)
{
	struct ledger_exporter was = {.name = "main"}, is = was;
	struct ledger before = WAS, after = WAS;
	struct audit_record r;
	for (int i = 0; i < DROP_REASONS; i++)
		is.dropped[i] = 1;
	is.sent = is.backend_rejected = is.held[0] = is.held[PLACE_QUARANTINE] = 1;
	is.entered = DROP_REASONS + 4;
	CHECK(interval_of_exporter(&was, &is, &r));
	CHECK_EQ(r.n_counts, DROP_REASONS + 5);
	for (int i = 0; i < STORE_VERDICTS; i++)
		after.judged[i]++;
	after.rejected++;
	after.pending++;
	after.received += STORE_VERDICTS + 2;
	CHECK(interval_of_relay(&before, &after, &r));
	CHECK_EQ(r.n_counts, STORE_VERDICTS + 3);
}

static void test_who_sent_a_signal_travels_with_it(void)
{
	struct caller c = {4194304, 4294967294};
	struct signalfd_siginfo direct = {.ssi_code = SI_USER, .ssi_pid = 7, .ssi_uid = 1000};
	struct signalfd_siginfo passed = {
	    .ssi_code = SI_QUEUE, .ssi_pid = (uint32_t)getppid(), .ssi_ptr = caller_pack(c)};
	struct signalfd_siginfo forged = {.ssi_code = SI_QUEUE,
					  .ssi_pid = (uint32_t)getppid() + 1,
					  .ssi_uid = 1000,
					  .ssi_ptr = caller_pack(c)};
	CHECK(caller_of(&direct).pid == 7 && caller_of(&direct).uid == 1000);
	CHECK(caller_of(&passed).pid == c.pid && caller_of(&passed).uid == c.uid);
	CHECK(caller_of(&forged).pid == forged.ssi_pid && caller_of(&forged).uid == 1000);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_waits_was_kept_or_was_dropped_balances),
		   TEST(test_every_span_of_an_exporter_is_somewhere),
		   TEST(test_all_reasons_have_room_in_a_record),
		   TEST(test_who_sent_a_signal_travels_with_it));
}

/* SPDX-License-Identifier: Apache-2.0
 * relay/interval.h - what happened in the last interval (audit.interval), for the audit log:
 * whether all spans are accounted for, what was dropped and refused and why, how often each rule of
 * redaction found something, and which budgets went over their goal or came back. All of it is the
 * difference of two accounts. Main room. Private to relay/. */
#ifndef RELAY_INTERVAL_H
#define RELAY_INTERVAL_H

#include "audit/record.h"
#include "storage/store.h"

struct auditor;
struct judge_view;
struct metrics;
struct ruleset;

enum { INTERVAL_REFUSALS = 12 };

struct interval {
	struct auditor *auditor;
	bool begun;
	struct ledger was;
	uint64_t refused[INTERVAL_REFUSALS];
	uint64_t unknown_spans, forged; /* of identity */
	struct interval_rule {
		char *id;
		uint64_t found;
	} * rules;
	size_t n_rules;
	struct interval_budget {
		char *name;
		bool over;
	} * budgets;
	size_t n_budgets;
};

/* What there is to look at now; borrowed. */
struct interval_now {
	const struct ledger *ledger;
	const struct judge_view *judge; /* NULL: nothing is judged */
	const struct ruleset *rules;    /* NULL: nothing is redacted */
	uint64_t (*redacted)(void *ctx, uint32_t number, unsigned position);
	void *ctx;
	struct metrics *metrics;
};

/* The account as it is before the first span comes. */
void interval_begin(struct interval *v, struct auditor *auditor, const struct ledger *ledger);
/* Posts what has changed since the last time. */
void interval_end(struct interval *v, const struct interval_now *now);
void interval_finish(struct interval *v);

/* Of two accounts: fills in the record; false if it does not balance. For requests: received =
 * rejected + change of what waits for a decision + kept + dropped by reason. For an exporter:
 * received = forwarded + refused by the backend + change of what is queued and of what is in
 * quarantine + dropped by reason. Counts of 0 are left out but for what was received. Pure. */
bool interval_of_relay(const struct ledger *was, const struct ledger *is, struct audit_record *out);
bool interval_of_exporter(const struct ledger_exporter *was, const struct ledger_exporter *is,
			  struct audit_record *out);

#endif

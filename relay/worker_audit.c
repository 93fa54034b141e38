/* SPDX-License-Identifier: Apache-2.0
 * What the main room tells the audit log of each interval: the account, and what was masked. */
#include <errno.h>
#include <stdlib.h>

#include "relay/worker_internal.h"

bool worker_ask_ledger(struct worker *w, bool for_audit)
{
	struct ledger_request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		return false;
	request->mail.kind = MAIL_LEDGER;
	request->for_audit = for_audit;
	room_answer(&w->relay.archive.room, &request->mail);
	return true;
}

uint64_t worker_redacted(void *ctx, uint32_t number, unsigned position)
{
	struct worker *w = ctx;
	uint64_t n = 0;
	for (unsigned i = 0; i < w->relay.n_intakes; i++)
		n += redactor_count(w->redactors[i], number, (enum position)position);
	return n + found_of(&w->found, ruleset_id(w->relay.world->rules, number),
			    (enum position)position);
}

static void on_interval(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct worker *w = timer->data;
	if (!w->interval_asked)
		w->interval_asked = worker_ask_ledger(w, true);
}

void worker_end_interval(struct worker *w, const struct ledger *ledger, struct judge_view *judge)
{
	const struct interval_now now = {.ledger = ledger,
					 .judge = judge,
					 .rules = w->relay.world->rules,
					 .redacted = worker_redacted,
					 .ctx = w,
					 .metrics = &w->relay.metrics};
	interval_end(&w->interval, &now);
	w->interval_asked = false;
}

void worker_start_account(struct worker *w)
{
	struct ledger ledger;
	double s = (double)w->relay.world->conf.audit.interval_ms / 1000;
	ev_timer_init(&w->interval_timer, on_interval, s, s);
	w->interval_timer.data = w;
	if (!w->relay.auditor.on)
		return;
	store_ledger(w->relay.archive.store, &ledger);
	interval_begin(&w->interval, &w->relay.auditor, &ledger);
	ev_timer_start(w->room.loop, &w->interval_timer);
}

void worker_end_account(struct worker *w)
{
	struct ledger ledger;
	if (!w->interval.begun)
		return;
	store_ledger(w->relay.archive.store, &ledger);
	worker_end_interval(w, &ledger, NULL);
	interval_finish(&w->interval);
	ev_timer_stop(w->room.loop, &w->interval_timer);
}

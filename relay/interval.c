/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/interval.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "redaction/redact.h"
#include "relay/rooms.h"

/* ---- balances ---- */

static int64_t change(uint64_t was, uint64_t is)
{
	return (int64_t)(is - was);
}

static void count(struct audit_record *r, const char *key, int64_t n)
{
	if (n != 0)
		audit_count(r, key, n);
}

static bool judge_balance(struct audit_record *r, const char *subject, int64_t sum,
			  int64_t received)
{
	audit_record_init(r, AUDIT_BALANCE, subject, sum == received ? "balanced" : "unbalanced",
			  NULL);
	audit_count(r, "received", received);
	return sum == received;
}

bool interval_of_relay(const struct ledger *was, const struct ledger *is, struct audit_record *out)
{
	int64_t rejected = change(was->rejected, is->rejected);
	int64_t queued = change(was->pending, is->pending);
	int64_t judged[STORE_VERDICTS], sum = rejected + queued;
	for (int v = 0; v < STORE_VERDICTS; v++) {
		judged[v] = change(was->judged[v], is->judged[v]);
		sum += judged[v];
	}
	bool fine = judge_balance(out, "relay", sum, change(was->received, is->received));
	count(out, "rejected", rejected);
	count(out, "queued", queued);
	for (int v = 0; v < STORE_VERDICTS; v++)
		count(out, VERDICT_NAMES[v], judged[v]);
	return fine;
}

bool interval_of_exporter(const struct ledger_exporter *was, const struct ledger_exporter *is,
			  struct audit_record *out)
{
	int64_t sent = change(was->sent, is->sent);
	int64_t rejected = change(was->backend_rejected, is->backend_rejected);
	int64_t queued = change(ledger_buffered(was), ledger_buffered(is));
	int64_t quarantined = change(was->held[PLACE_QUARANTINE], is->held[PLACE_QUARANTINE]);
	int64_t dropped[DROP_REASONS], sum = sent + rejected + queued + quarantined;
	for (int i = 0; i < DROP_REASONS; i++) {
		dropped[i] = change(was->dropped[i], is->dropped[i]);
		sum += dropped[i];
	}
	bool fine = judge_balance(out, is->name, sum, change(was->entered, is->entered));
	count(out, "forwarded", sent);
	count(out, "backend_rejected", rejected);
	count(out, "queued", queued);
	count(out, "quarantined", quarantined);
	for (int i = 0; i < DROP_REASONS; i++)
		count(out, DROP_REASON_NAMES[i], dropped[i]);
	return fine;
}

static void post(struct interval *v, const struct audit_record *r)
{
	struct audit_note *n = audit_note(v->auditor, r->kind, r->subject, r->decision, NULL);
	if (n != NULL)
		n->record = *r;
	audit_post(v->auditor, n);
}

static void post_balance(struct interval *v, const struct audit_record *r, bool fine,
			 struct metrics *metrics)
{
	if (!fine) {
		metric_add(metrics, METRIC_AUDIT_UNBALANCED, 1);
		log_error("spans do not balance",
			  "subject=%s help=\"spanrelay audit show --kind balance\"", r->subject);
	}
	post(v, r);
}

static void post_drop(struct interval *v, const char *subject, const char *reason, const char *what,
		      uint64_t n)
{
	struct audit_note *note =
	    n != 0 ? audit_note(v->auditor, AUDIT_DROP, subject, "dropped", reason) : NULL;
	audit_count(audit_of(note), what, (int64_t)n);
	audit_post(v->auditor, note);
}

/* By name, for numbers change: configured now, or once. */
static const struct ledger_exporter *find_exporter(const struct ledger *l, const char *name)
{
	for (unsigned i = 0; i < l->n_exporters + l->n_removed; i++)
		if (strcmp(l->exporter[i].name, name) == 0)
			return &l->exporter[i];
	return NULL;
}

static void end_exporter(struct interval *v, const struct ledger_exporter *is,
			 struct metrics *metrics)
{
	const struct ledger_exporter *was = find_exporter(&v->was, is->name);
	struct audit_record r;
	if (was == NULL) /* its account begins with what was held when it came */
		return;
	bool fine = interval_of_exporter(was, is, &r);
	if (!fine || r.n_counts > 1 || r.counts[0].value != 0) /* else nothing happened */
		post_balance(v, &r, fine, metrics);
	for (int i = 0; i < DROP_REASONS; i++)
		post_drop(v, is->name, DROP_REASON_NAMES[i], "spans",
			  is->dropped[i] - was->dropped[i]);
}

static void end_ledger(struct interval *v, const struct interval_now *now)
{
	const struct ledger *is = now->ledger;
	struct audit_record r;
	bool fine = interval_of_relay(&v->was, is, &r);
	post_balance(v, &r, fine, now->metrics);
	post_drop(v, "relay", "rejected", "spans", is->rejected - v->was.rejected);
	for (int i = 1; i < STORE_VERDICTS; i++)
		post_drop(v, "relay", VERDICT_NAMES[i], "spans", is->judged[i] - v->was.judged[i]);
	for (unsigned i = 0; i < is->n_exporters + is->n_removed; i++)
		end_exporter(v, &is->exporter[i], now->metrics);
	v->was = *is;
}

/* ---- refusals ---- */

static void end_refusals(struct interval *v, const struct metrics *m)
{
	static const struct {
		enum metric metric;
		const char *reason;
	} ROWS[INTERVAL_REFUSALS] = {{METRIC_REFUSED_MALFORMED, "malformed"},
				     {METRIC_REFUSED_TOO_LARGE, "too_large"},
				     {METRIC_REFUSED_LIMIT, "limit"},
				     {METRIC_REFUSED_ENCODING, "encoding"},
				     {METRIC_REFUSED_CONTENT_TYPE, "content_type"},
				     {METRIC_REFUSED_METHOD, "method"},
				     {METRIC_REFUSED_PATH, "path"},
				     {METRIC_REFUSED_FRAMING, "framing"},
				     {METRIC_REFUSED_MEMORY, "memory"},
				     {METRIC_REFUSED_JOURNAL_FULL, "journal_full"},
				     {METRIC_REFUSED_JOURNAL_ERROR, "journal_error"},
				     {METRIC_REFUSED_SHUTDOWN, "shutdown"}};
	for (int i = 0; i < INTERVAL_REFUSALS; i++) {
		uint64_t n = metric_get(m, ROWS[i].metric);
		post_drop(v, "requests", ROWS[i].reason, "requests", n - v->refused[i]);
		v->refused[i] = n;
	}
}

/* ---- identity ---- */

static void post_identity(struct interval *v, const char *decision, const char *what, uint64_t now,
			  uint64_t *was)
{
	struct audit_note *n =
	    now != *was ? audit_note(v->auditor, AUDIT_IDENTITY, "clients", decision, NULL) : NULL;
	audit_count(audit_of(n), what, (int64_t)(now - *was));
	audit_post(v->auditor, n);
	*was = now;
}

static void end_identity(struct interval *v, const struct metrics *m)
{
	post_identity(v, "refused", "spans", metric_get(m, METRIC_IDENTITY_REJECTED),
		      &v->unknown_spans);
	post_identity(v, "stripped", "attributes", metric_get(m, METRIC_IDENTITY_FORGED),
		      &v->forged);
}

/* ---- redaction ---- */

static struct interval_rule *find_rule(struct interval *v, const char *id, size_t hint)
{
	if (hint < v->n_rules && strcmp(v->rules[hint].id, id) == 0)
		return &v->rules[hint];
	for (size_t i = 0; i < v->n_rules; i++)
		if (strcmp(v->rules[i].id, id) == 0)
			return &v->rules[i];
	char *copy = strdup(id);
	struct interval_rule *more =
	    copy != NULL ? realloc(v->rules, (v->n_rules + 1) * sizeof(*more)) : NULL;
	if (more == NULL) {
		free(copy);
		return NULL;
	}
	v->rules = more;
	v->rules[v->n_rules] = (struct interval_rule){.id = copy};
	return &v->rules[v->n_rules++];
}

static void end_redaction(struct interval *v, const struct interval_now *now)
{
	uint32_t n = now->rules != NULL ? ruleset_numbers(now->rules) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const char *id = ruleset_id(now->rules, i);
		struct interval_rule *rule = find_rule(v, id, i);
		uint64_t found = 0;
		for (unsigned p = 0; p < POSITIONS; p++)
			found += now->redacted(now->ctx, i, p);
		if (rule == NULL || found <= rule->found)
			continue;
		struct audit_note *note =
		    audit_note(v->auditor, AUDIT_REDACTION, "relay", "masked", NULL);
		if (note != NULL)
			snprintf(note->record.rule_id, sizeof(note->record.rule_id), "%s", id);
		audit_count(audit_of(note), "values", (int64_t)(found - rule->found));
		audit_post(v->auditor, note);
		rule->found = found;
	}
}

/* ---- budgets ---- */

static struct interval_budget *find_budget(struct interval *v, const char *name)
{
	for (size_t i = 0; i < v->n_budgets; i++)
		if (strcmp(v->budgets[i].name, name) == 0)
			return &v->budgets[i];
	char *copy = strdup(name);
	struct interval_budget *more =
	    copy != NULL ? realloc(v->budgets, (v->n_budgets + 1) * sizeof(*more)) : NULL;
	if (more == NULL) {
		free(copy);
		return NULL;
	}
	v->budgets = more;
	v->budgets[v->n_budgets] = (struct interval_budget){.name = copy};
	return &v->budgets[v->n_budgets++];
}

static bool is_over(const struct budget_report *r)
{
	bool over = false;
	for (int u = 0; u < BUDGET_UNITS; u++)
		over = over || (isfinite(r->unit[u].goal) && r->unit[u].offered > r->unit[u].goal);
	return over;
}

static void end_budgets(struct interval *v, const struct judge_view *judge)
{
	for (unsigned i = 0; judge != NULL && i < judge->n_budgets; i++) {
		const struct budget_report *r = &judge->budgets[i];
		struct interval_budget *b = find_budget(v, r->name);
		bool over = is_over(r);
		if (b == NULL || over == b->over)
			continue;
		b->over = over;
		struct audit_note *n =
		    audit_note(v->auditor, AUDIT_BUDGET, r->name, over ? "over" : "under", NULL);
		const struct budget_unit_report *spans = &r->unit[BUDGET_SPANS];
		if (isfinite(spans->goal))
			audit_count(audit_of(n), "goal_spans_per_second", (int64_t)spans->goal);
		audit_count(audit_of(n), "offered_spans_per_second", (int64_t)spans->offered);
		audit_post(v->auditor, n);
	}
}

/* ---- the contract ---- */

void interval_begin(struct interval *v, struct auditor *auditor, const struct ledger *ledger)
{
	*v = (struct interval){.auditor = auditor, .begun = true, .was = *ledger};
}

void interval_end(struct interval *v, const struct interval_now *now)
{
	if (!v->begun)
		return;
	end_ledger(v, now);
	end_refusals(v, now->metrics);
	end_identity(v, now->metrics);
	end_redaction(v, now);
	end_budgets(v, now->judge);
}

void interval_finish(struct interval *v)
{
	for (size_t i = 0; i < v->n_rules; i++)
		free(v->rules[i].id);
	for (size_t i = 0; i < v->n_budgets; i++)
		free(v->budgets[i].name);
	free(v->rules);
	free(v->budgets);
	*v = (struct interval){.begun = false};
}

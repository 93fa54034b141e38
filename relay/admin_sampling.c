/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_sampling.c - what /metrics and /status say of rules and budgets, and /explain of a
 * trace. Names that other samplers use stand here for what means the same (peers.md, parity). */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "relay/admin_page.h"
#include "wire/tracestate.h"

/* Names of rules and budgets were checked when they were read: no quotes, no backslashes. */
static int row(struct buf *out, const char *name, const char *label, const char *value,
	       const char *more, double v)
{
	return buf_printf(out, "%s{%s=\"%s\"%s} %.17g\n", name, label, value, more, v);
}

static int put_judged(const struct ledger *l, struct buf *out)
{
	static const char JUDGED[] = "spanrelay_ledger_judged_spans_total";
	int full = page_family(out, "spanrelay_ledger_pending_spans", "gauge",
			       "Accepted spans that wait for judgement.") |
		   buf_printf(out, "spanrelay_ledger_pending_spans %" PRIu64 "\n", l->pending) |
		   page_family(out, JUDGED, "counter", "Accepted spans by what became of them.");
	for (int v = 0; v < VERDICTS; v++)
		full |= row(out, JUDGED, "verdict", VERDICT_NAMES[v], "", (double)l->judged[v]);
	return full;
}

static int put_rules(const struct judge_view *v, struct buf *out)
{
	static const char TRACES[] = "spanrelay_sampling_rule_traces_total";
	static const char SPANS[] = "spanrelay_sampling_rule_spans_total";
	static const char THEIRS[] = "otelcol_processor_tail_sampling_count_traces_sampled";
	int full = page_family(out, TRACES, "counter",
			       "Traces by the rule that decided; of a dry run, as it would have.");
	for (uint32_t i = 0; i < v->policy->n_rules; i++) {
		const char *name = v->policy->rules[i].name;
		full |= row(out, TRACES, "rule", name, ",outcome=\"kept\"",
			    (double)v->report.rules[i].kept) |
			row(out, TRACES, "rule", name, ",outcome=\"dropped\"",
			    (double)v->report.rules[i].dropped);
	}
	full |= page_family(out, SPANS, "counter", "Spans of these traces when they were decided.");
	for (uint32_t i = 0; i < v->policy->n_rules; i++) {
		const char *name = v->policy->rules[i].name;
		full |= row(out, SPANS, "rule", name, ",outcome=\"kept\"",
			    (double)v->report.rules[i].kept_spans) |
			row(out, SPANS, "rule", name, ",outcome=\"dropped\"",
			    (double)v->report.rules[i].dropped_spans);
	}
	full |= page_family(out, THEIRS, "counter", "Traces by rule, as tail_sampling names it.");
	for (uint32_t i = 0; i < v->policy->n_rules; i++) {
		const char *name = v->policy->rules[i].name;
		full |=
		    row(out, THEIRS, "policy", name, ",sampled=\"true\",decision=\"sampled\"",
			(double)v->report.rules[i].kept) |
		    row(out, THEIRS, "policy", name, ",sampled=\"false\",decision=\"not_sampled\"",
			(double)v->report.rules[i].dropped);
	}
	return full;
}

static int put_triggers(const struct judge_view *v, struct buf *out)
{
	static const char TRIGGERED[] = "spanrelay_sampling_decisions_total";
	/* Refinery's, where there is one for the same. */
	static const char *const THEIRS[TRIGGERS] = {[TRIGGER_ROOT] = "trace_send_got_root",
						     [TRIGGER_WAIT] = "trace_send_expired",
						     [TRIGGER_SPANS] = "trace_send_span_limit",
						     [TRIGGER_EVICTION] =
							 "trace_send_ejected_memsize"};
	int full = page_family(out, TRIGGERED, "counter", "Traces that were decided, by why then.");
	for (int t = 0; t < TRIGGERS; t++)
		full |= row(out, TRIGGERED, "trigger", TRIGGER_NAMES[t], "",
			    (double)v->report.triggers[t]);
	for (int t = 0; t < TRIGGERS; t++)
		if (THEIRS[t] != NULL)
			full |=
			    page_family(out, THEIRS[t], "counter", "As Refinery names it.") |
			    buf_printf(out, "%s %" PRIu64 "\n", THEIRS[t], v->report.triggers[t]);
	full |= page_family(out, "otelcol_processor_tail_sampling_sampling_traces_on_memory",
			    "gauge", "Undecided traces, as tail_sampling names it.") |
		buf_printf(
		    out, "otelcol_processor_tail_sampling_sampling_traces_on_memory %" PRIu64 "\n",
		    v->report.traces);
	full |= page_family(out, "spanrelay_sampling_disagreements_total", "counter",
			    "Spans whose explicit randomness is not that of their trace.") |
		buf_printf(out, "spanrelay_sampling_disagreements_total %" PRIu64 "\n",
			   v->report.disagreements);
	return full |
	       page_family(out, "spanrelay_sampling_skewed_spans_total", "counter",
			   "Spans that end before they start.") |
	       buf_printf(out, "spanrelay_sampling_skewed_spans_total %" PRIu64 "\n",
			  v->report.skewed);
}

static const struct {
	size_t offset;
	const char *name, *kind, *help;
} BUDGET_ROWS[] = {
    {offsetof(struct budget_unit_report, goal), "spanrelay_budget_goal_per_second", "gauge",
     "What may leave, now."},
    {offsetof(struct budget_unit_report, offered), "spanrelay_budget_offered_per_second", "gauge",
     "What rules and the budgets below offer."},
    {offsetof(struct budget_unit_report, protected), "spanrelay_budget_protected_per_second",
     "gauge", "Of that, what is protected."},
    {offsetof(struct budget_unit_report, late), "spanrelay_budget_late_per_second", "gauge",
     "What came late to traces that were kept."},
    {offsetof(struct budget_unit_report, level), "spanrelay_budget_level", "gauge",
     "What the bucket holds; below 0 it is debt."},
    {offsetof(struct budget_unit_report, month_used), "spanrelay_budget_month_used", "gauge",
     "Of this month so far."},
    {offsetof(struct budget_unit_report, projected), "spanrelay_budget_month_projected", "gauge",
     "At the end of this month, at today's rate."},
    {offsetof(struct budget_unit_report, kept), "spanrelay_budget_kept_total", "counter",
     "What was kept and charged."},
    {offsetof(struct budget_unit_report, over), "spanrelay_budget_over_total", "counter",
     "What was cut by the ceiling."},
    {offsetof(struct budget_unit_report, late_over), "spanrelay_budget_late_over_total", "counter",
     "Late spans past the debt."},
};
static const char *const UNITS[BUDGET_UNITS] = {"spans", "bytes"};

static double field_of(const struct budget_unit_report *u, size_t offset)
{
	double v;
	memcpy(&v, (const char *)u + offset, sizeof(v));
	return v;
}

static int put_budgets(const struct judge_view *v, struct buf *out)
{
	int full = 0;
	for (size_t k = 0; v->n_budgets != 0 && k < sizeof(BUDGET_ROWS) / sizeof(BUDGET_ROWS[0]);
	     k++) {
		full |=
		    page_family(out, BUDGET_ROWS[k].name, BUDGET_ROWS[k].kind, BUDGET_ROWS[k].help);
		for (unsigned i = 0; i < v->n_budgets; i++)
			for (int u = 0; u < BUDGET_UNITS; u++) {
				char unit[32];
				double value =
				    field_of(&v->budgets[i].unit[u], BUDGET_ROWS[k].offset);
				snprintf(unit, sizeof(unit), ",unit=\"%s\"", UNITS[u]);
				if (isfinite(value)) /* no goal: no row */
					full |= row(out, BUDGET_ROWS[k].name, "budget",
						    v->policy->nodes[i].name, unit, value);
			}
	}
	return full;
}

int page_sampling_metrics(const struct page *p, struct buf *out)
{
	const struct judge_view *v = p->judge;
	int full = put_judged(p->ledger, out);
	if (v != NULL)
		full |= put_rules(v, out) | put_triggers(v, out) | put_budgets(v, out);
	return full;
}

/* ---- /status ---- */

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *amount(double v)
{
	json_t *j = isfinite(v) ? json_real(v) : NULL;
	return j != NULL ? j : json_null();
}

static json_t *rules(const struct judge_view *v)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < v->policy->n_rules; i++) {
		const struct sampler_rule_report *r = &v->report.rules[i];
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(v->policy->rules[i].name));
		json_object_set_new(o, "dry_run", json_boolean(v->policy->rules[i].dry_run));
		json_object_set_new(o, "matched", number(r->matched));
		json_object_set_new(o, "kept", number(r->kept));
		json_object_set_new(o, "dropped", number(r->dropped));
		json_object_set_new(o, "kept_spans", number(r->kept_spans));
		json_object_set_new(o, "dropped_spans", number(r->dropped_spans));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *budget_unit(const struct budget_unit_report *u)
{
	json_t *o = json_object();
	json_object_set_new(o, "goal", amount(u->goal));
	json_object_set_new(o, "offered", amount(u->offered));
	json_object_set_new(o, "late", amount(u->late));
	json_object_set_new(o, "level", amount(u->level));
	json_object_set_new(o, "capacity", amount(u->capacity));
	json_object_set_new(o, "month_used", amount(u->month_used));
	json_object_set_new(o, "month_projected", amount(u->projected));
	json_object_set_new(o, "kept", amount(u->kept));
	json_object_set_new(o, "over", amount(u->over));
	json_object_set_new(o, "late_over", amount(u->late_over));
	return o;
}

static json_t *budgets(const struct judge_view *v)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < v->n_budgets; i++) {
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(v->policy->nodes[i].name));
		for (int u = 0; u < BUDGET_UNITS; u++)
			json_object_set_new(o, UNITS[u], budget_unit(&v->budgets[i].unit[u]));
		json_object_set_new(o, "keys", number(v->budgets[i].keys));
		json_object_set_new(o, "overflow_share", amount(v->budgets[i].overflow_share));
		json_array_append_new(list, o);
	}
	return list;
}

json_t *page_sampling(const struct page *p)
{
	const struct judge_view *v = p->judge;
	if (v == NULL)
		return json_null();
	json_t *triggers = json_object(), *o = json_object();
	json_object_set_new(o, "traces", number(v->report.traces));
	json_object_set_new(o, "spans", number(v->report.spans));
	json_object_set_new(o, "bytes", number(v->report.bytes));
	json_object_set_new(o, "memory_bytes", number(v->report.memory_bytes));
	json_object_set_new(o, "used_bytes", number(v->report.used_bytes));
	json_object_set_new(o, "memory_limit_bytes", number(v->policy->memory_bytes));
	json_object_set_new(o, "oldest_unix_ms", number(v->report.oldest_unix_ms));
	json_object_set_new(o, "stressed", json_boolean(v->report.stressed));
	json_object_set_new(o, "kept_records", number(v->report.kept_records));
	json_object_set_new(o, "dropped_records", number(v->report.dropped_records));
	for (int t = 0; t < TRIGGERS; t++)
		json_object_set_new(triggers, TRIGGER_NAMES[t], number(v->report.triggers[t]));
	json_object_set_new(o, "triggers", triggers);
	json_object_set_new(o, "rules", rules(v));
	json_object_set_new(o, "budgets", budgets(v));
	return o;
}

/* ---- /explain ---- */

static json_t *hex(const uint8_t *bytes, size_t n)
{
	char text[64];
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_string(text);
}

static void set_56(json_t *o, const char *key, uint64_t v)
{
	char text[24];
	snprintf(text, sizeof(text), "%014" PRIx64, v);
	json_object_set_new(o, key, json_string(text));
}

static void set_keys(json_t *o, const struct decision *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof(d->keys) / sizeof(d->keys[0]); i++)
		if (d->keys[i] != 0) {
			char text[24];
			snprintf(text, sizeof(text), "%016" PRIx64, d->keys[i]);
			json_array_append_new(list, json_string(text));
		}
	json_object_set_new(o, "keys", list);
}

static void set_met_by(json_t *o, const struct met_by *m)
{
	static const uint8_t none[8];
	json_t *list = json_array();
	for (int i = 0; i < MET_SPANS; i++)
		if (memcmp(m->span_ids[i], none, sizeof(none)) != 0)
			json_array_append_new(list, hex(m->span_ids[i], sizeof(m->span_ids[i])));
	json_object_set_new(o, "met_by", list);
	json_object_set_new(o, "met_by_spans", number(m->spans));
}

static void set_details(json_t *o, const struct explanation *e)
{
	const struct decision *d = &e->decision;
	json_object_set_new(o, "trigger", json_string(TRIGGER_NAMES[d->trigger % TRIGGERS]));
	json_object_set_new(o, "first_unix_ms", number(d->first_unix_ms));
	json_object_set_new(o, "waited_ms", number(d->waited_ms));
	json_object_set_new(o, "spans", number(d->spans));
	json_object_set_new(o, "errors", number(d->errors));
	json_object_set_new(o, "bytes", number(d->bytes));
	json_object_set_new(o, "duration_ms", json_real((double)d->duration_ns / 1e6));
	json_object_set_new(o, "has_root", json_boolean(d->has_root));
	set_56(o, "randomness", d->randomness);
	set_56(o, "threshold", d->threshold);
	json_object_set_new(o, "probability", json_real(threshold_share(d->threshold)));
	set_56(o, "arrived_threshold", d->arrived);
	json_object_set_new(o, "th_erased", json_boolean(d->erase_th));
	set_keys(o, d);
	set_met_by(o, &e->met);
}

static json_t *budgets_of(const struct explanation *e)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < e->n_budgets; i++) {
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(e->budgets[i].name));
		json_object_set_new(o, "goal", amount(e->budgets[i].goal));
		json_object_set_new(o, "offered", amount(e->budgets[i].offered));
		json_object_set_new(o, "level", amount(e->budgets[i].level));
		json_array_append_new(list, o);
	}
	return list;
}

int page_explanation(const struct explanation *e, struct buf *out)
{
	static const char *const STATES[] = {"unknown", "pending", "decided"};
	char generation[24];
	json_t *o = json_object();
	json_object_set_new(o, "trace_id", hex(e->trace_id, sizeof(e->trace_id)));
	json_object_set_new(o, "state", json_string(STATES[e->state]));
	if (e->state != SAMPLER_UNKNOWN) {
		json_object_set_new(o, "verdict",
				    json_string(VERDICT_NAMES[e->decision.verdict % VERDICTS]));
		json_object_set_new(o, "rule", json_string(e->rule));
		json_object_set_new(o, "would_rule",
				    *e->would != '\0' ? json_string(e->would) : json_null());
		snprintf(generation, sizeof(generation), "%016" PRIx64, e->generation);
		json_object_set_new(o, "policy", json_string(generation));
		json_object_set_new(o, "details",
				    json_boolean(e->state == SAMPLER_PENDING || e->has_details));
	}
	if (e->state == SAMPLER_PENDING)
		json_object_set_new(o, "due_unix_ms", number(e->due_unix_ms));
	if (e->has_details)
		json_object_set_new(o, "decided_unix_ms", number(e->decided_unix_ms));
	if (e->state == SAMPLER_PENDING || e->has_details)
		set_details(o, e);
	json_object_set_new(o, "budgets_now", budgets_of(e));
	char *text = json_dumps(o, JSON_INDENT(2));
	int rc = text != NULL ? buf_printf(out, "%s\n", text) : BUF_FULL;
	free(text);
	json_decref(o);
	return rc;
}

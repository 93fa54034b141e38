/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/plan_text.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "relay/words.h"

static const double DAY_S = 86400;

/* ---- arithmetic ---- */

/* What is kept of one rule, or of all, in one configuration. */
struct bill {
	struct volume day, month;
	double share; /* of what is offered, in spans; below 0: nothing is */
	double money; /* a month; below 0: no price */
};

static struct volume times(const struct volume *v, double factor)
{
	return (struct volume){v->traces * factor, v->spans * factor, v->bytes * factor};
}

static struct bill bill_of(const struct volume *offered, const struct volume *kept,
			   double month_part, double covered_s, const struct plan_prices *prices)
{
	double days = fmax(covered_s, 0.1) / DAY_S;
	struct bill b = {.day = times(kept, 1 / days), .share = -1, .money = -1};
	b.month = times(&b.day, PLAN_MONTH_S / DAY_S * month_part);
	if (offered->spans > 0)
		b.share = kept->spans / offered->spans;
	if (prices->million_spans < 0 && prices->gb < 0)
		return b;
	b.money = fmax(prices->million_spans, 0) * b.month.spans / 1e6 +
		  fmax(prices->gb, 0) * b.month.bytes / 1e9;
	return b;
}

/* ---- text ---- */

static const char *number(double v, char out[32])
{
	static const char *const UNITS[] = {"", "k", "M", "G", "T", "P"};
	double size = fabs(v);
	int unit = 0;
	while (size >= 10000 && unit < 5) {
		size /= 1000;
		v /= 1000;
		unit++;
	}
	snprintf(out, 32, "%.*f%s",
		 unit == 0 || size >= 1000 ? 0
		 : size >= 100             ? 1
					   : 2,
		 v, UNITS[unit]);
	return out;
}

static const char *gb(double bytes, char out[32])
{
	double v = bytes / 1e9;
	snprintf(out, 32, "%.*f", fabs(v) >= 100 ? 0 : fabs(v) >= 1 ? 1 : 3, v);
	return out;
}

static const char *percent(double share, char out[32])
{
	if (share < 0)
		return "-";
	snprintf(out, 32, "%.*f%%", share < 0.01 && share > 0 ? 3 : 1, share * 100);
	return out;
}

static const char *when(uint64_t unix_ms, char out[32])
{
	time_t t = (time_t)(unix_ms / 1000);
	struct tm tm;
	if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, 32, "?");
	return out;
}

static void print_head(const struct plan_report *r)
{
	char a[32], b[32], c[32], n[2][32];
	printf("%s to %s UTC, %s of traffic\n", when(r->begin_ms, a), when(r->end_ms, b),
	       words_duration((uint64_t)(r->covered_s + 0.5), c));
	printf("recorded: %s traces, %s spans, %s of all; late spans: %s\n\n",
	       words_grouped(r->traces, n[0]), words_grouped(r->spans, n[1]), percent(r->share, a),
	       percent(r->late_share, b));
}

static void print_bill(const char *name, const char *what, const struct volume *offered,
		       const struct bill *b, double covered_s)
{
	char n[7][32];
	double days = fmax(covered_s, 0.1) / DAY_S;
	printf("%-20.40s %-8s %10s %10s %8s %10s %9s %10s %9s", name, what,
	       number(offered->traces / days, n[0]), number(offered->spans / days, n[1]),
	       percent(b->share, n[2]), number(b->day.spans, n[3]), gb(b->day.bytes, n[4]),
	       number(b->month.spans, n[5]), gb(b->month.bytes, n[6]));
	if (b->money >= 0)
		printf(" %12.2f", b->money);
	printf("\n");
}

static void print_change(const struct bill *now, const struct bill *planned)
{
	char n[4][32];
	printf("%-20s %-8s %10s %10s %8s %10s %9s %10s %9s", "", "change", "", "", "",
	       number(planned->day.spans - now->day.spans, n[0]),
	       gb(planned->day.bytes - now->day.bytes, n[1]),
	       number(planned->month.spans - now->month.spans, n[2]),
	       gb(planned->month.bytes - now->month.bytes, n[3]));
	if (now->money >= 0)
		printf(" %12.2f", planned->money - now->money);
	printf("\n");
}

static void print_rules(const struct plan_report *r, const struct plan_prices *prices)
{
	bool money = prices->million_spans >= 0 || prices->gb >= 0;
	printf("%-20s %-8s %10s %10s %8s %10s %9s %10s %9s\n", "", "", "TRACES/DAY", "SPANS/DAY",
	       "", "SPANS/DAY", "GB/DAY", "SPANS/MON", "GB/MON");
	printf("%-20s %-8s %10s %10s %8s %10s %9s %10s %9s%s\n", "RULE", "", "OFFERED", "OFFERED",
	       "KEPT", "KEPT", "KEPT", "KEPT", "KEPT", money ? "    MONEY/MON" : "");
	for (size_t i = 0; i < r->n_rules; i++) {
		const struct plan_rule *rule = &r->rules[i];
		struct bill now =
		    bill_of(&rule->offered_now, &rule->kept_now, 1, r->covered_s, prices);
		struct bill then =
		    bill_of(&rule->offered, &rule->kept, rule->month, r->covered_s, prices);
		if (rule->is_old)
			print_bill(rule->name, "now", &rule->offered_now, &now, r->covered_s);
		if (rule->is_new)
			print_bill(rule->is_old ? "" : rule->name, "planned", &rule->offered, &then,
				   r->covered_s);
	}
	struct bill now = bill_of(&r->offered, &r->kept_now, 1, r->covered_s, prices);
	struct bill then = bill_of(&r->offered, &r->kept, r->month, r->covered_s, prices);
	print_bill("ALL", "now", &r->offered, &now, r->covered_s);
	print_bill("", "planned", &r->offered, &then, r->covered_s);
	print_change(&now, &then);
}

static void print_month(const struct plan_budget *b, int u)
{
	static const char *const WHAT[] = {"paced to it", "nothing leaves beyond it",
					   "only counted"};
	double month = b->unit[u].kept * PLAN_MONTH_S, limit = b->unit[u].month;
	char n[2][32];
	if (limit <= 0)
		return;
	if (u == BUDGET_SPANS)
		printf("  month: %s of %s spans", number(month, n[0]), number(limit, n[1]));
	else
		printf("  month: %s of %s GB", gb(month, n[0]), gb(limit, n[1]));
	if (month > limit && b->month_policy != BUDGET_PACE)
		printf(", reached after %.1f days", limit / b->unit[u].kept / DAY_S);
	printf(" (%s)", WHAT[b->month_policy]);
}

static void print_budget(const struct plan_budget *b, int u)
{
	char n[4][32];
	double bytes = b->unit[BUDGET_BYTES].goal + b->unit[BUDGET_BYTES].month;
	if (u == BUDGET_BYTES && bytes <= 0)
		return;
	printf("%-28.64s %-8s %10s %10s %10s %10s", u == 0 ? b->name : "",
	       u == BUDGET_SPANS ? "spans/s" : "bytes/s",
	       b->unit[u].goal > 0 ? number(b->unit[u].goal, n[0])
	       : b->has_keys       ? "by key"
				   : "-",
	       number(b->unit[u].offered, n[1]), number(b->unit[u].kept, n[2]),
	       number(fmax(0, b->unit[u].offered - b->unit[u].kept), n[3]));
	print_month(b, u);
	printf("\n");
}

static void print_moves(const struct plan_report *r)
{
	double days = fmax(r->covered_s, 0.1) / DAY_S;
	bool any = false;
	for (size_t i = 0; i < r->n_moves; i++) {
		const struct plan_move *m = &r->moves[i];
		char way[160], n[2][32];
		double least = 0.001 * r->offered.spans;
		if (fmax(m->newly_kept.spans, m->newly_dropped.spans) < least)
			continue;
		if (!any)
			printf("\n%-44s %14s %14s\n", "FROM -> TO, SPANS/DAY", "NEWLY KEPT",
			       "NEWLY DROPPED");
		any = true;
		snprintf(way, sizeof(way), "%s -> %s", m->from, m->to);
		printf("%-44s %14s %14s\n", way, number(m->newly_kept.spans / days, n[0]),
		       number(m->newly_dropped.spans / days, n[1]));
	}
	if (!any)
		printf("\nNothing of note is newly kept or dropped.\n");
}

int plan_print_text(const struct plan_report *r, const struct plan_prices *prices)
{
	print_head(r);
	print_rules(r, prices);
	if (r->n_budgets != 0)
		printf("\n%-28s %-8s %10s %10s %10s %10s\n", "BUDGET", "", "GOAL", "OFFERED",
		       "KEPT", "CUT");
	for (size_t i = 0; i < r->n_budgets; i++)
		for (int u = 0; u < BUDGET_UNITS; u++)
			print_budget(&r->budgets[i], u);
	print_moves(r);
	return EX_OK;
}

/* ---- JSON ---- */

static json_t *json_volume(const struct volume *v)
{
	return json_pack("{s:f,s:f,s:f}", "traces", v->traces, "spans", v->spans, "bytes",
			 v->bytes);
}

static json_t *json_bill(const struct volume *offered, const struct volume *kept, double part,
			 const struct plan_report *r, const struct plan_prices *prices)
{
	struct bill b = bill_of(offered, kept, part, r->covered_s, prices);
	json_t *o = json_pack("{s:o,s:o,s:o,s:o}", "offered", json_volume(offered), "kept",
			      json_volume(kept), "kept_per_day", json_volume(&b.day),
			      "kept_per_month", json_volume(&b.month));
	if (b.share >= 0)
		json_object_set_new(o, "kept_share", json_real(b.share));
	if (b.money >= 0)
		json_object_set_new(o, "money_per_month", json_real(b.money));
	return o;
}

static json_t *json_rules(const struct plan_report *r, const struct plan_prices *prices)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->n_rules; i++) {
		const struct plan_rule *rule = &r->rules[i];
		json_t *o = json_pack("{s:s}", "name", rule->name);
		if (rule->is_old)
			json_object_set_new(
			    o, "now", json_bill(&rule->offered_now, &rule->kept_now, 1, r, prices));
		if (rule->is_new)
			json_object_set_new(
			    o, "planned",
			    json_bill(&rule->offered, &rule->kept, rule->month, r, prices));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *json_unit(const struct plan_budget *b, int u)
{
	json_t *o =
	    json_pack("{s:f,s:f,s:f}", "offered_per_second", b->unit[u].offered, "kept_per_second",
		      b->unit[u].kept, "kept_per_month", b->unit[u].kept * PLAN_MONTH_S);
	if (b->unit[u].goal > 0)
		json_object_set_new(o, "goal_per_second", json_real(b->unit[u].goal));
	if (b->unit[u].month > 0)
		json_object_set_new(o, "limit_per_month", json_real(b->unit[u].month));
	return o;
}

static json_t *json_budgets(const struct plan_report *r)
{
	static const char *const POLICY[] = {"pace", "cap", "report"};
	json_t *list = json_array();
	for (size_t i = 0; i < r->n_budgets; i++) {
		const struct plan_budget *b = &r->budgets[i];
		json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:o}", "name", b->name,
						      "month_policy", POLICY[b->month_policy],
						      "spans", json_unit(b, BUDGET_SPANS), "bytes",
						      json_unit(b, BUDGET_BYTES)));
	}
	return list;
}

static json_t *json_moves(const struct plan_report *r)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->n_moves; i++) {
		const struct plan_move *m = &r->moves[i];
		json_array_append_new(
		    list, json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "from", m->from, "to", m->to,
				    "offered", json_volume(&m->offered), "now",
				    json_volume(&m->now), "planned", json_volume(&m->planned),
				    "newly_kept", json_volume(&m->newly_kept), "newly_dropped",
				    json_volume(&m->newly_dropped)));
	}
	return list;
}

int plan_print_json(const struct plan_report *r, const struct plan_prices *prices)
{
	json_t *o = json_pack(
	    "{s:I,s:I,s:f,s:I,s:I,s:f,s:f,s:o,s:o,s:o,s:o,s:o}", "begin_unix_ms",
	    (json_int_t)r->begin_ms, "end_unix_ms", (json_int_t)r->end_ms, "covered_seconds",
	    r->covered_s, "recorded_traces", (json_int_t)r->traces, "recorded_spans",
	    (json_int_t)r->spans, "recorded_share", r->share, "late_share", r->late_share, "now",
	    json_bill(&r->offered, &r->kept_now, 1, r, prices), "planned",
	    json_bill(&r->offered, &r->kept, r->month, r, prices), "rules", json_rules(r, prices),
	    "budgets", json_budgets(r), "moves", json_moves(r));
	int rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) : -1;
	json_decref(o);
	printf("\n");
	return rc == 0 ? EX_OK : EX_OSERR;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/status_sampling.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "relay/words.h"

static void print_dropped(const json_t *judged)
{
	const char *verdict, *comma = "dropped ";
	json_t *count;
	char n[32];
	json_object_foreach((json_t *)(uintptr_t)judged, verdict, count)
	{
		if (strcmp(verdict, "kept") == 0 || json_integer_value(count) == 0)
			continue;
		printf("%s%s %s", comma, verdict,
		       words_grouped((uint64_t)json_integer_value(count), n));
		comma = ", ";
	}
	printf("\n");
}

static void print_undecided(const json_t *sampling)
{
	char a[32], b[32], c[32], d[32];
	uint64_t oldest_ms = words_number(sampling, "oldest_unix_ms"), now_ms = clock_wall_ms();
	printf("undecided %s traces, %s spans, %s of %s%s%s%s\n",
	       words_grouped(words_number(sampling, "traces"), a),
	       words_grouped(words_number(sampling, "spans"), b),
	       words_size(words_number(sampling, "used_bytes"), c),
	       words_size(words_number(sampling, "memory_limit_bytes"), d),
	       oldest_ms != 0 ? ", the oldest for " : "",
	       oldest_ms != 0 && oldest_ms < now_ms
		   ? words_duration((now_ms - oldest_ms) / 1000, (char[32]){0})
		   : "",
	       json_is_true(json_object_get(sampling, "stressed")) ? ", UNDER STRESS" : "");
}

static void print_rules(const json_t *rules)
{
	printf("\n%-24s %14s %14s %16s %16s\n", "RULE", "TRACES KEPT", "DROPPED", "SPANS KEPT",
	       "DROPPED");
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *r = json_array_get(rules, i);
		char name[128], n[4][32];
		printf("%-24s %14s %14s %16s %16s%s\n", words_text(r, "name", name),
		       words_grouped(words_number(r, "kept"), n[0]),
		       words_grouped(words_number(r, "dropped"), n[1]),
		       words_grouped(words_number(r, "kept_spans"), n[2]),
		       words_grouped(words_number(r, "dropped_spans"), n[3]),
		       json_is_true(json_object_get(r, "dry_run")) ? "  dry run: would be" : "");
	}
}

static const char *amount(const json_t *o, const char *key, char out[32])
{
	const json_t *v = json_object_get(o, key);
	if (json_is_real(v))
		snprintf(out, 32, "%.*f", json_real_value(v) < 100 ? 1 : 0, json_real_value(v));
	else
		snprintf(out, 32, "-");
	return out;
}

static void print_budgets(const json_t *budgets)
{
	static const char *const UNITS[] = {"spans", "bytes"};
	printf("\n%-24s %-6s %12s %12s %12s %16s %16s\n", "BUDGET", "", "GOAL/S", "OFFERED/S",
	       "LATE/S", "THIS MONTH", "ITS END");
	for (size_t i = 0; i < json_array_size(budgets); i++)
		for (int u = 0; u < 2; u++) {
			const json_t *b = json_array_get(budgets, i);
			const json_t *unit = json_object_get(b, UNITS[u]);
			char name[128], n[5][32];
			if (u == 1 && !json_is_real(json_object_get(unit, "goal")))
				continue; /* it has no goal in bytes */
			printf("%-24s %-6s %12s %12s %12s %16s %16s\n",
			       u == 0 ? words_text(b, "name", name) : "", UNITS[u],
			       amount(unit, "goal", n[0]), amount(unit, "offered", n[1]),
			       amount(unit, "late", n[2]), amount(unit, "month_used", n[3]),
			       amount(unit, "month_projected", n[4]));
		}
}

void status_print_judged(const json_t *status)
{
	const json_t *ledger = json_object_get(status, "ledger");
	const json_t *judged = json_object_get(ledger, "judged");
	const json_t *sampling = json_object_get(status, "sampling");
	char a[32], b[32];
	if (!json_is_object(sampling))
		return;
	printf("judged    pending %s, kept %s, ", words_grouped(words_number(ledger, "pending"), a),
	       words_grouped(words_number(judged, "kept"), b));
	print_dropped(judged);
	print_undecided(sampling);
}

void status_print_sampling(const json_t *status)
{
	const json_t *sampling = json_object_get(status, "sampling");
	if (!json_is_object(sampling))
		return;
	print_rules(json_object_get(sampling, "rules"));
	if (json_array_size(json_object_get(sampling, "budgets")) != 0)
		print_budgets(json_object_get(sampling, "budgets"));
}

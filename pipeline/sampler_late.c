/* SPDX-License-Identifier: Apache-2.0
 * Spans that come after their trace was kept: they follow it, and are charged like it. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/sampler_state.h"

static int by_record(const void *a, const void *b)
{
	const struct late *x = a, *y = b;
	if (x->record != y->record)
		return x->record < y->record ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* Those of one trace from `from` on end here. */
static size_t group_end(const struct sampler *s, size_t from)
{
	size_t end = from;
	while (end < s->n_late && s->late[end].record == s->late[from].record)
		end++;
	return end;
}

int late_reserve(struct sampler *s)
{
	size_t groups = 0;
	if (s->n_late != 0)
		qsort(s->late, s->n_late, sizeof(*s->late), by_record);
	for (size_t i = 0; i < s->n_late; i = group_end(s, i))
		groups++;
	if (sampler_room(&s->picks, &s->room_picks, s->n_late, sizeof(*s->picks)) &&
	    sampler_room(&s->late_decisions, &s->room_late_decisions, groups,
			 sizeof(*s->late_decisions)))
		return 0;
	return fail(-ENOMEM, "sampler: no memory for late spans");
}

/* Whether the budget lets them pass. The rule may be gone since: then there is nothing to pay. */
static bool may_pass(struct sampler *s, const struct decision *d, double spans, double bytes)
{
	const struct policy *p = s->policy;
	if (s->budget == NULL || d->rule >= p->n_rules || p->rules[d->rule].node == BUDGET_ROOT ||
	    d->verdict != VERDICT_KEPT)
		return true;
	struct budget_path path = {.node = p->rules[d->rule].node};
	unsigned depth = 0, n = 0;
	for (uint16_t at = path.node; at != BUDGET_ROOT && depth < BUDGET_DEPTH;
	     at = p->nodes[at].parent, depth++)
		if (p->keys[at].n != 0 && n < 4)
			path.keys[depth] = d->keys[n++];
	return budget_late(s->budget, &path, spans, bytes) == 0 || p->dry_run;
}

static void settle_group(struct sampler *s, const struct late *list, size_t n)
{
	const struct decision *d = &kept_at(&s->records, list->record)->decision;
	uint64_t bytes = 0;
	for (size_t i = 0; i < n; i++)
		bytes += list[i].bytes;
	bool passes = may_pass(s, d, (double)n, (double)bytes);
	enum verdict verdict = passes ? VERDICT_KEPT : VERDICT_LATE_OVER;
	s->spans_done[verdict] += n;
	s->bytes_done[verdict] += bytes;
	if (!passes)
		return;
	if (d->rule < s->policy->n_rules)
		s->report.rules[d->rule].kept_spans += n;
	uint32_t place = (uint32_t)s->n_late_decisions;
	s->late_decisions[place] = *d;
	s->late_decisions[place].is_late_only = 1;
	s->n_late_decisions++;
	for (size_t i = 0; i < n; i++)
		s->picks[s->n_picks++] = (struct pick){.block_id = list[i].block_id,
						       .number = list[i].number,
						       .decision = place | PICK_LATE};
}

void late_settle(struct sampler *s)
{
	for (size_t i = 0, end; i < s->n_late; i = end) {
		end = group_end(s, i);
		settle_group(s, &s->late[i], end - i);
	}
	s->n_late = 0;
}

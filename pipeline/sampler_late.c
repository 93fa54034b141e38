/* SPDX-License-Identifier: Apache-2.0
 * Spans that come after their trace was kept: they follow it, and are charged like it. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/sampler_state.h"

/* In the order in which the first of each came. */
static bool group(struct sampler *s)
{
	s->n_groups = 0;
	for (size_t i = 0; i < s->n_late; i++)
		kept_at(&s->records, s->late[i].record)->group = 0;
	for (size_t i = 0; i < s->n_late; i++) {
		struct kept *k = kept_at(&s->records, s->late[i].record);
		if (k->group == 0) {
			if (!sampler_room(&s->groups, &s->room_groups, s->n_groups + 1,
					  sizeof(*s->groups)))
				return false;
			s->groups[s->n_groups++] = (struct late_group){.record = s->late[i].record};
			k->group = (uint32_t)s->n_groups;
		}
		s->groups[k->group - 1].spans++;
		s->groups[k->group - 1].bytes += s->late[i].bytes;
	}
	return true;
}

int late_reserve(struct sampler *s)
{
	if (group(s) && picks_room(s, s->n_late) &&
	    sampler_room(&s->late_decisions, &s->room_late_decisions, s->n_groups,
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

static void settle_group(struct sampler *s, struct late_group *g)
{
	const struct decision *d = &kept_at(&s->records, g->record)->decision;
	bool passes = may_pass(s, d, g->spans, (double)g->bytes);
	enum verdict verdict = passes ? VERDICT_KEPT : VERDICT_LATE_OVER;
	s->spans_done[verdict] += g->spans;
	s->bytes_done[verdict] += g->bytes;
	g->place = UINT32_MAX;
	if (!passes)
		return;
	if (d->rule < s->policy->n_rules)
		s->report.rules[d->rule].kept_spans += g->spans;
	g->place = (uint32_t)s->n_late_decisions++;
	s->late_decisions[g->place] = *d;
	s->late_decisions[g->place].is_late_only = 1;
}

void late_settle(struct sampler *s)
{
	for (size_t i = 0; i < s->n_groups; i++)
		settle_group(s, &s->groups[i]);
	for (size_t i = 0; i < s->n_late; i++) {
		const struct late *l = &s->late[i];
		uint32_t g = kept_at(&s->records, l->record)->group - 1;
		if (s->groups[g].place != UINT32_MAX)
			s->picks[s->n_picks++] =
			    (struct pick){.block_id = l->block_id,
					  .at = l->at,
					  .decision = s->groups[g].place | PICK_LATE};
	}
	s->n_late = 0;
}

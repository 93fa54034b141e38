/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/view.h"

#include <stdlib.h>
#include <string.h>

struct judge_view *view_create(const struct policy *p, const struct sampler *s,
			       const struct budget *b)
{
	size_t rules = p->n_rules * sizeof(struct sampler_rule_report);
	size_t budgets = p->n_nodes * sizeof(struct budget_report);
	struct judge_view *v = calloc(1, sizeof(*v) + budgets + rules);
	if (v == NULL)
		return NULL;
	v->policy = p;
	v->n_budgets = b != NULL ? p->n_nodes : 0;
	v->budgets = (struct budget_report *)(v + 1);
	struct sampler_rule_report *copy = (struct sampler_rule_report *)(v->budgets + p->n_nodes);
	sampler_report(s, &v->report);
	if (v->report.rules != NULL)
		memcpy(copy, v->report.rules, rules);
	v->report.rules = copy;
	for (unsigned i = 0; i < v->n_budgets; i++)
		budget_report(b, i, &v->budgets[i]);
	return v;
}

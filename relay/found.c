/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/found.h"

#include <stdlib.h>
#include <string.h>

static struct found_rule *find(const struct found *t, const char *id)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->rules[i].id, id) == 0)
			return &t->rules[i];
	return NULL;
}

static struct found_rule *find_or_make(struct found *t, const char *id)
{
	struct found_rule *rule = find(t, id);
	if (rule != NULL)
		return rule;
	char *copy = strdup(id);
	struct found_rule *more = realloc(t->rules, (t->n + 1) * sizeof(*more));
	if (more != NULL)
		t->rules = more;
	if (copy == NULL || more == NULL) {
		free(copy);
		return NULL;
	}
	more[t->n] = (struct found_rule){.id = copy};
	return &more[t->n++];
}

void found_add(struct found *t, const struct redactor *r, const struct ruleset *set)
{
	for (uint32_t i = 0; r != NULL && set != NULL && i < ruleset_numbers(set); i++)
		for (unsigned p = 0; p < POSITIONS; p++) {
			uint64_t n = redactor_count(r, i, (enum position)p);
			struct found_rule *rule =
			    n != 0 ? find_or_make(t, ruleset_id(set, i)) : NULL;
			if (rule != NULL)
				rule->counts[p] += n;
		}
}

uint64_t found_of(const struct found *t, const char *id, enum position p)
{
	const struct found_rule *rule = find(t, id);
	return rule != NULL ? rule->counts[p] : 0;
}

void found_finish(struct found *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->rules[i].id);
	free(t->rules);
	*t = (struct found){.n = 0};
}

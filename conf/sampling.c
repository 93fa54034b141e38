/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/sampling.h"

#include "base/distance.h"
#include "conf/section.h"

/* ---- texts that are pointed into ---- */

/* Columns count characters; one that a quoted text cannot hold as it is takes two in the file. */
static uint32_t width_of(char c, char quote)
{
	bool follows = ((unsigned char)c & 0xc0) == 0x80;
	bool coded = quote == QUOTE_SINGLE   ? c == '\''
		     : quote == QUOTE_DOUBLE ? c == '"' || c == '\\' || (unsigned char)c < ' '
					     : false;
	return follows ? 0 : coded ? 2 : 1;
}

struct conf_place conf_text_place(const struct conf_text *t, size_t offset)
{
	struct conf_place at = t->at;
	if (t->quote == QUOTE_OTHER || t->text == NULL)
		return at;
	at.column += t->quote != QUOTE_NONE;
	for (size_t i = 0; i < offset && t->text[i] != '\0'; i++)
		at.column += width_of(t->text[i], t->quote);
	return at;
}

/* ---- rules ---- */

static struct place place_of(const struct node *item, const char *key)
{
	const struct node *n = node_child(item, key);
	return n != NULL ? n->at : item->at;
}

/* Of a map: exactly one way of keeping. */
static void complete_goal(struct conf_rule *rule, const struct node *keep, struct report *r)
{
	bool rate = node_child(keep, "spans_per_second") != NULL ||
		    node_child(keep, "bytes_per_second") != NULL;
	bool goal = node_child(keep, "goal_percentage") != NULL;
	bool satellite = node_child(keep, "lightstep_satellite") != NULL;
	rule->keep.kind = satellite ? KEEP_SATELLITE : KEEP_GOAL;
	if (rate + goal + satellite == 0)
		report_fault(r, keep->at,
			     "sampling.rules[].keep: wanted spans_per_second, bytes_per_second, "
			     "goal_percentage or lightstep_satellite");
	else if (rate + goal + satellite > 1)
		report_fault(r, keep->at,
			     "sampling.rules[].keep: a rate, goal_percentage and "
			     "lightstep_satellite are different ways: wanted one of them");
	else if (satellite && node_child(keep, "by") != NULL)
		report_fault(r, place_of(keep, "by"),
			     "sampling.rules[].keep.by: lightstep_satellite looks at the trace id "
			     "and knows no keys");
	else if (node_child(keep, "max_keys") != NULL && node_child(keep, "by") == NULL)
		report_fault(r, place_of(keep, "max_keys"),
			     "sampling.rules[].keep.max_keys: wants `by`: there are no keys");
	else if (goal && rule->keep.goal == 0 && !node_child(keep, "goal_percentage")->bad)
		report_fault(r, place_of(keep, "goal_percentage"),
			     "sampling.rules[].keep.goal_percentage: wanted more than 0%%; to drop "
			     "all write keep: 0");
}

static void read_rule(void *into, const struct node *item, struct report *r)
{
	struct conf_rule *rule = into;
	const struct node *keep = node_child(item, "keep");
	rule->at = place_kept(item->at);
	section_read("sampling.rules[]", item, rule, r);
	if (item->kind != NODE_MAP)
		return;
	if (node_child(item, "name") == NULL)
		report_fault(r, item->at, "sampling.rules[].name is missing");
	if (keep == NULL)
		report_fault(r, item->at,
			     "sampling.rules[].keep is missing: wanted a percentage such as 100%% "
			     "or 0, or a goal such as { spans_per_second: 500, by: service.name }");
	else if (keep->kind == NODE_MAP)
		complete_goal(rule, keep, r);
}

static void read_source(void *into, const struct node *item, struct report *r)
{
	struct conf_source *source = into;
	source->at = place_kept(item->at);
	section_read("sampling.sources[]", item, source, r);
	if (item->kind != NODE_MAP)
		return;
	const struct node *sampled = node_child(item, "sampled");
	if (sampled == NULL && node_child(item, "randomness") == NULL)
		report_fault(r, item->at,
			     "sampling.sources[]: wanted what is special about it: sampled or "
			     "randomness");
	else if (sampled != NULL && sampled->kind == NODE_SCALAR && !sampled->empty &&
		 strspn(sampled->text, "0.% ") == strlen(sampled->text))
		report_fault(r, sampled->at,
			     "sampling.sources[].sampled: wanted more than 0%%, which its sender "
			     "kept");
}

/* ---- budgets ---- */

static void check_limits(const struct conf_budget *b, const struct node *item, struct report *r)
{
	bool rates = b->spans_per_second != 0 || b->bytes_per_second != 0;
	bool months = b->spans_per_month != 0 || b->bytes_per_month != 0;
	const struct node *days = node_child(item, "billing_day");
	const struct node *policy = node_child(item, "month_policy");
	if (b->by.n != 0 && months)
		report_fault(r, place_at(b->by.at),
			     "budgets[].by: a month is for all keys together: put its limit into a "
			     "budget without `by`, and make that one the parent");
	else if (b->by.n != 0 && !rates)
		report_fault(r, place_at(b->by.at),
			     "budgets[].by: wants spans_per_second or bytes_per_second, which is "
			     "each key's");
	else if (b->by.n != 0 && b->reserve != 0)
		report_fault(r, place_of(item, "reserve"),
			     "budgets[].reserve: is of a budget as a whole: with `by` put it into "
			     "the parent");
	else if (b->by.n == 0 && node_child(item, "max_keys") != NULL)
		report_fault(r, place_of(item, "max_keys"),
			     "budgets[].max_keys: wants `by`: there are no keys");
	if (!months && (days != NULL || policy != NULL))
		report_warning(r, days != NULL ? days->at : policy->at,
			       "budgets[]: without spans_per_month or bytes_per_month this says "
			       "nothing");
}

static void read_budget(void *into, const struct node *item, struct report *r)
{
	struct conf_budget *b = into;
	b->at = place_kept(item->at);
	b->parent_index = CONF_NO_BUDGET;
	section_read("budgets[]", item, b, r);
	if (item->kind != NODE_MAP)
		return;
	if (node_child(item, "name") == NULL)
		report_fault(r, item->at, "budgets[].name is missing");
	check_limits(b, item, r);
}

/* ---- names ---- */

static const struct node *item_at(const struct node *list, size_t index)
{
	const struct node *n = list->first;
	while (index-- > 0)
		n = n->next;
	return n;
}

/* Appends a, b, c. */
static void print_names(const struct conf *c, struct buf *out)
{
	for (size_t i = 0; i < c->n_budgets; i++)
		buf_printf(out, "%s%s", i != 0 ? ", " : "", c->budgets[i].name);
}

static uint32_t find_budget(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->n_budgets; i++)
		if (strcmp(c->budgets[i].name, name) == 0)
			return (uint32_t)i;
	return CONF_NO_BUDGET;
}

/* The budget of that name, or a fault that says which there are. */
static uint32_t name_budget(const struct conf *c, const char *key, const struct node *value,
			    struct report *r)
{
	uint32_t found = find_budget(c, value->text);
	struct buf names = {.data = NULL};
	unsigned distance = DISTANCE_WORD_MAX;
	const char *nearest = "";
	if (found != CONF_NO_BUDGET)
		return found;
	for (size_t i = 0; i < c->n_budgets; i++) {
		unsigned d = word_distance(value->text, c->budgets[i].name);
		nearest = d < distance ? c->budgets[i].name : nearest;
		distance = d < distance ? d : distance;
	}
	print_names(c, &names);
	const char *written = value->from_env ? "(from the environment)" : value->text;
	if (c->n_budgets == 0)
		report_fault(r, value->at, "%s: \"%.60s\": there are no budgets", key, written);
	else if (distance_is_near(distance, value->text))
		report_fault(r, value->at, "%s: no budget \"%.60s\"; did you mean \"%s\"?", key,
			     written, nearest);
	else
		report_fault(r, value->at, "%s: no budget \"%.60s\"; there are %.*s", key, written,
			     (int)names.len, (const char *)names.data);
	buf_finish(&names);
	return CONF_NO_BUDGET;
}

/* Whether the value can be looked at: there, and of the right kind. */
static bool is_said(const struct node *n)
{
	return n != NULL && !n->bad && n->kind == NODE_SCALAR && !n->empty && *n->text != '\0';
}

static void check_budget_names(struct conf *c, const struct node *list, struct report *r)
{
	for (size_t i = 0; i < c->n_budgets; i++) {
		const struct node *item = item_at(list, i);
		struct conf_budget *b = &c->budgets[i];
		const struct node *parent = node_child(item, "parent");
		if (*b->name != '\0' && find_budget(c, b->name) < i)
			report_fault(r, place_of(item, "name"),
				     "budgets[].name: \"%s\" is taken by another budget", b->name);
		if (is_said(parent))
			b->parent_index = name_budget(c, "budgets[].parent", parent, r);
	}
}

/* The number of its ancestors; more than there are budgets: a circle. */
static size_t depth_of(const struct conf *c, uint32_t budget)
{
	size_t depth = 0;
	while (depth <= c->n_budgets && c->budgets[budget].parent_index != CONF_NO_BUDGET) {
		budget = c->budgets[budget].parent_index;
		depth++;
	}
	return depth;
}

static bool is_parent(const struct conf *c, size_t budget)
{
	for (size_t i = 0; i < c->n_budgets; i++)
		if (c->budgets[i].parent_index == budget)
			return true;
	return false;
}

/* The last budget, where each but the first is the child of another: total -> team -> ... */
static uint32_t end_of_chain(const struct conf *c)
{
	for (uint32_t i = 0; i < c->n_budgets; i++)
		if (depth_of(c, i) == c->n_budgets - 1)
			return i;
	return CONF_NO_BUDGET;
}

static void check_budgets(struct conf *c, const struct node *list, struct report *r)
{
	check_budget_names(c, list, r);
	for (uint32_t i = 0; i < c->n_budgets; i++) {
		const struct conf_budget *b = &c->budgets[i];
		const struct node *item = item_at(list, i);
		if (item->kind != NODE_MAP)
			continue;
		if (depth_of(c, i) > c->n_budgets)
			report_fault(r, place_of(item, "parent"),
				     "budgets[].parent: \"%s\" is its own ancestor", b->name);
		else if (b->spans_per_second + b->bytes_per_second + b->spans_per_month +
				 b->bytes_per_month ==
			     0 &&
			 !is_parent(c, i))
			report_fault(r, place_at(b->at),
				     "budgets[]: wanted a limit: spans_per_second, "
				     "bytes_per_second, spans_per_month or bytes_per_month");
	}
}

/* ---- which budget a rule belongs to, and whether the rules are all of them ---- */

static void place_rule(const struct conf *c, struct conf_rule *rule, const struct node *item,
		       struct report *r)
{
	const struct node *budget = node_child(item, "budget");
	bool drops = rule->keep.kind == KEEP_SHARE && rule->keep.share == 0;
	struct buf names = {.data = NULL};
	if (budget != NULL) {
		if (is_said(budget))
			rule->budget_index = name_budget(c, "sampling.rules[].budget", budget, r);
		return;
	}
	if (drops || c->n_budgets == 0)
		return;
	rule->budget_index = end_of_chain(c);
	if (rule->budget_index != CONF_NO_BUDGET)
		return;
	print_names(c, &names);
	report_fault(r, place_at(rule->at),
		     "sampling.rules[].budget is missing: the budgets are not one chain: wanted "
		     "one of %.*s",
		     (int)names.len, (const char *)names.data);
	buf_finish(&names);
}

static bool takes_all(const struct conf_rule *rule)
{
	return rule->when.text == NULL && !rule->dry_run && rule->rollout == 1;
}

/* Only sound budgets are worth a word about which one pays. */
static void check_rules(struct conf *c, const struct node *list, bool sound, struct report *r)
{
	struct conf_sampling *s = &c->sampling;
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct node *item = item_at(list, i);
		s->rules[i].budget_index = CONF_NO_BUDGET;
		if (sound)
			place_rule(c, &s->rules[i], item, r);
		for (size_t k = 0; k < i; k++)
			if (*s->rules[i].name != '\0' &&
			    strcmp(s->rules[k].name, s->rules[i].name) == 0)
				report_fault(
				    r, place_of(item, "name"),
				    "sampling.rules[].name: \"%s\" is taken by another rule",
				    s->rules[i].name);
	}
	if (s->n_rules != 0 && !takes_all(&s->rules[s->n_rules - 1]))
		report_fault(r, place_at(s->rules[s->n_rules - 1].at),
			     "sampling.rules: the last rule has to take every trace that is left: "
			     "add one such as - { name: rest, keep: 100%% }, without when, dry_run "
			     "and rollout_percent");
}

/* Without rules everything is kept that a budget allows: which, must be plain. */
static void check_no_rules(const struct conf *c, struct report *r)
{
	struct buf names = {.data = NULL};
	if (c->sampling.n_rules != 0 || c->n_budgets == 0 || end_of_chain(c) != CONF_NO_BUDGET)
		return;
	print_names(c, &names);
	report_fault(r, place_at(c->budgets[0].at),
		     "budgets: they are not one chain: add rules to sampling.rules, each with its "
		     "budget, one of %.*s",
		     (int)names.len, (const char *)names.data);
	buf_finish(&names);
}

/* Undecided traces may not fill the journal: what comes after them would be refused. */
static void check_pending(struct conf *c, const struct node *sampling, struct report *r)
{
	const struct node *pending = node_child(sampling, "pending");
	if (c->sampling.pending_bytes == 0)
		c->sampling.pending_bytes = c->journal.limit_bytes / 2;
	else if (c->sampling.pending_bytes > c->journal.limit_bytes / 10 * 9 && pending != NULL)
		report_warning(r, pending->at,
			       "sampling.pending: the journal is full before that: wanted at most "
			       "nine tenths of journal.limit");
}

static void check_recent(struct conf_sampling *s, const struct node *sampling, struct report *r)
{
	const struct node *recent = node_child(sampling, "recent");
	if (s->recent_bytes != 0 && s->recent_bytes < CONF_RECENT_LEAST && recent != NULL)
		report_fault(r, recent->at, "sampling.recent: wanted 0 or at least 8MiB");
}

static void check_waits(struct conf_sampling *s, const struct node *sampling, struct report *r)
{
	const struct node *root_wait = node_child(sampling, "root_wait");
	if (s->root_wait_ms > s->wait_ms && root_wait != NULL)
		report_fault(r, root_wait->at, "sampling.root_wait: longer than sampling.wait");
	else if (s->root_wait_ms > s->wait_ms)
		s->root_wait_ms = s->wait_ms;
}

void sampling_read(struct conf *c, const struct node *root, struct report *r)
{
	const struct node *sampling = node_child(root, "sampling");
	const struct node *budgets = node_child(root, "budgets");
	const struct node *rules = node_child(sampling, "rules");
	uint32_t faults = r->faults;
	list_read(c, "budgets", budgets, read_budget, r);
	uint32_t of_budgets = r->faults - faults;
	list_read(c, "sampling.rules", rules, read_rule, r);
	list_read(c, "sampling.sources", node_child(sampling, "sources"), read_source, r);
	if (r->no_memory)
		return;
	check_pending(c, sampling, r);
	check_waits(&c->sampling, sampling, r);
	check_recent(&c->sampling, sampling, r);
	faults = r->faults;
	check_budgets(c, budgets, r);
	of_budgets += r->faults - faults;
	check_rules(c, rules, of_budgets == 0, r);
	if (of_budgets == 0)
		check_no_rules(c, r);
}

void sampling_read_alone(struct conf *c, const struct node *root, struct report *r)
{
	const struct node *sampling = node_child(root, "sampling");
	options_default("", c, r);
	if (r->no_memory)
		return;
	if (sampling != NULL)
		section_read("sampling", sampling, c, r);
	sampling_read(c, root, r);
}

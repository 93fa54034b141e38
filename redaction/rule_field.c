/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/rule_field.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/distance.h"
#include "base/pattern.h"
#include "conf/sampling.h"

enum {
	ID_MAX = 64,
	LITERAL_LEAST = 3, /* bytes of a keyword: shorter ones are in every value */
	LITERAL_MAX = 64
};

void *rule_alloc(struct rule_reader *rd, size_t size)
{
	void *p = arena_alloc(rd->arena, size);
	rd->no_memory = rd->no_memory || p == NULL;
	return p;
}

const char *rule_keep(struct rule_reader *rd, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = rule_alloc(rd, size);
	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

void rule_report_unknown(struct rule_reader *rd, const struct node *n, const char *const *known,
			 size_t n_known, const char *what)
{
	bool key = n->kind != NODE_SCALAR || n->parent->kind == NODE_MAP;
	const char *word = key && strcmp(what, "key") == 0 ? n->key : n->text;
	struct place at = word == n->key ? n->key_at : n->at;
	const char *nearest = "";
	unsigned best = DISTANCE_WORD_MAX;
	struct buf all = {.data = NULL};
	for (size_t i = 0; i < n_known; i++) {
		unsigned d = word_distance(word, known[i]);
		nearest = d < best ? known[i] : nearest;
		best = d < best ? d : best;
		buf_printf(&all, "%s%s", i != 0 ? ", " : "", known[i]);
	}
	if (best < DISTANCE_WORD_MAX && distance_is_near(best, word))
		report_fault(rd->report, at, "unknown %s \"%.64s\"; did you mean \"%s\"?", what,
			     word, nearest);
	else
		report_fault(rd->report, at, "unknown %s \"%.64s\"; known here: %.*s", what, word,
			     (int)all.len, all.data != NULL ? (const char *)all.data : "");
	buf_finish(&all);
}

/* ---- scalars ---- */

/* NULL where there is none, which is reported. */
static const char *scalar(struct rule_reader *rd, const struct node *n, const char *what)
{
	if (n->bad)
		return NULL;
	if (n->kind == NODE_SCALAR && !n->empty && *n->text != '\0')
		return n->text;
	report_fault(rd->report, n->at, "%s: wanted a text", what);
	return NULL;
}

static void read_id(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *text = scalar(rd, n, "id");
	if (text == NULL)
		return;
	if (strspn(text, LETTERS) != strlen(text) || strlen(text) > ID_MAX || *text == '-')
		report_fault(rd->report, n->at,
			     "id: wanted small letters, digits and -, at most %d", ID_MAX);
	rule->id = rule_keep(rd, text);
}

static void read_description(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	const char *text = scalar(rd, n, "description");
	rule->description = text != NULL ? rule_keep(rd, text) : NULL;
}

/* Where a byte of a scalar stands in the file. */
static struct place place_in(const struct node *n, size_t offset)
{
	struct conf_text text = {.text = n->text, .at = place_kept(n->at), .quote = (char)n->quote};
	return place_at(conf_text_place(&text, offset));
}

static bool matches_nothing_at_all(const struct pattern *p)
{
	struct matcher *m = matcher_create();
	bool yes = m != NULL && pattern_match(p, m, slice_str("")) == PATTERN_YES;
	matcher_destroy(m);
	return yes;
}

/* Whether it compiles; *groups is how many it has. */
static bool check_expression(struct rule_reader *rd, const struct node *n, const char *what,
			     uint32_t *groups)
{
	char words[PATTERN_WORDS];
	struct pattern *p;
	size_t offset;
	int rc = pattern_create(&p, slice_str(n->text), &offset, words);
	if (rc < 0)
		rd->no_memory = true;
	else if (rc > 0)
		report_fault(rd->report, place_in(n, offset), "%s: %s", what, words);
	if (rc != 0)
		return false;
	bool empty = matches_nothing_at_all(p);
	if (empty)
		report_fault(rd->report, n->at, "%s: it matches the empty text", what);
	*groups = pattern_groups(p);
	pattern_destroy(p);
	return !empty;
}

static void read_regex(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	const char *text = scalar(rd, n, "regex");
	uint32_t groups;
	rule->regex_at = n->at;
	if (text == NULL || !check_expression(rd, n, "regex", &groups))
		return;
	rule->regex = rule_keep(rd, text);
	const struct node *secret = node_child(n->parent, "secret");
	if (secret != NULL && rule->secret > groups)
		report_fault(rd->report, secret->at, "secret: the expression has %u group%s",
			     groups, groups == 1 ? "" : "s");
}

static void read_secret(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	const char *text = scalar(rd, n, "secret");
	if (text == NULL)
		return;
	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 2)
		report_fault(rd->report, n->at, "secret: wanted the number of a group");
	else
		rule->secret = (uint32_t)strtoul(text, NULL, 10);
	if (node_child(n->parent, "regex") == NULL)
		report_fault(rd->report, n->key_at, "secret: wants a regex, whose group it is");
}

static void read_entropy(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	const char *text = scalar(rd, n, "entropy");
	char *end;
	if (text == NULL)
		return;
	double bits = strtod(text, &end);
	if (*end != '\0' || !isfinite(bits) || bits <= 0 || bits > 8)
		report_fault(rd->report, n->at, "entropy: wanted bits a byte, over 0, at most 8");
	else
		rule->entropy = bits;
}

/* The first of the names stands for "none said". */
static unsigned read_name(struct rule_reader *rd, const struct node *n, const char *what,
			  const char *const *names, unsigned n_names)
{
	const char *text = scalar(rd, n, what);
	if (text == NULL)
		return 0;
	for (unsigned i = 1; i < n_names; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	rule_report_unknown(rd, n, names + 1, n_names - 1, what);
	return 0;
}

static void read_checksum(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	rule->checksum = read_name(rd, n, "checksum", CHECKSUM_NAMES, CHECKSUMS);
}

static void read_class(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	rule->class = read_name(rd, n, "class", CLASS_NAMES, CLASSES);
}

static void read_mask(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	rule->mask = read_name(rd, n, "mask", MASK_NAMES, MASKS);
}

/* ---- lists ---- */

/* How many items a list has; 0 where it is none or too long, which is reported. */
static uint32_t list_length(struct rule_reader *rd, const struct node *list, const char *what)
{
	uint32_t n = 0;
	if (list->bad)
		return 0;
	if (list->kind != NODE_LIST || list->first == NULL) {
		report_fault(rd->report, list->at, "%s: wanted a list: [a, b]", what);
		return 0;
	}
	for (const struct node *i = list->first; i != NULL; i = i->next)
		n++;
	if (n > RULE_MAX_LIST) {
		report_fault(rd->report, list->at, "%s: at most %d", what, RULE_MAX_LIST);
		return 0;
	}
	return n;
}

/* Whether an item may stand in its list; it says why not. */
typedef bool check_item(struct rule_reader *rd, const struct node *item, const char *what);

static void read_list(struct rule_reader *rd, const struct node *list, const char *what,
		      check_item *check, struct texts *out)
{
	uint32_t n = list_length(rd, list, what);
	const char **items = n != 0 ? rule_alloc(rd, n * sizeof(*items)) : NULL;
	if (items == NULL)
		return;
	*out = (struct texts){items, 0};
	for (const struct node *i = list->first; i != NULL && !rd->no_memory; i = i->next) {
		const char *text = scalar(rd, i, what);
		if (text != NULL && check(rd, i, what))
			items[out->n++] = rule_keep(rd, text);
	}
}

static bool check_literal(struct rule_reader *rd, const struct node *item, const char *what)
{
	size_t len = strlen(item->text);
	if (len >= LITERAL_LEAST && len <= LITERAL_MAX)
		return true;
	report_fault(rd->report, item->at, "%s: wanted %d to %d bytes", what, LITERAL_LEAST,
		     LITERAL_MAX);
	return false;
}

static bool check_glob(struct rule_reader *rd, const struct node *item, const char *what)
{
	size_t len = strlen(item->text);
	if (strspn(item->text, "*?") != len)
		return true;
	report_fault(rd->report, item->at, "%s: this is the key of every attribute", what);
	return false;
}

static bool check_allow(struct rule_reader *rd, const struct node *item, const char *what)
{
	uint32_t groups;
	return check_expression(rd, item, what, &groups);
}

void rule_read_expressions(struct rule_reader *rd, const struct node *list, struct texts *out)
{
	read_list(rd, list, "allow", check_allow, out);
}

static void read_keywords(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	read_list(rd, n, "keywords", check_literal, &rule->keywords);
}

static void read_keys(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	read_list(rd, n, "keys", check_glob, &rule->keys);
}

static void read_allow(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	rule_read_expressions(rd, n, &rule->allow);
}

static void read_cut(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	read_list(rd, n, "cut", check_literal, &rule->cut);
	if (node_child(n->parent, "regex") == NULL || node_child(n->parent, "keys") != NULL)
		report_fault(rd->report, n->key_at,
			     "cut: is for a rule with a regex, and without keys");
}

/* ---- examples ---- */

/* Takes the marks out of `text`, and keeps where they were. */
static void take_marks(struct rule_reader *rd, struct example *e, char *text, struct place at)
{
	char *from = strstr(text, "<<"), *to = from != NULL ? strstr(from + 2, ">>") : NULL;
	if (from == NULL)
		return;
	if (to == NULL || to == from + 2) {
		report_fault(rd->report, at, "examples: << wants a secret and >> behind it");
		return;
	}
	e->marked = true;
	e->start = (size_t)(from - text);
	e->end = (size_t)(to - text) - 2;
	memmove(from, from + 2, (size_t)(to - from) - 2);
	memmove(to - 2, to + 2, strlen(to + 2) + 1);
}

/* The first key that is no glob: what an example without a key is a value of. */
static const char *plain_key(const struct texts *keys)
{
	for (uint32_t i = 0; i < keys->n; i++)
		if (strpbrk(keys->items[i], "*?") == NULL)
			return keys->items[i];
	return NULL;
}

/* A text, or { key: ..., value: ... }: the text, or NULL, which is reported. */
static const char *example_text(struct rule_reader *rd, struct example *e, const struct node *n)
{
	if (n->kind == NODE_SCALAR)
		return scalar(rd, n, "examples");
	const struct node *key = node_child(n, "key"), *value = node_child(n, "value");
	if (key == NULL || value == NULL || n->first->next != n->last) {
		report_fault(rd->report, n->at,
			     "examples: wanted a text, or { key: ..., value: ... }");
		return NULL;
	}
	const char *name = scalar(rd, key, "key");
	e->key = name != NULL ? rule_keep(rd, name) : NULL;
	return scalar(rd, value, "value");
}

static void read_example(struct rule_reader *rd, const struct rule *rule, struct example *e,
			 const struct node *n, bool match)
{
	*e = (struct example){.at = n->at, .value = ""};
	const char *text = example_text(rd, e, n);
	char *copy = text != NULL ? rule_alloc(rd, strlen(text) + 1) : NULL;
	if (copy == NULL)
		return;
	memcpy(copy, text, strlen(text) + 1);
	e->value = copy;
	if (match)
		take_marks(rd, e, copy, n->at);
	if (rule->keys.n == 0 || e->key != NULL)
		return;
	e->key = plain_key(&rule->keys);
	if (e->key == NULL)
		report_fault(rd->report, n->at,
			     "examples: all keys are globs: wanted { key: ..., value: ... }");
}

static const struct example *read_example_list(struct rule_reader *rd, const struct rule *rule,
					       const struct node *list, const char *what,
					       uint32_t *n)
{
	*n = list_length(rd, list, what);
	struct example *all = *n != 0 ? rule_alloc(rd, *n * sizeof(*all)) : NULL;
	if (all == NULL) {
		*n = 0;
		return NULL;
	}
	struct example *next = all;
	for (const struct node *i = list->first; i != NULL; i = i->next)
		read_example(rd, rule, next++, i, strcmp(what, "match") == 0);
	return all;
}

static void read_examples(struct rule_reader *rd, struct rule *rule, const struct node *n)
{
	static const char *const KNOWN[] = {"match", "no_match"};
	if (n->bad)
		return;
	if (n->kind != NODE_MAP) {
		report_fault(rd->report, n->at, "examples: wanted match and no_match");
		return;
	}
	for (const struct node *i = n->first; i != NULL; i = i->next)
		if (strcmp(i->key, "match") == 0)
			rule->match = read_example_list(rd, rule, i, "match", &rule->n_match);
		else if (strcmp(i->key, "no_match") == 0)
			rule->no_match =
			    read_example_list(rd, rule, i, "no_match", &rule->n_no_match);
		else
			rule_report_unknown(rd, i, KNOWN, 2, "key");
}

/* ---- a rule ---- */

/* In the order in which they need each other: examples know the keys, the regex its group. */
static const struct {
	const char *name;
	void (*read)(struct rule_reader *, struct rule *, const struct node *);
} FIELDS[] = {
    {"id", read_id},
    {"description", read_description},
    {"keywords", read_keywords},
    {"secret", read_secret},
    {"regex", read_regex},
    {"entropy", read_entropy},
    {"checksum", read_checksum},
    {"class", read_class},
    {"keys", read_keys},
    {"allow", read_allow},
    {"cut", read_cut},
    {"mask", read_mask},
    {"examples", read_examples},
};
enum { N_FIELDS = sizeof(FIELDS) / sizeof(FIELDS[0]) };

static void check_complete(struct rule_reader *rd, const struct rule *rule, const struct node *map)
{
	bool regex = node_child(map, "regex") != NULL, class = node_child(map, "class") != NULL;
	bool keys = node_child(map, "keys") != NULL;
	const struct node *examples = node_child(map, "examples");
	if (node_child(map, "id") == NULL)
		report_fault(rd->report, map->at, "id is missing");
	if (!regex && !class && !keys)
		report_fault(rd->report, map->at, "wanted a regex, a class or keys");
	if (class && (regex || keys))
		report_fault(rd->report, node_child(map, "class")->key_at,
			     "class: stands in place of a regex, and knows no keys");
	if (examples == NULL ||
	    (examples->kind == NODE_MAP && !examples->bad &&
	     (node_child(examples, "match") == NULL || node_child(examples, "no_match") == NULL)))
		report_fault(rd->report, examples != NULL ? examples->at : map->at,
			     "examples: wanted at least one of match and one of no_match%s%s",
			     rule->id != NULL ? " for " : "", rule->id != NULL ? rule->id : "");
}

void rule_read_fields(struct rule_reader *rd, struct rule *rule, const struct node *map)
{
	const char *names[N_FIELDS];
	for (unsigned i = 0; i < N_FIELDS; i++)
		names[i] = FIELDS[i].name;
	for (const struct node *n = map->first; n != NULL; n = n->next) {
		unsigned i = 0;
		while (i < N_FIELDS && strcmp(names[i], n->key) != 0)
			i++;
		if (i == N_FIELDS && !n->bad)
			rule_report_unknown(rd, n, names, N_FIELDS, "key");
	}
	for (unsigned i = 0; i < N_FIELDS; i++) {
		const struct node *n = node_child(map, names[i]);
		if (n != NULL)
			FIELDS[i].read(rd, rule, n);
	}
	check_complete(rd, rule, map);
}

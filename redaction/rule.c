/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/rule.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/rule_field.h"

enum { ARENA_BYTES = 32 << 20, NAME_MAX_BYTES = 64 };

const char *const MASK_NAMES[MASKS] = {
    [MASK_INHERIT] = "inherit", [MASK_KEEP_LENGTH] = "keep_length",
    [MASK_REPLACE] = "replace", [MASK_TYPED] = "typed",
    [MASK_HMAC] = "hmac",       [MASK_KEEP_LAST_4] = "keep_last_4",
    [MASK_DROP] = "drop",       [MASK_URL] = "url",
};

const char *const CLASS_NAMES[CLASSES] = {
    [CLASS_NONE] = "none",   [CLASS_CARD] = "card", [CLASS_IBAN] = "iban",
    [CLASS_EMAIL] = "email", [CLASS_IPV4] = "ipv4", [CLASS_SSN] = "ssn",
};

const char *const CHECKSUM_NAMES[CHECKSUMS] = {
    [CHECKSUM_NONE] = "none",     [CHECKSUM_LUHN] = "luhn", [CHECKSUM_MOD97] = "mod97",
    [CHECKSUM_GITHUB] = "github", [CHECKSUM_JWT] = "jwt",   [CHECKSUM_SSN] = "ssn",
};

/* What all rules of a file have in common. */
struct head {
	const char *file, *pack;
	struct texts allow;
};

static int read_head(struct rule_reader *rd, const struct node *root, const char *name,
		     struct head *h)
{
	static const char *const KNOWN[] = {"pack", "description", "allow", "rules"};
	const struct node *pack = node_child(root, "pack"), *allow = node_child(root, "allow");
	for (const struct node *n = root->first; n != NULL; n = n->next) {
		unsigned i = 0;
		while (i < 4 && strcmp(KNOWN[i], n->key) != 0)
			i++;
		if (i == 4)
			rule_report_unknown(rd, n, KNOWN, 4, "key");
	}
	*h = (struct head){.file = rule_keep(rd, name), .pack = ""};
	if (pack == NULL || pack->kind != NODE_SCALAR || pack->empty ||
	    strlen(pack->text) > NAME_MAX_BYTES)
		report_fault(rd->report, pack != NULL ? pack->at : root->at,
			     "pack: wanted the name of these rules");
	else
		h->pack = rule_keep(rd, pack->text);
	if (allow != NULL)
		rule_read_expressions(rd, allow, &h->allow);
	return rd->no_memory ? -ENOMEM : 0;
}

/* The file's own `allow` stands behind the rule's. */
static void add_allow(struct rule_reader *rd, struct texts *own, const struct texts *file)
{
	uint32_t n = own->n + file->n;
	const char **all = file->n != 0 ? rule_alloc(rd, n * sizeof(*all)) : NULL;
	if (all == NULL)
		return;
	for (uint32_t i = 0; i < n; i++)
		all[i] = i < own->n ? own->items[i] : file->items[i - own->n];
	*own = (struct texts){all, n};
}

static struct rule *add_rule(struct rule_reader *rd, struct rules *all)
{
	if (all->n == all->cap) {
		uint32_t cap = all->cap != 0 ? 2 * all->cap : 64;
		struct rule *more = reallocarray(all->list, cap, sizeof(*more));
		if (more == NULL) {
			rd->no_memory = true;
			return NULL;
		}
		all->list = more;
		all->cap = cap;
	}
	struct rule *rule = &all->list[all->n++];
	*rule = (struct rule){.id = NULL};
	return rule;
}

static void check_id(struct rule_reader *rd, const struct rules *all, const struct node *item)
{
	const struct rule *rule = &all->list[all->n - 1];
	if (rule->id == NULL)
		return;
	for (const struct rule *r = all->list; r != rule; r++)
		if (r->id != NULL && strcmp(r->id, rule->id) == 0) {
			report_fault(rd->report, node_child(item, "id")->at,
				     "id: there is a rule \"%s\" already, in %s:%u", rule->id,
				     r->file, r->at.line);
			return;
		}
}

static void read_rules(struct rule_reader *rd, struct rules *all, const struct node *list,
		       const struct head *h)
{
	for (const struct node *item = list->first; item != NULL && !rd->no_memory;
	     item = item->next) {
		if (item->kind != NODE_MAP) {
			report_fault(rd->report, item->at, "wanted a rule: - { id: ..., ... }");
			continue;
		}
		if (all->n == RULE_MAX_RULES) {
			report_fault(rd->report, item->at, "at most %d rules", RULE_MAX_RULES);
			return;
		}
		struct rule *rule = add_rule(rd, all);
		if (rule == NULL)
			return;
		rule->at = item->at;
		rule->file = h->file;
		rule->pack = h->pack;
		rule_read_fields(rd, rule, item);
		add_allow(rd, &rule->allow, &h->allow);
		check_id(rd, all, item);
	}
}

static int read_file(struct rule_reader *rd, struct rules *all, const char *name,
		     const struct node *root)
{
	struct head h;
	if (root == NULL || root->kind != NODE_MAP) {
		report_fault(rd->report, root != NULL ? root->at : (struct place){0, 0},
			     "wanted a map with pack and rules");
		return 0;
	}
	const struct node *list = node_child(root, "rules");
	int rc = read_head(rd, root, name, &h);
	if (rc != 0)
		return rc;
	if (list == NULL || list->kind != NODE_LIST)
		report_fault(rd->report, list != NULL ? list->at : root->at,
			     "rules: wanted a list of rules");
	else
		read_rules(rd, all, list, &h);
	return rd->no_memory ? -ENOMEM : 0;
}

int rules_read(struct rules *all, const char *name, struct slice text, struct report *r)
{
	struct document d;
	uint32_t before = all->n, faults = r->faults;
	if (all->arena.limit == 0)
		arena_init(&all->arena, ARENA_BYTES);
	struct rule_reader rd = {.arena = &all->arena, .report = r};
	int rc = 0;
	if (document_init(&d, text, r))
		rc = read_file(&rd, all, name, d.root);
	document_finish(&d);
	if (r->no_memory)
		rc = -ENOMEM;
	if (rc == 0 && r->faults != faults)
		rc = RULE_FAULTY;
	if (rc != 0)
		all->n = before;
	return rc < 0 ? fail(rc, "rules: cannot read %s", name) : rc;
}

void rules_finish(struct rules *all)
{
	free(all->list);
	if (all->arena.limit != 0)
		arena_finish(&all->arena);
	*all = (struct rules){.list = NULL};
}

/* SPDX-License-Identifier: Apache-2.0
 * redaction/rule_field.h - one rule out of the tree of its file. For redaction/rule.c alone. */
#ifndef REDACTION_RULE_FIELD_H
#define REDACTION_RULE_FIELD_H

#include "conf/yaml.h"
#include "redaction/rule.h"

struct rule_reader {
	struct arena *arena; /* all that outlives the tree */
	struct report *report;
	bool no_memory;
};

/* Into the arena; NULL: no memory, which is noted. */
void *rule_alloc(struct rule_reader *rd, size_t size);
const char *rule_keep(struct rule_reader *rd, const char *text);

/* Fills in `rule` from a map. What is wrong is reported. */
void rule_read_fields(struct rule_reader *rd, struct rule *rule, const struct node *map);

/* A list of expressions, each of which compiles. */
void rule_read_expressions(struct rule_reader *rd, const struct node *list, struct texts *out);

void rule_report_unknown(struct rule_reader *rd, const struct node *n, const char *const *known,
			 size_t n_known, const char *what);

#endif

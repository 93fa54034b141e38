/* SPDX-License-Identifier: Apache-2.0
 * conf/redaction.h - `redaction`: its lists, and the key of hashes. Which packs and rules there are
 * is left to redaction/ruleset.h. */
#ifndef CONF_REDACTION_H
#define CONF_REDACTION_H

#include "conf/conf.h"
#include "conf/yaml.h"

/* When the scalars are in. `root` is the file, and may be NULL. */
void redaction_read(struct conf *c, const struct node *root, struct report *r);
void redaction_finish(struct conf_redaction *c); /* wipes the key */

#endif

/* SPDX-License-Identifier: Apache-2.0
 * conf/audit.h - `audit`: the key that its records are signed with. */
#ifndef CONF_AUDIT_H
#define CONF_AUDIT_H

#include "conf/conf.h"
#include "conf/yaml.h"

/* When the scalars are in. `root` is the file, and may be NULL. */
void audit_conf_read(struct conf *c, const struct node *root, struct report *r);
void audit_conf_finish(struct conf_audit *a); /* releases the key */

/* What a key file holds, for others that read one: NULL when all is well, else what is wrong with
 * it, static text. All of the file is the key, but for a line end behind it. */
const char *audit_key_read(const char *path, bool world_readable_is_fine, struct secret **out);

#endif

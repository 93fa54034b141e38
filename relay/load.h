/* SPDX-License-Identifier: Apache-2.0
 * relay/load.h - a configuration with everything in it looked at: conditions of sampling rules, and
 * the rules of redaction, too. */
#ifndef RELAY_LOAD_H
#define RELAY_LOAD_H

#include "conf/conf.h"

struct policy;
struct registry;
struct ruleset;

/* conf_load(), and, where that finds no fault, policy_create(). Outcomes as of conf_load(); unless
 * it gives 0, `c` and *policy hold nothing. `policy` of NULL: to be told of its findings alone. */
int load_configuration(struct conf *c, struct policy **policy, const char *path,
		       struct buf *findings);

/* The rules by which secrets are found: ruleset_build(), which takes half a second. *rules is NULL
 * where nothing is to be redacted. 0, CONF_FAULTY or negative. */
int load_rules(const struct conf *c, struct ruleset **rules, struct buf *findings);

/* Who may send, with what is in their token files: *registry is NULL where nobody is looked at. The
 * same outcomes. */
int load_clients(const struct conf *c, struct registry **registry, struct buf *findings);

#endif

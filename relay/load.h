/* SPDX-License-Identifier: Apache-2.0
 * relay/load.h - a configuration with everything in it looked at, conditions of rules included. */
#ifndef RELAY_LOAD_H
#define RELAY_LOAD_H

#include "conf/conf.h"

struct policy;

/* conf_load(), and, where that finds no fault, policy_create(). Outcomes as of conf_load(); unless
 * it gives 0, `c` and *policy hold nothing. `policy` of NULL: to be told of its findings alone. */
int load_configuration(struct conf *c, struct policy **policy, const char *path,
		       struct buf *findings);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay/load.h - a configuration with everything in it looked at, conditions of rules included. */
#ifndef RELAY_LOAD_H
#define RELAY_LOAD_H

#include "conf/conf.h"

/* conf_load(), and, where that finds no fault, policy_create(), to be told of its findings alone.
 * Outcomes as of conf_load(); unless it gives 0, `c` holds nothing. */
int load_configuration(struct conf *c, const char *path, struct buf *findings);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * conf/clients.h - `clients`: who may send. What is in their token files is left to relay/load.h.
 */
#ifndef CONF_CLIENTS_H
#define CONF_CLIENTS_H

#include "conf/conf.h"
#include "conf/yaml.h"

/* When the scalars are in. `root` is the file, and may be NULL. */
void clients_read(struct conf *c, const struct node *root, struct report *r);

#endif

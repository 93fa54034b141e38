/* SPDX-License-Identifier: Apache-2.0
 * conf/exporter.h - what makes an exporter whole once its keys are read: presets, token, path, and
 * whether its parts fit together. */
#ifndef CONF_EXPORTER_H
#define CONF_EXPORTER_H

#include "conf/conf.h"
#include "conf/report.h"
#include "conf/yaml.h"

/* Fills in what the preset says, over the defaults and before the file's own keys. */
void exporter_apply_preset(struct conf_exporter *e, struct report *r);

/* `item` is what the file says of it; NULL when the environment chose it. */
void exporter_complete(struct conf_exporter *e, const struct node *item, struct report *r);

/* Names are different, and none sends to one of our own doors. `list` may be NULL. */
void exporters_check(const struct conf *c, const struct node *list, struct report *r);

/* Each takes from the general settings what it does not say itself. */
void exporters_inherit(struct conf *c);

#endif

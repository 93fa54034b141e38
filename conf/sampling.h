/* SPDX-License-Identifier: Apache-2.0
 * conf/sampling.h - `sampling` and `budgets`: whether rules and budgets fit together. What their
 * conditions say is left to pipeline/policy.h. */
#ifndef CONF_SAMPLING_H
#define CONF_SAMPLING_H

#include "conf/conf.h"
#include "conf/yaml.h"

static inline struct place place_at(struct conf_place at)
{
	return (struct place){at.line, at.column};
}

static inline struct conf_place place_kept(struct place at)
{
	return (struct conf_place){at.line, at.column};
}

/* Reads the lists, when the scalars of `sampling` are in, and checks all of it. `root` is the file,
 * and may be NULL. */
void sampling_read(struct conf *c, const struct node *root, struct report *r);

/* The same where the rest of a configuration is missing: `c` is zeroed, and gets defaults. */
void sampling_read_alone(struct conf *c, const struct node *root, struct report *r);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * conf/environment.h - the values that a file takes from the environment. */
#ifndef CONF_ENVIRONMENT_H
#define CONF_ENVIRONMENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "conf/report.h"

/* As OpenTelemetry has it, an empty variable is one that is not set. */
const char *environment_get(const char *name); /* NULL: not set */

/* Appends `text` with each ${env:NAME} and ${env:NAME:-default} put in; $${ stands for ${ itself.
 * What comes out is not looked at again. 0, or CONF_FAULTY, which is reported at `at`. */
struct expanded {
	bool from_env, literal; /* as in struct node */
};
int environment_expand(const char *text, struct place at, struct report *r, struct buf *out,
		       struct expanded *kind);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * conf/environment.h - the values that a file takes from the environment. */
#ifndef CONF_ENVIRONMENT_H
#define CONF_ENVIRONMENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "conf/report.h"

/* As OpenTelemetry has it, an empty variable is one that is not set. */
const char *environment_get(const char *name); /* NULL: not set */

/* How a message about one that is not set goes on, after "the variable NAME is not". */
const char *environment_lacks(const struct report *r);

/* The same for a variable that holds a secret: it is on the list of what environment_wipe() takes.
 * All that ${env:...} puts into a file is on it too. */
const char *environment_get_secret(const char *name);

/* Moves the variables on that list out of the environment, where /proc/PID/environ would show them
 * for as long as the process lives, into secrets (base/secret.h). environment_get() finds them
 * there from then on. They live as long as the process: who started us has done so with these
 * variables, and another reading of the file needs them again. Before any thread is started; 0 or
 * -ENOMEM. */
int environment_wipe(void);

/* The same of those that came on the list since then, while threads run who may look for other
 * variables: the values go, their names stay. Appends each name and a 0 to `names`; 0 or
 * -ENOMEM. */
int environment_hide(struct buf *names);

/* From the keeper to its worker, which is not to have them in its environment either: writes what
 * was wiped into a pipe, that must not block: 0 or negative; and reads it, until the end, which is
 * done before the first environment_get(). */
int environment_hand_over(int pipe);
int environment_take_over(int pipe);

/* Appends `text` with each ${env:NAME} and ${env:NAME:-default} put in; $${ stands for ${ itself.
 * What comes out is not looked at again. 0, or CONF_FAULTY, which is reported at `at`. */
struct expanded {
	bool from_env, literal; /* as in struct node */
};
int environment_expand(const char *text, struct place at, struct report *r, struct buf *out,
		       struct expanded *kind);

#endif

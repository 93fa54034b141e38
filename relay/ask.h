/* SPDX-License-Identifier: Apache-2.0
 * relay/ask.h - how a command asks a running relay: a GET of its admin page, for which it waits at
 * most five seconds, or as long as it says. */
#ifndef RELAY_ASK_H
#define RELAY_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "conf/address.h"

/* The options that such commands have in common. */
struct asking {
	struct address admin;
	bool json;
	unsigned patience_s; /* for the answer; 0: five */
};
#define ASKING_HELP                                                                                \
	"  -c, --config FILE    the relay's configuration, for its admin address\n"                \
	"      --admin ADDRESS  that address; 127.0.0.1:4320 where neither is given\n"             \
	"  -h, --help           this text\n"

/* Reads the command line. False: the command ends here with *code; what there is to say is said.
 * `operand` gets the one word that is no option; NULL: the command takes none. */
bool asking_read(struct asking *a, int argc, char **argv, const char *help, const char **operand,
		 int *code);

/* Appends the page's body. 0, or an exit code and in `why` the reason. */
enum { ASK_WHY = 160 };
int ask(const struct asking *a, const char *path, struct buf *body, char why[ASK_WHY]);

/* The same by POST: it is told to do something. */
int ask_to(const struct asking *a, const char *path, struct buf *body, char why[ASK_WHY]);

/* /status, parsed; the caller gives it back by json_decref(). NULL: *code and `why` are as above.
 */
json_t *ask_status(const struct asking *a, int *code, char why[ASK_WHY]);

#endif

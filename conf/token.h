/* SPDX-License-Identifier: Apache-2.0
 * conf/token.h - what a token may look like, whoever issued it, and the files that hold one. Pure
 * functions of bytes; nothing here shows any of them. */
#ifndef CONF_TOKEN_H
#define CONF_TOKEN_H

#include "base/slice.h"

enum { TOKEN_MAX = 4096 };

/* Blanks and line ends behind it come from files and editors and are no part of it. */
struct slice token_trim(struct slice text);

/* What can be no token: NULL, or what is wrong, as in "the file ...". `host`: where it would be
 * sent, for tokens that are only good elsewhere; may be NULL. */
const char *token_fault(struct slice token, const char *host);

/* A file with a token in its first line and, if it has a second line, another one that is valid
 * too. Gives what is wrong, or NULL; `second` is empty where there is none. */
const char *token_lines(struct slice text, struct slice *first, struct slice *second);

/* A file of NAME=VALUE lines, as docker and systemd read them: no expansion, quotes around a value
 * are taken off, # begins a comment line. Of all names only those of the access token are looked
 * at. */
const char *token_of_environment_file(struct slice text, struct slice *token);

/* The names of the variable that holds a Lightstep token, in the order in which they count. */
enum { TOKEN_VARIABLES = 3 };
extern const char *const TOKEN_VARIABLE_NAMES[TOKEN_VARIABLES];

#endif

/* SPDX-License-Identifier: Apache-2.0
 * exporters/oauth2.h - fetches access tokens by client credentials (RFC 6749, 4.4) over the
 * exporters' own HTTP client. One fetch at a time; when to fetch is the owner's. It runs on the
 * loop that it is given, which is that of the keys room, and blocks nothing. */
#ifndef EXPORTERS_OAUTH2_H
#define EXPORTERS_OAUTH2_H

#include <ev.h>

#include "base/secret.h"
#include "base/tls.h"
#include "conf/conf.h"

enum { OAUTH2_LIFE_S = 300 /* of a token that does not say */ };

struct oauth2;
/* `token` is given, or NULL where none came: `status` of HTTP or -1, `reason` static text. */
typedef void (*oauth2_on_end)(void *ctx, struct secret *token, uint64_t life_s, int status,
			      const char *reason);

/* What to trust there; it reads files. NULL for plain text, or where notes->fault says why. */
struct tls *oauth2_tls(const struct conf_exporter *e, struct tls_notes *notes);

/* Borrows the exporter's configuration; `tls` is that of oauth2_tls(), of which it takes a
 * reference of its own. NULL: it cannot be used (logged), or no memory. */
struct oauth2 *oauth2_create(const struct conf_exporter *e, struct tls *tls, struct ev_loop *loop,
			     oauth2_on_end on_end, void *ctx);
/* A reload: `e` is what it borrows from now on; nothing that this reads of it differs. */
void oauth2_take(struct oauth2 *o, const struct conf_exporter *e);
void oauth2_destroy(struct oauth2 *o); /* NULL is fine; a fetch under way ends unheard */

/* Borrows id and secret until it returns. on_end follows, never from within. 0; 1: one is under way
 * already; -ENOMEM. */
enum { OAUTH2_BUSY = 1 };
int oauth2_fetch(struct oauth2 *o, struct slice client_id, struct slice client_secret);

/* The parts, for tests. What is in a token endpoint's answer: NULL and the reason, or the token. */
struct secret *oauth2_read(struct slice body, uint64_t *life_s, const char **reason);
/* Appends what a form, or RFC 6749's Basic credentials, may hold of `text`; 0 or BUF_FULL. */
int oauth2_encode(struct buf *out, struct slice text);

#endif

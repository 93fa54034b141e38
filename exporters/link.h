/* SPDX-License-Identifier: Apache-2.0
 * exporters/link.h - one connection to a backend: look-up, connect, TLS, bytes both ways.
 * link_write() takes what the socket takes, but under TLS bytes wait for a full record to be made
 * of them, or for link_flush(). Each event is the last thing the link does before it returns to the
 * loop, so its owner may destroy it in any of them; no event comes from within a call. Export room
 * only. */
#ifndef EXPORTERS_LINK_H
#define EXPORTERS_LINK_H

#include <ev.h>

#include "base/slice.h"
#include "base/tls.h"
#include "conf/address.h"

enum { LINK_OPEN_MS = 10000 }; /* for the look-up; and again for connect and TLS */

struct link_events {
	void (*on_open)(void *ctx, struct slice alpn); /* empty: no TLS, or nothing agreed on */
	void (*on_bytes)(void *ctx, struct slice bytes);
	void (*on_writable)(void *ctx); /* after a short link_write() */
	void (*on_closed)(void *ctx,
			  const char *reason); /* static text; only link_destroy() is left */
};

struct link_target {
	struct address to;
	struct tls *tls;  /* NULL: plain text; borrowed */
	const char *name; /* what the certificate must be for; borrowed */
	struct slice alpn;
};

/* Borrows the target for the link's life. NULL: no memory. */
struct link *link_create(const struct link_target *target, struct ev_loop *loop,
			 const struct link_events *events, void *ctx);
void link_destroy(struct link *l); /* NULL is fine */

/* Gives how many of the bytes were taken; if not all, on_writable follows. A fault shows as 0 and
 * then on_closed. Only while open. */
size_t link_write(struct link *l, struct slice bytes);
/* Nothing more comes for now: out with what waits. */
void link_flush(struct link *l);

#endif

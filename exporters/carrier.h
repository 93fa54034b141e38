/* SPDX-License-Identifier: Apache-2.0
 * exporters/carrier.h - requests on one connection: a link and the HTTP that is spoken over it.
 * A carrier opens its link when it is made. No event comes from within a call, and on_closed is the
 * last thing it does: every call it had has ended by then. Export room only. */
#ifndef EXPORTERS_CARRIER_H
#define EXPORTERS_CARRIER_H

#include "exporters/link.h"
#include "wire/http_client.h"

/* What all requests to a backend have in common; borrowed by its carriers. */
struct carrier_form {
	struct link_target target;
	struct http_field *fields; /* as HTTP/2 wants them: pseudo-headers first */
	size_t n_fields;
	bool http2_only; /* by prior knowledge; under TLS, ALPN must say h2 */
};

struct carrier_events {
	void (*on_room)(void *ctx);                          /* it is open, or a call has ended */
	void (*on_ended)(void *ctx, struct http_call *call); /* the call is its owner's again */
	void (*on_closed)(void *ctx, enum http_end end, const char *reason); /* destroy it */
};

struct carrier {
	struct ev_loop *loop;
	const struct carrier_form *form;
	const struct carrier_events *events;
	void *ctx;
	struct link *link;
	struct http_client *client; /* NULL: not open yet */
	struct slice out;           /* pulled, but not yet taken by the link */
	struct ev_timer close;      /* ends it off the caller's stack */
	bool ending;                /* takes no call and sends nothing more */
	bool retired;               /* takes no call, and ends when those it has do */
	uint64_t reads;             /* that brought something: a sign of life */
	uint64_t answers;
};

int carrier_open(struct carrier *c, struct ev_loop *loop, const struct carrier_form *form,
		 const struct carrier_events *events, void *ctx); /* 0, or -1: no memory */
void carrier_close(struct carrier *c); /* forgets calls under way; says nothing */

void carrier_retire(struct carrier *c); /* for one that is made otherwise; on_closed follows */

bool carrier_is_opening(const struct carrier *c);
bool carrier_has_room(const struct carrier *c);
bool carrier_speaks_http1(const struct carrier *c);

/* call->body is set. 0, or negative and the call was not started. */
int carrier_send(struct carrier *c, struct http_call *call);
/* The call is its owner's again. If the peer has shown no sign of life since `reads`, the
 * connection is given up too. */
void carrier_cancel(struct carrier *c, struct http_call *call, uint64_t reads);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/http_client.h - the client's side of one HTTP connection: bytes in, bytes out, POST requests
 * in between. Knows no socket and no clock, so it can be tested against a server in memory. Two
 * speak it: h2_client_create()     HTTP/2 by libnghttp2, RFC 9113: many requests at a time
 *   http1_client_create()  HTTP/1.1 by wire/http1.h, RFC 9112: one request at a time
 * Both give NULL for lack of memory. One thread at a time uses a client. */
#ifndef WIRE_HTTP_CLIENT_H
#define WIRE_HTTP_CLIENT_H

#include "base/list.h"
#include "wire/http.h"

/* One request and its response; embedded by the caller, who owns it. */
struct http_call {
	struct list link; /* http_client.calls or .ended */
	int32_t stream_id;
	/* one after the other; borrowed until the call ends or is cancelled */
	struct slice body[2];
	size_t sent; /* of them */
	struct http_response response;
};

struct http_client {
	const struct http_client_ops *ops;
	struct list calls; /* (http_call.link) under way */
	struct list ended; /* (http_call.link) */
};

struct http_client_ops {
	bool one_at_a_time;
	/* Starts a request. `fields` are complete and in order, pseudo-headers first, and borrowed.
	 * 0, or negative and nothing has begun. */
	int (*submit)(struct http_client *c, struct http_call *call,
		      const struct http_field *fields, size_t n);
	/* The call is the caller's again and will not come out of _ended(). */
	void (*cancel)(struct http_client *c, struct http_call *call);
	/* Eats bytes from the peer. Negative: the connection is at its end; what pull() still gives
	 * may be written (it tells the peer why), then close and call http_client_lost(). */
	int (*feed)(struct http_client *c, struct slice bytes);
	/* Gives the next bytes for the peer, valid until the next pull() or, if sooner, until
	 * feed() fails; empty: none for now. Calling again says that they are all written. Negative
	 * as above. HTTP/2 gives at most 16 KiB, so that under TLS a frame is one record. */
	int (*pull)(struct http_client *c, struct slice *out);
	bool (*has_room)(struct http_client *c); /* for one more request, now */
	bool (*is_spent)(struct http_client *c); /* will take no request ever again */
	void (*destroy)(struct http_client *c);  /* forgets what is under way */
};

struct http_client *h2_client_create(void);
struct http_client *http1_client_create(void);
void http_client_destroy(struct http_client *c); /* NULL is fine */

/* Gives a call whose response has ended, NULL when there is none. */
struct http_call *http_client_ended(struct http_client *c);
bool http_client_is_idle(struct http_client *c); /* no request is under way */
/* The connection is gone: every call under way ends as HTTP_LOST for this reason (static text). */
void http_client_lost(struct http_client *c, const char *reason);

/* For the two implementations. */
void http_client_init(struct http_client *c, const struct http_client_ops *ops);
void http_call_begin(struct http_client *c, struct http_call *call);
void http_call_end(struct http_client *c, struct http_call *call, enum http_end end);
bool http_call_all_sent(const struct http_call *call);

#endif

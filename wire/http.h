/* SPDX-License-Identifier: Apache-2.0
 * wire/http.h - a request's header fields and what came back for it, whichever version of HTTP
 * carries them. Keeps of a response only what an exporter judges it by, each part with a limit. */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
	HTTP_BODY_MAX = 4 << 20, /* OTLP: a limit is a MUST, 4 MiB the usual one */
	HTTP_KEPT_MAX = 8 << 10  /* one header or trailer; a longer one counts as absent */
};

struct http_field {
	struct slice name, value; /* name in lower case */
	bool secret;              /* never enters a compression table */
};

/* Headers and trailers that are kept; wire/http.c names them. */
enum http_kept {
	KEPT_GRPC_STATUS,
	KEPT_GRPC_MESSAGE,
	KEPT_GRPC_DETAILS,    /* grpc-status-details-bin, still base64 */
	KEPT_GRPC_RETRY_INFO, /* google.rpc.retryinfo-bin, likewise */
	KEPT_RETRY_AFTER,
	KEPT_FIELDS
};

enum http_end {
	HTTP_WHOLE,     /* the response came to its end */
	HTTP_RESET,     /* HTTP/2: the peer gave up this stream; reset_code says why */
	HTTP_NOT_TAKEN, /* the peer never looked at the request: it may go again at once */
	HTTP_LOST,      /* the connection ended first, or was no HTTP */
	HTTP_TOO_LARGE, /* more body than HTTP_BODY_MAX */
	HTTP_TIMED_OUT, /* set by the owner of the clock */
	HTTP_NO_ALPN    /* set by the owner of the connection: TLS, but no protocol of ours */
};

struct http_response {
	enum http_end end;
	uint32_t reset_code;
	unsigned status;  /* 0: none came */
	const char *lost; /* HTTP_LOST: static text, NULL if nothing is known */
	struct buf kept[KEPT_FIELDS];
	struct buf body;
};

void http_response_init(struct http_response *r);
void http_response_finish(struct http_response *r); /* zeroed is fine */

/* Keeps the field if it is one of the above; the last of a name wins. */
void http_response_field(struct http_response *r, struct slice name, struct slice value);
int http_response_body(struct http_response *r, struct slice piece); /* 0 or BUF_FULL */

#endif

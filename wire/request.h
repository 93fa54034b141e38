/* SPDX-License-Identifier: Apache-2.0
 * wire/request.h - what HTTP/1.1 and HTTP/2 have in common, so that a receiver need not know which
 * it is: the head of a request, and the response to it. */
#ifndef WIRE_REQUEST_H
#define WIRE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Absent headers are empty. Valid while the receiver's on_head() runs. */
struct request_head {
	struct slice method, path, content_type, content_encoding;
	struct slice grpc_encoding, grpc_timeout; /* HTTP/2 only */
	struct slice authorization;               /* a secret: not to be kept */
	bool two_authorizations;                  /* that differ */
	int64_t content_length;                   /* -1: none was given */
};

/* Text is static or lives as long as the batch. A gRPC response has its status in trailers, where
 * clients look for it (B7, C9). */
struct response {
	unsigned status; /* HTTP */
	const char *content_type;
	struct slice body;
	unsigned retry_after_s;      /* 0: none */
	const char *allow;           /* with 405 */
	const char *accept_encoding; /* with 415 */
	int grpc_status;             /* -1: not gRPC */
	const char *grpc_message;    /* not yet percent-encoded */
};

#endif

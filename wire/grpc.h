/* SPDX-License-Identifier: Apache-2.0
 * wire/grpc.h - what gRPC puts on top of HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): message framing,
 * deadlines, status words. */
#ifndef WIRE_GRPC_H
#define WIRE_GRPC_H

#include "base/buf.h"
#include "base/slice.h"

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16
};

enum { GRPC_PREFIX = 5 }; /* flag: 0 or 1 compressed; length, big endian */

/* A unary call's one message, out of DATA frames cut anywhere. Zeroed before the first piece. */
struct grpc_framing {
	uint8_t prefix[GRPC_PREFIX];
	uint8_t have; /* of the prefix */
};
enum { GRPC_FRAMING_BAD = 1, GRPC_FRAMING_LONG = 2, GRPC_FRAMING_SECOND = 3 };

/* Appends the message bytes of `piece` to body, which it reserves as they come: a length alone gets
 * nobody memory. 0, BAD (flag over 1), LONG (over `limit`, or no memory), SECOND (a second
 * message). */
int grpc_framing_feed(struct grpc_framing *g, struct slice piece, size_t limit, struct buf *body);
bool grpc_framing_is_whole(const struct grpc_framing *g, const struct buf *body);
bool grpc_framing_is_compressed(const struct grpc_framing *g);

/* "4990m" and the like: milliseconds, rounded up; 0: malformed. */
uint64_t grpc_timeout_ms(struct slice text);

/* Percent-encodes a message for the grpc-message trailer. */
int grpc_message_encode(const char *message, struct buf *out);

/* The two trailers that say "come back in retry_s": a google.rpc.Status with RetryInfo, and the
 * bare RetryInfo that Python reads; base64, unpadded (B7). */
int grpc_retry_details(int status, const char *message, unsigned retry_s, struct buf *details,
		       struct buf *retry_info);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "receivers/receiver.h"

const char *const PORT_NAMES[PORTS] = {[PORT_GRPC] = "otlp_grpc", [PORT_HTTP] = "otlp_http"};

/* "application/grpc" and what may follow it; "application/grpc-web" is another protocol (C4). */
static bool is_grpc(struct slice type)
{
	static const char GRPC[] = "application/grpc";
	size_t len = sizeof(GRPC) - 1;
	return type.len >= len && slice_is_nocase(slice_of(type.data, len), GRPC) &&
	       (type.len == len || type.data[len] == '+' || type.data[len] == ';');
}

bool path_is(struct slice path, const char *want)
{
	const uint8_t *query = path.len != 0 ? memchr(path.data, '?', path.len) : NULL;
	if (query != NULL)
		path.len = (size_t)(query - path.data);
	return slice_is(path, want);
}

/* gRPC is welcome on both ports; OTLP/HTTP on its own, for a gRPC client that was given the wrong
 * content type is better told so. A look at /healthz is answered anywhere. */
const struct receiver *receiver_select(enum port port, const struct request_head *head)
{
	if (is_grpc(head->content_type))
		return &RECEIVER_OTLP_GRPC;
	if (port == PORT_GRPC && !path_is(head->path, "/healthz"))
		return &RECEIVER_OTLP_GRPC;
	return &RECEIVER_OTLP_HTTP;
}

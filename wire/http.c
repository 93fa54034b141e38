/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http.h"

static const char *const KEPT_NAMES[KEPT_FIELDS] = {
    [KEPT_GRPC_STATUS] = "grpc-status",
    [KEPT_GRPC_MESSAGE] = "grpc-message",
    [KEPT_GRPC_DETAILS] = "grpc-status-details-bin",
    [KEPT_GRPC_RETRY_INFO] = "google.rpc.retryinfo-bin",
    [KEPT_RETRY_AFTER] = "retry-after",
};

void http_response_init(struct http_response *r)
{
	*r = (struct http_response){.end = HTTP_LOST};
	for (size_t i = 0; i < KEPT_FIELDS; i++)
		r->kept[i].limit = HTTP_KEPT_MAX;
	r->body.limit = HTTP_BODY_MAX;
}

void http_response_finish(struct http_response *r)
{
	for (size_t i = 0; i < KEPT_FIELDS; i++)
		buf_finish(&r->kept[i]);
	buf_finish(&r->body);
}

void http_response_field(struct http_response *r, struct slice name, struct slice value)
{
	for (size_t i = 0; i < KEPT_FIELDS; i++) {
		if (!slice_is_nocase(name, KEPT_NAMES[i]))
			continue;
		r->kept[i].len = 0;
		(void)buf_append(&r->kept[i], value.data, value.len); /* too long: as if absent */
		return;
	}
}

int http_response_body(struct http_response *r, struct slice piece)
{
	return buf_append(&r->body, piece.data, piece.len);
}

/* SPDX-License-Identifier: Apache-2.0
 * Answers from a hostile backend: whatever comes, a verdict with bounded numbers. */
#include <stdlib.h>

#include "exporters/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

static void want_sane(struct outcome o)
{
	want(o.verdict <= REFUSED && o.reason != NULL);
	want(o.retry_ms <= ANSWER_WAIT_MAX_MS && (o.retry_ms == 0 || o.verdict == RETRY));
	want(o.rejected == 0 || o.verdict == SENT);
}

/* Takes up to `most` bytes off the input. */
static struct slice take(struct slice *in, size_t most)
{
	size_t len = in->len < most ? in->len : most;
	struct slice piece = slice_of(in->data, len);
	*in = slice_of(in->data + len, in->len - len);
	return piece;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"grpc-status", "grpc-message",
					    "grpc-status-details-bin", "google.rpc.retryinfo-bin",
					    "retry-after"};
	struct slice in = slice_of(data, size);
	want(answer_retry_details(in) <= ANSWER_WAIT_MAX_MS);
	want(answer_retry_info(in) <= ANSWER_WAIT_MAX_MS);
	want(answer_retry_after(in, 1700000000000u) <= ANSWER_WAIT_MAX_MS);
	want(answer_rejected(in) <= INT64_MAX);
	if (size < 8)
		return 0;
	struct http_response r;
	http_response_init(&r);
	struct slice head = take(&in, 8);
	r.end = head.data[0] % (HTTP_NO_ALPN + 1);
	r.status = (head.data[1] * 256u + head.data[2]) % 600;
	r.reset_code = head.data[3];
	for (size_t i = 0; i < 5; i++)
		if (head.data[4] >> i & 1)
			http_response_field(&r, slice_str(names[i]),
					    take(&in, i == 0 ? 2u : head.data[5 + i % 3]));
	(void)http_response_body(&r, in);
	want_sane(answer_grpc(&r, 1700000000000u));
	want_sane(answer_http(&r, 1700000000000u));
	http_response_finish(&r);
	return 0;
}

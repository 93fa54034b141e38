/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 requests and responses: any bytes in any pieces give the same events, and heads stay
 * within their bounds. The first byte says how the rest is cut. */
#include <stdlib.h>

#include "wire/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
	uint64_t sum;
	bool open;
};

static void want(bool condition)
{
	if (!condition)
		abort();
}

static void add(struct tally *t, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		t->sum = t->sum * 31 + s.data[i];
}

static int on_head(void *ctx, const struct http1_head *h)
{
	struct tally *t = ctx;
	want(!t->open);
	t->open = true;
	want(h->target.len <= HTTP1_HEADER_BYTES && h->content_type.len <= HTTP1_HEADER_BYTES);
	add(t, h->target);
	add(t, h->content_type);
	add(t, h->content_encoding);
	t->sum += (uint64_t)h->content_length + h->status + h->keep_alive;
	return 0;
}

static int on_body(void *ctx, struct slice piece)
{
	struct tally *t = ctx;
	want(t->open);
	add(t, piece);
	return 0;
}

static int on_complete(void *ctx)
{
	struct tally *t = ctx;
	want(t->open);
	t->open = false;
	t->sum = t->sum * 7 + 1;
	return 0;
}

static const struct http1_events EVENTS = {on_head, on_body, on_complete};

static int run(struct tally *t, bool responses, struct slice bytes, size_t step)
{
	struct http1 h;
	int rc = 0;
	*t = (struct tally){0};
	http1_init(&h, responses, &EVENTS, t);
	for (size_t i = 0; i < bytes.len && rc == 0; i += step)
		rc = http1_feed(
		    &h, slice_of(bytes.data + i, bytes.len - i < step ? bytes.len - i : step));
	http1_finish(&h);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct slice rest = slice_of(data + 1, size - 1);
	for (int responses = 0; responses < 2; responses++) {
		struct tally whole, cut;
		int a = run(&whole, responses, rest, rest.len);
		int b = run(&cut, responses, rest, 1 + data[0] % 7);
		want((a == 0) == (b == 0));
		want(a != 0 || whole.sum == cut.sum);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "wire/http1.h"
#include "wire/http_client.h"

struct seen {
	char text[4096]; /* events in order: H<method> <target> <length>;B<bytes>;E */
};

static void note(struct seen *s, const char *prefix, const void *data, size_t len)
{
	size_t at = strlen(s->text);
	snprintf(s->text + at, sizeof(s->text) - at, "%s%.*s;", prefix, (int)len,
		 (const char *)data);
}

static int on_head(void *ctx, const struct http1_head *h)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%.*s %.*s %d%s%s%.*s", (int)h->method.len,
			 h->method.data, (int)h->target.len, h->target.data, (int)h->content_length,
			 h->expect_continue ? " expect" : "", h->content_encoding.len ? " " : "",
			 (int)h->content_encoding.len, h->content_encoding.data);
	note(ctx, "H", text, (size_t)n);
	return 0;
}

static int on_body(void *ctx, struct slice piece)
{
	struct seen *s = ctx;
	size_t at = strlen(s->text);
	if (at > 0 && s->text[at - 1] == ',') /* pieces of one body are joined */
		s->text[at - 1] = '\0';
	at = strlen(s->text);
	snprintf(s->text + at, sizeof(s->text) - at, "%.*s,", (int)piece.len, piece.data);
	return 0;
}

static int on_complete(void *ctx)
{
	note(ctx, "E", "", 0);
	return 0;
}

static const struct http1_events EVENTS = {on_head, on_body, on_complete};

static int feed(struct seen *s, const char *text, size_t step)
{
	struct http1 h;
	memset(s, 0, sizeof(*s));
	http1_init(&h, false, &EVENTS, s);
	int rc = 0;
	for (size_t i = 0, len = strlen(text); i < len && rc == 0; i += step)
		rc = http1_feed(&h, slice_of(text + i, len - i < step ? len - i : step));
	http1_finish(&h);
	return rc;
}

static void test_requests_in_any_pieces(void)
{
	static const char *const cases[][2] = {
	    {"POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	     "POST /x HTTP/1.1\r\nContent-Encoding: gzip \r\nContent-Length: 0\r\n\r\n",
	     "HPOST /v1/traces 3;abc,E;HPOST /x 0 gzip;E;"},
	    {"POST / HTTP/1.1\r\nTransfer-Encoding: "
	     "chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n",
	     "HPOST / -1;abcde,E;"},
	    {"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	     "HTTP2-Settings: AAA\r\nContent-Length: 2\r\n\r\nok",
	     "HPOST / 2;ok,E;"},
	    {"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	     "HPOST / 1 expect;x,E;"},
	};
	struct seen s;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 200; step += step < 20 ? 1 : 37) {
			CHECK_EQ(feed(&s, cases[i][0], step), 0);
			CHECK_STR(s.text, cases[i][1]);
		}
}

static void test_what_smugglers_use_is_refused(void)
{
	static const char *const cases[] = {
	    "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	    "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	    "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	    "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
	    "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
	    "POST / HTTP/1.1\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
	    "POST / HTTP/1.1\r\nA:\r\n\tfolded\r\nContent-Length: 0\r\n\r\n",
	    "POST / HTTP/1.1\r\nA: b\rC: d\r\nContent-Length: 0\r\n\r\n",
	    "POST / HTTP/1.1\r\nContent-Length : 0\r\n\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n\r\n",
	    "\x16\x03\x01\x02\x00 nonsense",
	    "GARBAGE\r\n\r\n",
	};
	struct seen s;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 200; step += 11) {
			int rc = feed(&s, cases[i], step);
			if (rc != HTTP1_MALFORMED || strstr(s.text, "E;") != NULL)
				printf("case %zu step %zu gave %d: %s\n", i, step, rc, s.text);
			CHECK_EQ(rc, HTTP1_MALFORMED);
			CHECK(strstr(s.text, "E;") == NULL);
		}
}

static void test_heads_are_bounded(void)
{
	static char text[40000];
	struct seen s;
	int n = snprintf(text, sizeof(text), "POST /%0*d HTTP/1.1\r\n\r\n", HTTP1_HEADER_BYTES, 0);
	CHECK(n > 0);
	CHECK_EQ(feed(&s, text, 1000), HTTP1_TOO_LARGE);
	size_t at = (size_t)snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n");
	for (int i = 0; i <= HTTP1_HEADER_FIELDS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "a: b\r\n");
	snprintf(text + at, sizeof(text) - at, "\r\n");
	CHECK_EQ(feed(&s, text, 1000), HTTP1_TOO_LARGE);
}

/* The end of the wait may come when the answer has begun; then the rest of it comes all the same.
 */
static void test_an_answer_that_nobody_waits_for_any_more_ends_the_connection(void)
{
	static const char *const REST[] = {"56789", "5678901234", "\r\n5\r\nabcde\r\n0\r\n\r\n",
					   ""};
	static const char *const BEGIN[] = {
	    "Content-Length: 10\r\n\r\n01234", "Content-Length: 10\r\n\r\n01234",
	    "Transfer-Encoding: chunked\r\n\r\n5\r\n01234", "X: y\r\n"};
	for (size_t i = 0; i < sizeof(REST) / sizeof(REST[0]); i++) {
		struct http_client *c = http1_client_create();
		const struct http_field path = {slice_str(":path"), slice_str("/x"), false};
		struct http_call call = {.body = {slice_str("pre"), slice_str("body")}};
		struct slice out;
		CHECK_EQ(c->ops->submit(c, &call, &path, 1), 0);
		do
			CHECK_EQ(c->ops->pull(c, &out), 0);
		while (out.len != 0);
		CHECK_EQ(c->ops->feed(c, slice_str("HTTP/1.1 200 OK\r\n")), 0);
		CHECK_EQ(c->ops->feed(c, slice_str(BEGIN[i])), 0);
		CHECK(http_client_ended(c) == NULL);
		c->ops->cancel(c, &call);
		http_response_finish(&call.response);
		memset(&call, 0xa5, sizeof(call)); /* it is the caller's: nobody may look */
		CHECK(c->ops->is_spent(c) && !c->ops->has_room(c));
		CHECK(c->ops->feed(c, slice_str(REST[i])) < 0);
		http_client_destroy(c);
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_requests_in_any_pieces), TEST(test_what_smugglers_use_is_refused),
		   TEST(test_heads_are_bounded),
		   TEST(test_an_answer_that_nobody_waits_for_any_more_ends_the_connection));
}

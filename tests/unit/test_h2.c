/* SPDX-License-Identifier: Apache-2.0
 * The server's session against raw frames and against nghttp2's own client, in memory. */
#include <nghttp2/nghttp2.h>

#include "check.h"
#include "wire/grpc.h"
#include "wire/guard.h"
#include "wire/h2.h"

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static unsigned heads, ends, closes;
static struct h2_stream *last_stream;
static char last_path[64];
static struct buf body;

static void on_head(void *ctx, struct h2_stream *s, const struct request_head *head)
{
	(void)ctx;
	heads++;
	last_stream = s;
	snprintf(last_path, sizeof(last_path), "%.*s", (int)head->path.len, head->path.data);
}

static void on_body(void *ctx, struct h2_stream *s, struct slice piece)
{
	(void)ctx, (void)s;
	buf_append(&body, piece.data, piece.len);
}

static void on_end(void *ctx, struct h2_stream *s)
{
	(void)ctx, (void)s;
	ends++;
}

static void on_closed(void *ctx, struct h2_stream *s, bool answered)
{
	(void)ctx, (void)answered;
	if (s == last_stream)
		last_stream = NULL;
	closes++;
}

static const struct h2_events EVENTS = {on_head, on_body, on_end, on_closed};

static struct h2 *server(void)
{
	heads = ends = closes = 0;
	body.len = 0;
	struct h2 *h = h2_create(&EVENTS, NULL, 1000);
	CHECK(h != NULL);
	return h;
}

static void frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream, const void *data,
		  size_t len)
{
	uint8_t hd[9] = {(uint8_t)(len >> 16),
			 (uint8_t)(len >> 8),
			 (uint8_t)len,
			 type,
			 flags,
			 (uint8_t)(stream >> 24),
			 (uint8_t)(stream >> 16),
			 (uint8_t)(stream >> 8),
			 (uint8_t)stream};
	buf_append(b, hd, sizeof(hd));
	buf_append(b, data, len);
}

static void hello(struct buf *b)
{
	buf_append(b, PREFACE, sizeof(PREFACE) - 1);
	frame(b, NGHTTP2_SETTINGS, 0, 0, "", 0);
}

/* POST /x, scheme http, authority a, by HPACK's static table. */
static const uint8_t HEAD[] = {0x83, 0x86, 0x04, 0x02, '/', 'x', 0x01, 0x01, 'a'};

static void request(struct buf *b, uint32_t stream, uint8_t flags)
{
	frame(b, NGHTTP2_HEADERS, (uint8_t)(NGHTTP2_FLAG_END_HEADERS | flags), stream, HEAD,
	      sizeof(HEAD));
}

/* Feeds all of b and lets the answers go nowhere; gives what h2_feed() said. */
static int feed(struct h2 *h, struct buf *b)
{
	int rc = h2_feed(h, buf_slice(b), 1000);
	struct buf out = {0};
	h2_output(h, &out);
	buf_finish(&out);
	b->len = 0;
	return rc;
}

static void test_a_request_arrives_in_pieces(void)
{
	struct h2 *h = server();
	struct buf b = {0};
	hello(&b);
	request(&b, 1, 0);
	frame(&b, NGHTTP2_DATA, 0, 1, "ab", 2);
	frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "cd", 2);
	for (size_t i = 0; i < b.len; i++)
		CHECK_EQ(h2_feed(h, slice_of(b.data + i, 1), 1000), 0);
	CHECK_EQ(heads, 1);
	CHECK_EQ(ends, 1);
	CHECK_STR(last_path, "/x");
	CHECK(slice_is(buf_slice(&body), "abcd"));
	h2_destroy(h);
	CHECK_EQ(closes, 1);
	buf_finish(&b);
}

static void test_an_early_answer_resets_without_error(void)
{
	struct h2 *h = server();
	struct buf b = {0}, out = {0};
	hello(&b);
	request(&b, 1, 0);
	CHECK_EQ(feed(h, &b), 0);
	h2_respond(last_stream, &(struct response){.status = 200,
						   .grpc_status = GRPC_RESOURCE_EXHAUSTED,
						   .grpc_message = "too large",
						   .content_type = "application/grpc"});
	CHECK_EQ(h2_output(h, &out), 0);
	CHECK(out.len > 13);
	uint8_t reset[13] = {0, 0, 4, NGHTTP2_RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 0};
	CHECK(memcmp(out.data + out.len - 13, reset, 13) == 0);
	CHECK_EQ(h2_streams(h), 0);
	h2_destroy(h);
	buf_finish(&b);
	buf_finish(&out);
}

static void test_an_answer_after_a_cancel_is_ignored(void)
{
	struct h2 *h = server();
	struct buf b = {0};
	hello(&b);
	request(&b, 1, NGHTTP2_FLAG_END_STREAM);
	CHECK_EQ(feed(h, &b), 0);
	h2_cancel(last_stream);
	h2_respond(last_stream, &(struct response){.status = 200, .grpc_status = 0});
	h2_cancel(last_stream);
	CHECK_EQ(feed(h, &b), 0);
	CHECK_EQ(closes, 1);
	h2_destroy(h);
	buf_finish(&b);
}

/* Each flood of threats-and-tests section 2 that the library lets pass: ends after a bounded number
 * of frames, and an honest connection is not taken for one. */
static void check_flood(const char *name, void (*one)(struct buf *b, uint32_t i), unsigned most)
{
	struct h2 *h = server();
	struct buf b = {0};
	hello(&b);
	CHECK_EQ(feed(h, &b), 0);
	unsigned i = 0;
	int rc = 0;
	while (i < 100000 && rc == 0) {
		one(&b, i++);
		rc = feed(h, &b);
	}
	if (rc != H2_ABUSE)
		printf("%s: %d after %u frames\n", name, rc, i);
	CHECK_EQ(rc, H2_ABUSE);
	CHECK(i <= most);
	h2_destroy(h);
	buf_finish(&b);
}

static void ping(struct buf *b, uint32_t i)
{
	(void)i;
	frame(b, NGHTTP2_PING, 0, 0, "12345678", 8);
}
static void settings(struct buf *b, uint32_t i)
{
	(void)i;
	frame(b, NGHTTP2_SETTINGS, 0, 0, "", 0);
}
static void reset(struct buf *b, uint32_t i)
{
	request(b, 2 * i + 1, 0);
	frame(b, NGHTTP2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\10", 4);
}
static void empty_data(struct buf *b, uint32_t i)
{
	if (i == 0)
		request(b, 1, 0);
	frame(b, NGHTTP2_DATA, 0, 1, "", 0);
}
static void priority(struct buf *b, uint32_t i)
{
	frame(b, NGHTTP2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
}
static void window(struct buf *b, uint32_t i)
{
	(void)i;
	frame(b, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}
static void unknown(struct buf *b, uint32_t i)
{
	(void)i;
	frame(b, 0xee, 0, 0, "x", 1);
}
static void made_you_reset(struct buf *b, uint32_t i)
{
	request(b, 2 * i + 1, 0);
	frame(b, NGHTTP2_WINDOW_UPDATE, 0, 2 * i + 1, "\x7f\xff\xff\xff", 4);
}

static void test_floods_end_the_connection(void)
{
	check_flood("ping", ping, 1100);
	check_flood("settings", settings, 500);
	check_flood("reset", reset, 220);
	check_flood("empty_data", empty_data, 2100);
	check_flood("priority", priority, 2100);
	check_flood("window", window, 2100);
	check_flood("unknown", unknown, 2100);
	check_flood("made_you_reset", made_you_reset, 220);
}

static void test_a_long_honest_connection_lives(void)
{
	static const char kilobyte[1024] = {0};
	struct h2 *h = server();
	struct buf b = {0};
	hello(&b);
	for (uint32_t i = 0; i < 20000; i++) {
		request(&b, 2 * i + 1, 0);
		frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 2 * i + 1, kilobyte,
		      sizeof(kilobyte));
		CHECK_EQ(feed(h, &b), 0);
		h2_respond(last_stream, &(struct response){.status = 200, .grpc_status = 0});
		ping(&b, 0); /* C-core, Go and Netty: one after each answer */
		window(&b, 0);
		frame(&b, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "87654321", 8);
		CHECK_EQ(feed(h, &b), 0);
	}
	CHECK_EQ(ends, 20000);
	h2_destroy(h);
	buf_finish(&b);
}

static void test_a_header_bomb_ends_the_session(void)
{
	struct h2 *h = server();
	struct buf b = {0}, block = {0};
	hello(&b);
	buf_append(&block, HEAD, sizeof(HEAD));
	for (int i = 0; i < 4000; i++) /* accept-charset, empty, one byte each */
		buf_append(&block, "\x8f", 1);
	frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block.data, block.len);
	CHECK_EQ(feed(h, &b), H2_ABUSE);
	CHECK_EQ(heads, 0);
	h2_destroy(h);
	buf_finish(&b);
	buf_finish(&block);
}

static void test_garbage_is_a_protocol_error(void)
{
	struct h2 *h = server();
	CHECK_EQ(h2_feed(h, slice_str("GET / HTTP/1.1\r\n\r\n........"), 1000), H2_PROTOCOL);
	h2_destroy(h);
}

static void test_framing_counts_messages(void)
{
	struct grpc_framing g = {0};
	struct buf b = {0};
	for (size_t i = 0; i < 7; i++)
		CHECK_EQ(grpc_framing_feed(&g, slice_of("\0\0\0\0\2hi" + i, 1), 100, &b), 0);
	CHECK(grpc_framing_is_whole(&g, &b) && slice_is(buf_slice(&b), "hi"));
	CHECK_EQ(grpc_framing_feed(&g, slice_str("x"), 100, &b), GRPC_FRAMING_SECOND);
	g = (struct grpc_framing){0};
	b.len = 0;
	CHECK_EQ(grpc_framing_feed(&g, slice_of("\2\0\0\0\0", 5), 100, &b), GRPC_FRAMING_BAD);
	g = (struct grpc_framing){0};
	CHECK_EQ(grpc_framing_feed(&g, slice_of("\0\xff\xff\xff\xff", 5), 100, &b),
		 GRPC_FRAMING_LONG);
	buf_finish(&b);
}

static void test_timeouts_of_real_clients(void)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} CASES[] = {{"4990m", 4990}, {"10S", 10000},  {"9992984u", 9993},
		     {"1n", 1},       {"2H", 7200000}, {"15 seconds", 0},
		     {"", 0},         {"S", 0},        {"123456789m", 0},
		     {"5", 0},        {"0m", 1}};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		CHECK_EQ(grpc_timeout_ms(slice_str(CASES[i].text)), CASES[i].ms);
}

static void test_retry_details_are_the_known_bytes(void)
{
	struct buf details = {0}, info = {0};
	CHECK_EQ(grpc_retry_details(14, "throttled", 5, &details, &info), 0);
	CHECK(
	    slice_is(buf_slice(&details),
		     "CA4SCXRocm90dGxlZBowCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZv"
		     "EgQKAggF"));
	CHECK(slice_is(buf_slice(&info), "CgIIBQ"));
	buf_finish(&details);
	buf_finish(&info);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(
	    TEST(test_a_request_arrives_in_pieces), TEST(test_an_early_answer_resets_without_error),
	    TEST(test_an_answer_after_a_cancel_is_ignored), TEST(test_floods_end_the_connection),
	    TEST(test_a_long_honest_connection_lives), TEST(test_a_header_bomb_ends_the_session),
	    TEST(test_garbage_is_a_protocol_error), TEST(test_framing_counts_messages),
	    TEST(test_timeouts_of_real_clients), TEST(test_retry_details_are_the_known_bytes));
}

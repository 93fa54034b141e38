/* SPDX-License-Identifier: Apache-2.0
 * OTLP/HTTP and OTLP/gRPC over real sockets, against a backend within the test. */
#include "base/log.h"
#include "exporters/exporter.h"
#include "peer.h"

enum { CALLS = 4 };

static struct ev_loop *loop;
static struct peer peer;
static struct conf_exporter conf;
static struct conf_header header;
static char endpoint[64], ca_file[] = "/tmp/spanrelay-test-ca-XXXXXX", no_text[] = "",
			  path[] = "/v1/traces", name[] = "test",
			  header_name[] = "lightstep-access-token", secret[] = "open-sesame";
static void *exporter;
static const struct exporter_ops *ops;
static _Atomic uint64_t connects;
static struct export_call calls[CALLS];
static struct outcome outcomes[CALLS];
static bool done[CALLS];
static int follow_up = -1; /* sent from within on_done() of another, as the sender does */

static void send_call(size_t i, struct slice body);

static void on_done(struct export_call *call, struct outcome o)
{
	size_t i = (size_t)(call - calls);
	CHECK(!done[i]);
	done[i] = true;
	outcomes[i] = o;
	int next = follow_up;
	follow_up = -1;
	if (next >= 0)
		send_call((size_t)next, slice_str("next"));
}

static void remove_ca_file(void)
{
	unlink(ca_file);
}

static struct tls *trusting(const char *file)
{
	struct tls_notes notes;
	struct tls_options o = {.where = "test", .ca_field = "ca_file", .ca_file = file};
	struct tls *tls = tls_client_create(&o, &notes);
	CHECK_STR(notes.fault, "");
	return tls;
}

static void start(enum conf_protocol protocol, const char *url)
{
	snprintf(endpoint, sizeof(endpoint), "%s:%u", url, peer.port);
	header = (struct conf_header){.name = header_name, .value = secret};
	conf.name = name;
	conf.protocol = protocol;
	conf.endpoint = endpoint;
	conf.path = path;
	conf.headers = &header;
	conf.n_headers = 1;
	if (conf.tls.server_name == NULL)
		conf.tls.server_name = no_text;
	conf.timeout_ms = conf.timeout_ms != 0 ? conf.timeout_ms : 5000;
	conf.concurrency = CALLS;
	ops = exporter_find(protocol);
	atomic_store(&connects, 0);
	bool plain = strncmp(url, "http://", 7) == 0;
	struct tls *tls = plain ? NULL : trusting(peer.tls != NULL ? ca_file : no_text);
	exporter = ops->create(&conf, tls, loop, &connects);
	CHECK(exporter != NULL);
	tls_unref(tls);
}

static void listen_with(struct peer p)
{
	loop = ev_loop_new(0);
	peer = p;
	memset(&conf, 0, sizeof(conf));
	peer_start(&peer, loop);
}

static void stop(void)
{
	ops->destroy(exporter);
	peer_stop(&peer);
	ev_loop_destroy(loop);
}

static void send_call(size_t i, struct slice body)
{
	done[i] = false;
	calls[i] = (struct export_call){.body = body, .spans = 1, .on_done = on_done};
	ops->send(exporter, &calls[i]);
	CHECK(!done[i]); /* never from within */
}

static void wait_for(size_t i)
{
	while (!done[i])
		ev_run(loop, EVRUN_ONCE);
}

static struct outcome ask(const char *body)
{
	send_call(0, slice_str(body));
	wait_for(0);
	return outcomes[0];
}

static bool head_has(const char *text)
{
	return memmem(peer.last_head.data, peer.last_head.len, text, strlen(text)) != NULL;
}

#define OK_200 "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

static void test_http1_requests_share_a_kept_connection(void)
{
	listen_with((struct peer){.answer = OK_200});
	conf.compression = COMPRESSION_GZIP;
	start(PROTOCOL_HTTP, "http://127.0.0.1");
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(ask("some spans").verdict, SENT);
		CHECK(slice_is(buf_slice(&peer.last_body), "some spans"));
	}
	CHECK(head_has("POST /v1/traces HTTP/1.1\r\n"));
	CHECK(head_has("content-type: application/x-protobuf\r\n"));
	CHECK(head_has("content-encoding: gzip\r\n"));
	CHECK(head_has("content-length: 10\r\n"));
	CHECK(head_has("lightstep-access-token: open-sesame\r\n"));
	CHECK(head_has("host: 127.0.0.1:"));
	CHECK_EQ(peer.requests, 3);
	CHECK_EQ(connects, 1);
	stop();
}

static void test_http1_calls_at_once_have_connections_of_their_own(void)
{
	listen_with((struct peer){.answer = NULL});
	start(PROTOCOL_HTTP, "http://127.0.0.1");
	for (size_t i = 0; i < CALLS; i++)
		send_call(i, slice_str("x"));
	while (peer.requests < CALLS)
		ev_run(loop, EVRUN_ONCE);
	CHECK_EQ(connects, CALLS);
	for (size_t i = 0; i < peer.accepted; i++) {
		buf_append(&peer.conns[i].out, OK_200, sizeof(OK_200) - 1);
		peer_write(&peer.conns[i]);
	}
	for (size_t i = 0; i < CALLS; i++) {
		wait_for(i);
		CHECK_EQ(outcomes[i].verdict, SENT);
	}
	stop();
}

static void test_http1_answers_end_as_they_like(void)
{
	static const struct {
		const char *answer;
		bool close;
		enum verdict verdict;
	} rows[] = {
	    {OK_200, true, SENT},
	    {"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", false, SENT},
	    {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", false,
	     SENT},
	    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, SENT},
	    {"HTTP/1.1 100 Continue\r\n\r\n" OK_200, false, SENT},
	    {"HTTP/1.1 204 No Content\r\n\r\n", false, SENT},
	    {"HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 2\r\n\r\nno", false, RETRY},
	    {"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", false, HOLD_AUTH},
	    {"HTTP/1.1 400 No\r\ncontent-length: 16\r\n\r\nbad access token", false, HOLD_AUTH},
	    {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", true, RETRY},
	    {"SSH-2.0-OpenSSH_9.2\r\n", false, RETRY},
	    {"", true, RETRY},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		listen_with((struct peer){.answer = rows[i].answer, .close_after = rows[i].close});
		start(PROTOCOL_HTTP, "http://127.0.0.1");
		struct outcome o = ask("x");
		CHECK_EQ(o.verdict, rows[i].verdict);
		CHECK_EQ(o.retry_ms, o.status == 503 ? 2000 : 0);
		peer.answer = OK_200;
		peer.close_after = false;
		CHECK_EQ(ask("y").verdict, SENT);
		stop();
	}
}

static void test_a_connection_closed_while_idle_costs_no_failure(void)
{
	listen_with((struct peer){.answer = OK_200});
	start(PROTOCOL_HTTP, "http://127.0.0.1");
	CHECK_EQ(ask("x").verdict, SENT);
	peer_conn_close(&peer.conns[0]); /* before the next request, or ... */
	CHECK_EQ(ask("y").verdict, SENT);
	peer.close_at_start = true; /* ... just as it comes */
	CHECK_EQ(ask("z").verdict, SENT);
	CHECK_EQ(connects, 3);
	CHECK_EQ(peer.requests, 3);
	stop();
}

/* And the old one may go at once: of ours nothing is left. */
static void test_another_configuration_keeps_the_connection(void)
{
	static char other_name[] = "x-team", other_value[] = "a longer blue";
	static struct conf_header other = {.name = other_name, .value = other_value};
	static const enum conf_protocol protocols[] = {PROTOCOL_HTTP, PROTOCOL_GRPC};
	for (size_t i = 0; i < 2; i++) {
		listen_with((struct peer){.answer = i == 1 ? "0" : OK_200, .http2 = i == 1});
		start(protocols[i], "http://127.0.0.1");
		CHECK_EQ(ask("x").verdict, SENT);
		CHECK(head_has("open-sesame"));
		struct conf_exporter next = conf;
		next.headers = &other;
		next.timeout_ms = 54321;
		next.concurrency = 64;
		CHECK_EQ(ops->take(exporter, &next), 0);
		memset(&conf, 0xff, sizeof(conf));
		CHECK_EQ(ask("y").verdict, SENT);
		CHECK(head_has("a longer blue") && !head_has("open-sesame"));
		CHECK(i == 0 || head_has("54321m"));
		CHECK_EQ(connects, 1);
		stop();
	}
}

static void test_an_early_answer_to_a_large_body_is_heard(void)
{
	listen_with((struct peer){.answer = "HTTP/1.1 413 No\r\nconnection: close\r\n"
					    "content-length: 0\r\n\r\n",
				  .answer_early = true});
	start(PROTOCOL_HTTP, "http://127.0.0.1");
	size_t len = 16 << 20;
	uint8_t *body = calloc(1, len);
	send_call(0, slice_of(body, len));
	wait_for(0);
	CHECK_EQ(outcomes[0].verdict, SPLIT);
	free(body);
	ev_run(loop, EVRUN_NOWAIT); /* nobody looks at the body any more */
	peer.answer_early = false;
	peer.answer = OK_200;
	CHECK_EQ(ask("less").verdict, SENT);
	stop();
}

static void test_silence_ends_by_the_time_limit(void)
{
	static const enum conf_protocol protocols[] = {PROTOCOL_HTTP, PROTOCOL_GRPC};
	for (size_t i = 0; i < 2; i++) {
		listen_with((struct peer){.answer = NULL, .http2 = i == 1});
		conf.timeout_ms = 30;
		start(protocols[i], "http://127.0.0.1");
		CHECK_EQ(ask("x").verdict, RETRY);
		CHECK_EQ(peer.requests, 1);
		peer.answer = i == 1 ? "0" : OK_200;
		CHECK_EQ(ask("y").verdict, SENT);
		stop();
	}
}

static void test_a_body_that_was_given_up_is_not_touched_again(void)
{
	for (int http2 = 0; http2 < 2; http2++) {
		listen_with((struct peer){.answer = NULL, .http2 = http2});
		conf.timeout_ms = 30;
		start(http2 ? PROTOCOL_GRPC : PROTOCOL_HTTP, "http://127.0.0.1");
		ev_io_stop(loop, &peer.accept); /* the kernel connects; nobody reads */
		size_t len = 16 << 20;
		uint8_t *body = calloc(1, len);
		send_call(0, slice_of(body, len));
		wait_for(0);
		CHECK_EQ(outcomes[0].verdict, RETRY);
		free(body);
		ev_io_start(loop, &peer.accept);
		peer.answer = http2 ? "0" : OK_200;
		conf.timeout_ms = 5000;
		CHECK_EQ(ask("less").verdict, SENT);
		stop();
	}
}

static void test_a_follow_up_does_not_go_on_a_dying_connection(void)
{
	for (int http2 = 0; http2 < 2; http2++) {
		listen_with((struct peer){.answer = NULL, .http2 = http2});
		start(http2 ? PROTOCOL_GRPC : PROTOCOL_HTTP, "http://127.0.0.1");
		follow_up = 1;
		done[1] = false;
		send_call(0, slice_str("x"));
		while (peer.requests == 0)
			ev_run(loop, EVRUN_ONCE);
		peer_conn_close(&peer.conns[0]);
		peer.answer = http2 ? "0" : OK_200;
		wait_for(1);
		CHECK_EQ(outcomes[0].verdict, RETRY);
		CHECK_EQ(outcomes[1].verdict, SENT);
		CHECK_EQ(connects, 2);
		stop();
	}
}

static void test_a_backend_that_is_not_there_is_one_attempt_a_call(void)
{
	listen_with((struct peer){.answer = NULL});
	start(PROTOCOL_HTTP, "http://127.0.0.1");
	ev_io_stop(loop, &peer.accept);
	close(peer.accept.fd);
	for (unsigned i = 1; i <= 3; i++) {
		struct outcome o = ask("x");
		CHECK_EQ(o.verdict, RETRY);
		CHECK_EQ(o.status, -1);
		CHECK_STR(o.reason, "connection refused");
		CHECK_EQ(connects, i);
	}
	for (size_t i = 0; i < CALLS; i++)
		send_call(i, slice_str("x"));
	for (size_t i = 0; i < CALLS; i++)
		wait_for(i);
	CHECK_EQ(connects, 4);
	peer.accept.fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* for peer_stop() to close */
	stop();
}

static void test_a_name_is_looked_up_in_the_hosts_file(void)
{
	listen_with((struct peer){.answer = OK_200});
	start(PROTOCOL_HTTP, "http://localhost"); /* ::1, if it comes first, is refused */
	CHECK_EQ(ask("x").verdict, SENT);
	CHECK(head_has("host: localhost:"));
	stop();
}

static void test_grpc_frames_and_headers_are_right(void)
{
	listen_with((struct peer){.answer = "0", .http2 = true});
	conf.compression = COMPRESSION_ZSTD;
	conf.timeout_ms = 1234;
	start(PROTOCOL_GRPC, "http://127.0.0.1");
	CHECK_EQ(ask("spans").verdict, SENT);
	CHECK(slice_equal(buf_slice(&peer.last_body), slice_of("\1\0\0\0\5spans", 10)));
	CHECK(head_has(":method: POST\n:scheme: http\n:authority: 127.0.0.1:"));
	CHECK(head_has(":path: /opentelemetry.proto.collector.trace.v1.TraceService/Export\n"
		       "grpc-timeout: 1234m\nte: trailers\ncontent-type: application/grpc\n"
		       "grpc-encoding: zstd\ngrpc-accept-encoding: identity\n"
		       "user-agent: spanrelay/"));
	CHECK(head_has("lightstep-access-token: open-sesame\n"));
	peer.answer = "14";
	CHECK_EQ(ask("spans").verdict, RETRY);
	CHECK_EQ(connects, 1);
	stop();
}

static void test_goaway_moves_a_call_to_a_new_connection(void)
{
	listen_with((struct peer){.answer = "0", .http2 = true});
	start(PROTOCOL_GRPC, "http://127.0.0.1");
	CHECK_EQ(ask("x").verdict, SENT);
	peer.goaway = true; /* as at a connection's maximum age */
	CHECK_EQ(ask("y").verdict, SENT);
	CHECK_EQ(connects, 2);
	CHECK_EQ(peer.requests, 3);
	peer_conn_close(&peer.conns[1]);
	peer.goaway = true; /* a backend that always does so is not asked in a loop */
	CHECK_EQ(ask("z").verdict, RETRY);
	CHECK_EQ(connects, 3);
	stop();
}

static void test_grpc_calls_share_one_connection(void)
{
	listen_with((struct peer){.answer = "0", .http2 = true});
	start(PROTOCOL_GRPC, "http://127.0.0.1");
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < CALLS; i++)
			send_call(i, slice_str("x"));
		for (size_t i = 0; i < CALLS; i++) {
			wait_for(i);
			CHECK_EQ(outcomes[i].verdict, SENT);
		}
	}
	CHECK_EQ(connects, 1);
	CHECK_EQ(peer.requests, 12);
	stop();
}

static void test_tls_speaks_what_alpn_says(void)
{
	static const struct {
		enum conf_protocol protocol;
		const char *alpn, *answer;
		enum verdict verdict;
	} rows[] = {
	    {PROTOCOL_GRPC, "h2", "0", SENT},          {PROTOCOL_GRPC, NULL, OK_200, HOLD_UPSTREAM},
	    {PROTOCOL_HTTP, "http/1.1", OK_200, SENT}, {PROTOCOL_HTTP, NULL, OK_200, SENT},
	    {PROTOCOL_HTTP, "h2", "0", SENT},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		listen_with((struct peer){.answer = rows[i].answer, .alpn = rows[i].alpn});
		peer_use_tls(&peer, "IP:127.0.0.1", ca_file);
		start(rows[i].protocol, "https://127.0.0.1");
		CHECK_EQ(ask("x").verdict, rows[i].verdict);
		if (rows[i].verdict == SENT)
			CHECK_EQ(ask("y").verdict, SENT);
		CHECK_EQ(connects, 1);
		stop();
	}
}

static void test_tls_carries_large_bodies(void)
{
	for (int http2 = 0; http2 < 2; http2++) {
		listen_with((struct peer){.answer = http2 ? "0" : OK_200,
					  .alpn = http2 ? "h2" : "http/1.1"});
		peer_use_tls(&peer, "DNS:localhost", ca_file);
		start(PROTOCOL_HTTP, "https://localhost");
		size_t len = 1234567;
		uint8_t *body = malloc(len);
		for (size_t i = 0; i < len; i++)
			body[i] = (uint8_t)(i * i / 7);
		send_call(0, slice_of(body, len));
		wait_for(0);
		CHECK_EQ(outcomes[0].verdict, SENT);
		CHECK(slice_equal(buf_slice(&peer.last_body), slice_of(body, len)));
		free(body);
		stop();
	}
}

static void test_tls_believes_no_wrong_certificate(void)
{
	static char other[] = "other.example", localhost[] = "localhost";
	static const struct {
		const char *names;
		char *server_name;
		const char *reason; /* NULL: all is well */
	} rows[] = {
	    {"DNS:localhost", localhost, NULL},
	    {"DNS:localhost", no_text, "the certificate is for another name"},
	    {"IP:127.0.0.2", no_text, "the certificate is for another name"},
	    {"IP:127.0.0.1", other, "the certificate is for another name"},
	    {"DNS:127.0.0.1", no_text, "the certificate is for another name"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		listen_with((struct peer){.answer = "0", .alpn = "h2"});
		peer_use_tls(&peer, rows[i].names, ca_file);
		conf.tls.server_name = rows[i].server_name;
		start(PROTOCOL_GRPC, "https://127.0.0.1");
		struct outcome o = ask("x");
		CHECK_EQ(o.verdict, rows[i].reason == NULL ? SENT : RETRY);
		if (rows[i].reason != NULL)
			CHECK_STR(o.reason, rows[i].reason);
		CHECK_EQ(peer.requests, rows[i].reason == NULL);
		stop();
	}
}

static void test_tls_trusts_only_the_given_roots(void)
{
	listen_with((struct peer){.answer = "0", .alpn = "h2"});
	peer_use_tls(&peer, "IP:127.0.0.1", ca_file);
	struct peer other = {.answer = NULL};
	peer_use_tls(&other, "IP:127.0.0.1", ca_file); /* takes the first one's place */
	start(PROTOCOL_GRPC, "https://127.0.0.1");
	struct outcome o = ask("x");
	CHECK_EQ(o.verdict, RETRY);
	CHECK_STR(o.reason, "the certificate is not trusted");
	SSL_CTX_free(other.tls);
	stop();
}

static void test_plain_text_where_tls_was_wanted_is_named(void)
{
	listen_with((struct peer){.answer = OK_200, .answer_early = true});
	start(PROTOCOL_GRPC, "https://127.0.0.1");
	struct outcome o = ask("x");
	CHECK_EQ(o.verdict, RETRY);
	CHECK_STR(o.reason, "the peer does not speak TLS");
	stop();
}

static void test_calls_under_way_end_when_the_exporter_does(void)
{
	for (int http2 = 0; http2 < 2; http2++) {
		listen_with((struct peer){.answer = NULL, .http2 = http2});
		start(http2 ? PROTOCOL_GRPC : PROTOCOL_HTTP, "http://127.0.0.1");
		send_call(0, slice_str("on the wire"));
		while (peer.requests == 0)
			ev_run(loop, EVRUN_ONCE);
		send_call(1, slice_str("not yet"));
		stop();
		for (size_t i = 0; i < 2; i++)
			CHECK(done[i] && outcomes[i].verdict == RETRY);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_ERROR, false);
	close(mkstemp(ca_file));
	atexit(remove_ca_file);
	CHECK_MAIN(TEST(test_http1_requests_share_a_kept_connection),
		   TEST(test_http1_calls_at_once_have_connections_of_their_own),
		   TEST(test_http1_answers_end_as_they_like),
		   TEST(test_a_connection_closed_while_idle_costs_no_failure),
		   TEST(test_another_configuration_keeps_the_connection),
		   TEST(test_an_early_answer_to_a_large_body_is_heard),
		   TEST(test_silence_ends_by_the_time_limit),
		   TEST(test_a_body_that_was_given_up_is_not_touched_again),
		   TEST(test_a_follow_up_does_not_go_on_a_dying_connection),
		   TEST(test_a_backend_that_is_not_there_is_one_attempt_a_call),
		   TEST(test_a_name_is_looked_up_in_the_hosts_file),
		   TEST(test_grpc_frames_and_headers_are_right),
		   TEST(test_goaway_moves_a_call_to_a_new_connection),
		   TEST(test_grpc_calls_share_one_connection), TEST(test_tls_speaks_what_alpn_says),
		   TEST(test_tls_carries_large_bodies),
		   TEST(test_tls_believes_no_wrong_certificate),
		   TEST(test_tls_trusts_only_the_given_roots),
		   TEST(test_plain_text_where_tls_was_wanted_is_named),
		   TEST(test_calls_under_way_end_when_the_exporter_does));
}

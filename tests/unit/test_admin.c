/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "relay/admin.h"
#include "relay/certificates.h"

#include "relay/view.h"

#define SECRET "sesame-open"

/* An admin page on a port of its own, and clients on the same thread. */
struct stage {
	struct ev_loop *loop;
	struct admin *admin;
	struct conf conf;
	struct metrics metrics;
	struct account account;
	struct sender_stats stats;
	struct ledger ledger;
	struct certificates certificates;
	const char *not_ready;
	unsigned asked;
	bool unjudged;
	int fd;
	struct sockaddr_in at;
};

static void ask_ledger(void *ctx)
{
	struct stage *s = ctx;
	s->asked++;
}

static const char *not_ready(void *ctx)
{
	struct stage *s = ctx;
	return s->not_ready;
}

static const struct sender_stats *stats(void *ctx, unsigned exporter)
{
	struct stage *s = ctx;
	return exporter == 0 ? &s->stats : NULL;
}

static uint64_t box_bytes(void *ctx, unsigned exporter, enum span_place box)
{
	(void)ctx;
	return exporter * 100 + box;
}

static char commands[64];
static void quarantine(void *ctx, unsigned exporter, bool send)
{
	(void)ctx;
	size_t len = strlen(commands);
	snprintf(commands + len, sizeof(commands) - len, "%s%u ", send ? "send" : "clear",
		 exporter);
}

static uint64_t ticket; /* of the last question; 0: nothing is judged */
static uint8_t asked_id[16];
static bool explain(void *ctx, uint64_t t, const uint8_t *trace_id)
{
	struct stage *s = ctx;
	if (s->unjudged)
		return false;
	ticket = t;
	memcpy(asked_id, trace_id, sizeof(asked_id));
	return true;
}

static void raise_stage(struct stage *s)
{
	static const char TEXT[] =
	    "exporters:\n"
	    "  - { name: a, endpoint: \"http://h:1\", headers: { x-key: " SECRET " }, "
	    "tls: { insecure: true } }\n"
	    "  - { name: b, protocol: terminal }\n";
	struct buf findings = {.data = NULL};
	memset(s, 0, sizeof(*s));
	CHECK_EQ(conf_parse(&s->conf, "f", slice_str(TEXT), &findings), 0);
	s->certificates.conf = &s->conf;
	s->ledger = (struct ledger){.received = 30, .rejected = 3, .accepted = 27};
	s->ledger.n_exporters = 2;
	s->ledger.n_removed = 1;
	s->ledger.exporter[0] = (struct ledger_exporter){
	    .name = "a", .entered = 27, .sent = 20, .backend_rejected = 1, .held = {1, 3, 6}};
	s->ledger.exporter[0].dropped[DROP_REFUSED] = 2;
	s->ledger.exporter[1] = (struct ledger_exporter){.name = "b", .entered = 27, .sent = 27};
	s->ledger.exporter[2] = (struct ledger_exporter){.name = "old\"\n", .entered = 5};
	s->stats.state = SENDER_RETRYING;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	s->at =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(s->at);
	CHECK(bind(s->fd, (struct sockaddr *)&s->at, len) == 0 && listen(s->fd, 128) == 0);
	CHECK(getsockname(s->fd, (struct sockaddr *)&s->at, &len) == 0);
	s->loop = ev_loop_new(EVFLAG_AUTO);
	struct admin_options o = {.loop = s->loop,
				  .fd = s->fd,
				  .conf = &s->conf,
				  .metrics = &s->metrics,
				  .account = &s->account,
				  .ask_ledger = ask_ledger,
				  .not_ready = not_ready,
				  .stats = stats,
				  .box_bytes = box_bytes,
				  .quarantine = quarantine,
				  .explain = explain,
				  .certificates = &s->certificates,
				  .ctx = s};
	s->admin = admin_start(&o);
	CHECK(s->admin != NULL);
}

static void strike_stage(struct stage *s)
{
	admin_stop(s->admin);
	ev_loop_destroy(s->loop);
	close(s->fd);
	conf_finish(&s->conf);
}

static int dial(struct stage *s)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(fd, (struct sockaddr *)&s->at, sizeof(s->at)) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	int now = 1; /* halves of requests must not wait for acknowledgements */
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof(now)) == 0);
	return fd;
}

static void say(int fd, const char *text)
{
	CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void turn(struct stage *s)
{
	for (int i = 0; i < 4; i++)
		ev_run(s->loop, EVRUN_NOWAIT);
}

/* What has come by now; at an end, "<end>" behind it. */
static const char *hear(struct stage *s, int fd)
{
	static char text[65536];
	size_t len = 0;
	ssize_t n;
	do {
		turn(s);
		n = recv(fd, text + len, sizeof(text) - 16 - len, 0);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	snprintf(text + len, 16, "%s", n == 0 || errno == ECONNRESET ? "<end>" : "");
	return text;
}

static const char *get(struct stage *s, const char *request)
{
	int fd = dial(s);
	say(fd, request);
	turn(s);
	admin_on_ledger(s->admin, &s->ledger, NULL);
	const char *text = hear(s, fd);
	close(fd);
	return text;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void test_probes_are_answered_at_once(void)
{
	struct stage s;
	raise_stage(&s);
	CHECK(begins(get(&s, "GET /_live HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n"));
	CHECK(begins(get(&s, "GET /_ready HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n"));
	s.not_ready = "the journal is full";
	const char *text = get(&s, "GET /_ready?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	CHECK(begins(text, "HTTP/1.1 503 "));
	CHECK(strstr(text, "\r\n\r\nthe journal is full\n") != NULL);
	CHECK_EQ(s.asked, 0);
	strike_stage(&s);
}

static void test_wrong_requests_get_their_status(void)
{
	static const struct {
		const char *request, *answer;
	} CASES[] = {
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "},
	    {"GET /metricsx HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "},
	    {"POST /_live HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 405 "},
	    {"GET /_live HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	     "HTTP/1.1 400 "},
	    {"\x16\x03\x01\x02garbage\r\n\r\n", "HTTP/1.1 400 "},
	};
	struct stage s;
	raise_stage(&s);
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		CHECK(begins(get(&s, CASES[i].request), CASES[i].answer));
	strike_stage(&s);
}

static void test_a_large_request_is_refused(void)
{
	struct stage s;
	raise_stage(&s);
	int fd = dial(&s);
	say(fd, "GET /_live HTTP/1.1\r\nX: ");
	for (int i = 0; i < 100; i++)
		say(fd, "0123456789012345678901234567890123456789012345678901234567890123456789"
			"01234567890123456789012345678901234567890123456789");
	const char *text = hear(&s, fd);
	CHECK(begins(text, "HTTP/1.1 413 ") && strstr(text, "<end>") != NULL);
	close(fd);
	strike_stage(&s);
}

static void test_a_connection_serves_many_requests(void)
{
	struct stage s;
	raise_stage(&s);
	int fd = dial(&s);
	for (int i = 0; i < 3; i++) {
		say(fd, "GET /_live HTTP/1.1\r\nHost:");
		CHECK_STR(hear(&s, fd), "");
		say(fd, " x\r\n\r\n");
		const char *text = hear(&s, fd);
		CHECK(begins(text, "HTTP/1.1 200 OK\r\n") && strstr(text, "<end>") == NULL);
	}
	say(fd, "GET /_live HTTP/1.0\r\n\r\n");
	CHECK(strstr(hear(&s, fd), "<end>") != NULL);
	close(fd);
	strike_stage(&s);
}

static void test_head_has_the_length_and_no_body(void)
{
	struct stage s;
	raise_stage(&s);
	const char *text = get(&s, "HEAD /_live HTTP/1.1\r\nHost: x\r\n\r\n");
	CHECK(strstr(text, "Content-Length: 3\r\n") != NULL);
	CHECK_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	strike_stage(&s);
}

static void test_many_who_wait_cost_one_question(void)
{
	struct stage s;
	raise_stage(&s);
	int fds[5];
	for (int i = 0; i < 5; i++) {
		fds[i] = dial(&s);
		say(fds[i],
		    i == 0 ? "GET /status HTTP/1.1\r\n\r\n" : "GET /metrics HTTP/1.1\r\n\r\n");
		CHECK_STR(hear(&s, fds[i]), "");
	}
	close(fds[4]); /* one loses patience */
	CHECK_EQ(s.asked, 1);
	admin_on_ledger(s.admin, &s.ledger, NULL);
	for (int i = 0; i < 4; i++) {
		CHECK(begins(hear(&s, fds[i]), "HTTP/1.1 200 OK\r\n"));
		close(fds[i]);
	}
	strike_stage(&s);
}

static void test_no_ledger_is_a_503_and_the_next_client_asks_anew(void)
{
	struct stage s;
	raise_stage(&s);
	int fd = dial(&s);
	say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	const char *text = "";
	uint64_t begun_ms = clock_mono_ms();
	while (*text == '\0' && clock_mono_ms() - begun_ms < 5000) {
		ev_run(s.loop, EVRUN_ONCE);
		text = hear(&s, fd);
	}
	CHECK(begins(text, "HTTP/1.1 503 "));
	say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	hear(&s, fd);
	CHECK_EQ(s.asked, 2);
	close(fd);
	strike_stage(&s);
}

#define EXPLAIN(id) "GET /explain/" id " HTTP/1.1\r\nHost: x\r\n\r\n"
#define ID          "00112233445566778899aabbccddeeFF"

static void test_a_trace_is_explained_to_who_asked(void)
{
	struct stage s;
	raise_stage(&s);
	struct explanation e = {.state = SAMPLER_DECIDED, .rule = "errors", .has_details = true};
	e.decision =
	    (struct decision){.spans = 3, .verdict = VERDICT_KEPT, .trigger = TRIGGER_WAIT};
	int first = dial(&s), second = dial(&s);
	say(first, EXPLAIN(ID));
	CHECK_STR(hear(&s, first), "");
	uint64_t of_first = ticket;
	CHECK(asked_id[0] == 0 && asked_id[15] == 0xff && asked_id[7] == 0x77);
	say(second, EXPLAIN(ID));
	CHECK_STR(hear(&s, second), "");
	CHECK(ticket != of_first);
	admin_on_explained(s.admin, of_first, &e);
	const char *text = hear(&s, first);
	CHECK(begins(text, "HTTP/1.1 200 OK\r\n"));
	CHECK(strstr(text, "\"rule\": \"errors\"") != NULL && strstr(text, "\"spans\": 3") != NULL);
	CHECK_STR(hear(&s, second), "");
	close(second);
	turn(&s);
	admin_on_explained(s.admin, ticket, &e); /* it went away */
	close(first);
	strike_stage(&s);
}

static void test_what_is_no_trace_id_is_refused_and_nothing_judged_is_said(void)
{
	static const char *const WRONG[] = {EXPLAIN("0011"), EXPLAIN(ID "0"),
					    EXPLAIN("0011223344556677g899aabbccddeeFF"),
					    EXPLAIN("00112233445566778899aabbccddee%f")};
	struct stage s;
	raise_stage(&s);
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
		CHECK(begins(get(&s, WRONG[i]), "HTTP/1.1 400 "));
	CHECK(begins(get(&s, "POST /explain/" ID " HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 "));
	s.unjudged = true;
	const char *text = get(&s, EXPLAIN(ID));
	CHECK(begins(text, "HTTP/1.1 404 ") && strstr(text, "nothing is judged") != NULL);
	strike_stage(&s);
}

static void test_more_clients_than_the_limit_wait_their_turn(void)
{
	struct stage s;
	raise_stage(&s);
	int fds[70];
	for (int i = 0; i < 70; i++) {
		fds[i] = dial(&s);
		turn(&s);
	}
	for (int i = 0; i < 80; i++)
		turn(&s);
	say(fds[69], "GET /_live HTTP/1.1\r\n\r\n");
	CHECK_STR(hear(&s, fds[69]), "");
	for (int i = 0; i < 10; i++)
		close(fds[i]);
	for (int i = 0; i < 20; i++)
		turn(&s);
	CHECK(begins(hear(&s, fds[69]), "HTTP/1.1 200 OK\r\n"));
	for (int i = 10; i < 70; i++)
		close(fds[i]);
	strike_stage(&s);
}

static void test_an_operator_commands_a_quarantine_and_a_web_page_does_not(void)
{
	static const struct {
		const char *request, *status, *commands;
	} ROWS[] = {
	    {"POST /quarantine/send HTTP/1.1\r\nContent-Type: application/json\r\n", "200",
	     "send0 send1 "},
	    {"POST /quarantine/clear?exporter=b HTTP/1.1\r\nContent-Type: application/json\r\n",
	     "200", "clear1 "},
	    {"POST /quarantine/clear?exporter=c HTTP/1.1\r\nContent-Type: application/json\r\n",
	     "404", ""},
	    {"POST /quarantine/clear?b HTTP/1.1\r\nContent-Type: application/json\r\n", "404", ""},
	    {"POST /quarantine/clear HTTP/1.1\r\nContent-Type: text/plain\r\n", "415", ""},
	    {"POST /quarantine/clear HTTP/1.1\r\n", "415", ""},
	    {"GET /quarantine/clear HTTP/1.1\r\nContent-Type: application/json\r\n", "405", ""},
	    {"POST /status HTTP/1.1\r\nContent-Type: application/json\r\n", "405", ""},
	};
	struct stage s;
	raise_stage(&s);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char request[256];
		snprintf(request, sizeof(request), "%sContent-Length: 0\r\n\r\n", ROWS[i].request);
		commands[0] = '\0';
		CHECK(strncmp(get(&s, request) + strlen("HTTP/1.1 "), ROWS[i].status, 3) == 0);
		CHECK_STR(commands, ROWS[i].commands);
	}
	strike_stage(&s);
}

static void test_pages_tell_the_account_and_no_header(void)
{
	static const char *const IN_METRICS[] = {
	    "\nspanrelay_ledger_received_spans_total 30\n",
	    "\nspanrelay_exporter_spans_total{exporter=\"a\",outcome=\"sent\"} 20\n",
	    "\nspanrelay_exporter_spans_total{exporter=\"a\",outcome=\"backend_rejected\"} 1\n",
	    "\nspanrelay_exporter_dropped_spans_total{exporter=\"a\",reason=\"refused\"} 2\n",
	    "\nspanrelay_exporter_buffered_spans{exporter=\"a\"} 4\n",
	    "\nspanrelay_exporter_held_spans{exporter=\"a\",place=\"outbox\"} 3\n",
	    "\nspanrelay_exporter_box_bytes{exporter=\"b\",place=\"quarantine\"} 102\n",
	    "\nspanrelay_exporter_state{exporter=\"a\",state=\"retrying\"} 1\n",
	    "\nspanrelay_exporter_state{exporter=\"a\",state=\"ok\"} 0\n",
	    "\nspanrelay_exporter_entered_spans_total{exporter=\"old\\\"\\n\"} 5\n",
	    "\nspanrelay_memory_charged_bytes 77\n",
	};
	static const char *const IN_STATUS[] = {"\"received\": 30",
						"\"sent\": 20",
						"\"buffered\": 4",
						"\"state\": \"retrying\"",
						"\"endpoint\": \"http://h:1\"",
						"\"ready\": true",
						"\"charged_bytes\": 77"};
	struct stage s;
	raise_stage(&s);
	s.account.used = 77;
	const char *text = get(&s, "GET /metrics HTTP/1.1\r\n\r\n");
	for (size_t i = 0; i < sizeof(IN_METRICS) / sizeof(IN_METRICS[0]); i++)
		if (strstr(text, IN_METRICS[i]) == NULL) {
			printf("missing: %s", IN_METRICS[i]);
			CHECK(false);
		}
	CHECK(strstr(text, SECRET) == NULL && strstr(text, "x-key") == NULL);
	text = get(&s, "GET /status HTTP/1.1\r\n\r\n");
	for (size_t i = 0; i < sizeof(IN_STATUS) / sizeof(IN_STATUS[0]); i++)
		CHECK(strstr(text, IN_STATUS[i]) != NULL);
	CHECK(strstr(text, SECRET) == NULL && strstr(text, "x-key") == NULL);
	strike_stage(&s);
}

/* Prometheus refuses a page that tells a family twice, or a sample before its type. */
static void test_each_family_is_told_once(void)
{
	struct stage s;
	raise_stage(&s);
	char *text = strdup(strstr(get(&s, "GET /metrics HTTP/1.1\r\n\r\n"), "\r\n\r\n") + 4);
	char family[128] = "";
	int families = 0;
	for (char *rest = text, *line = strsep(&rest, "\n"); *line != '\0';
	     line = strsep(&rest, "\n")) {
		if (begins(line, "# HELP "))
			continue;
		if (begins(line, "# TYPE ")) {
			snprintf(family, sizeof(family), "%.*s", (int)strcspn(line + 7, " "),
				 line + 7);
			char again[160];
			snprintf(again, sizeof(again), "# TYPE %s ", family);
			CHECK(rest == NULL || strstr(rest, again) == NULL);
			families++;
			continue;
		}
		CHECK(begins(line, family));
	}
	CHECK(families > 30);
	free(text);
	strike_stage(&s);
}

int main(int argc, char **argv)
{
	unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
	CHECK_MAIN(
	    TEST(test_probes_are_answered_at_once), TEST(test_wrong_requests_get_their_status),
	    TEST(test_a_large_request_is_refused), TEST(test_a_connection_serves_many_requests),
	    TEST(test_head_has_the_length_and_no_body), TEST(test_many_who_wait_cost_one_question),
	    TEST(test_no_ledger_is_a_503_and_the_next_client_asks_anew),
	    TEST(test_a_trace_is_explained_to_who_asked),
	    TEST(test_what_is_no_trace_id_is_refused_and_nothing_judged_is_said),
	    TEST(test_more_clients_than_the_limit_wait_their_turn),
	    TEST(test_an_operator_commands_a_quarantine_and_a_web_page_does_not),
	    TEST(test_pages_tell_the_account_and_no_header), TEST(test_each_family_is_told_once));
}

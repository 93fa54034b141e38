/* SPDX-License-Identifier: Apache-2.0
 * The load generator: OTLP requests made beforehand, over gRPC or HTTP/1.1, as fast as answers come
 * or at a rate that does not wait for them. Prints one line of JSON. `load --help` has the options.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/clock.h"
#include "tests/bench/client.h"

enum {
	CLIENTS_MAX = 256,
	STATUS_MAX = 600, /* statuses of gRPC and HTTP; the last one: reset or lost */
	LAST_ANSWERS_MS = 15000
};

static const char HELP[] =
    "Usage: load --port N [options]\n"
    "  --port N          of 127.0.0.1\n"
    "  --http1           OTLP/HTTP on HTTP/1.1; without it gRPC\n"
    "  --tls CA          under TLS, to a certificate that this file's have signed\n"
    "  --gzip            compressed requests\n"
    "  --secrets         one span in 200 has an access key\n"
    "  --spans N         in a request (300)\n"
    "  --connections N   (4)\n"
    "  --streams N       requests in flight on each connection of gRPC (4)\n"
    "  --rate N          spans a second, whatever the answers do; without it, as fast as they "
    "come\n"
    "  --seconds N       stops after so long (10, or as long as --requests takes)\n"
    "  --requests N      stops after so many\n"
    "  --pool N          distinct requests (64)\n"
    "  --trace N         spans of a trace in plain requests (6)\n"
    "  --seed N          of their content (1)\n";

struct load {
	unsigned port, spans, trace, connections, streams;
	bool http1, gzip, secrets;
	const char *ca;
	struct tls *tls;
	double rate, seconds;
	uint64_t requests, seed;
	size_t pool;

	struct sample *samples;
	size_t next_sample;
	uint64_t ids;
	struct client clients[CLIENTS_MAX];
	unsigned next_client;
	int epoll;
	uint64_t begun_ns, sent, answered, late, bytes;
	uint64_t first_ns, last_ns; /* answers */
	uint64_t statuses[STATUS_MAX];
	uint32_t *latencies_us;
	size_t n_latencies, cap_latencies;
};

static void on_answer(void *ctx, int status, uint64_t latency_ns)
{
	struct load *l = ctx;
	l->answered++;
	l->last_ns = clock_ns(CLOCK_MONOTONIC);
	l->statuses[status >= 0 && status < STATUS_MAX - 1 ? status : STATUS_MAX - 1]++;
	if (l->n_latencies == l->cap_latencies) {
		size_t cap = l->cap_latencies == 0 ? 65536 : l->cap_latencies * 2;
		uint32_t *more = realloc(l->latencies_us, cap * sizeof(*more));
		if (more == NULL)
			return;
		l->latencies_us = more;
		l->cap_latencies = cap;
	}
	l->latencies_us[l->n_latencies++] = (uint32_t)(latency_ns / 1000);
}

/* ---- sending ---- */

/* One that no connection is in the middle of. */
static struct sample *next_sample(struct load *l)
{
	struct sample *s;
	do
		s = &l->samples[l->next_sample++ % l->pool];
	while (s->busy);
	if (s->trace_ids != NULL)
		sample_renew(s, l->trace, &l->ids);
	return s;
}

static struct client *client_with_room(struct load *l)
{
	for (unsigned i = 0; i < l->connections; i++) {
		struct client *c = &l->clients[l->next_client++ % l->connections];
		if (client_has_room(c))
			return c;
	}
	return NULL;
}

static uint64_t due_by(const struct load *l, uint64_t now_ns)
{
	if (l->rate <= 0)
		return UINT64_MAX;
	return (uint64_t)((double)(now_ns - l->begun_ns) / 1e9 * l->rate / l->spans) + 1;
}

static bool is_over(const struct load *l, uint64_t now_ns)
{
	return (l->requests != 0 && l->sent >= l->requests) ||
	       (l->seconds > 0 && (double)(now_ns - l->begun_ns) >= l->seconds * 1e9);
}

static int write_all(struct load *l)
{
	for (unsigned i = 0; i < l->connections; i++)
		if (client_write(&l->clients[i]) != 0)
			return -1;
	return 0;
}

/* Sends what is due and can be sent. A full socket leaves no room: what it takes later makes some.
 */
static int send_due(struct load *l)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), due = due_by(l, now_ns);
	struct client *c = NULL;
	do {
		while (l->sent < due && !is_over(l, now_ns) && (c = client_with_room(l)) != NULL) {
			struct sample *s = next_sample(l);
			l->bytes += s->message.len;
			client_send(c, s);
			l->sent++;
		}
		if (write_all(l) != 0)
			return -1;
		c = client_with_room(l);
	} while (l->sent < due && !is_over(l, now_ns) && c != NULL);
	l->late += l->rate > 0 && l->sent < due && !is_over(l, now_ns);
	return 0;
}

/* Until the next request is due; without a rate, answers are what we wait for. */
static struct timespec wait_time(const struct load *l)
{
	uint64_t ns = 100000000;
	if (l->rate > 0) {
		double due = (double)l->sent * l->spans / l->rate * 1e9;
		double past = (double)(clock_ns(CLOCK_MONOTONIC) - l->begun_ns);
		if (due - past < (double)ns)
			ns = due > past ? (uint64_t)(due - past) : 0;
	}
	return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static int run_round(struct load *l, struct timespec wait)
{
	struct epoll_event events[64];
	int n = epoll_pwait2(l->epoll, events, 64, &wait, NULL);
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;
		if (client_read(c) != 0)
			return -1;
	}
	return n < 0 && errno != EINTR ? -1 : 0;
}

static int run(struct load *l)
{
	l->begun_ns = clock_ns(CLOCK_MONOTONIC);
	while (!is_over(l, clock_ns(CLOCK_MONOTONIC))) {
		if (send_due(l) != 0)
			return -1;
		struct timespec wait = wait_time(l);
		if (wait.tv_nsec == 0 && client_with_room(l) == NULL)
			wait.tv_nsec = 1000000; /* only an answer makes some */
		if (run_round(l, wait) != 0)
			return -1;
	}
	uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + LAST_ANSWERS_MS * 1000000ull;
	while (l->answered < l->sent && clock_ns(CLOCK_MONOTONIC) < deadline_ns) {
		if (write_all(l) != 0 || run_round(l, (struct timespec){0, 10000000}) != 0)
			return -1;
	}
	return l->answered == l->sent ? 0 : -1;
}

/* ---- telling ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double quantile_ms(const struct load *l, double q)
{
	if (l->n_latencies == 0)
		return 0;
	return l->latencies_us[(size_t)(q * (double)(l->n_latencies - 1) + 0.5)] / 1000.;
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void tell(struct load *l, double cpu_s)
{
	double seconds = (double)(l->last_ns - l->begun_ns) / 1e9;
	uint64_t spans = l->answered * l->spans, plain = 0;
	qsort(l->latencies_us, l->n_latencies, sizeof(*l->latencies_us), by_value);
	for (size_t i = 0; i < l->pool; i++)
		plain += l->samples[i].plain_bytes;
	printf("{\"requests\": %llu, \"answered\": %llu, \"spans\": %llu, \"seconds\": %.3f, "
	       "\"spans_per_s\": %.0f, \"bytes\": %llu, \"plain_bytes_per_span\": %.1f, "
	       "\"ack_p50_ms\": %.3f, \"ack_p99_ms\": %.3f, \"ack_max_ms\": %.3f, "
	       "\"late\": %llu, \"cpu_s\": %.3f, \"answers\": {",
	       (unsigned long long)l->sent, (unsigned long long)l->answered,
	       (unsigned long long)spans, seconds, (double)spans / seconds,
	       (unsigned long long)l->bytes, (double)plain / (double)(l->pool * l->spans),
	       quantile_ms(l, .5), quantile_ms(l, .99), quantile_ms(l, 1.),
	       (unsigned long long)l->late, cpu_s);
	const char *comma = "";
	for (int i = 0; i < STATUS_MAX; i++) {
		if (l->statuses[i] == 0)
			continue;
		printf("%s\"%d\": %llu", comma, i == STATUS_MAX - 1 ? -1 : i,
		       (unsigned long long)l->statuses[i]);
		comma = ", ";
	}
	printf("}}\n");
}

/* ---- start ---- */

static int read_options(struct load *l, int argc, char **argv)
{
	static const struct option OPTIONS[] = {
	    {"port", 1, NULL, 'p'},        {"http1", 0, NULL, '1'},
	    {"gzip", 0, NULL, 'z'},        {"secrets", 0, NULL, 'k'},
	    {"spans", 1, NULL, 's'},       {"rate", 1, NULL, 'r'},
	    {"connections", 1, NULL, 'c'}, {"streams", 1, NULL, 'm'},
	    {"seconds", 1, NULL, 't'},     {"requests", 1, NULL, 'n'},
	    {"pool", 1, NULL, 'q'},        {"trace", 1, NULL, 'y'},
	    {"seed", 1, NULL, 'x'},        {"tls", 1, NULL, 'T'},
	    {"help", 0, NULL, 'h'},        {NULL, 0, NULL, 0}};
	for (int o; (o = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1;) {
		uint64_t n = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
		switch (o) {
		case 'p':
			l->port = (unsigned)n;
			break;
		case '1':
			l->http1 = true;
			break;
		case 'z':
			l->gzip = true;
			break;
		case 'k':
			l->secrets = true;
			break;
		case 's':
			l->spans = (unsigned)n;
			break;
		case 'y':
			l->trace = (unsigned)n;
			break;
		case 'r':
			l->rate = (double)n;
			break;
		case 'c':
			l->connections = (unsigned)n;
			break;
		case 'm':
			l->streams = (unsigned)n;
			break;
		case 't':
			l->seconds = strtod(optarg, NULL);
			break;
		case 'n':
			l->requests = n;
			break;
		case 'q':
			l->pool = n;
			break;
		case 'T':
			l->ca = optarg;
			break;
		case 'x':
			l->seed = n;
			break;
		default:
			fputs(HELP, o == 'h' ? stdout : stderr);
			return o == 'h' ? EX_OK : EX_USAGE;
		}
	}
	bool good = l->port != 0 && l->spans != 0 && l->connections != 0 &&
		    l->connections <= CLIENTS_MAX && l->connections < l->pool && l->streams != 0 &&
		    l->streams <= CLIENT_STREAMS_MAX && optind == argc;
	if (!good)
		fputs(HELP, stderr);
	return good ? -1 : EX_USAGE;
}

static int open_clients(struct load *l)
{
	struct tls_notes notes = {.fault = ""};
	struct tls_options o = {.where = "load", .ca_field = "tls", .ca_file = l->ca};
	l->tls = l->ca != NULL ? tls_client_create(&o, &notes) : NULL;
	if (*notes.fault != '\0') {
		fprintf(stderr, "%s\n", notes.fault);
		return -1;
	}
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < l->connections; i++) {
		struct client *c = &l->clients[i];
		struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
		if (client_open(c, l->port, l->tls, l->streams, l->http1, l->gzip, on_answer, l) !=
			0 ||
		    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct load l = {
	    .spans = 300, .trace = 6, .connections = 4, .streams = 4, .pool = 64, .seed = 1};
	int code = read_options(&l, argc, argv);
	if (code >= 0)
		return code;
	if (l.seconds <= 0 && l.requests == 0)
		l.seconds = 10;
	l.ids = (l.seed << 40 | (uint64_t)clock_wall_ms() << 20) * l.trace; /* a root comes first */
	l.samples = corpus_create(l.pool, l.spans, l.seed, l.gzip, l.secrets);
	if (l.samples == NULL || open_clients(&l) != 0)
		return EX_OSERR;
	double cpu_s = cpu_seconds();
	int rc = run(&l);
	tell(&l, cpu_seconds() - cpu_s);
	if (rc != 0)
		fprintf(stderr, "load: a connection was lost, or answers did not come\n");
	for (unsigned i = 0; i < l.connections; i++)
		client_close(&l.clients[i]);
	tls_unref(l.tls);
	corpus_destroy(l.samples, l.pool);
	free(l.latencies_us);
	return rc == 0 ? EX_OK : EX_UNAVAILABLE;
}

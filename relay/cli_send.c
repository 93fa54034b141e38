/* SPDX-License-Identifier: Apache-2.0
 * spanrelay send: sample traces by the exporters' own code, so that a relay or a backend can be
 * tried with no SDK at hand. */
#include <ev.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/header.h"
#include "exporters/exporter.h"
#include "relay/certificates.h"
#include "relay/cli.h"
#include "relay/sample.h"
#include "wire/codec.h"

enum { MAX_TRACES = 100000, MAX_HEADERS = 32, FIXED_SETTINGS = 9 };

static const char HELP[] =
    "Usage: spanrelay send [--protocol grpc|http] [--endpoint URL] [--traces N] ...\n"
    "\n"
    "Sends a sample trace of four spans, a request at an edge proxy, and prints the answer.\n"
    "\n"
    "      --endpoint URL       http://127.0.0.1:4318, for grpc http://127.0.0.1:4317; a path is "
    "used\n"
    "                           as it is, without one it is /v1/traces\n"
    "      --protocol NAME      http (the default) or grpc\n"
    "      --header NAME=VALUE  adds one; may be given again. Values stand in process lists: for "
    "a\n"
    "                           token, `--header authorization=\"$TOKEN\"` is for trying out only\n"
    "      --compression NAME   none (the default), gzip or zstd\n"
    "      --ca-file FILE       certificates to trust in place of the system's\n"
    "      --cert-file FILE     a certificate to show, with --key-file FILE, its key\n"
    "      --traces N           one after the other; 1 is the default\n"
    "  -h, --help               this text\n"
    "\n"
    "Exit codes: 0 every span was taken, 64 usage, 65 the backend calls the data bad, 75 not now "
    "(try\n"
    "again), 76 no OTLP there, 77 the credential was refused.\n";

struct sending {
	const char *protocol, *endpoint, *compression, *ca_file, *cert_file, *key_file;
	const char *headers[MAX_HEADERS];
	size_t n_headers;
	uint64_t traces;

	struct conf_exporter conf;
	struct ev_loop *loop;
	struct export_call call; /* one at a time */
	struct outcome outcome;
};

static bool take(struct sending *s, int option)
{
	char *end;
	switch (option) {
	case 'e':
		s->endpoint = optarg;
		return true;
	case 'p':
		s->protocol = strcmp(optarg, "http") == 0 ? "http/protobuf" : optarg;
		return true;
	case 'H':
		if (s->n_headers == MAX_HEADERS)
			return false;
		s->headers[s->n_headers++] = optarg;
		return true;
	case 'z':
		s->compression = optarg;
		return true;
	case 'C':
		s->ca_file = optarg;
		return true;
	case 'c':
		s->cert_file = optarg;
		return true;
	case 'k':
		s->key_file = optarg;
		return true;
	case 'n':
		s->traces = strtoull(optarg, &end, 10);
		if (*end == '\0' && s->traces >= 1 && s->traces <= MAX_TRACES)
			return true;
		fprintf(stderr, "spanrelay send: --traces wants a number from 1 to %d\n",
			MAX_TRACES);
		return false;
	default:
		return false;
	}
}

static int configure(struct sending *s)
{
	const char *settings[2 * (FIXED_SETTINGS + MAX_HEADERS)];
	size_t n = 0;
	bool grpc = strcmp(s->protocol, "grpc") == 0;
	const char *nearby = grpc ? "http://127.0.0.1:4317" : "http://127.0.0.1:4318";
	const char *fixed[][2] = {{"name", "send"},
				  {"protocol", s->protocol},
				  {"endpoint", s->endpoint != NULL ? s->endpoint : nearby},
				  {"compression", s->compression},
				  /* who names both in one breath knows where headers go */
				  {"tls.insecure", "true"},
				  {"tls.ca_file", s->ca_file},
				  {"tls.cert_file", s->cert_file},
				  {"tls.key_file", s->key_file}};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		settings[n++] = fixed[i][0];
		settings[n++] = fixed[i][1];
	}
	for (size_t i = 0; i < s->n_headers; i++) {
		settings[n++] = "header";
		settings[n++] = s->headers[i];
	}
	settings[n] = NULL;
	struct buf findings = {.data = NULL};
	int rc = conf_exporter_init(&s->conf, settings, "spanrelay send", &findings);
	if (findings.len != 0)
		fprintf(stderr, "%.*s", (int)findings.len, (const char *)findings.data);
	buf_finish(&findings);
	if (rc < 0)
		return EX_OSERR;
	return rc == 0 && s->conf.protocol != PROTOCOL_TERMINAL ? EX_OK : EX_USAGE;
}

static void on_done(struct export_call *call, struct outcome outcome)
{
	struct sending *s = container_of(call, struct sending, call);
	s->outcome = outcome;
	ev_break(s->loop, EVBREAK_ONE);
}

static int exit_code(const struct outcome *o)
{
	switch (o->verdict) {
	case SENT:
		return o->rejected == 0 ? EX_OK : EX_DATAERR;
	case RETRY:
		return EX_TEMPFAIL;
	case HOLD_AUTH:
		return EX_NOPERM;
	case HOLD_UPSTREAM:
		return EX_PROTOCOL;
	default:
		return EX_DATAERR;
	}
}

static void print_trace_id(const uint8_t id[SAMPLE_TRACE_ID])
{
	fputs("trace ", stdout);
	for (int i = 0; i < SAMPLE_TRACE_ID; i++)
		printf("%02x", id[i]);
}

static int print_outcome(const struct sending *s, uint64_t took_us)
{
	const struct outcome *o = &s->outcome;
	const char *kind = s->conf.protocol == PROTOCOL_GRPC ? "grpc-status" : "HTTP";
	char status[40] = "no answer";
	if (o->status >= 0)
		snprintf(status, sizeof(status), "%s %d", kind, o->status);
	if (o->verdict == SENT && o->rejected == 0)
		printf(": %d spans taken by %s", SAMPLE_SPANS, s->conf.endpoint);
	else if (o->verdict == SENT)
		printf(": %" PRIu64 " of %d spans rejected by %s", o->rejected, SAMPLE_SPANS,
		       s->conf.endpoint);
	else
		printf(": not taken by %s: %s", s->conf.endpoint,
		       o->reason != NULL ? o->reason : "no reason given");
	printf(" (%s, %.1f ms)", status, (double)took_us / 1000);
	if (o->retry_ms != 0)
		printf(", to be tried again in %.1f s", (double)o->retry_ms / 1000);
	puts("");
	return exit_code(o);
}

/* One trace, from its bytes to the answer. */
static int send_one(struct sending *s, const struct exporter_ops *ops, void *exporter,
		    struct codec *codec)
{
	struct buf plain = {.data = NULL}, body = {.data = NULL};
	uint8_t id[SAMPLE_TRACE_ID];
	int code = EX_OSERR;
	if (getrandom(id, sizeof(id), 0) != sizeof(id) ||
	    sample_write(&plain, id, clock_ns(CLOCK_REALTIME)) != 0 ||
	    codec_compress(codec, exporter_coding(&s->conf), buf_slice(&plain), &body) != 0)
		goto done;
	s->call = (struct export_call){
	    .body = buf_slice(&body), .spans = SAMPLE_SPANS, .on_done = on_done};
	uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC);
	ops->send(exporter, &s->call);
	ev_run(s->loop, 0);
	print_trace_id(id);
	code = print_outcome(s, (clock_ns(CLOCK_MONOTONIC) - begun_ns) / 1000);
done:
	buf_finish(&plain);
	buf_finish(&body);
	return code;
}

static int send_all(struct sending *s)
{
	_Atomic uint64_t connects = 0;
	const struct exporter_ops *ops = exporter_find(s->conf.protocol);
	struct codec *codec = codec_create();
	s->loop = ev_loop_new(EVFLAG_AUTO);
	struct tls_notes notes;
	struct tls *tls = certificates_client(&s->conf, &notes);
	bool faulty = *notes.fault != '\0';
	if (faulty)
		fprintf(stderr, "spanrelay send: %s\n", notes.fault);
	void *exporter =
	    s->loop != NULL && !faulty ? ops->create(&s->conf, tls, s->loop, &connects) : NULL;
	tls_unref(tls);
	int code = codec != NULL && exporter != NULL ? EX_OK : EX_OSERR;
	for (uint64_t i = 0; i < s->traces && code == EX_OK; i++)
		code = send_one(s, ops, exporter, codec);
	if (exporter != NULL)
		ops->destroy(exporter);
	if (s->loop != NULL)
		ev_loop_destroy(s->loop);
	codec_destroy(codec);
	return code;
}

int cli_send(int argc, char **argv)
{
	static const struct option LONG[] = {{"endpoint", required_argument, NULL, 'e'},
					     {"protocol", required_argument, NULL, 'p'},
					     {"header", required_argument, NULL, 'H'},
					     {"compression", required_argument, NULL, 'z'},
					     {"ca-file", required_argument, NULL, 'C'},
					     {"cert-file", required_argument, NULL, 'c'},
					     {"key-file", required_argument, NULL, 'k'},
					     {"traces", required_argument, NULL, 'n'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};
	struct sending s = {.protocol = "http/protobuf",
			    .compression = "none",
			    .ca_file = "",
			    .cert_file = "",
			    .key_file = "",
			    .traces = 1};
	int option;
	while ((option = getopt_long(argc, argv, "h", LONG, NULL)) != -1) {
		if (option == 'h') {
			fputs(HELP, stdout);
			return EX_OK;
		}
		if (!take(&s, option))
			return EX_USAGE;
	}
	if (optind != argc) {
		fprintf(stderr, "spanrelay send: unexpected argument: %s\n", argv[optind]);
		return EX_USAGE;
	}
	log_setup(LOG_WARN, false);
	int code = configure(&s);
	if (code == EX_OK)
		code = send_all(&s);
	conf_exporter_finish(&s.conf);
	return code;
}

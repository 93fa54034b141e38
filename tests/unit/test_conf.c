/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "check.h"
#include "conf/conf.h"
#include "conf/environment.h"
#include "conf/unit.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

static const char *const VARIABLES[] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "LS_ACCESS_TOKEN",
    "LIGHTSTEP_ACCESS_TOKEN",
    "LS_TOKEN",
    "LS_ACCESS_TOKEN_FILE",
    "LIGHTSTEP_ACCESS_TOKEN_FILE",
    "SPANRELAY_ENV_FILE",
    "CREDENTIALS_DIRECTORY",
    "T_FILE",
    "T",
    "T_SECRET",
    "T_NUMBER",
};

/* No variable of the person who runs the tests, then "NAME=value" ones, up to NULL. */
static void set_environment(const char *const *pairs)
{
	for (size_t i = 0; i < sizeof(VARIABLES) / sizeof(VARIABLES[0]); i++)
		unsetenv(VARIABLES[i]);
	for (; pairs != NULL && *pairs != NULL; pairs++) {
		const char *equals = strchr(*pairs, '=');
		char name[64];
		snprintf(name, sizeof(name), "%.*s", (int)(equals - *pairs), *pairs);
		setenv(name, equals + 1, 1);
	}
}

/* The value of a header that came out of the environment. */
static const char *revealed(const struct conf_header *h)
{
	CHECK(h->source == SOURCE_ENV && h->value == NULL);
	return (const char *)secret_reveal(h->secret).data;
}

static char findings[16384];

static int parse(struct conf *c, const char *text)
{
	struct buf out = {.data = NULL};
	int rc = conf_parse(c, "f", slice_str(text), &out);
	snprintf(findings, sizeof(findings), "%.*s", (int)out.len,
		 out.data != NULL ? (const char *)out.data : "");
	buf_finish(&out);
	return rc;
}

static const struct {
	const char *text, *findings;
} WRONG[] = {
    {"limts: {}\n", "f:1:1: unknown key \"limts\"; did you mean \"limits\"?\n"},
    {"limits: { reqest: 1MiB }\n",
     "f:1:11: unknown key \"reqest\" in limits; did you mean \"request\"?\n"},
    {"receivers: { jaeger: {} }\n",
     "f:1:14: unknown key \"jaeger\" in receivers; known here: otlp_grpc, otlp_http\n"},
    {"exporters:\n  - name: a\n    protocol: terminal\n    retry: { inital: 1s }\n",
     "f:4:14: unknown key \"inital\" in exporters[].retry; did you mean \"initial\"?\n"},
    {"exporters[]: {}\n", "f:1:1: unknown key \"exporters[]\"; did you mean \"exporters\"?\n"},
    {"limits.spans: 5\n",
     "f:1:1: unknown key \"limits.spans\"; known here: data_dir, receivers, "
     "admin, limits, journal, outbox, quarantine, audit, log, "
     "intake, shutdown, credentials, redaction, identity, clients, sampling, budgets, exporters\n"},
    {"data_dir: a\ndata_dir: b\n", "f:2:1: duplicate key \"data_dir\", first in line 1\n"},
    {"limits: 5\n", "f:1:9: limits: wanted a map of keys and values\n"},
    {"limits: { spans: [1] }\n", "f:1:18: limits.spans: wanted one value, not a list\n"},
    {"limits: { spans: }\n",
     "f:1:18: limits.spans: wanted a value; leave the key out for the default\n"},
    {"limits: { spans: many }\n", "f:1:18: limits.spans: \"many\": wanted a whole number\n"},
    {"limits: { spans: 0 }\n", "f:1:18: limits.spans: \"0\": wanted from 1 to 1000000\n"},
    {"limits: { request: 17MiB }\n",
     "f:1:20: limits.request: \"17MiB\": wanted from 1KiB to 16MiB\n"},
    {"limits: { request: 16 mebi }\n", "f:1:20: limits.request: \"16 mebi\": wanted a whole number "
				       "and a unit, such as 256KiB or 2GiB\n"},
    {"journal: { linger: 5 }\n",
     "f:1:20: journal.linger: \"5\": wanted a whole number and a unit, such as 5ms, 10s or 48h\n"},
    {"journal: { limit: 1MiB }\n", "f:1:19: journal.limit: \"1MiB\": wanted from 16MiB to 1TiB\n"},
    {"log: { level: loud }\n", "f:1:15: log.level: \"loud\": wanted error, warn, info or debug\n"},
    {"admin: { listen: 4320 }\n",
     "f:1:18: admin.listen: \"4320\": wanted an address and a port, such as 127.0.0.1:4317, "
     "0.0.0.0:4317 (all addresses) or [::1]:4317\n"},
    {"admin: { listen: \"127.0.0.1:4317\" }\n",
     "f:1:18: admin.listen: the same port as receivers.otlp_grpc.listen\n"},
    {"data_dir: \"\"\n", "f:1:11: data_dir: wanted something, at most 1024 bytes\n"},
    {"data_dir: *a\n", "f:1:11: aliases (*word) are not supported\n"},
    {"data_dir: !!str a\n", "f:1:11: tags (!word) have no meaning here\n"},
    {"data_dir: a\n---\ndata_dir: b\n", "f:2:1: a second document\n"},
    {"data_dir: [\n", "f:2:1: not YAML: did not find expected node content\n"},
    {"data_dir: \"a\\0b\"\n", "f:1:11: a value with a zero byte\n"},
    {"- a\n", "f:1:1: the file: wanted a map of keys and values\n"},
    {"[[[[[[[[[[[[[[[[[[[[\n", "f:1:17: nested deeper than 16 levels\n"},
    {"? [a]\n: b\n", "f:1:3: a key must be a word, not a list or a map\n"},
    {"exporters: 5\n", "f:1:12: exporters: wanted a list, each one a map: - { name: ... }\n"},
    {"exporters: [5]\n", "f:1:13: exporters[]: wanted a map of keys and values\n"},
    {"exporters:\n  - { protocol: grpc }\n",
     "f:2:5: exporters[].name is missing\n"
     "f:2:5: exporters[].endpoint is missing: wanted http://host:port or https://host:port\n"},
    {"exporters:\n  - { name: a, protocol: terminal }\n  - { name: a, protocol: terminal }\n",
     "f:3:13: exporters[].name: \"a\" is taken by another exporter\n"},
    {"exporters:\n  - { name: a b, protocol: terminal }\n",
     "f:2:13: exporters[].name: \"a b\": wanted letters, digits, - and _ only\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://localhost:4318\" }\n",
     "f:2:26: exporters[].endpoint: this is the relay's own receivers.otlp_http.listen: spans "
     "would go "
     "round\n"},
    {"receivers: { otlp_grpc: { listen: \"0.0.0.0:9\" } }\n"
     "exporters:\n  - { name: a, endpoint: \"http://127.0.0.2:9\" }\n",
     "f:3:26: exporters[].endpoint: this is the relay's own receivers.otlp_grpc.listen: spans "
     "would go "
     "round\n"},
    {"exporters:\n  - { name: a, endpoint: \"collector:4317\" }\n",
     "f:2:26: exporters[].endpoint: wanted http://host:port or https://host:port\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://me:sesame@h:1\" }\n",
     "f:2:26: exporters[].endpoint: wanted a URL without user, password, query, fragment or "
     "blanks\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://h:70000\" }\n",
     "f:2:26: exporters[].endpoint: wanted a port from 1 to 65535\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://h:1/x\" }\n",
     "f:2:26: exporters[].endpoint: gRPC has no path: wanted http://host:port or "
     "https://host:port\n"},
    {"exporters:\n  - name: a\n    protocol: http/protobuf\n    endpoint: http://h:1/x\n    path: "
     "/y\n",
     "f:5:11: exporters[].path: the endpoint has a path already; keep one of them\n"},
    {"exporters:\n  - { name: a, protocol: terminal, endpoint: \"http://h:1\" }\n",
     "f:2:46: exporters[].endpoint: the terminal has none\n"},
    {"exporters:\n  - name: a\n    endpoint: http://h:1\n    headers:\n      te: trailers\n      a "
     "b: c\n      x: "
     "\"a\\nb\"\n",
     "f:5:7: header te is a header that the exporter sets itself\n"
     "f:6:7: header a b is no header name\n"
     "f:7:7: header x has a value with a line break, a control character or a blank at an end, or "
     "a too "
     "long one\n"},
    {"exporters:\n  - { name: a, preset: lightstep, headers: { Lightstep-Access-Token: sesame } "
     "}\n",
     "environment: warning: LS_ACCESS_TOKEN: no access token for exporter a: what comes in is kept "
     "until "
     "the relay is started with one\n"
     "f:2:70: header lightstep-access-token: a token in a file is refused: write "
     "${env:LS_ACCESS_TOKEN}, "
     "or leave it to the preset\n"},
    {"exporters:\n  - { name: a, endpoint: \"https://h:1\", tls: { ca_file: /nonexistent } }\n",
     "f:2:57: exporters[].tls.ca_file: cannot be read: No such file or directory\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://h:1\", headers: { x: y } }\n",
     "f:2:5: exporters[].tls.insecure: headers would go to another host in plain text: wanted an "
     "https:// endpoint, or tls: { insecure: true }\n"},
    {"exporters:\n  - { name: a, endpoint: \"https://h:1\", tls: { insecure: true } }\n",
     "f:2:58: exporters[].tls.insecure: is for http:// endpoints; to believe any certificate is "
     "skip_verify\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://h:1\", tls: { skip_verify: true } }\n",
     "f:2:60: exporters[].tls.skip_verify: wanted an https:// endpoint: this one is plain text\n"},
    {"exporters:\n  - { name: a, endpoint: \"https://h:1\", tls: { skip_verify: true, "
     "server_name: x } }\n",
     "f:2:61: exporters[].tls.skip_verify: nothing would be compared with ca_file and server_name: "
     "keep one or the other\n"},
    {"receivers: { otlp_grpc: { tls: { cert_file: /dev/null } } }\n",
     "f:1:45: receivers.otlp_grpc.tls.key_file is missing: a certificate and its key belong "
     "together\n"},
    {"receivers: { otlp_http: { tls: { client_ca_file: /dev/null } } }\n",
     "f:1:50: receivers.otlp_http.tls.client_ca_file: wanted a cert_file and a key_file too\n"},
    {"receivers: { otlp_grpc: { tls: { min_version: 1.1 } } }\n",
     "f:1:47: receivers.otlp_grpc.tls.min_version: \"1.1\": wanted 1.2 or 1.3\n"
     "f:1:47: receivers.otlp_grpc.tls.min_version: wanted a cert_file and a key_file too\n"},
    {"exporters:\n  - { name: a, endpoint: \"http://h:1\", retry: { initial: 1m } }\n",
     "f:2:47: exporters[].retry: initial is longer than max\n"},
    {"data_dir: ${env:T_NUMBER}\n",
     "f:1:11: the variable T_NUMBER is not set; ${env:T_NUMBER:-...} would give it a default\n"},
    {"data_dir: ${T_NUMBER}\n",
     "f:1:11: wanted ${env:NAME} or ${env:NAME:-default}; $${ stands for ${ itself\n"},
    {"data_dir: ${env:a b}\n",
     "f:1:11: ${env:...} wants the name of a variable: letters, digits and _\n"},
    {"log: { level: ${env:T_NUMBER} }\n", "f:1:16: not YAML: did not find expected ',' or '}'; "
					  "between { and } a \"${env:NAME}\" wants quotes\n"},
};

static void test_each_wrong_file_is_told_where_and_what(void)
{
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		struct conf c;
		set_environment(NULL);
		CHECK_EQ(parse(&c, WRONG[i].text), CONF_FAULTY);
		CHECK_STR(findings, WRONG[i].findings);
		CHECK(c.data_dir == NULL && c.exporters == NULL);
	}
}

static void test_all_faults_come_at_once_in_the_order_of_the_file(void)
{
	struct conf c;
	set_environment(NULL);
	CHECK_EQ(
	    parse(&c, "exporters: [ { name: \"\" } ]\nlimits: { spans: x, request: y }\nlog: z\n"),
	    CONF_FAULTY);
	CHECK(strstr(findings, "f:1:22:") != NULL && strstr(findings, "f:2:18:") != NULL);
	CHECK(strstr(findings, "f:2:30:") != NULL && strstr(findings, "f:3:6:") != NULL);
	CHECK(strstr(findings, "f:1:22:") < strstr(findings, "f:3:6:"));
}

static void test_more_faults_than_fit_are_counted(void)
{
	struct conf c;
	struct buf text = {.data = NULL};
	for (int i = 0; i < 100; i++)
		buf_printf(&text, "unknown%d: 1\n", i);
	buf_append(&text, "", 1);
	CHECK_EQ(parse(&c, (const char *)text.data), CONF_FAULTY);
	CHECK(strstr(findings, "f: and 36 more\n") != NULL);
	buf_finish(&text);
}

static void test_an_empty_file_means_the_defaults(void)
{
	static const char *const FILES[] = {"", "# nothing\n", "limits:\nexporters:\n",
					    "exporters: []\n"};
	for (size_t i = 0; i < 4; i++) {
		struct conf c;
		set_environment(NULL);
		CHECK_EQ(parse(&c, FILES[i]), 0);
		CHECK_STR(findings, "");
		CHECK_STR(c.data_dir, "./spanrelay-data");
		CHECK_STR(c.grpc.listen, "127.0.0.1:4317");
		CHECK_STR(c.admin.listen, "127.0.0.1:4320");
		CHECK_EQ(c.limits.request_bytes, 16 << 20);
		CHECK_EQ(c.limits.spans, 65536);
		CHECK_EQ(c.journal.linger_ms, 10);
		CHECK_EQ(c.journal.limit_bytes, (int64_t)2 << 30);
		CHECK_EQ(c.shutdown_ms, 10000);
		CHECK_EQ(c.log.level, 2);
		CHECK(!c.log.json);
		CHECK_EQ(c.n_exporters, 1);
		CHECK_EQ(c.exporters[0].protocol, PROTOCOL_TERMINAL);
		CHECK(strncmp(c.exporters[0].chosen_by, "default", 7) == 0);
		conf_finish(&c);
	}
}

static void test_a_whole_file_is_read(void)
{
	static const char TEXT[] =
	    "data_dir: /var/lib/spanrelay\n"
	    "receivers: { otlp_grpc: { listen: \"localhost:1\" }, otlp_http: { listen: off } }\n"
	    "admin: { listen: \"[::1]:4320\" }\n"
	    "journal: { linger: 20ms, group: 512KiB, limit: 1GB }\n"
	    "log: { format: json, level: debug }\n"
	    "exporters:\n"
	    "  - { name: ls, preset: lightstep, endpoint: \"https://ingest.eu.lightstep.com\" }\n"
	    "  - name: collector\n"
	    "    protocol: http/protobuf\n"
	    "    endpoint: http://[::1]:14318/base\n"
	    "    compression: zstd\n"
	    "    headers: { X-Team: edge, authorization: \"Bearer ${env:T_SECRET}\" }\n"
	    "    request: 256KiB\n"
	    "    retry: { initial: 500ms, max: 2m }\n";
	static const char *const ENVIRONMENT[] = {"LS_TOKEN=" TOKEN "\n", "T_SECRET=sesame", NULL};
	struct conf c;
	set_environment(ENVIRONMENT);
	CHECK_EQ(parse(&c, TEXT), 0);
	CHECK_STR(findings, "");
	CHECK_STR(c.grpc.listen, "127.0.0.1:1");
	CHECK_STR(c.http.listen, "off");
	CHECK_STR(c.admin.listen, "[::1]:4320");
	CHECK_EQ(c.journal.limit_bytes, 1000000000);
	CHECK(c.log.json);
	CHECK_EQ(c.n_exporters, 2);
	const struct conf_exporter *e = &c.exporters[0];
	CHECK_EQ(e->preset, PRESET_LIGHTSTEP);
	CHECK_STR(e->endpoint, "https://ingest.eu.lightstep.com:443");
	CHECK_STR(e->headers[0].name, "lightstep-access-token");
	CHECK_STR(revealed(&e->headers[0]), TOKEN);
	e = &c.exporters[1];
	CHECK_STR(e->endpoint, "http://[::1]:14318");
	CHECK_STR(e->path, "/base");
	CHECK_EQ(e->compression, COMPRESSION_ZSTD);
	CHECK_STR(e->headers[0].name, "x-team");
	CHECK_STR(revealed(&e->headers[1]), "Bearer sesame");
	CHECK_EQ(e->batch_bytes, 256 << 10); /* no more than a request */
	CHECK_EQ(e->retry_max_ms, 120000);
	conf_finish(&c);
	conf_finish(&c); /* in peace */
}

static void test_variables_are_put_into_values(void)
{
	static const char *const ENVIRONMENT[] = {"T_NUMBER=7", "T_SECRET=", NULL};
	static const struct {
		const char *text, *data_dir;
	} CASES[] = {
	    {"data_dir: a${env:T_NUMBER}b${env:T_NUMBER}", "a7b7"},
	    {"data_dir: ${env:T_SECRET:-x}", "x"}, /* empty is unset */
	    {"data_dir: a${env:T_SECRET:-}", "a"},
	    {"data_dir: ${env:T_SECRET:-a:-b}", "a:-b"},
	    {"data_dir: '$${env:T_NUMBER}'", "${env:T_NUMBER}"},
	    {"data_dir: a$b", "a$b"},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct conf c;
		set_environment(ENVIRONMENT);
		CHECK_EQ(parse(&c, CASES[i].text), 0);
		CHECK_STR(c.data_dir, CASES[i].data_dir);
		conf_finish(&c);
	}
}

static void test_secrets_never_stand_in_findings(void)
{
	static const char *const KEYS[] = {
	    "data_dir: \"\\n${env:T_SECRET}\"\nbad: 1\n",
	    "limits: { spans: \"${env:T_SECRET}\" }\n",
	    "limits: { request: \"${env:T_SECRET}\" }\n",
	    "journal: { linger: \"${env:T_SECRET}\" }\n",
	    "admin: { listen: \"${env:T_SECRET}\" }\n",
	    "log: { level: \"x${env:T_SECRET}\" }\n",
	    "exporters: [ { name: \"${env:T_SECRET}\" } ]\n",
	    "exporters: [ { name: a, endpoint: \"${env:T_SECRET}\" } ]\n",
	    "exporters: [ { name: a, endpoint: \"http://h\", path: \"${env:T_SECRET}\" } ]\n",
	    "exporters: [ { name: a, endpoint: \"https://h\", tls: { server_name: "
	    "\"${env:T_SECRET}\" } } ]\n",
	    "exporters: [ { name: a, endpoint: \"https://h\", tls: { ca_file: "
	    "\"${env:T_SECRET}\" } } ]\n",
	    "exporters: [ { name: a, endpoint: \"http://h\", headers: { x: \"${env:T_SECRET}\\n\" "
	    "} } ]\n",
	    "exporters: [ { name: a, endpoint: \"http://h\", headers: \"${env:T_SECRET}\" } ]\n",
	    "limits: \"${env:T_SECRET}\"\n",
	    "\"${env:T_SECRET}\"\n",
	};
	static const char *const ENVIRONMENT[] = {"T_SECRET=@sesame@ open", NULL};
	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
		struct conf c;
		set_environment(ENVIRONMENT);
		CHECK_EQ(parse(&c, KEYS[i]), CONF_FAULTY);
		CHECK(findings[0] != '\0' && strstr(findings, "sesame") == NULL);
	}
}

/* name, protocol, endpoint, path, headers, why; or a finding. */
static const struct {
	const char *environment[5];
	const char *told, *finding;
} CHOICES[] = {
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"},
     "otlp 1 http://c:4318 /v1/traces 0 "
     "OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/base/"},
     "otlp 1 http://c:4318 /base/v1/traces 0 OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c", "OTEL_EXPORTER_OTLP_ENDPOINT=http://other:1"},
     "otlp 1 https://c:443 / 0 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c/x"},
     "otlp 1 http://c:80 /x 0 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
     "otlp 0 https://c:4317 /v1/traces 0 OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
      "OTEL_EXPORTER_OTLP_INSECURE=true"},
     "otlp 0 http://c:4317 /v1/traces 0 OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
      "OTEL_EXPORTER_OTLP_INSECURE=true"},
     "otlp 0 https://c:4317 /v1/traces 0 OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_HEADERS= a = b%20c ,d=e=f",
      "LS_TOKEN=" TOKEN, "OTEL_EXPORTER_OTLP_INSECURE=true"},
     "otlp 1 http://c:1 /v1/traces 2 OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
    {{"LS_ACCESS_TOKEN=" TOKEN},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_ACCESS_TOKEN",
     ""},
    {{"LS_TOKEN=" TOKEN, "LIGHTSTEP_ACCESS_TOKEN=" TOKEN "\n"},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LIGHTSTEP_ACCESS_TOKEN",
     ""},
    {{"LS_TOKEN=sesame"},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_TOKEN",
     "environment: warning: LS_TOKEN: Lightstep tokens have 32, 84 or 104 characters, not 6\n"},
    {{"LS_TOKEN={{ token }}"},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_TOKEN",
     "environment: warning: LS_TOKEN: what it holds holds a blank, a control character or a byte "
     "above "
     "ASCII\n"
     "environment: warning: LS_ACCESS_TOKEN: no access token for exporter lightstep: what comes in "
     "is "
     "kept until the relay is started with one\n"},
    {{"LS_ACCESS_TOKEN_FILE=/x"},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_ACCESS_TOKEN_FILE",
     ""},
    {{"LIGHTSTEP_ACCESS_TOKEN_FILE=/x", "LS_ACCESS_TOKEN_FILE=/x", "SPANRELAY_ENV_FILE=/y"},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_ACCESS_TOKEN_FILE",
     ""},
    {{"SPANRELAY_ENV_FILE=/y", "LS_TOKEN=" TOKEN},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 SPANRELAY_ENV_FILE",
     ""},
    {{"CREDENTIALS_DIRECTORY=/nowhere", "LS_TOKEN=" TOKEN},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_TOKEN",
     ""},
    {{"LS_ACCESS_TOKEN_FILE=/x", "LS_TOKEN=" TOKEN},
     NULL,
     "environment: LS_TOKEN and LS_ACCESS_TOKEN_FILE are both set: wanted one of them\n"},
    {{"LS_ACCESS_TOKEN_FILE=/x", "LIGHTSTEP_ACCESS_TOKEN_FILE=/y"},
     NULL,
     "environment: LS_ACCESS_TOKEN_FILE and LIGHTSTEP_ACCESS_TOKEN_FILE are both set and differ: "
     "wanted one of them\n"},
    {{"LS_TOKEN=developer"},
     "lightstep 0 https://ingest.lightstep.com:443 /traces/otlp/v0.9 1 LS_TOKEN",
     "environment: warning: LS_TOKEN: what it holds is the token of a satellite in developer mode, "
     "not of Lightstep\n"
     "environment: warning: LS_ACCESS_TOKEN: no access token for exporter lightstep: what comes in "
     "is kept until the relay is started with one\n"},
    {{"LS_TOKEN=sesame", "LS_ACCESS_TOKEN=" TOKEN},
     NULL,
     "environment: LS_ACCESS_TOKEN and LS_TOKEN are both set and differ: wanted one of them\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"},
     NULL,
     "environment: OTEL_EXPORTER_OTLP_ENDPOINT: this is the relay's own "
     "receivers.otlp_http.listen: "
     "spans would go round\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"},
     NULL,
     "environment: OTEL_EXPORTER_OTLP_PROTOCOL: http/json is not supported: wanted grpc or "
     "http/protobuf\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_HEADERS=a=sesame%2"},
     NULL,
     "environment: OTEL_EXPORTER_OTLP_HEADERS: an entry has a % that is not followed by two hex "
     "digits\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_TIMEOUT=5s"},
     NULL,
     "environment: OTEL_EXPORTER_OTLP_TIMEOUT: wanted milliseconds, from 100 to 600000\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_COMPRESSION=br"},
     NULL,
     "environment: OTEL_EXPORTER_OTLP_COMPRESSION: wanted gzip or none\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_CLIENT_KEY=k"},
     NULL,
     "f: exporters[].tls.cert_file is missing: a certificate and its key belong together\n"
     "f: exporters[].tls.key_file: cannot be read: No such file or directory\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_EXPORTER_OTLP_HEADERS=a=sesame"},
     NULL,
     "environment: OTEL_EXPORTER_OTLP_ENDPOINT: headers would go to another host in plain text: "
     "wanted https://, or OTEL_EXPORTER_OTLP_INSECURE=true\n"},
    {{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS=a=b"},
     "otlp 1 http://127.0.0.1:1 /v1/traces 1 OTEL_EXPORTER_OTLP_ENDPOINT",
     ""},
};

static void test_the_environment_chooses_where_the_file_does_not(void)
{
	for (size_t i = 0; i < sizeof(CHOICES) / sizeof(CHOICES[0]); i++) {
		struct conf c;
		set_environment(CHOICES[i].environment);
		CHECK_EQ(parse(&c, ""), CHOICES[i].told != NULL ? 0 : CONF_FAULTY);
		CHECK_STR(findings, CHOICES[i].finding);
		if (CHOICES[i].told == NULL)
			continue;
		const struct conf_exporter *e = &c.exporters[0];
		char told[512];
		snprintf(told, sizeof(told), "%s %d %s %s %zu %s", e->name, (int)e->protocol,
			 e->endpoint, e->path, e->n_headers, e->chosen_by);
		CHECK_STR(told, CHOICES[i].told);
		conf_finish(&c);
	}
}

static void test_header_lists_are_decoded(void)
{
	static const char *const ENVIRONMENT[] = {"OTEL_EXPORTER_OTLP_ENDPOINT=https://c:1",
						  "OTEL_EXPORTER_OTLP_HEADERS= A = b%20c ,d=e=f,",
						  NULL};
	struct conf c;
	set_environment(ENVIRONMENT);
	CHECK_EQ(parse(&c, ""), 0);
	CHECK_STR(c.exporters[0].headers[0].name, "a");
	CHECK_STR(revealed(&c.exporters[0].headers[0]), "b c");
	CHECK_STR(revealed(&c.exporters[0].headers[1]), "e=f");
	conf_finish(&c);
}

#define HEADERS(text) "exporters: [ { name: a, endpoint: \"https://h\", headers: " text " } ]\n"

/* Where a header's value comes from: name, source, path, prefix, variable; or a finding. */
static const struct {
	const char *environment[3], *text, *told, *finding;
} SOURCED[] = {
    {{NULL}, HEADERS("{ A: { file: /p } }"), "a 2 /p - -", ""},
    {{"T_FILE=/q"},
     HEADERS("{ a: { file_env: T_FILE, prefix: 'Bearer ' } }"),
     "a 2 /q Bearer  T_FILE",
     ""},
    {{"T=sesame"}, HEADERS("{ a: { env: T, prefix: 'Bearer ' } }"), "a 1 - - T", ""},
    {{NULL}, HEADERS("{ a: edge }"), "a 0 - - -", ""},
    {{NULL},
     HEADERS("{ a: { file_env: T_FILE } }"),
     NULL,
     "f:1:62: the variable T_FILE is not set: wanted the path of a file\n"},
    {{NULL}, HEADERS("{ a: { env: T } }"), NULL, "f:1:62: the variable T is not set\n"},
    {{"T=x", "T_FILE=/x"},
     HEADERS("{ a: { file_env: T_FILE } }"),
     NULL,
     "f:1:62: T and T_FILE are both set: wanted one of them\n"},
    {{"T=x", "T_FILE=/x"},
     HEADERS("{ a: { env: T } }"),
     NULL,
     "f:1:62: T and T_FILE are both set: wanted one of them\n"},
    {{"T=two words"},
     HEADERS("{ a: { env: T } }"),
     NULL,
     "f:1:62: T: what it holds holds a blank, a control character or a byte above ASCII\n"},
    {{NULL},
     HEADERS("{ a: { file: /p, env: T } }"),
     NULL,
     "f:1:62: header a: wanted one of file, file_env and env\n"},
    {{NULL},
     HEADERS("{ a: { fiel: /p } }"),
     NULL,
     "f:1:64: unknown key \"fiel\": wanted file, file_env, env or prefix\n"},
    {{NULL},
     HEADERS("{ Authorization: Bearer sesame }"),
     NULL,
     "f:1:74: header Authorization: a token in this file is refused: write { file: PATH } or "
     "{ env: NAME }\n"},
    {{NULL}, HEADERS("{ te: { file: /p } }"), NULL, ""},
    {{NULL},
     HEADERS(
	 "{}, oauth2: { token_url: 'https://h/t', client_id_file: /i, client_secret_file: /s }"),
     "authorization 4 - Bearer  -",
     ""},
    {{NULL},
     HEADERS("{}, oauth2: { token_url: 'https://h/t', client_id_file: /i }"),
     NULL,
     "f:1:69: exporters[].oauth2: wanted client_id_file and client_secret_file\n"},
    {{NULL},
     HEADERS("{}, oauth2: { token_url: 'http://h/t', client_id_file: /i, client_secret_file: /s }"),
     NULL,
     "f:1:69: exporters[].oauth2.token_url: the client's secret would go to another host in plain "
     "text: wanted https://, or tls: { insecure: true }\n"},
    {{NULL},
     HEADERS("{}, oauth2: { client_id_file: /i }"),
     NULL,
     "f:1:69: exporters[].oauth2.token_url is missing\n"},
    {{NULL},
     HEADERS("{ authorization: { file: /p } }, oauth2: { token_url: 'https://h/t', client_id_file: "
	     "/i, client_secret_file: /s }"),
     NULL,
     "f:1:98: exporters[].oauth2: authorization is there twice\n"},
};

static void test_headers_say_where_their_values_come_from(void)
{
	for (size_t i = 0; i < sizeof(SOURCED) / sizeof(SOURCED[0]); i++) {
		struct conf c;
		char told[256];
		set_environment(SOURCED[i].environment);
		int rc = parse(&c, SOURCED[i].text);
		CHECK_EQ(rc, SOURCED[i].told != NULL ? 0 : CONF_FAULTY);
		if (*SOURCED[i].finding != '\0')
			CHECK_STR(findings, SOURCED[i].finding);
		if (rc != 0)
			continue;
		const struct conf_header *h = &c.exporters[0].headers[0];
		snprintf(told, sizeof(told), "%s %d %s %s %s", h->name, (int)h->source,
			 h->path != NULL ? h->path : "-", h->prefix != NULL ? h->prefix : "-",
			 h->from != NULL ? h->from : "-");
		CHECK_STR(told, SOURCED[i].told);
		conf_finish(&c);
	}
}

/* What a variable held is not in the environment any more, and another reading finds it. */
static void test_environment_is_wiped_of_what_was_a_secret(void)
{
	static char block[] = "T=sesame-in-the-block";
	struct conf c;
	int fd[2];
	set_environment(NULL);
	putenv(block);
	CHECK_EQ(parse(&c, HEADERS("{ a: { env: T } }")), 0);
	conf_finish(&c);
	CHECK_STR(getenv("T"), "sesame-in-the-block");
	CHECK_EQ(environment_wipe(), 0);
	CHECK(getenv("T") == NULL);
	CHECK(memchr(block, 's', sizeof(block)) == NULL);
	CHECK_STR(environment_get("T"), "sesame-in-the-block");
	CHECK_EQ(parse(&c, HEADERS("{ a: { env: T } }")), 0);
	CHECK_STR(revealed(&c.exporters[0].headers[0]), "sesame-in-the-block");
	conf_finish(&c);
	CHECK(pipe(fd) == 0 && environment_hand_over(fd[1]) == 0);
	close(fd[1]);
	CHECK_EQ(environment_take_over(fd[0]), 0);
	close(fd[0]);
	CHECK_STR(environment_get("T"), "sesame-in-the-block");
}

/* As a reload does, while others may look for variables of theirs. */
static void test_a_secret_that_is_read_later_is_hidden_too(void)
{
	static char block[] = "LATE=sesame-in-the-block";
	struct buf names = {.data = NULL};
	struct conf c;
	set_environment(NULL);
	putenv(block);
	CHECK_EQ(environment_hide(&names), 0);
	CHECK_EQ(names.len, 0); /* nobody has asked for it */
	CHECK_EQ(parse(&c, HEADERS("{ a: { env: LATE } }")), 0);
	CHECK_EQ(environment_hide(&names), 0);
	CHECK(names.len == 5 && memcmp(names.data, "LATE", 5) == 0);
	CHECK_STR(block, "LATE=");
	CHECK_STR(environment_get("LATE"), "sesame-in-the-block");
	CHECK_EQ(environment_hide(&names), 0);
	CHECK_EQ(names.len, 5);
	conf_finish(&c);
	buf_finish(&names);
}

static void test_what_the_keeper_hands_over_is_not_trusted_to_be_whole(void)
{
	static const char HALF[] = "NAME\0value";
	int fd[2];
	CHECK(pipe(fd) == 0 && write(fd[1], HALF, sizeof(HALF) - 1) == sizeof(HALF) - 1);
	close(fd[1]);
	CHECK(environment_take_over(fd[0]) < 0);
	close(fd[0]);
}

static void test_units_are_those_that_people_write(void)
{
	uint64_t n = 42;
	CHECK(unit_size("256KiB", &n) == 0 && n == 262144);
	CHECK(unit_size("1MB", &n) == 0 && n == 1000000);
	CHECK(unit_size("10 gib", &n) == 0 && n == (uint64_t)10 << 30);
	CHECK(unit_size("512", &n) == 0 && n == 512);
	CHECK(unit_time("5ms", &n) == 0 && n == 5);
	CHECK(unit_time("48h", &n) == 0 && n == 172800000);
	CHECK(unit_time("0", &n) == 0 && n == 0);
	n = 42;
	static const char *const BAD[] = {"",
					  "ms",
					  "-5ms",
					  "5",
					  "1.5s",
					  "5 m s",
					  "5  s",
					  "99999999999999999999s",
					  "18446744073709551615h",
					  "5sec",
					  "+5s"};
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		CHECK(unit_time(BAD[i], &n) == UNIT_BAD && n == 42);
	CHECK_EQ(unit_count("0x10", &n), UNIT_BAD);
}

static void test_units_read_back_what_they_print(void)
{
	static const uint64_t VALUES[] = {0,     1,       999,      1000,      1024,
					  65536, 1000000, 86400000, UINT64_MAX};
	for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
		char text[UNIT_TEXT];
		uint64_t n;
		unit_print_size(text, VALUES[i]);
		CHECK(unit_size(text, &n) == 0 && n == VALUES[i]);
		unit_print_time(text, VALUES[i]);
		CHECK(unit_time(text, &n) == 0 && n == VALUES[i]);
	}
}

static void test_limits_that_shut_a_request_out_are_warned_of(void)
{
	struct conf c;
	set_environment(NULL);
	CHECK_EQ(parse(&c, "journal: { limit: 16MiB }\n"), 0);
	CHECK_STR(findings, "f:1:19: warning: journal.limit: a request as large as limits.request "
			    "will never fit\n");
	conf_finish(&c);
}

static void test_a_file_that_is_not_there_is_a_fault(void)
{
	struct conf c;
	struct buf out = {.data = NULL};
	CHECK_EQ(conf_load(&c, "/nonexistent/x.yaml", &out), CONF_FAULTY);
	CHECK(slice_is(buf_slice(&out),
		       "/nonexistent/x.yaml: cannot be read: No such file or directory\n"));
	buf_finish(&out);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_wrong_file_is_told_where_and_what),
		   TEST(test_all_faults_come_at_once_in_the_order_of_the_file),
		   TEST(test_more_faults_than_fit_are_counted),
		   TEST(test_an_empty_file_means_the_defaults), TEST(test_a_whole_file_is_read),
		   TEST(test_variables_are_put_into_values),
		   TEST(test_secrets_never_stand_in_findings),
		   TEST(test_the_environment_chooses_where_the_file_does_not),
		   TEST(test_header_lists_are_decoded),
		   TEST(test_headers_say_where_their_values_come_from),
		   TEST(test_environment_is_wiped_of_what_was_a_secret),
		   TEST(test_a_secret_that_is_read_later_is_hidden_too),
		   TEST(test_what_the_keeper_hands_over_is_not_trusted_to_be_whole),
		   TEST(test_units_are_those_that_people_write),
		   TEST(test_units_read_back_what_they_print),
		   TEST(test_limits_that_shut_a_request_out_are_warned_of),
		   TEST(test_a_file_that_is_not_there_is_a_fault));
}

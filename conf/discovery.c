/* SPDX-License-Identifier: Apache-2.0
 * Specification: opentelemetry.io/docs/specs/otel/protocol/exporter (names, path rules, header
 * form). */
#include "conf/discovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "conf/address.h"
#include "conf/environment.h"
#include "conf/header.h"
#include "conf/option.h"
#include "conf/token.h"
#include "conf/unit.h"

/* A setting of the OTLP exporter: the variable for traces goes before the one for all signals. */
struct setting {
	char variable[64];
	const char *value; /* NULL: neither is set */
	bool of_traces;
};

static struct setting setting_get(const char *name)
{
	struct setting s = {.of_traces = true};
	snprintf(s.variable, sizeof(s.variable), "OTEL_EXPORTER_OTLP_TRACES_%s", name);
	s.value = environment_get(s.variable);
	if (s.value != NULL)
		return s;
	s.of_traces = false;
	snprintf(s.variable, sizeof(s.variable), "OTEL_EXPORTER_OTLP_%s", name);
	s.value = environment_get(s.variable);
	return s;
}

static void set_protocol(struct conf_exporter *e, struct report *r)
{
	struct setting s = setting_get("PROTOCOL");
	if (s.value == NULL || strcmp(s.value, "http/protobuf") == 0)
		e->protocol = PROTOCOL_HTTP;
	else if (strcmp(s.value, "grpc") == 0)
		e->protocol = PROTOCOL_GRPC;
	else if (strcmp(s.value, "http/json") == 0)
		report_environment(r, false,
				   "%s: http/json is not supported: wanted grpc or http/protobuf",
				   s.variable);
	else
		report_environment(r, false, "%s: wanted grpc or http/protobuf", s.variable);
}

/* The base endpoint gets /v1/traces behind its path; the one for traces is used as it is. */
static void set_path(struct conf_exporter *e, const char *path, bool as_it_is, struct report *r)
{
	struct buf out = {.data = NULL};
	size_t len = strlen(path);
	if (as_it_is)
		buf_printf(&out, "%s", len != 0 ? path : "/");
	else
		buf_printf(&out, "%s%sv1/traces", path,
			   len != 0 && path[len - 1] == '/' ? "" : "/");
	if (out.data == NULL)
		r->no_memory = true;
	else
		text_set(&e->path, (const char *)out.data, r);
	buf_finish(&out);
}

/* Chooses plain text only where there is no scheme; and says that headers may go so. */
static bool is_insecure(void)
{
	struct setting s = setting_get("INSECURE");
	return s.value != NULL && strcasecmp(s.value, "true") == 0;
}

static void set_endpoint(struct conf_exporter *e, const struct setting *s, struct report *r)
{
	struct endpoint url;
	char text[ADDRESS_HOST + 64];
	const char *value = s->value;
	if (e->protocol == PROTOCOL_GRPC && strstr(value, "://") == NULL) {
		snprintf(text, sizeof(text), "%s://%s", is_insecure() ? "http" : "https", value);
		value = text;
	}
	const char *wanted = endpoint_read(&url, value);
	if (wanted != NULL) {
		report_environment(r, false, "%s: wanted %s", s->variable, wanted);
		return;
	}
	if (e->protocol == PROTOCOL_HTTP)
		set_path(e, url.path, s->of_traces, r);
	char host[ADDRESS_HOST + 32];
	endpoint_print(&url, host, sizeof(host));
	text_set(&e->endpoint, host, r);
}

static void set_compression(struct conf_exporter *e, struct report *r)
{
	struct setting s = setting_get("COMPRESSION");
	if (s.value == NULL)
		return;
	if (strcmp(s.value, "gzip") == 0)
		e->compression = COMPRESSION_GZIP;
	else if (strcmp(s.value, "none") == 0)
		e->compression = COMPRESSION_NONE;
	else
		report_environment(r, false, "%s: wanted gzip or none", s.variable);
}

static void set_timeout(struct conf_exporter *e, struct report *r)
{
	const struct option *o = option_find("exporters[].timeout");
	struct setting s = setting_get("TIMEOUT");
	uint64_t ms;
	if (s.value == NULL)
		return;
	if (unit_count(s.value, &ms) != 0 || ms < o->min || ms > o->max)
		report_environment(r, false, "%s: wanted milliseconds, from %llu to %llu",
				   s.variable, (unsigned long long)o->min,
				   (unsigned long long)o->max);
	else
		e->timeout_ms = ms;
}

static void set_headers(struct conf_exporter *e, struct report *r)
{
	struct setting s = setting_get("HEADERS");
	const char *list = s.value != NULL ? environment_get_secret(s.variable) : NULL;
	const char *wrong = list != NULL ? header_add_list(e, list, s.variable) : NULL;
	if (wrong == HEADER_OUT_OF_MEMORY)
		r->no_memory = true;
	else if (wrong != NULL)
		report_environment(r, false, "%s: an entry %s", s.variable, wrong);
}

static void set_tls(struct conf_exporter *e, struct report *r)
{
	const struct {
		const char *name;
		char **field;
	} rows[] = {{"CERTIFICATE", &e->tls.ca_file},
		    {"CLIENT_CERTIFICATE", &e->tls.cert_file},
		    {"CLIENT_KEY", &e->tls.key_file}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct setting s = setting_get(rows[i].name);
		if (s.value != NULL)
			text_set(rows[i].field, s.value, r);
	}
	e->tls.insecure = is_insecure();
}

static bool discover_otlp(struct conf_exporter *e, struct report *r)
{
	struct setting s = setting_get("ENDPOINT");
	if (s.value == NULL)
		return false;
	e->chosen_by =
	    s.of_traces ? "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" : "OTEL_EXPORTER_OTLP_ENDPOINT";
	text_set(&e->name, "otlp", r);
	set_protocol(e, r);
	set_endpoint(e, &s, r);
	set_compression(e, r);
	set_timeout(e, r);
	set_headers(e, r);
	set_tls(e, r);
	return true;
}

/* ---- Lightstep ---- */

enum { FILE_VARIABLES = 2 };
static const char *const FILE_VARIABLE_NAMES[FILE_VARIABLES] = {"LS_ACCESS_TOKEN_FILE",
								"LIGHTSTEP_ACCESS_TOKEN_FILE"};
static const char ENV_FILE[] = "SPANRELAY_ENV_FILE", SYSTEMD[] = "CREDENTIALS_DIRECTORY";

static const char *first_set(const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (environment_get(names[i]) != NULL)
			return names[i];
	return NULL;
}

/* What systemd's LoadCredential= left for us: NULL, or the path, on the heap. */
static char *systemd_path(struct report *r)
{
	const char *folder = environment_get(SYSTEMD);
	struct buf path = {.data = NULL};
	if (folder == NULL)
		return NULL;
	if (buf_printf(&path, "%s/ls_access_token", folder) != 0 || buf_append(&path, "", 1) != 0) {
		r->no_memory = true;
		buf_finish(&path);
		return NULL;
	}
	if (access((const char *)path.data, F_OK) == 0)
		return (char *)path.data;
	buf_finish(&path);
	return NULL;
}

void discover_exporter(struct conf_exporter *e, struct report *r)
{
	if (discover_otlp(e, r))
		return;
	const char *why = first_set(FILE_VARIABLE_NAMES, FILE_VARIABLES);
	char *systemd = why == NULL ? systemd_path(r) : NULL;
	if (systemd != NULL)
		why = SYSTEMD;
	free(systemd);
	if (why == NULL && environment_get(ENV_FILE) != NULL)
		why = ENV_FILE;
	if (why == NULL)
		why = first_set(TOKEN_VARIABLE_NAMES, TOKEN_VARIABLES);
	if (why != NULL) {
		e->chosen_by = why;
		e->preset = PRESET_LIGHTSTEP;
		text_set(&e->name, "lightstep", r);
		return;
	}
	e->chosen_by = "default: no OTLP endpoint and no Lightstep token in the environment";
	e->protocol = PROTOCOL_TERMINAL;
	text_set(&e->name, "terminal", r);
}

/* The name of the variable in OTEL_EXPORTER_OTLP_..._HEADERS, and its token, to be freed. */
static char *token_of_headers(struct report *r, const char **variable)
{
	static const char *const VARIABLES[] = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS",
						"OTEL_EXPORTER_OTLP_HEADERS"};
	char *token = NULL;
	for (size_t i = 0; i < 2 && token == NULL; i++) {
		const char *list = environment_get_secret(VARIABLES[i]);
		struct conf_exporter scratch = {.headers = NULL};
		if (list == NULL || header_add_list(&scratch, list, NULL) == HEADER_OUT_OF_MEMORY)
			r->no_memory |= list != NULL;
		const struct conf_header *h = header_find(&scratch, LIGHTSTEP_HEADER);
		if (h != NULL) {
			token = strdup((const char *)secret_reveal(h->secret).data);
			r->no_memory |= token == NULL;
		}
		*variable = VARIABLES[i];
		headers_finish(&scratch);
	}
	return token;
}

static struct slice trimmed(const char *text)
{
	return token_trim(slice_str(text));
}

/* The first variable wins, but two with different values are somebody's mistake. */
static const char *token_of_variables(struct report *r, const char **variable)
{
	const char *token = NULL;
	for (size_t i = 0; i < TOKEN_VARIABLES; i++) {
		const char *value = environment_get_secret(TOKEN_VARIABLE_NAMES[i]);
		if (value != NULL && token != NULL && !slice_equal(trimmed(value), trimmed(token)))
			report_environment(r, false,
					   "%s and %s are both set and differ: wanted one of them",
					   *variable, TOKEN_VARIABLE_NAMES[i]);
		if (value == NULL || token != NULL)
			continue;
		token = value;
		*variable = TOKEN_VARIABLE_NAMES[i];
	}
	return token;
}

/* The token of variables, for the life of the process. */
static void add_literal(struct conf_exporter *e, struct report *r, const char *text,
			const char *variable)
{
	struct endpoint url;
	bool has_host = endpoint_read(&url, e->endpoint) == NULL;
	struct slice token = trimmed(text);
	const char *wrong = token_fault(token, has_host ? url.to.host : NULL);
	if (wrong != NULL) {
		report_environment(r, true, "%s: what it holds %s", variable, wrong);
		return;
	}
	if (token.len != 32 && token.len != 84 && token.len != 104)
		report_environment(r, true,
				   "%s: Lightstep tokens have 32, 84 or 104 characters, not %zu",
				   variable, token.len);
	char *copy = strndup(text, token.len);
	r->no_memory |=
	    copy == NULL || header_add_secret(e, LIGHTSTEP_HEADER, copy, variable) != NULL;
	secret_free(copy);
}

static void add_file(struct conf_exporter *e, struct report *r, enum conf_value_source source,
		     const char *path, const char *variable)
{
	r->no_memory |=
	    header_add_source(e, LIGHTSTEP_HEADER, source, path, NULL, variable) != NULL;
}

/* A file and a literal of the same thing: nobody can tell which one was meant. */
static void check_file_variables(const char *file, const char *literal, struct report *r)
{
	if (file != NULL && literal != NULL)
		report_environment(r, false, "%s and %s are both set: wanted one of them", literal,
				   file);
	const char *const *names = FILE_VARIABLE_NAMES;
	const char *a = environment_get(names[0]), *b = environment_get(names[1]);
	if (a != NULL && b != NULL && strcmp(a, b) != 0)
		report_environment(r, false,
				   "%s and %s are both set and differ: wanted one of them",
				   names[0], names[1]);
}

void discover_token(struct conf_exporter *e, struct report *r)
{
	const char *variable = NULL, *file = first_set(FILE_VARIABLE_NAMES, FILE_VARIABLES);
	const char *literal = token_of_variables(r, &variable);
	char *in_headers = NULL, *systemd = file == NULL ? systemd_path(r) : NULL;
	check_file_variables(file, literal != NULL ? variable : NULL, r);
	if (file != NULL)
		add_file(e, r, SOURCE_FILE, environment_get(file), file);
	else if (systemd != NULL)
		add_file(e, r, SOURCE_FILE, systemd, SYSTEMD);
	else if (environment_get(ENV_FILE) != NULL)
		add_file(e, r, SOURCE_ENV_FILE, environment_get(ENV_FILE), ENV_FILE);
	else if (literal != NULL)
		add_literal(e, r, literal, variable);
	else if ((in_headers = token_of_headers(r, &variable)) != NULL)
		add_literal(e, r, in_headers, variable);
	free(systemd);
	secret_free(in_headers);
	if (r->no_memory || header_find(e, LIGHTSTEP_HEADER) != NULL)
		return;
	report_environment(
	    r, true,
	    "LS_ACCESS_TOKEN: no access token for exporter %s: what comes in is kept "
	    "until the relay is started with one",
	    e->name);
	add_file(e, r, SOURCE_MISSING, NULL, NULL);
}

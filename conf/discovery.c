/* SPDX-License-Identifier: Apache-2.0
 * Specification: opentelemetry.io/docs/specs/otel/protocol/exporter (names, path rules, header
 * form). */
#include "conf/discovery.h"

#include <stdio.h>
#include <strings.h>

#include "conf/address.h"
#include "conf/environment.h"
#include "conf/header.h"
#include "conf/option.h"
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
	const char *wrong = s.value != NULL ? header_add_list(e, s.value) : NULL;
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

static const char *const TOKEN_VARIABLES[] = {"LS_ACCESS_TOKEN", "LIGHTSTEP_ACCESS_TOKEN",
					      "LS_TOKEN"};
enum { N_TOKEN_VARIABLES = sizeof(TOKEN_VARIABLES) / sizeof(TOKEN_VARIABLES[0]) };

void discover_exporter(struct conf_exporter *e, struct report *r)
{
	if (discover_otlp(e, r))
		return;
	for (size_t i = 0; i < N_TOKEN_VARIABLES; i++)
		if (environment_get(TOKEN_VARIABLES[i]) != NULL) {
			e->chosen_by = TOKEN_VARIABLES[i];
			e->preset = PRESET_LIGHTSTEP;
			text_set(&e->name, "lightstep", r);
			return;
		}
	e->chosen_by = "default: no OTLP endpoint and no Lightstep token in the environment";
	e->protocol = PROTOCOL_TERMINAL;
	text_set(&e->name, "terminal", r);
}

/* Blanks and line ends behind it come from files and are no part of it. */
static char *copy_trimmed(const char *token, struct report *r)
{
	size_t len = strlen(token);
	while (len > 0 && strchr("\r\n ", token[len - 1]) != NULL)
		len--;
	char *copy = strndup(token, len);
	if (copy == NULL)
		r->no_memory = true;
	return copy;
}

/* What can be no token, whoever issued it: NULL, or what is wrong. */
static const char *token_fault(const char *token)
{
	size_t len = strlen(token);
	for (const char *c = token; *c != '\0'; c++)
		if (*c < 0x21 || *c > 0x7e)
			return "holds a blank, a control character or a byte above ASCII";
	if (len == 0 || len > 4096)
		return "is empty or longer than 4096 bytes";
	if (strstr(token, "${") != NULL || strstr(token, "{{") != NULL || *token == '<')
		return "is a template that nobody filled in";
	return NULL;
}

static char *token_of_headers(struct report *r, const char **variable)
{
	static const char *const VARIABLES[] = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS",
						"OTEL_EXPORTER_OTLP_HEADERS"};
	char *token = NULL;
	for (size_t i = 0; i < 2 && token == NULL; i++) {
		const char *list = environment_get(VARIABLES[i]);
		struct conf_exporter scratch = {.headers = NULL};
		if (list == NULL || header_add_list(&scratch, list) == HEADER_OUT_OF_MEMORY)
			r->no_memory |= list != NULL;
		const char *value = header_find(&scratch, LIGHTSTEP_HEADER);
		if (value != NULL)
			token = copy_trimmed(value, r);
		*variable = VARIABLES[i];
		headers_finish(&scratch);
	}
	return token;
}

/* The first variable wins, but two with different values are somebody's mistake. */
static char *token_of_variables(struct report *r, const char **variable)
{
	char *token = NULL;
	for (size_t i = 0; i < N_TOKEN_VARIABLES; i++) {
		const char *value = environment_get(TOKEN_VARIABLES[i]);
		char *other = value != NULL ? copy_trimmed(value, r) : NULL;
		if (other == NULL)
			continue;
		if (token == NULL) {
			token = other;
			*variable = TOKEN_VARIABLES[i];
			continue;
		}
		if (strcmp(token, other) != 0)
			report_environment(r, false,
					   "%s and %s are both set and differ: wanted one of them",
					   *variable, TOKEN_VARIABLES[i]);
		secret_free(other);
	}
	return token;
}

char *discover_token(struct report *r, const char **variable)
{
	char *token = token_of_variables(r, variable);
	if (token == NULL)
		token = token_of_headers(r, variable);
	const char *wrong = token != NULL ? token_fault(token) : NULL;
	if (wrong != NULL) {
		report_environment(r, true, "%s: what it holds %s", *variable, wrong);
		secret_free(token);
		return NULL;
	}
	size_t len = token != NULL ? strlen(token) : 32;
	if (len != 32 && len != 84 && len != 104)
		report_environment(r, true,
				   "%s: Lightstep tokens have 32, 84 or 104 characters, not %zu",
				   *variable, len);
	return token;
}

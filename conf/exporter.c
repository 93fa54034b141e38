/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/exporter.h"

#include "conf/address.h"
#include "conf/discovery.h"
#include "conf/header.h"
#include "conf/option.h"
#include "conf/tls.h"

/* What a preset says, as it would stand in a file. */
static const struct {
	enum conf_preset preset;
	const char *key, *text;
} PRESET_ROWS[] = {
    {PRESET_LIGHTSTEP, "exporters[].protocol", "grpc"},
    {PRESET_LIGHTSTEP, "exporters[].endpoint", "https://ingest.lightstep.com:443"},
    {PRESET_LIGHTSTEP, "exporters[].path", "/traces/otlp/v0.9"},
    {PRESET_LIGHTSTEP, "exporters[].compression", "gzip"},
};

void exporter_apply_preset(struct conf_exporter *e, struct report *r)
{
	for (size_t i = 0; i < sizeof(PRESET_ROWS) / sizeof(PRESET_ROWS[0]); i++)
		if (PRESET_ROWS[i].preset == e->preset)
			option_set_text(option_find(PRESET_ROWS[i].key), e, PRESET_ROWS[i].text, r);
}

/* Where to point at when something is wrong with `key`: its value, else the exporter as a whole. */
static struct place place_of(const struct node *item, const char *key)
{
	const struct node *n = node_child(item, key);
	if (n != NULL)
		return n->at;
	return item != NULL ? item->at : (struct place){0, 0};
}

static bool is_bad(const struct node *item, const char *key)
{
	const struct node *n = node_child(item, key);
	return n != NULL && n->bad;
}

/* A path in the endpoint is the path; for gRPC there is none. */
static void part_path(struct conf_exporter *e, const struct endpoint *url, const struct node *item,
		      struct report *r)
{
	bool bare = *url->path == '\0' || strcmp(url->path, "/") == 0;
	if (bare)
		return;
	if (e->protocol == PROTOCOL_GRPC)
		report_fault(r, place_of(item, "endpoint"),
			     "exporters[].endpoint: gRPC has no path: wanted http://host:port or "
			     "https://host:port");
	else if (node_child(item, "path") != NULL)
		report_fault(r, place_of(item, "path"),
			     "exporters[].path: the endpoint has a path already; keep one of them");
	else
		text_set(&e->path, url->path, r);
}

static void complete_endpoint(struct conf_exporter *e, const struct node *item, struct report *r)
{
	struct endpoint url;
	if (e->protocol == PROTOCOL_TERMINAL) {
		if (*e->endpoint != '\0')
			report_fault(r, place_of(item, "endpoint"),
				     "exporters[].endpoint: the terminal has none");
		return;
	}
	if (*e->endpoint == '\0') {
		if (node_child(item, "endpoint") == NULL)
			report_fault(r, place_of(item, "endpoint"),
				     "exporters[].endpoint is missing: wanted http://host:port or "
				     "https://host:port");
		return;
	}
	if (endpoint_read(&url, e->endpoint) != NULL)
		return; /* reported when it was set */
	part_path(e, &url, item, r);
	char text[ADDRESS_HOST + 32];
	endpoint_print(&url, text, sizeof(text));
	text_set(&e->endpoint, text, r);
}

/* What is fetched goes into the header that OAuth 2.0 has for it (RFC 6750, 2.1). */
static void complete_oauth2(struct conf_exporter *e, const struct node *item, struct report *r)
{
	const struct conf_oauth2 *o = &e->oauth2;
	bool all = *o->client_id_file != '\0' && *o->client_secret_file != '\0';
	if (*o->token_url == '\0') {
		if (node_child(item, "oauth2") != NULL)
			report_fault(r, place_of(item, "oauth2"),
				     "exporters[].oauth2.token_url is missing");
		return;
	}
	if (!all)
		report_fault(r, place_of(item, "oauth2"),
			     "exporters[].oauth2: wanted client_id_file and client_secret_file");
	struct endpoint url;
	if (endpoint_read(&url, o->token_url) == NULL && !url.tls && !url.to.loopback &&
	    !e->tls.insecure)
		report_fault(
		    r, place_of(item, "oauth2"),
		    "exporters[].oauth2.token_url: the client's secret would go to another "
		    "host in plain text: wanted https://, or tls: { insecure: true }");
	const char *wrong =
	    header_add_source(e, "authorization", SOURCE_OAUTH2, NULL, "Bearer ", NULL);
	if (wrong == HEADER_OUT_OF_MEMORY)
		r->no_memory = true;
	else if (wrong != NULL)
		report_fault(r, place_of(item, "oauth2"), "exporters[].oauth2: authorization %s",
			     wrong);
}

void exporter_complete(struct conf_exporter *e, const struct node *item, struct report *r)
{
	if (*e->name == '\0' && node_child(item, "name") == NULL)
		report_fault(r, place_of(item, "name"), "exporters[].name is missing");
	if (!is_bad(item, "endpoint") && !is_bad(item, "protocol"))
		complete_endpoint(e, item, r);
	if (e->preset == PRESET_LIGHTSTEP && header_find(e, LIGHTSTEP_HEADER) == NULL)
		discover_token(e, r);
	complete_oauth2(e, item, r);
	if (e->outbox.limit_bytes != 0 && e->outbox.limit_bytes < 16 << 20)
		report_fault(r, place_of(item, "outbox"),
			     "exporters[].outbox.limit: wanted at least 16MiB, or 0");
	if (e->retry_initial_ms > e->retry_max_ms)
		report_fault(r, place_of(item, "retry"),
			     "exporters[].retry: initial is longer than max");
	if (e->batch_bytes > e->request_bytes)
		e->batch_bytes =
		    e->request_bytes; /* as the option says: never more than a request */
	conf_tls_of_exporter(e, item, r);
	for (size_t i = 0; i < e->n_headers && e->protocol == PROTOCOL_TERMINAL; i++)
		if (i == 0)
			report_fault(r, place_of(item, "headers"),
				     "exporters[].headers: the terminal has none");
}

static const struct node *item_at(const struct node *list, size_t index)
{
	const struct node *n = list != NULL ? list->first : NULL;
	while (n != NULL && index-- > 0)
		n = n->next;
	return n;
}

/* A relay that sends to itself would fill its own journal for ever. */
static void check_loop(const struct conf *c, const struct conf_exporter *e, const struct node *item,
		       struct report *r)
{
	const struct {
		const char *key, *listen;
	} doors[] = {{"receivers.otlp_grpc.listen", c->grpc.listen},
		     {"receivers.otlp_http.listen", c->http.listen},
		     {"admin.listen", c->admin.listen}};
	struct endpoint url;
	struct address at;
	if (*e->endpoint == '\0' || endpoint_read(&url, e->endpoint) != NULL)
		return;
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
		if (address_read(&at, doors[i].listen) != NULL || !address_reaches(&url.to, &at))
			continue;
		if (item != NULL)
			report_fault(r, place_of(item, "endpoint"),
				     "exporters[].endpoint: this is the relay's own %s: spans "
				     "would go round",
				     doors[i].key);
		else
			report_environment(r, false,
					   "%s: this is the relay's own %s: spans would go round",
					   e->chosen_by, doors[i].key);
	}
}

void exporters_check(const struct conf *c, const struct node *list, struct report *r)
{
	for (size_t i = 0; i < c->n_exporters; i++) {
		const struct conf_exporter *e = &c->exporters[i];
		const struct node *item = item_at(list, i);
		check_loop(c, e, item, r);
		for (size_t j = 0; j < i; j++)
			if (*e->name != '\0' && strcmp(c->exporters[j].name, e->name) == 0)
				report_fault(
				    r, place_of(item, "name"),
				    "exporters[].name: \"%s\" is taken by another exporter",
				    e->name);
	}
}

void exporters_inherit(struct conf *c)
{
	for (size_t i = 0; i < c->n_exporters; i++) {
		struct conf_outbox *o = &c->exporters[i].outbox;
		c->exporters[i].credentials = c->credentials;
		if (o->limit_bytes == 0)
			o->limit_bytes = c->outbox.limit_bytes;
		if (o->max_age_ms == 0)
			o->max_age_ms = c->outbox.max_age_ms;
		if (o->when_full == WHEN_FULL_INHERIT)
			o->when_full = c->outbox.when_full;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/tls.h"

#include <errno.h>
#include <unistd.h>

#include "conf/address.h"

struct look {
	const char *section; /* "exporters[].tls" */
	const struct node *node, *parent;
	struct report *r;
};

static struct place place_of(const struct look *l, const char *key)
{
	const struct node *n = node_child(l->node, key);
	if (n == NULL)
		n = l->node != NULL ? l->node : l->parent;
	return n != NULL ? n->at : (struct place){0, 0};
}

/* Said in the file, whatever it says. */
static bool says(const struct look *l, const char *key)
{
	return node_child(l->node, key) != NULL;
}

static void look_at_file(const struct look *l, const char *key, const char *path)
{
	if (*path != '\0' && access(path, R_OK) != 0)
		report_fault(l->r, place_of(l, key), "%s.%s: cannot be read: %s", l->section, key,
			     strerrordesc_np(errno));
}

static void look_at_pair(const struct look *l, const struct conf_tls *t)
{
	bool cert = *t->cert_file != '\0', key = *t->key_file != '\0';
	if (cert != key)
		report_fault(l->r, place_of(l, cert ? "cert_file" : "key_file"),
			     "%s.%s is missing: a certificate and its key belong together",
			     l->section, cert ? "key_file" : "cert_file");
	look_at_file(l, "cert_file", t->cert_file);
	look_at_file(l, "key_file", t->key_file);
}

/* Headers are where tokens stand. Whoever sends them over a network in plain text must say so. */
static void look_at_plain_text(const struct look *l, const struct conf_exporter *e,
			       const struct endpoint *url)
{
	static const char *const KEYS[] = {"cert_file",   "key_file",    "ca_file",
					   "min_version", "server_name", "skip_verify"};
	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
		if (says(l, KEYS[i]))
			report_fault(l->r, place_of(l, KEYS[i]),
				     "%s.%s: wanted an https:// endpoint: this one is plain text",
				     l->section, KEYS[i]);
	if (url->to.loopback || e->n_headers == 0 || e->tls.insecure)
		return;
	if (l->parent != NULL)
		report_fault(l->r, place_of(l, "insecure"),
			     "%s.insecure: headers would go to another host in plain text: wanted "
			     "an https:// endpoint, or tls: { insecure: true }",
			     l->section);
	else
		report_environment(l->r, false,
				   "%s: headers would go to another host in plain text: wanted "
				   "https://, or OTEL_EXPORTER_OTLP_INSECURE=true",
				   e->chosen_by);
}

void conf_tls_of_exporter(const struct conf_exporter *e, const struct node *item, struct report *r)
{
	struct look l = {"exporters[].tls", node_child(item, "tls"), item, r};
	struct endpoint url;
	if (e->protocol == PROTOCOL_TERMINAL) {
		if (l.node != NULL)
			report_fault(r, l.node->at, "exporters[].tls: the terminal has none");
		return;
	}
	look_at_pair(&l, &e->tls);
	look_at_file(&l, "ca_file", e->tls.ca_file);
	if (e->tls.skip_verify && (says(&l, "ca_file") || says(&l, "server_name")))
		report_fault(r, place_of(&l, "skip_verify"),
			     "exporters[].tls.skip_verify: nothing would be compared with ca_file "
			     "and server_name: keep one or the other");
	if (*e->endpoint == '\0' || endpoint_read(&url, e->endpoint) != NULL)
		return;
	if (!url.tls)
		look_at_plain_text(&l, e, &url);
	else if (e->tls.insecure && says(&l, "insecure"))
		report_fault(r, place_of(&l, "insecure"),
			     "exporters[].tls.insecure: is for http:// endpoints; to believe any "
			     "certificate is skip_verify");
}

static void look_at_receiver(const struct look *l, const struct conf_tls *t)
{
	static const char *const KEYS[] = {"client_ca_file", "client_auth", "min_version"};
	look_at_pair(l, t);
	look_at_file(l, "client_ca_file", t->ca_file);
	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]) && *t->cert_file == '\0'; i++)
		if (says(l, KEYS[i]))
			report_fault(l->r, place_of(l, KEYS[i]),
				     "%s.%s: wanted a cert_file and a key_file too", l->section,
				     KEYS[i]);
	if (says(l, "client_auth") && *t->cert_file != '\0' && *t->ca_file == '\0')
		report_fault(l->r, place_of(l, "client_auth"),
			     "%s.client_auth: wanted a client_ca_file too", l->section);
}

void conf_tls_of_receivers(const struct conf *c, const struct node *root, struct report *r)
{
	const struct node *receivers = node_child(root, "receivers");
	const struct node *grpc = node_child(receivers, "otlp_grpc"),
			  *http = node_child(receivers, "otlp_http");
	struct look of_grpc = {"receivers.otlp_grpc.tls", node_child(grpc, "tls"), grpc, r};
	struct look of_http = {"receivers.otlp_http.tls", node_child(http, "tls"), http, r};
	look_at_receiver(&of_grpc, &c->grpc.tls);
	look_at_receiver(&of_http, &c->http.tls);
}

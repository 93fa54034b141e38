/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_tls.c - which listeners and exporters speak TLS, and until when their certificates
 * are good. */
#include "relay/admin_page.h"
#include "relay/certificates.h"

static int put_expiry(const struct certificate *one, const char *section, const char *name,
		      struct buf *out)
{
	if (one == NULL || one->expiry == 0)
		return 0;
	return buf_printf(out,
			  "spanrelay_tls_certificate_expiry_timestamp_seconds{where=\"%s.%s\"} "
			  "%lld\n",
			  section, name, (long long)one->expiry);
}

int page_tls_metrics(const struct page *p, struct buf *out)
{
	int full = page_family(out, "spanrelay_tls_certificate_expiry_timestamp_seconds", "gauge",
			       "The last second of a certificate in use, Unix time.");
	for (unsigned i = 0; i < PORTS; i++)
		full |= put_expiry(&p->certificates->receivers[i], "receivers", PORT_NAMES[i], out);
	for (unsigned i = 0; i < p->conf->n_exporters; i++)
		full |=
		    put_expiry(p->exporter_tls[i], "exporters", p->conf->exporters[i].name, out);
	return full;
}

static void add_expiry(json_t *o, const struct certificate *one)
{
	json_object_set_new(o, "certificate_expires_unix",
			    one != NULL && one->expiry != 0 ? json_integer((json_int_t)one->expiry)
							    : json_null());
}

static json_t *of_listener(const struct conf_tls *t, const struct certificate *one)
{
	static const char *const AUTH[] = {
	    [CLIENT_AUTH_REQUIRE] = "require", [CLIENT_AUTH_OPTIONAL] = "optional"};
	if (*t->cert_file == '\0')
		return json_null();
	json_t *o = json_object();
	json_object_set_new(o, "client_certificates",
			    json_string(*t->ca_file != '\0' ? AUTH[t->client_auth] : "none"));
	add_expiry(o, one);
	return o;
}

json_t *page_listener_tls(const struct page *p)
{
	json_t *o = json_object();
	json_object_set_new(
	    o, PORT_NAMES[PORT_GRPC],
	    of_listener(&p->conf->grpc.tls, &p->certificates->receivers[PORT_GRPC]));
	json_object_set_new(
	    o, PORT_NAMES[PORT_HTTP],
	    of_listener(&p->conf->http.tls, &p->certificates->receivers[PORT_HTTP]));
	return o;
}

/* In one word what the connection is worth: the two bad ones are those of the log's warnings. */
static const char *word_of(const struct conf_exporter *e)
{
	if (strncmp(e->endpoint, "https://", 8) == 0)
		return e->tls.skip_verify ? "skip_verify" : "verified";
	return e->tls.insecure ? "insecure" : "off";
}

json_t *page_exporter_tls(const struct page *p, unsigned exporter)
{
	json_t *o = json_object();
	json_object_set_new(o, "mode", json_string(word_of(&p->conf->exporters[exporter])));
	add_expiry(o, p->exporter_tls[exporter]);
	return o;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/certificates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/address.h"
#include "relay/rooms.h"

enum { WHERE = 96 };

static const char ALPN_GRPC[] = "\2h2", ALPN_HTTP[] = "\2h2\10http/1.1";

static const struct conf_tls *of_port(const struct conf *conf, enum port port)
{
	return port == PORT_GRPC ? &conf->grpc.tls : &conf->http.tls;
}

static struct tls *make_server(const struct conf *conf, enum port port, struct tls_notes *notes)
{
	const struct conf_tls *t = of_port(conf, port);
	char where[WHERE];
	snprintf(where, sizeof(where), "receivers.%s.tls", PORT_NAMES[port]);
	struct tls_options o = {
	    .where = where,
	    .cert_file = t->cert_file,
	    .key_file = t->key_file,
	    .ca_file = t->ca_file,
	    .ca_field = "client_ca_file",
	    .open_key = conf->credentials.world_readable == WORLD_READABLE_ALLOW,
	    .least = t->min_version == CONF_TLS_1_3 ? TLS_1_3 : TLS_1_2,
	    .alpn = slice_str(port == PORT_GRPC ? ALPN_GRPC : ALPN_HTTP),
	};
	if (*t->ca_file != '\0')
		o.clients =
		    t->client_auth == CLIENT_AUTH_REQUIRE ? TLS_CLIENTS_MUST : TLS_CLIENTS_MAY;
	*notes->fault = *notes->warning = '\0';
	return *t->cert_file != '\0' ? tls_server_create(&o, notes) : NULL;
}

struct tls *certificates_client(const struct conf_exporter *e, struct tls_notes *notes)
{
	const struct conf_tls *t = &e->tls;
	struct endpoint url;
	char where[WHERE];
	snprintf(where, sizeof(where), "exporters[%s].tls", e->name);
	struct tls_options o = {
	    .where = where,
	    .cert_file = t->cert_file,
	    .key_file = t->key_file,
	    .ca_file = t->ca_file,
	    .ca_field = "ca_file",
	    .open_key = e->credentials.world_readable == WORLD_READABLE_ALLOW,
	    .least = t->min_version == CONF_TLS_1_3 ? TLS_1_3 : TLS_1_2,
	    .skip_verify = t->skip_verify,
	};
	*notes->fault = *notes->warning = '\0';
	bool wanted = *e->endpoint != '\0' && endpoint_read(&url, e->endpoint) == NULL && url.tls;
	return wanted ? tls_client_create(&o, notes) : NULL;
}

/* By number: the ports, then the exporters. */
static struct certificate *at(struct certificates *c, unsigned i)
{
	return i < PORTS ? &c->receivers[i] : &c->exporters[i - PORTS];
}

static unsigned index_of(const struct certificates *c, const struct certificate *one)
{
	bool of_receiver = one >= c->receivers && one < c->receivers + PORTS;
	return of_receiver ? (unsigned)(one - c->receivers)
			   : PORTS + (unsigned)(one - c->exporters);
}

static unsigned count(const struct certificates *c)
{
	return PORTS + (unsigned)c->conf->n_exporters;
}

static struct tls *make(const struct certificates *c, unsigned i, struct tls_notes *notes)
{
	return i < PORTS ? make_server(c->conf, (enum port)i, notes)
			 : certificates_client(&c->conf->exporters[i - PORTS], notes);
}

int certificates_load(struct certificates *c, const struct conf *conf, const char *name,
		      struct buf *findings)
{
	struct tls_notes notes;
	int rc = 0;
	*c = (struct certificates){.conf = conf};
	for (unsigned i = 0; i < count(c); i++) {
		struct certificate *one = at(c, i);
		one->tls = make(c, i, &notes);
		one->expiry = tls_expiry(one->tls);
		if (*notes.fault != '\0')
			rc = CONF_FAULTY | buf_printf(findings, "%s: %s\n", name, notes.fault);
		else if (*notes.warning != '\0')
			buf_printf(findings, "%s: warning: %s\n", name, notes.warning);
	}
	if (rc != 0)
		certificates_release(c);
	return rc;
}

const struct certificate *certificates_find(const struct certificates *c, const char *exporter)
{
	for (size_t i = 0; i < c->conf->n_exporters; i++)
		if (strcmp(c->conf->exporters[i].name, exporter) == 0)
			return &c->exporters[i];
	return NULL;
}

void certificates_release(struct certificates *c)
{
	for (unsigned i = 0; c->conf != NULL && i < count(c); i++)
		tls_unref(at(c, i)->tls);
	c->conf = NULL;
}

/* ---- again ---- */

static void post(struct room *room, unsigned index, struct tls *tls)
{
	struct tls_note *note = malloc(sizeof(*note));
	if (note == NULL) {
		log_error("certificate not handed on", "room=%s reason=\"no memory\"",
			  room->rules->name);
		return; /* it goes on with the old one, until the next change */
	}
	*note = (struct tls_note){.mail.kind = MAIL_TLS, .index = index, .tls = tls_ref(tls)};
	room_answer(room, &note->mail);
}

static void send_out(struct relay *relay, unsigned i, struct tls *tls)
{
	if (i >= PORTS)
		post(&relay->export.room, i - PORTS, tls);
	for (unsigned k = 0; i < PORTS && k < relay->n_intakes; k++)
		post(&relay->intakes[k].room, i, tls);
}

static void print_where(const struct certificates *c, unsigned i, char out[WHERE])
{
	if (i < PORTS)
		snprintf(out, WHERE, "receivers.%s", PORT_NAMES[i]);
	else
		snprintf(out, WHERE, "exporters[%s]", c->conf->exporters[i - PORTS].name);
}

/* The same fault is told once, however often somebody looks. */
static void keep(struct certificate *one, const struct tls_notes *notes, struct relay *relay)
{
	if (strcmp(one->fault, notes->fault) == 0)
		return;
	memcpy(one->fault, notes->fault, sizeof(one->fault));
	metric_add(&relay->metrics, METRIC_TLS_KEPT, 1);
	log_error("certificate kept", "reason=\"%s\" hint=\"the last good one stays in use\"",
		  notes->fault);
}

/* Keys room, whatever the trigger was: the files say whether there is something new. */
static void on_read(void *ctx, const char *trigger)
{
	struct certificate *one = ctx;
	struct relay *relay = one->relay;
	struct certificates *c = relay->certificates;
	unsigned i = index_of(c, one);
	struct tls_notes notes;
	char where[WHERE];
	struct tls *fresh = make(c, i, &notes);
	if (fresh == NULL) {
		keep(one, &notes, relay);
		return;
	}
	*one->fault = '\0';
	if (tls_equal(fresh, one->tls)) {
		tls_unref(fresh);
		return;
	}
	tls_unref(one->tls);
	one->tls = fresh;
	one->expiry = tls_expiry(fresh);
	send_out(relay, i, fresh);
	metric_add(&relay->metrics, METRIC_TLS_RELOADED, 1);
	print_where(c, i, where);
	log_info("certificate changed", "where=%s trigger=%s expires_unix=%lld", where, trigger,
		 (long long)tls_expiry(fresh));
	if (*notes.warning != '\0')
		log_warn("certificate out of date", "reason=\"%s\"", notes.warning);
}

int certificates_watch(struct certificates *c, struct relay *relay)
{
	for (unsigned i = 0; i < count(c); i++) {
		const struct conf_tls *t =
		    i < PORTS ? of_port(c->conf, (enum port)i) : &c->conf->exporters[i - PORTS].tls;
		const char *files[] = {t->cert_file, t->key_file, t->ca_file};
		const char *given[sizeof(files) / sizeof(files[0])];
		size_t n = 0;
		for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++)
			if (*files[k] != '\0')
				given[n++] = files[k];
		struct certificate *one = at(c, i);
		one->relay = relay;
		if (one->tls != NULL && n != 0 &&
		    keys_register(&relay->keys, given, n, on_read, one) == NULL)
			return fail(-ENOMEM, "certificates: no memory");
	}
	return 0;
}

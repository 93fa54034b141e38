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

struct tls *certificates_server(const struct conf *conf, enum port port, struct tls_notes *notes)
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

enum { COUNT = PORTS + CONF_MAX_EXPORTERS };

static bool is_there(const struct certificates *c, unsigned i)
{
	return i < PORTS || c->exporters[i - PORTS].exporter != NULL;
}

static struct tls *make(const struct certificates *c, unsigned i, struct tls_notes *notes)
{
	return i < PORTS ? certificates_server(c->conf, (enum port)i, notes)
			 : certificates_client(c->exporters[i - PORTS].exporter, notes);
}

int certificates_load(struct certificates *c, const struct conf *conf, const char *name,
		      struct buf *findings)
{
	struct tls_notes notes;
	int rc = 0;
	*c = (struct certificates){.conf = conf};
	for (size_t i = 0; i < conf->n_exporters; i++)
		c->exporters[i].exporter = &conf->exporters[i];
	for (unsigned i = 0; i < COUNT; i++) {
		struct certificate *one = at(c, i);
		if (!is_there(c, i))
			continue;
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

void certificates_release(struct certificates *c)
{
	for (unsigned i = 0; i < COUNT; i++) {
		tls_unref(at(c, i)->tls);
		at(c, i)->tls = NULL;
	}
	c->conf = NULL;
}

/* ---- again ---- */

static void post(struct room *room, unsigned index, const struct certificate *one)
{
	struct tls_note *note = malloc(sizeof(*note));
	if (note == NULL) {
		log_error("certificate not handed on", "room=%s reason=\"no memory\"",
			  room->rules->name);
		return; /* it goes on with the old one, until the next change */
	}
	*note = (struct tls_note){.mail.kind = MAIL_TLS,
				  .index = index,
				  .since = atomic_load(&one->since),
				  .tls = tls_ref(one->tls)};
	room_answer(room, &note->mail);
}

static void send_out(struct relay *relay, unsigned i, const struct certificate *one)
{
	if (i >= PORTS)
		post(&relay->export.room, i - PORTS, one);
	for (unsigned k = 0; i < PORTS && k < relay->n_intakes; k++)
		post(&relay->intakes[k].room, i, one);
}

static void print_where(const struct certificates *c, unsigned i, char out[WHERE])
{
	if (i < PORTS)
		snprintf(out, WHERE, "receivers.%s", PORT_NAMES[i]);
	else
		snprintf(out, WHERE, "exporters[%s]", c->exporters[i - PORTS].exporter->name);
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
static void look(struct certificates *c, struct certificate *one, const char *trigger)
{
	struct relay *relay = c->relay;
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
	send_out(relay, i, one);
	metric_add(&relay->metrics, METRIC_TLS_RELOADED, 1);
	print_where(c, i, where);
	log_info("certificate changed", "where=%s trigger=%s expires_unix=%lld", where, trigger,
		 (long long)tls_expiry(fresh));
	if (*notes.warning != '\0')
		log_warn("certificate out of date", "reason=\"%s\"", notes.warning);
}

static void on_read(void *ctx, const char *trigger)
{
	struct certificate *one = ctx;
	look(one->all, one, trigger);
}

/* 0 or negative. */
static int watch(struct certificates *c, unsigned i)
{
	struct certificate *one = at(c, i);
	const struct conf_tls *t = i < PORTS ? of_port(c->conf, (enum port)i) : &one->exporter->tls;
	const char *files[] = {t->cert_file, t->key_file, t->ca_file};
	const char *given[sizeof(files) / sizeof(files[0])];
	size_t n = 0;
	for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++)
		if (*files[k] != '\0')
			given[n++] = files[k];
	if (one->tls == NULL || n == 0)
		return 0;
	one->item = keys_register(&c->relay->keys, given, n, on_read, one);
	return one->item != NULL ? 0 : fail(-ENOMEM, "certificates: no memory");
}

static uint64_t since_of(const struct world *w, unsigned i)
{
	return i < PORTS ? w->since.port[i] : w->since.tls[i - PORTS];
}

int certificates_watch(struct certificates *c, struct relay *relay)
{
	int rc = 0;
	c->relay = relay;
	for (unsigned i = 0; rc == 0 && i < COUNT; i++) {
		at(c, i)->all = c;
		atomic_store(&at(c, i)->since, since_of(relay->world, i));
		rc = is_there(c, i) ? watch(c, i) : 0;
	}
	return rc;
}

/* What the reload made of the files may be older than they are: they are looked at once more. */
static int take(struct certificates *c, const struct reload_note *n, unsigned i)
{
	struct certificate *one = at(c, i);
	uint64_t since = since_of(n->world, i);
	if (since == atomic_load(&one->since))
		return 0;
	keys_forget(&c->relay->keys, one->item);
	one->item = NULL;
	*one->fault = '\0';
	tls_unref(one->tls);
	one->tls = tls_ref(i < PORTS ? n->port_tls[i] : n->tls[i - PORTS]);
	one->expiry = tls_expiry(one->tls);
	atomic_store(&one->since, since);
	return is_there(c, i) ? watch(c, i) : 0;
}

int certificates_take(struct certificates *c, const struct reload_note *n)
{
	int rc = 0;
	c->conf = &n->world->conf;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		c->exporters[i].exporter = world_exporter(n->world, i);
	for (unsigned i = 0; rc == 0 && i < COUNT; i++)
		rc = take(c, n, i);
	return rc;
}

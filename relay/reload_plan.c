/* SPDX-License-Identifier: Apache-2.0
 * What a reload does to exporters, credentials and certificates, as far as it can be told, and
 * tried out, before anything is touched. */
#include <errno.h>
#include <string.h>

#include "conf/change.h"
#include "relay/reload.h"
#include "relay/rooms.h"

/* ---- exporters ---- */

/* What a sender takes over as it goes: nothing of it is in a connection. */
static bool is_taken_over(const char *key)
{
	static const char *const KEYS[] = {
	    "exporters[].headers",          "exporters[].timeout",
	    "exporters[].linger",           "exporters[].batch",
	    "exporters[].request",          "exporters[].concurrency",
	    "exporters[].retry.initial",    "exporters[].retry.max",
	    "exporters[].outbox.limit",     "exporters[].outbox.max_age",
	    "exporters[].outbox.when_full", "exporters[].preset"};
	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
		if (strcmp(key, KEYS[i]) == 0)
			return true;
	return strncmp(key, "exporters[].oauth2.", 19) == 0;
}

static enum exporter_move move_of(const struct reload_note *n, unsigned slot)
{
	const struct conf_exporter *was = world_exporter(n->was, slot);
	const struct conf_exporter *is = world_exporter(n->world, slot);
	if (was == NULL)
		return is == NULL ? EXPORTER_NONE : EXPORTER_ADDED;
	if (is == NULL)
		return EXPORTER_REMOVED;
	return change_of_exporter(was, is, is_taken_over) ? EXPORTER_REPLACED : EXPORTER_STAYS;
}

/* ---- what is read for them ---- */

static int fault(struct reload_note *n, const char *text)
{
	return buf_printf(&n->news.findings, "%s: nothing was changed\n", text) != 0 ? -ENOMEM
										     : CONF_FAULTY;
}

/* Certificates and addresses. */
static int make_tls(struct reload_note *n, unsigned slot, struct ev_loop *loop)
{
	const struct conf_exporter *e = world_exporter(n->world, slot);
	struct tls_notes notes;
	n->tls[slot] = certificates_client(e, &notes);
	return *notes.fault != '\0' ? fault(n, notes.fault) : sender_try(e, n->tls[slot], loop);
}

/* A file with a token may be missing, as at a start. */
static int make_credential(struct reload_note *n, unsigned slot)
{
	const struct conf_exporter *e = world_exporter(n->world, slot);
	struct tls_notes notes;
	char text[256];
	if (!keyring_fits(e)) {
		snprintf(text, sizeof(text), "exporters[%s]: more than %d files with headers",
			 e->name, WATCH_FILES);
		return fault(n, text);
	}
	n->oauth2_tls[slot] = oauth2_tls(e, &notes);
	return *notes.fault != '\0' ? fault(n, notes.fault) : 0;
}

/* ---- all of it ---- */

static int plan_exporter(struct reload_note *n, unsigned slot, struct ev_loop *loop)
{
	const struct conf_exporter *was = world_exporter(n->was, slot);
	const struct conf_exporter *is = world_exporter(n->world, slot);
	struct world_since *since = &n->world->since;
	enum exporter_move move = n->moves[slot] = move_of(n, slot);
	int rc = 0;
	if (is == NULL)
		since->exporter[slot] = since->credential[slot] = since->tls[slot] = 0;
	else if (was == NULL)
		since->exporter[slot] = n->world->number;
	if (move == EXPORTER_ADDED || move == EXPORTER_REPLACED) {
		since->tls[slot] = n->world->number;
		rc = make_tls(n, slot, loop);
	}
	if (is != NULL && (was == NULL || change_of_credential(was, is))) {
		since->credential[slot] = n->world->number;
		rc = rc == 0 ? make_credential(n, slot) : rc;
	}
	return rc;
}

static int plan_port(struct reload_note *n, enum port port)
{
	static const char *const KEYS[PORTS] = {
	    [PORT_GRPC] = "receivers.otlp_grpc.tls.", [PORT_HTTP] = "receivers.otlp_http.tls."};
	struct tls_notes notes;
	if (!change_under(KEYS[port], &n->was->conf, &n->world->conf))
		return 0;
	n->world->since.port[port] = n->world->number;
	n->port_tls[port] = certificates_server(&n->world->conf, port, &notes);
	return *notes.fault != '\0' ? fault(n, notes.fault) : 0;
}

int reload_plan(struct reload_note *n, struct ev_loop *loop)
{
	int rc = 0;
	n->world->since = n->was->since;
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS && rc == 0; i++)
		rc = plan_exporter(n, i, loop);
	for (unsigned i = 0; i < PORTS && rc == 0; i++)
		rc = plan_port(n, (enum port)i);
	return rc;
}

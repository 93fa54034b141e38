/* SPDX-License-Identifier: Apache-2.0
 * relay/admin.h - the admin page: a small HTTP/1.1 server for people, probes and Prometheus.
 *   /_live    200 as long as this room turns
 *   /_ready   200, or 503 and why not
 *   /metrics  Prometheus text format 0.0.4
 *   /status   JSON, what `spanrelay status` renders
 *   /explain/TRACE_ID  JSON, what `spanrelay explain` renders
 *   /reload   POST, with ?dry_run to be told what would change; JSON, what `spanrelay reload`
 *             renders
 *   /quarantine/send, /quarantine/clear, /credentials/drop-previous
 *             POST, with ?exporter=NAME for one of them only. The content type has to be
 * application/json: a web page cannot send that here without asking. It never shows the value of a
 * header. All of this runs in the main room and waits for nobody: what the store room knows it is
 * asked for, and the clients wait meanwhile. */
#ifndef RELAY_ADMIN_H
#define RELAY_ADMIN_H

#include <ev.h>

#include "base/charge.h"
#include "base/metric.h"
#include "conf/conf.h"
#include "exporters/sender.h"
#include "storage/store.h"

/* What is pointed to is borrowed until admin_stop(). */
struct certificate;
struct audit_head;
struct certificates;
struct keyring;
struct ruleset;
struct admin_options {
	struct ev_loop *loop;
	int fd; /* listening, non-blocking; stays the caller's */
	const struct conf *conf;
	struct metrics *metrics;
	struct account *account;
	/* A page needs the ledger: see that admin_on_ledger() is called, not from within. At most
	 * one question is open at a time, however many clients wait; none that got no answer in 2
	 * s. */
	void (*ask_ledger)(void *ctx);
	const char *(*not_ready)(
	    void *ctx); /* why clients should go elsewhere; NULL: they need not */
	const struct sender_stats *(*stats)(void *ctx,
					    unsigned exporter); /* index in conf; or NULL */
	/* Bytes on disk of an exporter's box. */
	uint64_t (*box_bytes)(void *ctx, unsigned exporter, enum span_place box);
	/* What an operator wants of an exporter's quarantine: sent once more, or given up. */
	void (*quarantine)(void *ctx, unsigned exporter, bool send);
	/* The same, of an exporter's previous credential: it ends. */
	void (*drop_previous)(void *ctx, unsigned exporter);
	/* NULL: none is shown. *is_old: its last reading was of the source before. */
	const struct keyring *(*keyring)(void *ctx, unsigned exporter, bool *is_old);
	const struct certificate *(*certificate)(void *ctx, unsigned exporter); /* or NULL */
	/* What became of a trace: see that admin_on_explained() is called with the ticket, not from
	 * within. false: nothing is judged here. */
	bool (*explain)(void *ctx, uint64_t ticket, const uint8_t *trace_id);
	/* Has the configuration read again, or only looked at. Gives the number of the turn: see
	 * that admin_on_reloaded() is called when it is over, not from within. */
	uint64_t (*reload)(void *ctx, bool dry_run);
	const struct ruleset *rules; /* of redaction, or NULL */
	const struct certificates *certificates;
	/* How often what was found at a place (redaction/redact.h). */
	uint64_t (*redacted)(void *ctx, uint32_t number, unsigned position);
	const struct audit_head *checkpoint; /* of the audit log; seq 0, or NULL: there is none */
	void *ctx;
};

struct admin;
struct judge_view;
struct explanation;
struct admin *admin_start(const struct admin_options *o); /* NULL: no memory */
void admin_stop(struct admin *a);                         /* NULL is fine */

/* The answer to ask_ledger(); `judge` may be NULL. */
void admin_on_ledger(struct admin *a, const struct ledger *ledger, const struct judge_view *judge);

/* What pages are about from now on; borrowed as in admin_options. */
void admin_use(struct admin *a, const struct conf *conf, const struct ruleset *rules);

/* The answer to reload(). */
struct reload_note;
void admin_on_reloaded(struct admin *a, const struct reload_note *n);

/* The answer to explain(). */
void admin_on_explained(struct admin *a, uint64_t ticket, const struct explanation *e);

#endif

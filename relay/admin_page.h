/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_page.h - what the admin page says, apart from how it is asked. */
#ifndef RELAY_ADMIN_PAGE_H
#define RELAY_ADMIN_PAGE_H

#include <jansson.h>

#include "base/buf.h"
#include "relay/admin.h"
#include "relay/view.h"

enum { PAGE_MAX_BYTES = 1 << 20 };

/* All that a page is made from; borrowed. */
struct page {
	const struct conf *conf;
	const struct metrics *metrics;
	const struct ledger *ledger;
	const struct judge_view *judge;                         /* NULL: nothing is judged */
	const struct sender_stats *senders[CONF_MAX_EXPORTERS]; /* by the index in conf; or NULL */
	uint64_t box_bytes[CONF_MAX_EXPORTERS][PLACES];         /* likewise */
	const struct keyring *rings[CONF_MAX_EXPORTERS];        /* likewise; or NULL */
	bool ring_is_old[CONF_MAX_EXPORTERS];
	const struct certificate *exporter_tls[CONF_MAX_EXPORTERS]; /* likewise; or NULL */
	uint64_t charged_bytes;
	uint64_t started_unix_ms, uptime_ms;
	const char *not_ready;       /* NULL: it is */
	const struct ruleset *rules; /* and so on: as in struct admin_options */
	uint64_t (*redacted)(void *ctx, uint32_t number, unsigned position);
	const struct certificates *certificates;
	const struct audit_head *checkpoint;
	void *ctx;
};

/* Both append to `out`: 0 or BUF_FULL. */
int page_metrics(const struct page *p, struct buf *out);
int page_status(const struct page *p, struct buf *out);

/* relay/admin_reload.c: what came of one, and what runs now. */
struct reload_note;
int page_reload(const struct reload_note *n, struct buf *out);
json_t *page_configuration(const struct page *p);

int page_explanation(const struct explanation *e, struct buf *out);

/* The two lines before a metric's samples. */
int page_family(struct buf *out, const char *name, const char *kind, const char *help);

/* relay/admin_sampling.c: their parts about rules and budgets. */
int page_sampling_metrics(const struct page *p, struct buf *out);
json_t *page_sampling(const struct page *p);

/* relay/admin_tls.c */
int page_tls_metrics(const struct page *p, struct buf *out);
json_t *page_listener_tls(const struct page *p);
json_t *page_exporter_tls(const struct page *p, unsigned exporter);

/* relay/admin_credentials.c */
int page_credential_metrics(const struct page *p, struct buf *out);
json_t *page_credential(const struct page *p, unsigned exporter);

/* relay/admin_redaction.c */
int page_redaction_metrics(const struct page *p, struct buf *out);

#endif

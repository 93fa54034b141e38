/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_page.h - what the admin page says, apart from how it is asked. */
#ifndef RELAY_ADMIN_PAGE_H
#define RELAY_ADMIN_PAGE_H

#include "base/buf.h"
#include "relay/admin.h"

enum { PAGE_MAX_BYTES = 1 << 20 };

/* All that a page is made from; borrowed. */
struct page {
	const struct conf *conf;
	const struct metrics *metrics;
	const struct ledger *ledger;
	const struct sender_stats *senders[CONF_MAX_EXPORTERS]; /* by the index in conf; or NULL */
	uint64_t box_bytes[CONF_MAX_EXPORTERS][PLACES];         /* likewise */
	uint64_t charged_bytes;
	uint64_t started_unix_ms, uptime_ms;
	const char *not_ready; /* NULL: it is */
};

/* Both append to `out`: 0 or BUF_FULL. */
int page_metrics(const struct page *p, struct buf *out);
int page_status(const struct page *p, struct buf *out);

#endif

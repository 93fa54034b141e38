/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_redaction.c - what the rules of redaction found, and where. */
#include <inttypes.h>

#include "redaction/redact.h"
#include "relay/admin_page.h"

static int put_number(const struct page *p, uint32_t number, struct buf *out)
{
	int full = 0;
	for (unsigned i = 0; i < POSITIONS; i++) {
		uint64_t n = p->redacted(p->ctx, number, i);
		if (n != 0)
			full |=
			    buf_printf(out,
				       "spanrelay_redactions_total{rule=\"%s\",position=\"%s\"} "
				       "%" PRIu64 "\n",
				       ruleset_id(p->rules, number), POSITION_NAMES[i], n);
	}
	return full;
}

int page_redaction_metrics(const struct page *p, struct buf *out)
{
	if (p->rules == NULL)
		return 0;
	int full = page_family(out, "spanrelay_redactions_total", "counter",
			       "Secrets found, by rule and where in a span; of those that are "
			       "masked because they cannot be looked through, too.");
	for (uint32_t number = 0; number < ruleset_numbers(p->rules); number++)
		full |= put_number(p, number, out);
	return full;
}

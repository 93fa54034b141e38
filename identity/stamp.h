/* SPDX-License-Identifier: Apache-2.0
 * identity/stamp.h - the relay's word on who sent a request, written into it: attributes
 * `spanrelay.identity.*` of each resource. What a sender wrote under such keys, of a resource, a
 * scope, a span, an event or a link, is taken out first. */
#ifndef IDENTITY_STAMP_H
#define IDENTITY_STAMP_H

#include "base/buf.h"
#include "wire/otlp_rewrite.h"

enum { STAMP_TOO_LARGE = 1 };

/* NULL or "" says nothing. Verified is who has a client's name. */
struct stamp_words {
	const char *source, *client, *environment, *role;
};

/* Appends the attributes as fields of a Resource. 0 or negative: no memory. */
int stamp_write(struct buf *out, const struct stamp_words *w);

/* What a room keeps for it; a zeroed one is ready. */
struct stamper {
	struct otlp_rewrite plan;
	struct otlp_change *changes;
	uint32_t n, cap;
	struct buf resource; /* for ResourceSpans that have none */
};
void stamper_finish(struct stamper *s);

/* Changes `body`, a vetted request, into one with those attributes. `forged`: there may be such
 * keys in it (otlp_index.reserved); *stripped counts them up. STAMP_TOO_LARGE: it would have more
 * than `limit` bytes; 0, or negative: no memory. */
int stamp_request(struct stamper *s, struct buf *body, struct slice attributes, bool forged,
		  size_t limit, uint64_t *stripped);

#endif

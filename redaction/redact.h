/* SPDX-License-Identifier: Apache-2.0
 * redaction/redact.h - takes the secrets out of a vetted request before anyone else sees it.
 *
 *   gather: every text of the request, and a decoded copy of what is encoded in it, into one text
 *   scan:   where secrets are (redaction/scan.h)
 *   mask:   in place where the length stays; else the spans that were hit are written anew
 *
 * What masking leaves of a value is looked at again, so that a second redactor finds nothing.
 *
 * A redactor belongs to one intake room; its rule set may be another from request to request. It
 * keeps a reference to the last one, until the next request or its own end. */
#ifndef REDACTION_REDACT_H
#define REDACTION_REDACT_H

#include "base/buf.h"
#include "redaction/ruleset.h"

/* Where in a request a text stands. OTLP 1.11.0: trace/v1, resource/v1 and common/v1. */
enum position {
	POSITION_RESOURCE_ATTRIBUTE,
	POSITION_ENTITY_REF,
	POSITION_RESOURCE_SCHEMA_URL,
	POSITION_SCOPE_SCHEMA_URL,
	POSITION_SCOPE_NAME,
	POSITION_SCOPE_VERSION,
	POSITION_SCOPE_ATTRIBUTE,
	POSITION_SPAN_NAME,
	POSITION_TRACE_STATE,
	POSITION_SPAN_ATTRIBUTE,
	POSITION_EVENT_NAME,
	POSITION_EVENT_ATTRIBUTE,
	POSITION_LINK_TRACE_STATE,
	POSITION_LINK_ATTRIBUTE,
	POSITION_STATUS_MESSAGE,
	POSITION_KEY,  /* of an attribute, at any depth */
	POSITION_TEXT, /* in no request: `spanrelay redact` */
	POSITIONS
};
extern const char *const POSITION_NAMES[POSITIONS];

enum { REDACT_DEPTH = 2 /* encodings within encodings */ };

struct redactor;
struct redactor *redactor_create(void); /* NULL: no memory */
void redactor_destroy(struct redactor *r);

struct redaction_counts {
	uint64_t hits, masked_bytes; /* of this request */
	uint64_t spans;              /* that were changed */
	uint64_t unknown_fields;     /* that were taken out, fields of profiles included */
};

/* Cleans the request in `body`, which passed otlp_index() and has its edits applied. It never grows
 * past max_bytes: where a mask would make it, secrets keep their length. 0, or negative: no memory,
 * and the body is not to be used. */
int redact_request(struct redactor *r, struct ruleset *set, struct buf *body, size_t max_bytes,
		   struct redaction_counts *counts);

/* What would be masked in one text, encodings looked into: ranges that neither overlap nor touch,
 * in their order, each with one of the rules that found it. They are the redactor's, until the next
 * call. `key` may be empty. 0, or negative: no memory. */
struct redact_range {
	size_t start, end;
	uint32_t number;
};
int redact_text(struct redactor *r, struct ruleset *set, struct slice key, struct slice text,
		const struct redact_range **ranges, uint32_t *n);

/* Writes `text` with `ranges` masked as each one's rule says. 0 or BUF_FULL. */
int redact_write(const struct ruleset *set, struct slice text, const struct redact_range *ranges,
		 uint32_t n, struct buf *out);

/* How often rule `number` of the set was found at a position since the redactor was made or the set
 * changed: for metrics, read from any thread. */
uint64_t redactor_count(const struct redactor *r, uint32_t number, enum position p);

#endif

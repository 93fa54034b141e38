/* SPDX-License-Identifier: Apache-2.0
 * audit/record.h - one record of the audit log: who decided what about what, and why. It is written
 * as one line of canonical JSON: the fields below in this order, no blanks, a field that has
 * nothing to say left out, text in printable ASCII (anything else becomes `?`, as in the log). So
 * the same record is always the same bytes, and a mac over the bytes is one over the record.
 *
 *   {"seq":7,"ts":"2026-01-01T00:00:00.000Z","boot_id":"...","kind":"credential","subject":"main",
 *    "decision":"changed","reason":"signal","rule_id":..,"policy_hash":..,"config_hash":..,
 *    "sender":..,"trace_id":..,"detail":{..},"counts":{..},"prev":"<64 hex>","mac":"<64 hex>"}
 *
 * (without the line breaks). seq, ts, boot_id, kind, prev and mac are in each; audit/chain.h adds
 * them. Never a secret, a header value or a token: those are here by fingerprint.
 *
 * Source: the project's reference on edges, identity and audit, section 9.2. Pure. */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include <stdint.h>

#include "base/buf.h"

/* A new kind is a row here and its name in record.c. */
enum audit_kind {
	AUDIT_START,
	AUDIT_STOP,
	AUDIT_UPGRADE,
	AUDIT_CONFIGURATION, /* a reload: applied or refused */
	AUDIT_CREDENTIAL,    /* read from its source, or judged by the backend */
	AUDIT_IDENTITY,      /* spans of nobody known, attributes of ours, in an interval */
	AUDIT_REDACTION,     /* of a rule, in an interval */
	AUDIT_BUDGET,        /* went over its goal, or came back */
	AUDIT_EXPORTER,      /* another state */
	AUDIT_DROP,          /* by reason, in an interval */
	AUDIT_DECISIONS,     /* the anchor of a block of packed decisions, audit/block.h */
	AUDIT_BALANCE,       /* of an interval */
	AUDIT_GAP,           /* what could not be written */
	AUDIT_CHAIN,         /* how it goes on after a torn tail, damage, or with another key */
	AUDIT_RETENTION,     /* the oldest files go; written before they do */
	AUDIT_KINDS
};
extern const char *const AUDIT_KIND_NAMES[AUDIT_KINDS];

enum { AUDIT_NAME = 128, AUDIT_WORD = 32, AUDIT_VALUE = 256, AUDIT_DETAILS = 8, AUDIT_COUNTS = 24 };

/* Empty texts say nothing. Keys are static text; what is too long for its place is cut. */
struct audit_record {
	enum audit_kind kind;
	char subject[AUDIT_NAME], decision[AUDIT_WORD], reason[AUDIT_VALUE], rule_id[AUDIT_NAME];
	char policy_hash[17], config_hash[65]; /* hexadecimal */
	char sender[AUDIT_NAME];               /* for records of identity; nobody fills it yet */
	char trace_id[33];
	unsigned n_details, n_counts;
	struct audit_detail {
		const char *key;
		char value[AUDIT_VALUE];
	} details[AUDIT_DETAILS];
	struct audit_count {
		const char *key;
		int64_t value;
	} counts[AUDIT_COUNTS];
};

/* `reason` may be NULL. */
void audit_record_init(struct audit_record *r, enum audit_kind kind, const char *subject,
		       const char *decision, const char *reason);
/* Nothing where r is NULL or full, or the value NULL or empty. */
void audit_detail(struct audit_record *r, const char *key, const char *value);
void audit_count(struct audit_record *r, const char *key, int64_t value);

/* What the chain adds. */
struct audit_stamp {
	uint64_t seq, unix_ms;
	const char *boot_id;
	const uint8_t *prev; /* 32 bytes */
};

/* Appends the line as far as the mac covers it: up to the quote behind prev. 0 or BUF_FULL. */
int audit_encode(const struct audit_record *r, const struct audit_stamp *s, struct buf *out);

/* 2026-01-01T00:00:00.000Z, and back: false for what is none. */
enum { AUDIT_TIME = 25 };
void audit_print_time(uint64_t unix_ms, char out[AUDIT_TIME]);
bool audit_read_time(struct slice text, uint64_t *unix_ms);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * audit/chain.h - what makes records a chain: each has a number, the mac of the one before it
 * (`prev`), and a mac of its own over all of that. With a key the mac is HMAC-SHA256, and nobody
 * without it can make a chain that holds; without one it is SHA-256, and only a checkpoint that
 * somebody else keeps tells a chain from one made anew. Pure.
 *
 * mac = HMAC-SHA256(key, line up to the quote behind prev). By hand:
 *   sed -n 7p FILE | sed 's|,"mac":.*||' | tr -d '\n' | openssl dgst -sha256 -hmac KEY */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include "audit/record.h"

enum { AUDIT_MAC = 32, AUDIT_KEY_ID = 9 };

/* The newest record; seq 0: there is none, and mac is zeros. */
struct audit_head {
	uint64_t seq;
	uint8_t mac[AUDIT_MAC];
};

/* Appends the record's line with its newline and moves the head. `key` of length 0: none. 0, or
 * BUF_FULL with head and out as they were. */
int audit_append(struct audit_head *head, struct slice key, const struct audit_record *r,
		 uint64_t unix_ms, const char *boot_id, struct buf *out);

/* Takes the next line, without its newline, off the front; false where no newline is left. */
bool audit_next_line(struct slice *rest, struct slice *line);

/* A line as far as the chain is concerned; slices lie in it. */
struct audit_line {
	uint64_t seq, unix_ms;
	struct slice kind, body; /* body: what the mac covers */
	uint8_t prev[AUDIT_MAC], mac[AUDIT_MAC];
};
/* A line without its newline; false for what is none. */
bool audit_line_read(struct audit_line *out, struct slice line);
bool audit_line_holds(const struct audit_line *l, struct slice key); /* its mac is right */
/* It is the one that comes behind `head`. */
bool audit_line_follows(const struct audit_line *l, const struct audit_head *head);
bool audit_line_is(const struct audit_line *l, enum audit_kind kind);
/* A count or a text detail of a record, by its key; false where it has none. */
bool audit_line_count(const struct audit_line *l, const char *key, uint64_t *out);
bool audit_line_detail(const struct audit_line *l, const char *key, struct slice *out);

/* Which key, without telling anything of it: eight digits; "" for none. */
void audit_key_id(struct slice key, char out[AUDIT_KEY_ID]);

#endif

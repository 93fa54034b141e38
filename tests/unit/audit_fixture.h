/* SPDX-License-Identifier: Apache-2.0
 * A chain in memory, for tests of it. */
#ifndef AUDIT_FIXTURE_H
#define AUDIT_FIXTURE_H

#include "audit/verify.h"
#include "check.h"

#define BOOT  "00000000-0000-0000-0000-00000000000b"
#define EARLY 1767225600000 /* 2026-01-01T00:00:00.000Z */

static const char KEY[] = "0123456789abcdef0123456789abcdef";

static inline struct slice the_key(void)
{
	return slice_str(KEY);
}

static inline void add_record(struct buf *out, struct audit_head *head, struct slice key,
			      enum audit_kind kind, const char *subject)
{
	struct audit_record r;
	audit_record_init(&r, kind, subject, "done", "a test");
	audit_count(&r, "pid", (int64_t)head->seq);
	CHECK_EQ(audit_append(head, key, &r, EARLY + head->seq * 1000, BOOT, out), 0);
}

/* n records, the last of which leaves its head. */
static inline struct buf chain_of(unsigned n, struct slice key, struct audit_head *head)
{
	struct buf b = {.data = NULL};
	*head = (struct audit_head){.seq = 0};
	for (unsigned i = 0; i < n; i++)
		add_record(&b, head, key, i == 0 ? AUDIT_START : AUDIT_CREDENTIAL, "main");
	return b;
}

/* The verdict on one file. */
static inline struct audit_verifier verdict_on(struct slice file, struct slice key,
					       const struct audit_checkpoint *c)
{
	struct audit_verifier v = {.n_keys = key.len != 0};
	v.keys[0] = key;
	if (c != NULL)
		v.checkpoint = *c;
	audit_verify_chain(&v, file, true);
	audit_verify_chain_end(&v);
	audit_verify_blocks_end(&v);
	audit_verify_finish(&v);
	return v;
}

/* The n-th line, from 0, with its newline. */
static inline struct slice line_of(struct slice file, unsigned n)
{
	struct slice line = {.data = NULL};
	for (unsigned i = 0; i <= n; i++)
		CHECK(audit_next_line(&file, &line));
	return slice_of(line.data, line.len + 1);
}

/* The file with `with` in place of its bytes [from, to). */
static inline struct buf spliced(struct slice file, const uint8_t *from, const uint8_t *to,
				 struct slice with)
{
	struct buf b = {.data = NULL};
	CHECK_EQ(buf_append(&b, file.data, (size_t)(from - file.data)), 0);
	CHECK_EQ(buf_append(&b, with.data, with.len), 0);
	CHECK_EQ(buf_append(&b, to, (size_t)(file.data + file.len - to)), 0);
	return b;
}

#endif

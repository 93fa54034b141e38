/* SPDX-License-Identifier: Apache-2.0
 * Audit logs as they come from a disk. Bytes that somebody puts into a signed one are found,
 * wherever and whatever they are; lines that are read hold what they say; blocks end where they
 * must. */
#include <stdio.h>
#include <stdlib.h>

#include "audit/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

static const struct slice KEY = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32};

static enum audit_damage verdict(struct slice chain, struct slice blocks, struct slice key)
{
	struct audit_verifier v = {.keys = {key}, .n_keys = key.len != 0};
	audit_verify_chain(&v, chain, true);
	audit_verify_chain_end(&v);
	audit_verify_blocks(&v, blocks);
	audit_verify_blocks_end(&v);
	audit_verify_finish(&v);
	want(v.damage < AUDIT_DAMAGES);
	return v.damage;
}

static void read_lines(struct slice rest)
{
	struct slice text, value;
	struct audit_line l;
	uint64_t n;
	while (audit_next_line(&rest, &text)) {
		if (!audit_line_read(&l, text))
			continue;
		want(l.seq != 0 && l.body.data == text.data && l.body.len < text.len);
		want(l.kind.data > text.data && l.kind.data + l.kind.len < text.data + text.len);
		(void)audit_line_count(&l, "block", &n);
		(void)audit_line_count(&l, "records_to", &n);
		if (audit_line_detail(&l, "sha256", &value))
			want(value.data + value.len <= l.body.data + l.body.len);
		(void)audit_line_holds(&l, KEY);
	}
}

static void read_blocks(struct slice rest)
{
	struct audit_block b;
	struct audit_decision d;
	struct slice records;
	uint8_t hash[AUDIT_BLOCK_HASH];
	size_t len;
	while ((len = audit_block_read(rest, &b, &records, hash)) != 0) {
		want(len <= rest.len && records.len == b.n * sizeof(d));
		audit_block_at(records, b.n - 1, &d);
		rest = slice_of(rest.data + len, rest.len - len);
	}
}

static void put_into_a_log(const uint8_t *data, size_t size)
{
	struct buf b = {.data = NULL};
	struct audit_head head = {.seq = 0};
	struct audit_record r;
	for (int i = 0; i < 3; i++) {
		audit_record_init(&r, AUDIT_CREDENTIAL, "main", "changed", "signal");
		want(audit_append(&head, KEY, &r, 1767225600000, "b", &b) == 0);
	}
	want(verdict(buf_slice(&b), slice_of(NULL, 0), KEY) == AUDIT_WHOLE);
	size_t at = data[0] * b.len / 255;
	struct buf made = {.data = NULL};
	want(buf_append(&made, b.data, at) == 0 && buf_append(&made, data + 1, size - 1) == 0 &&
	     buf_append(&made, b.data + at, b.len - at) == 0);
	want(size == 1 || verdict(buf_slice(&made), slice_of(NULL, 0), KEY) != AUDIT_WHOLE);
	buf_finish(&made);
	buf_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of(data, size);
	struct audit_checkpoint c;
	char text[128];
	if (size == 0)
		return 0;
	size_t half = size * data[0] / 255;
	read_lines(all);
	read_blocks(slice_of(data + 1, size - 1));
	verdict(slice_of(data, half), slice_of(data + half, size - half), slice_of(NULL, 0));
	put_into_a_log(data, size);
	snprintf(text, sizeof(text), "%.*s", (int)(size < 100 ? size : 100), (const char *)data);
	if (audit_checkpoint_read(text, &c))
		want(c.len >= 8 && c.len <= AUDIT_MAC && c.seq != 0);
	return 0;
}

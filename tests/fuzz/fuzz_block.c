/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a journal block, and as one whose checksum is right: so that records, and the
 * requests in them, are reached. */
#include <assert.h>
#include <stdlib.h>

#include "wire/block.h"
#include "wire/otlp_splice.h"
#include "wire/otlp_walk.h"

static void read_records(const struct block *b)
{
	struct record r;
	uint32_t at = 0, next;
	while ((next = block_record(b, at, &r)) != 0) {
		assert(next > at && next % 8 == 0);
		assert(r.payload.data + r.payload.len <= b->records.data + b->records.len);
		otlp_walk_spans(r.payload);
		at = next;
	}
}

/* What goes in comes out, whatever the limit. */
static void splice(struct slice request, size_t max_bytes)
{
	struct splice *s = splice_create(max_bytes);
	struct buf out = {0};
	uint32_t span = 0, written = 0;
	int rc;
	do {
		splice_reset(s, max_bytes);
		rc = splice_add(s, request, &span, UINT32_MAX);
		assert(splice_size(s) <= max_bytes || splice_spans(s) == 1);
		assert(rc == 0 || splice_spans(s) != 0);
		out.len = 0;
		assert(splice_write(s, &out) == 0 && out.len == splice_size(s));
		assert(otlp_walk_spans(buf_slice(&out)) == splice_spans(s));
		written += splice_spans(s);
	} while (rc == SPLICE_FULL);
	assert(written == span && span == otlp_walk_spans(request));
	buf_finish(&out);
	splice_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct block b;
	if (block_open(&b, slice_of(data, len), 1) == 0)
		read_records(&b);
	uint8_t *sealed = malloc(BLOCK_HEADER + len);
	if (len != 0)
		memcpy(sealed + BLOCK_HEADER, data, len);
	struct block made = {.id = 1, .records = slice_of(sealed + BLOCK_HEADER, len)};
	block_seal(sealed, &made);
	assert(block_open(&b, slice_of(sealed, BLOCK_HEADER + len), 1) == 0);
	read_records(&b);
	free(sealed);
	if (len > 1)
		splice(slice_of(data + 1, len - 1), data[0] * 8u + 1);
	return 0;
}

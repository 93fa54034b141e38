/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/block.h"

#include "base/crc32c.h"
#include "base/endian.h"

/* With the version, 1, and the codec, 0. */
static const uint8_t MAGIC[8] = {'R', 'L', 'B', '1', 1, 0, 0, 0};

enum { AT_CRC = 36, SIGNAL_TRACES = 1 };

const char *const DROP_REASON_NAMES[DROP_REASONS] = {"refused",          "oversize", "damaged",
						     "exporter_removed", "expired",  "outbox_full"};
const char *const PLACE_NAMES[PLACES] = {"journal", "outbox", "quarantine"};

/* Over the header as if its crc field were zero, then the records. */
static uint32_t block_crc(const uint8_t *bytes, size_t len)
{
	uint8_t header[BLOCK_HEADER];
	memcpy(header, bytes, sizeof(header));
	memset(header + AT_CRC, 0, 4);
	return crc32c(crc32c(0, header, sizeof(header)), bytes + BLOCK_HEADER, len - BLOCK_HEADER);
}

int block_peek(struct block *b, struct slice bytes, uint64_t expected_id)
{
	const uint8_t *h = bytes.data;
	if (bytes.len < BLOCK_HEADER || memcmp(h, MAGIC, sizeof(MAGIC)) != 0)
		return BLOCK_BAD;
	b->id = get64(h + 8);
	b->unix_ms = get64(h + 16);
	b->n_records = get32(h + 24);
	b->first_seq = get64(h + 40);
	b->n_spans = get32(h + 48);
	b->head = get64(h + 52);
	b->stage = get32(h + 60);
	uint32_t raw_len = get32(h + 28), stored_len = get32(h + 32);
	if (b->id != expected_id || raw_len != stored_len || stored_len != bytes.len - BLOCK_HEADER)
		return BLOCK_BAD;
	b->records = slice_of(h + BLOCK_HEADER, stored_len);
	return 0;
}

int block_open(struct block *b, struct slice bytes, uint64_t expected_id)
{
	if (block_peek(b, bytes, expected_id) != 0)
		return BLOCK_BAD;
	return get32(bytes.data + AT_CRC) == block_crc(bytes.data, bytes.len) ? 0 : BLOCK_BAD;
}

size_t block_claims(const uint8_t *header, uint64_t *id)
{
	if (memcmp(header, MAGIC, sizeof(MAGIC)) != 0)
		return 0;
	*id = get64(header + 8);
	return (size_t)BLOCK_HEADER + get32(header + 32);
}

uint32_t block_record(const struct block *b, uint32_t offset, struct record *out)
{
	if (offset > b->records.len || b->records.len - offset < RECORD_HEADER)
		return 0;
	const uint8_t *r = b->records.data + offset;
	uint32_t len = get32(r);
	if (r[4] != SIGNAL_TRACES || r[5] != 0 || len > b->records.len - offset - RECORD_HEADER)
		return 0;
	out->seq = get64(r + 8);
	out->payload = slice_of(r + RECORD_HEADER, len);
	return offset + record_size(len);
}

uint32_t record_size(uint32_t payload_len)
{
	return RECORD_HEADER + ((payload_len + 7) & ~7u);
}

uint32_t record_write(uint8_t *at, uint64_t seq, struct slice payload)
{
	uint32_t len = (uint32_t)payload.len, size = record_size(len);
	put32(at, len);
	at[4] = SIGNAL_TRACES;
	at[5] = 0;
	put16(at + 6, 0);
	put64(at + 8, seq);
	if (len != 0)
		memcpy(at + RECORD_HEADER, payload.data, len);
	memset(at + RECORD_HEADER + len, 0, size - RECORD_HEADER - len);
	return size;
}

void block_seal(uint8_t *bytes, const struct block *b)
{
	uint32_t len = (uint32_t)b->records.len;
	memset(bytes, 0, BLOCK_HEADER);
	memcpy(bytes, MAGIC, sizeof(MAGIC));
	put64(bytes + 8, b->id);
	put64(bytes + 16, b->unix_ms);
	put32(bytes + 24, b->n_records);
	put32(bytes + 28, len);
	put32(bytes + 32, len);
	put64(bytes + 40, b->first_seq);
	put32(bytes + 48, b->n_spans);
	put64(bytes + 52, b->head);
	put32(bytes + 60, b->stage);
	put32(bytes + AT_CRC, block_crc(bytes, (size_t)BLOCK_HEADER + len));
}

int cursor_compare(struct cursor a, struct cursor b)
{
	if (a.block_id != b.block_id)
		return a.block_id < b.block_id ? -1 : 1;
	if (a.offset != b.offset)
		return a.offset < b.offset ? -1 : 1;
	return a.span < b.span ? -1 : a.span > b.span;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/parcel.h"

#include <endian.h>
#include <string.h>

#include "base/crc32c.h"

static const uint8_t MAGIC[6] = {'R', 'L', 'P', '1', 1, 0};

/* Where the fields stand. */
enum {
	AT_CODING = 6,
	AT_ID = 8,
	AT_OLDEST = 16,
	AT_NEWEST = 24,
	AT_SPANS = 32,
	AT_PLAIN = 36,
	AT_BODY = 40,
	AT_CRC = 44,
	AT_TO_BLOCK = 48,
	AT_TO_OFFSET = 56,
	AT_TO_SPAN = 60,
	AT_FROM = 64,
	AT_STATUS = 66
};

static uint64_t get(const uint8_t *p, int bytes)
{
	uint64_t v = 0;
	memcpy(&v, p, (size_t)bytes); /* little endian, as htole64() of less would be */
	return le64toh(v);
}

static void put(uint8_t *p, int bytes, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, (size_t)bytes);
}

/* Over the header as if its crc field were zero, then the body. */
static uint32_t parcel_crc(const uint8_t *at, struct slice body)
{
	uint8_t header[PARCEL_HEADER];
	memcpy(header, at, sizeof(header));
	memset(header + AT_CRC, 0, 4);
	return crc32c(crc32c(0, header, sizeof(header)), body.data, body.len);
}

int parcel_peek(struct parcel *p, struct slice bytes, uint64_t expected_id)
{
	const uint8_t *h = bytes.data;
	if (bytes.len < PARCEL_HEADER || memcmp(h, MAGIC, sizeof(MAGIC)) != 0)
		return PARCEL_BAD;
	uint64_t coding = get(h + AT_CODING, 2), from = get(h + AT_FROM, 2);
	*p = (struct parcel){
	    .id = get(h + AT_ID, 8),
	    .oldest_ms = get(h + AT_OLDEST, 8),
	    .newest_ms = get(h + AT_NEWEST, 8),
	    .n_spans = (uint32_t)get(h + AT_SPANS, 4),
	    .plain_len = (uint32_t)get(h + AT_PLAIN, 4),
	    .coding = (enum coding)coding,
	    .from = (enum span_place)from,
	    .to = {get(h + AT_TO_BLOCK, 8), (uint32_t)get(h + AT_TO_OFFSET, 4),
		   (uint32_t)get(h + AT_TO_SPAN, 4)},
	    .status = (int16_t)get(h + AT_STATUS, 2),
	    .body = slice_of(h + PARCEL_HEADER, bytes.len - PARCEL_HEADER),
	};
	bool sane = p->id == expected_id && p->id != 0 && p->n_spans != 0 &&
		    coding < CODING_UNKNOWN && from < PLACES &&
		    get(h + AT_BODY, 4) == p->body.len && p->body.len <= PARCEL_MAX_BODY &&
		    p->id <= UINT64_MAX - p->n_spans;
	return sane ? 0 : PARCEL_BAD;
}

int parcel_open(struct parcel *p, struct slice bytes, uint64_t expected_id)
{
	if (parcel_peek(p, bytes, expected_id) != 0)
		return PARCEL_BAD;
	return get(bytes.data + AT_CRC, 4) == parcel_crc(bytes.data, p->body) ? 0 : PARCEL_BAD;
}

size_t parcel_claims(const uint8_t *header, uint64_t *id)
{
	if (memcmp(header, MAGIC, sizeof(MAGIC)) != 0)
		return 0;
	*id = get(header + AT_ID, 8);
	return (size_t)PARCEL_HEADER + get(header + AT_BODY, 4);
}

void parcel_write(uint8_t *at, const struct parcel *p)
{
	memset(at, 0, PARCEL_HEADER);
	memcpy(at, MAGIC, sizeof(MAGIC));
	put(at + AT_CODING, 2, (uint64_t)p->coding);
	put(at + AT_ID, 8, p->id);
	put(at + AT_OLDEST, 8, p->oldest_ms);
	put(at + AT_NEWEST, 8, p->newest_ms);
	put(at + AT_SPANS, 4, p->n_spans);
	put(at + AT_PLAIN, 4, p->plain_len);
	put(at + AT_BODY, 4, p->body.len);
	put(at + AT_TO_BLOCK, 8, p->to.block_id);
	put(at + AT_TO_OFFSET, 4, p->to.offset);
	put(at + AT_TO_SPAN, 4, p->to.span);
	put(at + AT_FROM, 2, (uint64_t)p->from);
	put(at + AT_STATUS, 2, (uint64_t)p->status);
	memcpy(at + PARCEL_HEADER, p->body.data, p->body.len);
	put(at + AT_CRC, 4, parcel_crc(at, p->body));
}

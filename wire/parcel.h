/* SPDX-License-Identifier: Apache-2.0
 * wire/parcel.h - one request that waits in an outbox or a quarantine: a header and the body as it
 * goes on the wire, compressed already.
 *
 * Little endian. Header, 96 bytes:
 *   magic "RLP1" | u16 version | u16 coding (enum coding) | u64 id | u64 oldest_ms | u64 newest_ms
 * | u32 n_spans | u32 plain_len | u32 body_len | u32 crc32c | u64 to.block_id | u32 to.offset | u32
 * to.span | u16 from (enum span_place) | i16 status | zeros crc32c is over the header with its crc
 * field zero, then the body.
 *
 * The id is an ordinal of spans: the first span of a parcel is the id-th that was ever put into its
 * box, and the next parcel's id is id + n_spans. So a place in a box is one number, what a box
 * holds is a difference, and damage shows as a gap with its size. Ids begin at 1. No I/O here, so
 * the store writes it, the exporters read it, and a fuzzer can try it. */
#ifndef WIRE_PARCEL_H
#define WIRE_PARCEL_H

#include "base/mail.h"
#include "wire/block.h"
#include "wire/codec.h"

enum { PARCEL_HEADER = 96, PARCEL_MAX_BODY = 80 << 20, PARCEL_BAD = 1 };

struct parcel {
	uint64_t id;
	uint64_t oldest_ms, newest_ms; /* when its spans came into the journal, Unix time */
	uint32_t n_spans;
	uint32_t plain_len; /* of the body before compression */
	enum coding coding;
	/* Where its spans were before and where that stretch ends. Until the exporter's durable
	 * cursor in `from` has reached `to`, they still are there, and a restart takes the parcel
	 * back. */
	enum span_place from;
	struct cursor to;
	int status; /* quarantine: the backend's last word, gRPC or HTTP; -1: none */
	struct slice body;
};

/* 0, or PARCEL_BAD for anything that is not a whole parcel with this id and a right checksum. */
int parcel_open(struct parcel *p, struct slice bytes, uint64_t expected_id);
/* The same without reading the body: for counting, never for sending. */
int parcel_peek(struct parcel *p, struct slice bytes, uint64_t expected_id);

/* What PARCEL_HEADER bytes say to be the head of: the whole parcel's length, and its id; 0 if they
 * are no parcel's. */
size_t parcel_claims(const uint8_t *header, uint64_t *id);

/* Writes PARCEL_HEADER + p->body.len bytes. */
void parcel_write(uint8_t *at, const struct parcel *p);

/* What may come of asking a box (storage/outbox.h). */
enum {
	BOX_FULL = 1, /* at its limit, or no space on the disk: nothing was written */
	BOX_NONE = 2, /* no sealed segment has it */
	BOX_AGAIN = 3 /* commit what was appended, then again: this one wants a new segment */
};

/* A file of a box: ids [first, end). */
struct box_segment {
	uint64_t first, end;
	uint64_t bytes; /* on disk */
};

/* A parcel on its way into a box, export -> spill -> export (relay/path.h). */
struct spill {
	struct mail mail;
	unsigned exporter;
	enum span_place box;
	struct parcel parcel;
	int rc; /* the answer: 0 (durable; parcel.id is set), BOX_FULL or negative */
};

#endif

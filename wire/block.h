/* SPDX-License-Identifier: Apache-2.0
 * wire/block.h - a journal block: a header and whole requests, each a record, in arrival order.
 *
 * Little endian. Block header, 64 bytes:
 *   magic "RLB1" | u16 version | u16 codec (0: stored as is) | u64 block_id | u64 unix_ms |
 *   u32 n_records | u32 raw_len | u32 stored_len | u32 crc32c | u64 first_batch_seq | u32 n_spans |
 *   u64 head | u32 stage
 * head is the id of the oldest block that was held once this one was committed, so that who finds
 * blocks in a file without its trees (storage/salvage.h) knows which are done with; 0 in blocks of
 * older versions. stage: 0 kept, 1 pending judgement; each stage has ids of its own.
 * crc32c is over the header with its crc field zero, then the stored bytes. Record:
 *   u32 len | u8 signal (1: traces) | u8 encoding (0: OTLP protobuf) | u16 n/a, 0 | u64 batch_seq |
 *   payload | zeros to a multiple of 8
 * No I/O here, so the store writes it, the exporters read it, and a fuzzer can try it. */
#ifndef WIRE_BLOCK_H
#define WIRE_BLOCK_H

#include <stdint.h>

#include "base/slice.h"

enum {
	BLOCK_HEADER = 64,
	BLOCK_TARGET = 262128,        /* 64 pages less LMDB's 16-byte overflow header */
	BLOCK_MAX_PAYLOAD = 16 << 20, /* one request; (block id, offset) fits 40 + 24 bits */
	RECORD_HEADER = 16,
	BLOCK_BAD = 1
};

enum block_stage { STAGE_KEPT, STAGE_PENDING, STAGES };

struct block {
	uint64_t id, unix_ms, first_seq, head;
	uint32_t n_records, n_spans, stage; /* enum block_stage, or what a file made of it */
	struct slice records;               /* borrows what block_open() was given */
};

struct record {
	uint64_t seq;
	struct slice payload; /* an ExportTraceServiceRequest that the index has vetted */
};

/* 0, or BLOCK_BAD for anything that is not a whole block with this id and a right checksum. */
int block_open(struct block *b, struct slice bytes, uint64_t expected_id);

/* The same without the checksum, for who compared it already in this process. */
int block_peek(struct block *b, struct slice bytes, uint64_t expected_id);

/* What BLOCK_HEADER bytes say to be the head of: the whole block's length, and its id; 0 if they
 * are no block's. */
size_t block_claims(const uint8_t *header, uint64_t *id);

/* Reads the record at `offset` (0 is the first) and returns the next one's offset, or 0 when there
 * is no record at `offset`: the end, or bytes that are no record. */
uint32_t block_record(const struct block *b, uint32_t offset, struct record *out);

/* Writing: space for a header, then the records one after the other, then the header over them.
 * A record's size in the block; and writing it, which returns that size. */
uint32_t record_size(uint32_t payload_len);
uint32_t record_write(uint8_t *at, uint64_t seq, struct slice payload);
void block_seal(uint8_t *bytes, const struct block *b); /* b->records.len tells the stored length */

/* A place in the journal: everything before it is done. Ids start at 1; {0, 0, 0} is before all. */
struct cursor {
	uint64_t block_id;
	uint32_t offset; /* of a record within the block's records */
	uint32_t span;   /* spans of that record that are done */
};
int cursor_compare(struct cursor a, struct cursor b); /* <0, 0, >0 */

/* Where an exporter's spans are held. Each place has a cursor and a count of its own. In the
 * outbox and the quarantine a place is an ordinal (wire/parcel.h): block_id is the next span that
 * is not done with, the rest is 0. */
enum span_place { PLACE_JOURNAL, PLACE_OUTBOX, PLACE_QUARANTINE, PLACES };
extern const char *const PLACE_NAMES[PLACES];

/* What an exporter got done since it last said so. The counts belong to the spans between the old
 * cursor in `from` and `done`, exactly, so that the ledger stays exact over a crash. */
enum drop_reason {
	DROP_REFUSED,
	DROP_OVERSIZE,
	DROP_DAMAGED,
	DROP_EXPORTER_REMOVED,
	DROP_EXPIRED,     /* older than outbox.max_age */
	DROP_OUTBOX_FULL, /* when_full: drop_oldest */
	DROP_REASONS
};
extern const char *const DROP_REASON_NAMES[DROP_REASONS];
struct progress {
	enum span_place from;
	struct cursor done;
	uint64_t sent;                  /* the backend said OK and did not count them as rejected */
	uint64_t backend_rejected;      /* its partial success */
	uint64_t dropped[DROP_REASONS]; /* we gave up, loudly */
	/* Durable in that place now. moved[from]: spans that went to the end of the box they were
	 * in; they stay held there, as new ordinals. Never back into the journal. */
	uint64_t moved[PLACES];
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 * wire/batch.h - one request being made safe. It is born in an intake room when its head has been
 * read, goes to the store room and comes back as its own answer, and dies in the room it was born
 * in. */
#ifndef WIRE_BATCH_H
#define WIRE_BATCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/charge.h"
#include "base/list.h"
#include "base/mail.h"
#include "wire/codec.h"
#include "wire/credentials.h"
#include "wire/grpc.h"
#include "wire/otlp_index.h"

/* What becomes of a request. receivers/answer.c has each one's statuses, words and counter. */
enum answer {
	ANSWER_NONE, /* not yet */
	ACCEPTED,    /* on disk; perhaps with some spans rejected */
	HEALTHY,     /* a health check, or a look at /healthz */
	UNKNOWN_SERVICE,
	MALFORMED,
	OVER_LIMIT, /* depth, counts, cost */
	TOO_LARGE,
	UNKNOWN_ENCODING,
	CORRUPT_ENCODING,
	BAD_CONTENT_TYPE,
	BAD_METHOD,
	BAD_PATH,
	BAD_FRAMING,
	BAD_CARDINALITY,
	BAD_TIMEOUT,
	NO_MEMORY, /* from here on: come back later */
	JOURNAL_FULL,
	JOURNAL_ERROR,
	SHUTTING_DOWN,
	ANSWERS
};

struct receiver;
struct intake;
struct notices;
struct batch {
	struct mail mail;
	struct intake *intake;           /* the room it was born in */
	const struct receiver *receiver; /* whose protocol it speaks */
	void *exchange;                  /* who waits for the answer; NULL: gone */
	enum answer answer;
	const char *why; /* more precise words than the answer's own, or NULL */

	enum coding coding;
	bool is_json;                /* OTLP/JSON: the body that came, and the answer */
	struct grpc_framing framing; /* gRPC */
	uint8_t call;                /* receiver's own: which method was called */
	struct credentials from;     /* whose it says to be */
	struct buf body;             /* as it came, less framing; later: decompressed,
				      * protobuf, mended */
	uint64_t whole_us;           /* when the last byte of it came, monotonic */
	uint32_t wire_bytes;
	struct charge charge; /* for body */

	struct otlp_index index; /* its edits are gone when it goes to the store */
	struct notices *notices; /* of its spans, for the judge (pipeline/notice.h), or NULL */
};

struct batch *batch_create(struct intake *intake, const struct receiver *receiver,
			   size_t limit_bytes); /* or NULL */
void batch_free(struct batch *b);

/* Sees that the account pays for the batch and its body: 0 or CHARGE_FULL. */
int batch_charge(struct batch *b, struct account *account);

/* Decompresses the body, makes protobuf of JSON, vets and mends it: ACCEPTED when it may go to the
 * store. */
enum answer batch_decode(struct batch *b, struct codec *codec, const struct index_limits *limits,
			 size_t limit_bytes, struct account *account);

#endif

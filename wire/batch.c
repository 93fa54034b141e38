/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/batch.h"

#include <stdlib.h>

#include "wire/otlp_json.h"

/* Repairs cost memory too: a request that needs more than this for them is refused. */
enum { EDITS_LIMIT = 4 << 20 };

struct batch *batch_create(struct intake *intake, const struct receiver *receiver,
			   size_t limit_bytes)
{
	struct batch *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->intake = intake;
	b->receiver = receiver;
	b->body.limit = limit_bytes;
	return b;
}

void batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	charge_give_back(&b->charge);
	buf_finish(&b->body);
	free(b);
}

int batch_charge(struct batch *b, struct account *account)
{
	size_t bytes = sizeof(*b) + b->body.cap;
	return bytes == b->charge.bytes ? 0 : charge_set(&b->charge, account, bytes);
}

static void replace_body(struct batch *b, struct buf *with)
{
	buf_finish(&b->body);
	b->body = *with;
}

static enum answer decompress(struct batch *b, struct codec *codec, size_t limit_bytes)
{
	struct buf plain = {0};
	int rc = codec_decompress(codec, b->coding, buf_slice(&b->body), limit_bytes, &plain);
	if (rc == 0) {
		replace_body(b, &plain);
		return ACCEPTED;
	}
	buf_finish(&plain);
	switch (rc) {
	case CODEC_TOO_LARGE:
		return TOO_LARGE;
	case CODEC_NO_MEMORY:
		return NO_MEMORY;
	default:
		return CORRUPT_ENCODING;
	}
}

static enum answer answer_of(enum index_verdict v)
{
	switch (v) {
	case INDEX_OK:
		return ACCEPTED;
	case INDEX_MALFORMED:
		return MALFORMED;
	case INDEX_NO_MEMORY:
		return NO_MEMORY;
	default:
		return OVER_LIMIT;
	}
}

static enum answer mend(struct batch *b, size_t limit_bytes)
{
	struct buf mended = {0};
	if (b->index.edited_size > limit_bytes) /* U+FFFD is longer than what it stands for */
		return TOO_LARGE;
	if (buf_reserve(&mended, b->index.edited_size) != 0)
		return NO_MEMORY;
	otlp_edit(&b->index, buf_slice(&b->body), mended.data);
	mended.len = b->index.edited_size;
	replace_body(b, &mended);
	return ACCEPTED;
}

/* While it lasts, text and protobuf are both there, and both paid for. */
static enum answer from_json(struct batch *b, size_t limit_bytes, struct account *account)
{
	struct buf protobuf = {0};
	size_t bytes = sizeof(*b) + b->body.cap + otlp_json_bound(b->body.len);
	if (charge_set(&b->charge, account, bytes) != 0)
		return NO_MEMORY;
	enum answer a = answer_of(otlp_json(buf_slice(&b->body), &protobuf, &b->why));
	if (a == ACCEPTED && protobuf.len > limit_bytes)
		a = TOO_LARGE;
	if (a == ACCEPTED)
		replace_body(b, &protobuf);
	else
		buf_finish(&protobuf);
	return a;
}

static enum answer vet(struct batch *b, const struct index_limits *limits, size_t limit_bytes)
{
	struct arena arena;
	arena_init(&arena, EDITS_LIMIT);
	enum index_verdict v = otlp_index(&b->index, buf_slice(&b->body), limits, &arena);
	enum answer a = answer_of(v);
	if (a == OVER_LIMIT || a == MALFORMED)
		b->why = INDEX_REASONS[v];
	if (a == ACCEPTED && b->index.edits != NULL)
		a = mend(b, limit_bytes);
	b->index.edits = NULL;
	arena_finish(&arena);
	return a;
}

enum answer batch_decode(struct batch *b, struct codec *codec, const struct index_limits *limits,
			 size_t limit_bytes, struct account *account)
{
	enum answer a = ACCEPTED;
	if (b->coding != CODING_IDENTITY)
		a = decompress(b, codec, limit_bytes);
	if (a == ACCEPTED && batch_charge(b, account) != 0)
		a = NO_MEMORY;
	if (a == ACCEPTED && b->is_json)
		a = from_json(b, limit_bytes, account);
	if (a == ACCEPTED)
		a = vet(b, limits, limit_bytes);
	if (a == ACCEPTED && batch_charge(b, account) != 0)
		a = NO_MEMORY;
	return a;
}

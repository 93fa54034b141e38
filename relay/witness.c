/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/witness.h"

#include "wire/otlp_walk.h"

/* The request that was read last: the next witness is likely to be in it too. */
struct page {
	struct store_reader *reader;
	const struct pending *pending;
	uint64_t block_id;
	struct block block;
	bool is_open;         /* block_id was looked at, and is whole */
	uint32_t begin, end;  /* of the request, in its block */
	struct slice request; /* empty: cannot be read */
};

/* As when kept spans are copied (relay/ruling.c), the checksum is not compared. */
static void open_block(struct page *p, uint64_t id)
{
	struct slice bytes;
	p->block_id = id;
	p->begin = p->end = 0;
	p->is_open = store_reader_pending(p->reader, id, &bytes) == 0 &&
		     block_peek(&p->block, bytes, id) == 0;
}

static void open_request(struct page *p, uint32_t at)
{
	struct pending_request found;
	struct record record;
	p->begin = at;
	p->end = at + 1;
	p->request = slice_of(NULL, 0);
	if (pending_find(p->pending, p->block_id, at, &found, &p->end) != 0)
		return;
	p->begin = found.offset;
	if (block_record(&p->block, found.offset, &record) != 0)
		p->request = record.payload;
}

static bool read_id(struct page *p, const struct pick *w, uint8_t id[8])
{
	if (w->block_id != p->block_id)
		open_block(p, w->block_id);
	if (!p->is_open)
		return false;
	if (w->at < p->begin || w->at >= p->end)
		open_request(p, w->at);
	return otlp_walk_span_id(p->request, w->at - p->begin, id);
}

void witness_name(struct met_by *met, const struct pick *list, size_t n,
		  struct store_reader *reader, const struct pending *pending)
{
	static const uint8_t none[8];
	struct page page = {.reader = reader, .pending = pending};
	for (size_t i = 0; i < n; i++) {
		struct met_by *m = &met[list[i].decision];
		/* By place is in the order they came. */
		bool is_second = memcmp(m->span_ids[0], none, sizeof(none)) != 0;
		(void)read_id(&page, &list[i], m->span_ids[is_second]);
	}
}

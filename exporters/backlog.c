/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/backlog.h"

#include <assert.h>
#include <stdlib.h>

#include "relay/path.h"

/* A seal makes a segment, however little is in it: not more often than this, and asked for again
 * only when the answer is long overdue. */
enum { SEAL_EVERY_MS = 1000, SEAL_OVERDUE_MS = 5000 };

void backlog_init(struct backlog *b, struct export *room, unsigned exporter, enum span_place box,
		  struct gather *tools, uint64_t from, uint64_t end)
{
	*b = (struct backlog){.room = room, .exporter = exporter, .box = box, .tools = tools};
	b->next = b->passed = from != 0 ? from : 1; /* ids begin at 1 */
	b->known_end = end > b->next ? end : b->next;
	b->sealed_end = b->next;
	b->limit = UINT64_MAX;
}

void backlog_finish(struct backlog *b)
{
	free(b->sealed);
	*b = (struct backlog){.room = NULL};
}

static void note_segment(struct backlog *b, struct box_segment g)
{
	if (b->n_sealed == b->cap) {
		size_t cap = b->cap == 0 ? 16 : b->cap * 2;
		struct box_segment *sealed = realloc(b->sealed, cap * sizeof(*sealed));
		if (sealed == NULL && b->n_sealed == 0)
			return; /* it can be read all the same, but not be given up */
		if (sealed == NULL) {
			b->sealed[b->n_sealed - 1].end = g.end; /* given up together, then */
			return;
		}
		b->sealed = sealed;
		b->cap = cap;
	}
	b->sealed[b->n_sealed++] = g;
}

void backlog_sealed(struct backlog *b, struct box_segment g)
{
	b->asked = false;
	b->making_oldest_ms = 0;
	if (g.end > b->passed)
		note_segment(b, g);
	if (g.end > b->sealed_end)
		b->sealed_end = g.end;
	if (g.end > b->known_end)
		b->known_end = g.end;
}

void backlog_added(struct backlog *b, const struct parcel *p)
{
	if (p->id + p->n_spans > b->known_end)
		b->known_end = p->id + p->n_spans;
	if (b->making_oldest_ms == 0 && p->id >= b->sealed_end)
		b->making_oldest_ms = p->oldest_ms;
}

void backlog_passed(struct backlog *b, uint64_t id)
{
	size_t n = 0;
	b->passed = id;
	while (n < b->n_sealed && b->sealed[n].end <= id)
		n++;
	b->n_sealed -= n;
	if (n != 0)
		memmove(b->sealed, b->sealed + n, b->n_sealed * sizeof(*b->sealed));
	path_parcel_done(b->room, b->exporter, (int)b->box, id);
}

static uint64_t readable_end(const struct backlog *b)
{
	return b->sealed_end < b->limit ? b->sealed_end : b->limit;
}

bool backlog_is_empty(const struct backlog *b)
{
	return b->next >= readable_end(b);
}

bool backlog_wants_seal(const struct backlog *b)
{
	return b->next >= b->sealed_end && b->next < b->known_end && b->next < b->limit;
}

void backlog_seal(struct backlog *b, uint64_t now_ms)
{
	uint64_t pause = b->asked ? SEAL_OVERDUE_MS : SEAL_EVERY_MS;
	if (b->asked_ms != 0 && now_ms - b->asked_ms < pause)
		return;
	b->asked_ms = now_ms;
	b->asked = true;
	path_seal(b->room, b->exporter, (int)b->box);
}

const struct box_segment *backlog_oldest(const struct backlog *b)
{
	return b->n_sealed != 0 ? &b->sealed[0] : NULL;
}

bool backlog_look(struct backlog *b)
{
	struct parcel parcel;
	if (backlog_is_empty(b))
		return false;
	if (b->front_at == b->next)
		return b->front_newest_ms != 0;
	int rc = path_parcel(b->room, b->exporter, (int)b->box, b->next, &parcel);
	if (rc < 0)
		return false;
	b->front_at = b->next;
	b->front_oldest_ms = rc == 0 ? parcel.oldest_ms : 0;
	b->front_newest_ms = rc == 0 ? parcel.newest_ms : 0;
	return b->front_newest_ms != 0;
}

/* The spans of `p` out of the parcel that holds them. 0, GATHER_LATER or GATHER_DAMAGED. */
static int make_body(struct backlog *b, const struct parcel *parcel, struct portion *p,
		     struct buf *body, struct slice *wire)
{
	uint32_t first = (uint32_t)(p->from.block_id - parcel->id);
	bool whole = first == 0 && p->spans == parcel->n_spans;
	if (whole && parcel->coding == b->tools->coding) {
		p->plain_bytes = parcel->plain_len;
		*wire = parcel->body;
		return 0;
	}
	struct buf plain = {0};
	struct slice request = parcel->body;
	int rc = 0;
	if (parcel->coding != CODING_IDENTITY) {
		rc = codec_decompress(b->tools->codec, parcel->coding, parcel->body,
				      parcel->plain_len, &plain);
		request = buf_slice(&plain);
	}
	if (rc == 0)
		rc = gather_part(b->tools, request, first, first + p->spans, &p->plain_bytes, body);
	else
		rc = rc == CODEC_NO_MEMORY ? GATHER_LATER : GATHER_DAMAGED;
	buf_finish(&plain);
	*wire = buf_slice(body);
	return rc;
}

/* What cannot be made out although its checksum is right is as lost as what is not there. */
static int fill(struct backlog *b, const struct parcel *parcel, struct portion *p, struct buf *body,
		struct slice *wire)
{
	int rc = make_body(b, parcel, p, body, wire);
	if (rc == GATHER_DAMAGED)
		p->lost = p->spans;
	return rc == GATHER_LATER ? GATHER_LATER : 0;
}

int backlog_next(struct backlog *b, uint64_t too_old_ms, struct portion *p, struct buf *body,
		 struct slice *wire)
{
	struct parcel parcel;
	uint64_t end = readable_end(b);
	assert(b->next < end);
	int rc = path_parcel(b->room, b->exporter, (int)b->box, b->next, &parcel);
	if (rc < 0)
		return GATHER_LATER;
	*p = (struct portion){.from.block_id = b->next};
	bool gap = rc != 0 || parcel.id > b->next;
	uint64_t stop = rc != 0 ? end : gap ? parcel.id : parcel.id + parcel.n_spans;
	stop = stop < end ? stop : end;
	if (stop - b->next > UINT32_MAX)
		stop = b->next + UINT32_MAX;
	p->to.block_id = stop;
	p->spans = (uint32_t)(stop - b->next);
	if (gap) {
		p->lost = p->spans;
	} else {
		p->oldest_ms = parcel.oldest_ms;
		p->newest_ms = parcel.newest_ms;
		p->stored_bytes = parcel.body.len;
		p->expired = parcel.newest_ms != 0 && parcel.newest_ms < too_old_ms;
		if (!p->expired && fill(b, &parcel, p, body, wire) != 0)
			return GATHER_LATER;
	}
	b->next = stop;
	return 0;
}

int backlog_again(struct backlog *b, struct portion *p, struct buf *body, struct slice *wire)
{
	struct parcel parcel;
	int rc = path_parcel(b->room, b->exporter, (int)b->box, p->from.block_id, &parcel);
	if (rc < 0)
		return GATHER_LATER;
	p->lost = 0;
	if (rc == 0 && parcel.id <= p->from.block_id &&
	    parcel.id + parcel.n_spans >= p->to.block_id)
		return fill(b, &parcel, p, body, wire);
	p->lost = p->spans;
	return 0;
}

void backlog_cut(struct portion *p, struct portion *right)
{
	uint32_t half = p->spans / 2;
	portion_halve(p, right, (struct cursor){.block_id = p->from.block_id + half}, half);
}

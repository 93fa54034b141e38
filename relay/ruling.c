/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/ruling.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"

/* Room in a block for one request and the headers. Larger ones get a block of their own, which is
 * harmless and only less tight. */
enum { REQUEST_BYTES = BLOCK_TARGET - BLOCK_HEADER - RECORD_HEADER - 8, LIST_MAX = 512 };

const char *const RULING_STATE_NAMES[RULING_STATES] = {"key", "rules", "budget", "levels"};

struct ruling_note *ruling_create(void)
{
	return calloc(1, sizeof(struct ruling_note));
}

void ruling_free(struct ruling_note *n)
{
	if (n == NULL)
		return;
	for (int i = 0; i < RULING_STATES; i++)
		buf_finish(&n->states[i]);
	buf_finish(&n->requests);
	buf_finish(&n->chapter);
	free(n->kept);
	free(n);
}

void ruling_clear(struct ruling_note *n)
{
	struct ruling_note was = *n;
	*n = (struct ruling_note){.requests = was.requests,
				  .kept = was.kept,
				  .cap_kept = was.cap_kept,
				  .chapter = was.chapter};
	n->requests.len = n->chapter.len = 0;
	for (int i = 0; i < RULING_STATES; i++) {
		n->states[i] = was.states[i];
		n->states[i].len = 0;
	}
}

/* ---- copying ---- */

/* Where the copying is. */
struct copy {
	struct ruling_note *note;
	const struct ruling *ruling;
	struct store_reader *reader;
	struct pending *pending;
	struct otlp_pick *pick;
	struct block block;
	uint64_t block_id;
	bool is_open; /* block_id was looked at, and is whole */
};

static struct pick_mark mark_of(const struct ruling *r, const struct pick *p)
{
	bool late = p->decision & PICK_LATE;
	const struct decision *d =
	    late ? &r->late[p->decision & ~PICK_LATE] : &r->decisions[p->decision];
	/* No `th` is above R, or erase_th would be set; but late spans had no say in that. */
	bool as_is = !late && d->threshold == 0 && !d->erase_th && !d->write_rv;
	return (struct pick_mark){.as_is = as_is,
				  .write_th = d->threshold != 0 && !d->erase_th,
				  .erase_th = d->erase_th,
				  .write_rv = d->write_rv,
				  .threshold = d->threshold,
				  .randomness = d->randomness};
}

/* Ends the request in the making. */
static int flush(struct copy *c)
{
	struct ruling_note *n = c->note;
	uint32_t spans = otlp_pick_spans(c->pick);
	if (spans == 0)
		return 0;
	if (n->ruling.n_kept == n->cap_kept) {
		size_t cap = n->cap_kept == 0 ? 16 : n->cap_kept * 2;
		struct store_kept *kept = reallocarray(n->kept, cap, sizeof(*kept));
		if (kept == NULL)
			return fail(-ENOMEM, "judge: no memory for %zu requests", cap);
		n->kept = kept;
		n->cap_kept = cap;
	}
	size_t before = n->requests.len;
	if (otlp_pick_write(c->pick, &n->requests) != 0)
		return fail(-ENOMEM, "judge: no memory for kept spans");
	n->kept[n->ruling.n_kept++] =
	    (struct store_kept){.request = {NULL, n->requests.len - before}, .spans = spans};
	n->unmarked += otlp_pick_unmarked(c->pick);
	otlp_pick_reset(c->pick, REQUEST_BYTES);
	return 0;
}

/* Of one request. What it does not have is damaged, though its block is whole. */
static int copy_list(struct copy *c, struct slice request, bool tails, const struct picked *list,
		     uint32_t n, uint32_t *copied)
{
	uint32_t done;
	int rc = PICK_FULL;
	*copied = 0;
	while (rc == PICK_FULL) {
		rc = otlp_pick_add(c->pick, request, tails, list + *copied, n - *copied, &done);
		*copied += done;
		if (rc == PICK_FULL && flush(c) != 0)
			return -ENOMEM;
	}
	return rc;
}

/* Its checksum is not compared: it was made by this worker, or compared when it was noticed again,
 * and to read all of a block for the few spans that are kept is dear. */
static bool open_block(struct copy *c, uint64_t id)
{
	struct slice bytes;
	if (c->block_id != id) {
		c->block_id = id;
		c->is_open = store_reader_pending(c->reader, id, &bytes) == 0 &&
			     block_peek(&c->block, bytes, id) == 0;
	}
	return c->is_open;
}

/* Takes picks from the i-th on that lie in one request; gives the number of picks it is done with,
 * or negative. */
static int copy_some(struct copy *c, size_t i)
{
	const struct pick *p = &c->ruling->picks[i];
	struct picked list[LIST_MAX];
	struct pending_request at;
	struct record record;
	uint32_t end, n = 0, copied = 0;
	bool known = pending_find(c->pending, p->block_id, p->at, &at, &end) == 0;
	if (!known)
		end = p->at + 1;
	for (; i + n < c->ruling->n_picks && n < LIST_MAX && p[n].block_id == p->block_id &&
	       p[n].at < end;
	     n++)
		list[n] = (struct picked){p[n].at - (known ? at.offset : p->at),
					  mark_of(c->ruling, &p[n])};
	if (known && open_block(c, p->block_id) &&
	    block_record(&c->block, at.offset, &record) != 0 &&
	    copy_list(c, record.payload, at.tails, list, n, &copied) != 0)
		return -ENOMEM;
	if (copied != n) {
		log_error("kept spans cannot be read any more", "block=%llu spans=%u",
			  (unsigned long long)p->block_id, n - copied);
		c->note->ruling.spans[VERDICT_KEPT] -= n - copied;
		c->note->ruling.spans[VERDICT_DAMAGED] += n - copied;
	}
	return (int)n;
}

int ruling_fill(struct ruling_note *n, const struct ruling *r, struct store_reader *reader,
		struct pending *pending, struct otlp_pick *pick)
{
	struct copy c = {
	    .note = n, .ruling = r, .reader = reader, .pending = pending, .pick = pick};
	memcpy(n->ruling.spans, r->spans, sizeof(n->ruling.spans));
	n->ruling.position = r->position;
	n->ruling.first_pending = r->first_held <= r->position ? r->first_held : r->position + 1;
	otlp_pick_reset(pick, REQUEST_BYTES);
	for (size_t i = 0; i < r->n_picks;) {
		int done = copy_some(&c, i);
		if (done < 0)
			return done;
		i += (size_t)done;
	}
	return flush(&c);
}

void ruling_ready(struct ruling_note *n)
{
	const uint8_t *at = n->requests.data;
	for (size_t i = 0; i < n->ruling.n_kept; i++) {
		n->kept[i].request.data = at;
		at += n->kept[i].request.len;
	}
	n->ruling.kept = n->kept;
	n->ruling.chapter = buf_slice(&n->chapter);
	for (int i = 0; i < RULING_STATES; i++)
		n->ruling.states[i] =
		    (struct store_state){RULING_STATE_NAMES[i], buf_slice(&n->states[i])};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/lane.h"

#include <stdlib.h>

#include "base/log.h"
#include "exporters/internal.h"
#include "relay/path.h"

uint32_t portion_readable(const struct portion *p)
{
	return p->spans - p->lost;
}

struct request *lane_request(struct list *link)
{
	return container_of(link, struct request, link);
}

struct request *lane_head(const struct lane *l)
{
	return list_empty(&l->window) ? NULL : lane_request(l->window.next);
}

bool lane_has_new(const struct lane *l)
{
	return l->place == PLACE_JOURNAL ? !gather_is_empty(l->gather)
					 : !backlog_is_empty(&l->backlog);
}

static struct request *new_request(struct lane *l, struct list *before)
{
	struct request *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->lane = l;
	list_init(&r->call.link);
	list_add_tail(before, &r->link);
	l->n_window++;
	return r;
}

static void end_request(struct request *r)
{
	if (r->twin != NULL)
		r->twin->twin = NULL;
	list_del(&r->link);
	r->lane->n_window--;
	buf_finish(&r->body);
	free(r);
}

static int next_portion(struct lane *l, const struct gather_limits *limits, struct request *r)
{
	if (l->place != PLACE_JOURNAL)
		return backlog_next(&l->backlog, limits->too_old_ms, &r->portion, &r->body,
				    &r->wire);
	int rc = gather_next(l->gather, limits, &r->portion, &r->body);
	r->wire = buf_slice(&r->body);
	return rc;
}

struct request *lane_take(struct lane *l, const struct gather_limits *limits)
{
	struct request *r = new_request(l, &l->window);
	if (r == NULL)
		return NULL;
	if (next_portion(l, limits, r) != 0) {
		end_request(r);
		return NULL;
	}
	l->stored_bytes += r->portion.stored_bytes;
	if (r->portion.expired)
		lane_drop(r, DROP_EXPIRED);
	else if (portion_readable(&r->portion) == 0)
		lane_settle(r, (struct progress){.sent = 0});
	return r;
}

int lane_make(struct request *r)
{
	struct lane *l = r->lane;
	int rc;
	if (l->place == PLACE_JOURNAL) {
		rc = gather_again(l->gather, &r->portion, &r->body);
		r->wire = buf_slice(&r->body);
	} else {
		rc = backlog_again(&l->backlog, &r->portion, &r->body, &r->wire);
	}
	if (rc == 0 && portion_readable(&r->portion) == 0)
		lane_settle(r, (struct progress){.sent = 0});
	return rc;
}

struct request *lane_cut(struct request *r)
{
	struct lane *l = r->lane;
	struct request *right = new_request(l, r->link.next);
	int rc = 0;
	if (right == NULL)
		return NULL;
	if (l->place == PLACE_JOURNAL)
		rc = gather_cut(l->gather, &r->portion, &right->portion);
	else
		backlog_cut(&r->portion, &right->portion);
	if (rc != 0) {
		end_request(right);
		return NULL;
	}
	r->failures = r->alone = 0;
	right->refused_at = r->refused_at;
	return right;
}

/* ---- what is done ---- */

void lane_settle(struct request *r, struct progress counts)
{
	counts.dropped[DROP_DAMAGED] += r->portion.lost;
	if (r->portion.lost != 0)
		log_warn("damaged spans are lost", "exporter=%s place=%s before=%llu spans=%u",
			 r->lane->sender->conf->name, PLACE_NAMES[r->lane->place],
			 (unsigned long long)r->portion.to.block_id, r->portion.lost);
	buf_finish(&r->body);
	r->counts = counts;
	r->state = DONE;
}

void lane_drop(struct request *r, enum drop_reason reason)
{
	struct progress counts = {.sent = 0};
	counts.dropped[reason] = portion_readable(&r->portion);
	lane_settle(r, counts);
}

static void add_counts(struct progress *sum, const struct progress *p)
{
	sum->sent += p->sent;
	sum->backend_rejected += p->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++)
		sum->dropped[i] += p->dropped[i];
	for (int i = 0; i < PLACES; i++)
		sum->moved[i] += p->moved[i];
}

/* The ordinal that a request of the fresh lane got in the outbox and nobody was told of; 0: none.
 */
static uint64_t outbox_id(const struct request *r)
{
	bool spilled = r->state == DONE && r->counts.moved[PLACE_OUTBOX] != 0;
	return spilled && r->lane->place == PLACE_JOURNAL ? r->spill.parcel.id : 0;
}

uint64_t lane_first_untold(const struct lane *l, struct list *from)
{
	uint64_t first = UINT64_MAX;
	for (struct list *pos = from; pos != &l->window; pos = pos->next) {
		uint64_t id = outbox_id(lane_request(pos));
		if (id != 0 && id < first)
			first = id;
	}
	return first;
}

/* Where telling has to stop: at the first that is not done. And when a spill failed and later ones
 * did not, their parcels are not in the lane's order: they are told together, so that the journal's
 * cursor never passes a parcel that stands behind one it has not passed (see move.c). */
static struct list *telling_end(const struct lane *l)
{
	struct list *end = l->window.next;
	while (end != &l->window && lane_request(end)->state == DONE)
		end = end->next;
	for (;;) {
		uint64_t untold = lane_first_untold(l, end);
		struct list *pos = l->window.next;
		while (pos != end && outbox_id(lane_request(pos)) < untold)
			pos = pos->next;
		if (pos == end)
			return end;
		end = pos;
	}
}

void lane_advance(struct lane *l)
{
	struct progress sum = {.from = l->place};
	bool moved = false;
	const struct list *end = telling_end(l);
	list_for_each_safe(pos, tmp, &l->window)
	{
		struct request *r = lane_request(pos);
		if (pos == end)
			break;
		add_counts(&sum, &r->counts);
		sum.done = r->portion.to;
		l->stored_bytes -= r->portion.stored_bytes;
		moved = true;
		end_request(r);
	}
	if (!moved)
		return;
	path_progress(l->sender->room, l->sender->index, &sum);
	if (l->place != PLACE_JOURNAL)
		backlog_passed(&l->backlog, sum.done.block_id);
}

/* What was not taken yet, as one stretch that is done. It is not read, so damage in it counts as
 * given up too. */
static uint64_t give_up_rest(struct lane *l, uint64_t end, enum drop_reason reason)
{
	uint64_t next = l->backlog.next;
	struct request *r = next < end ? new_request(l, &l->window) : NULL;
	if (r == NULL)
		return 0; /* no memory: the next attempt will do it */
	r->portion.from.block_id = next;
	r->portion.to.block_id = end;
	r->counts.dropped[reason] = end - next;
	r->state = DONE;
	l->backlog.next = end;
	return end - next;
}

uint64_t lane_give_up(struct lane *l, uint64_t end, enum drop_reason reason)
{
	uint64_t n = 0;
	list_for_each_safe(pos, tmp, &l->window)
	{
		struct request *r = lane_request(pos);
		if (r->portion.to.block_id > end)
			break;
		if (r->state == WAITING || r->state == ASIDE || r->state == CONDEMNED) {
			n += portion_readable(&r->portion);
			lane_drop(r, reason);
		}
	}
	return n + give_up_rest(l, end, reason);
}

/* ---- which one ---- */

struct request *lane_largest(const struct lane *l, enum request_state state, unsigned max_alone,
			     uint64_t now_ms)
{
	struct request *best = NULL;
	list_for_each_safe(pos, tmp, &l->window)
	{
		struct request *r = lane_request(pos);
		if (r->state != state || r->alone > max_alone || r->not_before_ms > now_ms)
			continue;
		if (best == NULL || r->portion.spans > best->portion.spans)
			best = r;
	}
	return best;
}

void lane_finish(struct lane *l)
{
	list_for_each_safe(pos, tmp, &l->window) end_request(lane_request(pos));
	if (l->place != PLACE_JOURNAL)
		backlog_finish(&l->backlog);
}

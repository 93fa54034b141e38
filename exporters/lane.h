/* SPDX-License-Identifier: Apache-2.0
 * exporters/lane.h - an ordered window of requests from one place, and how far it is done. The
 * fresh lane comes out of the journal, the backlog out of the outbox, the second hearing out of the
 * quarantine; a sender has one of each. Here is what is the same for all three: taking the next
 * portion, making its bytes again, cutting it, settling it, telling of progress. When something
 * goes, and what an answer means, is the sender's (exporters/internal.h). Export room only. */
#ifndef EXPORTERS_LANE_H
#define EXPORTERS_LANE_H

#include "base/list.h"
#include "exporters/backlog.h"
#include "exporters/exporter.h"
#include "exporters/gather.h"

/* ASIDE: a single span that was refused before the backend took anything else; see refused().
 * CONDEMNED: goes into a box when it is the head of its lane. MOVING: on its way there. */
enum request_state { WAITING, UNDER_WAY, ASIDE, CONDEMNED, MOVING, DONE };

/* A portion on its way. Its body exists only while it is under way or moving. */
struct request {
	struct list link; /* lane.window */
	struct lane *lane;
	enum request_state state;
	struct portion portion;
	struct export_call call;
	struct spill spill;
	struct buf body;
	struct slice wire; /* the body, or a parcel's, see backlog_next() */
	/* The other half of a refused request, as long as neither was judged. */
	struct request *twin;
	/* 1 + sender.taken when it, or what it was cut from, was first refused */
	uint64_t refused_at;
	unsigned failures; /* as a probe */
	/* failures while the backend took other requests; 1 + sender.taken at the last one */
	unsigned alone;
	uint64_t failed_at;
	uint64_t not_before_ms; /* monotonic: it waits alone */
	/* CONDEMNED: where it goes, with which status, and what it is if there is no room */
	enum span_place box;
	int status;
	enum drop_reason reason;
	enum request_state came_from; /* MOVING: what it was and becomes again on failure */
	struct progress counts;       /* once DONE */
};

struct sender;
struct lane {
	struct sender *sender;
	enum span_place place;
	struct gather *gather;  /* of the fresh lane */
	struct backlog backlog; /* of the other two */
	struct list window; /* (request.link) in the order of the place, all after what is done */
	size_t n_window, under_way;
	uint64_t stored_bytes;    /* of the window */
	uint64_t read_after_ms;   /* monotonic: its box could not be read */
	uint64_t move_after_ms;   /* monotonic: its head could not be put into a box */
	uint64_t given_up_before; /* ordinal: when_full: drop_oldest has taken all before it */
};

uint32_t portion_readable(const struct portion *p); /* spans that can be sent */

/* Whether a portion waits to be taken. */
bool lane_has_new(const struct lane *l);
/* Takes it: a request at the end of the window, with its body, or settled where nothing of it can
 * or may be sent. NULL: not now. */
struct request *lane_take(struct lane *l, const struct gather_limits *limits);
/* Makes the body again; the request is settled if nothing is left of it. 0 or GATHER_LATER. */
int lane_make(struct request *r);
/* Two requests in place of one, each with half of its spans; gives the second, or NULL: not now. */
struct request *lane_cut(struct request *r);

/* The request needs no more sending: `counts` tells of its readable spans, the lost ones are added.
 */
void lane_settle(struct request *r, struct progress counts);
void lane_drop(struct request *r, enum drop_reason reason);
/* Gives up everything before `end` that is not in flight or moving: of boxes only. Gives the number
 * of spans. */
uint64_t lane_give_up(struct lane *l, uint64_t end, enum drop_reason reason);
/* Tells the store how far everything is done. What is done behind a request that is not, waits. */
void lane_advance(struct lane *l);

struct request *lane_head(const struct lane *l); /* or NULL */
/* Of the fresh lane: the first parcel in the outbox, of requests from `from` on, that nobody was
 * told of; UINT64_MAX: none. */
uint64_t lane_first_untold(const struct lane *l, struct list *from);
/* The largest in that state that may go now, for it proves most if it is taken; of equal ones the
 * first. `max_alone` leaves out those that failed alone more often. */
struct request *lane_largest(const struct lane *l, enum request_state state, unsigned max_alone,
			     uint64_t now_ms);
/* For walks along the window. */
struct request *lane_request(struct list *link);

void lane_finish(struct lane *l);

#endif

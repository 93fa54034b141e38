/* SPDX-License-Identifier: Apache-2.0
 * exporters/backlog.h - portions out of a box (outbox or quarantine), as exporters/gather.h gives
 * them out of the journal: what can be read, where the next request starts, and its bytes, as often
 * as they are wanted. A parcel goes as one request, and its body, compressed already, as it lies in
 * the box; only what was cut, or compressed otherwise, is made anew. A place is an ordinal
 * (wire/parcel.h): cursor.block_id, the rest 0. One lane's; export room only. */
#ifndef EXPORTERS_BACKLOG_H
#define EXPORTERS_BACKLOG_H

#include "exporters/gather.h"
#include "wire/parcel.h"

struct backlog {
	struct export *room; /* for the doors of relay/path.h */
	unsigned exporter;
	enum span_place box;
	struct gather *tools;       /* lends its codec and splice */
	uint64_t next;              /* the next portion starts here */
	uint64_t passed;            /* everything before it was told as done */
	uint64_t known_end;         /* of what is durable, as far as answers tell */
	uint64_t sealed_end;        /* of what can be read */
	uint64_t limit;             /* the next portion ends here at the latest */
	struct box_segment *sealed; /* not yet passed, ascending */
	size_t n_sealed, cap;
	bool asked;        /* for a seal that did not come yet */
	uint64_t asked_ms; /* when the last one was asked for; 0: never */
	/* the oldest of what was put in since the last seal, Unix time; 0: nothing */
	uint64_t making_oldest_ms;
	/* the parcel at `front_at`, as it was looked up last; Unix time */
	uint64_t front_at, front_oldest_ms, front_newest_ms;
};

void backlog_init(struct backlog *b, struct export *room, unsigned exporter, enum span_place box,
		  struct gather *tools, uint64_t from, uint64_t end);
void backlog_finish(struct backlog *b);

/* A segment can be read. Something is durable: [id, id + spans). */
void backlog_sealed(struct backlog *b, struct box_segment g);
void backlog_added(struct backlog *b, const struct parcel *p);
/* Everything before `id` is done with. */
void backlog_passed(struct backlog *b, uint64_t id);

bool backlog_is_empty(const struct backlog *b);   /* nothing that can be read now, below limit */
bool backlog_wants_seal(const struct backlog *b); /* there is more, in the segment in the making */
/* Asks for it, unless that was done within the last while. */
void backlog_seal(struct backlog *b, uint64_t now_ms);
/* The oldest segment not passed, or NULL. */
const struct box_segment *backlog_oldest(const struct backlog *b);
/* Looks at the parcel that is next; false when there is none to be seen. */
bool backlog_look(struct backlog *b);

/* As gather_next(), _again() and _cut(). The body is *wire; it is in `body` if it had to be made,
 * else it stays valid until backlog_passed() passes it. */
int backlog_next(struct backlog *b, uint64_t too_old_ms, struct portion *p, struct buf *body,
		 struct slice *wire);
int backlog_again(struct backlog *b, struct portion *p, struct buf *body, struct slice *wire);
void backlog_cut(struct portion *p, struct portion *right);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * exporters/gather.h - spans out of the journal, into the bodies of requests: what waits, where the
 * next request starts, and the bytes of a stretch of the journal, as often as they are wanted. No
 * body is kept for a request that waits: it can be gathered again. One sender's; export room only.
 */
#ifndef EXPORTERS_GATHER_H
#define EXPORTERS_GATHER_H

#include "base/buf.h"
#include "wire/block.h"
#include "wire/codec.h"

enum {
	GATHER_LATER = 1, /* no memory, or the journal cannot be read just now */
	GATHER_DAMAGED = 2
};

/* A stretch of the journal, or of a box, that goes as one request. */
struct portion {
	struct cursor from, to;
	uint32_t spans;                /* between them, by the count of the place */
	uint32_t lost;                 /* of those, in blocks or parcels that are damaged or gone */
	bool expired;                  /* too old to be sent: there is no body */
	size_t plain_bytes;            /* of those that are not lost, before compression */
	uint64_t stored_bytes;         /* where they are held, about */
	uint64_t oldest_ms, newest_ms; /* when they came into the journal; 0: not known */
};

/* Where the next portion starts, and how many spans of its block are before it. */
struct start {
	struct cursor at;
	uint32_t before;
	bool counted; /* `before` is known */
};

struct export;
struct splice;
struct filed;
struct gather {
	struct export *room; /* for the doors of relay/path.h */
	struct splice *splice;
	struct codec *codec;
	enum coding coding;
	struct start next;
	struct filed *blocks; /* not yet taken whole, by ascending id */
	size_t first, n_blocks, cap;
	uint64_t block_bytes; /* of them */
	uint64_t last_id;
	bool forgot; /* there was no memory to note blocks after last_id: the next call makes up for
			it */
	struct buf plain; /* reused from one gathering to the next */
};

int gather_init(struct gather *g, struct export *room, struct cursor from,
		enum coding coding); /* 0 or -ENOMEM */
void gather_finish(struct gather *g);

/* A block is in the journal since `unix_ms`. Those that the start is past are ignored. */
void gather_filed(struct gather *g, uint64_t id, uint32_t spans, uint32_t bytes, uint64_t unix_ms,
		  uint64_t now_ms);
bool gather_is_empty(const struct gather *g);
uint64_t gather_waiting_bytes(const struct gather *g);
uint64_t gather_oldest_ms(const struct gather *g);   /* when the oldest that waits was filed */
uint64_t gather_oldest_unix(const struct gather *g); /* the same, Unix time; 0: not known */
/* Whether the next portion will be expired, as far as is known without reading. */
bool gather_is_old(const struct gather *g, uint64_t too_old_ms);

/* What the next portion may be: at most so much, before compression; nothing that came into the
 * journal before too_old_ms, Unix time (0: whatever its age). */
struct gather_limits {
	size_t max_bytes;
	uint64_t too_old_ms;
};

/* Takes the next portion off what waits and appends its body, compressed; an empty body means that
 * nothing of it can be sent. Damage ends a portion, so that it is charged to the right stretch, and
 * so does the border between blocks that are too old and those that are not: the former make a
 * portion of their own. 0 or GATHER_LATER. Not when empty. */
int gather_next(struct gather *g, const struct gather_limits *l, struct portion *p,
		struct buf *body);
/* Appends the body of `p` again and sets its `lost`. */
int gather_again(struct gather *g, struct portion *p, struct buf *body);
/* Cuts `p`, which has at least two spans, in two: *right is what it loses. */
int gather_cut(struct gather *g, struct portion *p, struct portion *right);

/* Leaves *p its first `spans` spans, which end at `at`; *right is the rest. */
void portion_halve(struct portion *p, struct portion *right, struct cursor at, uint32_t spans);

/* The same for spans that are a request already, of a parcel: those from the `first`-th on and
 * before the `end`-th, compressed. 0, GATHER_LATER, or GATHER_DAMAGED where it has no such spans.
 */
int gather_part(struct gather *g, struct slice request, uint32_t first, uint32_t end,
		size_t *plain_bytes, struct buf *body);

#endif

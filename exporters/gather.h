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

enum { GATHER_LATER = 1 }; /* no memory, or the journal cannot be read just now */

/* A stretch of the journal that goes as one request. */
struct portion {
	struct cursor from, to;
	uint32_t spans;     /* between them, by the journal's count */
	uint32_t lost;      /* of those, in blocks that are damaged or gone */
	size_t plain_bytes; /* of the others, before compression */
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
	size_t max_bytes; /* of a portion, before compression */
	struct start next;
	struct filed *blocks; /* not yet taken whole, by ascending id */
	size_t first, n_blocks, cap;
	uint64_t block_bytes; /* of them */
	uint64_t last_id;
	bool forgot; /* there was no memory to note blocks after last_id: the next call makes up for
			it */
	struct buf plain; /* reused from one gathering to the next */
};

int gather_init(struct gather *g, struct export *room, struct cursor from, enum coding coding,
		size_t max_bytes); /* 0 or -ENOMEM */
void gather_finish(struct gather *g);

/* A block is in the journal. Those that the start is past are ignored. */
void gather_filed(struct gather *g, uint64_t id, uint32_t spans, uint32_t bytes, uint64_t now_ms);
bool gather_is_empty(const struct gather *g);
uint64_t gather_waiting_bytes(const struct gather *g);
uint64_t gather_oldest_ms(const struct gather *g); /* when the oldest that waits was filed */

/* Takes the next portion off what waits and appends its body, compressed; an empty body means that
 * nothing of it can be sent. Damage ends a portion, so that it is charged to the right stretch. 0
 * or GATHER_LATER. Not when empty. */
int gather_next(struct gather *g, struct portion *p, struct buf *body);
/* Appends the body of `p` again and sets its `lost`. */
int gather_again(struct gather *g, struct portion *p, struct buf *body);
/* Cuts `p`, which has at least two spans, in two: *right is what it loses. */
int gather_cut(struct gather *g, struct portion *p, struct portion *right);

#endif

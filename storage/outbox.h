/* SPDX-License-Identifier: Apache-2.0
 * storage/outbox.h - a box: what one exporter has waiting outside the journal, as parcels
 * (wire/parcel.h) in rotated segment files `<dir>/<first id:016x>.mdb`. The outbox is one, what its
 * backend calls bad (the quarantine) another.
 *
 * A segment is an LMDB environment with one database, `req`: id -> parcel. It is written by the
 * spill room, with full sync, until it is full; then it is sealed: closed, cut to its size, its
 * lock file removed. Only sealed segments are read, and nobody writes to them again: readers need
 * no locks and a slice of one stays valid as long as the reader keeps the segment. When all of it
 * is done with the file is unlinked, and the disk has its space back.
 *
 * Nothing here decides anything: what is dropped, skipped or done, the sender says by its cursor.
 */
#ifndef STORAGE_OUTBOX_H
#define STORAGE_OUTBOX_H

#include "storage/store.h"
#include "wire/parcel.h"

struct box_options {
	const char *dir; /* made if missing */
	uint64_t limit_bytes;
	uint64_t segment_bytes;       /* of one segment; BOX_SEGMENT_MAX at most */
	struct cursor done;           /* the exporter's durable cursor in this box; 0: never met */
	struct cursor source[PLACES]; /* and in all places: see parcel.to */
	uint64_t kept;                /* ids before it are not taken back: their source is gone */
	struct metrics *metrics;
};
enum { BOX_SEGMENT_MAX = 64 << 20, BOX_SEGMENT_MIN = 1 << 20 };
uint64_t box_segment_bytes(uint64_t limit_bytes); /* an eighth of the limit, within those */

/* Writer: spill room. box_open() inspects every segment in a child process (storage/inspect.h),
 * sets damaged ones aside as *.bad-<unix time> and saves what is readable in them, takes back
 * parcels that are still where they came from, unlinks what is done with, and seals the rest. 0 or
 * negative.
 */
struct box;
int box_open(struct box **out, const struct box_options *o);
void box_close(struct box *b); /* seals; NULL is fine */
/* Another limit. What is beyond a lower one stays until it is done with. */
void box_limit(struct box *b, uint64_t limit_bytes);

/* What is held beyond `done`, as box_open() found it, or now; gaps that damage left before the end
 * are in it. */
uint64_t box_spans(const struct box *b);
uint64_t box_bytes(const struct box *b); /* on disk, all segments */
uint64_t box_first(const struct box *b); /* of the ids that are held */
uint64_t box_end(const struct box *b);   /* the id that the next parcel gets */
void box_each_sealed(const struct box *b, void (*on_segment)(void *ctx, struct box_segment g),
		     void *ctx);

/* Sets p->id and borrows p->body until box_commit(). A new segment is begun where needed; the one
 * that was sealed for it shows in box_sealed(). 0, BOX_FULL, BOX_AGAIN or negative. */
int box_append(struct box *b, struct parcel *p);
/* 0: all appended parcels are durable. BOX_FULL or negative: none is, and their ids go to others.
 */
int box_commit(struct box *b);
/* Seals the segment in the making, if it holds anything, so that it can be read. */
void box_seal(struct box *b);
/* The next sealed segment that was not given yet: true and *g. */
bool box_sealed(struct box *b, struct box_segment *g);
/* The exporter's cursor is durable: segments that end at or before it are unlinked. */
void box_trim(struct box *b, struct cursor done);

/* Reader: one room (export), or a command. Slices stay valid until box_reader_forget() passes their
 * segment. A sealed segment is checked against its size before it is mapped. */
struct box_reader;
int box_reader_open(struct box_reader **out, const char *dir);
void box_reader_close(struct box_reader *r);
int box_reader_add(struct box_reader *r, struct box_segment g); /* ascending */
/* The first whole parcel that ends after the span `id`. What is missing before it was damaged: the
 * caller counts the gap. 0, BOX_NONE, or negative: cannot be read now. */
int box_reader_next(struct box_reader *r, uint64_t id, struct parcel *p);
void box_reader_forget(struct box_reader *r, uint64_t done);

#endif

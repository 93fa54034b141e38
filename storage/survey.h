/* SPDX-License-Identifier: Apache-2.0
 * storage/survey.h - what a data folder holds, read beside a running relay or without one. Nothing
 * is written, repaired or set aside. For commands. */
#ifndef STORAGE_SURVEY_H
#define STORAGE_SURVEY_H

#include "storage/store.h"
#include "wire/parcel.h"

enum { SURVEY_NONE = 1, SURVEY_BAD = 2 };

struct survey;
/* 0; SURVEY_NONE: there is no journal in `dir`; SURVEY_BAD: it cannot be read (logged); or
 * negative. Where no relay works on the folder, none can start until survey_close(). */
int survey_open(struct survey **out, const char *dir);
void survey_close(struct survey *s);

bool survey_is_live(const struct survey *s);                /* a relay works on the folder */
const struct ledger *survey_ledger(const struct survey *s); /* as of the last commit */

/* A block or a parcel, or the gap that damage left. */
struct survey_item {
	enum span_place place;
	uint64_t id;
	uint64_t oldest_ms; /* Unix time */
	uint64_t spans;     /* of them that wait; lost ones for damage, 0 where nobody knows */
	size_t bytes;       /* as stored */
	bool damaged;
	int status;                /* quarantine: the backend's last word, -1: none */
	const struct block *block; /* journal: it, and where the waiting begins in it */
	struct cursor from;
	const struct parcel *parcel; /* boxes: it, and the first span of it that waits */
	uint64_t first;
};

/* Everything that the exporter (its index in the ledger) holds in `place`, oldest first, until
 * on_item gives non-zero, which is then returned. What an item points at is gone afterwards. 0 or
 * negative. */
int survey_each(struct survey *s, unsigned exporter, enum span_place place,
		int (*on_item)(void *ctx, const struct survey_item *item), void *ctx);

/* The blocks that wait for a ruling, as items of PLACE_JOURNAL. Which of their spans are decided
 * already cannot be seen here: those that are not, survey_ledger() counts. */
int survey_each_pending(struct survey *s, int (*on_item)(void *ctx, const struct survey_item *item),
			void *ctx);

/* The parcels of a box that belongs to no exporter, oldest first: the folder `dir`, of a relay that
 * may be at work on `data_dir` (NULL: on a copy none is). Files that cannot be read and parcels
 * that are damaged are passed over, and counted in *damaged. SURVEY_NONE: there is no such folder,
 * or nothing in it; otherwise as survey_each(). */
int survey_box(const char *data_dir, const char *dir,
	       int (*on_parcel)(void *ctx, const struct parcel *p), void *ctx, uint64_t *damaged);

#endif

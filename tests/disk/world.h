/* SPDX-License-Identifier: Apache-2.0
 * tests/disk/world.h - random work on a store, and what must be in it: a model in memory, kept
 * beside the store operation by operation and compared with it exactly. Model, power cut and
 * corruption tests share it.
 *
 * A world is one piece of memory without pointers, so that it can be shared with a child that does
 * the work and dies of it. `now` is what the process knows, `durable` what must be there after any
 * end of it. */
#ifndef TESTS_DISK_WORLD_H
#define TESTS_DISK_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/store.h"

enum {
	WORLD_NAMES = 3,
	WORLD_REQUESTS = 1500,
	WORLD_BLOCKS = 800,
	WORLD_CHAPTERS = 500,
	WORLD_JUDGE_STATES = 3
};

struct world_exporter {
	bool known, configured;
	struct cursor cursor;
	uint64_t entered, sent, backend_rejected, dropped[DROP_REASONS], held;
	/* Of its boxes (boxes.h): as `cursor` and `held`, and whether one was met yet. */
	uint64_t box_done[PLACES], box_held[PLACES];
	bool is_new;
};
struct world_state {
	uint64_t received, rejected, accepted;
	uint32_t n_requests, n_blocks, first_held;
	uint64_t next_block, next_seq;
	/* Of the judge. Pending blocks and chapters that are not given up: [first_, n_). */
	uint64_t pending, judged[STORE_VERDICTS], next_pending, position;
	uint32_t n_pending, first_pending, n_chapters, first_chapter;
	uint32_t serial[WORLD_JUDGE_STATES], bytes[WORLD_JUDGE_STATES]; /* of its states */
	struct world_exporter exporter[WORLD_NAMES];
};
struct world_request {
	uint64_t first;
	uint32_t spans, name_bytes, len, offset; /* its record's, in the block */
};
struct world_block {
	uint64_t id, unix_ms;
	uint32_t bytes, spans, first_request, n_requests;
};
struct world_chapter { /* its number is its place, from 1 */
	uint32_t serial, bytes;
};
struct world {
	uint64_t seed, next_span;
	bool judged;          /* how the store is opened */
	uint32_t last_serial; /* of a chapter's or a state's content */
	unsigned mask;        /* of the exporters that are configured */
	bool progressed, big; /* big: also requests that fill blocks */
	bool
	    moving[WORLD_NAMES]; /* spans of it are on their way to a box: nothing overtakes them */
	struct world_state now, durable;
	struct world_request request[WORLD_REQUESTS];
	struct world_block block[WORLD_BLOCKS], pending[WORLD_BLOCKS];
	struct world_chapter chapter[WORLD_CHAPTERS];
	char error[256]; /* the first thing that was not as it must be */
};

void world_init(struct world *w, uint64_t seed);
uint32_t world_random(struct world *w, uint32_t below);

/* What store_open() does with the exporters that are configured and those that were. */
void world_configure(struct world *w, unsigned mask);
int world_open(struct world *w, struct store **s, const char *dir);

/* One random operation: a group of requests, a ruling, progress, a commit. false: see `error`;
 * w->now is then also durable if it committed, which on_commit is told of, before and after. */
bool world_step(struct world *w, struct store *s, void (*on_commit)(void *ctx, bool done),
		void *ctx);
bool world_close(struct world *w, struct store *s, void (*on_commit)(void *ctx, bool done),
		 void *ctx);

/* The process is gone: what was not durable is not there. */
void world_crash(struct world *w);

/* The journal and the account begin anew. */
void world_forget(struct world *w);

/* Stretches of the journal: how many spans with ascending numbers are behind the cursor, `most` at
 * most, and the first's number. The place `spans` behind the cursor, in one of the ways to say it.
 * What store_commit() deletes. */
uint32_t world_run(const struct world *w, struct cursor c, uint32_t most, uint64_t *first);
struct cursor world_advance(struct world *w, struct cursor c, uint64_t spans);
void world_retire(struct world *w);
/* Shares spans out to what may have become of them. */
void world_split(struct world *w, uint64_t spans, struct progress *p);
void world_count(struct world_exporter *e, const struct progress *p);
unsigned world_index_in_store(const struct world *w, unsigned exporter);
extern const char *const WORLD_EXPORTERS[WORLD_NAMES];
bool world_wrong(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whether the store is exactly this: account, cursors, blocks, every byte of them. */
bool world_check(struct world *w, const struct world_state *want, struct store *s);
bool world_check_account(struct world *w, const struct world_state *want, const struct ledger *l);

/* Whether the block's bytes are those that were committed under this id. */
bool world_check_block(struct world *w, const struct world_block *b, enum block_stage stage,
		       struct slice bytes);

/* Whether bytes are the content of that number; what stands first in them is the number that they
 * say, 0 if they say none. */
bool world_is_content(struct slice bytes, uint32_t serial, uint32_t len);
uint32_t world_serial_of(struct slice bytes);
extern const char *const WORLD_STATES[WORLD_JUDGE_STATES];

/* Spans of the block that are behind the exporter's cursor. */
uint32_t world_spans_behind(const struct world *w, const struct world_block *b, struct cursor c);

/* A folder for scratch files: in memory where there is /dev/shm. */
const char *scratch_dir(void);
void scratch_empty(const char *dir);
void quiet(void); /* the log goes nowhere, but for LOG=1 */

#endif

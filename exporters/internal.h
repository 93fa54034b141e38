/* SPDX-License-Identifier: Apache-2.0
 * exporters/internal.h - the inside of a sender, for the files that share it:
 *   sender.c   the contract; who goes next
 *   verdict.c  what an answer means for a request and for the backend's state
 *   move.c     into the boxes: spilling, the quarantine; age; what an operator gives up
 *   rotation.c credentials that change
 *   measure.c  the statistics
 * Everything here belongs to the export room. */
#ifndef EXPORTERS_INTERNAL_H
#define EXPORTERS_INTERNAL_H

#include "exporters/credential.h"
#include "exporters/lane.h"
#include "exporters/sender.h"

struct sender {
	const struct conf_exporter *conf;
	unsigned index;
	struct ev_loop *loop;
	struct export *room;
	const struct exporter_ops *ops;
	void *exporter;
	struct gather gather;
	struct lane lane[PLACES]; /* [PLACE_QUARANTINE]: the second hearing */
	struct credential credential;
	size_t under_way;
	bool backlog_turn;     /* whose turn it is where only one request may be in flight */
	uint64_t taken;        /* requests the backend accepted */
	unsigned refusals;     /* since then */
	struct request *probe; /* the one that goes while the state is not OK; NULL: none is out */
	uint64_t backoff_ms;   /* the last step; 0 while the state is OK */
	/* the next probe; while the state is OK, the end of the linger time */
	struct ev_timer timer;
	struct ev_timer
	    tick; /* once a second while something waits: age, rates, what was put off */
	struct ev_timer move_timer; /* the next attempt to put something into a box */
	bool draining;

	uint64_t spill_bytes;   /* above this much in the journal the outbox takes it */
	uint64_t segment_bytes; /* of its outbox: so much has to go when it is full */
	bool spilling;
	uint64_t spill_after_ms; /* monotonic: the outbox refused */
	uint64_t drop_after_ms;  /* the space of what was dropped is not there yet; 0: it is */
	size_t n_moving;         /* on their way into a box, from anywhere */
	size_t spills;           /* of those, from the journal to the outbox */
	uint64_t moving_bytes;   /* bodies of them */

	/* Unix time less monotonic time, at the start: the clock that ages go by. A wall clock that
	 * is set does not make everything old at once. */
	uint64_t unix_base_ms;
	uint64_t tick_ms, fresh_spans, drained_spans; /* monotonic; sent since then */
	double fresh_rate, drain_rate;
	struct sender_stats stats;
};

enum { MOVE_AGAIN_MS = 1000 };

static inline enum sender_state state_of(const struct sender *s)
{
	return (enum sender_state)atomic_load_explicit(&s->stats.state, memory_order_relaxed);
}

static inline void add_stat(_Atomic uint64_t *stat, uint64_t n)
{
	atomic_fetch_add_explicit(stat, n, memory_order_relaxed);
}

static inline void set_stat(_Atomic uint64_t *stat, uint64_t n)
{
	atomic_store_explicit(stat, n, memory_order_relaxed);
}

uint64_t sender_unix_ms(const struct sender *s);    /* on the clock of ages */
uint64_t sender_too_old_ms(const struct sender *s); /* what came before it has expired */

/* sender.c */
void sender_set_timer(struct sender *s, uint64_t ms);
void sender_pump(struct sender *s);

/* verdict.c */
void sender_on_done(struct export_call *call, struct outcome outcome);
void sender_back_off(struct sender *s, enum sender_state to, const struct outcome *o);
void sender_recover(struct sender *s);
void sender_later(struct sender *s, bool was_probe); /* no memory, or the journal cannot be read */

/* move.c */
void move_what_must(struct sender *s);
bool move_holds_fresh(const struct sender *s); /* fresh requests go to the outbox, not out */
void sender_drop_expired(struct sender *s);

/* rotation.c */
void rotation_start(struct sender *s);
/* The exporter's is the other configuration from now on; `replaced`: it goes another way. */
void rotation_take(struct sender *s, const struct conf_exporter *conf, bool replaced);
void rotation_begin(struct request *r); /* it gets its key */
/* Its answer came: the key is released. `was_probe` as in verdict.c. True: the credential was
 * refused, which has been dealt with; *hold where no other one is left. */
bool rotation_end(struct request *r, const struct outcome *o, bool was_probe, bool *hold);
void rotation_tick(struct sender *s, uint64_t now_ms);
bool rotation_is_at_rest(const struct sender *s);

/* measure.c */
void measure_waiting(struct sender *s);
void measure_tick(struct sender *s, uint64_t now_ms);

#endif

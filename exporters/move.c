/* SPDX-License-Identifier: Apache-2.0
 * Out of one place into another, or out of the relay: what the backend does not take in time goes
 * to the outbox, what it calls bad to the quarantine, and what is too old or has no room is given
 * up, loudly.
 *
 * Spans go to the outbox strictly in the order of the journal: only when everything before them is
 * done or on its way there too. So the parcels that the journal's cursor has not passed yet are the
 * last ones of the box, and a start after a crash can take them back. Where one could not be
 * written and later ones were, all of them are told of together. Nothing of the box is sent before
 * the journal's cursor has passed it, or the account would not add up. */
#include "base/clock.h"
#include "base/log.h"
#include "exporters/internal.h"
#include "relay/path.h"

enum {
	SPILL_BYTES = 1 << 20, /* of a new portion, before compression: parcels stay small */
	SPILLS = 4,
	SPILLING_BYTES = 8 << 20, /* bodies of spills under way */
	/* A segment that was given up leaves the disk with the second commit from then. So often it
	 * is looked; and when it has not helped by then, somebody else took the space. */
	FREED_AGAIN_MS = 200,
	FREED_MS = 3000
};
static const double TICK_EXPIRE_S = 0.02; /* reading what has expired may hold the room so long */

static void try_again(struct sender *s, uint64_t ms)
{
	double at = (double)ms / 1000.;
	if (s->draining ||
	    (ev_is_active(&s->move_timer) && ev_timer_remaining(s->loop, &s->move_timer) <= at))
		return;
	ev_timer_stop(s->loop, &s->move_timer);
	ev_timer_set(&s->move_timer, at, 0.);
	ev_timer_start(s->loop, &s->move_timer);
}

/* ---- into a box ---- */

/* The body is made; it stays until sender_on_spilled(). */
static void move(struct request *r, enum span_place box, enum request_state came_from, int status)
{
	struct sender *s = r->lane->sender;
	const struct portion *p = &r->portion;
	r->came_from = came_from;
	r->state = MOVING;
	r->spill = (struct spill){
	    .exporter = s->index,
	    .box = box,
	    .parcel = {.oldest_ms = p->oldest_ms,
		       .newest_ms = p->newest_ms,
		       .n_spans = portion_readable(p),
		       .plain_len = (uint32_t)p->plain_bytes,
		       .coding = s->gather.coding,
		       .from = r->lane->place,
		       .to = p->to,
		       .status = status,
		       .body = r->wire},
	};
	s->n_moving++;
	s->spills += r->lane->place == PLACE_JOURNAL && box == PLACE_OUTBOX;
	s->moving_bytes += r->wire.len;
	path_spill(s->room, &r->spill);
}

/* ---- what is condemned ---- */

/* The first that is not done. */
static struct request *first_open(const struct lane *l)
{
	list_for_each_safe(pos, tmp, &l->window) if (lane_request(pos)->state !=
						     DONE) return lane_request(pos);
	return NULL;
}

/* The first of its lane, if it is for a box and may go now. So progress is told in the order of the
 * box. Behind spills that nobody could be told of it goes where they went; it will be refused there
 * again. What goes from the outbox to its end must not overtake what comes from the journal. */
static struct request *next_condemned(struct lane *l)
{
	struct sender *s = l->sender;
	struct request *r = first_open(l);
	if (r == NULL || r->state != CONDEMNED)
		return NULL;
	if (r != lane_head(l))
		r->box = PLACE_OUTBOX;
	bool waits = l->place == PLACE_OUTBOX && r->box == PLACE_OUTBOX &&
		     (s->spills != 0 || l->backlog.limit != UINT64_MAX);
	return waits ? NULL : r;
}

static void move_head(struct lane *l)
{
	uint64_t now = clock_mono_ms();
	for (;;) {
		struct request *r = next_condemned(l);
		if (r == NULL)
			return;
		if (now < l->move_after_ms || lane_make(r) != 0) {
			if (now >= l->move_after_ms)
				l->move_after_ms = now + MOVE_AGAIN_MS;
			try_again(l->sender, l->move_after_ms - now);
			return;
		}
		if (r->state != DONE) {
			bool bad = r->box == PLACE_QUARANTINE;
			move(r, r->box, CONDEMNED, bad ? r->status : -1);
			return;
		}
		lane_advance(l); /* it was damaged meanwhile */
	}
}

/* Nothing was put into the box. */
static void on_not_moved(struct request *r, int rc)
{
	struct sender *s = r->lane->sender;
	r->state = CONDEMNED;
	if (rc == BOX_FULL && r->box == PLACE_QUARANTINE) {
		log_limited(LOG_WARN, "a bad span was dropped, the quarantine is full",
			    "exporter=%s why=%s status=%d", s->conf->name,
			    DROP_REASON_NAMES[r->reason], r->status);
		lane_drop(r, r->reason);
		return;
	}
	log_limited(LOG_WARN, "a span cannot be put into a box, trying again",
		    "exporter=%s box=%s error=%d", s->conf->name, PLACE_NAMES[r->box], rc);
	r->lane->move_after_ms = clock_mono_ms() + MOVE_AGAIN_MS;
	try_again(s, MOVE_AGAIN_MS);
}

/* ---- spilling ---- */

/* Where the backlog has to stop: the first parcel that the journal's cursor has not passed. */
static void limit_backlog(struct sender *s)
{
	const struct lane *fresh = &s->lane[PLACE_JOURNAL];
	s->lane[PLACE_OUTBOX].backlog.limit = lane_first_untold(fresh, fresh->window.next);
}

/* Up to where the oldest segment may go; 0: there is none, or one that has to go first waits for
 * what is in flight. */
static uint64_t oldest_end(const struct lane *l)
{
	const struct box_segment *g = backlog_oldest(&l->backlog);
	if (l->backlog.passed < l->given_up_before || g == NULL || g->first >= l->backlog.limit)
		return 0;
	return g->end < l->backlog.limit ? g->end : l->backlog.limit;
}

/* As many of the oldest segments as make room for a new one. */
static void drop_oldest(struct sender *s)
{
	struct lane *l = &s->lane[PLACE_OUTBOX];
	uint64_t spans = 0, bytes = 0, end = oldest_end(l);
	if (end == 0 && l->backlog.passed >= l->given_up_before)
		backlog_seal(&l->backlog, clock_mono_ms());
	if (end == 0)
		return;
	do {
		bytes += backlog_oldest(&l->backlog)->bytes;
		spans += lane_give_up(l, end, DROP_OUTBOX_FULL);
		l->given_up_before = end;
		lane_advance(l);
		end = oldest_end(l);
	} while (bytes < s->segment_bytes && end > l->given_up_before);
	s->drop_after_ms = clock_mono_ms() + FREED_MS;
	log_limited(LOG_WARN, "the outbox is full, its oldest spans were dropped",
		    "exporter=%s spans=%llu", s->conf->name, (unsigned long long)spans);
}

/* What was in flight when its segment went, and was not taken. Nothing more can be dropped, and no
 * disk is freed, before all of that segment is done. */
static void drop_what_came_back(struct sender *s)
{
	struct lane *l = &s->lane[PLACE_OUTBOX];
	if (l->backlog.passed < l->given_up_before &&
	    lane_give_up(l, l->given_up_before, DROP_OUTBOX_FULL) != 0)
		lane_advance(l);
}

static void on_not_spilled(struct request *r, int rc)
{
	struct sender *s = r->lane->sender;
	bool drop = rc == BOX_FULL && s->conf->outbox.when_full == WHEN_FULL_DROP_OLDEST;
	uint64_t wait = drop ? FREED_AGAIN_MS : MOVE_AGAIN_MS;
	uint64_t now = clock_mono_ms();
	r->state = r->came_from;
	if (rc != BOX_FULL)
		log_limited(LOG_WARN, "the outbox cannot be written, trying again",
			    "exporter=%s error=%d", s->conf->name, rc);
	else if (!drop)
		log_limited(LOG_WARN, "the outbox is full, the journal fills",
			    "exporter=%s waiting_bytes=%llu", s->conf->name,
			    (unsigned long long)atomic_load(&s->stats.waiting_bytes));
	if (now < s->spill_after_ms)
		return; /* it went out together with the last one that failed */
	s->spill_after_ms = now + wait;
	try_again(s, wait);
	if (drop && now >= s->drop_after_ms)
		drop_oldest(s);
}

void sender_on_spilled(struct sender *s, struct spill *spill)
{
	struct request *r = container_of(spill, struct request, spill);
	struct lane *l = r->lane;
	uint32_t spans = spill->parcel.n_spans;
	s->n_moving--;
	s->spills -= l->place == PLACE_JOURNAL && spill->box == PLACE_OUTBOX;
	s->moving_bytes -= spill->parcel.body.len;
	buf_finish(&r->body);
	if (spill->rc == 0) {
		struct progress counts = {.sent = 0};
		counts.moved[spill->box] = spans;
		add_stat(spill->box == PLACE_OUTBOX ? &s->stats.spilled_spans
						    : &s->stats.quarantined_spans,
			 spans);
		backlog_added(&s->lane[spill->box].backlog, &spill->parcel);
		if (spill->box == PLACE_OUTBOX)
			s->drop_after_ms = 0; /* after a refusal this is a segment's beginning */
		lane_settle(r, counts);
	} else if (r->came_from == CONDEMNED) {
		on_not_moved(r, spill->rc);
	} else {
		on_not_spilled(r, spill->rc);
	}
	lane_advance(l);
	limit_backlog(s);
	sender_pump(s);
}

/* The first request that may go: everything before it is done or going. NULL with `held`: something
 * before it is in flight or has to go elsewhere first; without: all of the window is going. */
static struct request *next_to_spill(struct sender *s, bool *held)
{
	list_for_each_safe(pos, tmp, &s->lane[PLACE_JOURNAL].window)
	{
		struct request *r = lane_request(pos);
		if (r->state == WAITING || r->state == ASIDE)
			return r;
		*held = r->state != DONE && (r->state != MOVING || r->spill.box != PLACE_OUTBOX);
		if (*held)
			return NULL;
	}
	return NULL;
}

static bool has_room(const struct sender *s, uint64_t bytes)
{
	return s->n_moving == 0 ||
	       (s->n_moving < SPILLS && s->moving_bytes + bytes <= SPILLING_BYTES);
}

/* A span of the outbox waits to go to its end, and for a moment in which nothing else is going. */
static bool must_let_by(const struct sender *s)
{
	const struct lane *l = &s->lane[PLACE_OUTBOX];
	const struct request *r = lane_head(l);
	return r != NULL && r->state == CONDEMNED && r->box == PLACE_OUTBOX &&
	       clock_mono_ms() >= l->move_after_ms && l->backlog.limit == UINT64_MAX;
}

/* True: there may be more. */
static bool spill_one(struct sender *s)
{
	struct lane *l = &s->lane[PLACE_JOURNAL];
	bool held = false;
	struct request *r = next_to_spill(s, &held);
	if (held || must_let_by(s) ||
	    !has_room(s, r != NULL ? r->portion.plain_bytes : SPILL_BYTES))
		return false;
	enum request_state was = r != NULL ? r->state : WAITING;
	uint64_t too_old = sender_too_old_ms(s);
	if (r == NULL) {
		size_t most = s->conf->request_bytes;
		const struct gather_limits limits = {most < SPILL_BYTES ? most : SPILL_BYTES,
						     too_old};
		if (!lane_has_new(l))
			return false;
		r = lane_take(l, &limits);
	} else if (r->portion.newest_ms != 0 && r->portion.newest_ms < too_old) {
		lane_drop(r, DROP_EXPIRED);
	} else if (lane_make(r) != 0) {
		r = NULL;
	}
	if (r == NULL) {
		s->spill_after_ms = clock_mono_ms() + MOVE_AGAIN_MS;
		try_again(s, MOVE_AGAIN_MS);
		return false;
	}
	if (r->state != DONE)
		move(r, PLACE_OUTBOX, was, -1);
	else
		lane_advance(l);
	return true;
}

static void look_at_journal(struct sender *s)
{
	uint64_t waiting = atomic_load_explicit(&s->stats.waiting_bytes, memory_order_relaxed);
	bool was = s->spilling;
	s->spilling = waiting > s->spill_bytes || (was && waiting >= s->spill_bytes / 2);
	if (s->spilling && !was)
		log_info("spans go to the outbox", "exporter=%s waiting_bytes=%llu", s->conf->name,
			 (unsigned long long)waiting);
	else if (was && !s->spilling)
		log_info("spans go to the outbox no more", "exporter=%s waiting_bytes=%llu",
			 s->conf->name, (unsigned long long)waiting);
}

bool move_holds_fresh(const struct sender *s)
{
	return s->spilling && clock_mono_ms() >= s->spill_after_ms;
}

void move_what_must(struct sender *s)
{
	limit_backlog(s);
	drop_what_came_back(s);
	for (int i = 0; i < PLACES; i++)
		move_head(&s->lane[i]);
	measure_waiting(s);
	look_at_journal(s);
	while (move_holds_fresh(s) && spill_one(s)) {
		measure_waiting(s);
		look_at_journal(s);
	}
	measure_waiting(s);
}

/* ---- age ---- */

static uint64_t drop_expired_window(struct lane *l, uint64_t too_old_ms)
{
	uint64_t n = 0;
	list_for_each_safe(pos, tmp, &l->window)
	{
		struct request *r = lane_request(pos);
		if ((r->state != WAITING && r->state != ASIDE) || r->portion.newest_ms == 0 ||
		    r->portion.newest_ms >= too_old_ms)
			continue;
		n += portion_readable(&r->portion);
		lane_drop(r, DROP_EXPIRED);
	}
	return n;
}

static bool front_is_old(struct lane *l, uint64_t too_old_ms)
{
	if (l->place == PLACE_JOURNAL)
		return gather_is_old(l->gather, too_old_ms);
	return backlog_look(&l->backlog) && l->backlog.front_newest_ms < too_old_ms;
}

static uint64_t drop_expired_new(struct lane *l, uint64_t too_old_ms)
{
	const struct gather_limits limits = {SPILL_BYTES, too_old_ms};
	double until = ev_time() + TICK_EXPIRE_S;
	uint64_t n = 0;
	while (ev_time() < until && front_is_old(l, too_old_ms)) {
		struct request *r = lane_take(l, &limits);
		if (r == NULL)
			break;
		n += portion_readable(&r->portion);
		lane_advance(l); /* it is settled */
	}
	return n;
}

void sender_drop_expired(struct sender *s)
{
	uint64_t too_old = sender_too_old_ms(s), n = 0;
	struct backlog *b = &s->lane[PLACE_OUTBOX].backlog;
	for (int i = PLACE_JOURNAL; too_old != 0 && i <= PLACE_OUTBOX; i++) {
		struct lane *l = &s->lane[i];
		n += drop_expired_window(l, too_old);
		lane_advance(l);
		n += drop_expired_new(l, too_old);
	}
	/* What cannot be read cannot be told to be old. */
	if (b->making_oldest_ms != 0 && b->making_oldest_ms < too_old && backlog_wants_seal(b))
		backlog_seal(b, clock_mono_ms());
	if (n != 0)
		log_limited(LOG_WARN, "spans were dropped, they are too old",
			    "exporter=%s spans=%llu", s->conf->name, (unsigned long long)n);
}

/* ---- an operator's word ---- */

void sender_resend_quarantine(struct sender *s)
{
	struct backlog *b = &s->lane[PLACE_QUARANTINE].backlog;
	b->limit = b->known_end;
	if (backlog_wants_seal(b)) {
		path_seal(s->room, s->index, PLACE_QUARANTINE);
		b->asked = true;
		b->asked_ms = clock_mono_ms();
	}
	sender_pump(s);
}

void sender_clear_quarantine(struct sender *s)
{
	struct lane *l = &s->lane[PLACE_QUARANTINE];
	uint64_t spans = lane_give_up(l, l->backlog.known_end, DROP_REFUSED);
	log_warn("the quarantine was cleared", "exporter=%s spans=%llu", s->conf->name,
		 (unsigned long long)spans);
	lane_advance(l);
	/* so that the last of it leaves the disk too */
	path_seal(s->room, s->index, PLACE_QUARANTINE);
	sender_pump(s);
}

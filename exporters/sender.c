/* SPDX-License-Identifier: Apache-2.0
 * The contract, and who goes next. */
#include "exporters/sender.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "exporters/internal.h"
#include "relay/path.h"

enum {
	WINDOW_PER_CALL = 16, /* requests a slow head may hold up, for each call in flight */
	SEAL_EVERY_MS = 1000  /* a probe waits so long for a segment before it does without */
};
static const double TICK_S = 1.;
static const double PROBING_S = 0.02; /* looking for what can be sent may hold the room so long */

const char *const SENDER_STATE_NAMES[] = {"ok", "retrying", "held_auth", "held_upstream",
					  "no_credential"};

uint64_t sender_unix_ms(const struct sender *s)
{
	return s->unix_base_ms + clock_mono_ms();
}

uint64_t sender_too_old_ms(const struct sender *s)
{
	uint64_t now = sender_unix_ms(s), age = s->conf->outbox.max_age_ms;
	return age != 0 && age < now ? now - age : 0;
}

void sender_set_timer(struct sender *s, uint64_t ms)
{
	ev_timer_stop(s->loop, &s->timer);
	ev_timer_set(&s->timer, (double)ms / 1000., 0.);
	ev_timer_start(s->loop, &s->timer);
}

/* ---- sending ---- */

/* The body is made: out with it. */
static void start(struct request *r)
{
	struct sender *s = r->lane->sender;
	if (r->state == DONE) { /* nothing of it could be sent */
		lane_advance(r->lane);
		return;
	}
	r->state = UNDER_WAY;
	r->lane->under_way++;
	s->under_way++;
	if (state_of(s) != SENDER_OK)
		s->probe = r;
	add_stat(&s->stats.requests, 1);
	add_stat(&s->stats.sent_bytes, r->wire.len);
	add_stat(&s->stats.body_bytes, r->portion.plain_bytes);
	set_stat(&s->stats.inflight, s->under_way);
	r->call.body = r->wire;
	r->call.spans = portion_readable(&r->portion);
	r->call.on_done = sender_on_done;
	rotation_begin(r);
	s->ops->send(s->exporter, &r->call);
}

/* That the journal cannot be read stops everything; a box, only its own lane. */
static bool not_now(struct lane *l)
{
	if (l->place == PLACE_JOURNAL)
		sender_later(l->sender, true);
	else
		l->read_after_ms = clock_mono_ms() + MOVE_AGAIN_MS;
	return false;
}

/* Both give true when something was sent or settled. */
static bool send_new(struct lane *l)
{
	struct sender *s = l->sender;
	const struct gather_limits limits = {
	    s->conf->request_bytes, l->place == PLACE_QUARANTINE ? 0 : sender_too_old_ms(s)};
	struct request *r = lane_take(l, &limits);
	if (r == NULL)
		return not_now(l);
	start(r);
	return true;
}

static bool has_expired(const struct request *r)
{
	return r->lane->place != PLACE_QUARANTINE && r->portion.newest_ms != 0 &&
	       r->portion.newest_ms < sender_too_old_ms(r->lane->sender);
}

static bool send_again(struct request *r)
{
	struct lane *l = r->lane;
	if (has_expired(r))
		lane_drop(r, DROP_EXPIRED);
	else if (lane_make(r) != 0)
		return not_now(l);
	else
		add_stat(&l->sender->stats.retries, 1);
	start(r);
	return true;
}

/* ---- who goes next ---- */

static bool may_take(const struct lane *l)
{
	return lane_has_new(l) && l->n_window < l->sender->conf->concurrency * WINDOW_PER_CALL;
}

static uint64_t linger_left(const struct sender *s)
{
	if (gather_waiting_bytes(&s->gather) >= s->conf->batch_bytes)
		return 0;
	uint64_t due = gather_oldest_ms(&s->gather) + s->conf->linger_ms, now = clock_mono_ms();
	return due > now ? due - now : 0;
}

static bool has_work(struct lane *l)
{
	struct sender *s = l->sender;
	uint64_t now = clock_mono_ms();
	bool fresh = l->place == PLACE_JOURNAL;
	if (fresh && move_holds_fresh(s))
		return false;
	if (!fresh && now < l->read_after_ms)
		return false;
	if (lane_largest(l, WAITING, UINT32_MAX, now) != NULL)
		return true;
	return may_take(l) && (!fresh || linger_left(s) == 0);
}

/* What came out of boxes: the second hearing is short and somebody waits for it. */
static struct lane *boxed_lane(struct sender *s)
{
	struct lane *hearing = &s->lane[PLACE_QUARANTINE], *backlog = &s->lane[PLACE_OUTBOX];
	bool both = has_work(hearing) && has_work(backlog);
	if (both)
		return hearing->under_way <= backlog->under_way ? hearing : backlog;
	return has_work(hearing) ? hearing : has_work(backlog) ? backlog : NULL;
}

/* Fresh spans go first; but what waits in boxes has one call at least, and all but one at most.
 * Where there is but one, they take turns. NULL: nobody wants to go. */
static struct lane *next_lane(struct sender *s)
{
	struct lane *fresh = has_work(&s->lane[PLACE_JOURNAL]) ? &s->lane[PLACE_JOURNAL] : NULL;
	struct lane *boxed = boxed_lane(s);
	size_t boxed_calls = s->under_way - s->lane[PLACE_JOURNAL].under_way;
	size_t calls = s->conf->concurrency;
	if (calls == 1) {
		if (fresh == NULL || boxed == NULL)
			return fresh != NULL ? fresh : boxed;
		s->backlog_turn = !s->backlog_turn;
		return s->backlog_turn ? boxed : fresh;
	}
	if (fresh != NULL &&
	    (boxed == NULL || boxed_calls != 0 || s->lane[PLACE_JOURNAL].under_way < calls - 1))
		return fresh;
	return boxed != NULL && boxed_calls < calls - 1 ? boxed : NULL;
}

static bool send_one(struct sender *s)
{
	struct lane *l = next_lane(s);
	if (l == NULL)
		return false;
	struct request *r = lane_largest(l, WAITING, UINT32_MAX, clock_mono_ms());
	return r != NULL ? send_again(r) : send_new(l);
}

/* All that is left was refused, and nothing else shows whether the fault is in it. */
static bool is_stuck(const struct sender *s)
{
	bool aside = false;
	if (s->under_way != 0 || s->n_moving != 0)
		return false;
	for (int i = 0; i < PLACES; i++) {
		const struct lane *l = &s->lane[i];
		bool boxed = l->place != PLACE_JOURNAL;
		if (lane_has_new(l) || (boxed && backlog_wants_seal(&l->backlog)) ||
		    lane_largest(l, WAITING, UINT32_MAX, UINT64_MAX) != NULL)
			return false;
		aside = aside || lane_largest(l, ASIDE, UINT32_MAX, UINT64_MAX) != NULL;
	}
	return aside;
}

/* What is in a segment in the making has to be sealed before it can go. */
static void seal_what_waits(struct sender *s)
{
	for (int i = PLACE_OUTBOX; i < PLACES; i++)
		if (backlog_wants_seal(&s->lane[i].backlog))
			backlog_seal(&s->lane[i].backlog, clock_mono_ms());
}

static void keep_ticking(struct sender *s)
{
	if (!ev_is_active(&s->tick)) {
		s->tick_ms = clock_mono_ms();
		ev_timer_again(s->loop, &s->tick);
	}
}

void sender_pump(struct sender *s)
{
	measure_waiting(s);
	if (s->draining)
		return;
	keep_ticking(s);
	move_what_must(s);
	while (state_of(s) == SENDER_OK && s->under_way < s->conf->concurrency &&
	       credential_ready(&s->credential) && send_one(s))
		;
	if (state_of(s) != SENDER_OK)
		return;
	seal_what_waits(s);
	if (may_take(&s->lane[PLACE_JOURNAL]) && s->under_way < s->conf->concurrency &&
	    linger_left(s) != 0)
		sender_set_timer(s, linger_left(s));
	if (is_stuck(s)) {
		const struct outcome o = {.status = atomic_load(&s->stats.last_status),
					  .reason = "the backend refuses all that is left"};
		sender_back_off(s, SENDER_HELD_UPSTREAM, &o);
	}
}

/* ---- probing ---- */

static bool probe_with(struct lane *l, enum request_state state, unsigned max_alone)
{
	struct request *r = lane_largest(l, state, max_alone, UINT64_MAX);
	if (l->place != PLACE_JOURNAL && clock_mono_ms() < l->read_after_ms)
		return false;
	if (r != NULL)
		(void)send_again(r);
	else if (state == WAITING && may_take(l))
		(void)send_new(l);
	else
		return false;
	return true;
}

/* Whether a segment was asked for and may still come. */
static bool seal_is_near(struct sender *s)
{
	struct backlog *b = &s->lane[PLACE_OUTBOX].backlog;
	if (!backlog_wants_seal(b))
		return false;
	backlog_seal(b, clock_mono_ms());
	return clock_mono_ms() - b->asked_ms < SEAL_EVERY_MS;
}

/* One request to see whether the backend is well again. While the outbox takes what is fresh, the
 * backlog is asked first, for what is in flight holds up the spilling. Last come requests that are
 * suspect themselves: those that failed while others were taken, those refused as bad data. False:
 * nothing can go now. */
static bool send_probe(struct sender *s)
{
	static const enum span_place FRESH_FIRST[PLACES] = {PLACE_JOURNAL, PLACE_OUTBOX,
							    PLACE_QUARANTINE};
	static const enum span_place FRESH_LAST[PLACES] = {PLACE_OUTBOX, PLACE_QUARANTINE,
							   PLACE_JOURNAL};
	const enum span_place *order = s->spilling ? FRESH_LAST : FRESH_FIRST;
	if (s->spilling && seal_is_near(s))
		return false;
	for (int i = 0; i < PLACES; i++)
		if (probe_with(&s->lane[order[i]], WAITING, 0))
			return true;
	for (int i = 0; i < PLACES; i++)
		if (probe_with(&s->lane[order[i]], WAITING, UINT32_MAX))
			return true;
	if (seal_is_near(s))
		return false;
	for (int i = 0; i < PLACES; i++)
		if (probe_with(&s->lane[order[i]], ASIDE, UINT32_MAX))
			return true;
	if (s->n_moving == 0 && !backlog_wants_seal(&s->lane[PLACE_OUTBOX].backlog))
		sender_recover(s); /* what failed has been settled otherwise */
	return false;
}

static bool wants_probe(const struct sender *s)
{
	return state_of(s) != SENDER_OK && s->probe == NULL && !ev_is_active(&s->timer) &&
	       s->under_way < s->conf->concurrency && credential_ready(&s->credential);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct sender *s = w->data;
	double until = ev_time() + PROBING_S;
	while (wants_probe(s) && send_probe(s) && ev_time() < until)
		; /* what had expired, or was damaged, was settled instead */
	/* no room for it, or it had nothing to send */
	if (state_of(s) != SENDER_OK && state_of(s) != SENDER_NO_CREDENTIAL && s->probe == NULL &&
	    !ev_is_active(&s->timer))
		sender_set_timer(s, s->conf->retry_initial_ms);
	sender_pump(s);
}

static void on_move_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	sender_pump(w->data);
}

static bool is_at_rest(const struct sender *s)
{
	bool rest =
	    s->under_way == 0 && s->n_moving == 0 && s->fresh_rate < 1. && s->drain_rate < 1.;
	for (int i = 0; i < PLACES; i++)
		rest = rest && list_empty(&s->lane[i].window) && !lane_has_new(&s->lane[i]);
	rest = rest && rotation_is_at_rest(s);
	return rest && !backlog_wants_seal(&s->lane[PLACE_OUTBOX].backlog);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)revents;
	struct sender *s = w->data;
	sender_drop_expired(s);
	rotation_tick(s, clock_mono_ms());
	sender_pump(s);
	measure_tick(s, clock_mono_ms());
	if (is_at_rest(s))
		ev_timer_stop(loop, w);
}

/* ---- the contract ---- */

static void init_lanes(struct sender *s, const struct sender_begin *begin)
{
	for (int i = 0; i < PLACES; i++) {
		struct lane *l = &s->lane[i];
		l->sender = s;
		l->place = (enum span_place)i;
		l->gather = &s->gather;
		list_init(&l->window);
		if (i != PLACE_JOURNAL)
			backlog_init(&l->backlog, s->room, s->index, l->place, &s->gather,
				     begin->from[i].block_id, begin->box_end[i]);
	}
	s->lane[PLACE_QUARANTINE].backlog.limit = 0; /* until somebody asks */
}

static void init_timers(struct sender *s)
{
	ev_timer_init(&s->timer, on_timer, 0., 0.);
	ev_timer_init(&s->tick, on_tick, TICK_S, TICK_S);
	ev_timer_init(&s->move_timer, on_move_timer, 0., 0.);
	s->timer.data = s->tick.data = s->move_timer.data = s;
}

struct sender *sender_create(const struct conf_exporter *conf, unsigned index,
			     const struct sender_begin *begin, struct ev_loop *loop,
			     struct export *room)
{
	struct sender *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->conf = conf;
	s->index = index;
	s->loop = loop;
	s->room = room;
	s->spill_bytes = begin->spill_bytes;
	s->segment_bytes = begin->segment_bytes;
	s->ops = exporter_find(conf->protocol);
	s->unix_base_ms = clock_wall_ms() - clock_mono_ms();
	init_lanes(s, begin);
	init_timers(s);
	atomic_store(&s->stats.last_status, -1);
	rotation_start(s);
	if (gather_init(&s->gather, room, begin->from[PLACE_JOURNAL], exporter_coding(conf)) != 0)
		goto undo_alloc;
	s->exporter = s->ops->create(conf, begin->tls, loop, &s->stats.connects);
	if (s->exporter == NULL)
		goto undo_gather;
	return s;
undo_gather:
	gather_finish(&s->gather);
undo_alloc:
	free(s);
	return NULL;
}

void sender_destroy(struct sender *s)
{
	if (s == NULL)
		return;
	sender_drain(s);
	s->ops->destroy(s->exporter);
	for (int i = 0; i < PLACES; i++)
		lane_finish(&s->lane[i]);
	gather_finish(&s->gather);
	credential_finish(&s->credential);
	free(s);
}

void sender_filed(struct sender *s, uint64_t block_id, uint32_t spans, uint32_t bytes,
		  uint64_t unix_ms)
{
	gather_filed(&s->gather, block_id, spans, bytes, unix_ms, clock_mono_ms());
	sender_pump(s);
}

void sender_on_sealed(struct sender *s, enum span_place box, struct box_segment g)
{
	backlog_sealed(&s->lane[box].backlog, g);
	sender_pump(s);
}

void sender_renew(struct sender *s, struct tls *tls)
{
	s->ops->renew(s->exporter, tls);
	if (state_of(s) != SENDER_OK && s->probe == NULL && !s->draining)
		sender_set_timer(s, 0);
}

void sender_drain(struct sender *s)
{
	s->draining = true;
	ev_timer_stop(s->loop, &s->timer);
	ev_timer_stop(s->loop, &s->tick);
	ev_timer_stop(s->loop, &s->move_timer);
}

bool sender_is_idle(const struct sender *s)
{
	return s->under_way == 0 && s->n_moving == 0;
}

int sender_try(const struct conf_exporter *conf, struct tls *tls, struct ev_loop *loop)
{
	_Atomic uint64_t connects = 0;
	const struct exporter_ops *ops = exporter_find(conf->protocol);
	void *exporter = ops->create(conf, tls, loop, &connects);
	if (exporter == NULL)
		return fail(-EINVAL, "exporter %s: cannot be made", conf->name);
	ops->destroy(exporter);
	return 0;
}

bool sender_is_quiet(const struct sender *s)
{
	return s->under_way == 0;
}

/* What it failed by may be what has changed: it need not wait to find out. */
static void look_again(struct sender *s)
{
	if (state_of(s) != SENDER_OK && s->probe == NULL && !s->draining)
		sender_set_timer(s, 0);
	sender_pump(s);
}

int sender_take(struct sender *s, const struct conf_exporter *conf, uint64_t segment_bytes)
{
	int rc = s->ops->take(s->exporter, conf);
	if (rc != 0)
		return rc;
	rotation_take(s, conf, false);
	s->segment_bytes = segment_bytes;
	look_again(s);
	return 0;
}

int sender_replace(struct sender *s, const struct conf_exporter *conf, struct tls *tls,
		   uint64_t segment_bytes)
{
	const struct exporter_ops *ops = exporter_find(conf->protocol);
	assert(s->draining && s->under_way == 0);
	void *exporter = ops->create(conf, tls, s->loop, &s->stats.connects);
	if (exporter == NULL)
		return fail(-EINVAL, "exporter %s: cannot go another way", conf->name);
	s->ops->destroy(s->exporter);
	s->ops = ops;
	s->exporter = exporter;
	rotation_take(s, conf, true);
	s->gather.coding = exporter_coding(conf);
	s->segment_bytes = segment_bytes;
	s->draining = false;
	look_again(s);
	return 0;
}

const struct sender_stats *sender_stats(const struct sender *s)
{
	return &s->stats;
}

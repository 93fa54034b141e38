/* SPDX-License-Identifier: Apache-2.0
 * What an answer of the backend means for the spans of a request, and what it tells about the
 * backend. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "exporters/internal.h"
#include "relay/path.h"

enum {
	/* no backend's limit is below this: "too large" then means a quota */
	SMALL_BYTES = 64 << 10,
	FAILURES_TO_CUT = 5, /* a request that fails this often may be failing by its size */
	HOLD_FACTOR = 10,    /* a held exporter probes from retry_max to this times retry_max */
	/* in a row: enough to find a bad span among 2^32, too few for chance */
	REFUSALS_TO_HOLD = 64,
	/* Of one request while others are taken: from here on it is the request that is suspect,
	 * not the backend; it is cut; a single span is sent behind all others. */
	ALONE_TO_BLAME = 2,
	ALONE_TO_CUT = 3,
	ALONE_TO_MOVE = 10
};

/* ---- trouble and recovery ---- */

static uint64_t next_step(const struct sender *s, enum sender_state to)
{
	const struct conf_exporter *c = s->conf;
	bool held = to != SENDER_RETRYING;
	uint64_t first = held ? c->retry_max_ms : c->retry_initial_ms;
	uint64_t last = held ? c->retry_max_ms * HOLD_FACTOR : c->retry_max_ms;
	uint64_t next = s->backoff_ms + (held ? s->backoff_ms : s->backoff_ms / 2);
	if (state_of(s) != to || next < first)
		next = first;
	return next < last ? next : last;
}

/* Between half of the step and all of it, so that relays do not come back in step. */
static uint64_t jitter(uint64_t ms)
{
	uint64_t half = ms / 2;
	return ms - arc4random_uniform(half < UINT32_MAX ? (uint32_t)half + 1 : UINT32_MAX);
}

static void log_trouble(const struct sender *s, bool changed, const struct outcome *o,
			uint64_t wait_ms)
{
	const char *state = SENDER_STATE_NAMES[state_of(s)];
	unsigned long long ms = wait_ms;
	if (changed)
		log_warn("exporter cannot deliver",
			 "exporter=%s state=%s status=%d reason=\"%s\" next_try_ms=%llu",
			 s->conf->name, state, o->status, o->reason, ms);
	else
		log_limited(LOG_INFO, "exporter still cannot deliver",
			    "exporter=%s state=%s status=%d reason=\"%s\" next_try_ms=%llu",
			    s->conf->name, state, o->status, o->reason, ms);
}

/* Somebody has to do something. To retry is everyday business, and no news for the audit log. */
static bool is_hold(enum sender_state s)
{
	return s != SENDER_OK && s != SENDER_RETRYING;
}

/* One step back: nothing is sent until the timer lets one probe go. */
void sender_back_off(struct sender *s, enum sender_state to, const struct outcome *o)
{
	enum sender_state was = state_of(s);
	bool changed = was != to;
	s->backoff_ms = next_step(s, to);
	uint64_t wait = jitter(s->backoff_ms);
	if (wait < o->retry_ms)
		wait = o->retry_ms;
	atomic_store(&s->stats.state, to);
	if (changed && (is_hold(was) || is_hold(to)))
		path_exporter_state(s->room, s->conf->name, SENDER_STATE_NAMES[to],
				    SENDER_STATE_NAMES[was], o->reason);
	atomic_store(&s->stats.last_status, o->status);
	atomic_store(&s->stats.next_try_unix_ms, clock_wall_ms() + wait);
	if (s->draining)
		return;
	sender_set_timer(s, wait);
	log_trouble(s, changed, o, wait);
}

/* Calls that were in flight when the trouble began fail one after the other; they are one failure.
 */
static void trouble(struct sender *s, enum sender_state to, const struct outcome *o, bool was_probe)
{
	if (was_probe || state_of(s) == SENDER_OK)
		sender_back_off(s, to, o);
}

void sender_later(struct sender *s, bool was_probe)
{
	const struct outcome o = {.status = -1,
				  .reason = "no memory, or the journal cannot be read"};
	trouble(s, SENDER_RETRYING, &o, was_probe);
}

void sender_recover(struct sender *s)
{
	enum sender_state was = state_of(s);
	if (was == SENDER_OK)
		return;
	if (is_hold(was))
		path_exporter_state(s->room, s->conf->name, SENDER_STATE_NAMES[SENDER_OK],
				    SENDER_STATE_NAMES[was], "it delivers again");
	atomic_store(&s->stats.state, SENDER_OK);
	atomic_store(&s->stats.next_try_unix_ms, 0);
	s->backoff_ms = 0;
	ev_timer_stop(s->loop, &s->timer);
	log_info("exporter delivers again", "exporter=%s", s->conf->name);
}

/* ---- cutting ---- */

static void part(struct request *r)
{
	if (r->twin != NULL)
		r->twin->twin = NULL;
	r->twin = NULL;
}

/* Gives the second half, or NULL: not now. */
static struct request *cut(struct request *r, bool was_probe)
{
	part(r);
	struct request *right = lane_cut(r);
	if (right == NULL)
		sender_later(r->lane->sender, was_probe);
	return right;
}

/* Two halves of what was refused: the verdict on one tells about the other. */
static void cut_refused(struct request *r, bool was_probe)
{
	struct request *right = cut(r, was_probe);
	if (right == NULL)
		return;
	r->twin = right;
	right->twin = r;
}

/* One half was taken, so what is bad is in the other: it need not be tried as a whole. A single
 * span is tried all the same, for nothing is believed to be bad that the backend did not refuse. */
static void cut_twin(struct request *r)
{
	struct request *twin = r->twin;
	part(r);
	if (twin != NULL && twin->state == WAITING && portion_readable(&twin->portion) >= 2)
		cut_refused(twin, false);
}

/* ---- taken ---- */

static void measure_taken(struct request *r, uint64_t spans)
{
	struct sender *s = r->lane->sender;
	uint64_t now = sender_unix_ms(s), since = r->portion.oldest_ms;
	if (r->lane->place == PLACE_JOURNAL) {
		s->fresh_spans += spans;
		set_stat(&s->stats.fresh_delay_ms, since != 0 && since < now ? now - since : 0);
	} else {
		s->drained_spans += spans;
	}
	if (r->lane->place == PLACE_OUTBOX)
		add_stat(&s->stats.drained_spans, spans);
}

/* What was set aside gets its second hearing. */
static void note_taken(struct sender *s)
{
	s->taken++;
	s->refusals = 0;
	for (int i = 0; i < PLACES; i++) {
		list_for_each_safe(pos, tmp, &s->lane[i].window)
		{
			struct request *r = lane_request(pos);
			if (r->state == ASIDE)
				r->state = WAITING;
		}
	}
}

static void on_sent(struct request *r, const struct outcome *o)
{
	struct sender *s = r->lane->sender;
	uint64_t spans = portion_readable(&r->portion);
	uint64_t rejected = o->rejected < spans ? o->rejected : spans;
	note_taken(s);
	measure_taken(r, spans);
	if (rejected != 0)
		log_limited(LOG_WARN, "backend rejected spans",
			    "exporter=%s rejected=%llu of=%llu status=%d", s->conf->name,
			    (unsigned long long)rejected, (unsigned long long)spans, o->status);
	cut_twin(r);
	lane_settle(r, (struct progress){.sent = spans - rejected, .backend_rejected = rejected});
}

/* ---- not taken ---- */

static void condemn(struct request *r, enum span_place box, enum drop_reason reason,
		    const struct outcome *o)
{
	part(r);
	r->state = CONDEMNED;
	r->box = box;
	r->reason = reason;
	r->status = o->status;
}

/* Counts failures of this request between which the backend took others. */
static void note_failure(struct request *r)
{
	uint64_t taken = r->lane->sender->taken;
	if (r->failed_at != 0 && taken + 1 > r->failed_at)
		r->alone++;
	r->failed_at = taken + 1;
}

/* A span on which the backend fails for ever, while it takes others, must not hold up its lane for
 * ever. It is no bad data, for nobody said so: it goes to the end of the outbox and is tried again
 * when its turn comes, until it is too old. Larger requests are cut, to find that span. */
static void on_retry(struct request *r, const struct outcome *o, bool was_probe)
{
	struct sender *s = r->lane->sender;
	note_failure(r);
	if (was_probe || r->alone < ALONE_TO_BLAME) {
		trouble(s, SENDER_RETRYING, o, was_probe);
	} else {
		uint64_t wait =
		    o->retry_ms > s->conf->retry_max_ms ? o->retry_ms : s->conf->retry_max_ms;
		r->not_before_ms = clock_mono_ms() + wait;
	}
	r->failures += was_probe;
	bool many = portion_readable(&r->portion) >= 2;
	if (many && (r->failures >= FAILURES_TO_CUT || r->alone >= ALONE_TO_CUT)) {
		(void)cut(r, false);
	} else if (!many && r->alone >= ALONE_TO_MOVE) {
		log_limited(LOG_WARN, "a span fails while others are taken, it is sent last",
			    "exporter=%s status=%d reason=\"%s\"", s->conf->name, o->status,
			    o->reason);
		bool hearing = r->lane->place == PLACE_QUARANTINE;
		condemn(r, hearing ? PLACE_QUARANTINE : PLACE_OUTBOX, DROP_REFUSED, o);
	}
}

static void on_too_large(struct request *r, const struct outcome *o, bool was_probe)
{
	if (r->portion.plain_bytes < SMALL_BYTES) {
		on_retry(r, o, was_probe);
		return;
	}
	if (was_probe)
		sender_recover(r->lane->sender);
	if (portion_readable(&r->portion) >= 2)
		(void)cut(r, was_probe);
	else
		condemn(r, PLACE_QUARANTINE, DROP_OVERSIZE, o);
}

/* Bad data is searched for by halves. A single span is believed to be bad only if it is refused
 * after the backend has taken something else since the search began. Until then it is set aside;
 * and where everything is refused, the fault is likely not in the data, and we hold. What was
 * believed to be bad before, and is refused in its second hearing, is. */
static void on_refused(struct request *r, const struct outcome *o, bool was_probe)
{
	struct sender *s = r->lane->sender;
	atomic_store(&s->stats.last_status, o->status);
	if (r->refused_at == 0)
		r->refused_at = s->taken + 1;
	bool single = portion_readable(&r->portion) == 1;
	bool alone = s->taken + 1 == r->refused_at && r->lane->place != PLACE_QUARANTINE;
	if (single && alone)
		r->state = ASIDE;
	else if (single)
		condemn(r, PLACE_QUARANTINE, DROP_REFUSED, o);
	else
		cut_refused(r, was_probe);
	if (++s->refusals >= REFUSALS_TO_HOLD || (single && alone && was_probe))
		trouble(s, SENDER_HELD_UPSTREAM, o, was_probe);
	else if (was_probe)
		sender_recover(s);
}

void sender_on_done(struct export_call *call, struct outcome outcome)
{
	struct request *r = container_of(call, struct request, call);
	struct lane *l = r->lane;
	struct sender *s = l->sender;
	bool was_probe = s->probe == r;
	if (was_probe)
		s->probe = NULL;
	buf_finish(&r->body);
	r->state = WAITING;
	l->under_way--;
	set_stat(&s->stats.inflight, --s->under_way);
	bool hold = false, refused = rotation_end(r, &outcome, was_probe, &hold);
	switch (outcome.verdict) {
	case SENT:
		on_sent(r, &outcome);
		if (was_probe)
			sender_recover(s);
		break;
	case RETRY:
		on_retry(r, &outcome, was_probe);
		break;
	case HOLD_AUTH:
		if (!refused || hold)
			trouble(s, SENDER_HELD_AUTH, &outcome, was_probe);
		break;
	case HOLD_UPSTREAM:
		trouble(s, SENDER_HELD_UPSTREAM, &outcome, was_probe);
		break;
	case SPLIT:
		on_too_large(r, &outcome, was_probe);
		break;
	case REFUSED:
		on_refused(r, &outcome, was_probe);
		break;
	}
	lane_advance(l);
	sender_pump(s);
}

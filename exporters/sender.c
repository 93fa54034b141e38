/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/sender.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "exporters/exporter.h"
#include "exporters/gather.h"
#include "relay/path.h"

enum {
	WINDOW_PER_CALL = 16, /* requests a slow head may hold up, for each call in flight */
	/* no backend's limit is below this: "too large" then means a quota */
	SMALL_BYTES = 64 << 10,
	FAILURES_TO_CUT = 5, /* a request that fails this often may be failing by its size */
	HOLD_FACTOR = 10,    /* a held exporter probes from retry_max to this times retry_max */
	/* in a row: enough to find a bad span among 2^32, too few for chance */
	REFUSALS_TO_HOLD = 64
};

const char *const SENDER_STATE_NAMES[] = {"ok", "retrying", "held_auth", "held_upstream"};

/* ASIDE: a single span that was refused before the backend took anything else; see on_refused(). */
enum request_state { WAITING, UNDER_WAY, ASIDE, DONE };

/* A portion of the journal on its way. Its body exists only while it is under way. */
struct request {
	struct list link; /* sender.window */
	struct sender *sender;
	enum request_state state;
	struct portion portion;
	struct export_call call;
	struct buf body;
	/* 1 + sender.taken when it, or what it was cut from, was first refused */
	uint64_t refused_at;
	unsigned failures;      /* as a probe */
	struct progress counts; /* once DONE */
};

struct sender {
	const struct conf_exporter *conf;
	unsigned index;
	struct ev_loop *loop;
	struct export *room;
	const struct exporter_ops *ops;
	void *exporter;
	struct gather gather;
	struct list window; /* (request.link) in the journal's order, all after what is done */
	size_t n_window, under_way;
	uint64_t taken;        /* requests the backend accepted */
	unsigned refusals;     /* since then */
	struct request *probe; /* the one that goes while the state is not OK; NULL: none is out */
	uint64_t backoff_ms;   /* the last step; 0 while the state is OK */
	/* the next probe; while the state is OK, the end of the linger time */
	struct ev_timer timer;
	bool draining;
	uint64_t refused; /* spans given up for good, for the log */
	struct sender_stats stats;
};

static enum sender_state state_of(const struct sender *s)
{
	return (enum sender_state)atomic_load_explicit(&s->stats.state, memory_order_relaxed);
}

static void add_stat(_Atomic uint64_t *stat, uint64_t n)
{
	atomic_fetch_add_explicit(stat, n, memory_order_relaxed);
}

static void set_timer(struct sender *s, uint64_t ms)
{
	ev_timer_stop(s->loop, &s->timer);
	ev_timer_set(&s->timer, (double)ms / 1000., 0.);
	ev_timer_start(s->loop, &s->timer);
}

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

/* One step back: nothing is sent until the timer lets one probe go. */
static void back_off(struct sender *s, enum sender_state to, const struct outcome *o)
{
	bool changed = state_of(s) != to;
	s->backoff_ms = next_step(s, to);
	uint64_t wait = jitter(s->backoff_ms);
	if (wait < o->retry_ms)
		wait = o->retry_ms;
	atomic_store(&s->stats.state, to);
	atomic_store(&s->stats.last_status, o->status);
	atomic_store(&s->stats.next_try_unix_ms, clock_wall_ms() + wait);
	if (s->draining)
		return;
	set_timer(s, wait);
	log_trouble(s, changed, o, wait);
}

/* Calls that were in flight when the trouble began fail one after the other; they are one failure.
 */
static void trouble(struct sender *s, enum sender_state to, const struct outcome *o, bool was_probe)
{
	if (was_probe || state_of(s) == SENDER_OK)
		back_off(s, to, o);
}

static void recover(struct sender *s)
{
	if (state_of(s) == SENDER_OK)
		return;
	atomic_store(&s->stats.state, SENDER_OK);
	atomic_store(&s->stats.next_try_unix_ms, 0);
	s->backoff_ms = 0;
	ev_timer_stop(s->loop, &s->timer);
	log_info("exporter delivers again", "exporter=%s", s->conf->name);
}

/* ---- what is done ---- */

static uint32_t readable(const struct portion *p)
{
	return p->spans - p->lost;
}

/* The request needs no more sending: `counts` tells of its readable spans, the lost ones are added.
 */
static void settle(struct request *r, struct progress counts)
{
	counts.dropped[DROP_DAMAGED] += r->portion.lost;
	if (r->portion.lost != 0)
		log_warn("spans in a damaged block are lost", "exporter=%s before=%llu spans=%u",
			 r->sender->conf->name, (unsigned long long)r->portion.to.block_id,
			 r->portion.lost);
	r->counts = counts;
	r->state = DONE;
}

static void add_counts(struct progress *sum, const struct progress *p)
{
	sum->sent += p->sent;
	sum->backend_rejected += p->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++)
		sum->dropped[i] += p->dropped[i];
}

/* Tells the store how far everything is done. What is done behind a request that is not, waits. */
static void advance(struct sender *s)
{
	struct progress sum = {.sent = 0};
	bool moved = false;
	list_for_each_safe(pos, tmp, &s->window)
	{
		struct request *r = container_of(pos, struct request, link);
		if (r->state != DONE)
			break;
		add_counts(&sum, &r->counts);
		sum.done = r->portion.to;
		moved = true;
		list_del(&r->link);
		s->n_window--;
		free(r);
	}
	if (moved)
		path_progress(s->room, s->index, &sum);
}

/* ---- sending ---- */

static void on_done(struct export_call *call, struct outcome outcome);

static struct request *new_request(struct sender *s, struct list *before)
{
	struct request *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->sender = s;
	list_init(&r->call.link);
	list_add_tail(before, &r->link);
	s->n_window++;
	return r;
}

static void later(struct sender *s, bool was_probe)
{
	const struct outcome o = {.status = -1,
				  .reason = "no memory, or the journal cannot be read"};
	trouble(s, SENDER_RETRYING, &o, was_probe);
}

/* The body is made: out with it. */
static void start(struct request *r)
{
	struct sender *s = r->sender;
	if (readable(&r->portion) == 0) {
		settle(r, (struct progress){.sent = 0});
		advance(s);
		return;
	}
	r->state = UNDER_WAY;
	s->under_way++;
	if (state_of(s) != SENDER_OK)
		s->probe = r;
	add_stat(&s->stats.requests, 1);
	add_stat(&s->stats.sent_bytes, r->body.len);
	add_stat(&s->stats.body_bytes, r->portion.plain_bytes);
	atomic_store(&s->stats.inflight, s->under_way);
	r->call.body = buf_slice(&r->body);
	r->call.spans = readable(&r->portion);
	r->call.on_done = on_done;
	s->ops->send(s->exporter, &r->call);
}

/* Both give true when something was sent or settled. */
static bool send_new(struct sender *s)
{
	struct request *r = new_request(s, &s->window);
	if (r == NULL || gather_next(&s->gather, &r->portion, &r->body) != 0) {
		if (r != NULL) {
			list_del(&r->link);
			s->n_window--;
			free(r);
		}
		later(s, true);
		return false;
	}
	start(r);
	return true;
}

static bool send_again(struct request *r)
{
	if (gather_again(&r->sender->gather, &r->portion, &r->body) != 0) {
		later(r->sender, true);
		return false;
	}
	add_stat(&r->sender->stats.retries, 1);
	start(r);
	return true;
}

/* The largest that waits, for it proves most if it is taken; of equal ones the first. None starves:
 * new ones start only when none waits. */
static struct request *largest(struct sender *s, enum request_state state)
{
	struct request *best = NULL;
	list_for_each_safe(pos, tmp, &s->window)
	{
		struct request *r = container_of(pos, struct request, link);
		if (r->state == state && (best == NULL || r->portion.spans > best->portion.spans))
			best = r;
	}
	return best;
}

static bool has_new(const struct sender *s)
{
	return !gather_is_empty(&s->gather) && s->n_window < s->conf->concurrency * WINDOW_PER_CALL;
}

static uint64_t linger_left(const struct sender *s)
{
	if (gather_waiting_bytes(&s->gather) >= s->conf->batch_bytes)
		return 0;
	uint64_t due = gather_oldest_ms(&s->gather) + s->conf->linger_ms, now = clock_mono_ms();
	return due > now ? due - now : 0;
}

static bool send_one(struct sender *s)
{
	struct request *r = largest(s, WAITING);
	if (r != NULL)
		return send_again(r);
	if (!has_new(s))
		return false;
	uint64_t left = linger_left(s);
	if (left == 0)
		return send_new(s);
	set_timer(s, left);
	return false;
}

/* All that is left was refused, and nothing else shows whether the fault is in it. */
static bool is_stuck(struct sender *s)
{
	return s->under_way == 0 && !has_new(s) && largest(s, WAITING) == NULL &&
	       largest(s, ASIDE) != NULL;
}

static void pump(struct sender *s)
{
	if (s->draining)
		return;
	while (state_of(s) == SENDER_OK && s->under_way < s->conf->concurrency && send_one(s))
		;
	if (state_of(s) == SENDER_OK && is_stuck(s)) {
		const struct outcome o = {.status = atomic_load(&s->stats.last_status),
					  .reason = "the backend refuses all that is left"};
		back_off(s, SENDER_HELD_UPSTREAM, &o);
	}
}

/* One request to see whether the backend is well again. One that was refused as bad data tells less
 * than any other. */
static void send_probe(struct sender *s)
{
	struct request *r = largest(s, WAITING);
	if (r == NULL && !has_new(s))
		r = largest(s, ASIDE);
	if (r != NULL)
		(void)send_again(r);
	else if (has_new(s))
		(void)send_new(s);
	else
		recover(s); /* what failed has been settled otherwise */
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct sender *s = w->data;
	if (state_of(s) != SENDER_OK && s->under_way < s->conf->concurrency)
		send_probe(s);
	if (state_of(s) != SENDER_OK && s->probe == NULL && !ev_is_active(&s->timer))
		set_timer(
		    s, s->conf->retry_initial_ms); /* no room for it, or it had nothing to send */
	pump(s);
}

/* ---- verdicts ---- */

/* What was set aside gets its second hearing. */
static void accepted(struct sender *s)
{
	s->taken++;
	s->refusals = 0;
	list_for_each_safe(pos, tmp, &s->window)
	{
		struct request *r = container_of(pos, struct request, link);
		if (r->state == ASIDE)
			r->state = WAITING;
	}
}

static void on_sent(struct request *r, const struct outcome *o)
{
	uint64_t spans = readable(&r->portion);
	uint64_t rejected = o->rejected < spans ? o->rejected : spans;
	accepted(r->sender);
	if (rejected != 0)
		log_limited(LOG_WARN, "backend rejected spans",
			    "exporter=%s rejected=%llu of=%llu status=%d", r->sender->conf->name,
			    (unsigned long long)rejected, (unsigned long long)spans, o->status);
	settle(r, (struct progress){.sent = spans - rejected, .backend_rejected = rejected});
}

static void give_up(struct request *r, enum drop_reason reason, const struct outcome *o)
{
	struct sender *s = r->sender;
	struct progress counts = {.sent = 0};
	counts.dropped[reason] = readable(&r->portion);
	s->refused += readable(&r->portion);
	log_limited(LOG_WARN, "a span was given up",
		    "exporter=%s why=%s status=%d reason=\"%s\" given_up=%llu", s->conf->name,
		    DROP_REASON_NAMES[reason], o->status, o->reason,
		    (unsigned long long)s->refused);
	settle(r, counts);
}

/* Two requests in place of one, each with half of its spans. */
static void cut(struct request *r, bool was_probe)
{
	struct sender *s = r->sender;
	struct request *right = new_request(s, r->link.next);
	if (right == NULL || gather_cut(&s->gather, &r->portion, &right->portion) != 0) {
		if (right != NULL) {
			list_del(&right->link);
			s->n_window--;
			free(right);
		}
		later(s, was_probe);
		return;
	}
	r->failures = 0;
	right->refused_at = r->refused_at;
}

static void on_retry(struct request *r, const struct outcome *o, bool was_probe)
{
	trouble(r->sender, SENDER_RETRYING, o, was_probe);
	if (was_probe && ++r->failures >= FAILURES_TO_CUT && readable(&r->portion) >= 2)
		cut(r, false);
}

static void on_too_large(struct request *r, const struct outcome *o, bool was_probe)
{
	if (r->portion.plain_bytes < SMALL_BYTES) {
		on_retry(r, o, was_probe);
		return;
	}
	if (was_probe)
		recover(r->sender);
	if (readable(&r->portion) >= 2)
		cut(r, was_probe);
	else
		give_up(r, DROP_OVERSIZE, o);
}

/* Bad data is searched for by halves. A single span is believed to be bad only if it is refused
 * after the backend has taken something else since the search began. Until then it is set aside;
 * and where everything is refused, the fault is likely not in the data, and we hold. */
static void on_refused(struct request *r, const struct outcome *o, bool was_probe)
{
	struct sender *s = r->sender;
	atomic_store(&s->stats.last_status, o->status);
	if (r->refused_at == 0)
		r->refused_at = s->taken + 1;
	bool single = readable(&r->portion) == 1, alone = s->taken + 1 == r->refused_at;
	if (single && alone)
		r->state = ASIDE;
	else if (single)
		give_up(r, DROP_REFUSED, o);
	else
		cut(r, was_probe);
	if (++s->refusals >= REFUSALS_TO_HOLD || (single && alone && was_probe))
		trouble(s, SENDER_HELD_UPSTREAM, o, was_probe);
	else if (was_probe)
		recover(s);
}

static void on_done(struct export_call *call, struct outcome outcome)
{
	struct request *r = container_of(call, struct request, call);
	struct sender *s = r->sender;
	bool was_probe = s->probe == r;
	if (was_probe)
		s->probe = NULL;
	buf_finish(&r->body);
	r->state = WAITING;
	atomic_store(&s->stats.inflight, --s->under_way);
	switch (outcome.verdict) {
	case SENT:
		on_sent(r, &outcome);
		if (was_probe)
			recover(s);
		break;
	case RETRY:
		on_retry(r, &outcome, was_probe);
		break;
	case HOLD_AUTH:
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
	advance(s);
	pump(s);
}

/* ---- the contract ---- */

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
	s->ops = exporter_find(conf->protocol);
	list_init(&s->window);
	ev_timer_init(&s->timer, on_timer, 0., 0.);
	s->timer.data = s;
	atomic_store(&s->stats.last_status, -1);
	if (gather_init(&s->gather, room, begin->from[PLACE_JOURNAL], exporter_coding(conf),
			conf->request_bytes) != 0)
		goto undo_alloc;
	s->exporter = s->ops->create(conf, loop, &s->stats.connects);
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
	list_for_each_safe(pos, tmp, &s->window) free(container_of(pos, struct request, link));
	gather_finish(&s->gather);
	free(s);
}

void sender_filed(struct sender *s, uint64_t block_id, uint32_t spans, uint32_t bytes,
		  uint64_t unix_ms)
{
	(void)unix_ms;
	gather_filed(&s->gather, block_id, spans, bytes, clock_mono_ms());
	pump(s);
}

void sender_drain(struct sender *s)
{
	s->draining = true;
	ev_timer_stop(s->loop, &s->timer);
}

bool sender_is_idle(const struct sender *s)
{
	return s->under_way == 0;
}

const struct sender_stats *sender_stats(const struct sender *s)
{
	return &s->stats;
}

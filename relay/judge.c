/* SPDX-License-Identifier: Apache-2.0
 * The judge room: which traces are kept (pipeline/sampler.h). It learns of spans by notices once
 * they are on disk, and what it decides becomes a ruling, which the store makes durable. One ruling
 * at a time is on its way: what is due meanwhile waits for the next. */
#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/path.h"
#include "relay/rooms.h"
#include "relay/ruling.h"
#include "relay/witness.h"
#include "wire/otlp_walk.h"

static const double TICK_S = 0.1, AGAIN_S = 0.001;
enum {
	/* Of kept spans; more goes with the next one, a commit later. In a small journal less, or
	 * it might never fit. */
	RULING_BYTES = 8 << 20,
	RULING_PART = 16,
	/* Notices wait for the next tick until there are so many bytes of them. To be woken for
	 * each commit of a relay with little to do would be half of the judge's work. */
	HUSH_BYTES = 512 << 10,
	SAVE_MS = 10000, /* how often all of the budgets' state is written, not its levels alone */
	BEHIND_PERCENT = 125, /* of the memory for traces: above it intake refuses */
	AT_ONCE_MS = 50       /* of noticing what was put aside */
};

static struct sampler_now now_of(void)
{
	return (struct sampler_now){clock_mono_ms(), clock_wall_ms()};
}

/* Where memory ends in the middle of a decision, so does the worker: nothing of it is durable, and
 * the next one decides again. */
static void die_of(const char *what)
{
	fail(-ENOMEM, "judge: no memory for %s", what);
	_Exit(EX_OSERR);
}

/* ---- out ---- */

static void put_chapter(struct judge *j, struct ruling_note *n, const struct ruling *r)
{
	if (r->n_decisions == 0)
		return;
	int rc = chapter_begin(&n->chapter, j->world->policy->generation, clock_wall_ms());
	for (size_t i = 0; i < r->n_decisions; i++)
		rc |= chapter_add(&n->chapter, &r->decisions[i]);
	witness_name(r->met, r->witnesses, r->n_witnesses, j->reader, &j->pending);
	for (size_t i = 0; i < r->n_met && rc == 0; i++)
		rc = chapter_add_met(&n->chapter, &r->met[i]);
	if (rc != 0)
		die_of("decisions");
}

static void put_states(struct judge *j, struct ruling_note *n, uint64_t mono_ms)
{
	int rc = 0;
	if (!j->introduced) {
		rc |= buf_append(&n->states[RULING_KEY], &j->key, sizeof(j->key));
		rc |= buf_append(&n->states[RULING_RULES], j->rulebook.data, j->rulebook.len);
	}
	if (j->budget != NULL) {
		bool all = !j->introduced || mono_ms - j->saved_ms >= SAVE_MS;
		if (all) {
			rc |= budget_save(j->budget, &n->states[RULING_BUDGET]);
			j->saved_ms = mono_ms;
		}
		rc |= budget_save_levels(j->budget, &n->states[RULING_LEVELS]);
	}
	if (rc != 0)
		die_of("the state of budgets");
}

static void show(struct judge *j)
{
	struct sampler_report r;
	struct metrics *m = &j->relay->metrics;
	sampler_report(j->sampler, &r);
	metric_set(m, METRIC_SAMPLING_TRACES, r.traces);
	metric_set(m, METRIC_SAMPLING_SPANS, r.spans);
	metric_set(m, METRIC_SAMPLING_MEMORY_BYTES, r.memory_bytes);
	metric_set(m, METRIC_SAMPLING_USED_BYTES, r.used_bytes);
	metric_set(m, METRIC_SAMPLING_KEPT_RECORDS, r.kept_records);
	metric_set(m, METRIC_SAMPLING_DROPPED_RECORDS, r.dropped_records);
	metric_set(m, METRIC_SAMPLING_OLDEST, r.oldest_unix_ms);
	metric_set(m, METRIC_SAMPLING_STRESSED, r.stressed);
	j->has_work = j->world->judges || r.spans != 0;
	j->relay->judge_is_behind =
	    j->ruling_out && r.used_bytes > j->world->policy->memory_bytes / 100 * BEHIND_PERCENT;
}

static void send_part(struct judge *j, struct sampler_now now)
{
	struct record_note *n = recorder_next(&j->recorder, now);
	if (n == NULL)
		return;
	n->mail.kind = MAIL_RECORD;
	room_answer(&j->relay->spillway.room, &n->mail);
}

static void send_ruling(struct judge *j, const struct ruling *r, struct sampler_now now)
{
	struct ruling_note *n = j->spare != NULL ? j->spare : ruling_create();
	j->spare = NULL;
	if (n == NULL || ruling_fill(n, r, j->reader, &j->pending, j->pick) != 0)
		die_of("a ruling");
	n->ruling.first_chapter = r->forget < j->next_chapter ? r->forget : j->next_chapter;
	put_chapter(j, n, r);
	put_states(j, n, now.mono_ms);
	ruling_ready(n);
	metric_add(&j->relay->metrics, METRIC_SAMPLING_UNMARKED_SPANS, n->unmarked);
	if (n->unmarked != 0)
		log_limited(LOG_WARN, "kept spans cannot carry their threshold", "spans=%llu",
			    (unsigned long long)n->unmarked);
	n->mail.kind = MAIL_RULING;
	j->ruling_out = true;
	room_answer(&j->relay->archive.room, &n->mail);
}

static void drop_spare(struct judge *j)
{
	ruling_free(j->spare);
	j->spare = NULL;
}

static size_t ruling_bytes(const struct judge *j)
{
	uint64_t part = j->world->conf.journal.limit_bytes / RULING_PART;
	return part < RULING_BYTES ? (size_t)part : RULING_BYTES;
}

/* The journal is opened for reading first: once something is decided it must be read. */
static void decide(struct judge *j)
{
	struct ruling r;
	struct sampler_now now = now_of();
	if (j->ruling_out || j->stopping || j->reload != NULL || j->unseen_first != NULL ||
	    store_reader_begin(j->reader) != 0)
		return;
	int rc = sampler_decide(j->sampler, ruling_bytes(j), j->next_chapter, now, &r);
	if (rc == 0) {
		struct recorder_source from = {j->sampler, j->reader, &j->pending, j->pick};
		send_ruling(j, &r, now);
		recorder_take(&j->recorder, &r, &from, now);
	}
	store_reader_end(j->reader);
	if (rc == SAMPLER_IDLE)
		drop_spare(j);
	if (rc < 0)
		log_limited(LOG_ERROR, "no memory to decide, traces wait", "code=%d", rc);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct judge *j = timer->data;
	room_read(&j->room);
	decide(j);
	send_part(j, now_of());
	show(j);
}

/* ---- in ---- */

static void take_notices(struct judge *j, struct notices *n, struct sampler_now now)
{
	if (pending_add(&j->pending, (struct pending_request){.block_id = n->block_id,
							      .offset = n->offset,
							      .tails = n->tails}) != 0 ||
	    sampler_notice(j->sampler, n, now) != 0)
		die_of("undecided traces");
	notices_free(n);
}

static void begin_block(struct judge *j, struct store_block b)
{
	if (sampler_block(j->sampler, b.id, b.spans, b.bytes, b.unix_ms) != 0)
		die_of("undecided traces");
}

static uint32_t notice_record(struct judge *j, struct store_block b, const struct record *r,
			      uint32_t offset)
{
	uint32_t spans = otlp_walk_spans(r->payload);
	struct account unlimited = {.limit = SIZE_MAX}; /* they are gone before it is */
	struct notices *n =
	    notices_create(j->world->policy, j->scratch, r->payload, spans, &unlimited);
	if (n == NULL)
		die_of("undecided traces");
	n->block_id = b.id;
	n->offset = offset;
	take_notices(j, n, now_of());
	return spans;
}

/* Notices all of the block from the journal; gives how many spans there are. Between begin and end
 * of the reader. */
static uint32_t notice_block(struct judge *j, struct store_block b)
{
	struct slice bytes;
	struct block block;
	struct record r;
	uint32_t at = 0, next, spans = 0;
	begin_block(j, b);
	if (store_reader_pending(j->reader, b.id, &bytes) == 0 &&
	    block_open(&block, bytes, b.id) == 0)
		for (; (next = block_record(&block, at, &r)) != 0; at = next)
			spans += notice_record(j, b, &r, at);
	return spans;
}

/* Made by the policy that is. */
static bool is_ours(const struct judge *j, const struct notices *n)
{
	bool ours = n != NULL;
	for (; n != NULL; n = n->next)
		ours = ours && n->generation == j->world->policy->generation;
	return ours;
}

/* false: the journal cannot be read now. */
static bool take_block(struct judge *j, struct noticed *d)
{
	struct sampler_now now = now_of();
	bool ours = is_ours(j, d->notices);
	if (!ours && store_reader_begin(j->reader) != 0)
		return false;
	if (ours)
		begin_block(j, d->block);
	while (d->notices != NULL) {
		struct notices *n = d->notices;
		d->notices = n->next;
		if (ours)
			take_notices(j, n, now);
		else
			notices_free(n);
	}
	if (!ours) {
		notice_block(j, d->block);
		store_reader_end(j->reader);
	}
	free(d);
	return true;
}

static void put_aside(struct judge *j, struct noticed *d)
{
	d->mail.next = NULL;
	*(j->unseen_first == NULL ? &j->unseen_first : &j->unseen_last->next) = &d->mail;
	j->unseen_last = &d->mail;
}

/* Some of what was put aside, in its order; the rest in a moment, for others want an answer. */
static void catch_up(struct judge *j)
{
	uint64_t until_ms = clock_mono_ms() + AT_ONCE_MS;
	while (j->unseen_first != NULL && clock_mono_ms() < until_ms) {
		struct mail *next = j->unseen_first->next;
		if (!take_block(j, container_of(j->unseen_first, struct noticed, mail)))
			break;
		j->unseen_first = next;
	}
	if (j->unseen_first != NULL)
		ev_timer_again(j->room.loop, &j->again);
	else
		ev_timer_stop(j->room.loop, &j->again);
}

/* ---- a reload ---- */

/* To be noticed again. */
static void put_again(void *ctx, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms)
{
	struct noticed *d = calloc(1, sizeof(*d));
	if (d == NULL)
		die_of("undecided traces");
	d->block = (struct store_block){
	    .id = id, .unix_ms = unix_ms, .spans = spans, .bytes = (uint32_t)bytes};
	put_aside(ctx, d);
}

static void hand_over_budget(struct judge *j, struct budget *next)
{
	struct buf state = {.data = NULL};
	struct sampler_now now = now_of();
	if (j->budget == NULL || next == NULL)
		return;
	if (budget_save(j->budget, &state) != 0)
		die_of("the state of budgets");
	if (budget_load(next, buf_slice(&state), (struct budget_now){now.mono_ms, now.unix_ms}) !=
	    0)
		log_error("state of budgets is not readable, they begin anew", "part=reload");
	buf_finish(&state);
}

static void hand_over_rules(struct judge *j, const struct policy *next, struct sampler *sampler)
{
	struct buf book = {.data = NULL};
	uint16_t map[POLICY_RULES];
	if (rulebook_write(&book, buf_slice(&j->rulebook), next) != 0)
		die_of("the names of rules");
	uint32_t n = rulebook_map(buf_slice(&book), j->world->policy->generation, next, map);
	sampler_succeed(sampler, j->sampler, map, n, j->position, j->lost);
	buf_finish(&j->rulebook);
	j->rulebook = book;
}

/* What is decided, charged and counted goes on; what is undecided is noticed by the new policy,
 * block by block, before anything else is decided. */
static void change_policy(struct judge *j, struct reload_note *n)
{
	const struct policy *p = n->world->policy;
	struct judge_parts before = {j->sampler, j->budget, j->scratch};
	hand_over_budget(j, n->judge.budget);
	sampler_each_block(j->sampler, put_again, j);
	hand_over_rules(j, p, n->judge.sampler);
	j->sampler = n->judge.sampler;
	j->budget = n->judge.budget;
	j->scratch = n->judge.scratch;
	n->judge = before;
	pending_drop(&j->pending, UINT64_MAX);
	recorder_change(&j->recorder, p, j->sampler, now_of());
	j->introduced = false;
	j->has_work = true; /* until it is known better */
	ev_timer_again(j->room.loop, &j->tick);
}

/* Once no ruling of the old policy is on its way. */
static void try_reload(struct judge *j)
{
	struct reload_note *n = j->reload;
	if (n == NULL || (n->news.judging && (j->ruling_out || j->unseen_first != NULL)))
		return;
	j->reload = NULL;
	if (n->news.judging)
		change_policy(j, n);
	j->world = n->world;
	reload_next(j->relay, n);
	catch_up(j);
}

/* ---- mail ---- */

static void on_again(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct judge *j = timer->data;
	catch_up(j);
	try_reload(j);
}

static void on_noticed(struct judge *j, struct noticed *d)
{
	put_aside(j, d);
	if (j->unseen_first == &d->mail)
		catch_up(j);
	try_reload(j);
	if (sampler_is_urgent(j->sampler))
		decide(j);
}

/* It is durable. */
static void on_ruling(struct judge *j, struct ruling_note *n)
{
	j->ruling_out = false;
	j->introduced = true;
	audit_post_chapter(&j->relay->auditor, n->ruling.chapter, j->next_chapter, n->ruling.spans);
	if (n->ruling.chapter.len != 0)
		j->next_chapter++;
	pending_drop(&j->pending, n->ruling.first_pending);
	j->position = n->ruling.position;
	j->lost = 0;
	ruling_clear(n);
	j->spare = n;
	try_reload(j);
	if (sampler_is_urgent(j->sampler))
		decide(j);
}

/* ---- for people ---- */

static void name_rule(const struct judge *j, uint64_t generation, uint32_t rule, char *out,
		      size_t cap)
{
	const char *name = rulebook_name(buf_slice(&j->rulebook), generation, rule);
	snprintf(out, cap, "%s", name != NULL ? name : "");
}

/* The whole record, as long as its chapter is there. */
static bool find_record(struct judge *j, uint64_t number, struct explanation *e)
{
	struct slice bytes;
	struct chapter c;
	bool found = false;
	if (store_reader_begin(j->reader) != 0)
		return false;
	if (store_reader_chapter(j->reader, number, &bytes) == 0 && chapter_read(&c, bytes) == 0)
		for (uint32_t i = 0; i < c.n && !found; i++) {
			struct decision d;
			chapter_at(&c, i, &d);
			found = memcmp(d.trace_id, e->trace_id, sizeof(d.trace_id)) == 0;
			if (found) {
				e->decision = d;
				e->met = chapter_met_by(&c, i);
				e->generation = c.generation;
				e->decided_unix_ms = d.first_unix_ms + d.waited_ms;
			}
		}
	store_reader_end(j->reader);
	return found;
}

static void show_budgets(const struct judge *j, struct explanation *e)
{
	const struct policy *p = j->world->policy;
	if (e->decision.rule >= p->n_rules || j->budget == NULL)
		return;
	for (uint16_t at = p->rules[e->decision.rule].node;
	     at != BUDGET_ROOT && e->n_budgets < BUDGET_DEPTH; at = p->nodes[at].parent) {
		struct budget_report r;
		budget_report(j->budget, at, &r);
		const struct budget_unit_report *spans = &r.unit[BUDGET_SPANS];
		unsigned i = e->n_budgets++;
		snprintf(e->budgets[i].name, sizeof(e->budgets[i].name), "%s", r.name);
		e->budgets[i].goal = spans->goal;
		e->budgets[i].offered = spans->offered;
		e->budgets[i].level = spans->level;
	}
}

/* Of a trace that is not decided yet. */
static void name_witnesses(struct judge *j, const struct sampler_look *look, struct explanation *e)
{
	e->met = look->met;
	if (look->n_witnesses == 0 || store_reader_begin(j->reader) != 0)
		return;
	witness_name(&e->met, look->witnesses, look->n_witnesses, j->reader, &j->pending);
	store_reader_end(j->reader);
}

static void explain(struct judge *j, struct explanation *e)
{
	struct sampler_look look;
	sampler_look(j->sampler, e->trace_id, now_of(), &look);
	e->state = look.state;
	e->decision = look.decision;
	e->due_unix_ms = look.due_unix_ms;
	e->generation = j->world->policy->generation;
	if (look.state == SAMPLER_PENDING)
		name_witnesses(j, &look, e);
	if (look.state == SAMPLER_DECIDED)
		e->has_details = find_record(j, look.number, e);
	if (look.state == SAMPLER_UNKNOWN)
		return;
	name_rule(j, e->generation, e->decision.rule, e->rule, sizeof(e->rule));
	if (e->generation == j->world->policy->generation)
		show_budgets(j, e);
	if (e->decision.would != 0)
		name_rule(j, e->generation, e->decision.would - 1u, e->would, sizeof(e->would));
}

static void on_mail(void *ctx, struct mail *m)
{
	struct judge *j = ctx;
	struct ledger_request *request;
	struct explain_request *question;
	switch (m->kind) {
	case MAIL_NOTICED:
		on_noticed(j, container_of(m, struct noticed, mail));
		break;
	case MAIL_RULING:
		on_ruling(j, container_of(m, struct ruling_note, mail));
		break;
	case MAIL_RECORD:
		recorder_answered(&j->recorder, container_of(m, struct record_note, mail));
		break;
	case MAIL_RELOAD:
		j->reload = container_of(m, struct reload_note, mail);
		try_reload(j);
		break;
	case MAIL_EXPLAIN:
		question = container_of(m, struct explain_request, mail);
		explain(j, &question->explanation);
		room_answer(j->relay->main_room, m);
		break;
	default:
		request = container_of(m, struct ledger_request, mail);
		if (j->has_work)
			request->judge = view_create(j->world->policy, j->sampler, j->budget);
		room_answer(j->relay->main_room, m);
	}
}

/* ---- start: what was decided is remembered, what was not is noticed again ---- */

static int open_budget(struct judge *j)
{
	const struct policy *p = j->world->policy;
	struct store *store = j->relay->archive.store;
	struct budget_now now = {clock_mono_ms(), clock_wall_ms()};
	struct budget_options o = {.nodes = p->nodes,
				   .n_nodes = p->n_nodes,
				   .largest = {(double)p->trace_spans, (double)p->trace_bytes},
				   .hash_key = j->key};
	const char *reason = NULL;
	unsigned node;
	if (p->n_nodes == 0)
		return 0;
	int rc = budget_create(&j->budget, &o, now, &reason, &node);
	if (rc != 0)
		return rc < 0 ? rc : fail(-EINVAL, "budget %s: %s", p->nodes[node].name, reason);
	static const enum ruling_state PARTS[] = {RULING_BUDGET, RULING_LEVELS};
	for (int i = 0; rc == 0 && i < 2; i++) {
		struct buf bytes = {.data = NULL};
		rc = store_state(store, RULING_STATE_NAMES[PARTS[i]], &bytes);
		if (rc == 0 && budget_load(j->budget, buf_slice(&bytes), now) != 0)
			log_error("state of budgets is not readable, they begin anew", "part=%s",
				  RULING_STATE_NAMES[PARTS[i]]);
		buf_finish(&bytes);
		rc = rc == STORE_GONE ? 0 : rc;
	}
	return rc;
}

/* Ids and keys are hashed with the same key from start to start, or nothing that was written would
 * be found again. */
static int open_key(struct judge *j)
{
	struct buf bytes = {.data = NULL};
	int rc = store_state(j->relay->archive.store, RULING_STATE_NAMES[RULING_KEY], &bytes);
	if (rc == 0 && bytes.len == sizeof(j->key))
		memcpy(&j->key, bytes.data, sizeof(j->key));
	else if (rc >= 0)
		rc = siphash_key_init(&j->key);
	buf_finish(&bytes);
	return rc;
}

static int open_rulebook(struct judge *j)
{
	struct buf before = {.data = NULL};
	int rc = store_state(j->relay->archive.store, RULING_STATE_NAMES[RULING_RULES], &before);
	if (rc >= 0)
		rc = rulebook_write(&j->rulebook, buf_slice(&before), j->world->policy);
	buf_finish(&before);
	return rc;
}

static int remember_chapter(void *ctx, uint64_t number, struct slice bytes)
{
	struct judge *j = ctx;
	const struct policy *p = j->world->policy;
	struct chapter c;
	uint16_t map[POLICY_RULES];
	if (chapter_read(&c, bytes) != 0) {
		log_error("decisions are not readable", "chapter=%llu", (unsigned long long)number);
		return 0;
	}
	uint32_t n = rulebook_map(buf_slice(&j->rulebook), c.generation, p, map);
	struct auditor *a = &j->relay->auditor;
	if (a->tells_again && number > a->chapter) /* it was decided, and a crash came first */
		audit_post_chapter(a, bytes, number, NULL);
	int rc = sampler_remember(j->sampler, number, bytes,
				  c.generation == p->generation ? NULL : map, n, now_of());
	return rc > 0 ? 0 : rc;
}

struct reopening {
	struct judge *judge;
	int rc;
	uint64_t spans;
};

static void reopen_block(void *ctx, struct store_block b)
{
	struct reopening *o = ctx;
	if (o->rc == 0)
		o->rc = store_reader_begin(o->judge->reader);
	if (o->rc != 0)
		return;
	o->spans += notice_block(o->judge, b);
	store_reader_end(o->judge->reader);
}

static int reopen_traces(struct judge *j)
{
	struct store *store = j->relay->archive.store;
	struct store_judged judged;
	struct reopening o = {.judge = j};
	store_judged(store, &judged);
	j->next_chapter = judged.next_chapter;
	j->position = judged.position;
	int rc = store_each_chapter(store, remember_chapter, j);
	if (rc != 0)
		return rc;
	sampler_restore(j->sampler, judged.position, j->world->policy->root_wait_ms, now_of());
	store_each_pending(store, reopen_block, &o);
	struct sampler_report r;
	struct ledger ledger;
	store_ledger(store, &ledger);
	uint64_t lost = j->lost = sampler_reconcile(j->sampler, ledger.pending);
	if (lost != 0)
		log_error("undecided spans were lost", "spans=%llu", (unsigned long long)lost);
	sampler_report(j->sampler, &r);
	if (o.spans != 0)
		log_info("undecided traces found",
			 "traces=%llu spans=%llu kept_records=%llu "
			 "dropped_records=%llu",
			 (unsigned long long)r.traces, (unsigned long long)r.spans,
			 (unsigned long long)r.kept_records, (unsigned long long)r.dropped_records);
	return o.rc;
}

static void on_round(void *ctx)
{
	struct judge *j = ctx;
	room_hush(&j->room, HUSH_BYTES);
}

static const struct room_rules RULES = {"judge", 4096, on_mail, on_round, NULL};

/* Without rules there may still be traces that an earlier configuration left undecided. */
static bool has_work(const struct judge *j)
{
	struct store_judged judged;
	struct ledger ledger;
	store_judged(j->relay->archive.store, &judged);
	store_ledger(j->relay->archive.store, &ledger);
	return j->world->judges || ledger.pending != 0;
}

int judge_open(struct judge *j, struct relay *relay)
{
	j->relay = relay;
	j->world = relay->world;
	int rc = room_init(&j->room, &RULES, j);
	if (rc == 0)
		rc = store_reader_open(&j->reader, relay->archive.store);
	if (rc == 0)
		rc = open_key(j);
	if (rc == 0)
		rc = open_rulebook(j);
	if (rc == 0)
		rc = open_budget(j);
	j->pick = otlp_pick_create();
	j->scratch = notice_scratch(j->world->policy, &j->key);
	if (rc == 0 && (j->pick == NULL || j->scratch == NULL))
		rc = fail(-ENOMEM, "judge: no memory");
	struct sampler_options o = {
	    .policy = j->world->policy, .budget = j->budget, .hash_key = j->key};
	if (rc == 0)
		rc = sampler_create(&j->sampler, &o);
	if (rc == 0)
		rc = reopen_traces(j);
	if (rc != 0)
		return rc;
	ev_timer_init(&j->tick, on_tick, TICK_S, TICK_S);
	j->tick.data = j;
	ev_init(&j->again, on_again);
	j->again.repeat = AGAIN_S;
	j->again.data = j;
	j->has_work = has_work(j);
	if (j->has_work) /* else it stands still until a reload brings rules */
		ev_timer_start(j->room.loop, &j->tick);
	return 0;
}

/* Where there is a ring to record in. */
void judge_record(struct judge *j)
{
	const struct recent *ring = &j->relay->spillway.recent;
	if (ring->box != NULL)
		recorder_init(&j->recorder, j->world->policy, &j->relay->metrics, j->sampler,
			      ring->limit_bytes, ring->oldest_ms, now_of());
}

void judge_close(struct judge *j)
{
	room_stop(&j->room);
	drop_spare(j);
	while (j->unseen_first != NULL) {
		struct noticed *d = container_of(j->unseen_first, struct noticed, mail);
		j->unseen_first = d->mail.next;
		while (d->notices != NULL) {
			struct notices *n = d->notices;
			d->notices = n->next;
			notices_free(n);
		}
		free(d);
	}
	sampler_destroy(j->sampler);
	budget_destroy(j->budget);
	condition_scratch_destroy(j->scratch);
	otlp_pick_destroy(j->pick);
	pending_finish(&j->pending);
	recorder_finish(&j->recorder);
	buf_finish(&j->rulebook);
	store_reader_close(j->reader);
	room_finish(&j->room);
}

/* SPDX-License-Identifier: Apache-2.0
 * The sampler against a model of it, over random policies and traffic, until so many traces were
 * decided: what comes late, twice, out of order or not at all, limits, short memory, budgets. The
 * same decisions, to the byte. Every other world is killed now and then instead, with its last
 * rulings lost, or goes on by another policy: there each span is ruled on once, and every trace
 * goes one way.
 * Usage: truth [TRACES] [SEED]. */
#include "base/log.h"
#include "model.h"
#include "unit/sampler_fixture.h"

enum {
	STEPS = 40,
	LONG = 120,
	SPANS_A_BLOCK = 24,
	RULINGS = 512,
	MOST_BLOCKS = 256,
	TRAFFIC = 1024
};

static uint64_t state;

static uint64_t rnd(uint64_t below) /* splitmix64 */
{
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % below;
}

static bool one_in(uint64_t n)
{
	return rnd(n) == 0;
}

/* ---- a random policy ---- */

/* And who makes them hold, as in model.h. */
static const struct {
	const char *text, *reasons;
} conditions[] = {
    {"any(span.a == 1)", "a"},
    {"any(span.b == 1)", "b"},
    {"any(span.c == 1) and not any(span.a == 1)", "c"},
    {"none(span.d == 1)", ""},
    {"trace.span_count > 3", ""},
    {"trace.duration > 2s", ""},
    {"trace.bytes > 1KB or any(span.a == 1)", "a"},
    {"trace.error_count > 1", ""},
    {"not trace.has_root", ""},
    {"trace.span_count < 3", ""},
    {"any(span.a == 1) and any(span.b == 1)", "ab"},
    {"any(span.a == 1) and any(span.b == 1) or not none(span.c == 1)", "ab|c"},
    {"not (none(span.b == 1) or none(span.d == 1)) and trace.span_count > 2", "bd"},
};

static double random_share(void)
{
	static const double shares[] = {0, 0.1, 0.5, 0.9, 1, 1};
	return shares[rnd(6)];
}

/* Of the policy at hand. */
static const char *reasons[RULES + SOURCES];
static int letters[4], n_letters;

/* Predicates are numbered as they come. */
static void note_letters(const char *text)
{
	for (const char *p = strstr(text, "span."); p != NULL; p = strstr(p + 1, "span."))
		if (p[6] == ' ' && letters[p[5] - 'a'] < 0)
			letters[p[5] - 'a'] = n_letters++;
}

static uint32_t random_condition(struct world *w)
{
	uint64_t i = rnd(sizeof(conditions) / sizeof(conditions[0]));
	uint32_t number = world_condition(w, conditions[i].text);
	reasons[number] = conditions[i].reasons;
	note_letters(conditions[i].text);
	return number;
}

static void random_nodes(struct world *w)
{
	world_node(w, "total", BUDGET_ROOT, 1 + (double)rnd(one_in(2) ? 60 : 6));
	w->nodes[0].burst_s = w->nodes[0].debt_s = 0.5;
	for (unsigned i = 1; i < 3; i++) {
		struct budget_node_options *n =
		    world_node(w, i == 1 ? "one" : "two", 0, one_in(2) ? 1 + (double)rnd(30) : 0);
		n->reserve = one_in(2) ? 0.2 : 0;
		n->burst_s = 1;
		n->debt_s = 1;
		if (w->policy.n_fields == 0 || one_in(2))
			continue;
		w->keys[i] = (struct policy_key){.n = (uint8_t)(1 + rnd(2)), .field = {1, 0}};
		n->key_fields = w->keys[i].n;
	}
}

static void random_policy(struct world *w)
{
	static const char *const names[] = {"r0", "r1", "r2", "r3"};
	struct policy *p = &w->policy;
	world_init(w);
	memset(letters, -1, sizeof(letters));
	n_letters = 0;
	p->n_words = one_in(4) ? 4 : 1;
	p->n_fields = (uint32_t)rnd(2) * 2;
	if (one_in(2))
		random_nodes(w);
	for (uint64_t i = 0, n = rnd(5); i < n; i++) {
		double share = random_share();
		struct policy_rule *r = world_rule(w, names[i], NULL, share);
		r->condition = random_condition(w);
		r->dry_run = one_in(5);
		r->rollout = one_in(5) ? 0.5 : 1;
		r->keep = one_in(6) ? POLICY_SATELLITE : POLICY_SHARE;
		r->protected = one_in(3);
	}
	world_last(w, random_share());
	for (uint32_t i = 0; i < p->n_rules; i++)
		if (p->n_nodes != 0 && one_in(2))
			w->rules[i].node = (uint16_t)rnd(p->n_nodes);
	for (uint64_t i = 0, n = rnd(3); i < n; i++)
		w->sources[p->n_sources++] = (struct policy_source){
		    .condition = one_in(2) ? POLICY_ALWAYS : random_condition(w),
		    .share = one_in(2) ? 0.25 : 0,
		    .hash = one_in(2)};
	p->wait_ms = 1000 + rnd(10000);
	p->root_wait_ms = rnd(p->wait_ms);
	p->trace_spans = one_in(3) ? 2 + (uint32_t)rnd(8) : 1000;
	p->trace_bytes = one_in(3) ? 1000 + rnd(3000) : 1 << 20;
	p->memory_bytes = one_in(3) ? 1000 + rnd(6000) : 1 << 20;
	p->pending_bytes = one_in(3) ? 1000 + rnd(8000) : 1 << 20;
	p->kept_records = 5 + rnd(40);
	p->dropped_records = 5 + rnd(40);
	p->records_ms = 2000 + rnd(60000);
	p->dry_run = one_in(10);
	w->chapter = 1;
}

/* ---- random traffic: blocks that stay, to be noticed again ---- */

struct block {
	uint64_t id, unix_ms, bytes;
	uint32_t spans, missing; /* those with the highest numbers */
	uint32_t split;          /* in two requests */
	struct span list[SPANS_A_BLOCK];
};

struct traffic {
	struct block blocks[MOST_BLOCKS];
	uint32_t n;
	uint64_t ids[TRAFFIC], lows[TRAFFIC];
	uint64_t n_traces, spans, identity, recent;
};

static struct span random_span(struct traffic *t)
{
	uint64_t i = t->n_traces;
	if (i == 0 || (one_in(3) && t->n_traces < TRAFFIC - 1)) {
		t->ids[i] = rnd(1000000);
		t->lows[i] = rnd((uint64_t)1 << 56);
		t->n_traces++;
	} else {
		i -= 1 + rnd(i < t->recent || one_in(6) ? i : t->recent);
	}
	struct span s = {.trace = t->ids[i],
			 .low = t->lows[i],
			 .identity = ++t->identity * 0x9e3779b97f4a7c15u,
			 .start = 1000 + rnd(3000000000),
			 .bytes = 1 + (uint32_t)rnd(one_in(10) ? 2000 : 300)};
	s.end = one_in(10) ? 1 : s.start + rnd(3000000000);
	s.flags = (one_in(5) ? NOTICE_ROOT : 0u) | (one_in(5) ? NOTICE_ERROR : 0u) |
		  (one_in(6) ? NOTICE_TH : 0u) | (one_in(6) ? NOTICE_RV : 0u);
	s.th = s.flags & NOTICE_TH ? threshold_of(one_in(2) ? 0.5 : 0.9) : 0;
	s.rv = s.flags & NOTICE_RV ? (one_in(4) ? rnd((uint64_t)1 << 56) : t->lows[i]) : 0;
	s.bits[0] = rnd(16) & rnd(16);
	for (int k = 0; k < 2; k++)
		s.keys[k] = one_in(3) ? 0 : 1 + (uint32_t)rnd(one_in(4) ? 20 : 3);
	return s;
}

static struct span again(const struct traffic *t)
{
	const struct block *b = &t->blocks[t->n - 1 - rnd(t->n < 3 ? t->n : 3)];
	return b->list[rnd(b->spans)];
}

static struct block *random_block(struct traffic *t, struct world *w)
{
	struct block *b = &t->blocks[t->n];
	w->block += one_in(8) ? 2 : 1;
	*b = (struct block){.id = w->block, .unix_ms = w->now.unix_ms - rnd(20)};
	b->spans = 1 + (uint32_t)rnd(SPANS_A_BLOCK);
	for (uint32_t i = 0; i < b->spans; i++) {
		b->list[i] = t->n != 0 && one_in(8) ? again(t) : random_span(t);
		b->bytes += b->list[i].bytes;
	}
	b->missing = one_in(8) ? (uint32_t)rnd(b->spans + 1) : 0;
	b->split = (uint32_t)rnd(b->spans - b->missing + 1);
	t->spans += b->spans;
	t->n++;
	return b;
}

static void notice_part(struct world *w, struct model *m, const struct block *b, uint32_t from,
			uint32_t to)
{
	if (from == to)
		return;
	struct notices *all = make_notices(&w->policy, b->id, from, b->list + from, to - from);
	CHECK_EQ(sampler_notice(w->sampler, all, w->now), 0);
	for (uint32_t i = 0; i < all->n && m != NULL; i++)
		model_span(m, notice_at(all, i), from + i, w->report.stressed, w->now);
	free(all);
}

static void notice_block(struct world *w, struct model *m, const struct block *b)
{
	CHECK_EQ(sampler_block(w->sampler, b->id, b->spans, b->bytes, b->unix_ms), 0);
	if (m != NULL)
		model_block(m, b->id, b->spans, b->bytes, b->unix_ms);
	notice_part(w, m, b, 0, b->split);
	notice_part(w, m, b, b->split, b->spans - b->missing);
}

/* ---- the same as the model ---- */

static int by_place(const void *a, const void *b)
{
	const struct model_pick *x = a, *y = b;
	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static bool is_at(const struct pick *p, const struct model_span *s)
{
	return p->block_id == s->block && p->at == s->number;
}

/* The same spans, in the order they came, each once. */
static void compare_met(const struct ruling *r, const struct model *m)
{
	uint32_t seen[MODEL_TRACES] = {0};
	size_t n = 0;
	CHECK_EQ(r->n_met, m->n_met);
	for (int i = 0; i < m->n_met; i++) {
		CHECK_EQ(r->met[i].decision, m->met[i].decision);
		CHECK_EQ(r->met[i].spans, m->met[i].spans);
		n += m->met[i].second != NULL ? 2 : 1;
	}
	CHECK_EQ(r->n_witnesses, n);
	for (size_t i = 0; i < n; i++) {
		const struct pick *p = &r->witnesses[i];
		const struct model_met *want = &m->met[p->decision];
		CHECK(p->decision < r->n_met);
		if (i != 0)
			CHECK(p[-1].block_id < p->block_id ||
			      (p[-1].block_id == p->block_id && p[-1].at < p->at));
		CHECK(is_at(p, seen[p->decision]++ == 0 ? want->first : want->second));
	}
}

static void compare(struct world *w, struct model *m)
{
	const struct ruling *r = &w->ruling;
	CHECK_EQ(r->n_decisions, m->n_decisions);
	for (int i = 0; i < m->n_decisions; i++)
		CHECK(memcmp(&r->decisions[i], &m->traces[m->decisions[i]].d,
			     sizeof(struct decision)) == 0);
	qsort(m->picks, (size_t)m->n_picks, sizeof(*m->picks), by_place);
	CHECK_EQ(r->n_picks, m->n_picks);
	for (int i = 0; i < m->n_picks; i++) {
		const struct pick *p = &r->picks[i];
		const struct model_pick *q = &m->picks[i];
		struct decision want = *q->d;
		want.is_late_only = q->late;
		CHECK(p->block_id == q->block && p->at == q->number);
		CHECK_EQ((p->decision & PICK_LATE) != 0, q->late);
		const struct decision *d =
		    q->late ? &r->late[p->decision & ~PICK_LATE] : &r->decisions[p->decision];
		CHECK(memcmp(d, &want, sizeof(want)) == 0);
	}
	for (int v = 0; v < VERDICTS; v++) {
		CHECK_EQ(r->spans[v], m->spans_done[v]);
		CHECK_EQ(r->bytes[v], m->bytes_done[v]);
	}
	compare_met(r, m);
	CHECK_EQ(r->first_held, m->first_held);
	CHECK_EQ(r->position, m->blocks[m->n_blocks - 1].id);
}

struct tally {
	uint64_t traces, spans, rulings, worlds, kills, changes, verdicts[VERDICTS],
	    triggers[TRIGGERS];
	uint64_t late, waited;
};

static void count(struct tally *c, const struct world *w)
{
	c->rulings++;
	c->traces += w->ruling.n_decisions;
	c->late += w->ruling.n_late;
	for (int v = 0; v < VERDICTS; v++)
		c->verdicts[v] += w->ruling.spans[v];
	for (size_t i = 0; i < w->ruling.n_decisions; i++)
		c->triggers[w->ruling.decisions[i].trigger]++;
}

static void decide_both(struct world *w, struct model *m, struct tally *c)
{
	size_t most = one_in(10) ? 500 + rnd(3000) : 1 << 30;
	bool want = model_decide(m, most, w->chapter, w->now);
	int rc = sampler_decide(w->sampler, most, w->chapter, w->now, &w->ruling);
	CHECK_EQ(rc, want ? 0 : SAMPLER_IDLE);
	sampler_report(w->sampler, &w->report);
	c->waited += (uint64_t)m->n_waiting;
	if (rc != 0)
		return;
	compare(w, m);
	count(c, w);
	w->chapter += w->ruling.n_decisions != 0;
	memset(m->spans_done, 0, sizeof(m->spans_done));
	memset(m->bytes_done, 0, sizeof(m->bytes_done));
}

static void world_beside_model(struct tally *c)
{
	static struct world w;
	static struct model m;
	static struct traffic t;
	t = (struct traffic){.recent = 2 + rnd(24)};
	random_policy(&w);
	world_start(&w);
	m = (struct model){
	    .policy = &w.policy, .key = {5, 6}, .reasons = reasons, .letters = letters};
	if (w.policy.n_nodes != 0)
		m.budget = world_budget(&w);
	uint64_t steps = one_in(20) ? LONG : STEPS, pause = steps == LONG ? 500 : 4000;
	for (uint64_t i = 0; i < steps; i++) {
		world_pass(&w, rnd(one_in(5) ? pause : 300));
		notice_block(&w, &m, random_block(&t, &w));
		if (!one_in(3))
			decide_both(&w, &m, c);
	}
	for (int i = 0; i < 8; i++) {
		world_pass(&w, 6000);
		decide_both(&w, &m, c);
	}
	c->spans += t.spans;
	budget_destroy(m.budget);
	world_end(&w);
}

/* ---- killed ---- */

struct durable {
	struct buf chapter;
	uint64_t number, position, first_held, forget, spans[VERDICTS];
	struct pick *picks;
	size_t n_picks;
	struct decision *decisions;
	size_t n_decisions;
	uint64_t over; /* spans that were kept but for the budget's debt */
};

struct disk {
	struct durable rulings[RULINGS];
	size_t n;
};

static void write_ruling(struct disk *d, struct world *w, struct tally *c)
{
	const struct ruling *r = &w->ruling;
	struct durable *x = &d->rulings[d->n++];
	CHECK(d->n < RULINGS);
	*x = (struct durable){.number = w->chapter,
			      .position = r->position,
			      .first_held = r->first_held,
			      .forget = r->forget,
			      .n_picks = r->n_picks,
			      .n_decisions = r->n_decisions};
	CHECK_EQ(chapter_begin(&x->chapter, 1, w->now.unix_ms), 0);
	for (size_t i = 0; i < r->n_decisions; i++)
		CHECK_EQ(chapter_add(&x->chapter, &r->decisions[i]), 0);
	memcpy(x->spans, r->spans, sizeof(x->spans));
	x->picks = malloc((r->n_picks + 1) * sizeof(*x->picks));
	x->decisions = malloc((r->n_decisions + 1) * sizeof(*x->decisions));
	CHECK(x->picks != NULL && x->decisions != NULL);
	if (r->n_picks != 0)
		memcpy(x->picks, r->picks, r->n_picks * sizeof(*x->picks));
	if (r->n_decisions != 0)
		memcpy(x->decisions, r->decisions, r->n_decisions * sizeof(*x->decisions));
	x->over = r->spans[VERDICT_LATE_OVER];
	w->chapter += r->n_decisions != 0;
	count(c, w);
}

static void lose(struct disk *d)
{
	struct durable *x = &d->rulings[--d->n];
	buf_finish(&x->chapter);
	free(x->picks);
	free(x->decisions);
}

/* The last rulings never came to the disk. Blocks that the last one held are noticed again. */
static void kill_and_start(struct world *w, struct disk *d, const struct traffic *t)
{
	struct durable none = {.number = 0};
	for (uint64_t k = rnd(4); k != 0 && d->n != 0; k--)
		lose(d);
	const struct durable *last = d->n != 0 ? &d->rulings[d->n - 1] : &none;
	sampler_destroy(w->sampler);
	budget_destroy(w->budget);
	w->budget = w->policy.n_nodes != 0 ? world_budget(w) : NULL;
	world_sampler(w);
	w->chapter = last->number + 1;
	for (size_t i = 0; i < d->n; i++)
		if (d->rulings[i].n_decisions != 0 && d->rulings[i].number >= last->forget)
			CHECK_EQ(sampler_remember(w->sampler, d->rulings[i].number,
						  buf_slice(&d->rulings[i].chapter), NULL, 0,
						  w->now),
				 0);
	sampler_restore(w->sampler, last->position, rnd(3000), w->now);
	for (uint32_t i = 0; i < t->n; i++)
		if (t->blocks[i].id >= last->first_held)
			notice_block(w, NULL, &t->blocks[i]);
}

static uint64_t held[MOST_BLOCKS];
static size_t n_held;

static void on_held(void *ctx, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms)
{
	(void)ctx, (void)spans, (void)bytes, (void)unix_ms;
	held[n_held++] = id;
}

static struct budget *budget_like(struct world *w)
{
	struct buf bytes = {.data = NULL};
	struct budget *next = world_budget(w);
	CHECK_EQ(budget_save(w->budget, &bytes), 0);
	CHECK_EQ(budget_load(next, buf_slice(&bytes),
			     (struct budget_now){w->now.mono_ms, w->now.unix_ms}),
		 0);
	buf_finish(&bytes);
	budget_destroy(w->budget);
	return next;
}

/* Nothing is lost; another sampler, of a policy that is as good, goes on. */
static void succeed(struct world *w, struct disk *d, const struct traffic *t)
{
	uint16_t same[POLICY_RULES];
	struct sampler *old = w->sampler;
	for (uint16_t i = 0; i < POLICY_RULES; i++)
		same[i] = i;
	n_held = 0;
	sampler_each_block(old, on_held, NULL);
	if (w->policy.n_nodes != 0)
		w->budget = budget_like(w);
	world_sampler(w);
	sampler_succeed(w->sampler, old, same, w->policy.n_rules,
			d->n != 0 ? d->rulings[d->n - 1].position : 0, 0);
	sampler_destroy(old);
	size_t seen = 0;
	for (uint32_t i = 0; i < t->n; i++)
		if (seen < n_held && t->blocks[i].id == held[seen]) {
			notice_block(w, NULL, &t->blocks[i]);
			seen++;
		}
	CHECK_EQ(seen, n_held);
}

/* Each span once, over all that came to the disk. */
static void check_accounts(const struct disk *d, const struct traffic *t)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < d->n; i++)
		for (int v = 0; v < VERDICTS; v++)
			sum += d->rulings[i].spans[v];
	CHECK_EQ(sum, t->spans);
	static uint8_t picked[MOST_BLOCKS * 4][SPANS_A_BLOCK];
	memset(picked, 0, sizeof(picked));
	for (size_t i = 0; i < d->n; i++)
		for (size_t k = 0; k < d->rulings[i].n_picks; k++) {
			const struct pick *p = &d->rulings[i].picks[k];
			CHECK(p->block_id < MOST_BLOCKS * 4 && p->at < SPANS_A_BLOCK);
			CHECK_EQ(picked[p->block_id][p->at]++, 0);
		}
}

/* A trace is decided once while it is remembered, and all of its spans go that way. */
static void check_decisions(const struct disk *d, bool dry_run)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct durable *x = &d->rulings[i];
		for (size_t k = 0; k < x->n_decisions; k++) {
			uint64_t picks = 0;
			for (size_t p = 0; p < x->n_picks; p++)
				picks += x->picks[p].decision == k;
			bool kept = x->decisions[k].verdict == VERDICT_KEPT || dry_run;
			if (kept && x->over == 0)
				CHECK_EQ(picks, x->decisions[k].spans);
			if (!kept)
				CHECK_EQ(picks, 0);
			for (size_t j = i + 1; j < d->n; j++)
				for (size_t o = 0; o < d->rulings[j].n_decisions; o++)
					if (memcmp(d->rulings[j].decisions[o].trace_id,
						   x->decisions[k].trace_id, 16) == 0)
						CHECK(d->rulings[j].forget > x->number);
		}
	}
}

static void decide_killed(struct world *w, struct disk *d, struct tally *c)
{
	struct sampler_report r;
	size_t most = one_in(10) ? 500 + rnd(3000) : 1 << 30;
	sampler_report(w->sampler, &r);
	int rc = sampler_decide(w->sampler, most, w->chapter, w->now, &w->ruling);
	CHECK(rc == 0 || rc == SAMPLER_IDLE);
	if (rc == 0)
		write_ruling(d, w, c);
}

static void world_with_kills(struct tally *c)
{
	static struct world w;
	static struct disk d;
	static struct traffic t;
	struct sampler_report r;
	t = (struct traffic){.recent = 2 + rnd(24)};
	d.n = 0;
	random_policy(&w);
	world_start(&w);
	for (int i = 0; i < STEPS; i++) {
		world_pass(&w, rnd(one_in(5) ? 4000 : 300));
		notice_block(&w, NULL, random_block(&t, &w));
		if (!one_in(3))
			decide_killed(&w, &d, c);
		if (one_in(8)) {
			succeed(&w, &d, &t);
			c->changes++;
		}
		if (one_in(8)) {
			world_pass(&w, rnd(20000));
			kill_and_start(&w, &d, &t);
			c->kills++;
		}
	}
	do {
		world_pass(&w, 12000);
		decide_killed(&w, &d, c);
		sampler_report(w.sampler, &r);
	} while (r.spans != 0);
	decide_killed(&w, &d, c);
	check_accounts(&d, &t);
	check_decisions(&d, w.policy.dry_run);
	c->spans += t.spans;
	while (d.n != 0)
		lose(&d);
	world_end(&w);
}

int main(int argc, char **argv)
{
	struct tally c = {0};
	uint64_t traces = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	log_setup(LOG_ERROR, false);
	for (; c.traces < traces; c.worlds++) {
		state = (seed + c.worlds) * 0x2545f4914f6cdd1d;
		if (argc > 3)
			printf("seed %" PRIu64 "\n", seed + c.worlds), fflush(stdout);
		if (c.worlds % 2 == 0)
			world_beside_model(&c);
		else
			world_with_kills(&c);
	}
	printf("sampler-truth: %" PRIu64 " worlds, %" PRIu64 " traces, %" PRIu64 " spans, %" PRIu64
	       " rulings, %" PRIu64 " kills, %" PRIu64 " changes of policy\n",
	       c.worlds, c.traces, c.spans, c.rulings, c.kills, c.changes);
	for (int v = 0; v < VERDICTS; v++)
		printf("  %s %" PRIu64, VERDICT_NAMES[v], c.verdicts[v]);
	printf("\n");
	for (int k = 0; k < TRIGGERS; k++)
		printf("  %s %" PRIu64, TRIGGER_NAMES[k], c.triggers[k]);
	printf("  late traces %" PRIu64 "  waits %" PRIu64 "\n", c.late, c.waited);
	return 0;
}

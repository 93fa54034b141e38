/* SPDX-License-Identifier: Apache-2.0 */
#include "truth/sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "truth/textbook.h"
#include "wire/tracestate.h"

enum { TICK_MS = 100, LATE_TICKS = 600, SEEN = 1 << 16 };
static const double MEAN_SPANS = 26.0 / 3; /* 1, 5 and 20 */

/* ---- random numbers ---- */

uint64_t random_next(struct random *r) /* splitmix64 */
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

double random_unit(struct random *r)
{
	return (double)(random_next(r) >> 11) * 0x1p-53;
}

unsigned random_poisson(struct random *r, double mean)
{
	if (mean > 60) {
		double u = sqrt(-2 * log(1 - random_unit(r))), v = 6.283185307 * random_unit(r);
		return (unsigned)fmax(0, floor(mean + sqrt(mean) * u * cos(v) + 0.5));
	}
	unsigned n = 0;
	double p = random_unit(r), least = exp(-mean);
	while (p > least) {
		p *= random_unit(r);
		n++;
	}
	return n;
}

/* ---- the world ---- */

struct trace {
	struct budget_candidate c;
	double early, late, late_bytes; /* spans */
	double truth;                   /* sources' spans for each of ours */
	double *honest;                 /* where it is counted, or NULL */
	uint64_t id;
};
struct traces {
	struct trace *list;
	size_t n, cap;
};

struct sim {
	const struct shape *s;
	enum sim_kind kind;
	struct result *r;
	struct random random;
	struct budget *b;
	struct textbook *textbook;
	struct buf saved, levels;
	struct traces waiting;          /* candidates */
	struct traces late[LATE_TICKS]; /* kept traces that have spans to come */
	struct budget_candidate *list;  /* of one tick */
	size_t list_cap;
	double *cumulated; /* rates of keys */
	uint32_t *guide;   /* where to begin to look, by thousandths */
	uint64_t *seen;    /* ids of traces: requests that come again are known by them */
	double goal;
	bool killed, reloaded;
	uint64_t tick;
};

static void push(struct traces *t, const struct trace *x)
{
	if (t->n == t->cap) {
		t->cap = t->cap != 0 ? 2 * t->cap : 64;
		t->list = realloc(t->list, t->cap * sizeof(*t->list));
	}
	t->list[t->n++] = *x;
}

static struct budget_now now_of(const struct sim *m)
{
	uint64_t ms = m->tick * TICK_MS;
	return (struct budget_now){ms + 1000, ms + 1767225600000};
}

/* One node with keys; or total -> team -> rule. */
static struct budget *build(const struct sim *m)
{
	const struct shape *s = m->s;
	struct budget_node_options n[SIM_NODES] = {{.name = "rest", .parent = BUDGET_ROOT}};
	unsigned count = 1;
	n[0].key_fields = 1;
	if (s->nested) {
		static const char *const names[] = {"total", "a", "b", "c", "ra", "rb", "rc"};
		count = 7;
		n[0].key_fields = 0;
		for (unsigned i = 0; i < count; i++) {
			n[i].name = names[i];
			n[i].parent = i == 0 ? BUDGET_ROOT : (uint16_t)(i < 4 ? 0 : i - 3);
			n[i].key_fields = i < 4 ? 0 : 1;
			n[i].weight = i == 1 ? 2 : 1;
			n[i].burst_s = s->burst_s;
		}
		n[1].limit[BUDGET_SPANS].per_second = 0.7 * m->goal;
		n[5].limit[BUDGET_SPANS].per_second = 0.5 * m->goal;
	}
	n[0].limit[BUDGET_SPANS].per_second = m->goal;
	n[0].limit[BUDGET_BYTES].per_second = s->bytes_goal;
	n[0].burst_s = s->burst_s;
	n[0].debt_s = s->debt_s;
	n[0].reserve = s->reserve;
	struct budget_options o = {.nodes = n, .n_nodes = count, .hash_key = {1, 2}};
	o.largest[BUDGET_SPANS] = s->largest;
	o.largest[BUDGET_BYTES] = s->largest * 1000;
	struct budget *b = NULL;
	const char *reason;
	unsigned node;
	if (budget_create(&b, &o, now_of(m), &reason, &node) != 0) {
		printf("cannot build: %s\n", reason);
		exit(1);
	}
	return b;
}

/* ---- what leaves ---- */

static struct window *window_now(struct sim *m)
{
	uint64_t w = m->tick * TICK_MS / 60000;
	if ((double)m->tick * TICK_MS / 1000 >= m->s->seconds || w >= SIM_WINDOWS)
		return NULL;
	m->r->windows = (unsigned)w + 1;
	return &m->r->window[w];
}

static void emit(struct sim *m, double spans, double bytes, double share)
{
	struct window *w = window_now(m);
	if (w != NULL) {
		w->emitted += spans;
		w->bytes += bytes;
	}
	m->r->emitted += spans;
	m->r->estimate += spans / share;
}

/* A nested shape's rules are nodes 4 to 6. */
static void keep(struct sim *m, const struct trace *t, double share)
{
	/* By Horvitz and Thompson; what came sampled by p is known to be 1 / p by its source. */
	double spans = (t->early + t->late) * t->truth, p = share * t->truth;
	m->r->variance += spans * spans * (1 - p) / (p * p);
	emit(m, t->early, t->c.bytes, share);
	const struct window *w = window_now(m);
	if (m->kind == SIM_BUDGET && m->s->nested && w != NULL && w->steady)
		m->r->team[t->c.path.node - 4] += t->early;
	if (t->honest != NULL)
		t->honest[1] += t->early;
	if (t->late <= 0)
		return;
	/* Its late spans come in two parts; those of a big one in requests of 500. */
	struct trace part = *t;
	part.truth = share;
	double most = fmin(500, ceil(t->late / 2));
	for (unsigned left = (unsigned)t->late; left > 0; left -= (unsigned)part.late) {
		part.late = fmin(left, most);
		part.late_bytes = part.late * t->c.bytes / t->early;
		uint64_t in = 1 + random_next(&m->random) % (LATE_TICKS - 1);
		push(&m->late[(m->tick + in) % LATE_TICKS], &part);
	}
}

static void late_spans(struct sim *m)
{
	struct traces *l = &m->late[m->tick % LATE_TICKS];
	for (size_t i = 0; i < l->n; i++) {
		const struct trace *t = &l->list[i];
		if (m->kind == SIM_BUDGET &&
		    budget_late(m->b, &t->c.path, t->late, t->late_bytes) != 0)
			m->r->late_over += t->late;
		else
			emit(m, t->late, t->late_bytes, t->truth);
	}
	l->n = 0;
}

/* ---- what comes ---- */

static unsigned pick_key(struct sim *m)
{
	double x = random_unit(&m->random) * m->cumulated[m->s->keys - 1];
	unsigned i = m->guide[(unsigned)(x / m->cumulated[m->s->keys - 1] * 1000)];
	while (m->cumulated[i] < x)
		i++;
	return i;
}

static void set_rates(struct sim *m, double t)
{
	double sum = 0;
	for (unsigned i = 0; i < m->s->keys; i++)
		m->cumulated[i] = sum += m->s->rate(i, t);
	unsigned at = 0;
	for (unsigned g = 0; g <= 1000; g++) {
		while (at + 1 < m->s->keys && m->cumulated[at] < sum * g / 1000)
			at++;
		m->guide[g] = at;
	}
}

/* Whether a trace has been here; ids of a while are known. */
static bool was_seen(struct sim *m, uint64_t id)
{
	uint64_t *place = &m->seen[id % SEEN];
	bool known = *place == id;
	*place = id;
	return known;
}

static double size_of(struct sim *m)
{
	static const double sizes[] = {1, 5, 20};
	return sizes[random_next(&m->random) % 3];
}

static void judge(struct sim *m, struct trace *t, unsigned key, uint64_t arrived, uint64_t r)
{
	const struct shape *s = m->s;
	uint64_t hash = s->new_keys ? random_next(&m->random) : (key + 1) * 0x9e3779b97f4a7c15;
	struct budget_offer o = {.spans = t->early, .bytes = t->c.bytes, .own = 1};
	o.arrived = threshold_share(arrived);
	o.protected = t->c.protected;
	if (s->nested)
		o.path.node = (uint16_t)(4 + key % 3);
	for (unsigned i = 0; i < BUDGET_DEPTH; i++)
		o.path.keys[i] = hash;
	uint64_t soft = budget_offer(m->b, &o);
	t->c.path = o.path;
	t->c.threshold = soft > arrived ? soft : arrived;
	t->c.randomness = r;
	if (r >= t->c.threshold)
		push(&m->waiting, t);
}

/* After two minutes, when all keys are known; NULL for what is not compared. */
static double *honest_of(struct sim *m, unsigned key)
{
	double t = (double)m->tick * TICK_MS / 1000;
	if (key == 0 || t < 120 || t >= m->s->flooded_s)
		return NULL;
	return m->r->honest[t >= m->s->flood_s];
}

static void arrive(struct sim *m, double spans, unsigned key, double error_share)
{
	const struct shape *s = m->s;
	uint64_t arrived = 0;
	if (s->mixed)
		arrived = threshold_of((double[]){1, 0.1, 0.01}[random_next(&m->random) % 3]);
	uint64_t r = random_next(&m->random) >> 8;
	r = arrived + (uint64_t)((unsigned __int128)r * (THRESHOLD_NEVER - arrived) >> 56);
	struct trace t = {.early = spans, .truth = 1 / threshold_share(arrived)};
	t.id = random_next(&m->random);
	double late = floor(spans * s->late + random_unit(&m->random));
	if (spans > s->largest)
		late = spans - s->largest;
	t.late = fmin(late, spans - 1);
	t.early -= t.late;
	t.c.spans = t.early;
	t.c.bytes = t.early * (200 + floor(random_unit(&m->random) * 600));
	t.honest = honest_of(m, key);
	if (t.honest != NULL)
		t.honest[0] += t.early;
	t.c.protected = error_share > 0 && random_unit(&m->random) < error_share;
	struct window *w = window_now(m);
	if (w != NULL)
		w->offered += spans;
	m->r->offered += spans;
	m->r->truth += spans * t.truth;
	int times = s->duplicates > 0 && random_unit(&m->random) < s->duplicates ? 2 : 1;
	for (int i = 0; i < times && !was_seen(m, t.id); i++) {
		if (m->kind == SIM_BUDGET) {
			judge(m, &t, key, arrived, r);
			continue;
		}
		double rate = textbook_offer(m->textbook, s->new_keys ? 0 : key, t.early);
		double share = fmin(threshold_share(arrived), 1 / rate);
		if (r >= threshold_of(1 / rate))
			keep(m, &t, share);
	}
}

static void arrivals(struct sim *m, double t)
{
	const struct shape *s = m->s;
	if (s->changing || m->tick == 0 || m->tick % 10 == 0)
		set_rates(m, t);
	double rate = 0;
	if (!s->changing) { /* the sum may change at any tick */
		double at_key = s->rate(0, t), was = m->cumulated[0];
		rate = was > 0 ? m->cumulated[s->keys - 1] * at_key / was : 0;
		if (was <= 0 && at_key > 0) {
			set_rates(m, t);
			rate = m->cumulated[s->keys - 1];
		}
	} else {
		rate = m->cumulated[s->keys - 1];
	}
	unsigned n = random_poisson(&m->random, rate / MEAN_SPANS * TICK_MS / 1000);
	for (unsigned i = 0; i < n; i++) {
		double spans = size_of(m);
		unsigned key = pick_key(m);
		arrive(m, spans, key, s->errors != NULL ? s->errors(key, t) : 0);
	}
	uint64_t every = (uint64_t)(s->big_every_s * 1000 / TICK_MS);
	if (every != 0 && m->tick % every == every / 2)
		arrive(m, 30000, 0, s->errors != NULL ? s->errors(0, t) : 0);
}

/* ---- the budget's tick ---- */

static void tick(struct sim *m)
{
	struct traces *w = &m->waiting;
	if (w->n > m->list_cap) {
		m->list_cap = 2 * w->n;
		m->list = realloc(m->list, m->list_cap * sizeof(*m->list));
	}
	for (size_t i = 0; i < w->n; i++)
		m->list[i] = w->list[i].c;
	budget_tick(m->b, now_of(m), m->list, w->n);
	size_t left = 0;
	for (size_t i = 0; i < w->n; i++) {
		struct trace *t = &w->list[i];
		if (m->list[i].verdict == BUDGET_WAIT) {
			w->list[left++] = *t;
		} else if (m->list[i].verdict == BUDGET_KEEP) {
			t->c.threshold = m->list[i].threshold;
			keep(m, t, threshold_share(t->c.threshold));
		}
	}
	w->n = left;
	m->r->most_waiting = fmax(m->r->most_waiting, (double)left);
}

static void load(struct sim *m, const struct buf *from)
{
	if (budget_load(m->b, buf_slice(from), now_of(m)) != 0) {
		printf("cannot load\n");
		exit(1);
	}
}

/* Saved as the store would: levels with each tick, all of it once a second. */
static void kills(struct sim *m, double t)
{
	const struct shape *s = m->s;
	if (s->kill_s == 0)
		return;
	m->levels.len = 0;
	(void)budget_save_levels(m->b, &m->levels);
	if (m->tick % 10 == 0) {
		m->saved.len = 0;
		(void)budget_save(m->b, &m->saved);
	}
	bool kill = !m->killed && t >= s->kill_s, reload = !m->reloaded && t >= s->reload_s;
	if (!kill && !reload)
		return;
	if (reload) {
		m->goal *= 0.6;
		m->saved.len = 0;
		(void)budget_save(m->b, &m->saved);
	}
	budget_destroy(m->b);
	m->b = build(m);
	load(m, &m->saved);
	load(m, &m->levels);
	m->killed |= kill;
	m->reloaded |= reload;
}

/* ---- a run ---- */

static void finish(struct sim *m)
{
	struct budget_report report;
	if (m->kind == SIM_BUDGET) {
		budget_report(m->b, 0, &report);
		m->r->charged = report.unit[BUDGET_SPANS].kept;
		m->r->bound = report.unit[BUDGET_SPANS].capacity / m->goal;
		if (m->s->late > 0 || m->s->big_every_s > 0)
			m->r->bound += m->s->debt_s > 0 ? m->s->debt_s : 2;
	}
	budget_destroy(m->b);
	if (m->textbook != NULL)
		textbook_destroy(m->textbook);
	for (unsigned i = 0; i < LATE_TICKS; i++)
		free(m->late[i].list);
	free(m->waiting.list);
	free(m->list);
	free(m->cumulated);
	free(m->guide);
	free(m->seen);
	buf_finish(&m->saved);
	buf_finish(&m->levels);
}

/* A window is steady if no step lies in it or in the one before. The start is a step. */
static bool is_steady(const struct shape *s, unsigned window)
{
	double begin = 60.0 * window - 60, end = 60.0 * window + 60;
	if (window < 2)
		return false;
	for (unsigned i = 0; i < SIM_STEPS && s->steps[i] > 0; i++)
		if (s->steps[i] >= begin && s->steps[i] < end)
			return false;
	return true;
}

void sim_run(const struct shape *s, enum sim_kind kind, uint64_t seed, struct result *r)
{
	static struct sim m;
	memset(r, 0, sizeof(*r));
	m = (struct sim){.s = s, .kind = kind, .r = r, .goal = s->goal, .random = {seed}};
	m.cumulated = calloc(s->keys, sizeof(double));
	m.guide = calloc(1001, sizeof(*m.guide));
	m.seen = calloc(SEEN, sizeof(*m.seen));
	if (kind == SIM_BUDGET)
		m.b = build(&m);
	else
		m.textbook = textbook_create(kind == SIM_EMA ? TEXTBOOK_EMA : TEXTBOOK_WINDOWED,
					     s->goal, s->keys);
	uint64_t ticks = (uint64_t)(s->seconds * 1000 / TICK_MS);
	for (m.tick = 0; m.tick < ticks + LATE_TICKS; m.tick++) {
		double t = (double)m.tick * TICK_MS / 1000;
		struct window *w = window_now(&m);
		if (w != NULL) {
			w->goal = m.goal;
			w->steady = is_steady(s, (unsigned)(w - r->window));
			arrivals(&m, t);
		}
		late_spans(&m);
		if (kind != SIM_BUDGET) {
			textbook_tick(m.textbook, t);
			continue;
		}
		tick(&m);
		kills(&m, t);
	}
	finish(&m);
}

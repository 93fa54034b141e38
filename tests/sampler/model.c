/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "wire/tracestate.h"

/* ---- facts, from all spans of a trace ---- */

static bool is_of(const struct model *m, int i, int t)
{
	return m->spans[i].trace == t && !m->spans[i].done;
}

static bool counts(const struct model *m, int i, int t)
{
	return is_of(m, i, t) && !m->spans[i].duplicate;
}

static struct trace_facts facts_of(const struct model *m, int t)
{
	struct trace_facts f = {0};
	uint64_t start = UINT64_MAX, end = 0;
	for (int i = 0; i < m->n_spans; i++) {
		const struct model_span *s = &m->spans[i];
		if (!counts(m, i, t))
			continue;
		for (int w = 0; w < 4; w++)
			f.bits[w] |= s->bits[w];
		f.spans++;
		f.bytes += s->bytes;
		f.errors += (s->flags & NOTICE_ERROR) != 0;
		if (s->flags & NOTICE_ROOT && !f.has_root) {
			f.has_root = true;
			f.duration_ns = s->end > s->start ? s->end - s->start : 0;
		}
		if (s->start != 0 && s->start < start)
			start = s->start;
		if (s->end > end)
			end = s->end;
	}
	if (!f.has_root && end > start)
		f.duration_ns = end - start;
	return f;
}

static bool holds(const struct model *m, uint32_t c, const struct trace_facts *f)
{
	return c == POLICY_ALWAYS || condition_holds(m->policy->set, c, f);
}

static enum condition_outlook outlook(const struct model *m, uint32_t c,
				      const struct trace_facts *f)
{
	return c == POLICY_ALWAYS ? CONDITION_ALWAYS : condition_outlook(m->policy->set, c, f);
}

static uint64_t salted(const uint8_t *id, const char *salt)
{
	struct siphash_key k = {0x7370616e72656c61, 0x726f6c6c6f757431};
	uint64_t name = siphash(&k, salt, strlen(salt));
	k.k0 ^= name;
	k.k1 += name;
	return siphash(&k, id, 16);
}

static bool sees(const struct policy_rule *r, const uint8_t *id)
{
	return r->rollout >= 1 || (double)(salted(id, r->name) >> 11) * 0x1p-53 < r->rollout;
}

/* ---- randomness ---- */

struct r_and_th {
	uint64_t r, arrived;
	bool erase, write_rv;
	double source;
};

static struct r_and_th randomness(const struct model *m, int t, const struct trace_facts *f)
{
	struct r_and_th x = {.r = randomness_of(m->traces[t].id), .source = 1};
	const struct policy_source *source = NULL;
	int first = -1, root = -1;
	bool has_th = false;
	for (uint32_t i = 0; i < m->policy->n_sources && source == NULL; i++)
		if (holds(m, m->policy->sources[i].condition, f))
			source = &m->policy->sources[i];
	for (int i = 0; i < m->n_spans; i++) {
		const struct model_span *s = &m->spans[i];
		if (!counts(m, i, t))
			continue;
		if (s->flags & NOTICE_RV && first < 0)
			first = i;
		if (s->flags & NOTICE_RV && s->flags & NOTICE_ROOT && root < 0)
			root = i;
		if (s->flags & NOTICE_TH) {
			has_th = true;
			x.arrived = s->th > x.arrived ? s->th : x.arrived;
		}
	}
	if (first >= 0)
		x.r = m->spans[root >= 0 ? root : first].rv;
	else if (source != NULL && source->hash) {
		x.r = salted(m->traces[t].id, "randomness") >> 8;
		x.write_rv = true;
	}
	if (x.arrived > x.r) {
		x.erase = true;
		x.arrived = 0;
	}
	if (!has_th && source != NULL && source->share > 0 && source->share < 1)
		x.source = source->share;
	return x;
}

/* ---- lists ---- */

static int first_of(const struct model *m, enum model_list list, uint64_t after)
{
	int best = -1;
	for (int i = 0; i < m->n_traces; i++)
		if (m->traces[i].list == list && m->traces[i].order > after &&
		    (best < 0 || m->traces[i].order < m->traces[best].order))
			best = i;
	return best;
}

static void enlist(struct model *m, int t, enum model_list list)
{
	m->traces[t].list = M_NONE;
	for (int i = 0; i < m->n_traces; i++)
		if (m->traces[i].list == list && m->traces[i].due > m->traces[t].due)
			m->traces[t].due = m->traces[i].due;
	m->traces[t].list = list;
	m->traces[t].order = ++m->order;
}

static void ready(struct model *m, int t, enum decision_trigger trigger)
{
	enlist(m, t, M_READY);
	m->traces[t].trigger = trigger;
}

/* ---- in ---- */

static void close_blocks(struct model *m)
{
	for (; m->ruled_blocks < m->n_blocks; m->ruled_blocks++)
		m->spans_done[VERDICT_DAMAGED] +=
		    m->blocks[m->ruled_blocks].spans - m->blocks[m->ruled_blocks].noticed;
}

void model_block(struct model *m, uint64_t id, uint32_t spans, uint64_t bytes, uint64_t unix_ms)
{
	close_blocks(m);
	if (m->n_blocks == 0)
		m->first_held = id;
	m->blocks[m->n_blocks].id = id;
	m->blocks[m->n_blocks].spans = spans;
	m->blocks[m->n_blocks].bytes = bytes;
	m->blocks[m->n_blocks].unix_ms = unix_ms;
	m->blocks[m->n_blocks++].noticed = 0;
}

static bool is_certain(const struct model *m, int t)
{
	const struct policy *p = m->policy;
	struct trace_facts f = facts_of(m, t);
	for (uint32_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		enum condition_outlook o = outlook(m, r->condition, &f);
		if (r->dry_run || !sees(r, m->traces[t].id) || o == CONDITION_NEVER)
			continue;
		if (o == CONDITION_OPEN)
			return false;
		if (r->share <= 0)
			return true;
		if (r->share < 1 || r->node != BUDGET_ROOT)
			return false;
		for (uint32_t k = 0; k < p->n_sources; k++) {
			o = outlook(m, p->sources[k].condition, &f);
			if (o != CONDITION_NEVER)
				return o == CONDITION_ALWAYS;
		}
		return true;
	}
	return false;
}

static uint64_t due_of(const struct model *m, uint64_t wait, struct sampler_now now)
{
	uint64_t came = m->blocks[m->n_blocks - 1].unix_ms;
	uint64_t age = now.unix_ms > came ? now.unix_ms - came : 0;
	return age >= wait ? now.mono_ms : now.mono_ms + wait - age;
}

static int find(struct model *m, const uint8_t *id, bool decided)
{
	for (int i = 0; i < m->n_traces; i++)
		if (memcmp(m->traces[i].id, id, 16) == 0 && m->traces[i].decided == decided &&
		    !m->traces[i].gone)
			return i;
	return -1;
}

static void of_undecided(struct model *m, struct model_span *s, int t, bool is_new, bool stressed,
			 struct sampler_now now)
{
	struct model_trace *x = &m->traces[t];
	const struct policy *p = m->policy;
	bool had_root = false;
	s->done = true;
	for (int i = 0; i < m->n_spans; i++) {
		s->duplicate |= counts(m, i, t) && m->spans[i].identity == s->identity;
		had_root |= counts(m, i, t) && m->spans[i].flags & NOTICE_ROOT;
	}
	s->done = false;
	s->trace = t;
	if (s->duplicate)
		return;
	if (is_new) {
		x->first_unix = m->blocks[m->n_blocks - 1].unix_ms;
		x->due = due_of(m, p->wait_ms, now);
		enlist(m, t, M_WAIT);
		if (stressed)
			ready(m, t, TRIGGER_STRESS);
	}
	if (x->list != M_WAIT && x->list != M_ROOT)
		return;
	struct trace_facts f = facts_of(m, t);
	if (f.spans > p->trace_spans) {
		ready(m, t, TRIGGER_SPANS);
	} else if (f.bytes > p->trace_bytes) {
		ready(m, t, TRIGGER_BYTES);
	} else if (is_certain(m, t)) {
		ready(m, t, TRIGGER_CERTAIN);
	} else if (s->flags & NOTICE_ROOT && !had_root) {
		uint64_t due = due_of(m, p->root_wait_ms, now);
		x->due = due < x->due ? due : x->due;
		enlist(m, t, M_ROOT);
	}
}

void model_span(struct model *m, const struct notice *n, uint32_t number, bool stressed,
		struct sampler_now now)
{
	struct model_span *s = &m->spans[m->n_spans++];
	*s = (struct model_span){.block = m->blocks[m->n_blocks - 1].id,
				 .identity = n->identity,
				 .start = n->start_ns,
				 .end = n->end_ns,
				 .th = n->th,
				 .rv = n->rv,
				 .number = number,
				 .bytes = n->bytes,
				 .flags = n->flags,
				 .trace = -1,
				 .late_of = -1};
	memcpy(s->trace_id, n->trace_id, 16);
	memcpy(s->bits, n->more, m->policy->n_words * sizeof(uint64_t));
	memcpy(s->keys, n->more + m->policy->n_words, m->policy->n_fields * sizeof(uint32_t));
	m->blocks[m->n_blocks - 1].noticed++;
	int t = find(m, n->trace_id, false);
	if (t >= 0) {
		of_undecided(m, s, t, false, stressed, now);
		return;
	}
	int record = find(m, n->trace_id, true);
	if (record < 0) {
		t = m->n_traces++;
		m->traces[t] = (struct model_trace){0};
		memcpy(m->traces[t].id, n->trace_id, 16);
		of_undecided(m, s, t, true, stressed, now);
		return;
	}
	m->traces[record].position = s->block;
	if (m->traces[record].d.verdict == VERDICT_KEPT || m->policy->dry_run) {
		s->late_of = record;
	} else {
		s->done = true;
		m->spans_done[VERDICT_LATE]++;
		m->bytes_done[VERDICT_LATE] += s->bytes;
	}
}

/* ---- judging ---- */

static int by_hash(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* The six smallest of all distinct values. */
static size_t values_of(const struct model *m, int t, uint8_t field, uint32_t out[6])
{
	static uint32_t all[MODEL_SPANS];
	size_t n = 0, k = 0;
	for (int i = 0; i < m->n_spans; i++)
		if (counts(m, i, t) && m->spans[i].keys[field] != 0)
			all[n++] = m->spans[i].keys[field];
	qsort(all, n, sizeof(*all), by_hash);
	for (size_t i = 0; i < n && k < 6; i++)
		if (i == 0 || all[i] != all[i - 1])
			out[k++] = all[i];
	return k;
}

static void find_path(struct model *m, int t, uint16_t node)
{
	struct model_trace *x = &m->traces[t];
	const struct policy *p = m->policy;
	int depth = 0, n = 0;
	x->path = (struct budget_path){.node = node};
	for (; node != BUDGET_ROOT; node = p->nodes[node].parent, depth++) {
		uint32_t lists[POLICY_KEY_FIELDS][6];
		struct slice values[POLICY_KEY_FIELDS];
		const struct policy_key *k = &p->keys[node];
		if (k->n == 0)
			continue;
		for (int i = 0; i < k->n; i++)
			values[i] = slice_of(lists[i], 4 * values_of(m, t, k->field[i], lists[i]));
		x->path.keys[depth] = budget_key(&m->key, values, k->n);
		x->keys[n++] = x->path.keys[depth];
	}
}

/* The newest spans beyond the limits. */
static uint32_t excess(const struct model *m, int t, uint64_t *bytes)
{
	struct trace_facts f = facts_of(m, t);
	uint32_t over = 0;
	*bytes = 0;
	for (int i = m->n_spans - 1; i >= 0 && f.spans > 1; i--) {
		if (f.spans <= m->policy->trace_spans && f.bytes <= m->policy->trace_bytes)
			break;
		if (!counts(m, i, t))
			continue;
		over++;
		*bytes += m->spans[i].bytes;
		f.spans--;
		f.bytes -= m->spans[i].bytes;
	}
	return over;
}

/* ---- who met the rule ---- */

/* Bits of those sides that the trace meets. */
static uint64_t reasons_of(const struct model *m, uint32_t c, const struct trace_facts *f)
{
	uint64_t all = 0, side = 0;
	if (c == POLICY_ALWAYS)
		return 0;
	for (const char *p = m->reasons[c];; p++) {
		if (*p != '|' && *p != '\0') {
			side |= (uint64_t)1 << m->letters[*p - 'a'];
			continue;
		}
		all |= (side & f->bits[0]) == side ? side : 0;
		side = 0;
		if (*p == '\0')
			return all;
	}
}

static const struct model_span *earliest(const struct model *m, int t, uint64_t bits,
					 const struct model_span *after)
{
	for (int i = after != NULL ? (int)(after - m->spans) + 1 : 0; i < m->n_spans; i++)
		if (counts(m, i, t) && m->spans[i].bits[0] & bits)
			return &m->spans[i];
	return NULL;
}

static void note_met(struct model *m, int t, const struct trace_facts *f)
{
	uint64_t bits = reasons_of(m, m->policy->rules[m->traces[t].rule].condition, f);
	struct model_met *met = &m->met[m->n_met];
	*met = (struct model_met){.decision = m->n_decisions};
	for (int i = 0; i < m->n_spans; i++)
		met->spans += counts(m, i, t) && m->spans[i].bits[0] & bits;
	if (met->spans == 0)
		return;
	met->first = earliest(m, t, bits, NULL);
	met->second = earliest(m, t, bits & ~met->first->bits[0], met->first);
	if (met->second == NULL)
		met->second = earliest(m, t, bits, met->first);
	m->n_met++;
}

static void finish(struct model *m, int t, enum verdict verdict, uint32_t over,
		   struct sampler_now now)
{
	struct model_trace *x = &m->traces[t];
	struct trace_facts f = facts_of(m, t);
	struct r_and_th r = randomness(m, t, &f);
	const struct policy_rule *rule = &m->policy->rules[x->rule];
	struct decision *d = &x->d;
	*d = (struct decision){.first_unix_ms = x->first_unix,
			       .randomness = r.r,
			       .threshold = x->threshold,
			       .arrived = r.arrived,
			       .spans = f.spans,
			       .errors = f.errors,
			       .bytes = f.bytes,
			       .duration_ns = f.duration_ns,
			       .rule = x->rule,
			       .trigger = (uint8_t)x->trigger,
			       .verdict = (uint8_t)verdict,
			       .erase_th = r.erase,
			       .write_rv = r.write_rv,
			       .has_root = f.has_root,
			       .would = x->would};
	memcpy(d->trace_id, x->id, 16);
	memcpy(d->keys, x->keys, sizeof(d->keys));
	if (now.unix_ms > x->first_unix)
		d->waited_ms = (uint32_t)(now.unix_ms - x->first_unix);
	if (rule->keep == POLICY_SATELLITE && rule->share < 1)
		d->erase_th = 1;
	if (r.source < 1 && verdict == VERDICT_KEPT) {
		d->threshold = threshold_product(threshold_of(r.source), x->threshold);
		d->erase_th |= r.r < d->threshold;
	}
	bool kept = verdict == VERDICT_KEPT || m->policy->dry_run;
	note_met(m, t, &f);
	for (int i = m->n_spans - 1; i >= 0; i--) {
		struct model_span *s = &m->spans[i];
		if (!is_of(m, i, t))
			continue;
		enum verdict v = kept ? VERDICT_KEPT : verdict;
		if (s->duplicate)
			v = VERDICT_DUPLICATE;
		else if (over != 0 && over--)
			v = VERDICT_LATE_OVER;
		m->spans_done[v]++;
		m->bytes_done[v] += s->bytes;
		if (v == VERDICT_KEPT)
			m->picks[m->n_picks++] = (struct model_pick){s->block, s->number, d, false};
	}
	for (int i = 0; i < m->n_spans; i++)
		m->spans[i].done |= m->spans[i].trace == t;
	x->decided = true;
	x->made = now.mono_ms;
	m->decisions[m->n_decisions++] = t;
}

/* ---- choosing ---- */

struct choose {
	struct sampler_now now;
	uint64_t bytes, most, freed;
	int late_decided[MODEL_TRACES], n; /* without a budget, in order */
	enum verdict verdict[MODEL_TRACES];
	bool full;
};

static uint64_t cost_of(const struct model *m, const struct trace_facts *f)
{
	const struct policy *p = m->policy;
	return 120 + (p->n_words > 2 ? 8 * (p->n_words - 2) : 0) + 24 * p->n_fields +
	       24 * (uint64_t)f->spans;
}

static void decided(struct choose *c, int t, enum verdict v)
{
	c->late_decided[c->n] = t;
	c->verdict[c->n++] = v;
}

static bool over_bytes(const struct model *m, struct choose *c, uint64_t bytes, bool kept)
{
	if (!kept && !m->policy->dry_run)
		return false;
	c->full = c->bytes != 0 && c->bytes + bytes > c->most;
	c->bytes += c->full ? 0 : bytes;
	return c->full;
}

static bool choose(struct model *m, struct choose *c, int t, enum decision_trigger trigger)
{
	struct model_trace *x = &m->traces[t];
	const struct policy *p = m->policy;
	struct trace_facts f = facts_of(m, t);
	struct r_and_th r = randomness(m, t, &f);
	uint16_t rule = 0;
	x->would = 0;
	for (rule = 0; rule < p->n_rules; rule++) {
		if (!sees(&p->rules[rule], x->id) || !holds(m, p->rules[rule].condition, &f))
			continue;
		if (!p->rules[rule].dry_run)
			break;
		if (x->would == 0)
			x->would = (uint16_t)(rule + 1);
	}
	const struct policy_rule *k = &p->rules[rule];
	bool coin = k->keep == POLICY_SATELLITE && k->share < 1;
	bool passes = coin ? satellite_keeps(x->id, k->share) : r.r >= k->threshold;
	bool budgeted =
	    k->node != BUDGET_ROOT && m->budget != NULL && k->share > 0 && !(coin && !passes);
	x->rule = rule;
	x->trigger = trigger;
	x->threshold = k->threshold;
	memset(x->keys, 0, sizeof(x->keys));
	if (!budgeted) {
		if (over_bytes(m, c, f.bytes, passes))
			return false;
		decided(c, t, passes ? VERDICT_KEPT : VERDICT_RULE);
	} else {
		if (p->dry_run && c->bytes != 0 && c->bytes + f.bytes > c->most) {
			c->full = true;
			return false;
		}
		find_path(m, t, k->node);
		struct budget_offer o = {.path = x->path,
					 .spans = f.spans,
					 .bytes = (double)f.bytes,
					 .protected = k->protected,
					 .arrived =
					     r.arrived != 0 ? threshold_share(r.arrived) : r.source,
					 .own = coin ? 1 : k->share};
		x->threshold = budget_offer(m->budget, &o);
		if (passes && r.r >= x->threshold) {
			m->waiting[m->n_waiting++] = t;
		} else {
			over_bytes(m, c, f.bytes, false);
			decided(c, t, passes ? VERDICT_BUDGET : VERDICT_RULE);
		}
	}
	x->list = M_NONE;
	c->freed += cost_of(m, &f);
	return true;
}

static void choose_due(struct model *m, struct choose *c)
{
	for (int list = M_READY; list <= M_WAIT && !c->full; list++)
		for (int t; (t = first_of(m, (enum model_list)list, 0)) >= 0;) {
			if (list != M_READY && m->traces[t].due > c->now.mono_ms)
				break;
			enum decision_trigger why = list == M_READY  ? m->traces[t].trigger
						    : list == M_ROOT ? TRIGGER_ROOT
								     : TRIGGER_WAIT;
			if (!choose(m, c, t, why))
				return;
		}
}

static uint64_t used(const struct model *m)
{
	uint64_t sum = 0;
	for (int t = 0; t < m->n_traces; t++) {
		struct trace_facts f = facts_of(m, t);
		if (f.spans == 0)
			continue;
		sum += cost_of(m, &f);
		uint64_t cap = 32;
		while (f.spans - 1 >= cap / 4 * 3)
			cap *= 2;
		sum += f.spans > 16 ? 4 + 4 * cap : 0;
		for (int i = 0; i < m->n_spans; i++)
			sum += is_of(m, i, t) && m->spans[i].duplicate ? 24 : 0;
	}
	return sum;
}

static void evict_for_memory(struct model *m, struct choose *c, uint64_t until)
{
	int t;
	while (c->freed < until && (t = first_of(m, M_ROOT, 0)) >= 0)
		if (!choose(m, c, t, TRIGGER_EVICTION))
			return;
	while (c->freed < until) {
		int old[64], n = 0;
		for (uint64_t after = 0; n < 64 && (t = first_of(m, M_WAIT, after)) >= 0;) {
			after = m->traces[t].order;
			old[n++] = t;
		}
		if (n == 0)
			return;
		for (int k = 0; k < (n + 1) / 2; k++) {
			int best = -1;
			for (int i = 0; i < n; i++)
				if (old[i] >= 0 && (best < 0 || facts_of(m, old[i]).bytes >
								    facts_of(m, old[best]).bytes))
					best = i;
			if (c->freed >= until || !choose(m, c, old[best], TRIGGER_EVICTION))
				return;
			old[best] = -1;
		}
	}
}

static bool is_held(const struct model *m, int block)
{
	for (int i = 0; i < m->n_spans; i++)
		if (m->spans[i].block == m->blocks[block].id && m->spans[i].trace >= 0 &&
		    !m->spans[i].done)
			return true;
	return false;
}

/* The sampler gives blocks back when it decides: those are the ones from the last first_held. */
static uint64_t pending(const struct model *m)
{
	uint64_t sum = 0;
	for (int b = 0; b < m->n_blocks; b++)
		sum += m->blocks[b].id >= m->first_held ? m->blocks[b].bytes : 0;
	return sum;
}

static void evict_for_journal(struct model *m, struct choose *c)
{
	uint64_t limit = m->policy->pending_bytes, left = pending(m), last = 0;
	for (int b = 0; b < m->n_blocks && left > limit - limit / 16; b++) {
		if (m->blocks[b].id < m->first_held)
			continue;
		last = m->blocks[b].unix_ms > last ? m->blocks[b].unix_ms : last;
		left -= m->blocks[b].bytes;
	}
	for (int list = M_ROOT; list <= M_WAIT; list++)
		for (int t; (t = first_of(m, (enum model_list)list, 0)) >= 0;) {
			if (m->traces[t].first_unix > last)
				break;
			if (!choose(m, c, t, TRIGGER_EVICTION))
				return;
		}
}

/* ---- out ---- */

static bool charge_late(struct model *m, const struct model_trace *x, double spans, double bytes)
{
	const struct policy_rule *r = &m->policy->rules[x->d.rule];
	if (m->budget == NULL || r->node == BUDGET_ROOT || x->d.verdict != VERDICT_KEPT)
		return true;
	return budget_late(m->budget, &x->path, spans, bytes) == 0 || m->policy->dry_run;
}

static void settle_late(struct model *m)
{
	for (int i = 0; i < m->n_spans; i++) {
		int t = m->spans[i].late_of;
		uint64_t n = 0, bytes = 0;
		if (t < 0 || m->spans[i].done)
			continue;
		for (int k = i; k < m->n_spans; k++)
			if (m->spans[k].late_of == t && !m->spans[k].done) {
				n++;
				bytes += m->spans[k].bytes;
			}
		bool passes = charge_late(m, &m->traces[t], (double)n, (double)bytes);
		m->spans_done[passes ? VERDICT_KEPT : VERDICT_LATE_OVER] += n;
		m->bytes_done[passes ? VERDICT_KEPT : VERDICT_LATE_OVER] += bytes;
		for (int k = i; k < m->n_spans; k++) {
			struct model_span *s = &m->spans[k];
			if (s->late_of != t || s->done)
				continue;
			s->done = true;
			if (passes)
				m->picks[m->n_picks++] =
				    (struct model_pick){s->block, s->number, &m->traces[t].d, true};
		}
	}
}

static void run_budget(struct model *m, uint64_t most, struct sampler_now now)
{
	static struct budget_candidate list[MODEL_TRACES];
	int left[MODEL_TRACES], n_left = 0, n = 0, brought[MODEL_TRACES];
	uint64_t bytes = 0, was[MODEL_TRACES];
	if (m->budget == NULL)
		return;
	for (; n < m->n_waiting; n++) {
		int t = m->waiting[n];
		struct model_trace *x = &m->traces[t];
		struct trace_facts f = facts_of(m, t);
		struct r_and_th r = randomness(m, t, &f);
		uint64_t over_bytes;
		uint32_t over = excess(m, t, &over_bytes);
		if (bytes != 0 && bytes + f.bytes > most)
			break;
		bytes += f.bytes;
		brought[n] = t;
		was[n] = r.arrived > x->threshold ? r.arrived : x->threshold;
		uint64_t charged = f.bytes - over_bytes;
		if (charged > m->policy->trace_bytes)
			charged = m->policy->trace_bytes;
		list[n] =
		    (struct budget_candidate){.path = x->path,
					      .randomness = r.r,
					      .threshold = was[n],
					      .spans = f.spans - over,
					      .bytes = (double)charged,
					      .protected = m->policy->rules[x->rule].protected};
	}
	budget_tick(m->budget, (struct budget_now){now.mono_ms, now.unix_ms}, list, (size_t)n);
	for (int i = n; i < m->n_waiting; i++)
		left[n_left++] = m->waiting[i];
	for (int i = 0; i < n; i++) {
		struct model_trace *x = &m->traces[brought[i]];
		uint64_t over_bytes;
		uint32_t over = excess(m, brought[i], &over_bytes);
		if (list[i].verdict == BUDGET_WAIT) {
			left[n_left++] = brought[i];
			continue;
		}
		if (list[i].threshold != was[i])
			x->threshold = list[i].threshold;
		bool kept = list[i].verdict == BUDGET_KEEP;
		if (!kept || m->policy->dry_run || over == 0 ||
		    budget_late(m->budget, &x->path, over, (double)over_bytes) == 0)
			over = 0;
		finish(m, brought[i], kept ? VERDICT_KEPT : VERDICT_BUDGET, over, now);
	}
	memcpy(m->waiting, left, (size_t)n_left * sizeof(int));
	m->n_waiting = n_left;
}

static void forget(struct model *m, uint64_t now_ms)
{
	for (;;) {
		uint64_t kept = 0, dropped = 0, oldest = UINT64_MAX, position = 0, made = 0;
		for (int t = 0; t < m->n_traces; t++) {
			const struct model_trace *x = &m->traces[t];
			if (!x->decided || x->gone)
				continue;
			bool k = x->d.verdict == VERDICT_KEPT || m->policy->dry_run;
			kept += k;
			dropped += !k;
			if (x->chapter > oldest)
				continue;
			position =
			    x->chapter < oldest || x->position > position ? x->position : position;
			oldest = x->chapter;
			made = x->made;
		}
		bool over = kept > m->policy->kept_records || dropped > m->policy->dropped_records;
		if (oldest == UINT64_MAX || m->first_held <= position ||
		    !(over || now_ms - made >= m->policy->records_ms))
			return;
		for (int t = 0; t < m->n_traces; t++)
			m->traces[t].gone |= m->traces[t].decided && m->traces[t].chapter == oldest;
	}
}

bool model_decide(struct model *m, size_t max_bytes, uint64_t chapter, struct sampler_now now)
{
	static struct choose c;
	c = (struct choose){.now = now, .most = max_bytes / 2};
	m->n_picks = m->n_decisions = m->n_met = 0;
	close_blocks(m);
	uint64_t before = used(m);
	choose_due(m, &c);
	if (before > m->policy->memory_bytes && !c.full)
		evict_for_memory(m, &c,
				 before - (m->policy->memory_bytes - m->policy->memory_bytes / 16));
	if (pending(m) > m->policy->pending_bytes && !c.full)
		evict_for_journal(m, &c);
	settle_late(m);
	run_budget(m, c.most, now);
	for (int i = 0; i < c.n; i++)
		finish(m, c.late_decided[i], c.verdict[i], 0, now);
	uint64_t position = m->n_blocks != 0 ? m->blocks[m->n_blocks - 1].id : 0;
	for (int i = 0; i < m->n_decisions; i++) {
		m->traces[m->decisions[i]].chapter = chapter;
		m->traces[m->decisions[i]].position = position;
	}
	uint64_t was = m->first_held;
	bool changed = m->n_decisions != 0;
	m->first_held = position + (m->n_blocks != 0);
	for (int b = m->n_blocks - 1; b >= 0; b--)
		if (is_held(m, b))
			m->first_held = m->blocks[b].id;
	for (int v = 0; v < VERDICTS; v++)
		changed |= m->spans_done[v] != 0;
	changed |= m->first_held != was;
	if (changed)
		forget(m, now.mono_ms);
	return changed;
}

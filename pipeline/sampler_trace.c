/* SPDX-License-Identifier: Apache-2.0
 * The table of undecided traces, and what a trace has learnt of its spans. */
#include <stdlib.h>

#include "pipeline/sampler_state.h"

/* ---- finding ---- */

bool trace_find(const struct sampler *s, const uint8_t *id, uint64_t hash, uint32_t *number)
{
	struct table_walk w = table_walk(&s->table, hash);
	while (table_next(&w, number))
		if (memcmp(trace_at(s, *number)->id, id, 16) == 0)
			return true;
	return false;
}

bool trace_add(struct sampler *s, const uint8_t *id, uint64_t hash, uint32_t *number)
{
	*number = pool_take(&s->traces);
	struct trace *t = trace_at(s, *number);
	memset(t, 0, s->traces.stride);
	memcpy(t->id, id, 16);
	t->start_ns = UINT64_MAX;
	if (table_add(&s->table, hash, *number))
		return true;
	pool_give(&s->traces, *number);
	return false;
}

void trace_remove(struct sampler *s, uint32_t number)
{
	struct trace *t = trace_at(s, number);
	if (t->th_flags & TRACE_SET) {
		s->set_bytes -= sizeof(struct span_set) + (uint64_t)t->seen.set->cap * 4;
		free(t->seen.set);
	}
	for (uint32_t i = t->newest; i != 0;) {
		uint32_t next = span_at(s, i - 1)->next;
		pool_give(&s->spans, i - 1);
		i = next;
	}
	s->bytes -= trace_bytes(t);
	table_remove(&s->table, sampler_hash(s, t->id), number);
	pool_give(&s->traces, number);
}

/* ---- lists ---- */

void trace_enlist(struct sampler *s, uint32_t number, enum trace_list list)
{
	struct trace *t = trace_at(s, number);
	struct fifo *l = &s->lists[list];
	t->rv_list = (t->rv_list & ~(uint64_t)15) | list;
	t->prev = l->tail;
	t->next = 0;
	if (l->tail == 0) {
		l->head = number + 1;
	} else {
		struct trace *last = trace_at(s, l->tail - 1);
		last->next = number + 1;
		/* Clocks are set back: the list stays in order, and waits a little longer. */
		if ((int32_t)(t->due_ms - last->due_ms) < 0)
			t->due_ms = last->due_ms;
	}
	l->tail = number + 1;
}

void trace_unlist(struct sampler *s, uint32_t number)
{
	struct trace *t = trace_at(s, number);
	struct fifo *l = &s->lists[trace_list(t)];
	if (trace_list(t) == LIST_NONE)
		return;
	if (t->prev != 0)
		trace_at(s, t->prev - 1)->next = t->next;
	else
		l->head = t->next;
	if (t->next != 0)
		trace_at(s, t->next - 1)->prev = t->prev;
	else
		l->tail = t->prev;
	t->rv_list &= ~(uint64_t)15;
}

/* ---- spans that come twice ---- */

static void set_put(const struct sampler *s, struct span_set *set, uint32_t span)
{
	uint32_t mask = set->cap - 1;
	uint32_t at = (uint32_t)(span_identity(span_at(s, span)) >> 24) & mask;
	while (set->slots[at] != 0)
		at = (at + 1) & mask;
	set->slots[at] = span + 1;
}

/* Without memory the trace keeps its filter, or a set that is too full to grow: slower, not wrong.
 */
static void set_grow_to(struct sampler *s, struct trace *t, uint32_t cap)
{
	struct span_set *set = calloc(1, sizeof(*set) + (size_t)cap * 4);
	if (set == NULL)
		return;
	set->cap = cap;
	for (uint32_t i = t->newest; i != 0; i = span_at(s, i - 1)->next)
		if (!(span_at(s, i - 1)->at & SPAN_DUPLICATE))
			set_put(s, set, i - 1);
	s->set_bytes += sizeof(*set) + (uint64_t)cap * 4;
	if (t->th_flags & TRACE_SET) {
		s->set_bytes -= sizeof(*set) + (uint64_t)t->seen.set->cap * 4;
		free(t->seen.set);
	}
	t->seen.set = set;
	t->th_flags |= TRACE_SET;
}

static bool chain_has(const struct sampler *s, const struct trace *t, uint64_t identity)
{
	for (uint32_t i = t->newest; i != 0; i = span_at(s, i - 1)->next)
		if (span_identity(span_at(s, i - 1)) == identity)
			return true;
	return false;
}

static bool set_has(const struct sampler *s, const struct span_set *set, uint64_t identity)
{
	uint32_t mask = set->cap - 1;
	for (uint32_t at = (uint32_t)(identity >> 24) & mask; set->slots[at] != 0;
	     at = (at + 1) & mask)
		if (span_identity(span_at(s, set->slots[at] - 1)) == identity)
			return true;
	return false;
}

/* Without memory for a set the trace keeps its filter. */
static bool set_takes(struct sampler *s, struct trace *t, uint32_t span, uint64_t identity)
{
	if (set_has(s, t->seen.set, identity))
		return false;
	if (t->spans >= t->seen.set->cap / 4 * 3)
		set_grow_to(s, t, 2 * t->seen.set->cap);
	if (t->spans + 1 < t->seen.set->cap)
		set_put(s, t->seen.set, span);
	return true;
}

bool trace_takes_unsure(struct sampler *s, struct trace *t, uint32_t span, uint64_t identity)
{
	if (t->th_flags & TRACE_SET)
		return set_takes(s, t, span, identity);
	uint64_t bits = filter_bits(identity);
	if ((t->seen.filter & bits) == bits && chain_has(s, t, identity))
		return false;
	t->seen.filter |= bits;
	if (t->spans >= FILTER_SPANS) {
		uint32_t cap = SET_LEAST;
		while (t->spans >= cap / 4 * 3)
			cap *= 2;
		set_grow_to(s, t, cap);
		if (t->th_flags & TRACE_SET)
			set_put(s, t->seen.set, span);
	}
	return true;
}

/* ---- facts ---- */

/* Ascending, 0s at the end; the same whatever the order they come in. */
static void add_value(uint32_t values[KEY_VALUES], uint32_t v)
{
	/* Without a branch: where it stands is anyone's guess. */
	bool is_known = (v == 0) | (values[0] == v) | (values[1] == v) | (values[2] == v) |
			(values[3] == v) | (values[4] == v) | (values[5] == v);
	int at = 0;
	if (is_known)
		return;
	while (at < KEY_VALUES && values[at] != 0 && values[at] < v)
		at++;
	if (at == KEY_VALUES)
		return;
	memmove(values + at + 1, values + at, (size_t)(KEY_VALUES - 1 - at) * sizeof(*values));
	values[at] = v;
}

static void learn_times(struct trace *t, const struct notice *n)
{
	uint64_t end = n->end_ns > n->start_ns ? n->end_ns : n->start_ns;
	if (n->flags & NOTICE_ROOT) {
		t->start_ns = end - n->start_ns;
		t->th_flags |= TRACE_ROOT;
		return;
	}
	/* A start of 0 is none. */
	if (n->start_ns != 0 && n->start_ns < t->start_ns)
		t->start_ns = n->start_ns;
	if (n->end_ns > t->end_ns)
		t->end_ns = n->end_ns;
}

static void learn_randomness(struct sampler *s, struct trace *t, const struct notice *n)
{
	bool of_root = n->flags & NOTICE_ROOT && !(t->th_flags & TRACE_ROOT_RV);
	bool is_new = !(t->th_flags & TRACE_RV);
	if (!is_new && t->rv_list >> 8 != n->rv)
		s->report.disagreements++;
	if (is_new || of_root)
		t->rv_list = n->rv << 8 | (t->rv_list & 255);
	t->th_flags |= TRACE_RV | (of_root ? TRACE_ROOT_RV : 0);
}

bool trace_learn(struct sampler *s, struct trace *t, const struct notice *n)
{
	const struct policy *p = s->policy;
	uint32_t n_words = p->n_words, n_fields = p->n_fields;
	uint64_t news = 0;
	for (uint32_t i = 0; i < n_words; i++) {
		uint64_t *bits = i < TRACE_WORDS ? &t->bits[i] : &t->more[i - TRACE_WORDS];
		uint64_t was = *bits, is = was | n->more[i];
		news |= was ^ is;
		*bits = is;
	}
	const uint32_t *keys = (const uint32_t *)&n->more[n_words];
	uint32_t *values = trace_keys(s, t, 0);
	for (uint32_t i = 0; i < n_fields; i++, values += KEY_VALUES)
		add_value(values, keys[i]);
	if (n->flags & NOTICE_TH) {
		uint64_t th = t->th_flags >> 8;
		th = n->th > th ? n->th : th;
		t->th_flags = th << 8 | (t->th_flags & 255) | TRACE_TH;
	}
	if (n->flags & NOTICE_RV)
		learn_randomness(s, t, n);
	if (!(t->th_flags & TRACE_ROOT))
		learn_times(t, n);
	s->report.skewed += n->end_ns < n->start_ns;
	uint64_t before = trace_bytes(t), bytes = before + n->bytes, errors;
	bytes = bytes < MASK_40 ? bytes : MASK_40;
	errors = (t->bytes_errors & MASK_24) + ((n->flags & NOTICE_ERROR) != 0);
	errors = errors < MASK_24 ? errors : MASK_24;
	t->bytes_errors = bytes << 24 | errors;
	s->bytes += bytes - before;
	t->spans++;
	return news != 0;
}

void trace_facts(const struct sampler *s, const struct trace *t, struct trace_facts *out)
{
	*out = (struct trace_facts){.bytes = trace_bytes(t),
				    .spans = t->spans,
				    .errors = (uint32_t)(t->bytes_errors & MASK_24),
				    .has_root = t->th_flags & TRACE_ROOT};
	memcpy(out->bits, t->bits, sizeof(t->bits));
	memcpy(out->bits + TRACE_WORDS, t->more, s->more_words * sizeof(uint64_t));
	if (out->has_root)
		out->duration_ns = t->start_ns;
	else if (t->end_ns > t->start_ns)
		out->duration_ns = t->end_ns - t->start_ns;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/scan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/class.h"
#include "redaction/scan_state.h"
#include "wire/utf8.h"

/* What a request may cost: of reports that a request of many small values or few large ones has,
 * far more than any that is not made to be slow; so time stays near that of clean text. */
enum { REPORTS = 8192, REPORTS_PER = 128 };
/* What a value may: a JSON text with a name of a secret on each line asks for a call each 20 bytes,
 * and is left alone (tests/unit/test_scan_long.c). */
enum { CALLS = 256, CALLS_PER = 16, READS = 128 << 10, READS_PER = 32 };

bool scan_grow(struct scanner *s, void *all, uint32_t n, uint32_t *room, size_t size)
{
	void *was, *now;
	if (n < *room)
		return true;
	uint32_t more = *room == 0 ? 64 : *room * 2;
	memcpy(&was, all, sizeof(was));
	now = reallocarray(was, more, size);
	if (now == NULL) {
		s->no_memory = true;
		return false;
	}
	memcpy(all, &now, sizeof(now));
	*room = more;
	return true;
}

struct scanner *scanner_create(void)
{
	struct scanner *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->matcher = matcher_create();
	if (s->matcher == NULL || siphash_key_init(&s->hash_key) != 0) {
		scanner_destroy(s);
		return NULL;
	}
	return s;
}

/* What belongs to one rule set. */
static void leave_set(struct scanner *s)
{
	key_cache_finish(s);
	free(s->last_job);
	free(s->gaps);
	free(s->cut);
	free(s->rules);
	free(s->globs_hit);
	s->last_job = s->cut = NULL;
	s->gaps = NULL;
	s->rules = NULL;
	s->globs_hit = NULL;
	s->set = NULL;
}

void scanner_destroy(struct scanner *s)
{
	if (s == NULL)
		return;
	leave_set(s);
	matcher_destroy(s->matcher);
	hs_free_scratch(s->scratch);
	free(s->jobs);
	free(s->anchors);
	free(s->hits);
	free(s);
}

static int enter_set(struct scanner *s, const struct ruleset *set)
{
	leave_set(s);
	s->last_job = calloc(set->n_probes + 1, sizeof(*s->last_job));
	s->gaps = calloc(2 * (size_t)set->n_probes + 1, sizeof(*s->gaps));
	s->cut = calloc(set->n_probes + 1, sizeof(*s->cut));
	s->rules = calloc(set->n + 1, sizeof(*s->rules));
	s->globs_hit = calloc(set->n_globs + 1, 1);
	if (s->last_job == NULL || s->gaps == NULL || s->cut == NULL || s->rules == NULL ||
	    s->globs_hit == NULL)
		return fail(-ENOMEM, "scanner: no memory");
	if ((set->text != NULL && hs_alloc_scratch(set->text, &s->scratch) != HS_SUCCESS) ||
	    (set->keys != NULL && hs_alloc_scratch(set->keys, &s->scratch) != HS_SUCCESS))
		return fail(-ENOMEM, "scanner: no memory");
	s->identity = set->identity;
	s->set = set;
	return 0;
}

int scanner_begin(struct scanner *s, const struct ruleset *set)
{
	bool same = s->set == set && s->identity.k0 == set->identity.k0 &&
		    s->identity.k1 == set->identity.k1;
	int rc = same ? 0 : enter_set(s, set);
	if (rc == 0)
		rc = key_cache_begin(s);
	if (rc != 0)
		leave_set(s);
	return rc;
}

/* ---- what the automaton and the classes say ---- */

static bool is_looked_through(const struct scan_value *v)
{
	const struct key_verdict *k = v->key;
	return v->len <= SCAN_MAX_VALUE &&
	       (k == NULL || !(k->ignored || k->blocked || k->unlisted));
}

/* The value in which byte `at` is, from the cursor on; n_values: none. Reports come in order, all
 * but. */
static uint32_t find_value(struct scanner *s, uint64_t at)
{
	const struct scan_value *v = s->values;
	uint32_t low = s->cursor, high = s->n_values;
	if (low < high && at < v[low].at) {
		s->unordered = true;
		low = 0;
	}
	for (uint32_t step = 1; low + step < s->n_values; step *= 2)
		if (v[low + step].at > at) {
			high = low + step;
			break;
		}
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		if (v[mid].at <= at)
			low = mid;
		else
			high = mid;
	}
	if (low >= s->n_values || at < v[low].at || at - v[low].at >= v[low].len)
		return s->n_values;
	s->cursor = low;
	return low;
}

/* Behind the first part. Where an earlier walk stayed in the part that this one is in, they go on
 * alike. */
static uint32_t gate_walk(const struct passage *g, struct gap *gap, struct slice text, uint32_t at,
			  uint32_t last)
{
	uint32_t end = (uint32_t)text.len, i = at, since = at, least = 1;
	for (; i < last; i++) {
		uint32_t parts = g->bytes[text.data[i]];
		if ((parts & PASSAGE_STOP) != 0)
			return i;
		parts &= ~(least - 1);
		if (parts == 0)
			break;
		if ((parts & -parts) != least)
			since = i;
		least = parts & -parts;
		if (least == gap->stay && i >= gap->stay_from && i < gap->stay_to) {
			since = gap->stay_from;
			i = gap->stay_to - 1;
		}
	}
	gap->stay_from = since;
	gap->stay_to = i;
	gap->stay = least;
	return end;
}

/* Where a byte that stops the gate is, or the end of the text. A part may be left for any later one
 * and never come again: so of the parts a byte may be in, the first is all that counts. What an
 * earlier report has walked over is not looked at again: words that repeat would cost the span each
 * time. */
static uint32_t gate_stop(const struct passage *g, struct gap *gap, struct slice text, uint32_t at)
{
	uint32_t end = (uint32_t)text.len, last = end - at > g->span + 1 ? at + g->span + 1 : end;
	uint32_t i = at;
	if (gap->from <= at && at < gap->to)
		i = gap->to;
	else
		gap->from = at;
	while (i < last && (g->bytes[text.data[i]] & (PASSAGE_STOP | 1)) == 1)
		i++;
	gap->to = i;
	return i < last ? gate_walk(g, gap, text, i, last) : end;
}

/* Ends this run of the automaton, which goes on behind the value. */
static int give_up(struct scanner *s, uint32_t value)
{
	if (scan_grow(s, &s->jobs, s->n_jobs, &s->room_jobs, sizeof(*s->jobs)))
		s->jobs[s->n_jobs++] = (struct job){.value = value, .probe = JOB_GAVE_UP};
	return 1;
}

/* 1: the automaton is to end. */
static int add_report(struct scanner *s, uint32_t probe, uint32_t end)
{
	const struct probe *p = &s->set->probes[probe];
	uint32_t stop = end - 1, value;
	if (p->gate != NULL)
		stop = gate_stop(p->gate, &s->gaps[probe], s->text, end);
	if (stop == s->text.len)
		return 0; /* most end here: values are searched for the others only */
	value = find_value(s, end - 1);
	if (value == s->n_values || !is_looked_through(&s->values[value]) ||
	    stop - s->values[value].at >= s->values[value].len)
		return 0;
	if (--s->credit < 0)
		return give_up(s, value);
	if (s->last_job[probe] != 0) {
		struct job *last = &s->jobs[s->last_job[probe] - 1];
		if (last->value == value && p->cut == 0 && end >= last->last &&
		    end - last->last <= p->reach) {
			last->last = end;
			return 0;
		}
	}
	if (!scan_grow(s, &s->jobs, s->n_jobs, &s->room_jobs, sizeof(*s->jobs)))
		return 1;
	s->jobs[s->n_jobs++] = (struct job){value, probe, end, end};
	s->last_job[probe] = s->n_jobs;
	return 0;
}

static int on_report(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		     void *user)
{
	struct scanner *s = user;
	const struct expression *x = &s->set->expressions[id];
	uint32_t end = s->base + (uint32_t)to, probe = x->probe, next;
	int rc;
	(void)from;
	(void)flags;
	if (x->gate != NULL &&
	    gate_stop(x->gate, &s->gaps[s->set->n_probes + id], s->text, end) == s->text.len)
		return 0;
	do {
		next = s->set->probes[probe].same;
		rc = add_report(s, probe, end);
		probe = next - 1;
	} while (rc == 0 && next != 0);
	return rc;
}

static void on_anchor(void *user, enum rule_class class, size_t at)
{
	struct scanner *s = user;
	uint32_t value = find_value(s, at);
	if (value == s->n_values || !is_looked_through(&s->values[value]) ||
	    !scan_grow(s, &s->anchors, s->n_anchors, &s->room_anchors, sizeof(*s->anchors)))
		return;
	s->anchors[s->n_anchors++] = (struct anchor){value, (uint32_t)at, class};
}

static int by_job(const void *a, const void *b)
{
	const struct job *x = a, *y = b;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	if (x->probe != y->probe)
		return x->probe < y->probe ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

static hs_error_t scan_part(struct scanner *s, uint32_t at, uint32_t len)
{
	s->base = at;
	return hs_scan(s->set->text, (const char *)s->text.data + at, len, 0, s->scratch, on_report,
		       s);
}

/* What is behind the value that used up the credit: value by value, each up to where it gives up
 * too. In one piece it would be read again and again. */
static hs_error_t scan_rest(struct scanner *s)
{
	hs_error_t rc = HS_SUCCESS;
	uint32_t i = s->n_jobs != 0 ? s->jobs[s->n_jobs - 1].value + 1 : 0;
	for (; i < s->n_values && (rc == HS_SUCCESS || rc == HS_SCAN_TERMINATED) && !s->no_memory;
	     i++)
		if (is_looked_through(&s->values[i]))
			rc = scan_part(s, s->values[i].at, s->values[i].len);
	return rc == HS_SCAN_TERMINATED ? HS_SUCCESS : rc;
}

/* False: the engine failed. */
static bool run_automaton(struct scanner *s)
{
	const struct ruleset *set = s->set;
	s->cursor = 0;
	s->unordered = false;
	s->credit = REPORTS + (int64_t)s->text.len / REPORTS_PER;
	if (set->text == NULL || s->text.len == 0)
		return true;
	memset(s->last_job, 0, set->n_probes * sizeof(*s->last_job));
	memset(s->gaps, 0, 2 * (size_t)set->n_probes * sizeof(*s->gaps));
	memset(s->cut, 0, set->n_probes * sizeof(*s->cut));
	hs_error_t rc = scan_part(s, 0, (uint32_t)s->text.len);
	if (rc == HS_SCAN_TERMINATED)
		rc = scan_rest(s);
	if (s->unordered && s->n_jobs > 1)
		qsort(s->jobs, s->n_jobs, sizeof(*s->jobs), by_job);
	return rc == HS_SUCCESS;
}

static void run_classes(struct scanner *s)
{
	s->cursor = 0;
	class_scan(s->text, s->set->classes, on_anchor, s); /* in order */
}

/* ---- value by value ---- */

static int by_start(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return (int)x->number - (int)y->number;
}

/* Whether a range would part the bytes of a character, were the value UTF-8. */
static bool is_inside_character(struct slice v, size_t at)
{
	return at > 0 && at < v.len && (v.data[at] & 0xc0) == 0x80;
}

static void widen_hits(struct slice v, struct hit *hits, uint32_t n)
{
	bool parts = false;
	for (uint32_t i = 0; i < n && !parts; i++)
		parts =
		    is_inside_character(v, hits[i].start) || is_inside_character(v, hits[i].end);
	if (!parts || !utf8_is_valid(v))
		return;
	for (uint32_t i = 0; i < n; i++) {
		while (is_inside_character(v, hits[i].start))
			hits[i].start--;
		while (is_inside_character(v, hits[i].end))
			hits[i].end++;
	}
}

/* Its hits in order, each once, between characters. */
static void settle_hits(struct scanner *s, const struct look *l)
{
	struct hit *hits = s->hits + l->first;
	uint32_t n = s->n_hits - l->first, kept = 0;
	widen_hits(l->bytes, hits, n);
	if (n > 1)
		qsort(hits, n, sizeof(*hits), by_start);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || by_start(&hits[kept - 1], &hits[i]) != 0)
			hits[kept++] = hits[i];
	s->n_hits = l->first + kept;
}

static void add_whole(struct scanner *s, const struct look *l, uint32_t number)
{
	s->n_hits = l->first;
	if (l->bytes.len == 0 ||
	    !scan_grow(s, &s->hits, s->n_hits, &s->room_hits, sizeof(*s->hits)))
		return;
	s->hits[s->n_hits++] = (struct hit){l->number, 0, (uint32_t)l->bytes.len, (uint16_t)number};
}

/* What is masked as a whole, without a look: an extra, or EXTRAS. */
static enum ruleset_extra whole_of(const struct scan_value *v)
{
	const struct key_verdict *k = v->key;
	if (k != NULL && k->ignored)
		return EXTRAS;
	if (k != NULL && k->blocked)
		return EXTRA_KEY_BLOCKED;
	if (k != NULL && k->unlisted)
		return EXTRA_KEY_UNLISTED;
	return v->len > SCAN_MAX_VALUE ? EXTRA_TOO_LONG : EXTRAS;
}

struct cursors {
	uint32_t job, anchor;
};

static void look_through(struct scanner *s, uint32_t number, struct cursors *at)
{
	const struct scan_value *v = &s->values[number];
	struct look l = {
	    .number = number,
	    .bytes = slice_of(s->text.data + v->at, v->len),
	    .effort = {CALLS + v->len / CALLS_PER, READS + (int64_t)READS_PER * v->len},
	    .tail = -1,
	    .first = s->n_hits,
	};
	enum ruleset_extra whole = whole_of(v);
	if (whole != EXTRAS)
		add_whole(s, &l, s->set->n + whole);
	for (; at->job < s->n_jobs && s->jobs[at->job].value == number; at->job++)
		if (l.extra == 0)
			look_job(s, &l, &s->jobs[at->job]);
	for (; at->anchor < s->n_anchors && s->anchors[at->anchor].value == number; at->anchor++)
		if (l.extra == 0)
			look_anchor(s, &l, &s->anchors[at->anchor]);
	if (whole != EXTRAS || (v->key != NULL && v->key->ignored))
		return;
	for (uint32_t i = 0; v->key != NULL && i < v->key->n && l.extra == 0; i++)
		look_keyed(s, &l, v->key->rules[i]);
	if (l.extra == 0 && s->n_hits != l.first)
		look_copies(s, &l);
	if (l.extra != 0)
		add_whole(s, &l, l.extra);
	else if (s->n_hits != l.first)
		settle_hits(s, &l);
}

static bool is_plain(const struct scan_value *v)
{
	const struct key_verdict *k = v->key;
	return v->len <= SCAN_MAX_VALUE &&
	       (k == NULL || (k->n == 0 && !k->blocked && !k->unlisted));
}

static void fail_closed(struct scanner *s, enum ruleset_extra why)
{
	s->n_hits = 0;
	for (uint32_t i = 0; i < s->n_values && !s->no_memory; i++) {
		const struct scan_value *v = &s->values[i];
		struct look l = {.number = i, .bytes = slice_of(NULL, v->len), .first = s->n_hits};
		if (v->key == NULL || !v->key->ignored)
			add_whole(s, &l, s->set->n + why);
	}
}

int scan(struct scanner *s, struct slice text, const struct scan_value *values, uint32_t n,
	 const struct hit **hits, uint32_t *n_hits)
{
	struct cursors at = {0, 0};
	s->text = text;
	s->values = values;
	s->n_values = n;
	s->n_jobs = s->n_anchors = s->n_hits = 0;
	s->no_memory = false;
	memset(s->rules, 0, s->set->n * sizeof(*s->rules));
	if (text.len > UINT32_MAX || !run_automaton(s)) {
		fail_closed(s, EXTRA_ENGINE);
	} else {
		run_classes(s);
		for (uint32_t i = 0; i < n && !s->no_memory; i++) {
			bool quiet =
			    (at.job == s->n_jobs || s->jobs[at.job].value != i) &&
			    (at.anchor == s->n_anchors || s->anchors[at.anchor].value != i);
			if (!quiet || !is_plain(&values[i]))
				look_through(s, i, &at);
		}
	}
	*hits = s->hits;
	*n_hits = s->n_hits;
	return s->no_memory ? fail(-ENOMEM, "scanner: no memory") : 0;
}

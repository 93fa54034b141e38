/* SPDX-License-Identifier: Apache-2.0
 * What was decided. Whole chapters are forgotten, the oldest first: so what is remembered after a
 * start is what was remembered before it, to the trace. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/sampler_state.h"

enum {
	EXPIRE_AT_ONCE = 65536, /* records: each may be a miss of the cache */
	AT_ONCE = 16
};

bool records_init(struct records *r)
{
	pool_init(&r->kept, sizeof(struct kept));
	pool_init(&r->dropped, sizeof(struct dropped));
	bool kept = table_init(&r->kept_table), dropped = table_init(&r->dropped_table);
	return kept && dropped;
}

void records_finish(struct records *r)
{
	table_finish(&r->kept_table);
	table_finish(&r->dropped_table);
	pool_finish(&r->kept);
	pool_finish(&r->dropped);
	free(r->entries);
	*r = (struct records){0};
}

bool records_reserve(struct records *r, size_t decisions)
{
	if (r->first != 0 && r->first + r->n == r->room) {
		memmove(r->entries, r->entries + r->first, r->n * sizeof(*r->entries));
		r->first = 0;
	}
	return sampler_room(&r->entries, &r->room, r->first + r->n + 1, sizeof(*r->entries)) &&
	       pool_reserve(&r->kept, decisions) && pool_reserve(&r->dropped, decisions);
}

bool records_promise(struct records *r, uint64_t hash)
{
	return table_promise(&r->kept_table, hash) && table_promise(&r->dropped_table, hash);
}

void records_begin(struct records *r, uint64_t number, uint64_t position, int64_t made_ms)
{
	r->entries[r->first + r->n++] =
	    (struct chapter_entry){.number = number, .position = position, .made_ms = made_ms};
}

void records_add(struct records *r, uint64_t hash, const struct decision *d, bool is_kept)
{
	struct chapter_entry *e = &r->entries[r->first + r->n - 1];
	uint32_t chapter = (r->first_seq + (uint32_t)r->n - 1) & ((1u << CHAPTER_BITS) - 1);
	if (is_kept) {
		uint32_t i = pool_take(&r->kept);
		*kept_at(r, i) = (struct kept){.next = e->kept, .chapter = chapter, .decision = *d};
		(void)table_add(&r->kept_table, hash, i);
		e->kept = i + 1;
		e->n_kept++;
		return;
	}
	uint32_t i = pool_take(&r->dropped);
	*dropped_at(r, i) = (struct dropped){.next = e->dropped,
					     .chapter = chapter & ((1u << CHAPTER_BITS) - 1),
					     .verdict = d->verdict & 15u,
					     .hash = hash};
	(void)table_add(&r->dropped_table, hash, i);
	e->dropped = i + 1;
	e->n_dropped++;
}

void records_end(struct records *r)
{
	const struct chapter_entry *e = &r->entries[r->first + r->n - 1];
	r->n -= e->n_kept + e->n_dropped == 0;
	table_settle(&r->kept_table);
	table_settle(&r->dropped_table);
}

bool records_find_kept(const struct records *r, const uint8_t *id, uint64_t hash, uint32_t *number)
{
	struct table_walk w = table_walk(&r->kept_table, hash);
	while (table_next(&w, number))
		if (memcmp(kept_at(r, *number)->decision.trace_id, id, 16) == 0)
			return true;
	return false;
}

bool records_find_dropped(const struct records *r, uint64_t hash, uint32_t *number)
{
	struct table_walk w = table_walk(&r->dropped_table, hash);
	while (table_next(&w, number))
		if (dropped_at(r, *number)->hash == hash)
			return true;
	return false;
}

/* Some, so that what they take out of the table is fetched side by side; gives the next one. */
static uint32_t forget_dropped(struct records *r, uint32_t i)
{
	uint32_t some[AT_ONCE], n = 0;
	for (; i != 0 && n < AT_ONCE; i = dropped_at(r, i - 1)->next) {
		some[n++] = i - 1;
		table_prefetch(&r->dropped_table, dropped_at(r, i - 1)->hash);
	}
	for (uint32_t k = 0; k < n; k++) {
		table_remove(&r->dropped_table, dropped_at(r, some[k])->hash, some[k]);
		pool_give(&r->dropped, some[k]);
	}
	return i;
}

static void forget(struct sampler *s)
{
	struct records *r = &s->records;
	const struct chapter_entry *e = &r->entries[r->first];
	for (uint32_t i = e->kept; i != 0;) {
		struct kept *k = kept_at(r, i - 1);
		uint32_t next = k->next;
		table_remove(&r->kept_table, sampler_hash(s, k->decision.trace_id), i - 1);
		pool_give(&r->kept, i - 1);
		i = next;
	}
	for (uint32_t i = e->dropped; i != 0;)
		i = forget_dropped(r, i);
	r->first++;
	r->first_seq++;
	r->n--;
}

void records_expire(struct sampler *s, uint64_t first_held, uint64_t now_ms)
{
	struct records *r = &s->records;
	const struct policy *p = s->policy;
	for (uint32_t n = 0; n < EXPIRE_AT_ONCE && r->n != 0;) {
		const struct chapter_entry *e = &r->entries[r->first];
		bool is_old = (int64_t)now_ms - e->made_ms >= (int64_t)p->records_ms;
		bool is_over =
		    r->kept.used > p->kept_records || r->dropped.used > p->dropped_records;
		if (first_held <= e->position || !(is_old || is_over))
			break;
		n += e->n_kept + e->n_dropped;
		forget(s);
	}
	if (r->n == 0)
		r->first = 0;
}

/* ---- after a start ---- */

/* All or nothing of a chapter. */
static int remember(struct sampler *s, uint64_t number, const struct chapter *c, int64_t made_ms,
		    const uint16_t *rule_map, uint32_t n_map)
{
	struct records *r = &s->records;
	struct decision d;
	bool room = records_reserve(r, c->n);
	for (uint32_t i = 0; i < c->n && room; i++) {
		chapter_at(c, i, &d);
		room = records_promise(r, sampler_hash(s, d.trace_id));
	}
	if (!room) {
		table_settle(&r->kept_table);
		table_settle(&r->dropped_table);
		return fail(-ENOMEM, "sampler: no memory for earlier decisions");
	}
	records_begin(r, number, 0, made_ms);
	for (uint32_t i = 0; i < c->n; i++) {
		chapter_at(c, i, &d);
		if (rule_map != NULL)
			d.rule = d.rule < n_map ? rule_map[d.rule] : UINT16_MAX;
		if (d.rule >= s->policy->n_rules)
			d.rule = UINT16_MAX;
		records_add(r, sampler_hash(s, d.trace_id), &d,
			    d.verdict == VERDICT_KEPT || s->policy->dry_run);
	}
	records_end(r);
	return 0;
}

int sampler_remember(struct sampler *s, uint64_t number, struct slice chapter,
		     const uint16_t *rule_map, uint32_t n_map, struct sampler_now now)
{
	struct chapter c;
	if (chapter_read(&c, chapter) != 0)
		return DECISION_BAD;
	uint64_t age = now.unix_ms > c.unix_ms ? now.unix_ms - c.unix_ms : 0;
	int64_t most = INT64_MAX / 4; /* a clock that was never set */
	int64_t age_ms = age < (uint64_t)most ? (int64_t)age : most;
	return remember(s, number, &c, (int64_t)now.mono_ms - age_ms, rule_map, n_map);
}

void sampler_restore(struct sampler *s, uint64_t position, uint64_t grace_ms,
		     struct sampler_now now)
{
	s->restored = position;
	s->grace_ms = now.mono_ms + grace_ms;
	/* Where each chapter stood is not known any more; not after this. */
	for (size_t i = 0; i < s->records.n; i++)
		s->records.entries[s->records.first + i].position = position;
}

uint64_t sampler_reconcile(struct sampler *s, uint64_t pending)
{
	sampler_close_block(s);
	uint64_t known = s->spans.used + s->n_late;
	for (int v = 0; v < VERDICTS; v++)
		known += s->spans_done[v];
	uint64_t lost = pending > known ? pending - known : 0;
	s->spans_done[VERDICT_DAMAGED] += lost;
	return lost;
}

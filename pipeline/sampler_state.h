/* SPDX-License-Identifier: Apache-2.0
 * pipeline/sampler_state.h - what a sampler is made of. Its own files only.
 *
 * A trace is in the table, in the pool, and in one list by when it is due: as windows are fixed,
 * each list is in order by itself. Spans hang from their trace and count in their block. What was
 * decided is a record, in a table of its kind and with the chapter it was written in. */
#ifndef PIPELINE_SAMPLER_STATE_H
#define PIPELINE_SAMPLER_STATE_H

#include "pipeline/sampler.h"
#include "pipeline/sampler_pool.h"
#include "pipeline/sampler_table.h"

enum {
	KEY_VALUES = 6,    /* distinct ones of a field that go into a key: the smallest hashes */
	TRACE_WORDS = 2,   /* of predicates in every trace; more of them stand behind it */
	FILTER_SPANS = 16, /* traces with more distinct spans have a set of them */
	SET_LEAST = 32,
	DECISIONS_MOST = 32768, /* of one ruling: a chapter of 4 MB */
	STRESS_MS = 10000       /* of need before stress, and of calm after it */
};

/* ---- undecided ---- */

#define SPAN_DUPLICATE 0x80000000u
enum { SPAN_BITS = 18 }; /* of their pool */
/* Of its identity 48 bits are enough: it is compared within a trace. That leaves room for the first
 * predicates that it meets, so that who met a rule can be told (sampler_met.c). */
enum { MET_BITS = 24, MET_LOW = 8, MET_HIGH = MET_BITS - MET_LOW };
struct span_ref {
	uint32_t next;         /* 1 + the one that came before it; 0 ends */
	uint32_t block;        /* held.seq */
	uint32_t at;           /* its place in the block, and SPAN_DUPLICATE */
	uint32_t bytes_met;    /* bytes, saturating << 8 | the first 8 of the predicates */
	uint64_t identity_met; /* 48 bits of its identity << 16 | the next 16 */
};
_Static_assert(sizeof(struct span_ref) == 24, "the price of a span");

static inline uint32_t span_bytes(const struct span_ref *ref)
{
	return ref->bytes_met >> MET_LOW;
}

static inline uint64_t span_identity(const struct span_ref *ref)
{
	return ref->identity_met >> MET_HIGH;
}

static inline uint32_t span_met(const struct span_ref *ref)
{
	return (ref->bytes_met & 0xff) | (uint32_t)(ref->identity_met & 0xffff) << MET_LOW;
}

/* Numbers of distinct spans of a large trace, by identity. */
struct span_set {
	uint32_t cap; /* a power of two, at most three quarters of it used */
	uint32_t slots[];
};

enum trace_list { LIST_NONE, LIST_READY, LIST_ROOT, LIST_WAIT, LISTS };
enum trace_flag {
	TRACE_ROOT = 1,
	TRACE_TH = 2,
	TRACE_RV = 4,
	TRACE_ROOT_RV = 8, /* which is the root's */
	TRACE_SET = 16     /* seen.set, not seen.filter */
};

#define MASK_56 (((uint64_t)1 << 56) - 1)
#define MASK_48 (((uint64_t)1 << 48) - 1)
#define MASK_40 (((uint64_t)1 << 40) - 1)
#define MASK_24 0xffffffu
/* Times are the low halves of milliseconds: nothing waits for 24 days. */
struct trace {
	uint8_t id[16];
	uint64_t bits[TRACE_WORDS];
	uint64_t start_ns, end_ns; /* least and largest; with a root start_ns is its duration */
	uint64_t th_flags;         /* the highest `th` << 8 | enum trace_flag */
	uint64_t rv_list;          /* rv << 8 | trigger << 4 | enum trace_list */
	uint64_t bytes_errors;     /* bytes << 24 | errors, both of distinct spans, saturating */
	uint32_t spans;            /* distinct ones */
	uint32_t newest;           /* 1 + its last span */
	uint32_t prev, next;       /* in its list; 1 + number */
	uint32_t first_ms;         /* wall clock, of the block of its first span */
	uint32_t due_ms;           /* monotonic */
	union {
		uint64_t filter; /* four bits for each distinct span */
		struct span_set *set;
	} seen;
	uint64_t more[]; /* predicates beyond 128, then KEY_VALUES uint32_t for each field */
};
_Static_assert(sizeof(struct trace) == 104, "with its slot, at most 120");

struct fifo {
	uint32_t head, tail; /* 1 + number */
};

struct held {
	uint64_t id, unix_ms, bytes;
	uint32_t spans, noticed, undecided;
};

/* ---- decided ---- */

/* In a pool each; `next` links those of a chapter, 1 + number. */
enum { CHAPTER_BITS = 28 };
struct dropped {
	uint32_t next;
	uint32_t chapter : CHAPTER_BITS, verdict : 4;
	uint64_t hash;
};
_Static_assert(sizeof(struct dropped) == 16, "there are a million of them");
struct kept {
	uint32_t next;
	uint32_t group; /* 1 + that of its late spans, in this ruling */
	uint32_t chapter;
	struct decision decision;
};
/* `position` is the last block that has spans which are done with because of this chapter: those of
 * its traces, or late ones. When all blocks up to it are given back, it may be forgotten. */
struct chapter_entry {
	uint64_t number, position;
	int64_t made_ms;        /* monotonic; below 0 for what is older than this start */
	uint32_t kept, dropped; /* first ones, 1 + number */
	uint32_t n_kept, n_dropped;
};
struct records {
	struct table kept_table, dropped_table;
	struct pool kept, dropped;
	struct chapter_entry *entries; /* oldest first, n from `first` on */
	size_t first, n, room;
	uint32_t first_seq; /* of the oldest, modulo 2^CHAPTER_BITS */
};

/* ---- a judgement ---- */

struct judgement {
	uint32_t trace;
	uint16_t rule, would;
	uint8_t trigger, verdict;
	bool erase_th, write_rv, protected;
	bool budgeted; /* it passed its rule and has to pass the budget */
	uint64_t randomness;
	uint64_t threshold;  /* of its rule, or from soft control on of both */
	uint64_t arrived;    /* the highest `th` it came with, if that is to be believed */
	double source;       /* the share that its source kept, or 1 */
	double own;          /* the share that its rule keeps, for the budget */
	uint32_t over_spans; /* what is beyond the limits of a trace, and is charged like */
	uint64_t over_bytes; /* late spans */
	uint64_t keys[4];    /* as in struct decision */
	struct budget_path path;
};

/* A late span of a kept trace. */
struct late {
	uint64_t block_id;
	uint32_t at, bytes;
	uint32_t record;
};
/* Those of one trace. */
struct late_group {
	uint64_t bytes;
	uint32_t record, spans;
	uint32_t place; /* in the late decisions; UINT32_MAX: they may not pass */
};

/* Where a notice belongs, found before anything is changed. */
enum place_kind { PLACE_TRACE, PLACE_KEPT, PLACE_DROPPED, PLACE_DONE };
struct place {
	struct trace *trace; /* of PLACE_TRACE; before that, the one it may be, or NULL */
	uint32_t number;
	enum place_kind kind;
};

struct sampler {
	const struct policy *policy;
	struct budget *budget;
	struct siphash_key key;

	struct pool traces, spans;
	struct table table;
	struct fifo lists[LISTS];
	uint32_t more_words, key_at; /* of trace.more */
	uint32_t trace_cost;
	uint64_t bytes, set_bytes; /* undecided */
	bool may_be_certain;       /* there is a rule whose outcome can be known early, */
	bool by_counts;            /* and a condition that more spans alone can settle */
	uint32_t wait_ms, root_wait_ms;
	uint32_t trace_spans; /* limits of the policy, none: the most there is */
	uint64_t trace_bytes, memory_limit, pending_limit;

	struct held *blocks; /* a ring by seq, a power of two */
	uint32_t first_seq, n_blocks, room_blocks;
	uint64_t pending_bytes; /* of blocks from first_seq on */
	uint64_t newest_id;     /* of all that were noticed; 0: none */
	bool open;              /* the newest block may have notices to come */

	struct records records;
	uint64_t restored; /* position; before it, what has a record is done */
	uint64_t grace_ms; /* monotonic: nothing is due before */

	struct place *places; /* of the notices at hand */
	uint64_t *hashes;
	size_t room_places, room_hashes;

	struct late *late;
	struct late_group *groups;
	size_t n_late, room_late, n_groups, room_groups;
	uint64_t spans_done[VERDICTS], bytes_done[VERDICTS]; /* since the last ruling */

	struct judgement *chosen; /* decided without a budget, in this call */
	struct judgement *waiting;
	struct budget_candidate *candidates;
	size_t n_chosen, n_waiting, room_chosen, room_waiting, room_candidates;

	/* The last ruling's. */
	struct pick *picks; /* in the first half of their room; the rest is for sorting them */
	struct decision *decisions, *late_decisions;
	size_t n_picks, room_picks, n_decisions, room_decisions, n_late_decisions,
	    room_late_decisions;
	uint64_t first_held; /* as last told */
	struct pick *sample;
	struct sampled *sampled;
	size_t n_sample, room_sample, n_sampled, room_sampled;
	uint64_t sample_below; /* of a trace's hash */
	struct siphash_key sample_key;
	bool sample_failed;
	struct met_by *met;
	struct pick *witnesses; /* as picks */
	size_t n_met, room_met, n_witnesses, room_witnesses;

	uint64_t now_ms;                                /* of the last call that had it */
	uint64_t need_since_ms, need_ms, calm_since_ms; /* 0: not */
	bool stressed;

	struct sampler_report report;
};

/* Room for n of `size` bytes in *all. false: no memory. */
bool sampler_room(void *all, size_t *room, size_t n, size_t size);

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;
	return (uint64_t)(p >> 64) ^ (uint64_t)p;
}

/* Two multiplications by secret numbers: who does not know them cannot fill one part. */
static inline uint64_t sampler_hash(const struct sampler *s, const uint8_t *trace_id)
{
	uint64_t a, b;
	memcpy(&a, trace_id, 8);
	memcpy(&b, trace_id + 8, 8);
	return hash_fold(hash_fold(a ^ s->key.k0, b ^ s->key.k1) ^ s->key.k0, s->key.k1 | 1);
}

/* ---- sampler_trace.c: the trace table ---- */

bool trace_find(const struct sampler *s, const uint8_t *id, uint64_t hash, uint32_t *number);
/* Adds one without spans, in no list; there must be room in the pool. false: no memory. */
bool trace_add(struct sampler *s, const uint8_t *id, uint64_t hash, uint32_t *number);
void trace_remove(struct sampler *s, uint32_t number); /* with its spans; in no list any more */
void trace_enlist(struct sampler *s, uint32_t number, enum trace_list list);
void trace_unlist(struct sampler *s, uint32_t number);
/* trace_takes(), where it has to look at the other spans or may have to make a set of them. */
bool trace_takes_unsure(struct sampler *s, struct trace *t, uint32_t span, uint64_t identity);
void trace_facts(const struct sampler *s, const struct trace *t, struct trace_facts *out);
/* Whether it meets predicates that the trace did not. */
bool trace_learn(struct sampler *s, struct trace *t, const struct notice *n);

static inline struct trace *trace_at(const struct sampler *s, uint32_t number)
{
	return pool_at(&s->traces, number);
}

static inline void trace_prefetch(const struct trace *t)
{
	fetch_all(t, sizeof(*t));
}

static inline uint64_t filter_bits(uint64_t identity)
{
	return (uint64_t)1 << (identity & 63) | (uint64_t)1 << (identity >> 6 & 63) |
	       (uint64_t)1 << (identity >> 12 & 63) | (uint64_t)1 << (identity >> 18 & 63);
}

/* Whether it has to be compared with the others one by one. */
static inline bool trace_may_have(const struct trace *t, uint64_t identity)
{
	uint64_t bits = filter_bits(identity);
	return !(t->th_flags & TRACE_SET) && (t->seen.filter & bits) == bits;
}

/* Remembers a span of that identity, which is not yet linked. false: the trace has one. */
static inline bool trace_takes(struct sampler *s, struct trace *t, uint32_t span, uint64_t identity)
{
	uint64_t bits = filter_bits(identity), filter = t->seen.filter;
	if (t->th_flags & TRACE_SET || t->spans >= FILTER_SPANS || (filter & bits) == bits)
		return trace_takes_unsure(s, t, span, identity);
	t->seen.filter = filter | bits;
	return true;
}

/* As pool_at(), of numbers that the compiler knows: it is done for each span a dozen times. */
static inline struct span_ref *span_at(const struct sampler *s, uint32_t number)
{
	struct span_ref *block = (struct span_ref *)(void *)s->spans.blocks[number >> SPAN_BITS];
	return &block[number & ((1u << SPAN_BITS) - 1)];
}

/* Spans of a trace lie anywhere in memory, each known by the one after it: a row of misses. A chase
 * fetches those of many traces, and what is told of their blocks, side by side: a span of each a
 * step. */
struct chase {
	uint32_t at[32]; /* 1 + number; fetched */
	uint32_t n;
};

static inline struct held *block_at(const struct sampler *s, uint32_t seq)
{
	return &s->blocks[seq & (s->room_blocks - 1)];
}

static inline void chase_begin(const struct sampler *s, struct chase *c, uint32_t span)
{
	if (span == 0 || c->n == sizeof(c->at) / sizeof(c->at[0]))
		return;
	c->at[c->n++] = span;
	fetch_all(span_at(s, span - 1), sizeof(struct span_ref));
}

static inline void chase_step(const struct sampler *s, struct chase *c)
{
	uint32_t n = c->n;
	c->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct span_ref *ref = span_at(s, c->at[i] - 1);
		fetch_line(block_at(s, ref->block));
		chase_begin(s, c, ref->next);
	}
}

static inline enum trace_list trace_list(const struct trace *t)
{
	return (enum trace_list)(t->rv_list & 15);
}

static inline uint8_t trace_trigger(const struct trace *t)
{
	return (uint8_t)(t->rv_list >> 4 & 15);
}

static inline uint64_t trace_bytes(const struct trace *t)
{
	return t->bytes_errors >> 24;
}

static inline uint32_t *trace_keys(const struct sampler *s, const struct trace *t, uint32_t field)
{
	return (uint32_t *)(uintptr_t)&t->more[s->key_at] + (size_t)field * KEY_VALUES;
}

static inline bool is_due(uint32_t due_ms, uint64_t now_ms)
{
	return (int32_t)(due_ms - (uint32_t)now_ms) <= 0;
}

/* The time whose low half is `low`, near `now`. */
static inline uint64_t near(uint32_t low, uint64_t now)
{
	return now + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)now);
}

/* ---- sampler_records.c: what was decided ---- */

bool records_init(struct records *r);
void records_finish(struct records *r);
bool records_reserve(struct records *r, size_t decisions); /* and a chapter for them */
bool records_promise(struct records *r, uint64_t hash);    /* for one that is kept or dropped */
void records_begin(struct records *r, uint64_t number, uint64_t position, int64_t made_ms);
void records_add(struct records *r, uint64_t hash, const struct decision *d, bool is_kept);
void records_end(struct records *r); /* an empty chapter is none */
bool records_find_kept(const struct records *r, const uint8_t *id, uint64_t hash, uint32_t *number);
bool records_find_dropped(const struct records *r, uint64_t hash, uint32_t *number);
/* Forgets the oldest chapters as the policy wants, where no block up to theirs is held. */
void records_expire(struct sampler *s, uint64_t first_held, uint64_t now_ms);

/* `block` has a late span of that chapter's. */
static inline void records_hold(struct records *r, uint32_t chapter, uint64_t block)
{
	uint32_t i = (chapter - r->first_seq) & ((1u << CHAPTER_BITS) - 1);
	if (r->entries[r->first + i].position < block)
		r->entries[r->first + i].position = block;
}

static inline uint64_t records_chapter(const struct records *r, uint32_t chapter)
{
	uint32_t i = (chapter - r->first_seq) & ((1u << CHAPTER_BITS) - 1);
	return r->entries[r->first + i].number;
}

static inline struct kept *kept_at(const struct records *r, uint32_t number)
{
	return pool_at(&r->kept, number);
}

static inline struct dropped *dropped_at(const struct records *r, uint32_t number)
{
	return pool_at(&r->dropped, number);
}

/* ---- sampler_sample.c ---- */

void sample_start(struct sampler *s);
/* Before its spans are settled; `decision` is its place. */
void sample_take(struct sampler *s, uint32_t trace, uint32_t decision);
void sample_give(struct sampler *s, struct ruling *out);

/* ---- sampler_met.c: by which spans ---- */

/* Which spans made the condition of its rule hold; `by` is without their ids and `decision`. */
struct met {
	struct met_by by;
	uint32_t n, span[MET_SPANS]; /* the first ones */
};
struct met met_find(const struct sampler *s, const struct judgement *j);
struct pick met_place(const struct sampler *s, uint32_t span, uint32_t decision);
/* Before its spans are settled; `decision` is its place. */
void met_take(struct sampler *s, const struct judgement *j, uint32_t decision);
void met_give(struct sampler *s, struct ruling *out);

/* ---- sampler_judge.c: by which rule, and how ---- */

/* As things stand; offers nothing. j->verdict is KEPT or RULE; with `budgeted`, the budget has to
 * be asked. */
void judge(const struct sampler *s, uint32_t trace, struct judgement *j);
void judge_offer(const struct judgement *j, const struct trace *t, struct budget_offer *out);
/* Whether the outcome is the same whatever comes. */
bool judge_is_certain(const struct sampler *s, const struct trace *t);
/* What a waiting one says now: spans may have come since its rule was found. */
void judge_again(const struct sampler *s, struct judgement *j);
void judge_write(const struct sampler *s, const struct judgement *j, struct sampler_now now,
		 struct decision *out);
/* What rules that are only counted would have done. */
void judge_count(struct sampler *s, const struct judgement *j);

/* ---- sampler_choose.c: which traces are decided now ---- */

/* Fills chosen, takes traces out of their lists, and gives how many of waiting and how many spans
 * are in this ruling at most; there is room for all of it. -ENOMEM only when nothing was done. */
struct choice {
	size_t brought, picks;
};
int sampler_choose(struct sampler *s, size_t max_bytes, struct sampler_now now, struct choice *out);
bool sampler_is_short(const struct sampler *s);
uint64_t sampler_used(const struct sampler *s); /* of policy->memory_bytes */

/* ---- sampler_picks.c ---- */

bool picks_room(struct sampler *s, size_t n); /* for n in all; false: no memory */
/* By place, in an array with room for twice as many; gives where they are now. */
struct pick *picks_sort(struct pick *all, size_t n);

/* ---- sampler_notice.c ---- */

void sampler_close_block(struct sampler *s); /* what is missing of it was damaged */

/* ---- sampler_late.c: spans of decided traces ---- */

int late_reserve(struct sampler *s); /* puts them in groups; 0 or -ENOMEM */
void late_settle(struct sampler *s); /* charges them, and makes picks and decisions of them */

#endif

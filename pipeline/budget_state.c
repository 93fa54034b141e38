/* SPDX-License-Identifier: Apache-2.0
 * A budget as bytes, little-endian:
 *   "SRBG", version (2), kind (2: 1 whole, 2 levels), fingerprint of the hash key (8), nodes (4);
 *   milliseconds since the update (8); then by node: length of its name (1), name, key_fields (8),
 * and a fixed list of numbers; whole: challengers and keys; levels: the buckets of keys that have
 * some; CRC-32C of all before it (4). Numbers are doubles as they are. All is checked before any of
 * it is taken over. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pipeline/budget_node.h"

enum { VERSION = 2, WHOLE = 1, LEVELS = 2, HEAD = 28 };

static uint64_t fingerprint(const struct budget *b)
{
	return siphash(&b->hash_key, "budget", 6);
}

/* ---- writing ---- */

struct writer {
	struct buf *out;
	int failed;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (w->failed == 0)
		w->failed = buf_append(w->out, data, len);
}

static void put_int(struct writer *w, uint64_t v, unsigned len)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	put(w, bytes, len);
}

static void put_number(struct writer *w, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	put_int(w, bits, 8);
}

static void put_bucket(struct writer *w, const struct bucket *k)
{
	const double v[] = {k->level, k->reserve, k->used, k->kept, k->over, k->late_over};
	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		put_number(w, v[i]);
}

static void put_flow(struct writer *w, const struct flow *f)
{
	uint8_t used = 0;
	for (unsigned c = 0; c < FLOW_CLASSES; c++)
		used |= (uint8_t)((f->volume[c] > 0) << c);
	put_int(w, used, 1);
	for (unsigned c = 0; c < FLOW_CLASSES; c++)
		if (used & 1u << c) {
			put_number(w, f->volume[c]);
			put_number(w, f->whole[c]);
		}
}

static void put_keys(struct writer *w, const struct keys *k)
{
	for (int kind = 0; kind < KEY_KINDS; kind++)
		put_number(w, k->start[kind]);
	for (uint32_t c = 0; c < KEYS_CLASSES; c++) {
		put_int(w, k->challenger[c].key, 8);
		put_number(w, k->challenger[c].volume);
	}
	put_int(w, k->n, 4);
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		const struct key *e = &k->entries[i];
		put_int(w, e->key, 8);
		put_number(w, e->time);
		for (int u = 0; u < BUDGET_UNITS; u++) {
			put_number(w, e->level[u]);
			put_number(w, e->room[u]);
		}
		for (int kind = 0; kind < KEY_KINDS; kind++) {
			put_number(w, e->share[kind]);
			for (int u = 0; u < BUDGET_UNITS; u++)
				put_flow(w, &e->flow[kind][u]);
		}
	}
}

/* Buckets that are not full; classes come with their place behind the keys. */
static void put_key_levels(struct writer *w, const struct node *n)
{
	const struct keys *k = &n->keys;
	uint32_t count = 0;
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = keys_first(k); has_each(n) && i < keys_end(k);
		     i = keys_next(k, i)) {
			const struct key *e = &k->entries[i];
			if (e->level[BUDGET_SPANS] == k->full[BUDGET_SPANS] &&
			    e->level[BUDGET_BYTES] == k->full[BUDGET_BYTES])
				continue;
			count += round == 0;
			if (round == 0)
				continue;
			put_int(w, i >= k->max, 1);
			put_int(w, e->key, 8);
			for (int u = 0; u < BUDGET_UNITS; u++)
				put_number(w, e->level[u]);
		}
		if (round == 0)
			put_int(w, count, 4);
	}
}

static void put_node(struct writer *w, const struct node *n, int kind)
{
	size_t len = strlen(n->o.name);
	put_int(w, len, 1);
	put(w, n->o.name, len);
	put_int(w, n->o.key_fields, 8);
	put_int(w, n->month.begin_ms, 8);
	put_int(w, n->month.end_ms, 8);
	for (int u = 0; u < BUDGET_UNITS; u++)
		put_bucket(w, &n->bucket[u]);
	if (kind == LEVELS) {
		put_key_levels(w, n);
		return;
	}
	put_int(w, n->traffic, 1);
	put_number(w, n->time);
	for (int u = 0; u < BUDGET_UNITS; u++) {
		put_number(w, n->late[u]);
		put_number(w, n->lift[u]);
		put_number(w, n->room[u]);
	}
	put_keys(w, &n->keys);
}

static int save(const struct budget *b, struct buf *out, int kind)
{
	size_t begin = out->len;
	struct writer w = {.out = out};
	put(&w, "SRBG", 4);
	put_int(&w, VERSION, 2);
	put_int(&w, (uint64_t)kind, 2);
	put_int(&w, fingerprint(b), 8);
	put_int(&w, b->n_nodes, 4);
	put_int(&w, b->since_update_ms, 8);
	for (unsigned i = 0; i < b->n_nodes; i++)
		put_node(&w, &b->nodes[i], kind);
	if (w.failed == 0)
		put_int(&w, crc32c(0, out->data + begin, out->len - begin), 4);
	if (w.failed != 0)
		out->len = begin;
	return w.failed;
}

int budget_save(const struct budget *b, struct buf *out)
{
	return save(b, out, WHOLE);
}

int budget_save_levels(const struct budget *b, struct buf *out)
{
	return save(b, out, LEVELS);
}

/* ---- reading ---- */

/* After a failure all reads give 0. */
struct reader {
	struct slice rest;
	bool failed;
	bool take; /* false: only look whether it is sound */
	unsigned version;
};

static uint64_t get_int(struct reader *r, unsigned len)
{
	uint64_t v = 0;
	if (r->failed || r->rest.len < len) {
		r->failed = true;
		return 0;
	}
	for (unsigned i = 0; i < len; i++)
		v |= (uint64_t)r->rest.data[i] << (8 * i);
	r->rest = slice_of(r->rest.data + len, r->rest.len - len);
	return v;
}

static double get_number(struct reader *r, double least, double most)
{
	uint64_t bits = get_int(r, 8);
	double v;
	memcpy(&v, &bits, sizeof(v));
	if (v >= least && v <= most)
		return v;
	r->failed = true;
	return 0;
}

static void get_bucket(struct reader *r, struct bucket *k)
{
	*k = (struct bucket){.level = get_number(r, -FLOW_MOST, FLOW_MOST)};
	double *v[] = {&k->reserve, &k->used, &k->kept, &k->over, &k->late_over};
	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		*v[i] = get_number(r, 0, FLOW_MOST);
}

static void get_flow(struct reader *r, struct flow *f)
{
	uint64_t used = get_int(r, 1);
	*f = (struct flow){0};
	if (used >> FLOW_CLASSES != 0)
		r->failed = true;
	for (unsigned c = 0; c < FLOW_CLASSES && !r->failed; c++)
		if (used & 1u << c) {
			f->volume[c] = get_number(r, 0, FLOW_MOST);
			f->whole[c] = get_number(r, f->volume[c], FLOW_MOST);
		}
}

static void get_key(struct reader *r, struct key *e)
{
	*e = (struct key){.key = get_int(r, 8), .weight = 1, .time = get_number(r, 0, FLOW_MOST)};
	for (int u = 0; u < BUDGET_UNITS; u++) {
		e->level[u] = get_number(r, -FLOW_MOST, FLOW_MOST);
		e->room[u] = get_number(r, 0, FLOW_MOST);
	}
	for (int kind = 0; kind < KEY_KINDS; kind++) {
		e->share[kind] = get_number(r, 0, 1);
		for (int u = 0; u < BUDGET_UNITS; u++)
			get_flow(r, &e->flow[kind][u]);
	}
}

/* Version 1 knew what is protected by node, not by key: its volumes are read past, and measured
 * anew from here on. Shares and levels are kept. */
static void get_key_1(struct reader *r, struct key *e, double protected_share)
{
	struct flow past;
	*e = (struct key){.key = get_int(r, 8), .weight = 1};
	e->share[KEY_NORMAL] = get_number(r, 0, 1);
	e->share[KEY_PROTECTED] = protected_share;
	for (int u = 0; u < BUDGET_UNITS; u++) {
		e->level[u] = get_number(r, -FLOW_MOST, FLOW_MOST);
		e->room[u] = fmax(0, e->level[u]);
		get_flow(r, &past);
	}
}

/* A level cannot be below the debt that there may be: it would be paid back for ever. */
static double sound_level(double level, double debt, double most)
{
	return fmin(fmax(level, -debt), most);
}

static double key_level(const struct node *n, int u, double level)
{
	double debt = n->o.debt_s * n->o.limit[u].per_second_each;
	return sound_level(level, debt, n->keys.full[u]);
}

/* An entry that has its place in the table: another size of the table, a child that is gone or a
 * key that comes twice leave it to a class. */
static void take_key(struct node *n, const struct key *from, bool class, double average_s)
{
	struct keys *k = &n->keys;
	uint32_t at = class ? k->max + (uint32_t)(from->key % KEYS_CLASSES)
			    : (n->o.key_fields != 0 || from->key == 0 ? keys_meet(k, from->key)
								      : keys_find(k, from->key));
	struct key *e = &k->entries[at];
	if (!class && at >= k->max) {
		if (n->o.key_fields != 0)
			keys_join(e, from);
		return;
	}
	keys_join(e, from);
	memcpy(e->share, from->share, sizeof(e->share));
	memcpy(e->room, from->room, sizeof(e->room));
	e->time = fmin(from->time, average_s);
	for (int u = 0; u < BUDGET_UNITS; u++)
		e->level[u] = key_level(n, u, from->level[u]);
}

static void get_keys(struct reader *r, struct node *n, bool take, double average_s,
		     double protected_share)
{
	struct keys *k = take ? &n->keys : NULL;
	double start[KEY_KINDS] = {get_number(r, 0, 1), protected_share};
	if (r->version > 1)
		start[KEY_PROTECTED] = get_number(r, 0, 1);
	if (k != NULL)
		memcpy(k->start, start, sizeof(start));
	for (uint32_t c = 0; c < KEYS_CLASSES; c++) {
		uint64_t key = get_int(r, 8);
		double volume = get_number(r, 0, FLOW_MOST);
		if (k == NULL)
			continue;
		k->challenger[c].key = key;
		k->challenger[c].volume = r->version > 1 ? volume : 0;
	}
	uint64_t count = get_int(r, 4);
	if (count > BUDGET_KEYS)
		r->failed = true;
	for (uint64_t i = 0; i < count + KEYS_CLASSES && !r->failed; i++) {
		struct key e;
		if (r->version > 1)
			get_key(r, &e);
		else
			get_key_1(r, &e, protected_share);
		if (k != NULL)
			take_key(n, &e, i >= count, average_s);
	}
}

static void get_key_levels(struct reader *r, struct node *n, bool take)
{
	uint64_t count = get_int(r, 4);
	for (uint64_t i = 0; i < count && !r->failed; i++) {
		bool class = get_int(r, 1) != 0;
		uint64_t key = get_int(r, 8);
		double level[BUDGET_UNITS];
		for (int u = 0; u < BUDGET_UNITS; u++)
			level[u] = get_number(r, -FLOW_MOST, FLOW_MOST);
		if (!take)
			continue;
		struct keys *k = &n->keys;
		uint32_t at = class ? k->max + (uint32_t)(key % KEYS_CLASSES) : keys_meet(k, key);
		for (int u = 0; u < BUDGET_UNITS; u++)
			k->entries[at].level[u] = key_level(n, u, level[u]);
	}
}

static struct node *node_named(struct budget *b, struct slice name)
{
	for (unsigned i = 0; i < b->n_nodes; i++)
		if (slice_is(name, b->nodes[i].o.name))
			return &b->nodes[i];
	return NULL;
}

static struct slice get_bytes(struct reader *r, size_t len)
{
	struct slice s = slice_of(r->rest.data, len);
	if (r->failed || r->rest.len < len) {
		r->failed = true;
		return slice_of(NULL, 0);
	}
	r->rest = slice_of(r->rest.data + len, r->rest.len - len);
	return s;
}

static void get_soft(struct reader *r, struct node *n, bool keep_keys, double average_s)
{
	struct node scratch = {0}, *to = n != NULL ? n : &scratch;
	struct flow past;
	bool old = r->version == 1, known = keep_keys && !old;
	to->traffic = get_int(r, 1) != 0;
	double time = get_number(r, 0, FLOW_MOST), share = old ? get_number(r, 0, 1) : 1;
	to->time = known ? fmin(time, average_s) : 0;
	for (int u = 0; u < BUDGET_UNITS; u++) {
		double late = get_number(r, 0, FLOW_MOST);
		to->late[u] = known ? late : 0;
		to->lift[u] = get_number(r, 0, FLOW_MOST);
		if (old)
			get_flow(r, &past);
		else
			to->room[u] = get_number(r, 0, FLOW_MOST);
	}
	get_keys(r, to, keep_keys, average_s, share);
}

/* A node that is no more, or is only looked at, is read past. */
static void get_node(struct budget *b, struct reader *r, int kind, bool same_hash)
{
	struct slice name = get_bytes(r, get_int(r, 1));
	struct node *n = r->take ? node_named(b, name) : NULL;
	uint64_t fields = get_int(r, 8);
	struct month m = {get_int(r, 8), get_int(r, 8)};
	struct bucket k[BUDGET_UNITS];
	for (int u = 0; u < BUDGET_UNITS; u++)
		get_bucket(r, &k[u]);
	bool keep_keys = n != NULL && same_hash && fields == n->o.key_fields;
	if (m.begin_ms >= m.end_ms)
		r->failed = true;
	if (n != NULL) {
		/* With another billing day the month of now stays, with what is used. */
		struct month whole = month_of(m.begin_ms, n->o.billing_day);
		if (whole.begin_ms == m.begin_ms)
			n->month = whole;
		for (int u = 0; u < BUDGET_UNITS; u++) {
			n->bucket[u] = k[u];
			n->bucket[u].level = sound_level(k[u].level, n->debt[u], n->capacity[u]);
			n->bucket[u].reserve = fmin(k[u].reserve, fmax(0, n->bucket[u].level));
		}
	}
	if (kind == LEVELS)
		get_key_levels(r, n, keep_keys);
	else
		get_soft(r, n, keep_keys, b->average_s);
}

static void forget(struct node *n)
{
	struct keys *k = &n->keys;
	for (uint32_t i = keys_first(k); i < keys_end(k); i = keys_next(k, i)) {
		memset(k->entries[i].flow, 0, sizeof(k->entries[i].flow));
		k->entries[i].time = 0;
	}
	if (n->o.key_fields == 0)
		return; /* the children stay known */
	memset(k->index, 0, ((size_t)k->mask + 1) * sizeof(*k->index));
	k->n = 0;
}

static void read_nodes(struct budget *b, struct reader *r, int kind)
{
	get_int(r, 8); /* magic, version, kind: seen */
	bool same_hash = get_int(r, 8) == fingerprint(b);
	uint64_t n = get_int(r, 4);
	uint64_t since = get_int(r, 8);
	if (n > BUDGET_NODES)
		r->failed = true;
	if (r->take)
		b->since_update_ms = since < 3600000 ? since : 0;
	for (unsigned i = 0; r->take && kind == WHOLE && i < b->n_nodes; i++)
		forget(&b->nodes[i]);
	for (uint64_t i = 0; i < n && !r->failed; i++)
		get_node(b, r, kind, same_hash);
	if (r->rest.len != 0)
		r->failed = true;
}

int budget_load(struct budget *b, struct slice state, struct budget_now now)
{
	if (state.len < HEAD + 4 || memcmp(state.data, "SRBG", 4) != 0)
		return BUDGET_BAD;
	struct reader tail = {.rest = slice_of(state.data + state.len - 4, 4)};
	struct reader head = {.rest = slice_of(state.data + 4, 4)};
	state.len -= 4;
	uint64_t version = get_int(&head, 2), kind = get_int(&head, 2);
	if (get_int(&tail, 4) != crc32c(0, state.data, state.len) || version < 1 ||
	    version > VERSION || (kind != WHOLE && kind != LEVELS))
		return BUDGET_BAD;
	for (int round = 0; round < 2; round++) {
		struct reader r = {.rest = state, .take = round == 1, .version = (unsigned)version};
		read_nodes(b, &r, (int)kind);
		if (r.failed)
			return BUDGET_BAD;
	}
	b->last = now;
	budget_pace(b, now.unix_ms);
	return 0;
}

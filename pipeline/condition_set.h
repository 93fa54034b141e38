/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_set.h - compiled conditions: what the compiler writes and the evaluator reads.
 * Within pipeline/ only.
 *
 * Expressions over one span are and-inverter graphs: nodes are TRUE, leaves and ANDs, and a
 * reference may negate. Equal nodes are one. A leaf is false until a field is found that makes it
 * true; so with nothing found every predicate has a value known beforehand, and for a span only
 * those predicates are looked at that depend on a leaf which became true, or may have. What becomes
 * true is looked up by value (texts, numbers, prefixes) or found in sorted bounds, so rules that a
 * span does not meet cost it nothing. Leaves that must be tried one by one are lazy: patterns and
 * `contains`. A guarded one begins with a literal, and is tried only where that stands. */
#ifndef PIPELINE_CONDITION_SET_H
#define PIPELINE_CONDITION_SET_H

#include <endian.h>

#include "base/arena.h"
#include "base/pattern.h"
#include "pipeline/condition_text.h"

enum {
	MAX_SLOTS = 4096,
	MAX_SUBJECTS = 4096,
	MAX_LEAVES = 8192,
	MAX_NODES = 32768,
	MAX_ALTERNATIVES = 32,
	MAX_KEY_FIELDS = 8, /* of one key, as written */
	MAX_KEY_SOURCES =
	    3 * MAX_KEY_FIELDS, /* a bare name that was renamed: two and the resource */
	NO_INDEX = 0xffff
};

/* Of nodes: where a value holds good. EVENT and LINK fields are those of their span. */
enum { NODE_LEVELS = LEVEL_SPAN + 1 };

/* node << 1 | negated */
#define REF_TRUE  0u
#define REF_FALSE 1u

struct mask {
	uint64_t words[CONDITION_BIT_WORDS];
};

enum node_kind { NODE_TRUE, NODE_LEAF, NODE_AND };
struct node {
	uint8_t kind, level;
	uint8_t cost;      /* to try cheap ones first */
	uint32_t first, n; /* AND: in set->refs; LEAF: first is the leaf */
};

struct leaf {
	enum test_op op;
	uint16_t subject;
	bool lazy, guarded;
	uint32_t node;
	struct literal *values; /* of texts and patterns: one */
	uint32_t n_values;
	struct pattern *pattern;
	struct slice prefix; /* of STARTS and guarded ones */
	uint32_t uses;       /* the predicates that it is part of, and */
	struct mask deps;    /* those that have to be looked at when it is true */
};

struct bound {
	struct number limit;
	bool strict; /* the limit itself does not do */
	uint32_t leaf;
};

/* What is tested: an attribute and its alternatives, or a field of ours. */
struct subject {
	enum level level;
	enum what what;
	uint16_t slots[MAX_ALTERNATIVES]; /* of WHAT_ATTRIBUTE: the first that is present */
	uint16_t n_slots;
	uint32_t exists; /* leaf, or UINT32_MAX */
	/* Which tables have something of it: */
	bool by_text, by_number, by_numeric_text, by_bool, needs_text;
	uint32_t max_text;           /* bytes of its longest text in the table */
	struct bound *lower, *upper; /* lower ascending, upper descending */
	uint32_t n_lower, n_upper;
	uint16_t *prefix_lens; /* of prefixes in the table, ascending */
	uint32_t n_prefix_lens;
	uint32_t *lazy; /* leaves */
	uint32_t n_lazy;
	struct mask lazy_deps; /* of those that are not guarded */
};

/* The key of an attribute. */
struct slot {
	enum level level;
	struct slice key; /* with KEY_PAD bytes before it */
	uint16_t *subjects;
	uint32_t n_subjects;
};

/* What span.error looks at: they are there in every set. */
enum { SLOT_ERROR, SLOT_STATUS_NEW, SLOT_STATUS_OLD, FIXED_SLOTS };

/* Keys by their length and their end. The filter tells most that are not in the table by their last
 * byte alone. */
enum { KEY_PAD = 8, FILTER_LENGTHS = 128 };
struct key_table {
	uint64_t filter[FILTER_LENGTHS]; /* by length: bit n is a last byte that is n modulo 64 */
	uint32_t mask;                   /* entries less one; at most a quarter of them are used */
	struct key_entry {
		uint64_t tail; /* key_tail() */
		uint32_t len;
		uint16_t slot; /* NO_INDEX: free */
	} * entries;
};

enum value_kind { BY_TEXT, BY_NUMBER, BY_NUMERIC_TEXT, BY_BOOL, BY_PREFIX };
struct value_entry {
	uint64_t hash;
	uint32_t leaf; /* UINT32_MAX: free */
	uint16_t subject;
	uint8_t kind;
	struct slice text;
	struct number number; /* of bools: 0 or 1 */
};
struct value_table {
	uint32_t mask;
	struct value_entry *entries;
};

enum op_kind { OP_BIT, OP_FACT, OP_NOT, OP_AND, OP_OR };
/* A condition on a trace in Polish notation: operator, then its operands. */
struct op {
	enum op_kind kind;
	uint32_t n;    /* BIT: which; AND, OR: operands */
	uint32_t size; /* ops, with those of its operands */
	struct fact_test fact;
};

struct condition {
	uint32_t first; /* op */
};

/* Where the value of a field may come from. */
struct key_source {
	uint8_t level, what;
	uint16_t slot; /* of WHAT_ATTRIBUTE */
};

/* A field of condition_add_field(): the first source that is present. */
struct key_field {
	bool of_root;
	uint8_t n_sources;
	struct key_source sources[MAX_KEY_SOURCES];
};

struct condition_set {
	struct arena arena;
	struct slot *slots;
	struct subject *subjects;
	struct leaf *leaves;
	struct node *nodes;
	uint32_t *refs; /* operands of ANDs */
	struct op *ops;
	struct condition *conditions;
	uint32_t n_slots, n_subjects, n_leaves, n_nodes, n_refs, n_ops, n_conditions;
	uint32_t room_slots, room_subjects, room_leaves, room_nodes, room_refs, room_ops,
	    room_conditions;
	uint32_t predicates[CONDITION_MAX_BITS]; /* refs */
	uint32_t n_predicates;
	struct key_field key_fields[CONDITION_FIELDS];
	uint32_t n_key_fields;

	/* From condition_compile() on: */
	bool compiled;
	uint16_t builtin[LEVELS][WHATS]; /* subject or NO_INDEX */
	struct key_table keys[LEVELS];
	bool wants_events, wants_links;
	struct value_table values;
	struct mask base, fixed; /* with nothing found in resource and scope, as condition_fix() */
};

/* What evaluating one request takes. An epoch is the number of the resource, scope, span, event or
 * link at hand; what is stamped with another is not there. */
struct condition_scratch {
	const struct condition_set *set;
	struct matcher *matcher;
	uint32_t clock, request_epoch;
	uint32_t epoch[NODE_LEVELS];
	uint32_t *known;          /* of nodes: epoch << 1 | value */
	uint32_t *slot_seen;      /* epochs */
	struct slice *slot_value; /* AnyValue */
	uint32_t *subject_seen;   /* epochs */
	struct value *subject_value;
	uint32_t *candidate; /* of guarded leaves: epoch */
	uint32_t *given_up;  /* of lazy leaves: request_epoch */
	uint16_t *touched;   /* subjects found in what is being walked */
	uint32_t n_touched;
	uint64_t gave_up;
	struct mask dirty; /* predicates that what was found has to do with */

	struct siphash_key hash_key;
	uint32_t keys[CONDITION_FIELDS];
	struct slice scope_name, scope_version;
	/* What resource and scope say is hashed once for all their spans. */
	struct {
		uint32_t epoch, hash;
	} hashed[CONDITION_FIELDS][MAX_KEY_SOURCES];
};

/* What fields of our own are at the end of a span. */
struct key_span {
	struct slice name;
	int32_t kind, status;
	bool is_root, is_error;
};

static inline void mask_set(struct mask *m, uint32_t bit, bool on)
{
	uint64_t one = (uint64_t)1 << (bit % 64);
	m->words[bit / 64] = on ? m->words[bit / 64] | one : m->words[bit / 64] & ~one;
}

static inline void mask_add(struct mask *m, const struct mask *more)
{
	for (int i = 0; i < CONDITION_BIT_WORDS; i++)
		m->words[i] |= more->words[i];
}

/* The last 8 bytes of a key, of which at least KEY_PAD readable bytes stand before. */
static inline uint64_t key_tail(const uint8_t *key, size_t len)
{
	uint64_t w;
	memcpy(&w, key + len - 8, 8);
	w = le64toh(w); /* the last is the highest */
	if (len < 8)
		w = len == 0 ? 0 : w >> (64 - 8 * len);
	return w;
}

static inline uint32_t key_hash(uint64_t tail, size_t len)
{
	return (uint32_t)(((tail ^ len * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu) >> 32);
}

/* May it be in the table? */
static inline bool key_passes(const struct key_table *t, const uint8_t *key, size_t len)
{
	return len - 1 >= FILTER_LENGTHS - 1 || (t->filter[len] >> (key[len - 1] & 63) & 1);
}

static inline uint64_t value_mix(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

static inline uint64_t value_hash(uint16_t subject, enum value_kind kind, struct slice text,
				  struct number n)
{
	uint64_t w = 0, h = value_mix((uint64_t)subject << 8 | kind, text.len);
	if (kind != BY_TEXT && kind != BY_PREFIX) {
		memcpy(&w, &n.i, sizeof(w));
		return value_mix(value_mix(h, n.is_int), w);
	}
	const uint8_t *p = text.data;
	size_t len = text.len;
	uint32_t low, high;
	for (; len > 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		h = value_mix(h, w);
	}
	if (len >= 4) { /* two halves, which may overlap */
		memcpy(&low, p, 4);
		memcpy(&high, p + len - 4, 4);
		return value_mix(h, (uint64_t)high << 32 | low);
	}
	return len == 0
		   ? h
		   : value_mix(h, (uint64_t)p[0] << 16 | (uint64_t)p[len / 2] << 8 | p[len - 1]);
}

/* As slice_equal(), for short texts that are likely to be equal. */
static inline bool text_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t x, y;
	if (len < 8)
		return memcmp(a, b, len) == 0;
	for (size_t i = 0; i < len - 8; i += 8) {
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			return false;
	}
	memcpy(&x, a + len - 8, 8);
	memcpy(&y, b + len - 8, 8);
	return x == y;
}

/* Looks at the predicates in `which` with what is known of resource and scope: those that no span
 * can change are set in *fixed, and *base has what they are, or are with nothing found. */
void condition_fix(struct condition_scratch *s, const struct mask *which, struct mask *fixed,
		   struct mask *base);

/* For lists that grow: room for one more of `size` bytes in *all. false: no memory. */
bool set_grow(void *all, uint32_t n, uint32_t *room, size_t size);

/* Makes nodes, leaves and predicates of parsed text, and appends to set->ops. 0, CONDITION_BAD or
 * negative. */
int condition_lower(struct condition_set *set, const struct expr *e, struct condition_error *why);

/* Adds the field that is the first of these. 0, CONDITION_BAD or negative. */
int condition_lower_field(struct condition_set *set, const struct field_name *fields, uint32_t n,
			  uint32_t *number, struct condition_error *why);

/* Fills in s->keys at the end of a span, while its epochs are those of s. */
void condition_hash_fields(struct condition_scratch *s, const struct key_span *span);

#endif

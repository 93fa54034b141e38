/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/condition_sample.h - conditions on requests made by hand: one set, one request, the
 * facts of the trace that it is. */
#ifndef TESTS_CONDITION_SAMPLE_H
#define TESTS_CONDITION_SAMPLE_H

#include "otlp_sample.h"
#include "pipeline/condition.h"

/* AnyValue with one field; `v` is freed. */
static inline void pb_value(struct buf *b, unsigned field, const char *key, struct buf *v)
{
	struct buf kv = {0};
	pb_str(&kv, 1, key);
	pb_message(&kv, 2, v);
	pb_message(b, field, &kv);
}

static inline void pb_int_attribute(struct buf *b, unsigned field, const char *key, int64_t n)
{
	struct buf v = {0};
	pb_int(&v, 3, (uint64_t)n);
	pb_value(b, field, key, &v);
}

static inline void pb_bool_attribute(struct buf *b, unsigned field, const char *key, bool yes)
{
	struct buf v = {0};
	pb_int(&v, 2, yes);
	pb_value(b, field, key, &v);
}

static inline void pb_double_attribute(struct buf *b, unsigned field, const char *key, double d)
{
	struct buf v = {0};
	uint64_t bits;
	memcpy(&bits, &d, sizeof(bits));
	pb_fixed64(&v, 4, bits);
	pb_value(b, field, key, &v);
}

/* Ids and times of a span that is a child unless `root`; it lasts so long. */
static inline void pb_span_head(struct buf *b, uint8_t number, bool root, uint64_t ns)
{
	uint8_t id[16];
	memset(id, 7, sizeof(id));
	pb_bytes(b, 1, id, 16);
	memset(id, number + 1, sizeof(id));
	pb_bytes(b, 2, id, 8);
	if (!root)
		pb_bytes(b, 4, "parents!", 8);
	pb_fixed64(b, 7, 1700000000000000000u);
	pb_fixed64(b, 8, 1700000000000000000u + ns);
}

static inline void sum_span(void *user, const struct span_facts *f)
{
	struct trace_facts *t = user;
	for (int i = 0; i < CONDITION_BIT_WORDS; i++)
		t->bits[i] |= f->bits[i];
	t->spans++;
	t->errors += f->is_error;
	t->bytes += f->length;
	if (f->is_root)
		t->duration_ns = span_duration_ns(f);
	t->has_root = t->has_root || f->is_root;
}

static inline struct trace_facts facts_of(const struct condition_set *set, struct slice request)
{
	struct trace_facts t = {.has_root = false};
	struct condition_scratch *s = condition_scratch_create(set);
	condition_evaluate(set, s, request, sum_span, &t);
	condition_scratch_destroy(s);
	return t;
}

static inline uint32_t add_text(struct condition_set *set, const char *text)
{
	struct condition_error why;
	uint32_t number = 0;
	int rc = condition_add(set, slice_str(text), &number, &why);
	if (rc != 0) {
		printf("FAIL %s: at %zu: %s\n", text, why.offset, why.words);
		exit(1);
	}
	return number;
}

static inline struct condition_set *set_of(const char *text)
{
	struct condition_set *set = condition_set_create();
	add_text(set, text);
	if (condition_compile(set) != 0)
		exit(1);
	return set;
}

static inline bool holds(const char *text, const struct buf *request)
{
	struct condition_set *set = set_of(text);
	struct trace_facts t = facts_of(set, buf_slice(request));
	bool yes = condition_holds(set, 0, &t);
	condition_set_destroy(set);
	return yes;
}

#endif

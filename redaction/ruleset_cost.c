/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset_cost.c - what one rule costs over text without secrets. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "redaction/class.h"
#include "redaction/ruleset_state.h"

enum { CLEAN_BYTES = 64 << 10, ROUNDS = 9 };

/* Values as spans carry them: ids, URLs, pods, agents, statements. */
static void write_clean(struct buf *out)
{
	uint64_t random = 1;
	while (out->len < CLEAN_BYTES) {
		random = random * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
		unsigned n = (unsigned)(random >> 40), m = (unsigned)(random >> 20) & 0xfffff;
		buf_printf(
		    out, "GET\n200\n/api/v2/orders/%u/items\nhttps://shop.example.com/%x?page=%u\n",
		    n, m, m % 50);
		buf_printf(out, "checkout-%x-%x\ncom.example.shop.OrderService\n10.%u.%u.%u\n", m,
			   n, m & 255, n & 255, m >> 8 & 255);
		buf_printf(out,
			   "SELECT id, name FROM orders WHERE customer = ? AND day > ? LIMIT %u\n",
			   m % 100);
		buf_printf(out, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/%u.0\n",
			   90 + m % 40);
	}
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		    void *user)
{
	uint64_t *n = user;
	(void)id;
	(void)from;
	(void)to;
	(void)flags;
	++*n;
	return 0;
}

static void on_anchor(void *user, enum rule_class class, size_t at)
{
	uint64_t *n = user;
	(void)class;
	(void)at;
	++*n;
}

struct trial {
	const hs_database_t *db; /* NULL: the class */
	hs_scratch_t *scratch;
	uint32_t classes;
	struct slice text;
};

/* The quickest of some rounds: what disturbs makes it slower, never faster. */
static double measure(const struct trial *t)
{
	uint64_t best = UINT64_MAX, found = 0;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = clock_ns(CLOCK_MONOTONIC);
		if (t->db != NULL)
			hs_scan(t->db, (const char *)t->text.data, (unsigned)t->text.len, 0,
				t->scratch, on_match, &found);
		else
			class_scan(t->text, t->classes, on_anchor, &found);
		uint64_t took = clock_ns(CLOCK_MONOTONIC) - start;
		best = took < best ? took : best;
	}
	return (double)best * 1024 / (double)t->text.len;
}

static int measure_prefilter(const char *prefilter, struct trial *t, struct rule_cost *cost)
{
	hs_database_t *db = NULL;
	hs_compile_error_t *why = NULL;
	size_t bytes = 0;
	int rc = 0;
	if (hs_compile(prefilter, 0, HS_MODE_BLOCK, NULL, &db, &why) != HS_SUCCESS ||
	    hs_alloc_scratch(db, &t->scratch) != HS_SUCCESS ||
	    hs_database_size(db, &bytes) != HS_SUCCESS) {
		rc = fail(-ENOMEM, "rules: no memory");
	} else {
		t->db = db;
		cost->automaton_bytes = (uint32_t)bytes;
		cost->ns_per_kib = measure(t);
	}
	hs_free_compile_error(why);
	hs_free_scratch(t->scratch);
	hs_free_database(db);
	return rc;
}

int ruleset_cost(const struct ruleset *set, uint32_t number, struct rule_cost *cost)
{
	const struct rule *r = ruleset_rule(set, number);
	struct buf text = {.data = NULL};
	int rc = 0;
	*cost = (struct rule_cost){.prefilter = ""};
	if (r == NULL)
		return 0;
	write_clean(&text);
	struct trial t = {.text = buf_slice(&text)};
	if (r->class != CLASS_NONE) {
		t.classes = 1u << r->class;
		cost->prefilter = CLASS_NAMES[r->class];
		cost->ns_per_kib = measure(&t);
	} else if (set->exact[number].prefilter != NULL) {
		cost->prefilter = set->exact[number].prefilter;
		rc = measure_prefilter(cost->prefilter, &t, cost);
	}
	buf_finish(&text);
	return rc;
}

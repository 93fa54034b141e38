/* SPDX-License-Identifier: Apache-2.0
 * A budget's state as it comes from a disk. Bytes are given a right checksum, so that what is
 * behind it is seen; any that are taken leave a budget that can be told, can be saved, and holds
 * its goals: levels within bucket and debt, numbers that are numbers, and never more kept than the
 * bucket and the goal give. */
#include <math.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "pipeline/budget.h"
#include "wire/tracestate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODES = 3, TICKS = 40, TRACES = 20, LARGEST = 10 };
static const double TOTAL = 300; /* the root's goal: less than is offered */

static void want(int condition)
{
	if (!condition)
		abort();
}

/* That of tests/unit/test_budget_state.c, whose states are the corpus. */
static struct budget *make(struct budget_now now)
{
	const struct budget_node_options n[NODES] = {
	    {.name = "total",
	     .parent = BUDGET_ROOT,
	     .reserve = 0.2,
	     .limit = {{.per_second = TOTAL, .per_month = 1e12}}},
	    {.name = "per-team", .parent = 0, .key_fields = 7, .limit = {{.per_second_each = 150}}},
	    {.name = "rest",
	     .parent = 1,
	     .key_fields = 8,
	     .max_keys = 4,
	     .limit = {{.per_second = 250}, {.per_second = 24000}}}};
	const struct budget_options o = {.nodes = n,
					 .n_nodes = NODES,
					 .largest = {LARGEST, 1000 * LARGEST},
					 .max_candidates = 64,
					 .hash_key = {5, 6}};
	struct budget *b;
	const char *reason;
	unsigned node;
	return budget_create(&b, &o, now, &reason, &node) == 0 ? b : NULL;
}

static bool is_number(double v, double least, double most)
{
	return v >= least && v <= most;
}

static void want_sound_key(void *ctx, const struct budget_key_report *r)
{
	(void)ctx;
	want(is_number(r->share, 0, 1));
	for (int u = 0; u < BUDGET_UNITS; u++)
		want(!isnan(r->offered[u]) && r->offered[u] >= 0);
}

static void want_sound(const struct budget *b)
{
	struct budget_report r;
	for (unsigned i = 0; i < NODES; i++) {
		budget_report(b, i, &r);
		want(is_number(r.protected_share, 0, 1));
		want(is_number(r.overflow_share, 0, 1 + 1e-9));
		for (int u = 0; u < BUDGET_UNITS; u++) {
			const struct budget_unit_report *v = &r.unit[u];
			double debt = isinf(v->goal) ? 0 : 2 * v->goal; /* or that of the rate */
			want(v->goal >= 0 && !isnan(v->goal));
			want(is_number(v->level, -fmax(debt, 600), v->capacity) || isinf(v->goal));
			want(is_number(v->month_used, 0, 1e25));
			want(!isnan(v->offered) && !isnan(v->late) && !isnan(v->projected));
		}
		budget_each_key(b, i, want_sound_key, NULL);
	}
}

/* Keys that the state may know, and others; each third trace is protected. */
static struct budget_candidate trace_of(unsigned i, struct budget *b)
{
	struct budget_candidate c = {.path = {.node = NODES - 1}, .spans = 5, .bytes = 900};
	for (unsigned k = 0; k < BUDGET_DEPTH; k++)
		c.path.keys[k] = (i % 7 + 1) * 0x9e3779b97f4a7c15;
	c.randomness = (i + 1) * 0xbf58476d1ce4e5b9 >> 8;
	c.protected = i % 3 == 0;
	struct budget_offer o = {.path = c.path,
				 .spans = c.spans,
				 .bytes = c.bytes,
				 .protected = c.protected,
				 .arrived = i % 5 != 0 ? 1 : 0.1,
				 .own = 1};
	c.threshold = budget_offer(b, &o);
	want(c.threshold <= THRESHOLD_NEVER && budget_threshold(b, &o) <= THRESHOLD_NEVER);
	return c;
}

/* What leaves in some seconds is what the bucket held and what came into it. */
static void go_on(struct budget *b, struct budget_now now)
{
	struct budget_candidate c[TRACES];
	double kept = 0;
	struct budget_report r;
	budget_report(b, 0, &r);
	double may = fmax(0, r.unit[BUDGET_SPANS].level);
	for (unsigned tick = 0; tick < TICKS; tick++) {
		unsigned n = 0;
		for (unsigned i = 0; i < TRACES; i++) {
			c[n] = trace_of(tick * TRACES + i, b);
			n += c[n].randomness >= c[n].threshold;
		}
		now.mono_ms += 100;
		now.unix_ms += 100;
		budget_tick(b, now, c, n);
		for (unsigned i = 0; i < n; i++)
			kept += c[i].verdict == BUDGET_KEEP ? c[i].spans : 0;
		may += TOTAL / 10;
	}
	want(kept <= may + 1e-6);
	want_sound(b);
}

static void save_again(const struct budget *b, struct budget_now now)
{
	struct buf saved = {0}, levels = {0};
	struct budget *c = make(now);
	if (c != NULL && budget_save(b, &saved) == 0 && budget_save_levels(b, &levels) == 0) {
		want(budget_load(c, buf_slice(&saved), now) == 0);
		want(budget_load(c, buf_slice(&levels), now) == 0);
	}
	buf_finish(&saved);
	buf_finish(&levels);
	budget_destroy(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct budget_now now = {5000, 1767225600000};
	struct budget *b = make(now);
	struct buf state = {0};
	if (b != NULL && size >= 4 && buf_append(&state, data, size) == 0) {
		uint32_t crc = crc32c(0, state.data, size - 4);
		for (unsigned i = 0; i < 4; i++)
			state.data[size - 4 + i] = (uint8_t)(crc >> (8 * i));
		int rc = budget_load(b, buf_slice(&state), now);
		want(rc == 0 || rc == BUDGET_BAD);
		want_sound(b);
		save_again(b, now);
		go_on(b, now);
		save_again(b, now);
	}
	buf_finish(&state);
	budget_destroy(b);
	return 0;
}

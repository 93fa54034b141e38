/* SPDX-License-Identifier: Apache-2.0
 * Chapters as they come from a disk: what is read can be read again as it was, and a sampler that
 * remembers it goes on: late spans follow it, and it forgets. */
#include <stdlib.h>

#include "pipeline/sampler.h"
#include "wire/tracestate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

static void read_again(const struct chapter *c, const uint8_t *data, size_t size)
{
	struct buf b = {0};
	struct decision d;
	struct met_by m;
	want(chapter_begin(&b, c->generation, c->unix_ms) == 0);
	for (uint32_t i = 0; i < c->n; i++) {
		chapter_at(c, i, &d);
		want(chapter_add(&b, &d) == 0);
	}
	for (uint32_t i = 0; i < c->n_met; i++) {
		chapter_met_at(c, i, &m);
		want(chapter_add_met(&b, &m) == 0);
		want(chapter_met_by(c, m.decision).spans == m.spans);
	}
	want(b.len == size && memcmp(b.data, data, size) == 0);
	buf_finish(&b);
}

/* A span of each trace that the chapter has, twice. */
static void go_on(struct sampler *s, const struct chapter *c, struct sampler_now now)
{
	static uint64_t room[(sizeof(struct notices) + sizeof(struct notice) + 8) / 8 + 1];
	struct notices *all = (struct notices *)room;
	struct notice *n = (struct notice *)all->bytes;
	struct ruling r;
	struct decision d;
	uint64_t spans = 0, ruled = 0;
	all->n = 1;
	all->stride = sizeof(*n) + 8;
	for (uint32_t i = 0; i < 2 * c->n; i++) {
		chapter_at(c, i / 2, &d);
		memcpy(n->trace_id, d.trace_id, 16);
		n->identity = i;
		all->block_id = i + 1;
		want(sampler_block(s, all->block_id, 1, 10, now.unix_ms) == 0);
		want(sampler_notice(s, all, now) == 0);
		spans++;
	}
	for (int i = 0; i < 3; i++, now.mono_ms += 100000, now.unix_ms += 100000) {
		int rc = sampler_decide(s, 1 << 20, (uint64_t)i + 2, now, &r);
		want(rc == 0 || rc == SAMPLER_IDLE);
		for (int v = 0; v < VERDICTS && rc == 0; v++)
			ruled += r.spans[v];
	}
	want(ruled == spans);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_rule rules[2] = {
	    {.name = "a", .condition = POLICY_ALWAYS, .share = 0.5, .rollout = 0.5},
	    {.name = "b", .condition = POLICY_ALWAYS, .share = 1, .rollout = 1}};
	struct policy p = {.n_words = 1,
			   .rules = rules,
			   .n_rules = 2,
			   .wait_ms = 1000,
			   .root_wait_ms = 100,
			   .kept_records = 4,
			   .dropped_records = 4,
			   .records_ms = 1000};
	struct sampler_options o = {.policy = &p, .hash_key = {1, 2}};
	struct sampler_now now = {5000, 1767225600000};
	struct sampler *s;
	struct chapter c;
	rules[0].threshold = threshold_of(0.5);
	rules[0].node = rules[1].node = BUDGET_ROOT;
	int rc = chapter_read(&c, slice_of(data, size));
	want(rc == 0 || rc == DECISION_BAD);
	if (sampler_create(&s, &o) != 0)
		return 0;
	want(sampler_remember(s, 1, slice_of(data, size), NULL, 0, now) == rc);
	if (rc == 0) {
		read_again(&c, data, size);
		go_on(s, &c, now);
	}
	sampler_destroy(s);
	return 0;
}

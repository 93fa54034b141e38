/* SPDX-License-Identifier: Apache-2.0
 * What judging a span costs with 1 k, 100 k and 1 M undecided traces: ten spans a trace, in random
 * order over the whole wait, in requests of 300; one trace in ten is kept. Notices are made outside
 * of what is measured. Usage: sampler [LIVE TRACES ...]. Prints a line for each. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pipeline/sampler.h"
#include "wire/tracestate.h"

enum { REQUEST = 300, SPANS = 10, WAIT_MS = 30000, TICK_MS = 100, LEAST = 4000000 };

struct bench {
	struct policy policy;
	struct policy_rule rules[3];
	struct sampler *sampler;
	struct notices *notices;
	struct sampler_now now;
	uint64_t random, block, chapter, live, started; /* traces */
	uint64_t spans, kept;
	uint64_t notice_ns, decide_ns, worst_ns;
};

static uint64_t random_next(struct bench *b) /* splitmix64 */
{
	return b->random = b->random * 0x5851f42d4c957f2d + 0x14057b7ef767814f,
	       (b->random ^ b->random >> 31) * 0x9e3779b97f4a7c15;
}

static void need(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "sampler: %s: %d\n", what, rc);
	exit(1);
}

/* The usual three: errors, slow ones, a tenth of the rest. */
static void make_policy(struct bench *b)
{
	static const char *const texts[] = {"any(span.error)", "trace.duration > 5s"};
	struct condition_error why;
	b->policy = (struct policy){.set = condition_set_create(),
				    .n_words = 1,
				    .n_fields = 1,
				    .rules = b->rules,
				    .n_rules = 3,
				    .wait_ms = WAIT_MS,
				    .root_wait_ms = 2000,
				    .trace_spans = 10000,
				    .trace_bytes = 16 << 20,
				    .memory_bytes = (uint64_t)8 << 30,
				    .pending_bytes = (uint64_t)1 << 50,
				    .kept_records = 100000,
				    .dropped_records = 1000000,
				    .records_ms = 3600000};
	for (int i = 0; i < 3; i++) {
		struct policy_rule *r = &b->rules[i];
		*r = (struct policy_rule){.name = "rule",
					  .condition = POLICY_ALWAYS,
					  .share = i < 2 ? 1 : 0.1,
					  .rollout = 1,
					  .node = BUDGET_ROOT};
		r->threshold = threshold_of(r->share);
		if (i < 2)
			need(condition_add(b->policy.set, slice_str(texts[i]), &r->condition, &why),
			     texts[i]);
	}
	need(condition_compile(b->policy.set), "conditions");
}

static void make_notices(struct bench *b, struct notices *all)
{
	for (uint32_t i = 0; i < REQUEST; i++) {
		struct notice *n = (struct notice *)((uint8_t *)all->bytes + i * all->stride);
		uint64_t trace = b->started;
		if (random_next(b) % SPANS == 0)
			b->started++;
		else
			trace -= 1 + random_next(b) % b->live;
		uint64_t id[2] = {trace * 0xbf58476d1ce4e5b9, trace * 0x94d049bb133111eb};
		memcpy(n->trace_id, id, sizeof(id));
		n->identity = random_next(b);
		n->start_ns = 1000000000 + (n->identity & 0xffff);
		n->end_ns = n->start_ns + 1000;
		n->bytes = 700;
		n->more[1] = n->identity % 3 + 1;
	}
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void judge(struct bench *b)
{
	struct ruling r;
	uint64_t start = cpu_ns();
	int rc = sampler_decide(b->sampler, 1 << 30, b->chapter, b->now, &r);
	uint64_t took = cpu_ns() - start;
	b->decide_ns += took;
	b->worst_ns = took > b->worst_ns ? took : b->worst_ns;
	if (rc == SAMPLER_IDLE)
		return;
	need(rc, "decide");
	b->chapter += r.n_decisions != 0;
	b->kept += r.n_picks;
}

static void run(struct bench *b, uint64_t spans)
{
	uint64_t request_us = (uint64_t)REQUEST * WAIT_MS * 1000 / (b->live * SPANS), us = 0;
	b->spans = b->kept = b->notice_ns = b->decide_ns = b->worst_ns = 0;
	while (b->spans < spans) {
		make_notices(b, b->notices);
		b->notices->block_id = ++b->block;
		uint64_t start = cpu_ns();
		need(sampler_block(b->sampler, b->block, REQUEST, REQUEST * 700, b->now.unix_ms),
		     "block");
		need(sampler_notice(b->sampler, b->notices, b->now), "notice");
		uint64_t took = cpu_ns() - start;
		b->notice_ns += took;
		b->worst_ns = took > b->worst_ns ? took : b->worst_ns;
		b->spans += REQUEST;
		for (us += request_us; us >= TICK_MS * 1000; us -= TICK_MS * 1000) {
			b->now.mono_ms += TICK_MS;
			b->now.unix_ms += TICK_MS;
			judge(b);
		}
	}
}

static void measure(uint64_t live)
{
	struct bench b = {.now = {1000, 1767225600000}, .random = 1, .live = live};
	struct sampler_report r;
	b.started = live;
	make_policy(&b);
	struct sampler_options o = {.policy = &b.policy, .hash_key = {0x1234567, 0x89abcdef12345}};
	need(sampler_create(&b.sampler, &o), "create");
	uint32_t stride = sizeof(struct notice) + 2 * sizeof(uint64_t);
	b.notices = calloc(1, sizeof(*b.notices) + (size_t)REQUEST * stride);
	need(b.notices == NULL, "memory");
	b.notices->n = REQUEST;
	b.notices->stride = stride;
	run(&b, 3 * live * SPANS); /* as it is in the long run */
	uint64_t filled = b.worst_ns;
	run(&b, live * SPANS > LEAST ? live * SPANS : LEAST);
	sampler_report(b.sampler, &r);
	printf("%8llu traces %9llu spans  notice %5.1f  decide %5.1f  both %5.1f ns/span  longest "
	       "%.1f ms (filling %.1f)  kept %.1f %%  records %llu + %llu  %.1f MB\n",
	       (unsigned long long)r.traces, (unsigned long long)r.spans,
	       (double)b.notice_ns / (double)b.spans, (double)b.decide_ns / (double)b.spans,
	       (double)(b.notice_ns + b.decide_ns) / (double)b.spans, (double)b.worst_ns / 1e6,
	       (double)filled / 1e6, 100 * (double)b.kept / (double)b.spans,
	       (unsigned long long)r.kept_records, (unsigned long long)r.dropped_records,
	       (double)r.memory_bytes / 1e6);
	fflush(stdout);
	sampler_destroy(b.sampler);
	condition_set_destroy(b.policy.set);
	free(b.notices);
}

int main(int argc, char **argv)
{
	static const uint64_t usual[] = {1000, 100000, 1000000};
	for (int i = 1; i < argc; i++)
		measure(strtoull(argv[i], NULL, 10));
	for (size_t i = 0; i < 3 && argc < 2; i++)
		measure(usual[i]);
	return 0;
}

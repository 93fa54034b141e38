/* SPDX-License-Identifier: Apache-2.0
 * A call that finds no memory has done nothing: made again, all comes out as if it had been there
 * from the beginning. Every allocation of a run fails, one in each. */
#include <errno.h>

#include "base/log.h"
#include "sampler_fixture.h"

static uint64_t until_failure; /* 0: none */

#ifndef __SANITIZE_ADDRESS__ /* which has its own allocator */
static bool fails(void)
{
	return until_failure != 0 && --until_failure == 0;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}
void *aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}
#endif

enum { BLOCKS = 12, SPANS = 400, MANY = 1000000 };

struct outcome {
	uint64_t spans[VERDICTS], decisions, picks;
};

static struct span some_span(uint64_t i)
{
	i -= i % 10 == 1; /* comes twice */
	uint64_t trace = i * 7919 % 97;
	return (struct span){.trace = trace,
			     .low = trace % 3 == 0 ? HALF : 0,
			     .identity = (i + 1) * 0x9e3779b97f4a7c15u,
			     .flags = i % 11 == 0 ? NOTICE_ROOT : 0};
}

static void notice(struct world *w, struct notices *all, uint32_t *refused)
{
	while (sampler_block(w->sampler, all->block_id, SPANS, 100 * SPANS, w->now.unix_ms) != 0)
		++*refused;
	for (int rc; (rc = sampler_notice(w->sampler, all, w->now)) != 0; ++*refused)
		CHECK_EQ(rc, -ENOMEM);
}

/* Until nothing is due: where memory ends early, so does a ruling. */
static void decide(struct world *w, struct outcome *o, uint32_t *refused)
{
	int rc;
	while ((rc = sampler_decide(w->sampler, 1 << 30, w->chapter, w->now, &w->ruling)) !=
	       SAMPLER_IDLE) {
		CHECK(rc == 0 || rc == -ENOMEM);
		*refused += rc != 0;
		if (rc != 0)
			continue;
		w->chapter += w->ruling.n_decisions != 0;
		o->decisions += w->ruling.n_decisions;
		o->picks += w->ruling.n_picks;
		for (int v = 0; v < VERDICTS; v++)
			o->spans[v] += w->ruling.spans[v];
	}
}

/* The n-th allocation fails. Gives how often something was refused. */
static uint32_t run(uint64_t n, bool budget, struct outcome *o)
{
	static struct world w;
	static struct notices *all[BLOCKS];
	static struct span s[SPANS];
	uint32_t refused = 0;
	*o = (struct outcome){0};
	world_init(&w);
	w.policy.trace_spans = 100;
	w.policy.root_wait_ms = 500;
	world_last(&w, 0.5);
	if (budget) {
		w.rules[0].node = 0;
		world_node(&w, "total", BUDGET_ROOT, 1e6);
	}
	world_start(&w);
	for (uint32_t b = 0; b < BLOCKS; b++) {
		for (uint32_t i = 0; i < SPANS; i++)
			s[i] = some_span((b < 8 ? b : b - 8) * SPANS + i); /* the last are late */
		all[b] = make_notices(&w.policy, b + 1, 0, s, SPANS);
	}
	until_failure = n;
	for (uint32_t b = 0; b < BLOCKS; b++) {
		notice(&w, all[b], &refused);
		world_pass(&w, b == 7 ? 60000 : 300);
		decide(&w, o, &refused);
	}
	world_pass(&w, 60000);
	decide(&w, o, &refused);
	until_failure = until_failure == 0 ? 0 : MANY + until_failure;
	sampler_report(w.sampler, &w.report);
	CHECK_EQ(w.report.spans, 0);
	CHECK_EQ(w.report.bytes, 0);
	for (uint32_t b = 0; b < BLOCKS; b++)
		free(all[b]);
	world_end(&w);
	bool reached = until_failure == 0;
	until_failure = 0;
	return reached ? refused : UINT32_MAX;
}

static void each_failure(bool budget)
{
	struct outcome want, o;
	uint32_t refused = 0, one;
	run(0, budget, &want);
	CHECK(want.picks != 0 && want.spans[VERDICT_DUPLICATE] != 0 &&
	      want.spans[VERDICT_LATE] != 0);
	for (uint64_t n = 1; (one = run(n, budget, &o)) != UINT32_MAX; n++) {
		CHECK(memcmp(&o, &want, sizeof(o)) == 0);
		refused += one;
	}
#ifndef __SANITIZE_ADDRESS__
	CHECK(refused > 10);
#endif
}

static void test_nothing_is_half_done_without_memory(void)
{
	log_setup(LOG_ERROR, false);
	if (freopen("/dev/null", "w", stderr) == NULL)
		exit(1);
	each_failure(false);
	each_failure(true);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_nothing_is_half_done_without_memory));
}

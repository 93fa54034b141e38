/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "sampler_fixture.h"

enum { TRACES = 4000, SPANS = 3 };

static uint64_t low_of(uint64_t i)
{
	i = (i + 1) * 0x9e3779b97f4a7c15;
	return (i ^ i >> 29) * 0xbf58476d1ce4e5b9;
}

/* Traces of three spans, one of which came twice, in three blocks. */
static void put_traces(struct world *w)
{
	static struct span list[TRACES];
	for (int part = 0; part < SPANS; part++) {
		for (uint64_t i = 0; i < TRACES; i++)
			list[i] = (struct span){.trace = i,
						.low = low_of(i),
						.identity = (i * SPANS + (uint64_t)part + 1) << 20};
		world_block(w, list, TRACES);
	}
	world_block(w, list, 10);
	world_pass(w, w->policy.wait_ms);
	CHECK(world_decide(w));
	CHECK_EQ(w->ruling.n_decisions, TRACES);
}

static void decide_with(struct world *w, double share)
{
	world_init(w);
	world_last(w, 0.3);
	world_start(w);
	sampler_sample(w->sampler, share);
	put_traces(w);
}

static void test_a_sample_is_of_whole_traces_whatever_was_decided(void)
{
	struct world w;
	decide_with(&w, 0.5);
	const struct ruling *r = &w.ruling;
	static uint32_t spans[TRACES];
	size_t kept = 0;
	CHECK(fabs((double)r->n_sampled / TRACES - 0.5) < 0.03);
	CHECK_EQ(r->n_sample, r->n_sampled * SPANS);
	for (size_t i = 0; i < r->n_sample; i++) {
		const struct pick *p = &r->sample[i];
		spans[p->decision]++;
		CHECK(i == 0 || p->block_id > p[-1].block_id ||
		      (p->block_id == p[-1].block_id && p->at > p[-1].at));
	}
	for (size_t i = 0; i < r->n_sampled; i++) {
		CHECK_EQ(spans[r->sampled[i].decision], SPANS);
		CHECK(r->sampled[i].hash < sample_limit(0.5));
		kept += r->decisions[r->sampled[i].decision].verdict == VERDICT_KEPT;
	}
	CHECK(fabs((double)kept / (double)r->n_sampled - 0.3) < 0.03); /* as of all */
	CHECK(!r->sample_failed);
	world_end(&w);
}

static void test_a_smaller_sample_is_part_of_a_larger_one(void)
{
	struct world w;
	static uint64_t hashes[TRACES];
	size_t n = 0, same = 0;
	decide_with(&w, 0.5);
	for (size_t i = 0; i < w.ruling.n_sampled; i++)
		if (w.ruling.sampled[i].hash < sample_limit(0.1))
			hashes[n++] = w.ruling.sampled[i].hash;
	world_end(&w);
	decide_with(&w, 0.1);
	CHECK_EQ(w.ruling.n_sampled, n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			same += w.ruling.sampled[i].hash == hashes[k];
	CHECK_EQ(same, n);
	world_end(&w);
}

static void test_all_or_nothing(void)
{
	struct world w;
	decide_with(&w, 1);
	CHECK_EQ(w.ruling.n_sampled, TRACES);
	world_end(&w);
	decide_with(&w, 0);
	CHECK_EQ(w.ruling.n_sampled, 0);
	world_end(&w);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_sample_is_of_whole_traces_whatever_was_decided),
		   TEST(test_a_smaller_sample_is_part_of_a_larger_one), TEST(test_all_or_nothing));
	return 0;
}

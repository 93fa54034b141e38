/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

#include "pipeline/recording.h"

static struct policy_rule rules[] = {{.name = "errors"}, {.name = "rest"}};
static const struct policy POLICY = {.rules = rules, .n_rules = 2, .generation = 77};

static struct decision decided(uint8_t id, uint16_t rule, uint32_t spans)
{
	return (struct decision){
	    .trace_id = {id}, .rule = rule, .spans = spans, .bytes = 100 * spans, .randomness = 5};
}

static void make_part(struct buf *out)
{
	struct part p = {.begin_ms = 0};
	part_clear(&p, 1000);
	for (uint8_t i = 0; i < 10; i++) {
		struct decision d = decided(i, i % 2, i + 1u);
		part_count(&p, &d, i % 2 == 0);
		if (i < 3)
			CHECK_EQ(part_add(&p, &d, 0.3, POLICY.generation), 0);
	}
	p.late_spans = 4;
	p.late_bytes = 400;
	buf_append(&p.request, "spans", 5);
	CHECK_EQ(part_write(&p, &POLICY, 3000, out), 0);
	part_finish(&p);
}

static void test_a_part_is_read_as_it_was_written(void)
{
	struct buf bytes = {.data = NULL};
	struct part_view v;
	struct tally t;
	struct decision d;
	make_part(&bytes);
	CHECK_EQ(part_read(&v, buf_slice(&bytes)), 0);
	CHECK(v.begin_ms == 1000 && v.end_ms == 3000 && v.late_spans == 4 && v.late_bytes == 400);
	CHECK_EQ(v.n_rules, 2);
	CHECK_STR(part_rule(&v, 0), "errors");
	CHECK_STR(part_rule(&v, 1), "rest");
	part_tally(&v, 0, &t);
	CHECK(t.traces == 5 && t.spans == 25 && t.bytes == 2500 && t.kept_spans == 25);
	part_tally(&v, 1, &t);
	CHECK(t.traces == 5 && t.spans == 30 && t.kept_traces == 0 && t.kept_bytes == 0);
	CHECK_EQ(v.chapter.n, 3);
	CHECK(part_trace(&v, 2, &d) == 0.3);
	CHECK(d.trace_id[0] == 2 && d.spans == 3);
	CHECK(slice_is(v.request, "spans"));
	buf_finish(&bytes);
}

/* A part comes out of a parcel with a checksum: this is about files of other versions and bugs. */
static void test_a_part_that_is_cut_short_is_none(void)
{
	struct buf bytes = {.data = NULL};
	struct part_view v;
	make_part(&bytes);
	for (size_t len = 0; len < bytes.len - 5; len++)
		CHECK_EQ(part_read(&v, slice_of(bytes.data, len)), RECORDING_BAD);
	for (size_t i = 0; i < bytes.len; i++) { /* no byte of it is trusted with memory */
		bytes.data[i] ^= 0xff;
		if (part_read(&v, buf_slice(&bytes)) == 0)
			CHECK(v.n_rules == 2 && v.chapter.n == 3);
		bytes.data[i] ^= 0xff;
	}
	buf_finish(&bytes);
}

/* ---- how much is recorded ---- */

enum { LIMIT = 64 << 20 };
static const double RATIO = 0.2; /* of what is stored, to spans */

/* A relay whose ring is filled by what is recorded. */
struct ring {
	struct recording_rate rate;
	uint64_t now_ms;
	double bytes[8000]; /* stored, by second */
	int n;
};

static double held(const struct ring *r, int *oldest)
{
	double sum = 0;
	*oldest = r->n;
	while (*oldest > 0 && sum + r->bytes[*oldest - 1] <= LIMIT)
		sum += r->bytes[--*oldest];
	return sum;
}

static void seconds(struct ring *r, int n, double bytes_per_s)
{
	for (int i = 0; i < n; i++) {
		int oldest;
		double stored = 0;
		held(r, &oldest);
		for (int tick = 0; tick < 10; tick++) {
			double sample = r->rate.share * bytes_per_s / 10;
			stored += sample * RATIO;
			r->now_ms += 100;
			recording_rate_share(&r->rate, bytes_per_s / 10, r->n - oldest, r->now_ms);
			recording_rate_stored(&r->rate, sample, sample * RATIO);
		}
		r->bytes[r->n++] = stored;
	}
}

static struct ring fresh(void)
{
	struct ring r = {.now_ms = 1000};
	recording_rate_init(&r.rate, LIMIT, r.now_ms);
	return r;
}

static void test_a_quiet_relay_records_everything(void)
{
	struct ring r = fresh();
	CHECK(r.rate.share == 1);
	seconds(&r, 600, 50e3); /* 36 MB an hour */
	CHECK(r.rate.share == 1);
}

static void test_a_busy_one_covers_its_age_and_then_an_hour(void)
{
	static struct ring r;
	int oldest;
	r = fresh();
	seconds(&r, 60, 20e6);
	CHECK(r.rate.share > 0.01); /* a minute is enough to plan by */
	seconds(&r, 540, 20e6);
	held(&r, &oldest);
	CHECK(oldest < 0.4 * r.n);
	seconds(&r, 6600, 20e6);
	held(&r, &oldest);
	CHECK(r.n - oldest > 3300);
	double hour = r.rate.share * 20e6 * RATIO * 3600;
	CHECK(hour > 0.8 * LIMIT && hour < LIMIT);
}

static void test_the_share_falls_at_once_and_rises_slowly(void)
{
	static struct ring r;
	r = fresh();
	seconds(&r, 4000, 1e6);
	double before = r.rate.share;
	seconds(&r, 30, 50e6);
	double busy = r.rate.share;
	CHECK(busy < before / 30);
	seconds(&r, 10, 1e3);
	CHECK(r.rate.share < busy * 1.25 && r.rate.share > busy * 1.1);
	seconds(&r, 300, 1e3);
	CHECK(r.rate.share > before);
}

static void test_a_large_ring_is_not_filled_at_once(void)
{
	struct recording_rate r;
	recording_rate_init(&r, 256 << 20, 0);
	for (uint64_t ms = 100; ms <= 60000; ms += 100) {
		recording_rate_stored(&r, 1e6, 1e6);
		recording_rate_share(&r, 10e6, 0, ms);
	}
	CHECK(fabs(r.share * 100e6 / (64 << 10) - 1) < 0.02);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_part_is_read_as_it_was_written),
		   TEST(test_a_part_that_is_cut_short_is_none),
		   TEST(test_a_quiet_relay_records_everything),
		   TEST(test_a_busy_one_covers_its_age_and_then_an_hour),
		   TEST(test_the_share_falls_at_once_and_rises_slowly),
		   TEST(test_a_large_ring_is_not_filled_at_once));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metric.h"

#include <string.h>

#define COUNTER "counter"
#define GAUGE   "gauge"

static const struct {
	const char *kind, *name, *labels, *help;
} TABLE[] = {
#define METRIC(id, kind, name, labels, help) {kind, name, labels, help},
#include "base/metric.def"
#undef METRIC
};

/* Dense around the promises: ack p99 of 12 and 20 ms, a 5 ms linger, fsyncs from 0.2 ms. */
static const uint32_t BOUND_US[HISTOGRAM_BUCKETS] = {
    250, 500, 1000, 2500, 5000, 7500, 10000, 15000, 20000, 50000, 100000, 500000, 1000000, 5000000};

void histogram_observe(struct histogram *h, uint64_t us)
{
	unsigned i = 0;
	while (i < HISTOGRAM_BUCKETS && us > BOUND_US[i])
		i++;
	atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

static int render_histogram(const struct histogram *h, const char *name, const char *help,
			    struct buf *out)
{
	int rc = buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
	uint64_t total = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		total += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		rc |= buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, BOUND_US[i] / 1e6,
				 (unsigned long long)total);
	}
	total += atomic_load_explicit(&h->bucket[HISTOGRAM_BUCKETS], memory_order_relaxed);
	rc |= buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n", name,
			 (unsigned long long)total, name,
			 (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6, name,
			 (unsigned long long)total);
	return rc;
}

int metrics_render(const struct metrics *m, struct buf *out)
{
	int rc = 0;
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (i == 0 || strcmp(TABLE[i].name, TABLE[i - 1].name) != 0)
			rc |= buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", TABLE[i].name,
					 TABLE[i].help, TABLE[i].name, TABLE[i].kind);
		const char *open = *TABLE[i].labels ? "{" : "",
			   *close = *TABLE[i].labels ? "}" : "";
		rc |= buf_printf(out, "%s%s%s%s %llu\n", TABLE[i].name, open, TABLE[i].labels,
				 close, (unsigned long long)metric_get(m, (enum metric)i));
	}
	rc |= render_histogram(&m->ack, "spanrelay_ack_seconds",
			       "From a complete request to its answer.", out);
	rc |= render_histogram(&m->commit, "spanrelay_journal_commit_seconds",
			       "Journal transactions, begin to durable.", out);
	return rc;
}

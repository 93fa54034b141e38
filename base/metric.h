/* SPDX-License-Identifier: Apache-2.0
 * base/metric.h - counters and gauges that every room may touch, named in base/metric.def.
 * Counters only rise, for the life of a worker; the exact account over restarts is the ledger
 * (storage/store.h). Memory order is relaxed: a page may show sums that are a moment apart. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

enum metric {
#define METRIC(id, kind, name, labels, help) METRIC_##id,
#include "base/metric.def"
#undef METRIC
	METRIC_COUNT
};

/* Times in microseconds; the bounds are in base/metric.c and are shown in seconds. */
enum { HISTOGRAM_BUCKETS = 14 };
struct histogram {
	_Atomic uint64_t bucket[HISTOGRAM_BUCKETS + 1];
	_Atomic uint64_t sum_us;
};

struct metrics {
	_Atomic uint64_t value[METRIC_COUNT];
	struct histogram ack;    /* request complete -> answer handed to the connection */
	struct histogram commit; /* journal transaction, begin -> durable */
};

static inline void metric_add(struct metrics *m, enum metric id, uint64_t n)
{
	atomic_fetch_add_explicit(&m->value[id], n, memory_order_relaxed);
}

static inline void metric_set(struct metrics *m, enum metric id, uint64_t v)
{
	atomic_store_explicit(&m->value[id], v, memory_order_relaxed);
}

static inline uint64_t metric_get(const struct metrics *m, enum metric id)
{
	return atomic_load_explicit(&m->value[id], memory_order_relaxed);
}

void histogram_observe(struct histogram *h, uint64_t us);

/* Appends all of them in the Prometheus text format, version 0.0.4. 0 or BUF_FULL. */
int metrics_render(const struct metrics *m, struct buf *out);

#endif

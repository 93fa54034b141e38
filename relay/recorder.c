/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/recorder.h"

#include <stdlib.h>

#include "base/log.h"
#include "relay/ruling.h"

enum {
	PART_BYTES = 1 << 20,  /* of a part that goes at once */
	PART_MS = 2000,        /* and what a crash may cost */
	PART_MOST = 16 << 20,  /* while the disk does not answer */
	RULING_MOST = 2 << 20, /* of one ruling's sample, or one trace ... */
	FIRST_MS = 100,        /* the judge room's tick */
	TRACE_MOST = 16 << 20  /* ... of at most so much */
};

void recorder_init(struct recorder *r, const struct policy *policy, struct metrics *metrics,
		   struct sampler *sampler, uint64_t limit_bytes, uint64_t oldest_ms,
		   struct sampler_now now)
{
	*r = (struct recorder){
	    .policy = policy, .metrics = metrics, .oldest_ms = oldest_ms, .on = true};
	recording_rate_init(&r->rate, (double)limit_bytes, now.mono_ms);
	part_clear(&r->part, now.unix_ms);
	sampler_sample(sampler, r->rate.share);
}

void recorder_finish(struct recorder *r)
{
	part_finish(&r->part);
}

/* What is recorded of this time says nothing: as if it had not been. */
static void start_anew(struct recorder *r, uint64_t unix_ms)
{
	metric_add(r->metrics, METRIC_RECENT_LOST, 1);
	part_clear(&r->part, unix_ms);
	r->sample_bytes = 0;
}

void recorder_change(struct recorder *r, const struct policy *policy, struct sampler *sampler,
		     struct sampler_now now)
{
	if (!r->on)
		return;
	if (r->part.spans != 0)
		start_anew(r, now.unix_ms);
	r->policy = policy;
	sampler_sample(sampler, r->rate.share);
}

/* ---- what of a ruling's sample is recorded ---- */

static int by_hash(const void *a, const void *b)
{
	const struct sampled *x = a, *y = b;
	return (x->hash > y->hash) - (x->hash < y->hash);
}

/* The largest share that is not too much: the sample would have been those below it. Gives how many
 * of the sampled are in it, from the first on. */
static size_t cut(struct ruling *ruling, double *share)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < ruling->n_sampled; i++)
		bytes += ruling->decisions[ruling->sampled[i].decision].bytes;
	if (bytes <= RULING_MOST)
		return ruling->n_sampled;
	qsort(ruling->sampled, ruling->n_sampled, sizeof(*ruling->sampled), by_hash);
	bytes = 0;
	for (size_t i = 0; i < ruling->n_sampled; i++) {
		bytes += ruling->decisions[ruling->sampled[i].decision].bytes;
		if (bytes > (i == 0 ? TRACE_MOST : RULING_MOST)) {
			*share = (double)ruling->sampled[i].hash * 0x1p-64;
			return i;
		}
	}
	return ruling->n_sampled;
}

/* The spans as they came. A note that goes nowhere copies them as it would copy kept ones. */
static int copy_spans(struct recorder *r, const struct ruling *ruling, size_t n_picks,
		      const struct recorder_source *from)
{
	struct decision as_it_came = {.randomness = UINT64_MAX};
	struct ruling only = {.picks = ruling->sample,
			      .n_picks = n_picks,
			      .decisions = &as_it_came,
			      .n_decisions = 1};
	struct ruling_note *n = ruling_create();
	if (n == NULL)
		return BUF_FULL;
	int rc = ruling_fill(n, &only, from->reader, from->pending, from->pick);
	if (rc == 0) /* requests, one after the other, are one */
		rc = buf_append(&r->part.request, n->requests.data, n->requests.len);
	ruling_free(n);
	return rc;
}

/* Of the picks, those of traces that are recorded, each with the same mark. */
static size_t choose_picks(struct ruling *ruling, const uint8_t *is_recorded)
{
	size_t n = 0;
	for (size_t i = 0; i < ruling->n_sample; i++) {
		struct pick p = ruling->sample[i];
		if (!is_recorded[p.decision])
			continue;
		p.decision = 0;
		ruling->sample[n++] = p;
	}
	return n;
}

static int record(struct recorder *r, struct ruling *ruling, const struct recorder_source *from)
{
	double share = r->rate.share;
	size_t n = cut(ruling, &share);
	if (n == 0)
		return 0;
	uint8_t *is_recorded = calloc(ruling->n_decisions, 1);
	int rc = is_recorded == NULL ? BUF_FULL : 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct decision *d = &ruling->decisions[ruling->sampled[i].decision];
		is_recorded[ruling->sampled[i].decision] = 1;
		rc = part_add(&r->part, d, share, r->policy->generation);
		r->sample_bytes += d->bytes;
	}
	if (rc == 0)
		rc = copy_spans(r, ruling, choose_picks(ruling, is_recorded), from);
	free(is_recorded);
	metric_add(r->metrics, METRIC_RECENT_TRACES, rc == 0 ? n : 0);
	return rc;
}

/* ---- all of it ---- */

/* Gives the bytes of all that was decided. */
static uint64_t count(struct recorder *r, const struct ruling *ruling)
{
	uint64_t bytes = 0, kept = 0, kept_spans = 0;
	for (size_t i = 0; i < ruling->n_decisions; i++) {
		const struct decision *d = &ruling->decisions[i];
		bool is_kept = d->verdict == VERDICT_KEPT || r->policy->dry_run;
		part_count(&r->part, d, is_kept);
		bytes += d->bytes;
		kept += is_kept ? d->bytes : 0;
		kept_spans += is_kept ? d->spans : 0;
	}
	/* What is kept beyond whole traces came late. */
	const uint64_t *s = ruling->spans, *b = ruling->bytes;
	r->part.late_spans += s[VERDICT_LATE] + s[VERDICT_LATE_OVER];
	r->part.late_bytes += b[VERDICT_LATE] + b[VERDICT_LATE_OVER];
	r->part.late_spans += s[VERDICT_KEPT] > kept_spans ? s[VERDICT_KEPT] - kept_spans : 0;
	r->part.late_bytes += b[VERDICT_KEPT] > kept ? b[VERDICT_KEPT] - kept : 0;
	return bytes;
}

void recorder_take(struct recorder *r, struct ruling *ruling, const struct recorder_source *from,
		   struct sampler_now now)
{
	if (!r->on)
		return;
	if (!r->began) /* the time before the first traffic after a start says nothing of it */
		r->part.begin_ms = now.unix_ms - FIRST_MS;
	r->began = true;
	bool waits = r->out && r->part.request.len >= PART_MOST;
	uint64_t bytes = count(r, ruling);
	if (waits || ruling->sample_failed || record(r, ruling, from) != 0)
		start_anew(r, now.unix_ms);
	double age_s = r->oldest_ms != 0 && now.unix_ms > r->oldest_ms
			   ? (double)(now.unix_ms - r->oldest_ms) / 1000
			   : 0;
	recording_rate_share(&r->rate, (double)bytes, age_s, now.mono_ms);
	sampler_sample(from->sampler, r->rate.share);
}

void record_note_free(struct record_note *n)
{
	if (n == NULL)
		return;
	buf_finish(&n->bytes);
	free(n);
}

struct record_note *recorder_next(struct recorder *r, struct sampler_now now)
{
	bool full = r->part.request.len >= PART_BYTES;
	bool old = now.unix_ms >= r->part.begin_ms + PART_MS || now.unix_ms < r->part.begin_ms;
	if (!r->on || r->out || r->part.spans == 0 || !(full || old))
		return NULL;
	struct record_note *n = calloc(1, sizeof(*n));
	if (now.unix_ms < r->part.begin_ms) /* the clock was set back */
		r->part.begin_ms = now.unix_ms;
	if (n == NULL || part_write(&r->part, r->policy, now.unix_ms, &n->bytes) != 0) {
		record_note_free(n);
		start_anew(r, now.unix_ms);
		return NULL;
	}
	n->begin_ms = r->part.begin_ms;
	n->end_ms = now.unix_ms;
	n->spans = r->part.spans;
	n->sample_bytes = r->sample_bytes;
	part_clear(&r->part, now.unix_ms);
	r->sample_bytes = 0;
	r->out = true;
	return n;
}

void recorder_answered(struct recorder *r, struct record_note *n)
{
	r->out = false;
	if (n->rc == 0)
		recording_rate_stored(&r->rate, (double)n->sample_bytes, (double)n->stored);
	else
		metric_add(r->metrics, METRIC_RECENT_LOST, 1); /* logged where it happened */
	r->oldest_ms = n->oldest_ms;
	record_note_free(n);
}

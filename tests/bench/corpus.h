/* SPDX-License-Identifier: Apache-2.0
 * tests/bench/corpus.h - requests to measure with, made before the clock starts: spans of about 700
 * bytes with some 15 attributes, of the span, its event and its resource; every sixth is a root;
 * one to four resources a request. With secrets, one span in 200 has an access key. The same seed
 * gives the same bytes. */
#ifndef TESTS_BENCH_CORPUS_H
#define TESTS_BENCH_CORPUS_H

#include "base/buf.h"

struct sample {
	struct buf message; /* as it goes on the wire, after its gRPC prefix: plain or gzip */
	size_t plain_bytes; /* of it before compression */
	uint32_t spans;
	uint32_t *trace_ids; /* where they stand in a plain message; NULL: gzip */
	bool busy;           /* the user's own */
};

/* n requests; NULL: no memory. gzip is of level 6, as SDKs send it. */
struct sample *corpus_create(size_t n, uint32_t spans, uint64_t seed, bool gzip, bool secrets);
void corpus_destroy(struct sample *all, size_t n);

/* Gives all spans of a plain sample ids that no request had before, `per_trace` one trace; trace
 * ids end in 7 random bytes, as sampling wants them. */
void sample_renew(struct sample *s, uint32_t per_trace, uint64_t *counter);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * tests/bench/client.h - one connection of the load generator: OTLP requests out, statuses in.
 * Speaks gRPC by frames written by hand, or HTTP/1.1 with one request at a time. */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "base/tls.h"
#include "tests/bench/corpus.h"
#include "tests/bench/frame.h"
#include "wire/http1.h"

enum { CLIENT_STREAMS_MAX = 64, CLIENT_IN = 65536 };

struct call {
	uint32_t stream; /* 0: free */
	int status;      /* of gRPC, or of HTTP where there is none; -1: not yet known */
	int64_t window;
	uint64_t end_at;  /* in bytes of the connection: when the last of it is written */
	uint64_t sent_ns; /* when it was; 0: not yet */
};

struct client;
typedef void client_answer_fn(void *ctx, int status, uint64_t latency_ns);

struct client {
	int fd;
	struct tls_conn *tls; /* NULL: plain text */
	bool gzip, http1;
	client_answer_fn *on_answer;
	void *ctx;
	struct call calls[CLIENT_STREAMS_MAX];
	unsigned n_calls, n_open, n_unsent;
	uint32_t next_stream;
	struct sample *sending; /* not yet whole in `out` */
	struct call *sending_call;
	size_t sending_at; /* of prefix and message */
	struct buf out;
	size_t out_at; /* what of it is written */
	uint64_t queued, written;
	int64_t window;
	uint32_t initial_window;
	uint32_t unacknowledged; /* answers' bytes that the peer has no window for again */
	nghttp2_hd_inflater *inflater;
	struct http1 parser;
	int http1_status;
	struct buf in;
};

/* Connects (waits for it, and for TLS where `tls` is not NULL) to 127.0.0.1:port. 0 or -1. */
int client_open(struct client *c, unsigned port, struct tls *tls, unsigned streams, bool http1,
		bool gzip, client_answer_fn *on_answer, void *ctx);
void client_close(struct client *c);

bool client_has_room(const struct client *c);
/* Borrows s until s->busy is false; the caller has seen that there is room. */
void client_send(struct client *c, struct sample *s);
/* Both go as far as the socket lets them. 0, or -1 when the connection is no more. */
int client_write(struct client *c);
int client_read(struct client *c);

#endif

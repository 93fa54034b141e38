/* SPDX-License-Identifier: Apache-2.0
 * receivers/receiver.h - one protocol in which clients hand us spans: one const struct of functions
 * and one line in receivers/registry.c. A receiver judges heads and bodies; sockets, HTTP and
 * answers are common to all. Everything runs in an intake room. */
#ifndef RECEIVERS_RECEIVER_H
#define RECEIVERS_RECEIVER_H

#include "base/metric.h"
#include "wire/batch.h"
#include "wire/request.h"

/* Which listener a connection came by. */
enum port { PORT_GRPC, PORT_HTTP, PORTS };
extern const char *const PORT_NAMES[PORTS];

struct receiver {
	const char *name;
	bool grpc; /* answers stand in trailers */
	/* The head is read. ANSWER_NONE: let the body come. */
	enum answer (*on_head)(struct batch *b, const struct request_head *head,
			       size_t limit_bytes);
	/* A piece of the body, to be kept in b->body. ANSWER_NONE, or why not. */
	enum answer (*on_body)(struct batch *b, struct slice piece, size_t limit_bytes);
	/* All is here. ANSWER_NONE: decode it and send it on its way. */
	enum answer (*on_end)(struct batch *b);
};

extern const struct receiver RECEIVER_OTLP_GRPC, RECEIVER_OTLP_HTTP;

/* Never NULL: what nobody else wants is refused by the port's own receiver. */
const struct receiver *receiver_select(enum port port, const struct request_head *head);

/* receivers/answer.c: the status, words and counter of each answer. Bytes of the body are put into
 * `scratch`, which the response borrows. */
void answer_words(const struct batch *b, struct response *r, struct buf *scratch);
enum metric answer_metric(enum answer a);       /* METRIC_COUNT: none */
const char *answer_text(const struct batch *b); /* why, in English */

/* "/v1/traces", without a query. */
bool path_is(struct slice path, const char *want);

#endif

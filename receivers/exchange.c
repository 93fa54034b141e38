/* SPDX-License-Identifier: Apache-2.0
 * A request from its head to its answer, the same for HTTP/1.1 and HTTP/2. */
#include "receivers/conn.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/path.h"

/* Above this part of the memory account new requests are told to come back. */
enum { REFUSE_PERCENT = 80 };

struct exchange *exchange_begin(struct conn *c, struct h2_stream *stream)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (x == NULL)
		return NULL;
	x->conn = c;
	x->stream = stream;
	x->begun_ms = c->room->now_ms;
	list_add_tail(&c->exchanges, &x->link);
	c->room->n_exchanges++;
	c->was_used = true;
	return x;
}

void exchange_free(struct exchange *x)
{
	if (x == NULL)
		return;
	if (x->batch != NULL && x->away)
		x->batch->exchange = NULL; /* it comes back to nobody */
	else
		batch_free(x->batch);
	list_del(&x->link);
	x->conn->room->n_exchanges--;
	free(x);
}

enum answer exchange_head(struct exchange *x, const struct request_head *head)
{
	struct receivers *r = x->conn->room;
	const struct receiver *receiver = receiver_select(x->conn->port, head);
	struct batch *b = batch_create(r->o.intake, receiver, r->o.request_bytes);
	if (b == NULL)
		return NO_MEMORY;
	b->exchange = x;
	x->batch = b;
	if (x->conn->names != NULL)
		b->from = *x->conn->names;
	if (credentials_bearer(&b->from, head->authorization, head->two_authorizations) != 0)
		return NO_MEMORY;
	x->timeout_ms = grpc_timeout_ms(head->grpc_timeout);
	enum answer a = receiver->on_head(b, head, r->o.request_bytes);
	if (a == ANSWER_NONE && account_above(r->o.account, REFUSE_PERCENT))
		a = NO_MEMORY;
	if (a == ANSWER_NONE && batch_charge(b, r->o.account) != 0)
		a = NO_MEMORY;
	return a;
}

enum answer exchange_body(struct exchange *x, struct slice piece)
{
	struct receivers *r = x->conn->room;
	x->received += piece.len;
	metric_add(r->o.metrics, METRIC_RECEIVED_BYTES, piece.len);
	enum answer a = x->batch->receiver->on_body(x->batch, piece, r->o.request_bytes);
	if (a == ANSWER_NONE && batch_charge(x->batch, r->o.account) != 0)
		a = NO_MEMORY;
	return a;
}

static enum metric request_metric(const struct batch *b)
{
	if (b->receiver->grpc)
		return METRIC_REQUESTS_GRPC;
	return b->is_json ? METRIC_REQUESTS_HTTP_JSON : METRIC_REQUESTS_HTTP;
}

enum answer exchange_end(struct exchange *x)
{
	struct receivers *r = x->conn->room;
	struct batch *b = x->batch;
	b->whole_us = clock_ns(CLOCK_MONOTONIC) / 1000;
	enum answer a = b->receiver->on_end(b);
	if (a != ANSWER_NONE)
		return a;
	metric_add(r->o.metrics, request_metric(b), 1);
	a = batch_decode(b, r->codec, &r->o.limits, r->o.request_bytes, r->o.account);
	if (a != ACCEPTED)
		return a;
	metric_add(r->o.metrics, METRIC_DECODED_BYTES, b->body.len);
	metric_add(r->o.metrics, METRIC_REPAIRED_STRINGS, b->index.repaired);
	if (b->index.spans == 0 && b->index.rejected == 0)
		return ACCEPTED; /* nothing to keep and nothing to count (A9) */
	x->away = true;
	path_received(r->o.intake, b);
	return ANSWER_NONE;
}

static void count(struct receivers *r, const struct batch *b)
{
	enum metric refused = answer_metric(b->answer);
	if (refused != METRIC_COUNT) {
		metric_add(r->o.metrics, refused, 1);
		log_limited(LOG_WARN, "request refused", "receiver=%s why=\"%s\"",
			    b->receiver->name, answer_text(b));
	} else if (b->answer == ACCEPTED) {
		metric_add(r->o.metrics, METRIC_ACCEPTED_SPANS, b->index.spans);
		metric_add(r->o.metrics, METRIC_REJECTED_SPANS, b->index.rejected);
		histogram_observe(&r->o.metrics->ack,
				  clock_ns(CLOCK_MONOTONIC) / 1000 - b->whole_us);
	}
}

void exchange_answer(struct exchange *x, enum answer a)
{
	struct receivers *r = x->conn->room;
	struct batch *b = x->batch;
	struct response response;
	b->answer = a;
	count(r, b);
	answer_words(b, &response, &r->scratch);
	x->batch = NULL;
	conn_touch(x->conn);
	if (x->stream != NULL)
		h2_respond(x->stream, &response);
	else
		conn_http1_respond(x->conn, &response);
	batch_free(b);
}

void receivers_answer(struct receivers *r, struct batch *b)
{
	struct exchange *x = b->exchange;
	if (x == NULL) {
		metric_add(r->o.metrics, METRIC_STREAMS_RESET, 1);
		batch_free(b);
		return;
	}
	x->away = false;
	exchange_answer(x, b->answer);
}

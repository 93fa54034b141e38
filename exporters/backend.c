/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/backend.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "exporters/carrier.h"
#include "exporters/credential.h"

static const char USER_AGENT[] =
    "spanrelay/" SPANRELAY_VERSION " OTel-OTLP-Exporter-C/" SPANRELAY_VERSION;
static const char ALPN_H2[] = "\2h2", ALPN_BOTH[] = "\2h2\10http/1.1";

enum { MOST_CALLS = 64 }; /* exporters[].concurrency goes no further, and may change */

/* One call on its way: waiting for a connection, or on one. */
struct exchange {
	struct list link; /* backend.unused, .waiting or line.exchanges */
	struct backend *backend;
	struct line *line; /* NULL: not on a connection */
	struct export_call *call;
	struct http_call http;
	struct ev_timer timeout;
	uint64_t reads; /* of its carrier when it was sent */
	bool again;     /* it has been moved to another connection once */
	uint8_t prefix[BACKEND_PREFIX];
};

/* One connection. */
struct line {
	struct list link; /* backend.lines */
	struct backend *backend;
	struct carrier carrier;
	struct list exchanges; /* (exchange.link) */
};

struct backend {
	const struct conf_exporter *conf;
	struct ev_loop *loop;
	struct backend_protocol protocol;
	struct endpoint endpoint;
	char authority[ADDRESS_HOST + 16];
	struct tls *tls;
	struct carrier_form form;
	/* The fields of its secret headers are the last ones; they hold something only while a head
	 * is being written. */
	size_t n_plain, n_secret;
	_Atomic uint64_t *connects;
	struct list unused;  /* (exchange.link) as many as calls may be under way */
	struct list waiting; /* (exchange.link) */
	struct list lines;   /* (line.link) */
	bool http1;          /* what the last connection spoke: one call on each */
	struct exchange *exchanges;
};

static struct exchange *first_exchange(struct list *head)
{
	return list_empty(head) ? NULL : container_of(head->next, struct exchange, link);
}

/* The exchange is free again before its caller hears of it, who may send the next one at once. */
static void exchange_end(struct exchange *x)
{
	struct backend *b = x->backend;
	struct export_call *call = x->call;
	struct outcome outcome = b->protocol.judge(&x->http.response, clock_wall_ms());
	if (call->on_response != NULL)
		call->on_response(call, &x->http.response);
	http_response_finish(&x->http.response);
	ev_timer_stop(b->loop, &x->timeout);
	x->call = NULL;
	x->line = NULL;
	list_del(&x->link);
	list_add_tail(&b->unused, &x->link);
	call->on_done(call, outcome);
}

static void exchange_fail(struct exchange *x, enum http_end end, const char *reason)
{
	http_response_init(&x->http.response);
	x->http.response.end = end;
	x->http.response.lost = reason;
	exchange_end(x);
}

static void on_timeout(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct exchange *x = w->data;
	if (x->line != NULL) {
		carrier_cancel(&x->line->carrier, &x->http, x->reads);
		http_response_finish(&x->http.response);
	}
	exchange_fail(x, HTTP_TIMED_OUT, NULL);
}

static struct line *line_with_room(struct backend *b)
{
	list_for_each_safe(pos, tmp, &b->lines)
	{
		struct line *l = container_of(pos, struct line, link);
		if (carrier_has_room(&l->carrier))
			return l;
	}
	return NULL;
}

static void show_key(struct backend *b, const struct key *k)
{
	assert(k == NULL || k->n == b->n_secret); /* it was made for these headers */
	for (size_t i = 0; i < b->n_secret; i++)
		b->form.fields[b->n_plain + i].value =
		    k != NULL ? secret_reveal(k->values[i]) : slice_of(NULL, 0);
	b->form.n_fields = b->n_plain + (k != NULL ? b->n_secret : 0);
}

/* All secret headers of a request are of one generation. */
static bool put_on_line(struct exchange *x, struct line *l)
{
	if (x->call->on_going != NULL)
		x->call->on_going(x->call);
	show_key(x->backend, x->call->key);
	int rc = carrier_send(&l->carrier, &x->http);
	show_key(x->backend, NULL);
	if (rc != 0)
		return false;
	x->line = l;
	x->reads = l->carrier.reads;
	list_del(&x->link);
	list_add_tail(&l->exchanges, &x->link);
	return true;
}

static const struct carrier_events CARRIER_EVENTS; /* below: what comes of a line */

static bool open_line(struct backend *b)
{
	struct line *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return false;
	l->backend = b;
	list_init(&l->exchanges);
	if (carrier_open(&l->carrier, b->loop, &b->form, &CARRIER_EVENTS, l) != 0) {
		free(l);
		return false;
	}
	list_add_tail(&b->lines, &l->link);
	atomic_fetch_add_explicit(b->connects, 1, memory_order_relaxed);
	return true;
}

static size_t count(struct list *head)
{
	size_t n = 0;
	list_for_each_safe(pos, tmp, head) n++;
	return n;
}

static size_t count_opening(struct backend *b)
{
	size_t n = 0;
	list_for_each_safe(pos, tmp, &b->lines) n +=
	    carrier_is_opening(&container_of(pos, struct line, link)->carrier);
	return n;
}

/* Puts waiting calls on connections that have room, and opens as many as the rest needs. What
 * cannot be started for lack of memory waits for its time limit. */
static void dispatch(struct backend *b)
{
	while (!list_empty(&b->waiting)) {
		struct line *l = line_with_room(b);
		if (l == NULL)
			break;
		if (!put_on_line(first_exchange(&b->waiting), l))
			return;
	}
	if (list_empty(&b->waiting))
		return;
	size_t wanted = b->http1 ? count(&b->waiting) : 1;
	for (size_t n = count_opening(b); n < wanted; n++)
		if (!open_line(b))
			return;
}

static void on_room(void *ctx)
{
	struct line *l = ctx;
	l->backend->http1 = carrier_speaks_http1(&l->carrier);
	dispatch(l->backend);
}

/* A request that the peer surely or very likely never looked at goes again on another connection,
 * once and without a word: servers close connections that were idle or are old. Not so on a
 * connection that has brought no answer yet: that may be all this backend ever does. */
static bool may_move(const struct exchange *x)
{
	const struct http_response *r = &x->http.response;
	bool unseen = r->end == HTTP_NOT_TAKEN || (r->end == HTTP_LOST && r->status == 0);
	return unseen && !x->again && x->line->carrier.answers != 0;
}

static void on_ended(void *ctx, struct http_call *call)
{
	(void)ctx;
	struct exchange *x = container_of(call, struct exchange, http);
	if (!may_move(x)) {
		exchange_end(x);
		return;
	}
	http_response_finish(&call->response);
	x->again = true;
	x->line = NULL;
	list_del(&x->link);
	list_add_tail(&x->backend->waiting, &x->link);
}

static void on_closed(void *ctx, enum http_end end, const char *reason)
{
	struct line *l = ctx;
	struct backend *b = l->backend;
	bool never_open = carrier_is_opening(&l->carrier);
	list_del(&l->link);
	carrier_close(&l->carrier);
	free(l);
	if (!never_open) {
		dispatch(b);
		return;
	}
	if (count_opening(b) != 0)
		return; /* another one may still succeed */
	/* There is no connection to be had, and trying again at once would be a hot loop. Those who
	 * wait for one fail, but not those that come while we say so. */
	for (size_t n = count(&b->waiting); n > 0; n--)
		exchange_fail(first_exchange(&b->waiting), end, reason);
}

static const struct carrier_events CARRIER_EVENTS = {on_room, on_ended, on_closed};

static void fill_target(struct backend *b)
{
	const struct conf_exporter *conf = b->conf;
	const struct address *to = &b->endpoint.to;
	struct link_target *t = &b->form.target;
	t->to = *to;
	t->tls = b->tls;
	const char *name = conf->tls.server_name;
	t->name = *name != '\0' ? name : to->host;
	t->alpn = slice_str(b->protocol.http2_only ? ALPN_H2 : ALPN_BOTH);
	if (*name != '\0')
		snprintf(b->authority, sizeof(b->authority), "%s", name);
	else if (to->port == (b->endpoint.tls ? 443 : 80))
		snprintf(b->authority, sizeof(b->authority), to->v6 ? "[%s]" : "%s", to->host);
	else
		address_print(to, b->authority, sizeof(b->authority));
}

static void add_field(struct backend *b, const char *name, struct slice value, bool secret)
{
	b->form.fields[b->form.n_fields++] =
	    (struct http_field){.name = slice_str(name), .value = value, .secret = secret};
}

void backend_add_field(struct backend_protocol *p, const char *name, const char *value)
{
	assert(p->n_fields < BACKEND_FIELDS);
	p->fields[p->n_fields++] =
	    (struct http_field){.name = slice_str(name), .value = slice_str(value)};
}

static int fill_fields(struct backend *b)
{
	const struct conf_exporter *conf = b->conf;
	const struct backend_protocol *p = &b->protocol;
	b->form.n_fields = 0;
	b->form.fields = calloc(5 + p->n_fields + conf->n_headers, sizeof(*b->form.fields));
	if (b->form.fields == NULL)
		return -ENOMEM;
	add_field(b, ":method", slice_str("POST"), false);
	add_field(b, ":scheme", slice_str(b->endpoint.tls ? "https" : "http"), false);
	add_field(b, ":authority", slice_str(b->authority), false);
	add_field(b, ":path", slice_str(p->path), false);
	for (size_t i = 0; i < p->n_fields; i++)
		b->form.fields[b->form.n_fields++] = p->fields[i];
	add_field(b, "user-agent", slice_str(USER_AGENT), false);
	for (size_t i = 0; i < conf->n_headers; i++)
		if (conf->headers[i].source == SOURCE_TEXT)
			add_field(b, conf->headers[i].name, slice_str(conf->headers[i].value),
				  true);
	b->n_plain = b->form.n_fields;
	for (size_t i = 0; i < conf->n_headers; i++)
		if (conf->headers[i].source != SOURCE_TEXT)
			add_field(b, conf->headers[i].name, slice_of(NULL, 0), true);
	b->n_secret = b->form.n_fields - b->n_plain;
	show_key(b, NULL);
	return 0;
}

static int make_exchanges(struct backend *b)
{
	b->exchanges = calloc(MOST_CALLS, sizeof(*b->exchanges));
	if (b->exchanges == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < MOST_CALLS; i++) {
		struct exchange *x = &b->exchanges[i];
		x->backend = b;
		ev_timer_init(&x->timeout, on_timeout, 0., 0.);
		x->timeout.data = x;
		list_add_tail(&b->unused, &x->link);
	}
	return 0;
}

struct backend *backend_create(const struct conf_exporter *conf, struct tls *tls,
			       struct ev_loop *loop, const struct backend_protocol *protocol,
			       _Atomic uint64_t *connects)
{
	struct backend *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->conf = conf;
	b->loop = loop;
	b->protocol = *protocol;
	b->connects = connects;
	b->form.http2_only = protocol->http2_only;
	list_init(&b->unused);
	list_init(&b->waiting);
	list_init(&b->lines);
	const char *wanted = endpoint_read(&b->endpoint, conf->endpoint);
	if (wanted != NULL) {
		fail(-EINVAL, "exporter %s: endpoint is not %s", conf->name, wanted);
		goto undo;
	}
	assert(!b->endpoint.tls || tls != NULL);
	if (b->endpoint.tls)
		b->tls = tls_ref(tls);
	fill_target(b);
	if (fill_fields(b) != 0 || make_exchanges(b) != 0)
		goto undo;
	return b;
undo:
	backend_destroy(b);
	return NULL;
}

/* A connection writes a request's head when the request is handed to it, so the fields may go. */
int backend_take(struct backend *b, const struct conf_exporter *conf,
		 const struct backend_protocol *protocol)
{
	struct backend before = *b;
	b->conf = conf;
	b->protocol = *protocol;
	if (fill_fields(b) != 0) {
		b->conf = before.conf;
		b->protocol = before.protocol;
		b->form = before.form;
		return fail(-ENOMEM, "exporter %s: no memory", before.conf->name);
	}
	free(before.form.fields);
	fill_target(b);
	return 0;
}

void backend_renew(struct backend *b, struct tls *tls)
{
	if (b->tls == NULL) { /* plain text */
		tls_unref(tls);
		return;
	}
	tls_unref(b->tls);
	b->tls = b->form.target.tls = tls;
	list_for_each_safe(pos, tmp, &b->lines)
	    carrier_retire(&container_of(pos, struct line, link)->carrier);
}

/* gRPC's message frame: a flag, then the length in four bytes, big endian. */
static size_t write_prefix(const struct backend *b, uint8_t *at, size_t len)
{
	if (!b->protocol.prefixed)
		return 0;
	at[0] = b->protocol.compressed_flag;
	for (int i = 0; i < 4; i++)
		at[1 + i] = (uint8_t)(len >> (24 - 8 * i));
	return BACKEND_PREFIX;
}

void backend_send(struct backend *b, struct export_call *call)
{
	struct exchange *x = first_exchange(&b->unused);
	assert(x != NULL &&
	       call->body.len <= UINT32_MAX); /* the sender keeps to conf->concurrency */
	x->call = call;
	x->again = false;
	size_t n = write_prefix(b, x->prefix, call->body.len);
	x->http.body[0] = slice_of(x->prefix, n);
	x->http.body[1] = call->body;
	ev_timer_set(&x->timeout, (double)b->conf->timeout_ms / 1000., 0.);
	ev_timer_start(b->loop, &x->timeout);
	list_del(&x->link);
	list_add_tail(&b->waiting, &x->link);
	dispatch(b);
}

static void end_all(struct list *exchanges)
{
	for (size_t n = count(exchanges); n > 0; n--)
		exchange_fail(first_exchange(exchanges), HTTP_LOST, "shutting down");
}

void backend_destroy(struct backend *b)
{
	if (b == NULL)
		return;
	list_for_each_safe(pos, tmp, &b->lines)
	{
		struct line *l = container_of(pos, struct line, link);
		list_for_each_safe(x, next, &l->exchanges)
		    http_response_finish(&container_of(x, struct exchange, link)->http.response);
		list_del(&l->link);
		carrier_close(&l->carrier);
		end_all(&l->exchanges);
		free(l);
	}
	end_all(&b->waiting);
	free(b->exchanges);
	free(b->form.fields);
	tls_unref(b->tls);
	free(b);
}

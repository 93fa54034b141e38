/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/list.h"
#include "base/log.h"
#include "relay/admin_page.h"
#include "relay/reload.h"
#include "wire/http1.h"

enum {
	MAX_CONNECTIONS = 64,     /* further ones wait in the kernel */
	MAX_REQUEST_BYTES = 8192, /* head and body, which nobody reads */
};
static const double CONNECTION_S = 10.0;  /* for a request, for an answer, and between two */
static const double LEDGER_S = 2.0;       /* then the store room is told to be slow */
static const double ACCEPT_PAUSE_S = 1.0; /* when there is no descriptor left */

struct admin {
	struct admin_options o;
	uint64_t started_unix_ms, started_mono_ms;
	struct ev_io accept;
	struct ev_timer accept_pause, patience;
	struct list clients; /* client.link */
	struct list waiting; /* client.link: for the ledger */
	struct list asking;  /* client.link: for an explanation */
	struct list turning; /* client.link: for a reload to be over */
	uint64_t tickets;
	uint32_t n_clients;
	bool asked;
};

enum page_kind {
	PAGE_LIVE,
	PAGE_READY,
	PAGE_METRICS,
	PAGE_STATUS,
	PAGE_EXPLAIN,
	PAGE_SEND, /* from here on: POST */
	PAGE_CLEAR,
	PAGE_RELOAD,
	PAGE_DROP_PREVIOUS,
	PAGE_NONE
};
enum { EXPLAIN_LEN = sizeof("/explain/") - 1 };
enum { EXPORTER_ALL = -1, EXPORTER_UNKNOWN = -2 };

struct client {
	struct admin *admin;
	struct list link; /* admin.clients or admin.waiting */
	int fd;
	struct ev_io io;
	struct ev_timer timer;
	struct http1 http;
	size_t request_bytes;
	enum page_kind page;
	uint64_t ticket;      /* while it is in admin.asking */
	uint8_t trace_id[16]; /* for PAGE_EXPLAIN */
	bool wrong_id;
	int exporter; /* its index in conf, for commands */
	bool dry_run; /* for PAGE_RELOAD */
	bool wrong_type;
	bool wrong_method, head_only, keep_alive;
	bool complete; /* the request is; its answer is not written yet */
	struct buf out;
};

static void client_destroy(struct client *c)
{
	struct admin *a = c->admin;
	ev_io_stop(a->o.loop, &c->io);
	ev_timer_stop(a->o.loop, &c->timer);
	close(c->fd);
	list_del(&c->link);
	http1_finish(&c->http);
	buf_finish(&c->out);
	free(c);
	a->n_clients--;
	if (!ev_is_active(&a->accept_pause))
		ev_io_start(a->o.loop, &a->accept);
}

static void client_watch(struct client *c, int events)
{
	struct ev_loop *loop = c->admin->o.loop;
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->fd, events);
	if (events != 0)
		ev_io_start(loop, &c->io);
	ev_timer_again(loop, &c->timer);
}

/* Writes what it can; the rest when the socket has room. Then the next request, or the end. */
static void client_flush(struct client *c)
{
	while (c->out.len != 0) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			client_watch(c, EV_WRITE);
			return;
		}
		if (n < 0) {
			client_destroy(c);
			return;
		}
		buf_consume(&c->out, (size_t)n);
	}
	if (!c->keep_alive) {
		client_destroy(c);
		return;
	}
	buf_finish(&c->out); /* a page may have been large */
	c->complete = false;
	c->request_bytes = 0;
	client_watch(c, EV_READ);
}

static void respond(struct client *c, unsigned status, const char *type, struct slice body)
{
	c->out.limit = PAGE_MAX_BYTES + 1024;
	int full = buf_printf(&c->out,
			      "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			      "Cache-Control: no-store\r\n%s%s\r\n",
			      status, http_status_str((enum http_status)status), type, body.len,
			      status != 405          ? ""
			      : c->page >= PAGE_SEND ? "Allow: POST\r\n"
						     : "Allow: GET, HEAD\r\n",
			      c->keep_alive ? "" : "Connection: close\r\n");
	if (!c->head_only)
		full |= buf_append(&c->out, body.data, body.len);
	if (full != 0)
		client_destroy(c);
	else
		client_flush(c);
}

static void respond_line(struct client *c, unsigned status, const char *line)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "%s\n", line);
	respond(c, status, "text/plain; charset=utf-8", slice_of(text, (size_t)len));
}

static void respond_page(struct client *c, const struct ledger *ledger,
			 const struct judge_view *judge)
{
	struct admin *a = c->admin;
	struct page page = {.conf = a->o.conf,
			    .metrics = a->o.metrics,
			    .ledger = ledger,
			    .judge = judge,
			    .charged_bytes = atomic_load(&a->o.account->used),
			    .started_unix_ms = a->started_unix_ms,
			    .uptime_ms = clock_mono_ms() - a->started_mono_ms,
			    .not_ready = a->o.not_ready(a->o.ctx),
			    .rules = a->o.rules,
			    .certificates = a->o.certificates,
			    .checkpoint = a->o.checkpoint,
			    .redacted = a->o.redacted,
			    .ctx = a->o.ctx};
	for (unsigned i = 0; i < a->o.conf->n_exporters; i++) {
		page.senders[i] = a->o.stats(a->o.ctx, i);
		page.rings[i] =
		    a->o.keyring != NULL ? a->o.keyring(a->o.ctx, i, &page.ring_is_old[i]) : NULL;
		page.exporter_tls[i] =
		    a->o.certificate != NULL ? a->o.certificate(a->o.ctx, i) : NULL;
		for (int box = PLACE_OUTBOX; box < PLACES; box++)
			page.box_bytes[i][box] = a->o.box_bytes(a->o.ctx, i, (enum span_place)box);
	}
	metric_set(a->o.metrics, METRIC_MEMORY_CHARGED_BYTES, page.charged_bytes);
	bool metrics = c->page == PAGE_METRICS;
	struct buf body = {.limit = PAGE_MAX_BYTES};
	int full = metrics ? page_metrics(&page, &body) : page_status(&page, &body);
	if (full != 0)
		respond_line(c, 503, "no memory for this page");
	else
		respond(c, 200,
			metrics ? "text/plain; version=0.0.4; charset=utf-8" : "application/json",
			buf_slice(&body));
	buf_finish(&body);
}

static void wait_for_ledger(struct client *c)
{
	struct admin *a = c->admin;
	bool first = list_empty(&a->waiting);
	client_watch(c, 0);
	list_del(&c->link);
	list_add_tail(&a->waiting, &c->link);
	if (first)
		ev_timer_again(a->o.loop, &a->patience);
	if (!a->asked) {
		a->asked = true;
		a->o.ask_ledger(a->o.ctx);
	}
}

static void command_one(const struct admin_options *o, unsigned exporter, enum page_kind what)
{
	if (what == PAGE_DROP_PREVIOUS)
		o->drop_previous(o->ctx, exporter);
	else
		o->quarantine(o->ctx, exporter, what == PAGE_SEND);
}

static void command(struct client *c)
{
	const struct admin_options *o = &c->admin->o;
	if (c->wrong_type) {
		respond_line(c, 415, "content-type: application/json, please");
	} else if (c->exporter == EXPORTER_UNKNOWN) {
		respond_line(c, 404, "there is no such exporter");
	} else {
		for (unsigned i = 0; i < o->conf->n_exporters; i++)
			if (c->exporter == EXPORTER_ALL || c->exporter == (int)i)
				command_one(o, i, c->page);
		respond_line(c, 200, "ok");
	}
}

/* However long it takes: an exporter may have to end what is in flight. */
static void reload(struct client *c)
{
	struct admin *a = c->admin;
	if (c->wrong_type) {
		respond_line(c, 415, "content-type: application/json, please");
		return;
	}
	client_watch(c, 0);
	ev_timer_stop(a->o.loop, &c->timer);
	list_del(&c->link);
	list_add_tail(&a->turning, &c->link);
	c->ticket = a->o.reload(a->o.ctx, c->dry_run);
}

static void explain(struct client *c)
{
	struct admin *a = c->admin;
	if (c->wrong_id) {
		respond_line(c, 400, "wanted /explain/ and a trace id, 32 hexadecimal digits");
		return;
	}
	c->ticket = ++a->tickets;
	client_watch(c, 0); /* its own timer ends it where no answer comes */
	list_del(&c->link);
	list_add_tail(&a->asking, &c->link);
	if (!a->o.explain(a->o.ctx, c->ticket, c->trace_id))
		admin_on_explained(a, c->ticket, NULL);
}

static void answer(struct client *c)
{
	const char *why = c->admin->o.not_ready(c->admin->o.ctx);
	if (c->page == PAGE_NONE)
		respond_line(c, 404,
			     "there are /metrics, /status, /explain/TRACE_ID, /_ready and /_live");
	else if (c->wrong_method)
		respond_line(c, 405, c->page >= PAGE_SEND ? "POST only" : "GET and HEAD only");
	else if (c->page == PAGE_RELOAD)
		reload(c);
	else if (c->page >= PAGE_SEND)
		command(c);
	else if (c->page == PAGE_EXPLAIN)
		explain(c);
	else if (c->page == PAGE_LIVE)
		respond_line(c, 200, "ok");
	else if (c->page == PAGE_READY)
		respond_line(c, why == NULL ? 200 : 503, why == NULL ? "ready" : why);
	else
		wait_for_ledger(c);
}

/* Takes the next one off the list of those who wait; it goes back among the others. */
static struct client *next_waiting(struct admin *a)
{
	if (list_empty(&a->waiting))
		return NULL;
	struct client *c = container_of(a->waiting.next, struct client, link);
	list_del(&c->link);
	list_add_tail(&a->clients, &c->link);
	return c;
}

void admin_on_ledger(struct admin *a, const struct ledger *ledger, const struct judge_view *judge)
{
	a->asked = false;
	ev_timer_stop(a->o.loop, &a->patience);
	for (struct client *c = next_waiting(a); c != NULL; c = next_waiting(a))
		respond_page(c, ledger, judge);
}

static void on_patience_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)events;
	struct admin *a = timer->data;
	ev_timer_stop(loop, timer);
	a->asked = false;
	for (struct client *c = next_waiting(a); c != NULL; c = next_waiting(a))
		respond_line(c, 503, "the store room does not answer: is the disk slow?");
}

void admin_use(struct admin *a, const struct conf *conf, const struct ruleset *rules)
{
	a->o.conf = conf;
	a->o.rules = rules;
}

void admin_on_reloaded(struct admin *a, const struct reload_note *n)
{
	struct buf body = {.limit = PAGE_MAX_BYTES};
	int full = page_reload(n, &body);
	list_for_each_safe(pos, tmp, &a->turning)
	{
		struct client *c = container_of(pos, struct client, link);
		if (c->ticket != n->turn)
			continue;
		list_del(&c->link);
		list_add_tail(&a->clients, &c->link);
		if (full != 0)
			respond_line(c, 503, "no memory for this page");
		else
			respond(c, 200, "application/json", buf_slice(&body));
	}
	buf_finish(&body);
}

void admin_on_explained(struct admin *a, uint64_t ticket, const struct explanation *e)
{
	struct buf body = {.limit = PAGE_MAX_BYTES};
	struct client *found = NULL;
	list_for_each_safe(pos, tmp, &a->asking)
	{
		struct client *c = container_of(pos, struct client, link);
		if (c->ticket == ticket)
			found = c;
	}
	if (found == NULL)
		return; /* it went away */
	list_del(&found->link);
	list_add_tail(&a->clients, &found->link);
	if (e == NULL)
		respond_line(found, 404,
			     "nothing is judged here: there are no rules and no budgets");
	else if (page_explanation(e, &body) != 0)
		respond_line(found, 503, "no memory for this page");
	else
		respond(found, 200, "application/json", buf_slice(&body));
	buf_finish(&body);
}

static struct slice query_of(struct slice target)
{
	const uint8_t *query = memchr(target.data, '?', target.len);
	return query == NULL ? slice_of(target.data + target.len, 0)
			     : slice_of(query, target.len - (size_t)(query - target.data));
}

/* "?exporter=NAME"; names have no character that would be escaped. */
static int exporter_of(const struct admin *a, struct slice query)
{
	static const char KEY[] = "?exporter=";
	size_t key = sizeof(KEY) - 1;
	if (query.len == 0)
		return EXPORTER_ALL;
	if (query.len < key || memcmp(query.data, KEY, key) != 0)
		return EXPORTER_UNKNOWN;
	struct slice name = slice_of(query.data + key, query.len - key);
	for (unsigned i = 0; i < a->o.conf->n_exporters; i++)
		if (slice_is(name, a->o.conf->exporters[i].name))
			return (int)i;
	return EXPORTER_UNKNOWN;
}

static enum page_kind page_of(struct slice target)
{
	static const char *const PATHS[] = {"/_live",
					    "/_ready",
					    "/metrics",
					    "/status",
					    "/explain/",
					    "/quarantine/send",
					    "/quarantine/clear",
					    "/reload",
					    "/credentials/drop-previous"};
	if (target.len > EXPLAIN_LEN && memcmp(target.data, "/explain/", EXPLAIN_LEN) == 0)
		return PAGE_EXPLAIN;
	target.len -= query_of(target).len;
	for (int i = 0; i < PAGE_NONE; i++)
		if (slice_is(target, PATHS[i]))
			return (enum page_kind)i;
	return PAGE_NONE;
}

/* Of "/explain/" and 32 digits. */
static bool read_trace_id(uint8_t *id, struct slice target)
{
	if (target.len != EXPLAIN_LEN + 32)
		return false;
	for (size_t i = 0; i < 16; i++) {
		int high = hex_digit(target.data[EXPLAIN_LEN + 2 * i]);
		int low = hex_digit(target.data[EXPLAIN_LEN + 2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		id[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int on_head(void *ctx, const struct http1_head *head)
{
	struct client *c = ctx;
	c->head_only = slice_is(head->method, "HEAD");
	c->page = page_of(head->target);
	if (c->page >= PAGE_SEND && c->page < PAGE_NONE)
		c->wrong_method = !slice_is(head->method, "POST");
	else
		c->wrong_method = !c->head_only && !slice_is(head->method, "GET");
	c->wrong_type = !slice_is_nocase(head->content_type, "application/json");
	c->wrong_id = c->page == PAGE_EXPLAIN && !read_trace_id(c->trace_id, head->target);
	c->exporter = exporter_of(c->admin, query_of(head->target));
	c->dry_run = slice_is(query_of(head->target), "?dry_run");
	c->keep_alive = head->keep_alive;
	return 0;
}

static int on_body(void *ctx, struct slice piece)
{
	(void)ctx, (void)piece;
	return 0;
}

static int on_complete(void *ctx)
{
	struct client *c = ctx;
	c->complete = true;
	return 0;
}

static const struct http1_events EVENTS = {on_head, on_body, on_complete};

static void respond_malformed(struct client *c, unsigned status, const char *line)
{
	c->keep_alive = c->head_only = false;
	respond_line(c, status, line);
}

static void client_read(struct client *c)
{
	uint8_t bytes[MAX_REQUEST_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_destroy(c);
		return;
	}
	int rc = http1_feed(&c->http, slice_of(bytes, (size_t)n));
	c->request_bytes += (size_t)n;
	if (rc == HTTP1_TOO_LARGE || c->request_bytes > MAX_REQUEST_BYTES) {
		respond_malformed(c, 413, "too large a request");
	} else if (rc != 0) {
		respond_malformed(c, 400, "no HTTP/1.1 request");
	} else if (c->complete) {
		if (c->http.unread != 0)
			c->keep_alive = false; /* nobody here pipelines: one answer, then the end */
		answer(c);
	}
}

static void on_client(struct ev_loop *loop, struct ev_io *io, int events)
{
	(void)loop;
	struct client *c = io->data;
	if (events & EV_WRITE)
		client_flush(c);
	else
		client_read(c);
}

static void on_client_timeout(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	client_destroy(timer->data);
}

static void client_create(struct admin *a, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	if (c == NULL) {
		close(fd);
		return;
	}
	c->admin = a;
	c->fd = fd;
	http1_init(&c->http, false, &EVENTS, c);
	c->http.one_at_a_time = true;
	ev_io_init(&c->io, on_client, fd, EV_READ);
	ev_timer_init(&c->timer, on_client_timeout, 0, CONNECTION_S);
	c->io.data = c->timer.data = c;
	list_add_tail(&a->clients, &c->link);
	client_watch(c, EV_READ);
	if (++a->n_clients == MAX_CONNECTIONS)
		ev_io_stop(a->o.loop, &a->accept);
}

static void on_accept(struct ev_loop *loop, struct ev_io *io, int events)
{
	(void)events;
	struct admin *a = io->data;
	int fd = accept4(a->o.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		client_create(a, fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_limited(LOG_WARN, "admin page cannot accept", "errno=%d", errno);
		ev_io_stop(loop, io);
		ev_timer_again(loop, &a->accept_pause);
	}
}

static void on_accept_pause_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)events;
	struct admin *a = timer->data;
	ev_timer_stop(loop, timer);
	if (a->n_clients < MAX_CONNECTIONS)
		ev_io_start(loop, &a->accept);
}

struct admin *admin_start(const struct admin_options *o)
{
	struct admin *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->o = *o;
	a->started_unix_ms = clock_wall_ms();
	a->started_mono_ms = clock_mono_ms();
	list_init(&a->clients);
	list_init(&a->waiting);
	list_init(&a->asking);
	list_init(&a->turning);
	ev_timer_init(&a->accept_pause, on_accept_pause_end, 0, ACCEPT_PAUSE_S);
	ev_timer_init(&a->patience, on_patience_end, 0, LEDGER_S);
	ev_io_init(&a->accept, on_accept, o->fd, EV_READ);
	a->accept.data = a->accept_pause.data = a->patience.data = a;
	ev_io_start(o->loop, &a->accept);
	return a;
}

void admin_stop(struct admin *a)
{
	if (a == NULL)
		return;
	list_for_each_safe(pos, tmp, &a->clients)
	    client_destroy(container_of(pos, struct client, link));
	list_for_each_safe(pos, tmp, &a->waiting)
	    client_destroy(container_of(pos, struct client, link));
	list_for_each_safe(pos, tmp, &a->asking)
	    client_destroy(container_of(pos, struct client, link));
	list_for_each_safe(pos, tmp, &a->turning)
	    client_destroy(container_of(pos, struct client, link));
	ev_io_stop(a->o.loop, &a->accept);
	ev_timer_stop(a->o.loop, &a->accept_pause);
	ev_timer_stop(a->o.loop, &a->patience);
	free(a);
}

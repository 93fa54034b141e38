/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_status.c - /status: one JSON object. Endpoints are shown without path, and headers
 * not at all. */
#include <sys/statvfs.h>
#include <unistd.h>

#include "relay/admin_page.h"
#include "relay/process.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* NULL, and text that is not UTF-8, come out as null. Where memory is out, jansson hands NULLs on
 * until the dump fails. */
static json_t *text(const char *s)
{
	json_t *j = s != NULL ? json_string(s) : NULL;
	return j != NULL ? j : json_null();
}

static json_t *of_metric(const struct page *p, enum metric id)
{
	return number(metric_get(p->metrics, id));
}

static json_t *listeners(const struct conf *c)
{
	json_t *o = json_object();
	json_object_set_new(o, "otlp_grpc", text(c->grpc.listen));
	json_object_set_new(o, "otlp_http", text(c->http.listen));
	json_object_set_new(o, "admin", text(c->admin.listen));
	return o;
}

static json_t *disk_free(const struct page *p)
{
	struct statvfs fs;
	if (statvfs(p->conf->data_dir, &fs) != 0)
		return json_null();
	return number((uint64_t)fs.f_bavail * fs.f_frsize);
}

static json_t *journal(const struct page *p)
{
	json_t *o = json_object();
	json_object_set_new(o, "data_dir", text(p->conf->data_dir));
	json_object_set_new(o, "disk_free_bytes", disk_free(p));
	json_object_set_new(o, "blocks", of_metric(p, METRIC_JOURNAL_BLOCKS));
	json_object_set_new(o, "bad_blocks", of_metric(p, METRIC_JOURNAL_BAD_BLOCKS));
	json_object_set_new(o, "live_bytes", of_metric(p, METRIC_JOURNAL_LIVE_BYTES));
	json_object_set_new(o, "limit_bytes", of_metric(p, METRIC_JOURNAL_LIMIT_BYTES));
	return o;
}

static json_t *account(const struct ledger *l)
{
	json_t *o = json_object();
	json_object_set_new(o, "received", number(l->received));
	json_object_set_new(o, "rejected", number(l->rejected));
	json_object_set_new(o, "accepted", number(l->accepted));
	json_object_set_new(o, "pending", number(l->pending));
	json_t *judged = json_object();
	for (int v = 0; v < VERDICTS; v++)
		json_object_set_new(judged, VERDICT_NAMES[v], number(l->judged[v]));
	json_object_set_new(o, "judged", judged);
	return o;
}

static json_t *memory(const struct page *p)
{
	struct process process;
	process_read(&process);
	json_t *o = json_object();
	json_object_set_new(o, "anonymous_bytes", number(process.anonymous_bytes));
	json_object_set_new(o, "charged_bytes", number(p->charged_bytes));
	json_object_set_new(o, "limit_bytes", of_metric(p, METRIC_MEMORY_LIMIT_BYTES));
	return o;
}

static void add_account(json_t *o, const struct ledger_exporter *l)
{
	json_t *dropped = json_object();
	for (unsigned r = 0; r < DROP_REASONS; r++)
		json_object_set_new(dropped, DROP_REASON_NAMES[r], number(l->dropped[r]));
	json_object_set_new(o, "entered", number(l->entered));
	json_object_set_new(o, "sent", number(l->sent));
	json_object_set_new(o, "backend_rejected", number(l->backend_rejected));
	json_object_set_new(o, "dropped", dropped);
	json_object_set_new(o, "buffered", number(ledger_buffered(l)));
	for (unsigned k = 0; k < PLACES; k++)
		json_object_set_new(o, PLACE_NAMES[k], number(l->held[k]));
}

static void add_sender(json_t *o, const struct sender_stats *s)
{
	int state = atomic_load_explicit(&s->state, memory_order_relaxed);
	json_object_set_new(o, "state", text(SENDER_STATE_NAMES[state]));
	json_object_set_new(o, "last_status", json_integer(s->last_status));
	json_object_set_new(o, "next_try_unix_ms", number(s->next_try_unix_ms));
	json_object_set_new(o, "requests", number(s->requests));
	json_object_set_new(o, "retries", number(s->retries));
	json_object_set_new(o, "inflight", number(s->inflight));
	json_object_set_new(o, "connects", number(s->connects));
	json_object_set_new(o, "sent_bytes", number(s->sent_bytes));
	json_object_set_new(o, "body_bytes", number(s->body_bytes));
	json_object_set_new(o, "spilling", json_boolean(s->spilling));
	json_object_set_new(o, "spilled_spans", number(s->spilled_spans));
	json_object_set_new(o, "drained_spans", number(s->drained_spans));
	json_object_set_new(o, "quarantined_spans", number(s->quarantined_spans));
	json_object_set_new(o, "fresh_rate", number(s->fresh_rate));
	json_object_set_new(o, "drain_rate", number(s->drain_rate));
	json_object_set_new(o, "fresh_delay_ms", number(s->fresh_delay_ms));
	json_object_set_new(o, "oldest_unix_ms", number(s->oldest_unix_ms));
	json_object_set_new(o, "waiting_bytes", number(s->waiting_bytes));
}

static const struct ledger_exporter *find_account(const struct ledger *l, const char *name)
{
	for (unsigned i = 0; i < l->n_exporters; i++)
		if (strcmp(l->exporter[i].name, name) == 0)
			return &l->exporter[i];
	return NULL;
}

static json_t *exporters(const struct page *p)
{
	static const char *const PROTOCOLS[] = {"grpc", "http/protobuf", "terminal"};
	json_t *list = json_array();
	for (unsigned i = 0; i < p->conf->n_exporters; i++) {
		const struct conf_exporter *e = &p->conf->exporters[i];
		json_t *o = json_object();
		json_object_set_new(o, "name", text(e->name));
		json_object_set_new(o, "protocol", text(PROTOCOLS[e->protocol]));
		json_object_set_new(o, "endpoint", text(e->endpoint));
		json_object_set_new(o, "chosen_by", text(e->chosen_by));
		json_object_set_new(o, "tls", page_exporter_tls(p, i));
		if (p->senders[i] != NULL)
			add_sender(o, p->senders[i]);
		json_object_set_new(o, "credential", page_credential(p, i));
		json_object_set_new(o, "outbox_bytes", number(p->box_bytes[i][PLACE_OUTBOX]));
		json_object_set_new(o, "outbox_limit_bytes", number(e->outbox.limit_bytes));
		json_object_set_new(o, "quarantine_bytes",
				    number(p->box_bytes[i][PLACE_QUARANTINE]));
		const struct ledger_exporter *l = find_account(p->ledger, e->name);
		if (l != NULL)
			add_account(o, l);
		json_array_append_new(list, o);
	}
	return list;
}

/* Not configured any more; their accounts stay, so that the sums are right. */
static json_t *removed(const struct ledger *l)
{
	json_t *list = json_array();
	for (unsigned i = l->n_exporters; i < l->n_exporters + l->n_removed; i++) {
		json_t *o = json_object();
		json_object_set_new(o, "name", text(l->exporter[i].name));
		add_account(o, &l->exporter[i]);
		json_array_append_new(list, o);
	}
	return list;
}

static int append(const char *bytes, size_t len, void *out)
{
	return buf_append(out, bytes, len) == 0 ? 0 : -1;
}

int page_status(const struct page *p, struct buf *out)
{
	json_t *o = json_object();
	json_object_set_new(o, "version", text(SPANRELAY_VERSION));
	json_object_set_new(o, "keeper_pid", number((uint64_t)getppid()));
	json_object_set_new(o, "worker_pid", number((uint64_t)getpid()));
	json_object_set_new(o, "uptime_s", number(p->uptime_ms / 1000));
	json_object_set_new(o, "ready", json_boolean(p->not_ready == NULL));
	json_object_set_new(o, "reason", text(p->not_ready));
	json_object_set_new(o, "configuration", page_configuration(p));
	json_object_set_new(o, "listeners", listeners(p->conf));
	json_object_set_new(o, "listener_tls", page_listener_tls(p));
	json_object_set_new(o, "journal", journal(p));
	json_object_set_new(o, "ledger", account(p->ledger));
	json_object_set_new(o, "sampling", page_sampling(p));
	json_object_set_new(o, "exporters", exporters(p));
	json_object_set_new(o, "removed_exporters", removed(p->ledger));
	json_object_set_new(o, "memory", memory(p));
	int rc = json_dump_callback(o, append, out, JSON_INDENT(2));
	json_decref(o);
	return rc == 0 ? buf_append(out, "\n", 1) : BUF_FULL;
}

/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_metrics.c - /metrics: the counters of this worker, then the ledger, which counts over
 * restarts, then each exporter, then the process. */
#include <inttypes.h>

#include "audit/chain.h"
#include "base/hex.h"
#include "relay/admin_page.h"
#include "relay/process.h"

/* The exporters that the configuration names, then those that it named once. */
static unsigned ledger_rows(const struct ledger *l)
{
	return l->n_exporters + l->n_removed;
}

int page_family(struct buf *out, const char *name, const char *kind, const char *help)
{
	return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static int single(struct buf *out, const char *name, const char *kind, const char *help,
		  uint64_t value)
{
	return page_family(out, name, kind, help) |
	       buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

/* A removed exporter's name comes off the disk, so it is not trusted to be a plain one. */
static int open_labels(struct buf *out, const char *family_name, const char *exporter)
{
	int full = buf_printf(out, "%s{exporter=\"", family_name);
	for (const char *c = exporter; *c != '\0'; c++) {
		bool special = *c == '"' || *c == '\\' || *c == '\n';
		full |= buf_printf(out, "%s%c", special ? "\\" : "", *c == '\n' ? 'n' : *c);
	}
	return full | buf_append(out, "\"", 1);
}

static int put_ledger(const struct ledger *l, struct buf *out)
{
	return single(out, "spanrelay_ledger_received_spans_total", "counter",
		      "Spans received since the data folder was made: accepted + rejected.",
		      l->received) |
	       single(out, "spanrelay_ledger_rejected_spans_total", "counter",
		      "Invalid spans among them, answered by partial success.", l->rejected) |
	       single(out, "spanrelay_ledger_accepted_spans_total", "counter",
		      "Spans among them that were on disk before they were answered.", l->accepted);
}

static int put_delivery(const struct ledger *l, struct buf *out)
{
	static const char ENTERED[] = "spanrelay_exporter_entered_spans_total";
	static const char SPANS[] = "spanrelay_exporter_spans_total";
	static const char DROPPED[] = "spanrelay_exporter_dropped_spans_total";
	static const char BUFFERED[] = "spanrelay_exporter_buffered_spans";
	static const char HELD[] = "spanrelay_exporter_held_spans";
	unsigned n = ledger_rows(l);
	int full =
	    page_family(out, ENTERED, "counter", "Spans that this exporter was or is to deliver.");
	for (unsigned i = 0; i < n; i++)
		full |= open_labels(out, ENTERED, l->exporter[i].name) |
			buf_printf(out, "} %" PRIu64 "\n", l->exporter[i].entered);
	full |= page_family(out, SPANS, "counter",
			    "Spans that are done with, by what the backend said.");
	for (unsigned i = 0; i < n; i++) {
		full |= open_labels(out, SPANS, l->exporter[i].name) |
			buf_printf(out, ",outcome=\"sent\"} %" PRIu64 "\n", l->exporter[i].sent);
		full |= open_labels(out, SPANS, l->exporter[i].name) |
			buf_printf(out, ",outcome=\"backend_rejected\"} %" PRIu64 "\n",
				   l->exporter[i].backend_rejected);
	}
	full |= page_family(out, DROPPED, "counter", "Spans given up, by reason.");
	for (unsigned i = 0; i < n; i++)
		for (unsigned r = 0; r < DROP_REASONS; r++)
			full |= open_labels(out, DROPPED, l->exporter[i].name) |
				buf_printf(out, ",reason=\"%s\"} %" PRIu64 "\n",
					   DROP_REASON_NAMES[r], l->exporter[i].dropped[r]);
	full |=
	    page_family(out, BUFFERED, "gauge", "Spans on disk that are still to be delivered.");
	for (unsigned i = 0; i < n; i++)
		full |= open_labels(out, BUFFERED, l->exporter[i].name) |
			buf_printf(out, "} %" PRIu64 "\n", ledger_buffered(&l->exporter[i]));
	full |= page_family(out, HELD, "gauge", "Spans on disk, by where they are.");
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < PLACES; k++)
			full |= open_labels(out, HELD, l->exporter[i].name) |
				buf_printf(out, ",place=\"%s\"} %" PRIu64 "\n", PLACE_NAMES[k],
					   l->exporter[i].held[k]);
	return full;
}

static int put_boxes(const struct page *p, struct buf *out)
{
	static const char BYTES[] = "spanrelay_exporter_box_bytes";
	int full = page_family(out, BYTES, "gauge", "Disk that outbox and quarantine take.");
	for (unsigned i = 0; i < p->conf->n_exporters; i++)
		for (unsigned k = PLACE_OUTBOX; k < PLACES; k++)
			full |= open_labels(out, BYTES, p->conf->exporters[i].name) |
				buf_printf(out, ",place=\"%s\"} %" PRIu64 "\n", PLACE_NAMES[k],
					   p->box_bytes[i][k]);
	return full;
}

static int put_states(const struct page *p, struct buf *out)
{
	static const char STATE[] = "spanrelay_exporter_state";
	int full =
	    page_family(out, STATE, "gauge", "1 for the state that the exporter is in, else 0.");
	for (unsigned i = 0; i < p->conf->n_exporters; i++)
		for (int s = 0; s <= SENDER_NO_CREDENTIAL && p->senders[i] != NULL; s++)
			full |= open_labels(out, STATE, p->conf->exporters[i].name) |
				buf_printf(out, ",state=\"%s\"} %d\n", SENDER_STATE_NAMES[s],
					   atomic_load_explicit(&p->senders[i]->state,
								memory_order_relaxed) == s);
	return full;
}

static int put_senders(const struct page *p, struct buf *out)
{
	static const struct {
		size_t offset;
		const char *name, *kind, *help;
	} ROWS[] = {
	    {offsetof(struct sender_stats, requests), "spanrelay_exporter_requests_total",
	     "counter", "Requests sent to the backend."},
	    {offsetof(struct sender_stats, retries), "spanrelay_exporter_retries_total", "counter",
	     "Requests among them that were sent again."},
	    {offsetof(struct sender_stats, sent_bytes), "spanrelay_exporter_sent_bytes_total",
	     "counter", "Request bodies as they went out, compressed."},
	    {offsetof(struct sender_stats, body_bytes), "spanrelay_exporter_body_bytes_total",
	     "counter", "Request bodies before compression."},
	    {offsetof(struct sender_stats, connects), "spanrelay_exporter_connects_total",
	     "counter", "Connections opened to the backend."},
	    {offsetof(struct sender_stats, inflight), "spanrelay_exporter_inflight_requests",
	     "gauge", "Requests that wait for the backend's answer."},
	    {offsetof(struct sender_stats, spilled_spans), "spanrelay_exporter_spilled_spans_total",
	     "counter", "Spans that went from the journal to the outbox."},
	    {offsetof(struct sender_stats, drained_spans), "spanrelay_exporter_drained_spans_total",
	     "counter", "Spans that were sent out of the outbox."},
	    {offsetof(struct sender_stats, quarantined_spans),
	     "spanrelay_exporter_quarantined_spans_total", "counter",
	     "Spans that the backend calls bad, kept in the quarantine."},
	    {offsetof(struct sender_stats, fresh_rate), "spanrelay_exporter_fresh_spans_per_second",
	     "gauge", "How fast spans go out straight from the journal."},
	    {offsetof(struct sender_stats, drain_rate), "spanrelay_exporter_drain_spans_per_second",
	     "gauge", "How fast spans go out of the outbox."},
	    {offsetof(struct sender_stats, fresh_delay_ms),
	     "spanrelay_exporter_fresh_delay_milliseconds", "gauge",
	     "From journal to backend, of the last request that did not go through the outbox."},
	    {offsetof(struct sender_stats, waiting_bytes), "spanrelay_exporter_waiting_bytes",
	     "gauge", "Bytes in the journal that this exporter has still to send."},
	    {offsetof(struct sender_stats, oldest_unix_ms),
	     "spanrelay_exporter_oldest_unix_milliseconds", "gauge",
	     "When the oldest span that waits came in, Unix time; 0: none waits."},
	};
	int full = put_states(p, out);
	for (size_t row = 0; row < sizeof(ROWS) / sizeof(ROWS[0]); row++) {
		full |= page_family(out, ROWS[row].name, ROWS[row].kind, ROWS[row].help);
		for (unsigned i = 0; i < p->conf->n_exporters; i++) {
			if (p->senders[i] == NULL)
				continue;
			const char *base = (const char *)p->senders[i];
			const _Atomic uint64_t *v = (const void *)(base + ROWS[row].offset);
			full |= open_labels(out, ROWS[row].name, p->conf->exporters[i].name) |
				buf_printf(out, "} %" PRIu64 "\n",
					   atomic_load_explicit(v, memory_order_relaxed));
		}
	}
	return full;
}

static int put_process(const struct page *p, struct buf *out)
{
	struct process process;
	process_read(&process);
	int full = page_family(out, "spanrelay_build_info", "gauge",
			       "Always 1; its label tells the version.") |
		   buf_printf(out, "spanrelay_build_info{version=\"%s\"} 1\n", SPANRELAY_VERSION);
	full |= single(out, "spanrelay_ready", "gauge", "Whether /_ready says yes.",
		       p->not_ready == NULL);
	full |= single(out, "spanrelay_anonymous_memory_bytes", "gauge",
		       "Resident heap and stacks, without mapped files.", process.anonymous_bytes);
	full |= single(out, "process_resident_memory_bytes", "gauge",
		       "Resident memory, mapped pages of the journal included.",
		       process.resident_bytes);
	full |=
	    single(out, "process_open_fds", "gauge", "Open file descriptors.", process.open_fds);
	full |= page_family(out, "process_cpu_seconds_total", "counter", "User and system time.") |
		buf_printf(out, "process_cpu_seconds_total %.6f\n", process.cpu_seconds);
	full |=
	    page_family(out, "process_start_time_seconds", "gauge",
			"When this worker started, Unix time.") |
	    buf_printf(out, "process_start_time_seconds %.3f\n", (double)p->started_unix_ms / 1e3);
	return full;
}

/* For somebody else to keep, for what is cut off the end of the log shows by nothing else. */
static int put_checkpoint(const struct page *p, struct buf *out)
{
	static const char NAME[] = "spanrelay_audit_checkpoint_info";
	char mac[2 * AUDIT_MAC + 1];
	if (p->checkpoint == NULL || p->checkpoint->seq == 0)
		return 0;
	hex_print(p->checkpoint->mac, AUDIT_MAC, mac);
	return page_family(out, NAME, "gauge",
			   "Always 1; its labels are the head of the audit log, for `spanrelay "
			   "audit verify --checkpoint SEQ:MAC`.") |
	       buf_printf(out, "%s{seq=\"%" PRIu64 "\",mac=\"%s\"} 1\n", NAME, p->checkpoint->seq,
			  mac) |
	       single(out, "spanrelay_audit_checkpoint_seq", "gauge",
		      "The number of that record: it only grows.", p->checkpoint->seq);
}

int page_metrics(const struct page *p, struct buf *out)
{
	return metrics_render(p->metrics, out) | put_ledger(p->ledger, out) |
	       page_redaction_metrics(p, out) | page_sampling_metrics(p, out) |
	       put_delivery(p->ledger, out) | put_boxes(p, out) | put_senders(p, out) |
	       page_tls_metrics(p, out) | page_credential_metrics(p, out) | put_checkpoint(p, out) |
	       put_process(p, out);
}

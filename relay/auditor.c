/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/auditor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/folder.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "relay/rooms.h"

static const double TICK_S = 1.;
enum {
	NOTES = 2048,          /* records that may wait */
	BLOCK_MS = 1000,       /* a block is what was decided in a second, */
	BLOCK_LEAST = 512,     /* or, of few decisions, in more than one: */
	BLOCK_MOST_MS = 10000, /* an anchor costs as much as a dozen of them */
	BLOCK_FULL = 64 << 10, /* or in less */
	RETIRE_MS = 3600 * 1000,
	RETRY_MOST_MS = 8000, /* after a failure, from a second on */
	STOP_MS = 3000
};

/* ---- writing ---- */

static struct metrics *metrics_of(const struct auditor *a)
{
	return &a->relay->metrics;
}

/* What was under way is lost; each second it is tried again. */
static void give_up(struct auditor *a)
{
	audit_trail_close(a->trail);
	a->trail = NULL;
	atomic_fetch_add(&a->lost_records, a->added);
	a->added = 0;
	a->pause_ms = a->pause_ms == 0 ? 1000 : 2 * a->pause_ms;
	if (a->pause_ms > RETRY_MOST_MS)
		a->pause_ms = RETRY_MOST_MS;
	a->retry_ms = clock_mono_ms() + a->pause_ms;
	metric_set(metrics_of(a), METRIC_AUDIT_WRITES, 0);
	log_error("the audit log cannot be written, what happens is counted only",
		  "folder=\"%s\" retry_ms=%" PRIu64, a->folder, a->pause_ms);
}

static void write_record(struct auditor *a, struct audit_record *r)
{
	memcpy(r->policy_hash, a->policy_hash, sizeof(r->policy_hash));
	memcpy(r->config_hash, a->config_hash, sizeof(r->config_hash));
	a->added++;
	if (a->trail == NULL) {
		atomic_fetch_add(&a->lost_records, 1);
		a->added--;
	} else if (audit_trail_add(a->trail, r, clock_wall_ms()) != 0) {
		give_up(a);
	}
}

static void commit(struct auditor *a)
{
	if (a->trail == NULL || a->added == 0)
		return;
	if (audit_trail_commit(a->trail) != 0) {
		give_up(a);
		return;
	}
	if (a->pause_ms != 0)
		log_info("the audit log is written again", "folder=\"%s\"", a->folder);
	a->pause_ms = 0;
	metric_set(metrics_of(a), METRIC_AUDIT_WRITES, 1);
	metric_add(metrics_of(a), METRIC_AUDIT_RECORDS, a->added);
	metric_set(metrics_of(a), METRIC_AUDIT_BYTES, audit_trail_bytes(a->trail));
	a->added = 0;
}

/* ---- decisions ---- */

static void put_totals(const struct auditor *a, struct audit_record *r)
{
	static const char *const TRACES[VERDICTS] = {
	    "traces_kept", "traces_rule", "traces_budget", NULL, NULL, NULL, NULL};
	static const char *const SPANS[VERDICTS] = {
	    "spans_kept",      "spans_rule",      "spans_budget", "spans_late",
	    "spans_late_over", "spans_duplicate", "spans_damaged"};
	for (int v = 0; v < VERDICTS; v++)
		if (TRACES[v] != NULL && a->traces[v] != 0)
			audit_count(r, TRACES[v], (int64_t)a->traces[v]);
	for (int v = 0; v < VERDICTS; v++)
		if (a->spans[v] != 0)
			audit_count(r, SPANS[v], (int64_t)a->spans[v]);
}

static void forget_block(struct auditor *a)
{
	a->block = (struct audit_block){.n = 0};
	memset(a->traces, 0, sizeof(a->traces));
	memset(a->spans, 0, sizeof(a->spans));
}

/* Block first, then its anchor: a crash between the two leaves a block that is cut at the start. */
static void end_block(struct auditor *a)
{
	struct audit_record r;
	uint32_t n = a->block.n;
	if (n == 0)
		return;
	audit_record_init(&r, AUDIT_DECISIONS, "traces", "decided", NULL);
	memcpy(r.config_hash, a->config_hash, sizeof(r.config_hash));
	snprintf(r.policy_hash, sizeof(r.policy_hash), "%016" PRIx64, a->block.policy);
	put_totals(a, &r);
	if (a->trail != NULL &&
	    audit_trail_block(a->trail, a->block, a->decisions, &r, clock_wall_ms()) != 0)
		give_up(a);
	if (a->trail == NULL) {
		atomic_fetch_add(&a->lost_decisions, n);
	} else {
		a->added++;
		metric_add(metrics_of(a), METRIC_AUDIT_DECISIONS, n);
	}
	forget_block(a);
}

static bool make_place(struct auditor *a, uint32_t n)
{
	size_t wanted = a->block.n + (size_t)n;
	if (wanted <= a->cap)
		return true;
	size_t cap = wanted > 2 * a->cap ? wanted : 2 * a->cap;
	struct audit_decision *more = realloc(a->decisions, cap * sizeof(*more));
	if (more == NULL)
		return false;
	a->decisions = more;
	a->cap = cap;
	return true;
}

static void on_decisions(struct auditor *a, const struct audit_batch *b)
{
	bool other = b->n != 0 && a->block.n != 0 && a->block.policy != b->policy;
	if (other || a->block.n + b->n > BLOCK_FULL)
		end_block(a);
	for (int v = 0; v < VERDICTS; v++)
		a->spans[v] += b->spans[v];
	if (b->n == 0)
		return;
	if (!make_place(a, b->n)) {
		atomic_fetch_add(&a->lost_decisions, b->n);
		return;
	}
	if (a->block.n == 0) {
		a->block.begin_ms = b->unix_ms;
		a->block.policy = b->policy;
		a->block_since_ms = clock_mono_ms();
	}
	for (uint32_t i = 0; i < b->n; i++) {
		struct audit_decision *d = &a->decisions[a->block.n++];
		*d = b->decisions[i];
		if (b->unix_ms > a->block.begin_ms) /* else a clock that was set back */
			d->after_ms = (uint32_t)(b->unix_ms - a->block.begin_ms);
		a->traces[d->verdict < VERDICTS ? d->verdict : VERDICTS - 1]++;
	}
	a->block.end_ms = b->unix_ms;
	a->block.chapter = b->chapter;
}

static bool block_is_due(const struct auditor *a, uint64_t now_ms)
{
	uint64_t age_ms = now_ms - a->block_since_ms;
	return a->block.n != 0 &&
	       (age_ms >= BLOCK_MOST_MS || (age_ms >= BLOCK_MS && a->block.n >= BLOCK_LEAST));
}

/* ---- opening, at the start and after a failure ---- */

static void tell_found(struct auditor *a, const struct audit_found *f)
{
	struct audit_record r;
	const char *why = f->torn_bytes != 0 ? "a torn tail was cut"
			  : f->other_key     ? "another key"
			  : f->is_damaged    ? "damage was found"
					     : NULL;
	if (why == NULL)
		return;
	log_line(f->is_damaged ? LOG_ERROR : LOG_WARN, "the audit log goes on",
		 "reason=\"%s\" seq=%" PRIu64 " torn_bytes=%" PRIu64, why, f->head.seq,
		 f->torn_bytes);
	audit_record_init(&r, AUDIT_CHAIN, "audit", "continued", why);
	if (f->torn_bytes != 0)
		audit_count(&r, "torn_bytes", (int64_t)f->torn_bytes);
	write_record(a, &r);
}

static bool open_trail(struct auditor *a, struct audit_found *found)
{
	*found = (struct audit_found){.is_stopped = false};
	a->options.key = a->key != NULL ? secret_reveal(a->key) : slice_of(NULL, 0);
	if (audit_trail_open(&a->trail, &a->options, found) != 0) {
		a->trail = NULL;
		give_up(a);
		return false;
	}
	tell_found(a, found);
	return true;
}

static void tell_gap(struct auditor *a)
{
	struct audit_record r;
	uint64_t records = atomic_load(&a->lost_records),
		 decisions = atomic_load(&a->lost_decisions);
	metric_set(metrics_of(a), METRIC_AUDIT_LOST_RECORDS, records);
	metric_set(metrics_of(a), METRIC_AUDIT_LOST_DECISIONS, decisions);
	if (a->trail == NULL || (records == a->told_records && decisions == a->told_decisions))
		return;
	audit_record_init(&r, AUDIT_GAP, "audit", "lost", "the disk or the queue was full");
	audit_count(&r, "records", (int64_t)(records - a->told_records));
	audit_count(&r, "decisions", (int64_t)(decisions - a->told_decisions));
	write_record(a, &r);
	commit(a);
	if (a->trail == NULL) { /* what tells of the gap is none of it */
		atomic_fetch_sub(&a->lost_records, 1);
		return;
	}
	a->told_records = records;
	a->told_decisions = decisions;
}

/* ---- time ---- */

static void checkpoint(struct auditor *a, uint64_t now_ms)
{
	char mac[2 * AUDIT_MAC + 1];
	if (a->trail == NULL || now_ms - a->checkpoint_ms < a->interval_ms)
		return;
	a->checkpoint_ms = now_ms;
	const struct audit_head *head = audit_trail_head(a->trail);
	if (head->seq == 0)
		return;
	hex_print(head->mac, AUDIT_MAC, mac);
	log_info("audit checkpoint", "seq=%" PRIu64 " mac=%s", head->seq, mac);
	struct checkpoint_note *n = malloc(sizeof(*n));
	if (n == NULL)
		return;
	*n = (struct checkpoint_note){.mail.kind = MAIL_CHECKPOINT, .head = *head};
	room_answer(a->relay->main_room, &n->mail);
}

static void retire(struct auditor *a, uint64_t now_ms)
{
	if (a->trail == NULL ||
	    (!audit_trail_is_due(a->trail) && now_ms - a->retired_ms < RETIRE_MS))
		return;
	a->retired_ms = now_ms;
	if (audit_trail_retire(a->trail, clock_wall_ms()) != 0)
		give_up(a);
	else
		metric_set(metrics_of(a), METRIC_AUDIT_BYTES, audit_trail_bytes(a->trail));
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct auditor *a = timer->data;
	struct audit_found found;
	uint64_t now_ms = clock_mono_ms();
	if (a->trail == NULL && now_ms >= a->retry_ms)
		open_trail(a, &found);
	tell_gap(a);
	if (block_is_due(a, now_ms))
		end_block(a);
	commit(a);
	retire(a, now_ms);
	checkpoint(a, now_ms);
}

/* ---- the room ---- */

static void on_note(struct auditor *a, struct audit_record *r)
{
	if (r->kind == AUDIT_STOP) {
		end_block(a);
		tell_gap(a);
	}
	if (*r->config_hash != '\0') { /* a configuration took over: it is of those that follow */
		memcpy(a->config_hash, r->config_hash, sizeof(a->config_hash));
		memcpy(a->policy_hash, r->policy_hash, sizeof(a->policy_hash));
	}
	write_record(a, r);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct auditor *a = ctx;
	if (m->kind == MAIL_AUDIT) {
		struct audit_note *n = container_of(m, struct audit_note, mail);
		on_note(a, &n->record);
		free(n);
	} else {
		struct audit_batch *b = container_of(m, struct audit_batch, mail);
		on_decisions(a, b);
		atomic_fetch_sub(&a->queued_bytes, sizeof(*b) + b->n * sizeof(b->decisions[0]));
		free(b);
	}
}

static void on_round(void *ctx)
{
	commit(ctx);
}

/* Notes and batches alike: what rooms told it after its stop. */
static void on_late(struct mail *m)
{
	if (m->kind == MAIL_AUDIT)
		free(container_of(m, struct audit_note, mail));
	else
		free(container_of(m, struct audit_batch, mail));
}

static const struct room_rules RULES = {"audit", NOTES, on_mail, on_round, on_late};

/* Which boot of the machine: monotonic times and pids are of one. */
static void read_boot_id(char out[37])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, 36) : -1;
	bool fine = n == 36;
	out[36] = '\0';
	for (int i = 0; fine && i < 36; i++)
		fine = out[i] == '-' || hex_digit((uint8_t)out[i]) >= 0;
	if (!fine)
		snprintf(out, 37, "00000000-0000-0000-0000-000000000000");
	if (fd >= 0)
		close(fd);
}

/* ---- start and stop ---- */

int auditor_open(struct auditor *a, struct relay *relay, bool succeeds)
{
	const struct conf_audit *conf = &relay->world->conf.audit;
	struct audit_found found;
	a->relay = relay;
	if (!conf->enabled)
		return 0;
	int rc = room_init(&a->room, &RULES, a);
	if (rc == 0 && audit_folder(a->folder, relay->data_dir) != 0)
		rc = fail(-ENAMETOOLONG, "data_dir: name too long");
	if (rc != 0)
		return rc;
	a->on = true;
	a->decides = conf->decisions;
	a->interval_ms = conf->interval_ms;
	a->key = conf->key != NULL ? secret_share(conf->key) : NULL;
	a->options = (struct audit_trail_options){.folder = a->folder,
						  .boot_id = a->boot_id,
						  .limit_bytes = conf->limit_bytes,
						  .keep_ms = conf->keep_ms};
	read_boot_id(a->boot_id);
	a->checkpoint_ms = clock_mono_ms();
	ev_timer_init(&a->tick, on_tick, TICK_S, TICK_S);
	a->tick.data = a;
	ev_timer_start(a->room.loop, &a->tick);
	bool opened = open_trail(a, &found);
	a->tells_again = opened && found.knows_chapter;
	a->chapter = found.chapter;
	audit_start(a, succeeds, opened ? &found : NULL);
	return 0;
}

int auditor_start(struct auditor *a)
{
	return a->on ? room_start(&a->room) : 0;
}

bool auditor_stop(struct auditor *a, int code)
{
	struct audit_note *n = audit_note(a, AUDIT_STOP, "relay", "stopped", NULL);
	audit_count(audit_of(n), "code", code);
	audit_post(a, n);
	if (!a->on || room_stop_within(&a->room, STOP_MS))
		return true;
	log_warn("the audit room hangs on its disk and is left behind", "waited_ms=%d", STOP_MS);
	return false;
}

void auditor_close(struct auditor *a)
{
	if (!a->on)
		return;
	room_read(&a->room); /* it may never have started */
	a->on = false;
	audit_trail_close(a->trail);
	a->trail = NULL;
	free(a->decisions);
	a->decisions = NULL;
	secret_release(a->key);
	a->key = NULL;
	room_finish(&a->room);
}

/* SPDX-License-Identifier: Apache-2.0
 * What rooms tell the audit room: notes, made and posted in the room where it happens. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "exporters/credential.h"
#include "relay/path.h"
#include "relay/rooms.h"

enum { QUEUE_BYTES = 32 << 20 /* of decisions that may wait */ };

struct audit_note *audit_note(struct auditor *a, enum audit_kind kind, const char *subject,
			      const char *decision, const char *reason)
{
	struct audit_note *n = a->on ? malloc(sizeof(*n)) : NULL;
	if (n != NULL) {
		n->mail.kind = MAIL_AUDIT;
		audit_record_init(&n->record, kind, subject, decision, reason);
	} else if (a->on) {
		atomic_fetch_add(&a->lost_records, 1);
	}
	return n;
}

struct audit_record *audit_of(struct audit_note *n)
{
	return n != NULL ? &n->record : NULL;
}

void audit_post(struct auditor *a, struct audit_note *n)
{
	if (n == NULL || room_post(&a->room, &n->mail, 0) == 0)
		return;
	free(n);
	atomic_fetch_add(&a->lost_records, 1);
}

static void pack(struct audit_decision *out, const struct decision *d)
{
	*out = (struct audit_decision){.threshold = d->threshold,
				       .randomness = d->randomness,
				       .spans = d->spans,
				       .errors = d->errors,
				       .rule = d->rule,
				       .verdict = d->verdict,
				       .trigger = d->trigger};
	memcpy(out->trace_id, d->trace_id, sizeof(out->trace_id));
}

void audit_post_chapter(struct auditor *a, struct slice bytes, uint64_t number,
			const uint64_t spans[VERDICTS])
{
	struct chapter c = {.n = 0};
	if (!a->on || !a->decides || (bytes.len != 0 && chapter_read(&c, bytes) != 0))
		return;
	size_t size = sizeof(struct audit_batch) + c.n * sizeof(struct audit_decision);
	size_t queued = atomic_fetch_add(&a->queued_bytes, size) + size;
	struct audit_batch *b = queued <= QUEUE_BYTES ? malloc(size) : NULL;
	if (b != NULL) {
		*b = (struct audit_batch){.mail.kind = MAIL_AUDIT_DECISIONS,
					  .policy = c.generation,
					  .chapter = number,
					  .unix_ms = c.unix_ms,
					  .n = c.n};
		if (spans != NULL)
			memcpy(b->spans, spans, sizeof(b->spans));
		for (uint32_t i = 0; i < c.n; i++) {
			struct decision d;
			chapter_at(&c, i, &d);
			pack(&b->decisions[i], &d);
		}
		if (room_post(&a->room, &b->mail, 0) == 0)
			return;
		free(b);
	}
	atomic_fetch_sub(&a->queued_bytes, size);
	atomic_fetch_add(&a->lost_decisions, c.n);
}

/* ---- of the main room ---- */

void audit_world(struct audit_note *n, const struct world *w)
{
	struct audit_record *r = audit_of(n);
	if (r == NULL)
		return;
	memcpy(r->config_hash, w->hash, sizeof(r->config_hash));
	snprintf(r->policy_hash, sizeof(r->policy_hash), "%016" PRIx64, w->policy->generation);
}

void audit_start(struct auditor *a, bool succeeds, const struct audit_found *f)
{
	char key_id[AUDIT_KEY_ID];
	const char *after = f == NULL          ? "the log could not be opened"
			    : f->head.seq == 0 ? "the log is new"
			    : f->is_stopped    ? "a stop"
					       : "a crash";
	struct audit_note *n = audit_note(a, AUDIT_START, "relay", "started", after);
	struct audit_record *r = audit_of(n);
	audit_key_id(a->options.key, key_id);
	audit_world(n, a->relay->world);
	audit_detail(r, "version", SPANRELAY_VERSION);
	audit_detail(r, "key_id", key_id);
	audit_count(r, "pid", getpid());
	audit_count(r, "uid", getuid());
	audit_post(a, n);
	if (!succeeds)
		return;
	n = audit_note(a, AUDIT_UPGRADE, "relay", "taken over", "the worker before it has drained");
	audit_detail(audit_of(n), "version", SPANRELAY_VERSION);
	audit_count(audit_of(n), "pid", getpid());
	audit_post(a, n);
}

void audit_reload(struct auditor *a, const struct reload_note *n, const char *trigger,
		  struct caller who)
{
	static const char SUBJECT[] = "configuration";
	bool applied = n->result == RELOAD_APPLIED;
	struct audit_note *note =
	    audit_note(a, AUDIT_CONFIGURATION, SUBJECT, RELOAD_RESULT_NAMES[n->result], trigger);
	if (applied)
		audit_world(note, n->world);
	audit_detail(audit_of(note), "old", n->was->hash);
	if (applied)
		audit_detail(audit_of(note), "new", n->world->hash);
	audit_count(audit_of(note), "generation",
		    (int64_t)(applied ? n->world->number : n->was->number));
	audit_caller(note, who);
	audit_post(a, note);
}

void audit_caller(struct audit_note *n, struct caller who)
{
	if (who.pid == 0)
		return;
	audit_count(audit_of(n), "pid", who.pid);
	audit_count(audit_of(n), "uid", who.uid);
}

/* ---- of the export room ---- */

void path_exporter_state(struct export *room, const char *exporter, const char *is, const char *was,
			 const char *reason)
{
	struct auditor *a = &room->relay->auditor;
	struct audit_note *n = audit_note(a, AUDIT_EXPORTER, exporter, is, reason);
	audit_detail(audit_of(n), "was", was);
	audit_post(a, n);
}

void path_credential_state(struct export *room, const char *exporter, const char *is,
			   const char *was, const struct key *current, const struct key *previous)
{
	struct auditor *a = &room->relay->auditor;
	struct audit_note *n = audit_note(a, AUDIT_CREDENTIAL, exporter, is, "backend");
	struct audit_record *r = audit_of(n);
	audit_detail(r, "was", was);
	audit_detail(r, "current", current != NULL ? current->fingerprint : NULL);
	audit_detail(r, "previous", previous != NULL ? previous->fingerprint : NULL);
	if (current != NULL)
		audit_count(r, "current_generation", (int64_t)current->generation);
	if (previous != NULL)
		audit_count(r, "previous_generation", (int64_t)previous->generation);
	audit_post(a, n);
}

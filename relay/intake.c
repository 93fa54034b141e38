/* SPDX-License-Identifier: Apache-2.0
 * The intake room: connections in, vetted batches out, answers back. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/redact.h"
#include "relay/path.h"
#include "relay/rooms.h"

static void step(struct intake *in, struct step *s)
{
	if (s->what == STEP_NOTICE)
		receivers_notice(in->receivers);
	else
		receivers_drain(in->receivers);
	free(s);
}

/* Notices that are still there were not needed: the batch was refused. */
static void answer(struct intake *in, struct batch *b)
{
	notices_free(b->notices);
	b->notices = NULL;
	receivers_answer(in->receivers, b);
}

static void take_limits(struct intake *in, const struct conf *c)
{
	receivers_limit(in->receivers, c->limits.request_bytes, (uint32_t)c->limits.spans);
}

/* No request is half way through here: each is looked at by one world. */
static void on_reload(struct intake *in, struct reload_note *n)
{
	struct intake_parts *p = &n->intakes[n->intake];
	struct intake_parts before = {.redactor = in->redactor, .scratch = in->scratch};
	in->world = n->world;
	if (n->news.redaction) {
		in->redactor = p->redactor;
		p->redactor = before.redactor;
	}
	if (n->news.judging) {
		in->scratch = p->scratch;
		p->scratch = before.scratch;
	}
	take_limits(in, &n->world->conf);
	reload_next(in->relay, n);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct intake *in = ctx;
	struct accepted *a;
	struct tls_note *note;
	switch (m->kind) {
	case MAIL_ACCEPTED:
		a = container_of(m, struct accepted, mail);
		receivers_adopt(in->receivers, a->fd, a->port);
		free(a);
		break;
	case MAIL_RELOAD:
		on_reload(in, container_of(m, struct reload_note, mail));
		break;
	case MAIL_BATCH:
		answer(in, container_of(m, struct batch, mail));
		break;
	case MAIL_TLS:
		note = container_of(m, struct tls_note, mail);
		receivers_set_tls(in->receivers, (enum port)note->index, note->tls);
		free(note);
		break;
	default:
		step(in, container_of(m, struct step, mail));
	}
}

static void on_round(void *ctx)
{
	struct intake *in = ctx;
	receivers_flush(in->receivers);
	in->load = receivers_connections(in->receivers);
}

static const struct room_rules RULES = {"intake", 4096, on_mail, on_round, NULL};

int intake_open(struct intake *in, struct relay *relay)
{
	const struct conf *c = &relay->world->conf;
	in->relay = relay;
	in->world = relay->world;
	int rc = room_init(&in->room, &RULES, in);
	if (rc != 0)
		return rc;
	struct receivers_options o = {
	    .loop = in->room.loop,
	    .intake = in,
	    .request_bytes = c->limits.request_bytes,
	    .limits = INDEX_LIMITS,
	    .account = &relay->account,
	    .metrics = &relay->metrics,
	};
	o.limits.spans = (uint32_t)c->limits.spans;
	if (in->world->judges) {
		in->scratch = notice_scratch(in->world->policy, &relay->judge.key);
		if (in->scratch == NULL)
			return fail(-ENOMEM, "intake: no memory");
	}
	if (in->world->rules != NULL) {
		in->redactor = redactor_create();
		if (in->redactor == NULL)
			return fail(-ENOMEM, "intake: no memory");
	}
	in->receivers = receivers_create(&o);
	if (in->receivers == NULL)
		return fail(-ENOMEM, "intake: no memory");
	for (int i = 0; i < PORTS; i++)
		receivers_set_tls(in->receivers, (enum port)i,
				  tls_ref(relay->certificates->receivers[i].tls));
	return 0;
}

void intake_close(struct intake *in)
{
	room_stop(&in->room);
	receivers_destroy(in->receivers);
	condition_scratch_destroy(in->scratch);
	redactor_destroy(in->redactor);
	stamper_finish(&in->stamper);
	room_finish(&in->room);
}

/* ---- who sends ---- */

/* A decision of ours and no fault of the request's, so the client is not to send it again. */
static void turn_away(struct batch *b)
{
	b->index.rejected += b->index.spans;
	b->index.spans = 0;
	b->why = "nobody known sent this: identity.policy is require";
}

/* Whose request it is. */
static struct identity identify(struct intake *in, struct batch *b)
{
	static const enum metric SPANS[IDENTITY_SOURCES] = {
	    METRIC_IDENTITY_NONE, METRIC_IDENTITY_TOKEN, METRIC_IDENTITY_MTLS};
	struct metrics *m = &in->relay->metrics;
	bool required = in->world->conf.identity == IDENTITY_REQUIRE;
	struct identity who = registry_find(in->world->clients, &b->from);
	metric_add(m, SPANS[who.source], b->index.spans);
	if (who.client != REGISTRY_NOBODY)
		return who;
	const char *brought = b->from.unclear        ? "unclear"
			      : b->from.has_token    ? "token"
			      : b->from.n_names != 0 ? "certificate"
						     : "nothing";
	log_limited(LOG_WARN, "nobody known sends spans", "receiver=%s brought=%s taken=%d",
		    b->receiver->name, brought, !required);
	if (required) {
		metric_add(m, METRIC_IDENTITY_REJECTED, b->index.spans);
		turn_away(b);
	}
	return who;
}

/* Writes it into the request. ACCEPTED, or why not. */
static enum answer stamp(struct intake *in, struct batch *b, struct identity who)
{
	const struct world *w = in->world;
	uint64_t forged = 0;
	int rc = stamp_request(&in->stamper, &b->body, registry_stamp(w->clients, who),
			       b->index.reserved != 0, w->conf.limits.request_bytes, &forged);
	metric_add(&in->relay->metrics, METRIC_IDENTITY_FORGED, forged);
	if (rc == STAMP_TOO_LARGE)
		return TOO_LARGE;
	return rc == 0 && batch_charge(b, &in->relay->account) == 0 ? ACCEPTED : NO_MEMORY;
}

/* Takes the secrets out, before anyone else sees them; false: no memory for that. */
static bool redact(struct intake *in, struct batch *b)
{
	struct relay *relay = in->relay;
	struct redaction_counts n = {0};
	if (in->world->rules == NULL)
		return true;
	if (redact_request(in->redactor, in->world->rules, &b->body,
			   in->world->conf.limits.request_bytes, &n) != 0 ||
	    batch_charge(b, &relay->account) != 0)
		return false;
	metric_add(&relay->metrics, METRIC_REDACTED_SPANS, n.spans);
	metric_add(&relay->metrics, METRIC_REDACTED_BYTES, n.masked_bytes);
	metric_add(&relay->metrics, METRIC_UNKNOWN_FIELDS, n.unknown_fields);
	return true;
}

/* What the judge will know of the spans; false: it cannot learn of them now. */
static bool notice(struct intake *in, struct batch *b)
{
	struct relay *relay = in->relay;
	if (!in->world->judges)
		return true;
	if (relay->judge_is_behind)
		return false;
	b->notices = notices_create(in->world->policy, in->scratch, buf_slice(&b->body),
				    b->index.spans, &relay->account);
	return b->notices != NULL;
}

/* What is asked of a request before it may go to the disk. */
static enum answer make_ready(struct intake *in, struct batch *b)
{
	bool looks = in->world->clients != NULL && b->index.spans != 0;
	struct identity who = {.client = REGISTRY_NOBODY};
	if (looks)
		who = identify(in, b);
	if (b->index.spans == 0)
		return ACCEPTED;
	if (!redact(in, b))
		return NO_MEMORY;
	enum answer a = looks ? stamp(in, b, who) : ACCEPTED;
	return a == ACCEPTED && !in->relay->discard && !notice(in, b) ? NO_MEMORY : a;
}

void path_received(struct intake *in, struct batch *b)
{
	struct relay *relay = in->relay;
	b->mail.kind = MAIL_BATCH;
	b->answer = make_ready(in, b);
	if (b->answer == ACCEPTED && !relay->discard) {
		if (room_post(&relay->archive.room, &b->mail, b->body.len) == 0)
			return;
		b->answer = NO_MEMORY;
	}
	answer(in, b);
}

/* SPDX-License-Identifier: Apache-2.0
 * A sender's credential: each request takes one generation, and answers tell whether it is any
 * good. What to conclude is exporters/credential.h; here it meets requests, timers and the log. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/change.h"
#include "conf/header.h"
#include "exporters/internal.h"
#include "relay/path.h"

static void publish_slot(struct credential_slot *slot, const struct key *k)
{
	set_stat(&slot->generation, k != NULL ? k->generation : 0);
	set_stat(&slot->fingerprint, k != NULL ? strtoull(k->fingerprint, NULL, 16) : 0);
	set_stat(&slot->since_unix_ms, k != NULL ? k->since_unix_ms : 0);
}

static const char *shown(const struct key *k)
{
	return k != NULL ? k->fingerprint : "-";
}

static void log_state(const struct sender *s, enum credential_state was)
{
	const struct credential *c = &s->credential;
	static const char FIELDS[] = "exporter=%s state=%s was=%s current=%s previous=%s";
	enum log_level level = c->state == CREDENTIAL_REJECTED || c->state == CREDENTIAL_BLOCKED
				   ? LOG_ERROR
			       : c->state == CREDENTIAL_PENDING ? LOG_WARN
								: LOG_INFO;
	log_line(level, "credential", FIELDS, s->conf->name, CREDENTIAL_STATE_NAMES[c->state],
		 CREDENTIAL_STATE_NAMES[was], shown(c->current), shown(c->previous));
	path_credential_state(s->room, s->conf->name, CREDENTIAL_STATE_NAMES[c->state],
			      CREDENTIAL_STATE_NAMES[was], c->current, c->previous);
}

static void publish(struct sender *s)
{
	const struct credential *c = &s->credential;
	int was = atomic_exchange(&s->stats.credential_state, (int)c->state);
	publish_slot(&s->stats.credential[SLOT_CURRENT], c->current);
	publish_slot(&s->stats.credential[SLOT_PREVIOUS], c->previous);
	if (was != (int)c->state)
		log_state(s, (enum credential_state)was);
}

void rotation_start(struct sender *s)
{
	bool needed = headers_secret(s->conf) != 0;
	credential_init(&s->credential, needed, &s->conf->credentials);
	atomic_store(&s->stats.credential_state, (int)s->credential.state);
	if (needed)
		atomic_store(&s->stats.state, SENDER_NO_CREDENTIAL);
}

/* Without a key nothing goes, with a new one all does; a backend that is in trouble stays so. */
static void start_anew(struct sender *s, bool needed)
{
	enum sender_state state = state_of(s);
	credential_reset(&s->credential, needed);
	if (needed && (state == SENDER_OK || state == SENDER_HELD_AUTH))
		atomic_store(&s->stats.state, SENDER_NO_CREDENTIAL);
	else if (!needed && state == SENDER_NO_CREDENTIAL)
		atomic_store(&s->stats.state, SENDER_OK);
	if (state == SENDER_HELD_AUTH) {
		s->backoff_ms = 0;
		set_stat(&s->stats.next_try_unix_ms, 0);
	}
	publish(s);
}

/* A new token of another source is a rotation: the old one goes on until the source has one, and
 * stands by for a while. But a token goes to no other place than the one it was meant for, and
 * under no other header. */
void rotation_take(struct sender *s, const struct conf_exporter *conf, bool replaced)
{
	const struct conf_exporter *was = s->conf;
	bool anew =
	    change_of_secret_names(was, conf) || (replaced && change_of_credential(was, conf));
	s->conf = conf;
	s->credential.times = &conf->credentials;
	if (anew)
		start_anew(s, headers_secret(conf) != 0);
}

/* ---- requests ---- */

static void on_going(struct export_call *call)
{
	struct request *r = container_of(call, struct request, call);
	call->key = credential_renew(&r->lane->sender->credential, call->key, clock_mono_ms());
}

void rotation_begin(struct request *r)
{
	r->call.key = credential_pick(&r->lane->sender->credential, clock_mono_ms());
	r->call.on_going = on_going;
}

static void count_refusal(struct sender *s, const struct key *k)
{
	const struct credential *c = &s->credential;
	enum credential_place slot = k == c->current ? SLOT_CURRENT : SLOT_PREVIOUS;
	add_stat(&s->stats.credential[slot].refusals, 1);
}

/* The same spans go again at once, in their place. A probe that was refused for its credential said
 * nothing about the backend, so the next one does not wait. */
static void send_again(struct sender *s, bool was_probe)
{
	if (was_probe && !s->draining)
		sender_set_timer(s, 0);
}

bool rotation_end(struct request *r, const struct outcome *o, bool was_probe, bool *hold)
{
	struct sender *s = r->lane->sender;
	struct credential *c = &s->credential;
	struct key *k = r->call.key;
	bool refused = k != NULL && o->verdict == HOLD_AUTH;
	r->call.key = NULL;
	if (refused) {
		count_refusal(s, k);
		*hold = credential_refused(c, k, clock_mono_ms()) == CREDENTIAL_HOLD;
		if (!*hold)
			send_again(s, was_probe);
		path_refused(s->room, s->index);
	} else if (o->verdict == SENT) {
		credential_taken(c, k);
	} else {
		credential_unclear(c, k);
	}
	if (k != NULL)
		publish(s);
	key_release(k);
	return refused;
}

/* ---- changes ---- */

/* Any change may be the cure of a hold, so it is tried at once. */
static void wake(struct sender *s)
{
	if (state_of(s) == SENDER_NO_CREDENTIAL) {
		atomic_store(&s->stats.state, SENDER_OK);
	} else if (state_of(s) == SENDER_HELD_AUTH && !s->draining) {
		s->backoff_ms = 0;
		sender_set_timer(s, 0);
	}
	sender_pump(s);
}

void sender_on_key(struct sender *s, struct key *first, struct key *second)
{
	bool news = credential_offer(&s->credential, first, second, clock_mono_ms());
	publish(s);
	if (news)
		wake(s);
}

void sender_drop_previous(struct sender *s)
{
	if (!credential_drop_previous(&s->credential))
		return;
	log_warn("the previous credential was dropped", "exporter=%s", s->conf->name);
	publish(s);
	wake(s);
}

void rotation_tick(struct sender *s, uint64_t now_ms)
{
	if (s->credential.state != CREDENTIAL_NOT_NEEDED && credential_tick(&s->credential, now_ms))
		publish(s);
}

bool rotation_is_at_rest(const struct sender *s)
{
	return s->credential.previous == NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/credential.h"

#include <assert.h>
#include <stdlib.h>

const char *const CREDENTIAL_STATE_NAMES[] = {
    "not_needed", "no_credential", "canary", "promoted", "pending", "rejected", "auth_blocked"};

/* ---- keys ---- */

struct key *key_create(void)
{
	struct key *k = calloc(1, sizeof(*k));
	if (k != NULL)
		k->references = 1;
	return k;
}

struct key *key_share(struct key *k)
{
	k->references++;
	return k;
}

void key_release(struct key *k)
{
	if (k == NULL || --k->references != 0)
		return;
	for (size_t i = 0; i < k->n; i++)
		secret_release(k->values[i]);
	free(k);
}

bool key_equal(const struct key *a, const struct key *b)
{
	if (a == NULL || b == NULL || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!secret_equal(a->values[i], b->values[i]))
			return false;
	return true;
}

/* ---- slots ---- */

void credential_init(struct credential *c, bool needed, const struct conf_credentials *times)
{
	*c = (struct credential){.state = needed ? CREDENTIAL_NONE : CREDENTIAL_NOT_NEEDED,
				 .times = times};
}

void credential_finish(struct credential *c)
{
	key_release(c->current);
	key_release(c->previous);
	c->current = c->previous = c->worked = NULL;
}

void credential_reset(struct credential *c, bool needed)
{
	const struct conf_credentials *times = c->times;
	credential_finish(c);
	credential_init(c, needed, times);
}

/* Takes k, or empties the slot. */
static void set_previous(struct credential *c, struct key *k, bool refused)
{
	if (c->worked == c->previous && c->previous != k)
		c->worked = NULL;
	if (c->previous != k)
		key_release(c->previous);
	c->previous = k;
	c->previous_refused = refused;
	c->previous_stays = false;
}

/* The one to keep beside a new one: what worked last, else what was there last. */
static void keep_one(struct credential *c)
{
	struct key *old = c->current;
	c->current = NULL;
	if (old == NULL)
		return;
	bool works = c->worked == old || (c->worked == NULL && c->previous == NULL);
	if (works) {
		bool refused = c->state != CREDENTIAL_PROMOTED && c->state != CREDENTIAL_CANARY;
		set_previous(c, old, refused);
	} else {
		key_release(old);
	}
}

/* What the second line of a file says. Without one the last token lives as long as any does. */
static bool offer_second(struct credential *c, struct key *second, uint64_t now_ms)
{
	bool listed = second != NULL && !key_equal(second, c->current) &&
		      strcmp(second->fingerprint, c->dropped) != 0;
	if (!listed) {
		key_release(second);
		if (c->previous_stays)
			c->changed_ms = now_ms;
		c->previous_stays = false;
		return false;
	}
	bool news = !key_equal(second, c->previous);
	if (news)
		set_previous(c, second, false);
	else
		key_release(second);
	c->previous_stays = true;
	return news;
}

/* It stands alone, or beside one that goes on meanwhile. */
static void begin(struct credential *c)
{
	c->trial_out = false;
	c->state = c->previous != NULL ? CREDENTIAL_CANARY : CREDENTIAL_PROMOTED;
}

bool credential_offer(struct credential *c, struct key *first, struct key *second, uint64_t now_ms)
{
	assert(c->state != CREDENTIAL_NOT_NEEDED);
	bool same = key_equal(first, c->current);
	if (same) {
		key_release(first);
	} else {
		keep_one(c);
		c->current = first;
		c->changed_ms = now_ms;
		if (key_equal(c->previous, first)) /* back to the old one */
			set_previous(c, NULL, false);
	}
	bool news = offer_second(c, second, now_ms);
	if (same && !news)
		return false;
	/* With another second one, a token that works goes on as it does. */
	if (!same || c->state != CREDENTIAL_PROMOTED)
		begin(c);
	return true;
}

bool credential_drop_previous(struct credential *c)
{
	if (c->previous == NULL)
		return false;
	memcpy(c->dropped, c->previous->fingerprint, sizeof(c->dropped));
	set_previous(c, NULL, false);
	if (c->state != CREDENTIAL_BLOCKED)
		begin(c);
	return true;
}

/* ---- requests ---- */

static bool can_fall_back(const struct credential *c)
{
	return c->previous != NULL && !c->previous_refused;
}

bool credential_ready(const struct credential *c)
{
	if (c->state == CREDENTIAL_NONE)
		return false;
	return c->state != CREDENTIAL_CANARY || !c->trial_out || can_fall_back(c);
}

static struct key *choose(struct credential *c, uint64_t now_ms)
{
	bool trial = c->state == CREDENTIAL_CANARY ||
		     (c->state == CREDENTIAL_PENDING && now_ms >= c->trial_ms);
	switch (c->state) {
	case CREDENTIAL_PROMOTED:
		return c->current;
	case CREDENTIAL_BLOCKED:
		c->turn = !c->turn;
		return c->previous == NULL || c->turn ? c->current : c->previous;
	default:
		if (trial && !c->trial_out) {
			c->trial_out = true;
			return c->current;
		}
		return c->previous != NULL ? c->previous : c->current;
	}
}

struct key *credential_pick(struct credential *c, uint64_t now_ms)
{
	if (c->state == CREDENTIAL_NOT_NEEDED)
		return NULL;
	assert(credential_ready(c));
	return key_share(choose(c, now_ms));
}

struct key *credential_renew(struct credential *c, struct key *k, uint64_t now_ms)
{
	if (k != NULL && (k == c->current || k == c->previous))
		return k;
	key_release(k);
	if (c->state == CREDENTIAL_NOT_NEEDED || c->state == CREDENTIAL_NONE)
		return NULL;
	return key_share(credential_ready(c) ? choose(c, now_ms) : c->current);
}

static void end_trial(struct credential *c, const struct key *k)
{
	if (k == c->current)
		c->trial_out = false;
}

void credential_taken(struct credential *c, const struct key *k)
{
	if (k == NULL || (k != c->current && k != c->previous))
		return;
	end_trial(c, k);
	if (k == c->current) {
		c->worked = c->current;
		c->state = CREDENTIAL_PROMOTED;
		return;
	}
	c->previous_refused = false;
	if (c->state == CREDENTIAL_BLOCKED) /* the current one may come to life too */
		c->state = CREDENTIAL_PENDING;
	if (c->state != CREDENTIAL_PROMOTED)
		c->worked = c->previous;
}

/* The first probe goes with the other one. */
static enum credential_advice block(struct credential *c, bool current_was_last)
{
	c->state = CREDENTIAL_BLOCKED;
	c->turn = current_was_last;
	return CREDENTIAL_HOLD;
}

static enum credential_advice current_refused(struct credential *c, uint64_t now_ms)
{
	bool first = c->state == CREDENTIAL_PROMOTED || c->state == CREDENTIAL_CANARY;
	if (first)
		c->refused_ms = now_ms;
	if (c->state == CREDENTIAL_BLOCKED)
		return CREDENTIAL_HOLD;
	if (!can_fall_back(c))
		return block(c, true);
	c->trial_ms = now_ms + c->times->retry_ms;
	if (first)
		c->state = CREDENTIAL_PENDING;
	return CREDENTIAL_AGAIN;
}

static enum credential_advice previous_refused(struct credential *c)
{
	c->previous_refused = true;
	if (c->state == CREDENTIAL_PROMOTED || c->state == CREDENTIAL_CANARY)
		return CREDENTIAL_AGAIN;
	return c->state == CREDENTIAL_BLOCKED ? CREDENTIAL_HOLD : block(c, false);
}

enum credential_advice credential_refused(struct credential *c, const struct key *k,
					  uint64_t now_ms)
{
	if (k == NULL)
		return CREDENTIAL_HOLD;
	end_trial(c, k);
	if (k == c->current)
		return current_refused(c, now_ms);
	if (k == c->previous)
		return previous_refused(c);
	/* it has been replaced meanwhile, which says nothing of those that are there now */
	return c->state == CREDENTIAL_BLOCKED ? CREDENTIAL_HOLD : CREDENTIAL_AGAIN;
}

void credential_unclear(struct credential *c, const struct key *k)
{
	if (k != NULL)
		end_trial(c, k);
}

/* ---- time ---- */

bool credential_tick(struct credential *c, uint64_t now_ms)
{
	if (c->state == CREDENTIAL_PENDING && now_ms - c->refused_ms >= c->times->give_up_ms) {
		c->state = CREDENTIAL_REJECTED;
		return true;
	}
	bool proven = c->state == CREDENTIAL_PROMOTED && c->worked == c->current;
	if (c->previous != NULL && proven && !c->previous_stays &&
	    now_ms - c->changed_ms >= c->times->overlap_ms) {
		set_previous(c, NULL, false);
		return true;
	}
	return false;
}

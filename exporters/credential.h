/* SPDX-License-Identifier: Apache-2.0
 * exporters/credential.h - which of an exporter's tokens a request goes with, while tokens change
 * under it and backends take minutes to learn of a new one. No file, no clock, no socket: what
 * happened and when is told, and what to do is asked. Export room only.
 *
 * There are two slots. A new token becomes current, and the last one that worked, previous. One
 * request tries the new one (the canary) while the others still go with the old one; when it is
 * taken, the new one is promoted, and the previous one lives on for `overlap_ms`. When the new one
 * is refused, the old one goes on, and a request tries the new one again every `retry_ms`; after
 * `give_up_ms` it is rejected and left alone until it changes. As long as the current token has not
 * proved itself the previous one does not end: it may be the only one that works. Where both are
 * refused nothing is to be sent but probes.
 *
 * Source: the project's reference on Lightstep and credentials, R6 to R10 and section 14. */
#ifndef EXPORTERS_CREDENTIAL_H
#define EXPORTERS_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "conf/conf.h"

enum { KEY_VALUES = 32 };

/* One generation of an exporter's secret headers; it never changes. The room that makes it gives it
 * away; from then on the export room counts its references. */
struct key {
	unsigned references;
	uint64_t generation; /* from 1, ascending */
	uint64_t since_unix_ms;
	char fingerprint[SECRET_FINGERPRINT];
	size_t n;
	struct secret *values[KEY_VALUES]; /* of the headers that are not plain text, in order */
};

struct key *key_create(void); /* one reference, no values; NULL: no memory */
struct key *key_share(struct key *k);
void key_release(struct key *k); /* NULL is fine */
bool key_equal(const struct key *a, const struct key *b);

enum credential_state {
	CREDENTIAL_NOT_NEEDED, /* all headers are plain text */
	CREDENTIAL_NONE,       /* none was found yet: nothing can be sent */
	CREDENTIAL_CANARY,     /* the current one is being tried, or will be */
	CREDENTIAL_PROMOTED,   /* the current one is used by all */
	CREDENTIAL_PENDING,    /* it is refused, the previous one is used */
	CREDENTIAL_REJECTED,   /* likewise, and it is not tried any more */
	CREDENTIAL_BLOCKED     /* no token works */
};
extern const char *const CREDENTIAL_STATE_NAMES[];

/* Read by its owner, changed by the calls below. Embedded in a sender. */
struct credential {
	const struct conf_credentials *times;
	enum credential_state state;
	struct key *current, *previous;
	struct key *worked;    /* one of them, or NULL: the one that was taken last */
	bool trial_out;        /* a request is on its way to try the current one */
	bool previous_refused; /* since it was taken last */
	bool previous_stays;   /* its source says that it is valid */
	bool turn;             /* BLOCKED: whose turn it is */
	uint64_t changed_ms, refused_ms, trial_ms; /* the swap; the first refusal; the next trial */
	char dropped[SECRET_FINGERPRINT];          /* an operator's word; it does not come back */
};

/* `needed`: requests are to carry a key. Borrows `times`. */
void credential_init(struct credential *c, bool needed, const struct conf_credentials *times);
void credential_finish(struct credential *c);

/* Another source takes over, whose keys are of another form, or for another place: what is there is
 * not used any more. */
void credential_reset(struct credential *c, bool needed);

/* What the source holds now: takes both. `second` may be NULL. Gives whether it is news. */
bool credential_offer(struct credential *c, struct key *first, struct key *second, uint64_t now_ms);
/* Ends the overlap: false where there is none. */
bool credential_drop_previous(struct credential *c);

/* Whether a request may go now, and with which key: a reference for the request, or NULL where none
 * is needed. It is told of by exactly one of the three below, or renewed. */
bool credential_ready(const struct credential *c);
struct key *credential_pick(struct credential *c, uint64_t now_ms);
/* For a request that waited for a connection: the same key, or another one if that was dropped;
 * NULL where there is none, or none is needed any more. */
struct key *credential_renew(struct credential *c, struct key *k, uint64_t now_ms);

enum credential_advice { CREDENTIAL_AGAIN, CREDENTIAL_HOLD };
void credential_taken(struct credential *c, const struct key *k);
/* AGAIN: the same spans may go at once, with what credential_pick() gives then. */
enum credential_advice credential_refused(struct credential *c, const struct key *k,
					  uint64_t now_ms);
void credential_unclear(struct credential *c, const struct key *k); /* nobody looked at it */

/* Time passes: once a second is enough. True: something ended. */
bool credential_tick(struct credential *c, uint64_t now_ms);

#endif

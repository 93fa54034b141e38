/* SPDX-License-Identifier: Apache-2.0
 * relay/keys.h - the keys room: the only one that reads files with secrets after the start, because
 * such a file may lie on a mount that is slow or gone. Nobody waits for it: a reload is over for
 * everybody else before it comes here. It reads at the start, when a file changes (base/watch.h),
 * on SIGHUP, when a backend refuses a credential, and where a reload names another source; what it
 * finds goes to others by mail. Private to relay/. */
#ifndef RELAY_KEYS_H
#define RELAY_KEYS_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/watch.h"
#include "conf/conf.h"
#include "exporters/oauth2.h"
#include "relay/caller.h"
#include "relay/key_file.h"
#include "relay/room.h"

struct relay;
struct keys;
struct key; /* exporters/credential.h */

/* Something to be read: told of every trigger, in the keys room. `trigger` is a word for the log:
 * start, change, signal, refused, reload. */
typedef void (*keys_on_read)(void *ctx, const char *trigger);

/* Registers at most WATCH_FILES files that belong together, such as a certificate and its key:
 * on_read comes once when the room has started (at once, if it has), and then when one of them has
 * changed or all is to be read again. What it finds it posts to whom it concerns. Before
 * keys_start(), or in the keys room. Copies the paths. NULL: no memory. Ends with the room, or with
 * keys_forget(), which is not for within on_read. */
struct keys_item *keys_register(struct keys *k, const char *const *paths, size_t n,
				keys_on_read on_read, void *ctx);
void keys_forget(struct keys *k, struct keys_item *item); /* NULL is fine */

/* The credential of one exporter: where it is read and what came of it. */
struct keyring {
	struct keys *keys;
	const struct conf_exporter *conf; /* NULL: it needs none */
	unsigned exporter;                /* its slot */
	_Atomic uint64_t came, since; /* world_since.exporter and .credential, for the admin page */
	struct keys_item *item;
	uint64_t generations;
	struct key *first, *second; /* copies for comparing; the keys room's own */
	/* Refusals: at most one reading every five seconds. The mail is under way while `posted`.
	 */
	struct mail mail;
	_Atomic bool posted;
	uint64_t read_ms;
	struct ev_timer again;
	/* relay/fetcher.c, where a token is fetched */
	struct oauth2 *oauth2; /* NULL: none is */
	struct secret *fetched;
	uint64_t again_ms; /* the last pause after a failure; 0: there was none */
	struct ev_timer renew;
	_Atomic uint64_t results[KEY_RESULTS]; /* for the admin page */
	_Atomic int last_result;               /* enum key_result; -1: not read yet */
};

struct keys {
	struct room room;
	struct relay *relay;
	struct watch *watch;
	struct list items; /* (keys_item.link) */
	bool begun;        /* what is added from now on is read at once */
	struct keyring rings[CONF_MAX_EXPORTERS];
	struct mail mail; /* of SIGHUPs, under way while `posted`: many are one */
	_Atomic bool posted;
	_Atomic uint64_t asked; /* who sent the last one, packed */
	struct caller caller;   /* during a reading that a SIGHUP asked for */
	_Atomic bool closing;
};

int keys_open(struct keys *k, struct relay *relay); /* after the export room */
int keys_start(struct keys *k);
/* First of all rooms, so that nothing new comes from it. False: it hangs in a read. Then it is left
 * as it is and not closed, for the process ends anyway. */
bool keys_stop(struct keys *k);
void keys_close(struct keys *k); /* when the rooms that post to it have ended */

/* Any room: everything is read again. Calls while a reading has not begun yet are one with it; one
 * that comes during a reading is followed by another. */
void keys_reread(struct keys *k, struct caller who);
/* Export room: a backend refused what this exporter has. */
void keys_refused(struct keys *k, unsigned exporter);

/* relay/keyring.c */
/* Borrows the exporter, NULL for one that is gone; `tls` is that of oauth2_tls(). 0 or negative. */
int keyring_open(struct keyring *r, const struct conf_exporter *e, uint64_t since, struct tls *tls);
/* The same source, in another world. */
void keyring_take(struct keyring *r, const struct conf_exporter *e);
void keyring_close(struct keyring *r); /* it may be opened again, and counts on */
void keyring_reset(struct keyring *r,
		   uint64_t came); /* of one that is closed: for another exporter */
void keyring_read(struct keyring *r, const char *trigger);
bool keyring_fits(const struct conf_exporter *e); /* false: more than WATCH_FILES are to be read */

/* relay/fetcher.c */
int fetcher_open(struct keyring *r, struct tls *tls);
void fetcher_close(struct keyring *r);
void fetcher_begin(
    struct keyring *r); /* asks for a token; keyring_read() follows when it is here */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/keys.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "relay/rooms.h"

enum { REFUSED_MS = 5000, STOP_MS = 300 };

struct keys_item {
	struct list link; /* keys.items */
	char *paths[WATCH_FILES];
	size_t n;
	struct watch_group *files; /* NULL: there are none, or the room has not begun */
	keys_on_read on_read;
	void *ctx;
};

static void item_free(struct keys_item *item)
{
	for (size_t i = 0; i < item->n; i++)
		free(item->paths[i]);
	free(item);
}

static void on_change(void *ctx)
{
	struct keys_item *item = ctx;
	item->on_read(item->ctx, "change");
}

/* Watched first, then read: no change falls between the two. */
static void begin(struct keys *k, struct keys_item *item)
{
	const char *paths[WATCH_FILES];
	for (size_t i = 0; i < item->n; i++)
		paths[i] = item->paths[i];
	if (item->n != 0)
		item->files = watch_add(k->watch, paths, item->n, on_change, item);
	if (item->n != 0 && item->files == NULL)
		log_error("no memory to watch a file, it is read on SIGHUP only", "path=\"%s\"",
			  item->paths[0]);
	item->on_read(item->ctx, "start");
}

struct keys_item *keys_register(struct keys *k, const char *const *paths, size_t n,
				keys_on_read on_read, void *ctx)
{
	struct keys_item *item = n <= WATCH_FILES ? calloc(1, sizeof(*item)) : NULL;
	if (item == NULL)
		return NULL;
	item->on_read = on_read;
	item->ctx = ctx;
	for (; item->n < n; item->n++) {
		item->paths[item->n] = strdup(paths[item->n]);
		if (item->paths[item->n] == NULL) {
			item_free(item);
			return NULL;
		}
	}
	list_add_tail(&k->items, &item->link);
	if (k->begun)
		begin(k, item);
	return item;
}

static void read_all(struct keys *k, const char *trigger)
{
	list_for_each_safe(pos, tmp, &k->items)
	{
		struct keys_item *item = container_of(pos, struct keys_item, link);
		item->on_read(item->ctx, trigger);
	}
}

/* ---- triggers ---- */

/* The flag before the reading: what is asked for during it is done after it. */
static void on_reread(struct keys *k)
{
	atomic_store(&k->posted, false);
	k->caller = caller_unpack(atomic_load(&k->asked));
	read_all(k, "signal");
	k->caller = (struct caller){0, 0};
}

static void read_refused(struct keyring *r)
{
	r->read_ms = clock_mono_ms();
	keyring_read(r, "refused");
	if (r->oauth2 != NULL)
		fetcher_begin(r);
}

static void on_again(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	read_refused(timer->data);
}

static void on_refused(struct keyring *r)
{
	uint64_t now = clock_mono_ms(), due = r->read_ms + REFUSED_MS;
	atomic_store(&r->posted, false);
	if (r->read_ms == 0 || now >= due) {
		read_refused(r);
	} else if (!ev_is_active(&r->again)) {
		ev_timer_init(&r->again, on_again, (double)(due - now) / 1000., 0.);
		r->again.data = r;
		ev_timer_start(r->keys->room.loop, &r->again);
	}
}

static void on_start(struct keys *k)
{
	atomic_store(&k->posted, false);
	k->begun = true;
	for (int files = 0; files <= 1; files++) { /* what needs no file waits for none */
		list_for_each_safe(pos, tmp, &k->items)
		{
			struct keys_item *item = container_of(pos, struct keys_item, link);
			if ((item->n != 0) == files)
				begin(k, item);
		}
	}
}

static void on_mail(void *ctx, struct mail *m)
{
	struct keys *k = ctx;
	if (m->kind == MAIL_KEYS_START)
		on_start(k);
	else if (m->kind == MAIL_KEYS_REREAD)
		on_reread(k);
	else
		on_refused(container_of(m, struct keyring, mail));
}

void keys_reread(struct keys *k, struct caller who)
{
	atomic_store(&k->asked, caller_pack(who));
	if (atomic_exchange(&k->posted, true))
		return;
	k->mail.kind = MAIL_KEYS_REREAD;
	room_answer(&k->room, &k->mail);
}

void keys_refused(struct keys *k, unsigned exporter)
{
	struct keyring *r = &k->rings[exporter];
	if (r->conf == NULL || atomic_exchange(&r->posted, true))
		return;
	r->mail.kind = MAIL_KEYS_REFUSED;
	room_answer(&k->room, &r->mail);
}

/* ---- the room ---- */

static const struct room_rules RULES = {"keys", 4096, on_mail, NULL, NULL};

int keys_open(struct keys *k, struct relay *relay)
{
	k->relay = relay;
	list_init(&k->items);
	int rc = room_init(&k->room, &RULES, k);
	if (rc != 0)
		return rc;
	k->watch = watch_create(k->room.loop, relay->world->conf.credentials.poll_ms);
	if (k->watch == NULL)
		return fail(-ENOMEM, "keys: no memory");
	for (unsigned i = 0; rc == 0 && i < relay->world->conf.n_exporters; i++)
		rc = keyring_open(&k->rings[i], k, i);
	return rc;
}

/* The files are looked at by the room itself, which may wait for them. */
int keys_start(struct keys *k)
{
	k->posted = true;
	k->mail.kind = MAIL_KEYS_START;
	room_answer(&k->room, &k->mail);
	return room_start(&k->room);
}

bool keys_stop(struct keys *k)
{
	atomic_store(&k->closing, true);
	if (room_stop_within(&k->room, STOP_MS))
		return true;
	log_warn("the keys room hangs in a read and is left behind", "waited_ms=%d", STOP_MS);
	return false;
}

void keys_close(struct keys *k)
{
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		keyring_close(&k->rings[i]);
	watch_destroy(k->watch);
	k->watch = NULL;
	if (k->relay != NULL)
		list_for_each_safe(pos, tmp, &k->items)
		    item_free(container_of(pos, struct keys_item, link));
	room_finish(&k->room);
}

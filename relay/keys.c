/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

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
static void begin(struct keys *k, struct keys_item *item, const char *trigger)
{
	const char *paths[WATCH_FILES];
	for (size_t i = 0; i < item->n; i++)
		paths[i] = item->paths[i];
	if (item->n != 0)
		item->files = watch_add(k->watch, paths, item->n, on_change, item);
	if (item->n != 0 && item->files == NULL)
		log_error("no memory to watch a file, it is read on SIGHUP only", "path=\"%s\"",
			  item->paths[0]);
	item->on_read(item->ctx, trigger);
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
		begin(k, item, "reload");
	return item;
}

void keys_forget(struct keys *k, struct keys_item *item)
{
	if (item == NULL)
		return;
	if (k->watch != NULL)
		watch_remove(item->files);
	list_del(&item->link);
	item_free(item);
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
	if (r->conf == NULL) /* it went meanwhile */
		return;
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
				begin(k, item, "start");
		}
	}
}

/* ---- a reload ---- */

/* Without memory the next worker goes on. */
static void must(int rc)
{
	if (rc != 0)
		_exit(EX_OSERR);
}

static void take_ring(struct keyring *r, const struct reload_note *n)
{
	const struct conf_exporter *e = world_exporter(n->world, r->exporter);
	uint64_t since = n->world->since.credential[r->exporter];
	if (since == atomic_load(&r->since)) {
		keyring_take(r, e);
		return;
	}
	keyring_close(r);
	if (n->moves[r->exporter] == EXPORTER_ADDED)
		keyring_reset(r, since);
	must(keyring_open(r, e, since, n->oauth2_tls[r->exporter]));
}

/* The last room to hold the old world. What it reads may take its time, and comes by mail. */
static void on_reload(struct keys *k, struct reload_note *n)
{
	const struct conf_credentials *was = &n->was->conf.credentials;
	const struct conf_credentials *is = &n->world->conf.credentials;
	must(certificates_take(k->relay->certificates, n));
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		take_ring(&k->rings[i], n);
	if (is->poll_ms != was->poll_ms)
		watch_set_poll(k->watch, is->poll_ms);
	if (is->world_readable != was->world_readable)
		read_all(k, "reload");
	reload_next(k->relay, n);
}

static void on_mail(void *ctx, struct mail *m)
{
	struct keys *k = ctx;
	if (m->kind == MAIL_KEYS_START)
		on_start(k);
	else if (m->kind == MAIL_KEYS_REREAD)
		on_reread(k);
	else if (m->kind == MAIL_RELOAD)
		on_reload(k, container_of(m, struct reload_note, mail));
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
	if (atomic_exchange(&r->posted, true))
		return;
	r->mail.kind = MAIL_KEYS_REFUSED;
	room_answer(&k->room, &r->mail);
}

/* ---- the room ---- */

static const struct room_rules RULES = {"keys", 4096, on_mail, NULL, NULL};

static int open_ring(struct keyring *r, const struct world *w)
{
	const struct conf_exporter *e = world_exporter(w, r->exporter);
	struct tls_notes notes = {.fault = ""};
	struct tls *tls = e != NULL ? oauth2_tls(e, &notes) : NULL;
	if (*notes.fault != '\0')
		return fail(-EINVAL, "%s", notes.fault);
	keyring_reset(r, w->since.exporter[r->exporter]);
	int rc = keyring_open(r, e, w->since.credential[r->exporter], tls);
	tls_unref(tls);
	return rc;
}

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
	for (unsigned i = 0; rc == 0 && i < CONF_MAX_EXPORTERS; i++) {
		k->rings[i].keys = k;
		k->rings[i].exporter = i;
		rc = open_ring(&k->rings[i], relay->world);
	}
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

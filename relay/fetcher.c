/* SPDX-License-Identifier: Apache-2.0
 * Tokens that are fetched: when to ask for the next one. A token is renewed after four fifths of
 * its life; one that cannot be had is asked for again, with growing pauses, while the last one is
 * used until a backend refuses it. Keys room. */
#include <errno.h>

#include "base/log.h"
#include "conf/token.h"
#include "relay/rooms.h"

enum { AGAIN_MIN_MS = 1000, AGAIN_MAX_MS = 60000, LIFE_LEAST_S = 2 };

static void schedule(struct keyring *r, uint64_t ms)
{
	ev_timer_stop(r->keys->room.loop, &r->renew);
	ev_timer_set(&r->renew, (double)ms / 1000., 0.);
	ev_timer_start(r->keys->room.loop, &r->renew);
}

static void failed(struct keyring *r, const char *path, enum key_result why, int status,
		   const char *reason)
{
	r->again_ms = r->again_ms == 0 ? AGAIN_MIN_MS : r->again_ms * 2;
	r->again_ms = r->again_ms < AGAIN_MAX_MS ? r->again_ms : AGAIN_MAX_MS;
	atomic_fetch_add(&r->results[why], 1);
	atomic_store(&r->last_result, (int)why);
	log_error("credential not fetched",
		  "exporter=%s result=%s path=\"%s\" status=%d reason=\"%s\" again_in_ms=%llu",
		  r->conf->name, KEY_RESULT_NAMES[why], path, status, reason,
		  (unsigned long long)r->again_ms);
	schedule(r, r->again_ms);
}

static void on_end(void *ctx, struct secret *token, uint64_t life_s, int status, const char *reason)
{
	struct keyring *r = ctx;
	if (token == NULL) {
		failed(r, "", KEY_NOT_FETCHED, status, reason);
		return;
	}
	secret_release(r->fetched);
	r->fetched = token;
	r->again_ms = 0;
	schedule(r, (life_s > LIFE_LEAST_S ? life_s : LIFE_LEAST_S) * 800);
	keyring_read(r, "fetched");
}

/* A file with nothing but an id or a secret in it. */
static enum key_result read_one(const struct keyring *r, const char *path,
				uint8_t bytes[KEY_FILE_MAX + 1], struct slice *out)
{
	bool fine = r->conf->credentials.world_readable == WORLD_READABLE_ALLOW;
	size_t len = 0;
	enum key_result result = key_file_read(path, fine, bytes, &len);
	*out = token_trim(slice_of(bytes, len));
	return result == KEY_CHANGED && out->len == 0 ? KEY_EMPTY : result;
}

void fetcher_begin(struct keyring *r)
{
	const struct conf_oauth2 *o = &r->conf->oauth2;
	uint8_t id_bytes[KEY_FILE_MAX + 1], secret_bytes[KEY_FILE_MAX + 1];
	struct slice id, secret;
	const char *path = o->client_id_file;
	enum key_result result = read_one(r, path, id_bytes, &id);
	if (result == KEY_CHANGED) {
		path = o->client_secret_file;
		result = read_one(r, path, secret_bytes, &secret);
	}
	if (result != KEY_CHANGED)
		failed(r, path, result, -1, "");
	else if (oauth2_fetch(r->oauth2, id, secret) == -ENOMEM)
		failed(r, "", KEY_NO_MEMORY, -1, "");
	explicit_bzero(id_bytes, sizeof(id_bytes));
	explicit_bzero(secret_bytes, sizeof(secret_bytes));
}

static void on_renew(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	fetcher_begin(timer->data);
}

int fetcher_open(struct keyring *r, struct tls *tls)
{
	ev_timer_init(&r->renew, on_renew, 0., 0.);
	r->renew.data = r;
	if (*r->conf->oauth2.token_url == '\0')
		return 0;
	r->oauth2 = oauth2_create(r->conf, tls, r->keys->room.loop, on_end, r);
	return r->oauth2 != NULL ? 0
				 : fail(-EINVAL, "exporter %s: oauth2 cannot start", r->conf->name);
}

void fetcher_close(struct keyring *r)
{
	ev_timer_stop(r->keys->room.loop, &r->renew);
	oauth2_destroy(r->oauth2);
	secret_release(r->fetched);
	r->oauth2 = NULL;
	r->fetched = NULL;
	r->again_ms = 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * The credential of an exporter: read from where its headers say, judged, and given to its sender.
 * What is no token changes nothing: the last good one stays. Keys room. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/address.h"
#include "conf/header.h"
#include "conf/token.h"
#include "exporters/credential.h"
#include "relay/rooms.h"

/* One reading on its way. */
struct attempt {
	const struct keyring *ring;
	struct key *first, *second; /* being filled */
	bool has_second;
	const char *path;  /* of the file that is wrong */
	const char *fault; /* what can be no token; static text */
};

static const char *host_of(const struct conf_exporter *conf, struct endpoint *url)
{
	return endpoint_read(url, conf->endpoint) == NULL ? url->to.host : NULL;
}

static bool add_value(struct key *k, const char *prefix, struct slice token)
{
	struct slice head = slice_str(prefix != NULL ? prefix : "");
	struct secret *s = secret_join(head, token);
	if (s == NULL)
		return false;
	k->values[k->n++] = s;
	return true;
}

static enum key_result take_tokens(struct attempt *a, const struct conf_header *h,
				   struct slice first, struct slice second)
{
	struct endpoint url;
	const char *host = host_of(a->ring->conf, &url);
	a->fault = token_fault(first, host);
	if (a->fault == NULL && second.len != 0)
		a->fault = token_fault(second, host);
	if (a->fault != NULL)
		return KEY_INVALID;
	a->has_second = a->has_second || second.len != 0;
	bool added = add_value(a->first, h->prefix, first) &&
		     add_value(a->second, h->prefix, second.len != 0 ? second : first);
	return added ? KEY_CHANGED : KEY_NO_MEMORY;
}

static enum key_result take_file(struct attempt *a, const struct conf_header *h)
{
	uint8_t bytes[KEY_FILE_MAX + 1];
	struct slice first, second = {.len = 0};
	size_t len = 0;
	bool fine = a->ring->conf->credentials.world_readable == WORLD_READABLE_ALLOW;
	a->path = h->path;
	enum key_result result = key_file_read(h->path, fine, bytes, &len);
	if (result == KEY_CHANGED) {
		struct slice text = slice_of(bytes, len);
		a->fault = h->source == SOURCE_FILE ? token_lines(text, &first, &second)
						    : token_of_environment_file(text, &first);
		result = a->fault == NULL ? take_tokens(a, h, first, second) : KEY_INVALID;
		if (h->source == SOURCE_FILE && token_trim(text).len == 0)
			result = KEY_EMPTY;
	}
	explicit_bzero(bytes, sizeof(bytes));
	return result;
}

/* An earlier header with the same source: a file is read once for all of them, or they could be of
 * different generations. Gives its place among the values, or -1. */
static int twin_of(const struct attempt *a, const struct conf_header *h)
{
	int place = 0;
	for (const struct conf_header *t = a->ring->conf->headers; t != h; t++) {
		bool same = t->source == h->source && t->path != NULL && h->path != NULL &&
			    strcmp(t->path, h->path) == 0;
		if (same)
			return place;
		place += t->source != SOURCE_TEXT;
	}
	return -1;
}

static bool add_as(struct key *k, const struct conf_header *h, int twin)
{
	struct slice all = secret_reveal(k->values[twin]);
	size_t skip = all.len - secret_tail(k->values[twin]);
	return add_value(k, h->prefix, slice_of(all.data + skip, all.len - skip));
}

static enum key_result take_once(struct attempt *a, const struct conf_header *h)
{
	int twin = twin_of(a, h);
	if (twin < 0)
		return take_file(a, h);
	bool added = add_as(a->first, h, twin) && add_as(a->second, h, twin);
	return added ? KEY_CHANGED : KEY_NO_MEMORY;
}

static enum key_result take_fetched(struct attempt *a, const struct conf_header *h)
{
	if (a->ring->fetched == NULL)
		return KEY_FETCHING;
	struct slice token = secret_reveal(a->ring->fetched);
	return take_tokens(a, h, token, slice_of(NULL, 0));
}

static enum key_result take_header(struct attempt *a, const struct conf_header *h)
{
	switch (h->source) {
	case SOURCE_TEXT:
		return KEY_CHANGED;
	case SOURCE_ENV:
		a->first->values[a->first->n++] = secret_share(h->secret);
		a->second->values[a->second->n++] = secret_share(h->secret);
		return KEY_CHANGED;
	case SOURCE_FILE:
	case SOURCE_ENV_FILE:
		return take_once(a, h);
	case SOURCE_OAUTH2:
		return take_fetched(a, h);
	default:
		return KEY_MISSING;
	}
}

/* Of several headers: a fingerprint of theirs. */
static void print_fingerprint(struct key *k)
{
	char all[KEY_VALUES * SECRET_FINGERPRINT];
	size_t len = 0;
	for (size_t i = 0; i < k->n; i++) {
		memcpy(all + len, secret_fingerprint(k->values[i]), SECRET_FINGERPRINT - 1);
		len += SECRET_FINGERPRINT - 1;
	}
	if (k->n == 1)
		memcpy(k->fingerprint, secret_fingerprint(k->values[0]), SECRET_FINGERPRINT);
	else
		secret_print_fingerprint(slice_of(all, len), k->fingerprint);
}

static enum key_result attempt(struct attempt *a)
{
	const struct conf_exporter *conf = a->ring->conf;
	enum key_result result = KEY_CHANGED;
	a->first = key_create();
	a->second = key_create();
	if (a->first == NULL || a->second == NULL)
		return KEY_NO_MEMORY;
	for (size_t i = 0; i < conf->n_headers && result == KEY_CHANGED; i++)
		result = take_header(a, &conf->headers[i]);
	if (result != KEY_CHANGED)
		return result;
	print_fingerprint(a->first);
	print_fingerprint(a->second);
	bool same =
	    key_equal(a->first, a->ring->first) &&
	    (a->has_second ? key_equal(a->second, a->ring->second) : a->ring->second == NULL);
	return same ? KEY_UNCHANGED : KEY_CHANGED;
}

/* ---- telling ---- */

/* For another room: a key is counted by one room only, its values by all. */
static struct key *copy_of(const struct key *k)
{
	struct key *copy = k != NULL ? key_create() : NULL;
	if (copy == NULL)
		return NULL;
	*copy = *k;
	copy->references = 1;
	for (size_t i = 0; i < k->n; i++)
		secret_share(k->values[i]);
	return copy;
}

static bool tell(const struct keyring *r)
{
	struct key_note *note = calloc(1, sizeof(*note));
	struct key *first = copy_of(r->first), *second = copy_of(r->second);
	if (note == NULL || first == NULL || (r->second != NULL && second == NULL)) {
		free(note);
		key_release(first);
		key_release(second);
		return false;
	}
	*note = (struct key_note){.mail.kind = MAIL_KEY,
				  .exporter = r->exporter,
				  .since = atomic_load(&r->since),
				  .first = first,
				  .second = second};
	if (atomic_load(&r->keys->closing)) {
		key_release(first);
		key_release(second);
		free(note);
		return true;
	}
	room_answer(&r->keys->relay->export.room, &note->mail);
	return true;
}

/* A key that was there before keeps its number and its age. */
static void number(struct keyring *r, struct key *k)
{
	const struct key *was = key_equal(k, r->first)    ? r->first
				: key_equal(k, r->second) ? r->second
							  : NULL;
	k->generation = was != NULL ? was->generation : ++r->generations;
	k->since_unix_ms = was != NULL ? was->since_unix_ms : clock_wall_ms();
}

static enum key_result adopt(struct keyring *r, struct attempt *a)
{
	struct key *old_first = r->first, *old_second = r->second;
	if (a->has_second)
		number(r, a->second);
	number(r, a->first);
	r->first = key_share(a->first);
	r->second = a->has_second ? key_share(a->second) : NULL;
	bool told = tell(r);
	if (!told) { /* as if it had not been read: the next trigger does it again */
		key_release(r->first);
		key_release(r->second);
		r->first = old_first;
		r->second = old_second;
		return KEY_NO_MEMORY;
	}
	key_release(old_first);
	key_release(old_second);
	return KEY_CHANGED;
}

static const char *shown(const struct key *k)
{
	return k != NULL ? k->fingerprint : "-";
}

static void log_attempt(const struct keyring *r, const struct attempt *a, const char *trigger,
			const char *was, enum key_result result)
{
	bool good = result == KEY_CHANGED || result == KEY_UNCHANGED || result == KEY_FETCHING;
	log_line(good ? LOG_INFO : LOG_ERROR, good ? "credential read" : "credential not read",
		 "exporter=%s trigger=%s result=%s path=\"%s\" why=\"%s\" old=%s new=%s "
		 "generation=%llu",
		 r->conf->name, trigger, KEY_RESULT_NAMES[result], a->path != NULL ? a->path : "",
		 a->fault != NULL ? a->fault : "", was, shown(r->first),
		 (unsigned long long)(r->first != NULL ? r->first->generation : 0));
}

/* The attempt, for the audit log: what was there before is `old`. */
static void tell_auditor(const struct keyring *r, const struct attempt *a, const char *trigger,
			 const struct key *old, enum key_result result)
{
	static const char *const SOURCES[] = {"text",     "env",    "file",
					      "env_file", "oauth2", "missing"};
	struct auditor *auditor = &r->keys->relay->auditor;
	struct audit_note *n =
	    audit_note(auditor, AUDIT_CREDENTIAL, r->conf->name, KEY_RESULT_NAMES[result], trigger);
	struct audit_record *record = audit_of(n);
	const struct conf_header *h = r->conf->headers;
	while (h->source == SOURCE_TEXT) /* one of them is a credential */
		h++;
	audit_detail(record, "source", SOURCES[h->source]);
	audit_detail(record, "path", a->path != NULL ? a->path : h->path);
	audit_detail(record, "why", a->fault);
	audit_detail(record, "old", old != NULL ? old->fingerprint : NULL);
	audit_detail(record, "new", r->first != NULL ? r->first->fingerprint : NULL);
	audit_count(record, "old_generation", old != NULL ? (int64_t)old->generation : 0);
	audit_count(record, "new_generation", r->first != NULL ? (int64_t)r->first->generation : 0);
	audit_caller(n, r->keys->caller);
	audit_post(auditor, n);
}

static void warn_of_length(const struct keyring *r)
{
	size_t len = 0;
	for (size_t i = 0, k = 0; i < r->conf->n_headers; i++) {
		const struct conf_header *h = &r->conf->headers[i];
		if (h->source != SOURCE_TEXT && strcmp(h->name, LIGHTSTEP_HEADER) == 0)
			len = secret_reveal(r->first->values[k]).len;
		k += h->source != SOURCE_TEXT;
	}
	if (len != 0 && len != 32 && len != 84 && len != 104)
		log_warn("an unusual token: those of Lightstep have 32, 84 or 104 characters",
			 "exporter=%s length=%zu", r->conf->name, len);
}

void keyring_read(struct keyring *r, const char *trigger)
{
	struct attempt a = {.ring = r};
	char was[SECRET_FINGERPRINT];
	enum key_result result = attempt(&a);
	struct key *old = r->first != NULL ? key_share(r->first) : NULL;
	memcpy(was, old != NULL ? old->fingerprint : "-", old != NULL ? sizeof(was) : 2);
	if (result == KEY_CHANGED)
		result = adopt(r, &a);
	atomic_fetch_add(&r->results[result], 1);
	atomic_store(&r->last_result, (int)result);
	log_attempt(r, &a, trigger, was, result);
	tell_auditor(r, &a, trigger, old, result);
	key_release(old);
	if (result == KEY_CHANGED)
		warn_of_length(r);
	key_release(a.first);
	key_release(a.second);
}

/* ---- the contract ---- */

/* What is fetched is asked for anew whatever the trigger, and comes when it comes. */
static void on_read(void *ctx, const char *trigger)
{
	struct keyring *r = ctx;
	keyring_read(r, trigger);
	if (r->oauth2 != NULL)
		fetcher_begin(r);
}

/* All that is read for it; gives how many, WATCH_FILES + 1 for too many. */
static size_t files_of(const struct conf_exporter *e, const char *paths[WATCH_FILES])
{
	const char *fetching[] = {e->oauth2.client_id_file, e->oauth2.client_secret_file};
	size_t n = 0;
	for (size_t i = 0; i < e->n_headers && n <= WATCH_FILES; i++) {
		if (e->headers[i].path != NULL && n < WATCH_FILES)
			paths[n] = e->headers[i].path;
		n += e->headers[i].path != NULL;
	}
	for (size_t i = 0; *e->oauth2.token_url != '\0' && i < 2 && n <= WATCH_FILES; i++) {
		if (n < WATCH_FILES)
			paths[n] = fetching[i];
		n++;
	}
	return n;
}

bool keyring_fits(const struct conf_exporter *e)
{
	const char *paths[WATCH_FILES];
	return files_of(e, paths) <= WATCH_FILES;
}

int keyring_open(struct keyring *r, const struct conf_exporter *e, uint64_t since, struct tls *tls)
{
	const char *paths[WATCH_FILES];
	atomic_store(&r->last_result, -1);
	atomic_store(&r->since, since);
	if (e == NULL || headers_secret(e) == 0)
		return 0;
	size_t n = files_of(e, paths);
	if (n > WATCH_FILES)
		return fail(-E2BIG, "exporter %s: more than %d files with headers", e->name,
			    WATCH_FILES);
	r->conf = e;
	int rc = fetcher_open(r, tls);
	if (rc != 0)
		return rc;
	r->item = keys_register(r->keys, paths, n, on_read, r);
	return r->item != NULL ? 0 : fail(-ENOMEM, "exporter %s: no memory", e->name);
}

void keyring_take(struct keyring *r, const struct conf_exporter *e)
{
	if (r->conf == NULL)
		return;
	r->conf = e;
	if (r->oauth2 != NULL)
		oauth2_take(r->oauth2, e);
}

void keyring_reset(struct keyring *r, uint64_t came)
{
	atomic_store(&r->came, came);
	r->generations = 0;
	for (int i = 0; i < KEY_RESULTS; i++)
		atomic_store(&r->results[i], 0);
}

void keyring_close(struct keyring *r)
{
	if (r->conf == NULL)
		return;
	ev_timer_stop(r->keys->room.loop, &r->again);
	keys_forget(r->keys, r->item);
	fetcher_close(r);
	key_release(r->first);
	key_release(r->second);
	r->first = r->second = NULL;
	r->item = NULL;
	r->conf = NULL;
	r->read_ms = 0;
}

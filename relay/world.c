/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/world.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/siphash.h"
#include "conf/change.h"
#include "conf/environment.h"
#include "relay/load.h"

void world_news_finish(struct world_news *n)
{
	buf_finish(&n->findings);
	buf_finish(&n->changes);
	buf_finish(&n->restart);
	buf_finish(&n->variables);
}

const struct conf_exporter *world_exporter(const struct world *w, unsigned slot)
{
	for (size_t i = 0; i < w->conf.n_exporters; i++)
		if (w->slot[i] == slot)
			return &w->conf.exporters[i];
	return NULL;
}

unsigned world_slot(const struct world *w, const char *name)
{
	for (size_t i = 0; i < w->conf.n_exporters; i++)
		if (strcmp(w->conf.exporters[i].name, name) == 0)
			return w->slot[i];
	return WORLD_NO_SLOT;
}

/* Those that were there keep theirs; a new one gets one that is nobody's, not even of one that goes
 * now, for its last requests may still be under way. Where there are too many for that, it does. */
static void give_slots(struct world *w, const struct world *before)
{
	bool taken[WORLD_NO_SLOT] = {false};
	for (size_t i = 0; before != NULL && i < before->conf.n_exporters; i++)
		taken[before->slot[i]] = true;
	for (size_t i = 0; i < w->conf.n_exporters; i++) {
		const char *name = w->conf.exporters[i].name;
		unsigned slot = before != NULL ? world_slot(before, name) : WORLD_NO_SLOT;
		for (unsigned k = 0; slot == WORLD_NO_SLOT && k < WORLD_NO_SLOT; k++)
			slot = taken[k] ? WORLD_NO_SLOT : k;
		w->slot[i] = (uint8_t)slot;
		if (slot != WORLD_NO_SLOT)
			taken[slot] = true;
	}
}

static bool has_slots(const struct world *w)
{
	bool all = true;
	for (size_t i = 0; i < w->conf.n_exporters; i++)
		all = all && w->slot[i] != WORLD_NO_SLOT;
	return all;
}

/* The sum over files in any order. What cannot be read is told when the rules are made. */
static uint64_t digest_folder(const char *folder)
{
	static const struct siphash_key KEY = {0x72756c6573, 0};
	uint64_t sum = 0;
	DIR *dir = *folder != '\0' ? opendir(folder) : NULL;
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		char path[4096];
		struct buf text = {.data = NULL};
		int len = snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (e->d_name[0] != '.' && len < (int)sizeof(path) &&
		    conf_read_file(path, &text) == 0)
			sum += siphash(&KEY, e->d_name, strlen(e->d_name)) ^
			       siphash(&KEY, text.data, text.len);
		buf_finish(&text);
	}
	if (dir != NULL)
		closedir(dir);
	return sum;
}

static struct world *begin(uint64_t number)
{
	struct world *w = calloc(1, sizeof(*w));
	if (w == NULL)
		fail(-ENOMEM, "configuration: no memory");
	else
		w->number = number;
	return w;
}

/* For the audit log, by which somebody may show later what was in force. */
static int put_hash(struct world *w)
{
	struct buf text = {.data = NULL};
	uint8_t digest[SHA256_DIGEST_LENGTH];
	int full = change_canonical(&w->conf, &text) |
		   buf_printf(&text, "%016llx", (unsigned long long)w->rules_dir_digest);
	SHA256(text.data, text.len, digest);
	hex_print(digest, sizeof(digest), w->hash);
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_finish(&text);
	return full == 0 ? 0 : fail(-ENOMEM, "configuration: no memory");
}

static int complete(struct world *w, const struct world *before)
{
	w->judges = policy_judges(&w->conf);
	w->unix_ms = clock_wall_ms();
	give_slots(w, before);
	return put_hash(w);
}

int world_load(struct world **out, const char *file, struct buf *findings)
{
	struct world *w = begin(1);
	if (w == NULL)
		return -ENOMEM;
	int rc = load_configuration(&w->conf, &w->policy, file, findings);
	if (rc == 0)
		rc = load_rules(&w->conf, &w->rules, findings);
	if (rc == 0)
		rc = load_clients(&w->conf, &w->clients, findings);
	if (rc != 0) {
		world_destroy(w, NULL);
		return rc;
	}
	w->rules_dir_digest = digest_folder(w->conf.redaction.rules_dir);
	for (size_t i = 0; i < w->conf.n_exporters; i++)
		w->since.exporter[i] = w->since.credential[i] = w->since.tls[i] = w->number;
	for (unsigned i = 0; i < PORTS; i++)
		w->since.port[i] = w->number;
	rc = complete(w, NULL);
	if (rc != 0)
		world_destroy(w, NULL);
	else
		*out = w;
	return rc;
}

/* Their tokens stand in files of their own, so they may change where the options do not. */
static int make_clients(struct world *w, const struct world *running, struct world_news *news)
{
	int rc = load_clients(&w->conf, &w->clients, &news->findings);
	if (rc != 0)
		return rc;
	news->clients = w->clients == NULL || running->clients == NULL
			    ? w->clients != running->clients
			    : !registry_equal(w->clients, running->clients);
	if (!news->clients) {
		registry_destroy(w->clients);
		w->clients = running->clients;
	}
	return 0;
}

/* What the old one has and the new one would have again. */
static int make_parts(struct world *w, const char *file, const struct world *running,
		      struct world_news *news)
{
	const struct conf *was = &running->conf, *is = &w->conf;
	int rc = policy_create(&w->policy, is, file != NULL ? file : "defaults", &news->findings);
	if (rc != 0)
		return rc < 0 ? rc : CONF_FAULTY;
	w->rules_dir_digest = digest_folder(is->redaction.rules_dir);
	news->judging = w->policy->generation != running->policy->generation ||
			policy_judges(is) != policy_judges(was);
	news->redaction =
	    change_under("redaction", was, is) || w->rules_dir_digest != running->rules_dir_digest;
	if (news->redaction)
		rc = load_rules(is, &w->rules, &news->findings);
	if (rc == 0 && !news->judging) {
		policy_destroy(w->policy);
		w->policy = running->policy;
	}
	if (rc == 0 && !news->redaction)
		w->rules = running->rules;
	return rc == 0 ? make_clients(w, running, news) : rc;
}

static int tell_changes(const struct world *w, const struct world *running, struct world_news *news)
{
	bool rules = w->rules_dir_digest != running->rules_dir_digest;
	int full = change_write(&running->conf, &w->conf, &news->changes);
	if (rules && strcmp(w->conf.redaction.rules_dir, running->conf.redaction.rules_dir) == 0)
		full |= buf_printf(&news->changes, "redaction.rules_dir: files in it changed\n");
	if (news->clients && !change_under("clients", &running->conf, &w->conf))
		full |= buf_printf(&news->changes, "clients: their tokens changed\n");
	return full;
}

int world_reload(struct world **out, const char *file, const struct world *running,
		 struct world_news *news)
{
	struct world *w = begin(running->number + 1);
	if (w == NULL)
		return -ENOMEM;
	int rc = conf_reload(&w->conf, file, &running->conf, &news->findings, &news->restart);
	if (environment_hide(&news->variables) != 0 && rc == 0) /* whatever the file is worth */
		rc = -ENOMEM;
	if (rc == 0)
		rc = make_parts(w, file, running, news);
	if (rc == 0)
		rc = complete(w, running);
	if (rc == 0 && tell_changes(w, running, news) != 0)
		rc = -ENOMEM;
	if (rc == 0 && !has_slots(w)) {
		buf_printf(&news->findings,
			   "exporters: at most %d, with those that go now: take "
			   "away first, then add\n",
			   CONF_MAX_EXPORTERS);
		rc = CONF_FAULTY;
	}
	if (rc == 0 && w->judges && !running->judges && w->conf.sampling.recent_bytes != 0)
		buf_printf(&news->restart, "sampling.recent: traffic is recorded from then on\n");
	if (rc == 0 && news->changes.len == 0)
		rc = WORLD_UNCHANGED;
	if (rc == 0)
		*out = w;
	else
		world_destroy(w, running);
	return rc;
}

void world_retire(struct world *w, const struct world *next)
{
	if (next == NULL || next->policy != w->policy)
		policy_destroy(w->policy);
	if (next == NULL || next->rules != w->rules)
		ruleset_release(w->rules);
	if (next == NULL || next->clients != w->clients)
		registry_destroy(w->clients);
	w->policy = NULL;
	w->rules = NULL;
	w->clients = NULL;
}

void world_destroy(struct world *w, const struct world *next)
{
	if (w == NULL)
		return;
	world_retire(w, next);
	conf_finish(&w->conf);
	free(w);
}

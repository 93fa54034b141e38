/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/registry.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "identity/stamp.h"

const char *const IDENTITY_SOURCE_NAMES[] = {"none", "token", "mtls"};

struct entry {
	struct digest digest;
	uint32_t client;
	enum identity_source by;
};

struct registry {
	size_t n_clients, n_entries;
	struct buf (*stamps)[IDENTITY_SOURCES]; /* of each client */
	struct buf nobody;
	struct entry *entries;
};

static int make_stamps(struct registry *r, const struct conf *c)
{
	int rc = stamp_write(&r->nobody, &(struct stamp_words){.source = "none"});
	for (size_t i = 0; i < r->n_clients && rc == 0; i++) {
		const struct conf_client *client = &c->clients[i];
		for (int by = IDENTITY_TOKEN; by < IDENTITY_SOURCES && rc == 0; by++)
			rc = stamp_write(&r->stamps[i][by],
					 &(struct stamp_words){.source = IDENTITY_SOURCE_NAMES[by],
							       .client = client->name,
							       .environment = client->environment,
							       .role = client->role});
	}
	return rc;
}

struct registry *registry_create(const struct conf *c)
{
	struct registry *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->n_clients = c->n_clients;
	r->stamps = calloc(c->n_clients + 1, sizeof(*r->stamps));
	if (r->stamps != NULL && make_stamps(r, c) == 0)
		return r;
	registry_destroy(r);
	return NULL;
}

void registry_destroy(struct registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; r->stamps != NULL && i < r->n_clients; i++)
		for (int by = 0; by < IDENTITY_SOURCES; by++)
			buf_finish(&r->stamps[i][by]);
	buf_finish(&r->nobody);
	free(r->stamps);
	free(r->entries);
	free(r);
}

/* No early end, so that time tells nothing of where it stands. */
static int look_up(const struct registry *r, const struct digest *d, enum identity_source by)
{
	int client = REGISTRY_NOBODY;
	for (size_t i = 0; i < r->n_entries; i++)
		if (digest_equal(&r->entries[i].digest, d) && r->entries[i].by == by)
			client = (int)r->entries[i].client;
	return client;
}

int registry_add(struct registry *r, size_t client, enum identity_source by, struct slice what)
{
	struct entry e = {.client = (uint32_t)client, .by = by};
	int rc = digest_of(what, &e.digest);
	if (rc != 0)
		return rc;
	int whose = look_up(r, &e.digest, by);
	if (whose != REGISTRY_NOBODY)
		return whose == (int)client ? 0 : REGISTRY_TAKEN;
	struct entry *more = reallocarray(r->entries, r->n_entries + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	r->entries = more;
	r->entries[r->n_entries++] = e;
	return 0;
}

struct identity registry_find(const struct registry *r, const struct credentials *c)
{
	static const struct identity NOBODY = {REGISTRY_NOBODY, IDENTITY_NONE};
	int by_name = REGISTRY_NOBODY, by_token = REGISTRY_NOBODY;
	bool two = false;
	for (size_t i = 0; i < c->n_names; i++) {
		int found = look_up(r, &c->names[i], IDENTITY_MTLS);
		two |= found != REGISTRY_NOBODY && by_name != REGISTRY_NOBODY && found != by_name;
		by_name = found != REGISTRY_NOBODY ? found : by_name;
	}
	if (c->has_token)
		by_token = look_up(r, &c->token, IDENTITY_TOKEN);
	if (c->unclear || two || (c->has_token && by_token == REGISTRY_NOBODY))
		return NOBODY;
	if (by_token != REGISTRY_NOBODY && by_name != REGISTRY_NOBODY && by_token != by_name)
		return NOBODY;
	if (by_name != REGISTRY_NOBODY)
		return (struct identity){by_name, IDENTITY_MTLS};
	return by_token != REGISTRY_NOBODY ? (struct identity){by_token, IDENTITY_TOKEN} : NOBODY;
}

struct slice registry_stamp(const struct registry *r, struct identity i)
{
	return i.client == REGISTRY_NOBODY ? buf_slice(&r->nobody)
					   : buf_slice(&r->stamps[i.client][i.source]);
}

bool registry_equal(const struct registry *a, const struct registry *b)
{
	if (a->n_clients != b->n_clients || a->n_entries != b->n_entries)
		return false;
	for (size_t i = 0; i < a->n_clients; i++)
		if (!slice_equal(buf_slice(&a->stamps[i][IDENTITY_TOKEN]),
				 buf_slice(&b->stamps[i][IDENTITY_TOKEN])))
			return false;
	for (size_t i = 0; i < a->n_entries; i++)
		if (look_up(b, &a->entries[i].digest, a->entries[i].by) !=
		    (int)a->entries[i].client)
			return false;
	return true;
}

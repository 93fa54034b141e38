/* SPDX-License-Identifier: Apache-2.0
 * identity/registry.h - the clients that may send, and by what they are known: tokens and names of
 * certificates, as digests. Made off the loops, never changed, read by all intake rooms.
 * Source: the project's reference on edges and identity, section 7.3. */
#ifndef IDENTITY_REGISTRY_H
#define IDENTITY_REGISTRY_H

#include "conf/conf.h"
#include "wire/credentials.h"

/* What made us believe it; spanrelay.identity.source. */
enum identity_source { IDENTITY_NONE, IDENTITY_TOKEN, IDENTITY_MTLS, IDENTITY_SOURCES };
extern const char *const IDENTITY_SOURCE_NAMES[];

enum { REGISTRY_TAKEN = 1, REGISTRY_NOBODY = -1 };

struct identity {
	int client; /* by its place in conf.clients, or REGISTRY_NOBODY */
	enum identity_source source;
};

struct registry;

/* Copies the names. NULL: no memory. */
struct registry *registry_create(const struct conf *c);
void registry_destroy(struct registry *r);

/* What a client is known by: a token, or a name as in wire/credentials.h. REGISTRY_TAKEN: it is
 * another client's; 0, or negative: no memory. */
int registry_add(struct registry *r, size_t client, enum identity_source by, struct slice what);

/* Whose request it is. Nobody's, if what it brings is unknown, unclear, or of two clients: each of
 * what is there must be known and stand for the same one. Looks at every entry, whatever it finds.
 */
struct identity registry_find(const struct registry *r, const struct credentials *c);

/* The attributes that say so, as fields of a Resource. */
struct slice registry_stamp(const struct registry *r, struct identity i);

/* Same clients, same names, same credentials. */
bool registry_equal(const struct registry *a, const struct registry *b);

#endif

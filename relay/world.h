/* SPDX-License-Identifier: Apache-2.0
 * relay/world.h - all that a configuration comes to: the options, the rules and budgets compiled,
 * the rules of redaction compiled. Made off the loops, never changed, read by all rooms. A reload
 * makes another one and hands it from room to room (relay/reload.h); the old one goes when the last
 * room holds the new one. What did not change is made once: the new world then has the old one's,
 * and world_destroy() is told. Private to relay/. */
#ifndef RELAY_WORLD_H
#define RELAY_WORLD_H

#include "conf/conf.h"
#include "identity/registry.h"
#include "pipeline/policy.h"
#include "receivers/receiver.h"
#include "redaction/ruleset.h"

enum { WORLD_UNCHANGED = 2, WORLD_NO_SLOT = 16 };

/* The number of the world with which something came, by slot or port, or changed what is read for
 * it; 0: there is none. News of what the keys room reads carry it: those of an older one are of
 * something else, or for somebody else. */
struct world_since {
	uint64_t exporter[CONF_MAX_EXPORTERS]; /* it came, whatever changed of it since then */
	uint64_t credential[CONF_MAX_EXPORTERS];
	uint64_t tls[CONF_MAX_EXPORTERS];
	uint64_t port[PORTS]; /* its certificate */
};

struct world {
	struct conf conf;
	struct policy *policy;
	struct ruleset *rules;    /* of redaction; NULL: nothing is redacted */
	struct registry *clients; /* NULL: nobody looks who sends */
	bool judges;              /* what comes in waits for a ruling */
	uint64_t number;          /* 1 is what the worker began with */
	uint64_t unix_ms;         /* when it was made */
	/* An exporter keeps its slot as long as it is configured: by its place in conf. */
	uint8_t slot[CONF_MAX_EXPORTERS];
	struct world_since since;  /* relay/reload_plan.c */
	uint64_t rules_dir_digest; /* of the files in it */
	char hash[65];             /* SHA-256 of all that the options say, in digits */
};

/* What a reload found. */
struct world_news {
	struct buf findings;  /* as of conf_load() */
	struct buf changes;   /* conf/change.h */
	struct buf restart;   /* likewise: what takes a restart */
	struct buf variables; /* names, each with a 0 behind it: conf/environment.h, hide */
	bool judging;         /* the policy is another one */
	bool redaction;       /* so are the rules of redaction */
	bool clients;         /* and those who may send */
};
void world_news_finish(struct world_news *n);

/* The first one, of `file` (NULL: the defaults), which must live as long. 0, CONF_FAULTY, or
 * negative: no memory. */
int world_load(struct world **out, const char *file, struct buf *findings);

/* The next one. WORLD_UNCHANGED, where `news` may have findings and what takes a restart, too;
 * otherwise as world_load(). `running` is only read. */
int world_reload(struct world **out, const char *file, const struct world *running,
		 struct world_news *news);

/* What `next` shares with it stays; NULL: nothing does. */
void world_destroy(struct world *w, const struct world *next);

/* Frees what is large; the options stay, for others borrow them as long as the process lives. */
void world_retire(struct world *w, const struct world *next);

/* The exporter in a slot, NULL for none; and the slot of one, WORLD_NO_SLOT for none of that name.
 */
const struct conf_exporter *world_exporter(const struct world *w, unsigned slot);
unsigned world_slot(const struct world *w, const char *name);

#endif

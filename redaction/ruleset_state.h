/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset_state.h - what a rule set is made of: for the files that build it, and for
 * scanners, which read it. Nothing of it changes once ruleset_compile() has given it. */
#ifndef REDACTION_RULESET_STATE_H
#define REDACTION_RULESET_STATE_H

#include <hs.h>
#include <stdatomic.h>

#include "base/pattern.h"
#include "base/siphash.h"
#include "redaction/relax.h"
#include "redaction/ruleset.h"

/* A gate, ready to be asked: of each byte the parts that it may be in, bits 1 << part, and whether
 * it stops the gate. */
enum { PASSAGE_STOP = 1 << GATE_PARTS };
struct passage {
	uint32_t span;
	uint16_t bytes[256];
};

/* A rule, ready to be asked. */
struct exact {
	struct pattern *regex; /* NULL: a class, or the whole value of a key */
	struct pattern **allow;
	uint32_t n_allow;
	enum mask mask;
	bool keyed;           /* only for the values of some keys */
	uint32_t wide;        /* bytes of a match at most, or REGEX_FAR */
	char *prefilter;      /* what the automaton looks for; NULL: it does not */
	uint32_t reach;       /* as struct relaxed; REGEX_FAR also of keywords */
	struct passage *gate; /* NULL: none */
	uint32_t attempt;     /* bytes that an attempt reads at most, but for an open end */
};

/* What the automaton reports by its index. */
struct probe {
	uint16_t rule;
	uint16_t cut;   /* bytes of a prefix of cut secrets, which the report's probe ends CUT_LEAST
			 * bytes behind; 0: the relaxed expression of the rule */
	uint32_t reach; /* before the report's end a match may begin; REGEX_FAR: anywhere */
	const struct passage *gate; /* NULL: none */
	uint16_t same;              /* + 1: another probe that the same expression is for */
};
enum { CUT_LEAST = 4 };

/* What several rules look for is one expression. */
struct expression {
	uint16_t probe; /* the first of its probes */
	struct passage
	    *gate; /* through which each of theirs goes; NULL: one has none, or only one */
};

enum key_use { KEY_RULE, KEY_BLOCK, KEY_ALLOW, KEY_IGNORE };
struct key_glob {
	const char *glob;
	enum key_use use;
	uint16_t rule;
};

struct ruleset {
	_Atomic uint32_t references;
	struct siphash_key identity; /* random: an address may be used again, this is not */
	struct rules rules;
	struct arena arena;  /* for what lives as long as the set */
	struct exact *exact; /* of each rule */
	uint32_t n;
	hs_database_t *text; /* NULL: no rule needs it */
	struct probe *probes;
	uint32_t n_probes;
	struct expression *expressions; /* of `text`, by their index */
	struct key_glob *globs;
	uint32_t n_globs;
	hs_database_t *keys; /* the literals of globs, by their index; NULL: no glob has one */
	uint32_t *loose;     /* globs that have none */
	uint32_t n_loose;
	bool lists_keys;  /* keys.allow_only is there */
	uint32_t classes; /* bits 1 << CLASS_... that some rule asks for */
	uint16_t *of_class[CLASSES];
	uint32_t n_of_class[CLASSES];
	enum mask mask; /* of extras */
	struct ruleset_masking masking;
	uint8_t *hmac_key; /* masking's, in the arena */
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 * redaction/rule.h - what a secret looks like, as data. A file holds one pack: */
// clang-format off
/*
 *   pack: secrets
 *   description: tokens that tell by their shape whose they are
 *   allow: ['EXAMPLE$']            # beside each rule's own
 *   rules:
 *     - id: github-token           # letters, digits and -; unique over all packs
 *       description: GitHub personal access token
 *       keywords: [ghp_]           # each match holds one of them, in any case
 *       regex: '\bghp_[A-Za-z0-9]{36}(?![A-Za-z0-9])'
 *       secret: 0                  # the group that is the secret; 0, the default: all of it
 *       entropy: 3.5               # the secret has at least so many bits a byte (Shannon)
 *       checksum: github           # and this checksum is right
 *       allow: ['^ghp_x+$']        # a secret in which one of these is found is none
 *       cut: [ghp_]                # a value that ends in this and more of a token was cut: below
 *       mask: keep_last_4          # default: the configuration's
 *       examples:
 *         match: ['token <<ghp_...>> is gone']
 *         no_match: ['ghp_short']
 *     - id: password-key
 *       keys: ['*password*', db.pass]   # globs on the attribute's key, in any case
 *       regex: '^.{4,}$'                # default: the whole value, if there is any
 *     - id: card
 *       class: card                # in place of a regex: one of enum rule_class
 *       checksum: luhn
 *
 * A rule with `keys` is for the values of those attributes alone; one without is for all text:
 * values, names, keys, messages. All expressions are Perl's (base/pattern.h), case counts unless
 * they say (?i), and they see one value, whole. As in all our YAML, ${ is written $${.
 *
 * `cut: [P]`: SDKs cut long values. P, then token bytes (letters, digits, _ - . + / = ~) to the end
 * of the value, at least four of them, is a secret also where the regex does not match.
 *
 * Examples of `match`: what stands between << and >> is exactly what has to be found (the marks are
 * taken out first); without marks, anything. An example of a rule with `keys` may be
 * { key: db.password, value: '<<hunter2>>' }; otherwise its first key without a glob is taken.
 *
 * A struct rule is read by one thread and then never changes. */
// clang-format on
#ifndef REDACTION_RULE_H
#define REDACTION_RULE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "conf/report.h"

enum { RULE_MAX_REGEX = 2048, RULE_MAX_LIST = 256, RULE_MAX_RULES = 2048, RULE_FAULTY = 1 };

/* How a secret is made unreadable. */
enum mask {
	MASK_INHERIT,     /* as the configuration says */
	MASK_KEEP_LENGTH, /* each byte a `*` */
	MASK_REPLACE,     /* [REDACTED] */
	MASK_TYPED,       /* [REDACTED:rule-id] */
	MASK_HMAC,        /* hmac:<key id>:<16 hex> */
	MASK_KEEP_LAST_4, /* stars, then the last four bytes */
	MASK_DROP,        /* the attribute; where there is none to drop, the value becomes empty */
	MASK_URL,         /* REDACTED, as the conventions ask of URLs */
	MASKS
};
extern const char *const MASK_NAMES[MASKS];

/* What no expression finds cheaply enough (redaction/class.h). */
enum rule_class { CLASS_NONE, CLASS_CARD, CLASS_IBAN, CLASS_EMAIL, CLASS_IPV4, CLASS_SSN, CLASSES };
extern const char *const CLASS_NAMES[CLASSES];

/* redaction/checksum.h */
enum checksum {
	CHECKSUM_NONE,
	CHECKSUM_LUHN,
	CHECKSUM_MOD97,  /* IBAN */
	CHECKSUM_GITHUB, /* CRC32 in base 62 in the last six: GitHub, npm and others */
	CHECKSUM_JWT,    /* the first part is base64url of a JSON object */
	CHECKSUM_SSN,    /* area, group and serial that are given out */
	CHECKSUMS
};
extern const char *const CHECKSUM_NAMES[CHECKSUMS];

/* Strings, all in the arena of their rules. */
struct texts {
	const char *const *items; /* NUL at their ends */
	uint32_t n;
};

struct example {
	const char *key;   /* or NULL */
	const char *value; /* without marks */
	size_t start, end; /* what has to be found: the same for "anything" */
	bool marked;
	struct place at;
};

struct rule {
	struct place at, regex_at;
	const char *id, *description, *pack, *file;
	struct texts keywords, keys, allow, cut;
	const char *regex; /* NULL: none */
	uint32_t secret;
	double entropy; /* 0: none asked */
	enum rule_class class;
	enum checksum checksum;
	enum mask mask;
	const struct example *match, *no_match;
	uint32_t n_match, n_no_match;
};

struct rules {
	struct arena arena; /* made by the first rules_read() */
	struct rule *list;
	uint32_t n, cap;
};

/* Adds the rules of one file. `text` is read and not kept; `name` is kept by copy. What is wrong,
 * an expression that PCRE2 refuses included, is reported at its place. 0, RULE_FAULTY (nothing was
 * added), or negative: no memory. */
int rules_read(struct rules *all, const char *name, struct slice text, struct report *r);
void rules_finish(struct rules *all); /* a zeroed one is fine */

/* The packs that are part of the program (conf/rules/): NULL for a name that is none of them. */
struct pack {
	const char *name, *file;
	bool by_default;
	struct slice text;
};
extern const struct pack PACKS[];
extern const uint32_t N_PACKS;
const struct pack *pack_find(const char *name);

#endif

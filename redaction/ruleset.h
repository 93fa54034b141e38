/* SPDX-License-Identifier: Apache-2.0
 * redaction/ruleset.h - all rules of a configuration, compiled into one thing that never changes:
 * an automaton over what each rule needs at least (Vectorscan), the exact expression of each for
 * the few values where the automaton speaks (PCRE2), and what the keys of attributes mean. Made off
 * the loops, read by all intake rooms, freed when the last one lets go. */
#ifndef REDACTION_RULESET_H
#define REDACTION_RULESET_H

#include "conf/conf.h"
#include "redaction/rule.h"

enum { RULESET_FAULTY = 1 };

struct ruleset;

/* Packs, then the files of rules_dir in the order of their names, then `allow` and `keys` of the
 * configuration. Each rule's examples are run. What is wrong is appended to `findings`, a line
 * each, `file:line:column: words`, as conf_load() does. 0 (there may be warnings), RULESET_FAULTY,
 * or negative: no memory. *out has one reference, the caller's. */
int ruleset_build(struct ruleset **out, const struct conf_redaction *c, struct buf *findings);

/* The same of rules that are at hand already; takes what is in `rules`, also when it fails. */
int ruleset_compile(struct ruleset **out, struct rules *rules, const struct conf_redaction *c,
		    struct buf *findings);

struct ruleset *ruleset_take(struct ruleset *set); /* one reference more; any thread */
void ruleset_release(struct ruleset *set);         /* NULL is fine; any thread */

/* Hits carry a number. After the rules come those that are in no file: what the configuration's
 * `keys` ask for, and why a value was masked that could not be looked through (it fails closed). */
enum ruleset_extra {
	EXTRA_KEY_BLOCKED,  /* keys.block */
	EXTRA_KEY_UNLISTED, /* not in keys.allow_only: the attribute goes */
	EXTRA_TOO_LONG,     /* over the scan limit */
	EXTRA_TOO_DEEP,     /* values within values, or encodings within encodings */
	EXTRA_TOO_MANY,     /* hits in one value */
	EXTRA_GAVE_UP,      /* a match cost too much */
	EXTRA_ENGINE,       /* an error of the engine */
	EXTRAS
};
uint32_t ruleset_rules(const struct ruleset *set);   /* of files; numbers count from 0 */
uint32_t ruleset_numbers(const struct ruleset *set); /* with the extras behind them */
const char *ruleset_id(const struct ruleset *set, uint32_t number);
enum mask ruleset_mask(const struct ruleset *set, uint32_t number); /* never MASK_INHERIT */
const struct rule *ruleset_rule(const struct ruleset *set, uint32_t number); /* NULL: an extra */

/* What masking takes from the configuration; the set has its own copy, and wipes it. */
struct ruleset_masking {
	struct slice hmac_key;   /* empty: none */
	const char *hmac_key_id; /* of its bytes; "": none */
	bool counts;             /* marks: count */
};
const struct ruleset_masking *ruleset_masking(const struct ruleset *set);

/* For `spanrelay rules`: what the automaton looks for and what that costs. */
struct rule_cost {
	const char *prefilter; /* the relaxed expression, or the class's name */
	uint32_t automaton_bytes;
	double ns_per_kib; /* the relaxed expression alone, over clean text */
};
int ruleset_cost(const struct ruleset *set, uint32_t number, struct rule_cost *cost);

size_t ruleset_bytes(const struct ruleset *set); /* of memory, the automaton included */

#endif

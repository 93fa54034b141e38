/* SPDX-License-Identifier: Apache-2.0
 * tests/redaction/oracle.h - what a scanner has to find, the slow and obvious way: each exact
 * expression over each value with PCRE2 alone, no automaton, no windows, no rule left out. Shares
 * entropy, checksums and the reading of rules with the program and nothing else.
 *
 * What redaction/scan.h leaves open stands here:
 *
 * - Bytes, not characters, are matched: what is no UTF-8 hides nothing. A range is widened to whole
 *   characters where the value is UTF-8.
 * - A rule's matches are looked for from the left. Behind one that is a secret the search goes on
 *   at the secret's end; behind one that is none (entropy, checksum, allow, a mark), at the begin
 *   of the would-be secret, if that is behind the match's begin, else at the match's end. A group
 *   that is empty or took no part is no secret.
 * - cut: the leftmost P behind which there are only token bytes, at least four. Neither entropy nor
 *   checksum is asked for, `allow` and marks are.
 * - A secret of at least ORACLE_COPY bytes is looked for in the rest of its value, whichever rule
 *   found it. Copies are hits of that rule.
 * - Of hits that are alike in all there is one. More than SCAN_MAX_HITS: the value fails closed.
 *
 * Rules with a class are passed over. */
#ifndef TESTS_REDACTION_ORACLE_H
#define TESTS_REDACTION_ORACLE_H

#include "redaction/rule.h"

enum { ORACLE_COPY = 6 };

struct oracle_hit {
	size_t start, end;
	uint32_t
	    number; /* as in redaction/ruleset.h: the rule's index, or rules + enum ruleset_extra */
};

struct oracle;

/* Borrows the rules. NULL: no memory, or an expression that does not compile. */
struct oracle *oracle_create(const struct rules *rules);
void oracle_destroy(struct oracle *o);

/* In the order of start, end and number; the oracle's until the next call. The key of no attribute
 * is empty. */
uint32_t oracle_find(struct oracle *o, struct slice key, struct slice value,
		     const struct oracle_hit **hits);

/* The same for one rule alone: no other rule's secrets, no copies. */
uint32_t oracle_find_one(struct oracle *o, uint32_t number, struct slice key, struct slice value,
			 const struct oracle_hit **hits);

#endif

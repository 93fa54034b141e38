/* SPDX-License-Identifier: Apache-2.0
 * relay/found.h - how often each rule of redaction was found, over reloads: a redactor counts by
 * the numbers of one rule set and goes with it; here the sums stay, by the rule's id. Main room.
 * Private to relay/. */
#ifndef RELAY_FOUND_H
#define RELAY_FOUND_H

#include "redaction/redact.h"

struct found {
	struct found_rule {
		char *id;
		uint64_t counts[POSITIONS];
	} * rules;
	size_t n;
};

/* Adds what a redactor counted that goes; without memory it is forgotten. Both may be NULL. */
void found_add(struct found *t, const struct redactor *r, const struct ruleset *set);
uint64_t found_of(const struct found *t, const char *id, enum position p);
void found_finish(struct found *t);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * redaction/gate.h - what has to follow a literal, for rules of which the automaton looks for the
 * literal alone: most reports of `token` or `key` end at a gate, for the price of a few bytes. */
#ifndef REDACTION_GATE_H
#define REDACTION_GATE_H

#include "redaction/literal.h"

/* What has to follow a literal's report: a byte of `stop` within `span` bytes. Before it only bytes
 * of the parts, any number of each, a part's none before those of an earlier part. */
enum { GATE_PARTS = 15 };
struct gate {
	struct byte_set parts[GATE_PARTS], stop;
	uint32_t span;
};

/* Adds what may be behind a literal and the nodes that follow it: several literals of one
 * expression have one gate, which lets pass what any of them does. A zeroed one is empty. */
void gate_add(struct gate *g, const struct literal *run, const struct regex *behind);
bool gate_is_selective(const struct gate *g); /* ordinary text seldom passes */

#endif

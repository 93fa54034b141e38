/* SPDX-License-Identifier: Apache-2.0
 * relay/turns.h - reloads one at a time, and none asked for in vain: what is asked for while one is
 * under way is done once more after it, however often it was asked for. A turn has a number, by
 * which those who asked know theirs; numbers start at 1. Pure; main room. Private to relay/. */
#ifndef RELAY_TURNS_H
#define RELAY_TURNS_H

#include <stdbool.h>
#include <stdint.h>

enum turn_kind { TURN_RELOAD, TURN_DRY_RUN, TURN_KINDS };

struct turns {
	uint64_t last;             /* the newest number given */
	uint64_t next[TURN_KINDS]; /* that waits; 0: none */
	uint64_t now;              /* under way; 0: none */
};

/* Somebody asks; gives the number of the turn that will see everything up to now. */
static inline uint64_t turns_ask(struct turns *t, enum turn_kind kind)
{
	if (t->next[kind] == 0)
		t->next[kind] = ++t->last;
	return t->next[kind];
}

/* The next turn begins, if none is under way: its number and *kind; 0: there is nothing to do. */
static inline uint64_t turns_begin(struct turns *t, enum turn_kind *kind)
{
	uint64_t a = t->next[TURN_RELOAD], b = t->next[TURN_DRY_RUN];
	if (t->now != 0 || (a == 0 && b == 0))
		return 0;
	*kind = a != 0 && (b == 0 || a < b) ? TURN_RELOAD : TURN_DRY_RUN;
	t->now = t->next[*kind];
	t->next[*kind] = 0;
	return t->now;
}

static inline void turns_end(struct turns *t)
{
	t->now = 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * base/charge.h - who pays for memory that input makes us hold.
 * One account for the process; whatever costs memory on behalf of a client holds a charge inside
 * itself and gives it back when it is freed. Any room may call. */
#ifndef BASE_CHARGE_H
#define BASE_CHARGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { CHARGE_FULL = 1 };

struct account {
	_Atomic size_t used;
	_Atomic size_t limit; /* bytes; a reload may set another one */
};

struct charge {
	struct account *account;
	size_t bytes;
};

/* Raises or lowers what this charge holds to `bytes`: 0, or CHARGE_FULL with nothing changed. */
int charge_set(struct charge *c, struct account *a, size_t bytes);
void charge_give_back(struct charge *c); /* a zeroed charge is fine */

/* Whether more than `percent` of the account is in use. */
bool account_above(struct account *a, unsigned percent);

#endif

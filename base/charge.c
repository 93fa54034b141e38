/* SPDX-License-Identifier: Apache-2.0 */
#include "base/charge.h"

int charge_set(struct charge *c, struct account *a, size_t bytes)
{
	if (bytes > c->bytes) {
		size_t more = bytes - c->bytes;
		size_t used = atomic_fetch_add_explicit(&a->used, more, memory_order_relaxed);
		if (used + more > a->limit) {
			atomic_fetch_sub_explicit(&a->used, more, memory_order_relaxed);
			return CHARGE_FULL;
		}
	} else {
		atomic_fetch_sub_explicit(&a->used, c->bytes - bytes, memory_order_relaxed);
	}
	c->account = a;
	c->bytes = bytes;
	return 0;
}

void charge_give_back(struct charge *c)
{
	if (c->bytes != 0)
		atomic_fetch_sub_explicit(&c->account->used, c->bytes, memory_order_relaxed);
	c->bytes = 0;
}

bool account_above(struct account *a, unsigned percent)
{
	return atomic_load_explicit(&a->used, memory_order_relaxed) / percent >= a->limit / 100;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sampler_table.h"

#include <stdlib.h>

enum { LEAST = 16 };

bool table_init(struct table *t)
{
	*t = (struct table){0};
	for (int i = 0; i < TABLE_PARTS; i++) {
		t->parts[i].slots = calloc(LEAST, sizeof(struct table_slot));
		if (t->parts[i].slots == NULL)
			return false;
		t->parts[i].cap = LEAST;
	}
	return true;
}

void table_finish(struct table *t)
{
	for (int i = 0; i < TABLE_PARTS; i++)
		free(t->parts[i].slots);
	*t = (struct table){0};
}

uint64_t table_bytes(const struct table *t)
{
	uint64_t bytes = sizeof(*t);
	for (int i = 0; i < TABLE_PARTS; i++)
		bytes += t->parts[i].cap * sizeof(struct table_slot);
	return bytes;
}

static void place(struct table_part *p, struct table_slot slot)
{
	uint32_t at = table_home(p, slot.tag);
	while (p->slots[at].item != 0)
		at = at + 1 == p->cap ? 0 : at + 1;
	p->slots[at] = slot;
}

static bool grow(struct table_part *p)
{
	struct table_part bigger = *p;
	bigger.cap = p->cap + p->cap / 2;
	bigger.slots = calloc(bigger.cap, sizeof(struct table_slot));
	if (bigger.slots == NULL)
		return false;
	for (uint32_t i = 0; i < p->cap; i++)
		if (p->slots[i].item != 0)
			place(&bigger, p->slots[i]);
	free(p->slots);
	*p = bigger;
	return true;
}

/* One slot always stays free: walks end there. */
bool table_promise(struct table *t, uint64_t hash)
{
	struct table_part *p = table_part(t, hash);
	if (p->used + p->promised + 1 >= p->cap && !grow(p))
		return false;
	p->promised++;
	t->promised = true;
	return true;
}

void table_settle(struct table *t)
{
	for (int i = 0; i < TABLE_PARTS && t->promised; i++)
		t->parts[i].promised = 0;
	t->promised = false;
}

bool table_add(struct table *t, uint64_t hash, uint32_t number)
{
	struct table_part *p = table_part(t, hash);
	if ((uint64_t)p->used * 5 >= (uint64_t)p->cap * 4 && !grow(p) && p->used + 1 >= p->cap)
		return false;
	place(p, (struct table_slot){(uint32_t)hash, number + 1});
	p->used++;
	p->promised -= p->promised != 0;
	return true;
}

/* What follows moves up, so that no walk ends too early. */
static void close_gap(struct table_part *p, uint32_t gap)
{
	for (uint32_t at = gap;;) {
		at = at + 1 == p->cap ? 0 : at + 1;
		if (p->slots[at].item == 0)
			break;
		uint32_t home = table_home(p, p->slots[at].tag);
		bool stays = gap < at ? home > gap && home <= at : home > gap || home <= at;
		if (stays)
			continue;
		p->slots[gap] = p->slots[at];
		gap = at;
	}
	p->slots[gap].item = 0;
}

void table_remove(struct table *t, uint64_t hash, uint32_t number)
{
	struct table_part *p = table_part(t, hash);
	uint32_t at = table_home(p, (uint32_t)hash);
	while (p->slots[at].item != number + 1)
		at = at + 1 == p->cap ? 0 : at + 1;
	close_gap(p, at);
	p->used--;
}

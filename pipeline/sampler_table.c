/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sampler_table.h"

#include <stdlib.h>
#include <string.h>

enum {
	LEAST = 16,
	MOVE_EVERY = 256 /* adds: as parts fill up side by side, they would all grow at once */
};

static uint32_t cap_of(uint32_t level)
{
	uint32_t cap = LEAST;
	for (uint32_t i = 0; i < level; i++)
		cap += cap / 2;
	return cap;
}

static size_t region_bytes(uint32_t level)
{
	return (size_t)TABLE_PARTS * cap_of(level) * sizeof(struct table_slot);
}

static struct table_slot *slots_of(const struct table *t, uint32_t level, uint32_t part)
{
	return t->regions[level].slots + (size_t)part * cap_of(level);
}

/* Of the parts of that level, which clear their slots themselves. */
static bool open_region(struct table *t, uint32_t level)
{
	struct table_region *r = &t->regions[level];
	if (r->slots == NULL)
		r->slots = huge_alloc(region_bytes(level));
	return r->slots != NULL;
}

static void enter_level(struct table *t, struct table_part *p, uint32_t level)
{
	p->level = level;
	p->cap = cap_of(level);
	p->slots = slots_of(t, level, (uint32_t)(p - t->parts));
	memset(p->slots, 0, p->cap * sizeof(*p->slots));
	t->regions[level].parts++;
	if (level > t->top)
		t->top = level;
}

bool table_init(struct table *t)
{
	*t = (struct table){0};
	if (!open_region(t, 0))
		return false;
	for (uint32_t i = 0; i < TABLE_PARTS; i++)
		enter_level(t, &t->parts[i], 0);
	return true;
}

void table_finish(struct table *t)
{
	for (int i = 0; i < TABLE_LEVELS; i++)
		free(t->regions[i].slots);
	*t = (struct table){0};
}

uint64_t table_bytes(const struct table *t)
{
	uint64_t bytes = sizeof(*t);
	for (uint32_t i = 0; i < TABLE_LEVELS; i++)
		bytes += t->regions[i].slots != NULL ? region_bytes(i) : 0;
	return bytes;
}

static void place(struct table_part *p, struct table_slot slot)
{
	uint32_t at = table_home(p, slot.tag);
	while (p->slots[at].item != 0)
		at = at + 1 == p->cap ? 0 : at + 1;
	p->slots[at] = slot;
}

static bool grow(struct table *t, struct table_part *p)
{
	struct table_part old = *p;
	if (old.level + 1 == TABLE_LEVELS || !open_region(t, old.level + 1))
		return false;
	enter_level(t, p, old.level + 1);
	for (uint32_t i = 0; i < old.cap; i++)
		if (old.slots[i].item != 0)
			place(p, old.slots[i]);
	struct table_region *r = &t->regions[old.level];
	if (--r->parts == 0) {
		free(r->slots);
		r->slots = NULL;
	}
	return true;
}

/* Not many adds after the first part has grown the others have too, and the smaller region is given
 * back. */
static void follow(struct table *t)
{
	if (++t->adds % MOVE_EVERY != 0)
		return;
	for (uint32_t i = 0; i < TABLE_PARTS; i++, t->next = (t->next + 1) % TABLE_PARTS)
		if (t->parts[t->next].level < t->top) {
			(void)grow(t, &t->parts[t->next]);
			return;
		}
}

/* One slot always stays free: walks end there. */
bool table_promise(struct table *t, uint64_t hash)
{
	struct table_part *p = table_part(t, hash);
	if (p->used + p->promised + 1 >= p->cap && !grow(t, p))
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
	if ((uint64_t)p->used * 5 >= (uint64_t)p->cap * 4 && !grow(t, p) && p->used + 1 >= p->cap)
		return false;
	place(p, (struct table_slot){(uint32_t)hash, number + 1});
	p->used++;
	p->promised -= p->promised != 0;
	follow(t);
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

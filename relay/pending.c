/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/pending.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* What was dropped is used again before the array grows. */
static int make_room(struct pending *p)
{
	if (p->first > p->cap / 2) {
		memmove(p->requests, p->requests + p->first,
			(p->end - p->first) * sizeof(*p->requests));
		p->end -= p->first;
		p->first = 0;
		return 0;
	}
	size_t cap = p->cap == 0 ? 1024 : p->cap * 2;
	struct pending_request *more = reallocarray(p->requests, cap, sizeof(*more));
	if (more == NULL)
		return fail(-ENOMEM, "judge: no memory for %zu requests", cap);
	p->requests = more;
	p->cap = cap;
	return 0;
}

int pending_add(struct pending *p, struct pending_request r)
{
	if (p->end == p->cap && make_room(p) != 0)
		return -ENOMEM;
	p->requests[p->end++] = r;
	return 0;
}

static bool is_after(const struct pending_request *r, uint64_t block_id, uint32_t at)
{
	return r->block_id != block_id ? r->block_id > block_id : r->offset > at;
}

/* The first that is after the span. */
static size_t upper(const struct pending *p, uint64_t block_id, uint32_t at)
{
	size_t low = p->first, high = p->end;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (is_after(&p->requests[middle], block_id, at))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

int pending_find(const struct pending *p, uint64_t block_id, uint32_t at,
		 struct pending_request *out, uint32_t *end)
{
	size_t i = upper(p, block_id, at);
	if (i == p->first || p->requests[i - 1].block_id != block_id)
		return PENDING_NONE;
	*out = p->requests[i - 1];
	bool last = i == p->end || p->requests[i].block_id != block_id;
	*end = last ? UINT32_MAX : p->requests[i].offset;
	return 0;
}

void pending_drop(struct pending *p, uint64_t before_block)
{
	while (p->first < p->end && p->requests[p->first].block_id < before_block)
		p->first++;
}

void pending_finish(struct pending *p)
{
	free(p->requests);
	memset(p, 0, sizeof(*p));
}

/* SPDX-License-Identifier: Apache-2.0
 * What otlp_pick() makes of a vetted request: protobuf that the index passes again, with the spans
 * that were picked. The first 8 bytes choose them and their marks. */
#include <stdlib.h>

#include "wire/otlp_index.h"
#include "wire/otlp_pick.h"
#include "wire/otlp_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

/* Where spans stand, at most 64 of them; and whether more than spans is behind them. */
static uint32_t look(struct slice request, uint32_t *at, bool *tails)
{
	struct slice rest = request;
	struct field r, s, f;
	uint32_t n = 0;
	while (field_next(&rest, &r))
		for (struct slice resource = r.value;
		     field_is(&r, REQUEST_RESOURCE_SPANS) && field_next(&resource, &s);) {
			uint32_t before = n;
			if (field_is(&s, RESOURCE_SPANS_SCOPE_SPANS))
				for (struct slice scope = s.value; field_next(&scope, &f);)
					if (!field_is(&f, SCOPE_SPANS_SPANS))
						*tails |= n != before;
					else if (n < 64)
						at[n++] = (uint32_t)(f.whole.data - request.data);
		}
	return n;
}

static void pick_some(struct slice request, uint64_t choice)
{
	struct picked list[64];
	uint32_t at[64];
	bool tails = false;
	uint32_t spans = look(request, at, &tails);
	struct otlp_pick *p = otlp_pick_create();
	struct buf out = {.data = NULL};
	struct otlp_index ix;
	struct arena arena;
	uint32_t n = 0, done;
	for (uint32_t i = 0; i < spans; i++)
		if (choice >> i & 1)
			list[n++] =
			    (struct picked){at[i],
					    {.write_th = choice & 2,
					     .erase_th = choice & 4,
					     .write_rv = choice & 8,
					     .threshold = choice >> 8,
					     .randomness = (choice << 4 | 0xf) & 0xffffffffffffff}};
	otlp_pick_reset(p, SIZE_MAX);
	want(otlp_pick_add(p, request, tails, list, n, &done) == 0 && done == n);
	want(otlp_pick_write(p, &out) == 0 && otlp_walk_spans(buf_slice(&out)) == n);
	arena_init(&arena, 1 << 20);
	want(otlp_index(&ix, buf_slice(&out), &INDEX_LIMITS, &arena) == INDEX_OK);
	want(ix.spans == n && ix.rejected == 0 && ix.repaired == 0);
	arena_finish(&arena);
	otlp_pick_destroy(p);
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct otlp_index ix;
	struct arena arena;
	uint64_t choice;
	if (size < sizeof(choice) || size > 8192)
		return 0;
	memcpy(&choice, data, sizeof(choice));
	struct slice request = slice_of(data + sizeof(choice), size - sizeof(choice));
	arena_init(&arena, 1 << 20);
	if (otlp_index(&ix, request, &INDEX_LIMITS, &arena) == INDEX_OK && ix.edits == NULL)
		pick_some(request, choice);
	arena_finish(&arena);
	return 0;
}

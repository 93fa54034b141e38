/* SPDX-License-Identifier: Apache-2.0
 * Whatever a vetted request claims, once it is stamped it is as vetted as before, has as many
 * spans, and of the relay's own keys only those that the relay wrote. */
#include <stdlib.h>

#include "identity/stamp.h"
#include "wire/otlp_index.h"
#include "wire/otlp_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stamper stamper;
static struct buf attributes;

static void want(bool condition)
{
	if (!condition)
		abort();
}

/* Of the vetted bytes; gives the index of what is there after the edits. */
static struct otlp_index vet(struct buf *body)
{
	struct otlp_index ix;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	want(otlp_index(&ix, buf_slice(body), &INDEX_LIMITS, &arena) == INDEX_OK);
	want(ix.edits == NULL);
	arena_finish(&arena);
	return ix;
}

static uint32_t resources(const struct buf *body)
{
	struct slice rest = buf_slice(body);
	struct field f;
	uint32_t n = 0;
	while (field_next(&rest, &f))
		n += field_is(&f, REQUEST_RESOURCE_SPANS);
	return n;
}

static void stamp(struct buf *body)
{
	enum { WORDS = 5 };
	uint64_t stripped = 0;
	struct otlp_index before = vet(body);
	uint32_t n = resources(body);
	want(stamp_request(&stamper, body, buf_slice(&attributes), before.reserved != 0, 64 << 20,
			   &stripped) == 0);
	struct otlp_index after = vet(body);
	want(after.spans == before.spans && resources(body) == n);
	/* Keys within values are nobody's attributes, and those of `spanrelay.` are not all ours.
	 */
	want(after.reserved + stripped <= before.reserved + n * WORDS);
	uint64_t again = 0;
	want(stamp_request(&stamper, body, buf_slice(&attributes), true, 64 << 20, &again) == 0);
	want(again == (uint64_t)n * WORDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct otlp_index ix;
	struct arena arena;
	struct buf body = {.data = NULL};
	if (attributes.len == 0)
		want(stamp_write(&attributes,
				 &(struct stamp_words){"token", "shop", "test", "team"}) == 0);
	arena_init(&arena, 1 << 20);
	if (otlp_index(&ix, slice_of(data, size), &INDEX_LIMITS, &arena) == INDEX_OK &&
	    ix.spans != 0) {
		want(buf_reserve(&body, ix.edited_size + 1) == 0);
		otlp_edit(&ix, slice_of(data, size), body.data);
		body.len = ix.edited_size;
		stamp(&body);
	}
	arena_finish(&arena);
	buf_finish(&body);
	return 0;
}

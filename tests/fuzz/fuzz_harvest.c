/* SPDX-License-Identifier: Apache-2.0
 * What is harvested of a vetted request: texts that stand where they are said to, in order; and
 * what otlp_rewrite() makes of it when they give way to others. */
#include "redaction/harvest.h"
#include "unit/redaction_fixture.h"
#include "wire/otlp_rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_CHANGES = 512 };

static struct harvest h;
static struct scanner *scanner;
static struct otlp_rewrite plan;

static void want(bool condition)
{
	if (!condition)
		abort();
}

static void check_spots(struct slice request)
{
	for (uint32_t i = 0; i < h.n; i++) {
		const struct scan_value *v = &h.values[i];
		const struct spot *s = &h.spots[i];
		want((size_t)s->at + s->len <= request.len && s->within <= s->at);
		want(s->owner < h.n_owners && s->position < POSITIONS);
		want(v->at + v->len < h.text.len && (i == 0 || v->at > v[-1].at + v[-1].len));
		if (v->len != 0 && s->kind != HARVESTED_NUMBER)
			want(memcmp(h.text.data + v->at, request.data + s->at, s->len) == 0);
	}
}

/* Every second text becomes a word; what was to be cut is. */
static void rewrite(struct slice request, uint32_t spans)
{
	static struct otlp_change list[MAX_CHANGES];
	struct slice word = slice_str("[REDACTED]");
	uint32_t n = 0;
	for (uint32_t i = 0; i < h.n && n < MAX_CHANGES; i += 2)
		if (h.spots[i].kind != HARVESTED_NUMBER)
			list[n++] = (struct otlp_change){h.spots[i].within, h.spots[i].at,
							 h.spots[i].len, word};
	for (uint32_t i = 0; i < h.n_cuts && n < MAX_CHANGES; i++)
		list[n++] = (struct otlp_change){h.cuts[i].within, h.cuts[i].at, h.cuts[i].len,
						 slice_of("", 0)};
	otlp_changes_sort(list, n);
	want(otlp_rewrite_plan(&plan, request, list, n) == 0);
	uint8_t *out = malloc(plan.size + 1);
	want(out != NULL);
	otlp_rewrite_write(&plan, request, out);
	struct otlp_index ix;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	want(otlp_index(&ix, slice_of(out, plan.size), &INDEX_LIMITS, &arena) == INDEX_OK);
	want(ix.spans == spans);
	arena_finish(&arena);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct otlp_index ix;
	struct arena arena;
	if (set == NULL) {
		fixture_begin();
		scanner = scanner_create();
		want(harvest_init(&h) == 0);
		h.numbers = true;
	}
	if (size > 16384)
		return 0;
	static struct buf body;
	body.len = 0;
	want(buf_append(&body, data, size) == 0);
	struct slice request = buf_slice(&body);
	arena_init(&arena, 1 << 20);
	if (otlp_index(&ix, request, &INDEX_LIMITS, &arena) == INDEX_OK && ix.edits == NULL) {
		want(scanner_begin(scanner, set) == 0);
		want(harvest_request(&h, &body, set, scanner) == 0);
		check_spots(request);
		rewrite(request, ix.spans);
	}
	arena_finish(&arena);
	return 0;
}

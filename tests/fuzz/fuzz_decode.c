/* SPDX-License-Identifier: Apache-2.0
 * Copies of any text: bounded, and each byte of them comes from bytes of their source, in order. */
#include "redaction/decode.h"
#include "unit/redaction_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct harvest h;
static struct scanner *scanner;

static void want(bool condition)
{
	if (!condition)
		abort();
}

static void check_copy(uint32_t i)
{
	const struct copy *c = &h.copies[i];
	const struct scan_value *v = &h.values[h.n_spots + i], *of = &h.values[c->of];
	uint32_t before = 0, last = 0;
	want(c->of < h.n_spots + i && c->depth <= REDACT_DEPTH);
	for (uint32_t at = 0; at < v->len; at++) {
		uint32_t start = at, end = at + 1;
		decode_back(&h, c, &start, &end);
		want(start < end && end <= of->len && start >= before && end >= last);
		before = start;
		last = end;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (set == NULL) {
		fixture_begin();
		scanner = scanner_create();
		want(harvest_init(&h) == 0);
	}
	if (size > 4096)
		return 0;
	want(scanner_begin(scanner, set) == 0);
	want(harvest_text(&h, slice_of("", 0), slice_of(data, size), set, scanner) == 0);
	want(decode_copies(&h) == 0);
	want(h.text.len <= 4 * size + DECODE_SPARE + 4);
	for (uint32_t i = 0; i < h.n_copies; i++)
		check_copy(i);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * A vetted request stays one when it is redacted, with as many spans, and redacting it again
 * changes nothing. The first byte chooses the style. */
#include "unit/redaction_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ruleset *sets[CONF_MASK_DROP + 1];

static void want(bool condition)
{
	if (!condition)
		abort();
}

static void begin(void)
{
	static uint8_t key[] = "0123456789abcdef0123456789abcdef";
	for (int i = 0; i <= CONF_MASK_DROP; i++) {
		conf.mask = (enum conf_mask)i;
		conf.hmac_key = key;
		conf.hmac_key_len = 32;
		conf.marks = i % 2 != 0 ? MARKS_COUNT : MARKS_SILENT;
		memcpy(conf.hmac_key_id, "0badcafe", 9);
		redactor_destroy(redactor);
		fixture_begin();
		sets[i] = set;
	}
}

static void redact_vetted(struct slice request, uint32_t spans, struct ruleset *with)
{
	struct buf once = {0}, twice = {0};
	want(buf_append(&once, request.data, request.len) == 0);
	want(redact_request(redactor, with, &once, SIZE_MAX, &counts) == 0);
	struct otlp_index ix;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	want(otlp_index(&ix, buf_slice(&once), &INDEX_LIMITS, &arena) == INDEX_OK);
	want(ix.spans == spans && ix.edits == NULL);
	arena_finish(&arena);
	want(buf_append(&twice, once.data, once.len) == 0);
	want(redact_request(redactor, with, &twice, SIZE_MAX, &counts) == 0);
	want(slice_equal(buf_slice(&once), buf_slice(&twice)) && counts.hits == 0);
	buf_finish(&once);
	buf_finish(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct otlp_index ix;
	struct arena arena;
	if (sets[0] == NULL)
		begin();
	if (size < 1 || size > 16384)
		return 0;
	struct slice request = slice_of(data + 1, size - 1);
	arena_init(&arena, 1 << 20);
	if (otlp_index(&ix, request, &INDEX_LIMITS, &arena) == INDEX_OK && ix.edits == NULL)
		redact_vetted(request, ix.spans, sets[data[0] % (CONF_MASK_DROP + 1)]);
	arena_finish(&arena);
	return 0;
}

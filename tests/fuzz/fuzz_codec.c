/* SPDX-License-Identifier: Apache-2.0
 * Any bytes in any coding: never more than the limit, and what comes out goes round. The first byte
 * chooses the coding, the second the limit. */
#include <assert.h>
#include <stdlib.h>

#include "wire/codec.h"

enum { SLACK = 64 << 10 };

static void round_trip(struct codec *c, enum coding coding, struct slice plain)
{
	struct buf packed = {0}, again = {0};
	assert(codec_compress(c, coding, plain, &packed) == 0);
	if (packed.len != 0) {
		assert(codec_decompress(c, coding, buf_slice(&packed), plain.len, &again) == 0);
		assert(slice_equal(plain, buf_slice(&again)));
	}
	buf_finish(&packed);
	buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct codec *c;
	if (c == NULL)
		c = codec_create();
	if (len < 2)
		return 0;
	enum coding coding = data[0] % (CODING_UNKNOWN + 1);
	size_t limit = (size_t)data[1] << (data[0] >> 4); /* up to 8 MiB */
	struct buf out = {0};
	int rc = codec_decompress(c, coding, slice_of(data + 2, len - 2), limit, &out);
	assert(out.cap <= limit + SLACK);
	if (rc == 0) {
		assert(out.len <= limit);
		round_trip(c, coding, buf_slice(&out));
	}
	buf_finish(&out);
	if (coding != CODING_UNKNOWN)
		round_trip(c, coding, slice_of(data + 2, len - 2));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a parcel, and as the body of one whose checksum is right. */
#include <assert.h>
#include <stdlib.h>

#include "wire/parcel.h"

static void check(const struct parcel *p, struct slice bytes)
{
	assert(p->n_spans != 0 && p->id + p->n_spans > p->id);
	assert(p->coding < CODING_UNKNOWN && p->from < PLACES);
	assert(p->body.data >= bytes.data && p->body.len <= bytes.len - PARCEL_HEADER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice bytes = slice_of(data, len);
	struct parcel p;
	uint64_t id = 1;
	if (len >= 16)
		memcpy(&id, data + 8, sizeof(id));
	if (parcel_peek(&p, bytes, id) == 0)
		check(&p, bytes);
	if (parcel_open(&p, bytes, id) == 0) { /* what was read is what would be written */
		uint8_t *again = malloc(len);
		check(&p, bytes);
		parcel_write(again, &p);
		struct parcel q;
		assert(parcel_open(&q, slice_of(again, len), id) == 0 && q.to.span == p.to.span);
		free(again);
	}
	if (len == 0)
		return 0;
	uint8_t *sealed = malloc(PARCEL_HEADER + len);
	struct parcel made = {.id = id != 0 && id < UINT64_MAX / 2 ? id : 1,
			      .n_spans = 1,
			      .status = (int16_t)len,
			      .body = bytes};
	parcel_write(sealed, &made);
	assert(parcel_open(&p, slice_of(sealed, PARCEL_HEADER + len), made.id) == 0);
	assert(p.status == made.status && memcmp(p.body.data, data, len) == 0);
	free(sealed);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Every format is decoded in one call into memory that is large enough for all of it: so a zstd
 * window costs nothing, and what a header claims about the size is only where the guessing starts.
 */
#include "wire/codec.h"

#include <endian.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { SHORT = -1 }; /* of a decoder: the output does not fit */
enum { GZIP_LEVEL = 1, ZSTD_LEVEL = 1 };
enum { DEFLATE_RATIO_MAX = 1032 }; /* 258 bytes out of 2 bits */
enum { WINDOW_MAX = 8 << 20 };     /* RFC 9659 */
enum { GUESS_RATIO = 8, GUESS_MIN = 4096 };

const char *const CODING_NAMES[] = {"identity", "gzip", "deflate", "zstd", "unknown"};

struct codec {
	struct libdeflate_decompressor *inflater;
	struct libdeflate_compressor *deflater;
	ZSTD_DCtx *zstd_in;
	ZSTD_CCtx *zstd_out;
	struct isal_zstream gzip_out;
	uint8_t gzip_work[ISAL_DEF_LVL1_DEFAULT];
};

enum coding coding_parse(struct slice name)
{
	if (name.len == 0)
		return CODING_IDENTITY;
	if (slice_is_nocase(name, "x-gzip"))
		return CODING_GZIP;
	for (enum coding c = CODING_IDENTITY; c < CODING_UNKNOWN; c++)
		if (slice_is_nocase(name, CODING_NAMES[c]))
			return c;
	return CODING_UNKNOWN;
}

struct codec *codec_create(void)
{
	struct codec *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->inflater = libdeflate_alloc_decompressor();
	c->deflater = libdeflate_alloc_compressor(GZIP_LEVEL);
	c->zstd_in = ZSTD_createDCtx();
	c->zstd_out = ZSTD_createCCtx();
	if (c->inflater == NULL || c->deflater == NULL || c->zstd_in == NULL ||
	    c->zstd_out == NULL) {
		codec_destroy(c);
		return NULL;
	}
	return c;
}

void codec_destroy(struct codec *c)
{
	if (c == NULL)
		return;
	if (c->inflater != NULL)
		libdeflate_free_decompressor(c->inflater);
	if (c->deflater != NULL)
		libdeflate_free_compressor(c->deflater);
	ZSTD_freeDCtx(c->zstd_in);
	ZSTD_freeCCtx(c->zstd_out);
	free(c);
}

/* Room for `room` bytes behind out->len and, unlike buf_reserve() alone, not for more. What is in
 * that place already is of no worth. */
static int reserve_room(struct buf *out, size_t room)
{
	size_t was = out->limit, need = out->len + room;
	if (was != 0 && need > was)
		return CODEC_TOO_LARGE;
	if (room > out->cap - out->len && out->len == 0)
		buf_finish(out); /* rather than hold the old memory beside the new */
	out->limit = need;
	int rc = buf_reserve(out, room);
	out->limit = was;
	return rc == 0 ? 0 : CODEC_NO_MEMORY;
}

/* A decoder fills `room` bytes at most; 0, SHORT or CODEC_CORRUPT. */
typedef int decode_fn(struct codec *c, struct slice in, uint8_t *out, size_t room, size_t *len);

static int deflate_result(enum libdeflate_result rc, bool all_used)
{
	if (rc == LIBDEFLATE_INSUFFICIENT_SPACE)
		return SHORT;
	return rc == LIBDEFLATE_SUCCESS && all_used ? 0 : CODEC_CORRUPT;
}

static int decode_gzip(struct codec *c, struct slice in, uint8_t *out, size_t room, size_t *len)
{
	size_t used = 0;
	enum libdeflate_result rc =
	    libdeflate_gzip_decompress_ex(c->inflater, in.data, in.len, out, room, &used, len);
	return deflate_result(rc, used == in.len);
}

static int decode_zlib(struct codec *c, struct slice in, uint8_t *out, size_t room, size_t *len)
{
	size_t used = 0;
	enum libdeflate_result rc =
	    libdeflate_zlib_decompress_ex(c->inflater, in.data, in.len, out, room, &used, len);
	return deflate_result(rc, used == in.len);
}

static int decode_zstd(struct codec *c, struct slice in, uint8_t *out, size_t room, size_t *len)
{
	*len = ZSTD_decompressDCtx(c->zstd_in, out, room, in.data, in.len);
	if (!ZSTD_isError(*len))
		return 0;
	return ZSTD_getErrorCode(*len) == ZSTD_error_dstSize_tooSmall ? SHORT : CODEC_CORRUPT;
}

/* One frame, no dictionary-less tricks: RFC 8878 3.1.1. A window descriptor follows the frame
 * header byte unless bit 5 says that the content is the window. */
static bool zstd_is_acceptable(struct slice in)
{
	static const uint8_t MAGIC[] = {0x28, 0xb5, 0x2f, 0xfd};
	if (in.len < 6 || memcmp(in.data, MAGIC, 4) != 0)
		return false;
	if ((in.data[4] & 0x20) == 0) {
		uint64_t base = 1ull << (10 + (in.data[5] >> 3));
		if (base + base / 8 * (in.data[5] & 7) > WINDOW_MAX)
			return false;
	}
	return ZSTD_findFrameCompressedSize(in.data, in.len) == in.len;
}

/* What the message says of its own size, or SIZE_MAX when it says nothing credible. */
static size_t claimed_size(enum coding coding, struct slice in)
{
	uint32_t isize;
	if (coding == CODING_GZIP && in.len >= 18) {
		memcpy(&isize, in.data + in.len - 4, 4);
		isize = le32toh(isize);
		return isize / DEFLATE_RATIO_MAX <= in.len ? isize : SIZE_MAX;
	}
	if (coding == CODING_ZSTD) {
		unsigned long long size = ZSTD_getFrameContentSize(in.data, in.len);
		return size < SIZE_MAX / 2 ? size
					   : SIZE_MAX; /* unknown and error are near the top */
	}
	return SIZE_MAX;
}

/* Clients are charged for what a buffer holds, not for what is in it. */
static void trim(struct buf *out)
{
	if (out->len == 0 || out->cap - out->len < out->len / 2)
		return;
	uint8_t *data = realloc(out->data, out->len);
	if (data == NULL)
		return;
	out->data = data;
	out->cap = out->len;
}

/* From a guess upwards, doubling: the work is at most twice that of the last try. */
static int decode(struct codec *c, decode_fn *try, struct slice in, size_t guess, size_t limit,
		  struct buf *out)
{
	for (size_t room = guess;; room *= 2) {
		size_t len = 0;
		if (room < GUESS_MIN)
			room = GUESS_MIN;
		if (room > limit)
			room = limit;
		int rc = reserve_room(out, room + 1); /* an empty output has a place, too */
		if (rc != 0)
			return rc;
		rc = try(c, in, out->data + out->len, room, &len);
		if (rc == 0) {
			out->len += len;
			trim(out);
		}
		if (rc != SHORT)
			return rc;
		if (room == limit)
			return CODEC_TOO_LARGE;
	}
}

int codec_decompress(struct codec *c, enum coding coding, struct slice in, size_t limit,
		     struct buf *out)
{
	static decode_fn *const DECODERS[] = {NULL, decode_gzip, decode_zlib, decode_zstd};
	if (coding == CODING_UNKNOWN)
		return CODEC_CORRUPT;
	if (coding == CODING_IDENTITY) {
		if (in.len > limit)
			return CODEC_TOO_LARGE;
		return buf_append(out, in.data, in.len) == 0 ? 0 : CODEC_NO_MEMORY;
	}
	if (in.len == 0 || (coding == CODING_ZSTD && !zstd_is_acceptable(in)))
		return CODEC_CORRUPT;
	size_t guess = claimed_size(coding, in);
	if (guess == SIZE_MAX)
		guess = in.len > limit / GUESS_RATIO ? limit : in.len * GUESS_RATIO;
	else if (guess > limit)
		return CODEC_TOO_LARGE;
	return decode(c, DECODERS[coding], in, guess, limit, out);
}

/* ISA-L takes less than half of libdeflate's time for gzip and gives 4 % more bytes. What will not
 * shrink it stores, in blocks that libdeflate's bound has room for. Gives the length, or 0. */
static size_t compress_gzip(struct codec *c, struct slice in, uint8_t *out, size_t room)
{
	struct isal_zstream *z = &c->gzip_out;
	if (in.len > UINT32_MAX || room > UINT32_MAX)
		return 0;
	isal_deflate_stateless_init(z);
	z->level = GZIP_LEVEL;
	z->level_buf = c->gzip_work;
	z->level_buf_size = sizeof(c->gzip_work);
	z->gzip_flag = IGZIP_GZIP;
	z->end_of_stream = 1;
	z->next_in = (uint8_t *)(uintptr_t)in.data; /* it is only read */
	z->avail_in = (uint32_t)in.len;
	z->next_out = out;
	z->avail_out = (uint32_t)room;
	return isal_deflate_stateless(z) == COMP_OK ? z->total_out : 0;
}

int codec_compress(struct codec *c, enum coding coding, struct slice in, struct buf *out)
{
	if (coding == CODING_IDENTITY)
		return buf_append(out, in.data, in.len) == 0 ? 0 : CODEC_NO_MEMORY;
	size_t room = 0, len = 0;
	if (coding == CODING_GZIP)
		room = libdeflate_gzip_compress_bound(c->deflater, in.len);
	else if (coding == CODING_DEFLATE)
		room = libdeflate_zlib_compress_bound(c->deflater, in.len);
	else if (coding == CODING_ZSTD)
		room = ZSTD_compressBound(in.len);
	int rc = reserve_room(out, room);
	if (rc != 0)
		return rc;
	uint8_t *at = out->data + out->len;
	if (coding == CODING_GZIP)
		len = compress_gzip(c, in, at, room);
	else if (coding == CODING_DEFLATE)
		len = libdeflate_zlib_compress(c->deflater, in.data, in.len, at, room);
	else if (coding == CODING_ZSTD)
		len = ZSTD_compressCCtx(c->zstd_out, at, room, in.data, in.len, ZSTD_LEVEL);
	if (len == 0 || ZSTD_isError(len)) /* libdeflate's failure is 0 */
		return CODEC_NO_MEMORY;
	out->len += len;
	return 0;
}

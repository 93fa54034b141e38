/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/codec.h"

#include <zstd.h>

#include "check.h"

static const enum coding CODINGS[] = {CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_ZSTD};
enum { N_CODINGS = 4, SLACK = 64 << 10 };

static struct codec *codec;

/* Text-like bytes that compress about four times. */
static struct buf make_text(size_t len)
{
	struct buf b = {0};
	uint32_t x = 1;
	CHECK_EQ(buf_reserve(&b, len + 1), 0);
	for (; b.len < len; b.len++) {
		x = x * 1664525 + 1013904223;
		b.data[b.len] =
		    (uint8_t)(b.len % 8 < 6 ? "http.m"[b.len % 8] : 'a' + (int)(x >> 24) % 26);
	}
	return b;
}

static struct buf compress(enum coding c, struct slice in)
{
	struct buf out = {0};
	CHECK_EQ(codec_compress(codec, c, in, &out), 0);
	return out;
}

static int decompress(enum coding c, struct slice in, size_t limit)
{
	struct buf out = {0};
	int rc = codec_decompress(codec, c, in, limit, &out);
	CHECK(out.cap <= limit + SLACK);
	buf_finish(&out);
	return rc;
}

static void test_names_are_parsed(void)
{
	CHECK_EQ(coding_parse(slice_str("")), CODING_IDENTITY);
	CHECK_EQ(coding_parse(slice_str("Identity")), CODING_IDENTITY);
	CHECK_EQ(coding_parse(slice_str("GZIP")), CODING_GZIP);
	CHECK_EQ(coding_parse(slice_str("x-gzip")), CODING_GZIP);
	CHECK_EQ(coding_parse(slice_str("deflate")), CODING_DEFLATE);
	CHECK_EQ(coding_parse(slice_str("zstd")), CODING_ZSTD);
	CHECK_EQ(coding_parse(slice_str("br")), CODING_UNKNOWN);
	CHECK_EQ(coding_parse(slice_str("unknown")), CODING_UNKNOWN);
	CHECK_EQ(decompress(CODING_UNKNOWN, slice_str("x"), 10), CODEC_CORRUPT);
}

static void test_round_trips_are_exact_at_the_limit(void)
{
	static const size_t LENGTHS[] = {0, 1, 15, 16, 4095, 4096, 4097, 65536, 1000003};
	for (int c = 0; c < N_CODINGS; c++)
		for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
			size_t len = LENGTHS[i];
			struct buf text = make_text(len),
				   packed = compress(CODINGS[c], buf_slice(&text));
			struct buf out = {0};
			CHECK_EQ(buf_append(&out, "before", 6), 0);
			if (packed.len != 0) {
				CHECK_EQ(codec_decompress(codec, CODINGS[c], buf_slice(&packed),
							  len, &out),
					 0);
				CHECK_EQ(out.len, len + 6);
				CHECK(memcmp(out.data, "before", 6) == 0);
				CHECK(len == 0 || memcmp(out.data + 6, text.data, len) == 0);
			}
			if (len != 0)
				CHECK_EQ(decompress(CODINGS[c], buf_slice(&packed), len - 1),
					 CODEC_TOO_LARGE);
			buf_finish(&text);
			buf_finish(&packed);
			buf_finish(&out);
		}
}

static void test_what_does_not_shrink_is_stored(void)
{
	static const size_t LENGTHS[] = {1, 100, 65535, 65536, 131071, 1 << 20, 5 << 20};
	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		struct buf noise = make_text(LENGTHS[i]), out = {0};
		uint64_t x = 1;
		for (size_t k = 0; k < noise.len; k++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			noise.data[k] = (uint8_t)(x >> 56);
		}
		struct buf packed = compress(CODING_GZIP, buf_slice(&noise));
		CHECK(packed.len > noise.len && packed.len < noise.len + noise.len / 1000 + 64);
		CHECK_EQ(codec_decompress(codec, CODING_GZIP, buf_slice(&packed), noise.len, &out),
			 0);
		CHECK(slice_equal(buf_slice(&out), buf_slice(&noise)));
		buf_finish(&noise);
		buf_finish(&packed);
		buf_finish(&out);
	}
}

static void test_bombs_are_too_large_and_cost_the_limit(void)
{
	enum { BOMB = 64 << 20, LIMIT = 1 << 20 };
	struct buf zeros = {.data = calloc(1, BOMB), .len = BOMB, .cap = BOMB};
	CHECK(zeros.data != NULL);
	for (int c = 1; c < N_CODINGS; c++) {
		struct buf packed = compress(CODINGS[c], buf_slice(&zeros));
		CHECK(packed.len < BOMB / 200);
		CHECK_EQ(decompress(CODINGS[c], buf_slice(&packed), LIMIT), CODEC_TOO_LARGE);
		if (CODINGS[c] == CODING_GZIP) /* and when it lies about its size */
			memcpy(packed.data + packed.len - 4, "\1\0\0\0", 4);
		if (CODINGS[c] != CODING_ZSTD)
			CHECK_EQ(decompress(CODINGS[c], buf_slice(&packed), LIMIT),
				 CODEC_TOO_LARGE);
		buf_finish(&packed);
	}
	buf_finish(&zeros);
}

/* As streaming clients write it: without the content's size, with a window of their own. */
static struct buf stream_zstd(struct slice in, int window_log)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	struct buf out = {0};
	CHECK_EQ(buf_reserve(&out, ZSTD_compressBound(in.len) + 64), 0);
	CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, window_log)));
	ZSTD_outBuffer to = {out.data, out.cap, 0};
	ZSTD_inBuffer half = {in.data, in.len / 2, 0}, all = {in.data, in.len, in.len / 2};
	CHECK(!ZSTD_isError(ZSTD_compressStream2(z, &to, &half, ZSTD_e_flush)));
	CHECK_EQ(ZSTD_compressStream2(z, &to, &all, ZSTD_e_end), 0);
	out.len = to.pos;
	ZSTD_freeCCtx(z);
	return out;
}

static void test_zstd_windows_up_to_8_mib_are_taken(void)
{
	struct buf text = make_text(300000);
	for (int window_log = 10; window_log <= 27; window_log++) {
		struct buf packed = stream_zstd(buf_slice(&text), window_log), out = {0};
		int rc = codec_decompress(codec, CODING_ZSTD, buf_slice(&packed), 300000, &out);
		CHECK_EQ(rc, window_log <= 23 ? 0 : CODEC_CORRUPT);
		CHECK(rc != 0 || slice_equal(buf_slice(&out), buf_slice(&text)));
		CHECK_EQ(decompress(CODING_ZSTD, buf_slice(&packed), 299999),
			 window_log <= 23 ? CODEC_TOO_LARGE : CODEC_CORRUPT);
		buf_finish(&packed);
		buf_finish(&out);
	}
	buf_finish(&text);
}

static void test_zstd_bomb_without_a_size_is_too_large(void)
{
	struct buf zeros = {.data = calloc(1, 32 << 20), .len = 32 << 20, .cap = 32 << 20};
	struct buf packed = stream_zstd(buf_slice(&zeros), 20);
	CHECK_EQ(decompress(CODING_ZSTD, buf_slice(&packed), 1 << 20), CODEC_TOO_LARGE);
	buf_finish(&packed);
	buf_finish(&zeros);
}

static void test_only_one_whole_member_is_taken(void)
{
	struct buf text = make_text(5000);
	for (int c = 1; c < N_CODINGS; c++) {
		struct buf one = compress(CODINGS[c], buf_slice(&text)), more = {0};
		CHECK_EQ(decompress(CODINGS[c], slice_of("", 0), 1 << 20), CODEC_CORRUPT);
		CHECK_EQ(buf_append(&more, one.data, one.len), 0);
		CHECK_EQ(buf_append(&more, one.data, one.len), 0);
		CHECK_EQ(decompress(CODINGS[c], buf_slice(&more), 1 << 20), CODEC_CORRUPT);
		for (size_t tail = 1; tail <= 8; tail++)
			CHECK_EQ(
			    decompress(CODINGS[c], slice_of(more.data, one.len + tail), 1 << 20),
			    CODEC_CORRUPT);
		for (size_t cut = 0; cut < one.len; cut += cut < 64 ? 1 : 61) {
			/* an exact allocation, so that reading past the cut shows under ASan */
			uint8_t *part = malloc(cut + 1);
			CHECK(part != NULL);
			memcpy(part, one.data, cut);
			CHECK(decompress(CODINGS[c], slice_of(part, cut), 1 << 20) != 0);
			free(part);
		}
		buf_finish(&one);
		buf_finish(&more);
	}
	buf_finish(&text);
}

static void test_garbage_and_flipped_bits_never_pass_as_something_larger(void)
{
	struct buf text = make_text(3000);
	for (int c = 1; c < N_CODINGS; c++) {
		struct buf packed = compress(CODINGS[c], buf_slice(&text));
		for (size_t bit = 0; bit < packed.len * 8; bit += 7) {
			packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			struct buf out = {0};
			int rc =
			    codec_decompress(codec, CODINGS[c], buf_slice(&packed), 1 << 20, &out);
			CHECK(rc == 0 || rc == CODEC_CORRUPT || rc == CODEC_TOO_LARGE);
			CHECK(out.cap <= (1 << 20) + SLACK);
			buf_finish(&out);
			packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		buf_finish(&packed);
	}
	buf_finish(&text);
}

static void free_codec(void)
{
	codec_destroy(codec);
}

int main(int argc, char **argv)
{
	codec = codec_create();
	atexit(free_codec);
	CHECK_MAIN(TEST(test_names_are_parsed), TEST(test_round_trips_are_exact_at_the_limit),
		   TEST(test_what_does_not_shrink_is_stored),
		   TEST(test_bombs_are_too_large_and_cost_the_limit),
		   TEST(test_zstd_windows_up_to_8_mib_are_taken),
		   TEST(test_zstd_bomb_without_a_size_is_too_large),
		   TEST(test_only_one_whole_member_is_taken),
		   TEST(test_garbage_and_flipped_bits_never_pass_as_something_larger));
}

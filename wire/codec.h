/* SPDX-License-Identifier: Apache-2.0
 * wire/codec.h - gzip, deflate and zstd of whole messages, with a hard limit on what comes out.
 * One codec a room; it owns the libraries' working memory and is used by one thread at a time. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "base/buf.h"
#include "base/slice.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_ZSTD, CODING_UNKNOWN };
enum { CODEC_TOO_LARGE = 1, CODEC_CORRUPT = 2, CODEC_NO_MEMORY = 3 };

/* "gzip", "x-gzip", "deflate", "zstd", "identity", ""; case is ignored. */
enum coding coding_parse(struct slice name);
extern const char *const CODING_NAMES[];

struct codec;
struct codec *codec_create(void); /* NULL: no memory */
void codec_destroy(struct codec *c);

/* Appends the decompressed `in` to out, at most `limit` bytes: over it, CODEC_TOO_LARGE, having
 * held no more than limit + 64 KiB. Refuses: several members or frames, trailing bytes, a zstd
 * window over 8 MiB (RFC 9659; a frame that is its own window is bounded by the limit). deflate is
 * the zlib format (RFC 9110 8.4.1.2). No bytes at all are CODEC_CORRUPT. After a refusal what is
 * behind out->len is of no worth. */
int codec_decompress(struct codec *c, enum coding coding, struct slice in, size_t limit,
		     struct buf *out);

/* Appends the compressed `in` at the level that is cheapest in CPU (gzip 1 by ISA-L, zstd 1). */
int codec_compress(struct codec *c, enum coding coding, struct slice in, struct buf *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * tests/bench/frame.h - HTTP/2 frames by hand, RFC 9113 4.1: what load and sink say is the same
 * bytes over and over, so neither pays for a library that could say anything. */
#ifndef TESTS_BENCH_FRAME_H
#define TESTS_BENCH_FRAME_H

#include <stdint.h>

#include "base/buf.h"

enum { FRAME_HEADER = 9, FRAME_MAX = 16384 };
enum frame_type {
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_RST_STREAM = 3,
	FRAME_SETTINGS = 4,
	FRAME_PING = 6,
	FRAME_GOAWAY = 7,
	FRAME_WINDOW_UPDATE = 8
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };
enum { SETTING_INITIAL_WINDOW = 4, WINDOW_DEFAULT = 65535 };

#define FRAME_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct frame {
	uint32_t stream;
	uint8_t type, flags;
	struct slice payload;
};

static inline uint32_t frame_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void frame_put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline int frame_put(struct buf *out, enum frame_type type, unsigned flags, uint32_t stream,
			    const void *payload, size_t len)
{
	uint8_t head[FRAME_HEADER] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
				      (uint8_t)type, (uint8_t)flags};
	frame_put_u32(head + 5, stream);
	return buf_append(out, head, sizeof(head)) | buf_append(out, payload, len);
}

static inline int frame_put_window(struct buf *out, uint32_t stream, uint32_t more)
{
	uint8_t n[4];
	frame_put_u32(n, more);
	return frame_put(out, FRAME_WINDOW_UPDATE, 0, stream, n, sizeof(n));
}

static inline int frame_put_setting(struct buf *out, uint16_t id, uint32_t value)
{
	uint8_t setting[6] = {(uint8_t)(id >> 8), (uint8_t)id};
	frame_put_u32(setting + 2, value);
	return frame_put(out, FRAME_SETTINGS, 0, 0, setting, sizeof(setting));
}

/* Takes a whole frame off `bytes`. false: there is none yet. */
static inline bool frame_next(struct slice *bytes, struct frame *f)
{
	const uint8_t *p = bytes->data;
	if (bytes->len < FRAME_HEADER)
		return false;
	size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
	if (bytes->len < FRAME_HEADER + len)
		return false;
	f->type = p[3];
	f->flags = p[4];
	f->stream = frame_u32(p + 5) & 0x7fffffff;
	f->payload = slice_of(p + FRAME_HEADER, len);
	*bytes = slice_of(p + FRAME_HEADER + len, bytes->len - FRAME_HEADER - len);
	return true;
}

/* What is left of DATA or HEADERS without padding and priority. */
static inline struct slice frame_content(const struct frame *f)
{
	size_t from = 0, pad = 0;
	if ((f->flags & PADDED) != 0 && f->payload.len != 0) {
		pad = f->payload.data[0];
		from = 1;
	}
	if (f->type == FRAME_HEADERS && (f->flags & PRIORITY) != 0)
		from += 5;
	if (from + pad > f->payload.len)
		return slice_of("", 0);
	return slice_of(f->payload.data + from, f->payload.len - from - pad);
}

#endif

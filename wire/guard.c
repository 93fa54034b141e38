/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/guard.h"

#include <nghttp2/nghttp2.h>

enum {
	CREDIT_MAX = 2000, /* some hundred useless frames at once are forgiven */
	CREDIT_PER_SECOND = 50,
	CREDIT_PER_REQUEST = 30, /* HEADERS, the ping after each reply (C13), window updates */
	BYTES_PER_CREDIT = 256,
	PRICE_FAULT = 10, /* 200 resets at once, then five a second */
	PRICE_PING = 2,
	PRICE_SETTINGS = 5,
	PRICE_OTHER = 1
};

static void earn(struct guard *g, int64_t credit)
{
	g->credit += credit;
	if (g->credit > CREDIT_MAX)
		g->credit = CREDIT_MAX;
}

void guard_init(struct guard *g, uint64_t now_ms)
{
	*g = (struct guard){
	    .credit = CREDIT_MAX, .last_ms = now_ms, .skip = sizeof(NGHTTP2_CLIENT_MAGIC) - 1};
}

static int64_t price(uint8_t type, uint8_t flags, size_t length)
{
	switch (type) {
	case NGHTTP2_DATA:
		if (length >= BYTES_PER_CREDIT || (flags & NGHTTP2_FLAG_END_STREAM))
			return 0;
		return PRICE_OTHER;
	case NGHTTP2_RST_STREAM:
		return PRICE_FAULT;
	case NGHTTP2_PING:
		return flags & NGHTTP2_FLAG_ACK ? PRICE_OTHER : PRICE_PING;
	case NGHTTP2_SETTINGS:
		return flags & NGHTTP2_FLAG_ACK ? PRICE_OTHER : PRICE_SETTINGS;
	default:
		return PRICE_OTHER;
	}
}

static void frame(struct guard *g)
{
	uint32_t length = (uint32_t)g->header[0] << 16 | (uint32_t)g->header[1] << 8 | g->header[2];
	uint8_t type = g->header[3], flags = g->header[4];
	g->skip = length;
	g->n_header = 0;
	if (type == NGHTTP2_DATA)
		earn(g, length / BYTES_PER_CREDIT);
	g->credit -= price(type, flags, length);
}

bool guard_bytes(struct guard *g, struct slice bytes, uint64_t now_ms)
{
	uint64_t passed = now_ms - g->last_ms;
	if (passed >= 100) {
		earn(g, (int64_t)(passed < 60000 ? passed : 60000) * CREDIT_PER_SECOND / 1000);
		g->last_ms = now_ms;
	}
	while (bytes.len != 0) {
		size_t n = g->skip < bytes.len ? g->skip : bytes.len;
		g->skip -= (uint32_t)n;
		bytes = slice_of(bytes.data + n, bytes.len - n);
		if (bytes.len == 0)
			break;
		g->header[g->n_header++] = *bytes.data;
		bytes = slice_of(bytes.data + 1, bytes.len - 1);
		if (g->n_header == FRAME_HEADER)
			frame(g);
	}
	return g->credit >= 0;
}

bool guard_fault(struct guard *g)
{
	g->credit -= PRICE_FAULT;
	return g->credit >= 0;
}

void guard_request(struct guard *g)
{
	earn(g, CREDIT_PER_REQUEST);
}

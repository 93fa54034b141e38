/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/grpc.h"

#include <stdio.h>

#include "google/rpc/status.pb-c.h"

static uint32_t message_length(const struct grpc_framing *g)
{
	return (uint32_t)g->prefix[1] << 24 | (uint32_t)g->prefix[2] << 16 |
	       (uint32_t)g->prefix[3] << 8 | g->prefix[4];
}

int grpc_framing_feed(struct grpc_framing *g, struct slice piece, size_t limit, struct buf *body)
{
	while (g->have < GRPC_PREFIX && piece.len != 0) {
		g->prefix[g->have++] = *piece.data;
		piece = slice_of(piece.data + 1, piece.len - 1);
	}
	if (g->have < GRPC_PREFIX)
		return 0;
	uint32_t length = message_length(g);
	if (g->prefix[0] > 1)
		return GRPC_FRAMING_BAD;
	if (length > limit)
		return GRPC_FRAMING_LONG;
	if (piece.len > length - body->len)
		return GRPC_FRAMING_SECOND;
	/* Up to 1 MiB at once: one allocation for nearly every request. */
	if (body->cap == 0 && length != 0 &&
	    buf_reserve(body, length < 1u << 20 ? length : 1u << 20) != 0)
		return GRPC_FRAMING_LONG;
	return buf_append(body, piece.data, piece.len) == 0 ? 0 : GRPC_FRAMING_LONG;
}

bool grpc_framing_is_whole(const struct grpc_framing *g, const struct buf *body)
{
	return g->have == GRPC_PREFIX && body->len == message_length(g);
}

bool grpc_framing_is_compressed(const struct grpc_framing *g)
{
	return g->prefix[0] == 1;
}

uint64_t grpc_timeout_ms(struct slice text)
{
	if (text.len < 2 || text.len > 9)
		return 0;
	uint64_t n = 0;
	for (size_t i = 0; i + 1 < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return 0;
		n = n * 10 + (text.data[i] - '0');
	}
	switch (text.data[text.len - 1]) {
	case 'H':
		return n * 3600000 + (n == 0);
	case 'M':
		return n * 60000 + (n == 0);
	case 'S':
		return n * 1000 + (n == 0);
	case 'm':
		return n + (n == 0);
	case 'u':
		return n / 1000 + 1;
	case 'n':
		return n / 1000000 + 1;
	default:
		return 0;
	}
}

int grpc_message_encode(const char *message, struct buf *out)
{
	int rc = 0;
	for (const unsigned char *c = (const unsigned char *)message; *c != '\0'; c++) {
		if (*c < 0x20 || *c > 0x7e || *c == '%')
			rc |= buf_printf(out, "%%%02X", *c);
		else
			rc |= buf_append(out, c, 1);
	}
	return rc;
}

static int base64(struct slice in, struct buf *out)
{
	static const char DIGITS[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	int rc = 0;
	for (size_t i = 0; i < in.len; i += 3) {
		size_t n = in.len - i < 3 ? in.len - i : 3;
		uint32_t v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? in.data[i + k] : 0);
		char text[4];
		for (size_t k = 0; k < 4; k++)
			text[k] = DIGITS[v >> (18 - 6 * k) & 63];
		rc |= buf_append(out, text, n + 1);
	}
	return rc;
}

int grpc_retry_details(int status, const char *message, unsigned retry_s, struct buf *details,
		       struct buf *retry_info)
{
	static char type_url[] = "type.googleapis.com/google.rpc.RetryInfo";
	uint8_t info_bytes[32], status_bytes[512];
	char text[256];
	snprintf(text, sizeof(text), "%s", message);

	Google__Rpc__Duration delay;
	google__rpc__duration__init(&delay);
	delay.seconds = retry_s;
	Google__Rpc__RetryInfo info;
	google__rpc__retry_info__init(&info);
	info.retry_delay = &delay;
	size_t info_len = google__rpc__retry_info__pack(&info, info_bytes);

	Google__Rpc__Any any, *all[] = {&any};
	google__rpc__any__init(&any);
	any.type_url = type_url;
	any.value = (ProtobufCBinaryData){info_len, info_bytes};
	Google__Rpc__Status s;
	google__rpc__status__init(&s);
	s.code = status;
	s.message = text;
	s.n_details = 1;
	s.details = all;
	size_t len = google__rpc__status__pack(&s, status_bytes);
	return base64(slice_of(status_bytes, len), details) |
	       base64(slice_of(info_bytes, info_len), retry_info);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

static int digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct slice text, struct buf *out)
{
	for (int pad = 0; pad < 2 && text.len != 0 && text.data[text.len - 1] == '='; pad++)
		text.len--;
	if (text.len % 4 == 1)
		return BASE64_BAD;
	if (buf_reserve(out, text.len / 4 * 3 + 3) != 0)
		return BUF_FULL;
	uint32_t bits = 0;
	size_t start = out->len;
	for (size_t i = 0; i < text.len; i++) {
		int d = digit(text.data[i]);
		if (d < 0) {
			out->len = start;
			return BASE64_BAD;
		}
		bits = bits << 6 | (uint32_t)d;
		if (i % 4 != 0) /* each digit but the first of four completes a byte */
			out->data[out->len++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return 0;
}

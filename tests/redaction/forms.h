/* SPDX-License-Identifier: Apache-2.0
 * tests/redaction/forms.h - one text in other writings. */
#ifndef TESTS_REDACTION_FORMS_H
#define TESTS_REDACTION_FORMS_H

#include <openssl/evp.h>

#include "base/buf.h"

enum form { PLAIN, URL, DOUBLE_URL, BASE64, BASE64_URL, JSON, UNICODE, URL_IN_BASE64, FORMS };

static inline void to_url(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++)
		buf_printf(out, "%%%02X", s.data[i]);
}

static inline void to_unicode(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++)
		buf_printf(out, "\\u%04x", s.data[i]);
}

static inline void to_json(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '\n')
			buf_append(out, "\\n", 2);
		else if (s.data[i] == '"' || s.data[i] == '\\' || s.data[i] == '/')
			buf_printf(out, "\\%c", s.data[i]);
		else
			buf_append(out, &s.data[i], 1);
	}
}

static inline void to_base64(struct slice s, bool url, struct buf *out)
{
	if (buf_reserve(out, s.len / 3 * 4 + 8) != 0)
		abort();
	uint8_t *text = out->data + out->len;
	size_t len = (size_t)EVP_EncodeBlock(text, s.data, (int)s.len);
	for (size_t i = 0; url && i < len; i++) {
		if (text[i] == '+')
			text[i] = '-';
		else if (text[i] == '/')
			text[i] = '_';
	}
	while (url && len != 0 && text[len - 1] == '=')
		len--;
	out->len += len;
}

/* Appends it. */
static inline void to_form(enum form form, struct slice s, struct buf *out)
{
	struct buf inner = {0};
	switch (form) {
	case URL:
		to_url(s, out);
		break;
	case DOUBLE_URL:
		to_url(s, &inner);
		for (size_t i = 0; i < inner.len; i++)
			buf_printf(out, inner.data[i] == '%' ? "%%25" : "%c", inner.data[i]);
		break;
	case BASE64:
	case BASE64_URL:
		to_base64(s, form == BASE64_URL, out);
		break;
	case JSON:
		to_json(s, out);
		break;
	case UNICODE:
		to_unicode(s, out);
		break;
	case URL_IN_BASE64:
		to_url(s, &inner);
		to_base64(buf_slice(&inner), false, out);
		break;
	default:
		buf_append(out, s.data, s.len);
		break;
	}
	buf_finish(&inner);
}

#endif

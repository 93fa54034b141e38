/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/chain.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/hex.h"

enum { HEX = 2 * AUDIT_MAC };
static const char PREV[] = ",\"prev\":\"", MAC[] = ",\"mac\":\"", END[] = "\"}";
enum {
	PREV_LEN = sizeof(PREV) - 1,
	MAC_LEN = sizeof(MAC) - 1,
	END_LEN = sizeof(END) - 1,
	TAIL = MAC_LEN + HEX + END_LEN,       /* what the mac does not cover */
	LEAST = PREV_LEN + HEX + 1 + TAIL + 7 /* {"seq": before all of it */
};

static void mac_of(struct slice key, struct slice body, uint8_t out[AUDIT_MAC])
{
	unsigned len = AUDIT_MAC;
	if (key.len == 0)
		SHA256(body.data, body.len, out);
	else if (HMAC(EVP_sha256(), key.data, (int)key.len, body.data, body.len, out, &len) == NULL)
		memset(out, 0, AUDIT_MAC); /* no memory: it will not hold, which is the safe side */
}

int audit_append(struct audit_head *head, struct slice key, const struct audit_record *r,
		 uint64_t unix_ms, const char *boot_id, struct buf *out)
{
	size_t begin = out->len;
	struct audit_head next = {.seq = head->seq + 1};
	struct audit_stamp stamp = {next.seq, unix_ms, boot_id, head->mac};
	char digits[HEX + 1];
	int full = audit_encode(r, &stamp, out);
	if (full == 0) {
		mac_of(key, slice_of(out->data + begin, out->len - begin), next.mac);
		hex_print(next.mac, AUDIT_MAC, digits);
		full = buf_printf(out, "%s%s%s\n", MAC, digits, END);
	}
	if (full != 0)
		out->len = begin;
	else
		*head = next;
	return full;
}

/* ---- reading ---- */

struct cursor {
	const uint8_t *at, *end;
};

static bool skip(struct cursor *c, const char *text)
{
	size_t len = strlen(text);
	if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
		return false;
	c->at += len;
	return true;
}

/* As it is written: without leading zeros. */
static bool read_number(struct cursor *c, uint64_t *out)
{
	const uint8_t *begin = c->at;
	for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
		if (__builtin_mul_overflow(*out, 10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(*c->at - '0'), out))
			return false;
	return c->at != begin && (*begin != '0' || c->at == begin + 1);
}

/* Up to a quote; texts that are read here have no escapes. */
static bool read_text(struct cursor *c, struct slice *out)
{
	const uint8_t *quote = memchr(c->at, '"', (size_t)(c->end - c->at));
	if (quote == NULL)
		return false;
	*out = slice_of(c->at, (size_t)(quote - c->at));
	c->at = quote + 1;
	return true;
}

bool audit_next_line(struct slice *rest, struct slice *line)
{
	const uint8_t *end = rest->len != 0 ? memchr(rest->data, '\n', rest->len) : NULL;
	if (end == NULL)
		return false;
	*line = slice_of(rest->data, (size_t)(end - rest->data));
	*rest = slice_of(end + 1, rest->len - line->len - 1);
	return true;
}

bool audit_line_read(struct audit_line *out, struct slice line)
{
	struct slice text;
	if (line.len < LEAST)
		return false;
	const uint8_t *mac = line.data + line.len - TAIL;
	const uint8_t *prev = mac - 1 - HEX - PREV_LEN;
	struct cursor head = {line.data, prev};
	out->body = slice_of(line.data, line.len - TAIL);
	return memcmp(mac, MAC, MAC_LEN) == 0 && memcmp(mac + MAC_LEN + HEX, END, END_LEN) == 0 &&
	       memcmp(prev, PREV, PREV_LEN) == 0 && mac[-1] == '"' &&
	       hex_read(prev + PREV_LEN, out->prev, AUDIT_MAC) &&
	       hex_read(mac + MAC_LEN, out->mac, AUDIT_MAC) && skip(&head, "{\"seq\":") &&
	       read_number(&head, &out->seq) && out->seq != 0 && skip(&head, ",\"ts\":\"") &&
	       read_text(&head, &text) && audit_read_time(text, &out->unix_ms) &&
	       skip(&head, ",\"boot_id\":\"") && read_text(&head, &text) &&
	       skip(&head, ",\"kind\":\"") && read_text(&head, &out->kind);
}

/* Digits of the mac are compared as bytes, so those of another case would pass: they must be as we
 * write them. */
static bool is_lower(const struct audit_line *l)
{
	const uint8_t *digits = l->body.data + l->body.len + MAC_LEN;
	for (int i = 0; i < HEX; i++)
		if (digits[i] >= 'A' && digits[i] <= 'F')
			return false;
	return true;
}

bool audit_line_holds(const struct audit_line *l, struct slice key)
{
	uint8_t mac[AUDIT_MAC];
	mac_of(key, l->body, mac);
	return memcmp(mac, l->mac, AUDIT_MAC) == 0 && is_lower(l);
}

bool audit_line_follows(const struct audit_line *l, const struct audit_head *head)
{
	return l->seq == head->seq + 1 && memcmp(l->prev, head->mac, AUDIT_MAC) == 0;
}

bool audit_line_is(const struct audit_line *l, enum audit_kind kind)
{
	return slice_is(l->kind, AUDIT_KIND_NAMES[kind]);
}

/* Behind `"key":`. Texts of others cannot look like it, for their quotes are escaped. */
static bool find(const struct audit_line *l, const char *key, struct cursor *out)
{
	char name[AUDIT_WORD + 4];
	int len = snprintf(name, sizeof(name), "\"%s\":", key);
	const uint8_t *at = memmem(l->body.data, l->body.len, name, (size_t)len);
	if (at == NULL)
		return false;
	*out = (struct cursor){at + len, l->body.data + l->body.len};
	return true;
}

bool audit_line_count(const struct audit_line *l, const char *key, uint64_t *out)
{
	struct cursor c;
	return find(l, key, &c) && read_number(&c, out);
}

bool audit_line_detail(const struct audit_line *l, const char *key, struct slice *out)
{
	struct cursor c;
	return find(l, key, &c) && skip(&c, "\"") && read_text(&c, out);
}

void audit_key_id(struct slice key, char out[AUDIT_KEY_ID])
{
	static const char WHAT[] = "spanrelay audit key id";
	uint8_t mac[AUDIT_MAC];
	*out = '\0';
	if (key.len == 0)
		return;
	mac_of(key, slice_str(WHAT), mac);
	hex_print(mac, (AUDIT_KEY_ID - 1) / 2, out);
}

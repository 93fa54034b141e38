/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_lex.c - words, strings, numbers and marks of a condition. */
#include <stdarg.h>
#include <stdio.h>

#include "pipeline/condition_text.h"

static const char *const MARKS[] = {"==", "!=", "<=", ">=", "=~", "!~", "=", "<",
				    ">",  "(",  ")",  "[",  "]",  ",",  "|"};
enum { N_MARKS = sizeof(MARKS) / sizeof(MARKS[0]) };

bool parser_fail(struct parser *p, size_t at, const char *fmt, ...)
{
	if (p->why->words[0] != '\0' || p->no_memory)
		return false;
	va_list ap;
	va_start(ap, fmt);
	p->why->offset = at;
	vsnprintf(p->why->words, sizeof(p->why->words), fmt, ap);
	va_end(ap);
	return false;
}

void *parser_alloc(struct parser *p, size_t size)
{
	void *room = arena_alloc(p->arena, size != 0 ? size : 1);
	if (room == NULL)
		p->no_memory = true;
	else
		memset(room, 0, size);
	return room;
}

static bool is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* What keys of attributes are made of: k8s.pod.label.app.kubernetes.io/name. */
static bool is_word(uint8_t c)
{
	return is_letter(c) || is_digit(c) || (c != '\0' && strchr(".-:/@", c) != NULL);
}

/* The byte at `at`, or 0 behind the end. */
static uint8_t peek(const struct parser *p, size_t at)
{
	return at < p->text.len ? p->text.data[at] : 0;
}

static void take(struct parser *p, enum token_kind kind, size_t len)
{
	p->token.kind = kind;
	p->token.text = slice_of(p->text.data + p->at, len);
	p->at += len;
}

/* \" \' and \\ stand for what comes after; other backslashes for themselves, as patterns want. */
static size_t escape_at(struct slice raw, size_t at)
{
	return raw.data[at] == '\\' && at + 1 < raw.len && raw.data[at + 1] != '\0' &&
		       strchr("\"'\\", raw.data[at + 1]) != NULL
		   ? 2
		   : 1;
}

static bool take_string(struct parser *p)
{
	uint8_t quote = peek(p, p->at);
	size_t begin = p->at + 1, at = begin, len = 0;
	while (at < p->text.len && p->text.data[at] != quote)
		at += escape_at(p->text, at);
	if (at >= p->text.len)
		return parser_fail(p, p->token.at, "a string without its closing %c", quote);
	struct slice raw = slice_of(p->text.data + begin, at - begin);
	uint8_t *plain = parser_alloc(p, raw.len);
	if (plain == NULL)
		return false;
	for (size_t i = 0; i < raw.len;) {
		i += escape_at(raw, i);
		plain[len++] = raw.data[i - 1];
	}
	p->token.kind = TOKEN_STRING;
	p->token.text = slice_of(plain, len);
	p->at = at + 1;
	return true;
}

size_t token_offset(const struct parser *p, const struct token *string, size_t n)
{
	size_t at = string->at + 1;
	while (n-- > 0 && at < p->text.len)
		at += escape_at(p->text, at);
	return at;
}

static void take_number(struct parser *p)
{
	size_t at = p->at + (peek(p, p->at) == '-' || peek(p, p->at) == '+');
	while (is_digit(peek(p, at)) || peek(p, at) == '.')
		at++;
	if ((peek(p, at) | 0x20) == 'e') {
		size_t sign = peek(p, at + 1) == '-' || peek(p, at + 1) == '+';
		if (is_digit(peek(p, at + 1 + sign)))
			for (at += 1 + sign; is_digit(peek(p, at));)
				at++;
	}
	size_t digits = at - p->at;
	while (is_letter(peek(p, at)) || is_digit(peek(p, at)))
		at++;
	take(p, TOKEN_NUMBER, at - p->at);
	p->token.digits = slice_of(p->token.text.data, digits);
	p->token.unit = slice_of(p->token.text.data + digits, p->token.text.len - digits);
}

static bool begins_number(const struct parser *p)
{
	size_t at = p->at;
	at += peek(p, at) == '-' || peek(p, at) == '+';
	at += peek(p, at) == '.';
	return is_digit(peek(p, at));
}

static bool take_mark(struct parser *p)
{
	for (size_t i = 0; i < N_MARKS; i++) {
		size_t len = strlen(MARKS[i]);
		if (len <= p->text.len - p->at &&
		    memcmp(p->text.data + p->at, MARKS[i], len) == 0) {
			take(p, TOKEN_MARK, len);
			return true;
		}
	}
	uint8_t c = peek(p, p->at);
	if (c == '&' || c == '!')
		return parser_fail(p, p->at, "write `%s` for `%c`", c == '&' ? "and" : "not", c);
	if (c > ' ' && c < 0x7f)
		return parser_fail(p, p->at, "`%c` means nothing here", c);
	return parser_fail(p, p->at, "byte 0x%02x means nothing outside quotes", c);
}

bool token_next(struct parser *p)
{
	while (p->at < p->text.len && strchr(" \t\r\n", p->text.data[p->at]) != NULL &&
	       p->text.data[p->at] != '\0')
		p->at++;
	p->token = (struct token){.at = p->at};
	if (p->at == p->text.len)
		return true;
	uint8_t c = peek(p, p->at);
	if (c == '"' || c == '\'')
		return take_string(p);
	if (begins_number(p)) {
		take_number(p);
	} else if (is_letter(c)) {
		size_t len = 1;
		while (is_word(peek(p, p->at + len)))
			len++;
		take(p, TOKEN_WORD, len);
	} else {
		return take_mark(p);
	}
	return true;
}

bool token_is(const struct parser *p, const char *text)
{
	return (p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_MARK) &&
	       slice_is(p->token.text, text);
}

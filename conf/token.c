/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/token.h"

#include <strings.h>

const char *const TOKEN_VARIABLE_NAMES[TOKEN_VARIABLES] = {"LS_ACCESS_TOKEN",
							   "LIGHTSTEP_ACCESS_TOKEN", "LS_TOKEN"};

struct slice token_trim(struct slice text)
{
	static const char BLANKS[] = {'\r', '\n', ' ', '\t'};
	while (text.len > 0 && memchr(BLANKS, text.data[text.len - 1], sizeof(BLANKS)) != NULL)
		text.len--;
	return text;
}

static bool contains(struct slice text, const char *part)
{
	return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

static bool is_lightstep(const char *host)
{
	static const char DOMAIN[] = ".lightstep.com";
	size_t len = host != NULL ? strlen(host) : 0, domain = sizeof(DOMAIN) - 1;
	return len >= domain && strcasecmp(host + len - domain, DOMAIN) == 0;
}

const char *token_fault(struct slice token, const char *host)
{
	if (token.len == 0)
		return "is empty";
	if (token.len > TOKEN_MAX)
		return "is longer than 4096 bytes";
	for (size_t i = 0; i < token.len; i++)
		if (token.data[i] < 0x21 || token.data[i] > 0x7e)
			return "holds a blank, a control character or a byte above ASCII";
	if (contains(token, "${") || contains(token, "{{") ||
	    (token.data[0] == '<' && token.data[token.len - 1] == '>'))
		return "is a template that nobody filled in";
	if (is_lightstep(host) && slice_is(token, "developer"))
		return "is the token of a satellite in developer mode, not of Lightstep";
	return NULL;
}

/* Takes a line off the front. */
static struct slice next_line(struct slice *rest)
{
	const uint8_t *end = rest->len != 0 ? memchr(rest->data, '\n', rest->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
	struct slice line = slice_of(rest->data, len);
	size_t taken = len + (end != NULL);
	*rest = slice_of(rest->data + taken, rest->len - taken);
	return token_trim(line);
}

const char *token_lines(struct slice text, struct slice *first, struct slice *second)
{
	struct slice rest = token_trim(text);
	*first = next_line(&rest);
	*second = next_line(&rest);
	if (rest.len != 0)
		return "has more than two lines";
	return NULL;
}

static struct slice skip_blanks(struct slice line)
{
	while (line.len != 0 && (line.data[0] == ' ' || line.data[0] == '\t'))
		line = slice_of(line.data + 1, line.len - 1);
	return line;
}

static struct slice unquote(struct slice value)
{
	bool quoted = value.len >= 2 && (value.data[0] == '"' || value.data[0] == '\'') &&
		      value.data[value.len - 1] == value.data[0];
	return quoted ? slice_of(value.data + 1, value.len - 2) : value;
}

/* Whether the line is NAME=..., for `name`; the value goes to *value. */
static bool is_line_of(struct slice line, const char *name, struct slice *value)
{
	size_t len = strlen(name);
	if (line.len <= len || memcmp(line.data, name, len) != 0 || line.data[len] != '=')
		return false;
	*value = unquote(slice_of(line.data + len + 1, line.len - len - 1));
	return true;
}

const char *token_of_environment_file(struct slice text, struct slice *token)
{
	struct slice found[TOKEN_VARIABLES] = {{.data = NULL}};
	while (text.len != 0) {
		struct slice line = skip_blanks(next_line(&text));
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (memchr(line.data, '=', line.len) == NULL)
			return "has a line that is not NAME=VALUE";
		for (size_t i = 0; i < TOKEN_VARIABLES; i++)
			(void)is_line_of(line, TOKEN_VARIABLE_NAMES[i], &found[i]);
	}
	*token = slice_of(NULL, 0);
	for (size_t i = 0; i < TOKEN_VARIABLES; i++) {
		if (found[i].len == 0)
			continue;
		if (token->len != 0 && !slice_equal(*token, found[i]))
			return "has two access tokens that differ";
		*token = found[i];
	}
	return token->len != 0 ? NULL : "has no line LS_ACCESS_TOKEN=...";
}

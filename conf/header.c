/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/header.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

const char HEADER_OUT_OF_MEMORY[] = "no memory";

void secret_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

/* A token of RFC 9110, 5.6.2. */
static bool is_token(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
			return false;
	return *name != '\0';
}

/* These are the exporter's own to set: a second one would change how the request is framed or read.
 */
static bool is_ours(const char *name)
{
	static const char *const OURS[] = {"connection",       "content-encoding",
					   "content-length",   "content-type",
					   "expect",           "host",
					   "keep-alive",       "te",
					   "trailer",          "upgrade",
					   "transfer-encoding"};
	for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++)
		if (strcasecmp(name, OURS[i]) == 0)
			return true;
	return strncasecmp(name, "grpc-", 5) == 0;
}

/* RFC 9110, 5.5: visible characters, blanks and tabs between them, bytes above ASCII. */
static bool is_value(const char *value)
{
	size_t len = strlen(value);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		bool blank = c == ' ' || c == '\t';
		if (blank ? i == 0 || i == len - 1 : c < 0x21 || c == 0x7f)
			return false;
	}
	return len <= HEADER_VALUE_MAX;
}

static const char *check(const struct conf_exporter *e, const char *name, const char *value)
{
	if (!is_token(name) || strlen(name) > 128)
		return "is no header name";
	if (is_ours(name))
		return "is a header that the exporter sets itself";
	if (header_find(e, name) != NULL)
		return "is there twice";
	if (!is_value(value))
		return "has a value with a line break, a control character or a blank at an end, "
		       "or a too "
		       "long one";
	return e->n_headers < HEADER_MAX ? NULL : "is one too many: 32 are enough";
}

const char *header_add(struct conf_exporter *e, const char *name, const char *value)
{
	const char *wrong = check(e, name, value);
	if (wrong != NULL)
		return wrong;
	struct conf_header h = {strdup(name), strdup(value)};
	struct conf_header *more = reallocarray(e->headers, e->n_headers + 1, sizeof(*more));
	if (more != NULL)
		e->headers = more;
	if (more == NULL || h.name == NULL || h.value == NULL) {
		free(h.name);
		secret_free(h.value);
		return HEADER_OUT_OF_MEMORY;
	}
	for (char *c = h.name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	e->headers[e->n_headers++] = h;
	return NULL;
}

/* In place; false for a percent sign without two hex digits, or for %00. */
static bool percent_decode(char *text)
{
	char *to = text;
	for (const char *from = text; *from != '\0'; from++) {
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]))
			return false;
		char hex[3] = {from[1], from[2], '\0'};
		*to = (char)strtoul(hex, NULL, 16);
		if (*to++ == '\0')
			return false;
		from += 2;
	}
	*to = '\0';
	return true;
}

static char *trim(char *text)
{
	text += strspn(text, " \t");
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		text[--len] = '\0';
	return text;
}

static const char *add_pair(struct conf_exporter *e, char *pair)
{
	char *equals = strchr(pair, '=');
	if (equals == NULL)
		return "wants name=value pairs, parted by commas";
	*equals = '\0';
	char *name = trim(pair), *value = trim(equals + 1);
	if (!percent_decode(name) || !percent_decode(value))
		return "has a % that is not followed by two hex digits";
	return header_add(e, name, value);
}

const char *header_add_list(struct conf_exporter *e, const char *list)
{
	char *copy = strdup(list);
	if (copy == NULL)
		return HEADER_OUT_OF_MEMORY;
	size_t len = strlen(copy);
	const char *wrong = NULL;
	char *rest = copy;
	while (wrong == NULL && rest != NULL) {
		char *pair = trim(strsep(&rest, ","));
		if (*pair != '\0')
			wrong = add_pair(e, pair);
	}
	explicit_bzero(copy, len);
	free(copy);
	return wrong;
}

const char *header_find(const struct conf_exporter *e, const char *name)
{
	for (size_t i = 0; i < e->n_headers; i++)
		if (strcasecmp(e->headers[i].name, name) == 0)
			return e->headers[i].value;
	return NULL;
}

void headers_finish(struct conf_exporter *e)
{
	for (size_t i = 0; i < e->n_headers; i++) {
		free(e->headers[i].name);
		secret_free(e->headers[i].value);
	}
	free(e->headers);
	e->headers = NULL;
	e->n_headers = 0;
}

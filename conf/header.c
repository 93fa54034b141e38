/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/header.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "conf/environment.h"
#include "conf/token.h"

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

static void header_finish(struct conf_header *h)
{
	free(h->name);
	secret_free(h->value);
	secret_release(h->secret);
	free(h->path);
	free(h->prefix);
	free(h->from);
}

/* Takes what hangs on h, whose name has not been copied yet; `short_of` says that some of it is
 * missing for want of memory. */
static const char *add(struct conf_exporter *e, struct conf_header h, const char *name,
		       const char *wrong, bool short_of)
{
	if (wrong != NULL) {
		header_finish(&h);
		return wrong;
	}
	struct conf_header *more = reallocarray(e->headers, e->n_headers + 1, sizeof(*more));
	if (more != NULL)
		e->headers = more;
	h.name = strdup(name);
	if (more == NULL || h.name == NULL || short_of) {
		header_finish(&h);
		return HEADER_OUT_OF_MEMORY;
	}
	for (char *c = h.name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	e->headers[e->n_headers++] = h;
	return NULL;
}

const char *header_add(struct conf_exporter *e, const char *name, const char *value)
{
	struct conf_header h = {.source = SOURCE_TEXT, .value = strdup(value)};
	return add(e, h, name, check(e, name, value), h.value == NULL);
}

const char *header_add_secret(struct conf_exporter *e, const char *name, const char *value,
			      const char *from)
{
	/* The fingerprint is that of the token, without the word before it. */
	const char *blank = strrchr(value, ' ');
	const char *token = blank != NULL ? blank + 1 : value;
	struct conf_header h = {
	    .source = SOURCE_ENV,
	    .secret = secret_join(slice_of(value, (size_t)(token - value)), slice_str(token)),
	    .from = from != NULL ? strdup(from) : NULL};
	bool short_of = h.secret == NULL || (from != NULL && h.from == NULL);
	return add(e, h, name, check(e, name, value), short_of);
}

const char *header_add_source(struct conf_exporter *e, const char *name,
			      enum conf_value_source source, const char *path, const char *prefix,
			      const char *from)
{
	struct conf_header h = {.source = source,
				.path = path != NULL ? strdup(path) : NULL,
				.prefix = prefix != NULL ? strdup(prefix) : NULL,
				.from = from != NULL ? strdup(from) : NULL};
	bool short_of = (path != NULL && h.path == NULL) || (from != NULL && h.from == NULL) ||
			(prefix != NULL && h.prefix == NULL);
	return add(e, h, name, check(e, name, ""), short_of);
}

/* { env: NAME }: its value is taken now, for the life of the process. */
static const char *add_variable(struct conf_exporter *e, const char *name,
				const struct header_source *s, struct report *r)
{
	const char *value = environment_get_secret(s->env);
	struct buf all = {.data = NULL}, twin = {.data = NULL};
	const char *wrong = NULL;
	if (buf_printf(&twin, "%s_FILE", s->env) != 0 || buf_append(&twin, "", 1) != 0) {
		wrong = HEADER_OUT_OF_MEMORY;
	} else if (value == NULL) {
		report_fault(r, s->at, "the variable %.128s is not %s", s->env,
			     environment_lacks(r));
	} else if (environment_get((const char *)twin.data) != NULL) {
		report_fault(r, s->at, "%.128s and %.128s are both set: wanted one of them", s->env,
			     (const char *)twin.data);
	} else {
		struct slice token = token_trim(slice_str(value));
		const char *prefix = s->prefix != NULL ? s->prefix : "";
		const char *fault = token_fault(token, NULL);
		if (fault != NULL)
			report_fault(r, s->at, "%.128s: what it holds %s", s->env, fault);
		else if (buf_append(&all, prefix, strlen(prefix)) != 0 ||
			 buf_append(&all, token.data, token.len) != 0 ||
			 buf_append(&all, "", 1) != 0)
			wrong = HEADER_OUT_OF_MEMORY;
		else
			wrong = header_add_secret(e, name, (const char *)all.data, s->env);
	}
	if (all.cap != 0)
		explicit_bzero(all.data, all.cap);
	buf_finish(&all);
	buf_finish(&twin);
	return wrong;
}

/* { file_env: NAME_FILE }: it names the file. NAME beside it contradicts it. */
static const char *path_of_variable(const struct header_source *s, struct report *r)
{
	static const char SUFFIX[] = "_FILE";
	const char *path = environment_get(s->file_env);
	size_t len = strlen(s->file_env), suffix = sizeof(SUFFIX) - 1;
	char twin[128];
	if (path == NULL) {
		report_fault(r, s->at, "the variable %.128s is not %s: wanted the path of a file",
			     s->file_env, environment_lacks(r));
		return NULL;
	}
	if (len <= suffix || len - suffix >= sizeof(twin) ||
	    strcmp(s->file_env + len - suffix, SUFFIX) != 0)
		return path;
	memcpy(twin, s->file_env, len - suffix);
	twin[len - suffix] = '\0';
	if (environment_get_secret(twin) == NULL)
		return path;
	report_fault(r, s->at, "%s and %.128s are both set: wanted one of them", twin, s->file_env);
	return NULL;
}

const char *header_add_sourced(struct conf_exporter *e, const char *name,
			       const struct header_source *s, struct report *r)
{
	if ((s->file != NULL) + (s->file_env != NULL) + (s->env != NULL) != 1) {
		report_fault(r, s->at, "header %.64s: wanted one of file, file_env and env", name);
		return NULL;
	}
	if (s->prefix != NULL &&
	    (strlen(s->prefix) > 64 || s->prefix[0] == ' ' || strpbrk(s->prefix, "\r\n") != NULL)) {
		report_fault(r, s->at, "header %.64s: wanted a prefix such as \"Bearer \"", name);
		return NULL;
	}
	if (s->env != NULL)
		return add_variable(e, name, s, r);
	const char *path = s->file != NULL ? s->file : path_of_variable(s, r);
	if (path == NULL)
		return NULL;
	return header_add_source(e, name, SOURCE_FILE, path, s->prefix, s->file_env);
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

static const char *add_pair(struct conf_exporter *e, char *pair, const char *from)
{
	char *equals = strchr(pair, '=');
	if (equals == NULL)
		return "wants name=value pairs, parted by commas";
	*equals = '\0';
	char *name = trim(pair), *value = trim(equals + 1);
	if (!percent_decode(name) || !percent_decode(value))
		return "has a % that is not followed by two hex digits";
	return header_add_secret(e, name, value, from);
}

const char *header_add_list(struct conf_exporter *e, const char *list, const char *from)
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
			wrong = add_pair(e, pair, from);
	}
	explicit_bzero(copy, len);
	free(copy);
	return wrong;
}

const struct conf_header *header_find(const struct conf_exporter *e, const char *name)
{
	for (size_t i = 0; i < e->n_headers; i++)
		if (strcasecmp(e->headers[i].name, name) == 0)
			return &e->headers[i];
	return NULL;
}

size_t headers_secret(const struct conf_exporter *e)
{
	size_t n = 0;
	for (size_t i = 0; i < e->n_headers; i++)
		n += e->headers[i].source != SOURCE_TEXT;
	return n;
}

bool header_is_credential(const char *name)
{
	static const char *const PARTS[] = {"authorization", "token", "api-key",         "apikey",
					    "secret",        "passw", "x-honeycomb-team"};
	for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++)
		if (strcasestr(name, PARTS[i]) != NULL)
			return true;
	return false;
}

void headers_finish(struct conf_exporter *e)
{
	for (size_t i = 0; i < e->n_headers; i++)
		header_finish(&e->headers[i]);
	free(e->headers);
	e->headers = NULL;
	e->n_headers = 0;
}
